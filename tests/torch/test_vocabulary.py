"""Genes in a vocabulary of one's own, and cells and genes of one organism."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch", reason="torch is an extra")

from samples import counts_matrix, sample  # noqa: E402

import scformat  # noqa: E402
from scformat.errors import StorageError, UnknownNameError, UsageError  # noqa: E402
from scformat.torch import CellDataset, CellLoader, GeneSubset, TokenSpec  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

    from scformat.store import Store

HUMAN = {"ENSG00000198851": "CD3E", "ENSG00000177455": "CD19", "ENSG00000170458": "CD14", "ENSG00000251562": "MALAT1"}
MOUSE = {"ENSMUSG00000032093": "Cd3e", "ENSMUSG00000030724": "Cd19", "ENSMUSG00000051439": "Cd14"}
N_HUMAN, N_MOUSE = 60, 40


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Human and mouse cells; of type a there are many in the one and few in the other."""
    sources = [
        sample(
            counts_matrix(n, len(genes), seed=n, mean=3.0),
            genes=list(genes),
            prefix=str(n),
            obs={"kind": pd.Categorical(np.where(np.arange(n) % share == 0, "a", "b"))},
        )
        for n, genes, share in ((N_HUMAN, HUMAN, 2), (N_MOUSE, MOUSE, 10))
    ]
    return scformat.convert(sources, tmp_path_factory.mktemp("stores") / "both.cells", jobs=1)


def dense(store: Store, rows: Any = None, **form: Any) -> Any:
    made = CellDataset(store, **form)
    return made.__getitems__(np.arange(store.n_cells) if rows is None else rows)


def counts(store: Store) -> pd.DataFrame:
    return pd.DataFrame(store.read(np.arange(store.n_cells)).dense(), columns=store.genes.index)


@pytest.mark.parametrize("how", ["list", "array", "index", "text", "path", "csv", "subset"])
def test_ids_in_any_order_from_anywhere(both: Store, tmp_path: Path, how: str) -> None:
    ids = [*MOUSE, "ENSG00000000000", *HUMAN][::-1]
    file = tmp_path / ("genes.csv" if how == "csv" else "genes.tsv")
    divider = "," if how == "csv" else "\t"
    file.write_text("\ufeff# a list\n\n" + "".join(f" {name} {divider}a gene\n" for name in ids), encoding="utf-8")
    given: dict[str, Any] = {
        "list": {"genes": ids},
        "array": {"genes": np.array(ids)},
        "index": {"genes": pd.Index(ids)},
        "text": {"genes": str(file)},
        "path": {"genes": file},
        "csv": {"genes": file},
        "subset": {"transforms": [GeneSubset(ids)]},
    }[how]
    made = CellDataset(both, **given)
    assert made.genes.index.tolist() == ids
    assert made.genes["found"].tolist() == [name != "ENSG00000000000" for name in ids]
    assert made.genes.loc["ENSG00000000000", ["symbol", "taxon", "biotype"]].tolist() == ["", 0, ""]
    batch = made.__getitems__(np.arange(both.n_cells))
    expected = counts(both).reindex(columns=ids, fill_value=0)
    assert np.array_equal(batch.x.numpy(), expected.to_numpy())
    measured = both.read(np.arange(both.n_cells)).measured()
    for column, name in enumerate(ids):
        known = name in both.genes.index
        wanted = measured[:, both.genes.index.get_loc(name)] if known else np.zeros(both.n_cells, bool)
        assert np.array_equal(batch.measured()[:, column].numpy(), wanted)


def test_tokens_are_places_in_the_vocabulary(both: Store) -> None:
    ids = ["ENSG00000000000", "ENSG00000170458", "ENSG00000198851"]
    batch = dense(both, genes=ids, output=TokenSpec(max_len=5, how="all"))
    expected = counts(both)[ids[1:]].to_numpy()
    for cell, genes, values, padding in zip(
        expected, batch.gene_ids.numpy(), batch.values.numpy(), batch.padding_mask.numpy(), strict=True
    ):
        assert (genes[~padding] - 1).tolist() == np.flatnonzero(cell).tolist()
        assert values[~padding].tolist() == cell[cell > 0].tolist()
        assert (genes[padding] == len(ids)).all()


def test_protein_coding(both: Store) -> None:
    made = CellDataset(both, genes="protein_coding", organism="human")
    kept = both.genes[(both.genes["biotype"] == "protein_coding") & (both.genes["taxon"] == 9606)]
    assert made.genes.index.tolist() == kept.index.tolist()
    assert "ENSG00000251562" not in made.genes.index  # MALAT1 is not
    assert 0 < len(made.genes) < len(HUMAN)


@pytest.mark.parametrize(("organism", "genes"), [("human", HUMAN), ("Mus musculus", MOUSE), ("NCBITaxon:10090", MOUSE)])
def test_an_organism_restricts_genes_and_cells(both: Store, organism: str, genes: dict[str, str]) -> None:
    made = CellLoader(both, 10, organism=organism, threads=0)
    assert sorted(made.genes.index) == sorted(genes)
    cells = np.arange(N_HUMAN) if genes is HUMAN else np.arange(N_HUMAN, N_HUMAN + N_MOUSE)
    seen = []
    for batch in made:
        seen += batch.rows[batch.valid].tolist()
        assert np.array_equal(batch.x.numpy(), counts(both)[made.genes.index].to_numpy()[batch.rows.numpy()])
        assert batch.measured().all()
    assert sorted(seen) == cells.tolist()
    # A vocabulary of both organisms: those of the other one are there, empty and flagged.
    made = CellLoader(both, 10, organism=organism, genes=[*HUMAN, *MOUSE], threads=0)
    assert made.genes["found"].tolist() == [name in genes for name in (*HUMAN, *MOUSE)]
    assert not next(iter(made)).x[:, ~made.genes["found"].to_numpy()].any()


def test_schemes_are_weighed_over_the_cells_of_an_organism(both: Store) -> None:
    for organism, share in (("human", 1 / 2), ("mouse", 1 / 10)):
        made = CellLoader(both, 10, organism=organism, table="kind:natural", labels=["kind"], threads=0)
        drawn = np.concatenate([made.table.strata.rows_of(c) for c in range(len(made.table))])
        assert len(drawn) == (N_HUMAN if organism == "human" else N_MOUSE)
        kinds = both.obs(["kind"], [int(made.table.strata.rows_of(c)[0]) for c in range(len(made.table))])["kind"]
        found = dict(zip(kinds, made.table.probability, strict=True))
        assert found["a"] == pytest.approx(share, abs=1e-6)
    half = CellLoader(both, 10, organism="mouse", where="kind == 'a'", table="kind:natural", threads=0)
    assert half.table.n_cells == 4


def test_the_only_organism_changes_nothing(store: Store) -> None:
    every = CellLoader(store, table="cell_type:balanced")
    assert CellLoader(store, table=every.table, organism="human").table is every.table
    assert CellLoader(store, table="cell_type:balanced", organism="human").table.digest == every.table.digest


@pytest.mark.parametrize("form", [{"genes": list(HUMAN.values())}, {"genes": "file"}, {"transforms": "subset"}])
def test_symbols_are_answered_with_their_ids(both: Store, tmp_path: Path, form: dict[str, Any]) -> None:
    file = tmp_path / "symbols.txt"
    file.write_text("\n".join(["nothing", *HUMAN.values()]))
    given = {"genes": file} if form.get("genes") == "file" else form
    given = {"transforms": [GeneSubset(HUMAN.values())]} if "transforms" in form else given
    with pytest.raises(UsageError, match="CD3E is ENSG00000198851") as caught:
        CellLoader(both, **given)
    assert caught.value.code == "no-such-genes"


def test_ids_that_are_none_are_answered_with_near_ones(both: Store) -> None:
    with pytest.raises(UsageError, match="ENSG00000198851") as caught:
        CellLoader(both, genes=["ENSG00000198850"])
    assert caught.value.code == "no-such-genes"
    with pytest.raises(UsageError) as caught:  # of another organism than is asked for
        CellLoader(both, genes=list(MOUSE), organism="human")
    assert caught.value.code == "no-such-genes"


def test_what_is_no_list_of_genes_is_refused(both: Store, tmp_path: Path) -> None:
    first = next(iter(HUMAN))
    (tmp_path / "twice.txt").write_text(f"{first}\nENSG00000177455\n{first}\n")
    (tmp_path / "empty.txt").write_text("# nothing\n\n")
    (tmp_path / "latin.txt").write_bytes("ENSG00000198851\tépsilon".encode("latin-1"))
    for genes, code, kind in (
        ([first, first], "repeated-gene", UsageError),
        (tmp_path / "twice.txt", "repeated-gene", UsageError),
        ([], "empty-gene-list", UsageError),
        (tmp_path / "empty.txt", "empty-gene-list", UsageError),
        (tmp_path / "latin.txt", "bad-gene-list", UsageError),
        ("protein_codin", "unknown-gene-list", UnknownNameError),
        (str(tmp_path / "none.txt"), "unknown-gene-list", UnknownNameError),
        (tmp_path / "none.txt", "not-found", StorageError),
    ):
        with pytest.raises(kind) as caught:
            CellLoader(both, genes=genes)  # type: ignore[arg-type]
        assert caught.value.code == code  # type: ignore[attr-defined]
    with pytest.raises(UsageError) as twice:
        CellLoader(both, genes=[first], transforms=[GeneSubset([first])])
    assert twice.value.code == "bad-transforms"
    with pytest.raises(UsageError) as letters:
        GeneSubset("protein_coding")
    assert letters.value.code == "bad-transforms"


@pytest.mark.parametrize(
    ("organism", "code"), [("hooman", "unknown-organism"), ("zebrafish", "no-such-genes"), ("0", "bad-organism")]
)
def test_organisms_that_are_not_there(both: Store, organism: str, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        CellLoader(both, organism=organism)
    assert caught.value.code == code
