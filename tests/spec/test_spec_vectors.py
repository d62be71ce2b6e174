"""The worked examples of the specification, run through the code."""

from __future__ import annotations

import hashlib
import re

import numpy as np

from scformat import codec, layout
from scformat.entries import FAR_BINS, NEAR_BINS, OK, decode_rows, encode_rows, scan_rows
from scformat.genes.table import gene_key
from scformat.ontology import Term, Vocabulary, build_graph, descendant_counts
from scformat.random import DOMAIN_ORDER, DOMAIN_SPLIT, words64
from scformat.splits import SplitSpec, assign, group_key
from scformat.writing import array_digest

CELLS: tuple[dict[int, int], ...] = ({3: 2, 65_543: 70_000}, {}, {0: 1, 1: 5, 7: 300, 131_080: 2})
N_GENES = 131_081


def _hex(text: str, label: str) -> bytes:
    match = re.search(rf"^{label} +((?:[0-9a-f]{{2}} )+) +20 bytes$", text, re.MULTILINE)
    assert match is not None, label
    return bytes.fromhex(match[1])


def test_entries_of_the_worked_example(chapters: dict[str, str]) -> None:
    text = chapters["counts"]
    written = _hex(text, "row 0, gene deltas") + _hex(text, "row 1, counts")
    assert len(written) == int(re.findall(r"= (\d+) bytes$", text, re.MULTILINE)[0]) == 40
    # Columns in reverse, so that the order of genes is the encoder's doing.
    indices = np.array([gene for cell in CELLS for gene in reversed(cell)], np.int32)
    data = np.array([cell[gene] for cell in CELLS for gene in reversed(cell)], np.int64)
    offsets = np.cumsum([0, *map(len, CELLS)]).astype(np.int64)
    out = np.full((2, 10), layout.ENTRY_FILL, np.uint16)
    row_end = np.zeros(3, np.int32)
    end, _ = encode_rows(
        np.arange(3),
        offsets,
        indices,
        data,
        np.arange(N_GENES, dtype=np.int32),
        np.zeros(N_GENES, np.int64),
        np.zeros(N_GENES // 64 + 1, np.uint64),
        np.zeros((N_GENES, NEAR_BINS), np.uint32),
        np.zeros((N_GENES, FAR_BINS), np.uint32),
        np.zeros((2, len(data)), np.int64),
        out,
        0,
        row_end,
    )
    assert end == 10
    assert row_end.tolist() == [4, 4, 10]
    assert out.astype("<u2").tobytes() == written


def test_table_of_the_worked_example_decodes(chapters: dict[str, str]) -> None:
    rows = re.findall(r"^\| (\d) \| (\d+) \| (\d+) \| (\d+) \| (.+) \|$", chapters["counts"], re.MULTILINE)
    assert {(int(c), int(g), int(v)) for c, g, _, v, _ in rows} == {
        (c, g, v) for c, cell in enumerate(CELLS) for g, v in cell.items()
    }
    pairs = [(int(c), int(d), int(v)) for c, *_, e in rows for d, v in re.findall(r"\((\d+), (\d+)\)", e)]
    entries = np.array([[d for _, d, _ in pairs], [v for _, _, v in pairs]], np.uint16)
    written = _hex(chapters["counts"], "row 0, gene deltas") + _hex(chapters["counts"], "row 1, counts")
    assert entries.astype("<u2").tobytes() == written
    ends = np.searchsorted([c for c, _, _ in pairs], [1, 2, 3]).astype(np.int64)
    starts = np.array([0, *ends[:-1]], np.int64)
    offsets, indices, data = np.zeros(4, np.int64), np.zeros(10, np.int32), np.zeros(10, np.int64)
    assert decode_rows(entries[None], starts, ends, N_GENES, offsets, indices, data) == (OK, 0)
    for c, cell in enumerate(CELLS):
        part = slice(offsets[c], offsets[c + 1])
        assert dict(zip(indices[part].tolist(), data[part].tolist(), strict=True)) == cell
    assert decode_rows(entries[None], starts, ends, N_GENES - 1, offsets, indices, data)[0] != OK


def test_shard_of_the_worked_example_has_one_chunk(chapters: dict[str, str]) -> None:
    spec = layout.entries("counts/entries", 1)
    block = np.zeros((2, 10), np.uint16)
    shard = codec.encode_shard(spec, block)
    index = np.frombuffer(shard[-4 - 16 * 2048 : -4], "<u8").reshape(-1, 2)
    absent = int((index == codec.ABSENT).all(axis=1).sum())
    text = " ".join(chapters["counts"].split())
    assert f"its index {absent:,} absent ones" in text
    assert f"the other {2 * 2 * (2048 - 10):,} of its {2 * 2 * 2048:,} bytes are `ff`" in text


def test_content_hash_of_the_worked_example(chapters: dict[str, str]) -> None:
    text = chapters["cells"]
    keys = {gene: int(key, 16) for gene, key in re.findall(r"key\(9606, (ENSG\d+)\) +(0x[0-9a-f]{16})", text)}
    assert keys == {gene: gene_key(9606, gene) for gene in ("ENSG00000141510", "ENSG00000142611")}
    total = (2 * keys["ENSG00000141510"] + 70_000 * keys["ENSG00000142611"]) % 2**64
    assert f"h, the sum                   {total:#018x}\n" in text
    figures = np.zeros((4, 1), np.int64)
    fault = scan_rows(
        np.array([0, 2]),
        np.array([1, 0], np.int32),
        np.array([70_000, 2], np.int64),
        np.array(list(keys.values()), np.uint64),
        np.zeros(2, np.int64),
        np.full(2, -1, np.int64),
        0,
        *figures,
    )
    assert fault == (OK, 0, 0)
    content = int(figures[3, 0])
    assert f"content                      {content:#018x}   = {content}\n" in text


def test_order_keys_of_the_vector(chapters: dict[str, str]) -> None:
    text = chapters["order"]
    head = re.search(r"begins with `([0-9a-f ]+)`, so j = (\d+)", text)
    assert head is not None
    j = int.from_bytes(bytes.fromhex(head[1]), "little")
    assert j == int(head[2])
    written = {int(row): int(key) for row, key in re.findall(r"^\| (\d) \| (\d{15,}) \|$", text, re.MULTILINE)}
    keys = words64(0, DOMAIN_ORDER, np.arange(3), j)
    assert written == dict(enumerate(keys.tolist()))
    assert f"in the order {', '.join(map(str, np.argsort(keys)))}." in text


def test_splits_of_the_vector(chapters: dict[str, str]) -> None:
    text = chapters["splits"]
    spec = SplitSpec(("train", "val", "test"), (0.8, 0.1, 0.1))
    assert ", ".join(map(str, spec.thresholds)) in text
    rows = re.findall(r'^values "([^"]*)", (missing|"[^"]*") +key +(\d+) +u +(\d+) +split (\d)$', text, re.MULTILINE)
    assert len(rows) == 3
    for first, second, key, u, split in rows:
        group = (first, None if second == "missing" else second.strip('"'))
        assert group_key(group) == int(key)
        assert int(words64(0, DOMAIN_SPLIT, np.array([int(key)], np.uint64))[0]) == int(u)
        assert assign(spec, [group], 0).tolist() == [int(split)]


def test_array_digest_of_the_example(chapters: dict[str, str]) -> None:
    text = chapters["integrity"]
    lines = re.findall(r"^([0-9a-f]{64})  (\S+)$", text, re.MULTILINE)
    assert [name for _, name in lines] == ["zarr.json", "c/0", "c/1"]
    digest = array_digest((name, digest) for digest, name in lines)
    assert f"`sha256` of the array, is `{digest}`" in text
    listing = "".join(f"{digest}  {name}\n" for digest, name in lines)
    assert hashlib.sha256(listing.encode()).hexdigest() == digest


def test_ontology_of_the_worked_example(chapters: dict[str, str]) -> None:
    rows = re.findall(
        r"^\| ([\w ]+cell|lymphocyte) \| ([\w ,]*?) ?\| ([\w ,]+) \| (\d+) \|$", chapters["labels"], re.MULTILINE
    )
    assert len(rows) == 5
    parents = {name: tuple(sorted(p for p in up.split(", ") if p)) for name, up, _, _ in rows}
    terms = [Term(id=name, name=name, parents=up) for name, up in parents.items()]
    own = {"B cell": 80, "NK cell": 20, "NKT cell": 10}
    graph = build_graph([Vocabulary.of("CL", "v1", terms)], own)
    present = build_graph([Vocabulary.of("CL", "v1", terms)], parents)
    assert graph.ids == present.ids
    counts = descendant_counts(graph, np.array([own.get(name, 0) for name in graph.ids]))
    for name, _, closure, total in rows:
        node = graph.nodes[name]
        assert {graph.ids[up] for up in graph.ancestors_of(node)} == set(closure.split(", "))
        assert counts[node] == int(total)
