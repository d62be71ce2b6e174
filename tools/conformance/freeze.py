"""``python -m tools.conformance.freeze``: freeze stores of this release in ``spec/conformance/compat/VERSION``, once.

What is frozen is never made again: later releases have to read it as it is. A directory that is there is refused.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

import scformat
from scformat.manifest import VERSION
from scformat.neighbours import add_neighbours
from scformat.tables import add_table, build_table
from tools.conformance.inprocess import KIT, ask
from tools.conformance.kit import archived, encode
from tools.conformance.plainly import sha256

if TYPE_CHECKING:
    from tools.conformance.writer import Files

COMPAT = KIT / "compat"
FROM_KIT = ("several-parts", "strings", "obs-types", "everything-drawn", "everything-near", "shard-bounds")
"""Valid cases that are frozen beside a store that was converted."""
SIZES = (40, 25, 15)
TYPES = ["B cell", "T cell", "CD8-positive, alpha-beta T cell", "natural killer cell", "type nobody knows"]
TABLES = {
    "types": ("cell_type:balanced", None),
    "nodes": ("cell_type:ontology_nodes(missing=unknown),tissue:scaled(50)", None),
    "train": ("donor_id:power(0.5),n_genes:proportional", "train"),
}
DRAWS = [
    "--table types --plan independent --seed 1 --start 0 --count 200",
    "--table types --plan stratified --seed 1 --start 0 --count 128 --window 64 --lanes 2 --block 8",
    "--table nodes --plan stratified --seed 2 --start 100 --count 100 --window 64 --lanes 4 --block 4 "
    "--schedule 0:1,128:2",
    "--table train --plan independent --seed 3 --start 7 --count 100 --rank 1 --world-size 3",
    "--plan epoch --seed 4 --start 40 --count 120 --window 32 --lanes 2 --block 4",
]


def sources() -> list[anndata.AnnData]:
    """Three data sets over genes that overlap, with obs columns of all kinds."""
    out = []
    for s, n in enumerate(SIZES):
        m, first = 30, 1 + 8 * s
        rng = np.random.default_rng(s)
        counts = rng.poisson(0.8, (n, m)).astype(np.float32)
        counts[2] = 0
        counts[4, m - 2] = 70_000
        genes = [f"ENSG9{i:010d}" for i in range(first, first + m)]
        if s == 2:
            genes[1] = f"{genes[0]}.7"  # a version: the gene of column 0 once more
        codes = rng.integers(-1 if s == 1 else 0, len(TYPES), n)
        masked = pd.array(rng.integers(-5, 5, n), dtype="Int64")
        masked[1] = pd.NA
        obs = pd.DataFrame(
            {
                "cell_type": pd.Categorical.from_codes(codes, pd.Index(TYPES)),
                "tissue": pd.Categorical(["blood" if s else "lung"] * n),
                "donor_id": pd.Categorical([f"d{i % 4}" for i in range(n)]),
                "score": rng.normal(size=n),
                "half": np.where(np.arange(n) % 3 == 0, np.nan, 0.5).astype(np.float32),
                "depth": rng.integers(-(2**40), 2**40, n),
                "masked": masked,
                "good": np.arange(n) % 2 == 0,
                "note": [None if i % 7 == 3 else f"note {i} ä 😀" for i in range(n)],
                "identifier": pd.Categorical([f"id-{s}-{i}" for i in range(n)]),
            },
            index=[f"c{s}-{i}" for i in range(n)],
        )
        out.append(anndata.AnnData(X=sparse.csr_matrix(counts), obs=obs, var=pd.DataFrame(index=genes)))
    return out


def converted(path: Path) -> None:
    """Convert the data sets, and add tables and neighbours."""
    store = scformat.convert(
        sources(), path, order="stratified", splits="train=0.7,val=0.2,test=0.1", split_by=["donor_id"], seed=11
    )
    for name, (by, split) in TABLES.items():
        add_table(store, name, build_table(store, by, split=split))
        store = scformat.open(path)
    n = store.n_cells
    rows = (np.arange(n)[:, None] + np.arange(1, 4)) % n
    add_neighbours(store, "ring", (rows, np.tile(np.array([0.5, 1, 2], np.float32), (n, 1))), weight="distance")
    _check(scformat.open(path))


def _check(store: Any) -> None:
    """Hold the store against what it was made of, by barcode."""
    frames = [pd.DataFrame(a.X.toarray(), a.obs_names, [g.split(".")[0] for g in a.var_names]) for a in sources()]
    wanted = pd.concat([frame.T.groupby(level=0).sum().T for frame in frames]).fillna(0)
    found = pd.DataFrame(store.read(range(store.n_cells)).dense(np.int64), list(store.barcodes()), store.genes.index)
    pd.testing.assert_frame_equal(
        found.loc[wanted.index, sorted(wanted.columns)],
        wanted[sorted(wanted.columns)],
        check_dtype=False,
        check_names=False,
    )


def freeze(folder: Path) -> None:
    """Write stores with the answers about them."""
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / "converted.cells"
        converted(path)
        files: Files = {p.relative_to(path).as_posix(): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}
        n = scformat.open(path).n_cells
        questions = [["describe"], ["read", "--rows", ",".join(map(str, range(n)))]]
        questions += [["draw", *draw.split()] for draw in DRAWS]
        answers = []
        for verb, *options in questions:
            status, out, err = ask([verb, str(path), *options])
            if status:
                raise RuntimeError(err)
            answers.append({"verb": verb, "options": options, "answer": json.loads(out)})
    folder.mkdir(parents=True)
    _put(folder, "converted", archived(files), answers)
    cases = {case["id"]: case for case in json.loads((KIT / "cases.json").read_text("utf-8"))["cases"]}
    for name in FROM_KIT:
        case = cases[f"valid/{name}"]
        answers = [
            {"verb": c["verb"], "options": c["options"], "answer": json.loads((KIT / c["expect"]).read_text("utf-8"))}
            for c in case["checks"]
            if "expect" in c
        ]
        _put(folder, name, (KIT / case["store"]).read_bytes(), answers)


def _put(folder: Path, name: str, archive: bytes, answers: list[dict[str, Any]]) -> None:
    (folder / f"{name}.zip").write_bytes(archive)
    document = {"version": VERSION, "store": f"{name}.zip", "sha256": sha256(archive), "answers": answers}
    (folder / f"{name}.json").write_bytes(encode(document))


def main() -> int:
    """Run as a program; return the exit status."""
    folder = COMPAT / VERSION
    if folder.exists():
        print(f"{folder} is frozen", file=sys.stderr)
        return 1
    freeze(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
