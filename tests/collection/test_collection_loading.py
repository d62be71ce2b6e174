"""Batches of several stores: those of one store of all sources, with every plan and output."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
import pandas as pd
import pytest
from samples import gene_ids
from scipy import sparse

import scformat

pytest.importorskip("torch")
pytest.importorskip("cellxgene_ontology_guide")

from scformat.errors import DamagedDataError
from scformat.loading.sets import Sets
from scformat.loading.window import read_window
from scformat.neighbours import add_neighbours
from scformat.torch import CellDataset, CellLoader, Downsample, Log1p, NormalizeTotal, TokenSpec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from scformat.store import Store

OPTIONS: dict[str, Any] = {"splits": "train=0.7,test=0.3", "split_by": ["donor_id"], "jobs": 1}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return scformat.simulate(tmp_path_factory.mktemp("studies"), cells=500, studies=3, genes=700, seed=5)


@pytest.fixture(scope="module")
def united(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Store:
    place = tmp_path_factory.mktemp("stores")
    scformat.convert(files[:1], place / "a.cells", **OPTIONS)
    scformat.convert(files[1:], place / "b.cells", **OPTIONS)
    return scformat.open([place / "a.cells", place / "b.cells"])


@pytest.fixture(scope="module")
def fresh(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Store:
    return scformat.convert(files, tmp_path_factory.mktemp("fresh") / "all.cells", **OPTIONS)


def loaders(stores: Sequence[Store], **options: Any) -> list[CellLoader]:
    return [CellLoader(store, batch_size=32, seed=4, threads=0, **options) for store in stores]


def dense(batch: Any) -> np.ndarray[Any, Any]:
    x = batch.x
    return x.to_dense().numpy() if x.layout.__str__() == "torch.sparse_csr" else x.numpy()  # type: ignore[no-any-return]


def tokens(batch: Any) -> list[list[tuple[int, float]]]:
    """Genes and values of each cell, by gene: the order within a cell is that of its store."""
    filled = ~batch.padding_mask.numpy()
    both = zip(batch.gene_ids.numpy(), batch.values.numpy(), filled, strict=True)
    return [sorted(zip(genes[some].tolist(), values[some].tolist(), strict=True)) for genes, values, some in both]


@pytest.mark.parametrize("output", ["dense", "csr"])
@pytest.mark.parametrize("transforms", [(), (NormalizeTotal(1e4), Log1p())])
def test_batches_of_every_cell(united: Store, fresh: Store, output: Any, transforms: Any) -> None:
    assert united.packed_genes is not None
    mine, theirs = loaders([united, fresh], output=output, transforms=transforms, split="train", labels=["cell_type"])
    assert len(mine) == len(theirs)
    back = mine.genes.index.get_indexer(theirs.genes.index)
    for one, other in zip(mine, theirs, strict=True):
        for found, wanted in ((one.rows, other.rows), (one.source, other.source), (one.valid, other.valid)):
            assert (found == wanted).all()
        assert (one.total_counts == other.total_counts).all()
        np.testing.assert_array_equal(dense(one)[:, back], dense(other))
        names = [
            np.array([*s.labels["cell_type"].categories, None], object)[b.labels["cell_type"].numpy()].tolist()
            for s, b in ((united, one), (fresh, other))
        ]
        assert names[0] == names[1]
        assert (one.measured().numpy()[:, back] == other.measured().numpy()).all()


@pytest.mark.parametrize("plan", ["independent", "stratified", "epoch"])
def test_chosen_genes_and_tokens(united: Store, fresh: Store, plan: Any) -> None:
    """With genes of one's own, batches of the same cells are the same to the bit."""
    genes = [*fresh.genes.index[::3], "ENSG_none"]
    for output in ("csr", TokenSpec(max_len=64, how="all", pad_id=-1), TokenSpec(max_len=9, how="top")):
        first, second = loaders(
            [united, fresh], plan=plan, genes=genes, output=output, steps_per_epoch=None if plan == "epoch" else 4
        )
        for one, other in zip(first, second, strict=True):
            assert (one.rows == other.rows).all()  # every cell alike, so that strata play no part
            if output == "csr":
                assert (dense(one) == dense(other)).all()
            else:
                assert tokens(one) == tokens(other)


def test_what_is_drawn(united: Store, fresh: Store) -> None:
    """The shares are those of one store, for labels, terms, organisms and sets."""
    for text in ("cell_type:ontology_nodes", "cell_type:balanced,tissue:scaled(20)"):
        frames = []
        for store in (united, fresh):
            table = CellLoader(store, table=text, split="train", threads=0).table
            frames.append((len(table), table.n_cells, np.sort(table.probability)))
        assert frames[0][:2] == frames[1][:2]
        np.testing.assert_allclose(frames[0][2], frames[1][2], atol=1e-8)
    loader = CellLoader(
        united, batch_size=32, sets=Sets(by=["cell_type", "donor_id"], size=8), threads=0, steps_per_epoch=3
    )
    codes = {name: united.labels[name].codes() for name in ("cell_type", "donor_id")}
    for batch in loader:
        for name, of_cells in codes.items():
            assert (np.ptp(of_cells[batch.rows.numpy()].reshape(-1, 8), axis=1) == 0).all(), name


def test_terms_of_all_stores(united: Store, fresh: Store) -> None:
    mine, theirs = united.labels["cell_type"].ontology, fresh.labels["cell_type"].ontology
    assert mine is not None and theirs is not None
    pd.testing.assert_frame_equal(mine.terms, theirs.terms)
    assert mine.releases == theirs.releases
    assert (mine.graph.edges == theirs.graph.edges).all() and (mine.graph.ancestors == theirs.graph.ancestors).all()
    term = "lymphocyte"
    assert mine.descendants(term) == theirs.descendants(term)
    asked = f"cell_type under '{term}'"
    assert united.select(asked).tolist() == fresh.select(asked).tolist() != []
    first, second = loaders([united, fresh], targets=["cell_type"])
    for one, other in zip(first, second, strict=True):
        assert (one.targets["cell_type"] == other.targets["cell_type"]).all()


def test_resuming_ranks_and_processes(united: Store) -> None:
    def make(**more: Any) -> CellLoader:
        options = {"table": "cell_type:balanced", "transforms": [Downsample(0.5)], "steps_per_epoch": 6, "seed": 9}
        return CellLoader(united, batch_size=16, threads=1, **options, **more)

    whole = list(make())
    loader = make()
    for batch, _ in zip(loader, range(3), strict=False):
        assert batch.rows is not None
    state = json.loads(json.dumps(loader.state_dict()))
    other = CellLoader(pickle.loads(pickle.dumps(united)), batch_size=16, table="cell_type:balanced", threads=0,
                       transforms=[Downsample(0.5)], steps_per_epoch=6)  # fmt: skip
    other.load_state_dict(state)
    for one, two in zip(other, whole[loader.position // 16 :], strict=True):
        assert (one.rows == two.rows).all() and (one.x == two.x).all()
    ranks = [make(rank=r, world_size=2) for r in range(2)]
    assert not (next(iter(ranks[0])).rows == next(iter(ranks[1])).rows).all()


def test_a_dataset(united: Store) -> None:
    rows = [united.n_cells - 1, 0, 3]
    batch = CellDataset(united, output="csr").__getitems__(rows)
    assert (dense(batch) == united.read(rows).dense()).all()


def test_stores_of_the_same_genes_cost_nothing(files: list[Path], tmp_path: Path) -> None:
    genes = tmp_path / "genes.txt"
    genes.write_text("\n".join(scformat.convert(files[0], tmp_path / "one.cells", jobs=1).genes.index[:50]) + "\n")
    for k, file in enumerate(files[:2]):
        scformat.convert(file, tmp_path / f"{k}.cells", genes=genes, jobs=1, ontology=False)
    both = scformat.open([tmp_path / "0.cells", tmp_path / "1.cells"])
    assert both.packed_genes is None and both.n_genes == 50
    assert CellLoader(both, threads=0)._form.assembly.column_of_gene is None
    rows = np.array([0, both.n_cells - 1])
    batch = CellDataset(both).__getitems__(rows.tolist())
    assert (batch.x.numpy() == both.read(rows).dense()).all()


def test_neighbours_are_of_the_same_store(files: list[Path], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sizes = []
    for k, file in enumerate(files[:2]):
        store = scformat.convert(file, tmp_path / f"{k}.cells", jobs=1, ontology=False)
        sizes.append(store.n_cells)
        near = sparse.random(store.n_cells, store.n_cells, 0.03, format="csr", random_state=k)
        add_neighbours(store, "knn", near, k=3 + k, weight="connectivity")
    both = scformat.open([tmp_path / "0.cells", tmp_path / "1.cells"])
    table = both.neighbours["knn"]
    assert table.k == 4 and table.weight == "connectivity"
    rows = rng.permutation(both.n_cells)
    found, weights = table.rows(rows), table.weights(rows)
    first = both.stores[0].neighbours["knn"]  # type: ignore[attr-defined]
    second = both.stores[1].neighbours["knn"]  # type: ignore[attr-defined]
    inside = rows < sizes[0]
    assert (found[inside, :3] == first.rows(rows[inside])).all() and (found[inside, 3] == -1).all()
    own = second.rows(rows[~inside] - sizes[0])
    assert (found[~inside] == np.where(own < 0, -1, own + sizes[0])).all()
    assert (weights[~inside] == second.weights(rows[~inside] - sizes[0])).all()
    loader = CellLoader(both, batch_size=16, neighbours=scformat.torch.Neighbours("knn", metacells=True), threads=0)
    batch = next(iter(loader))
    near = table.rows(batch.rows)
    sums = both.read(batch.rows).dense()
    for slot in range(4):
        there = near[:, slot] >= 0
        sums[there] += both.read(near[there, slot]).dense()
    assert (batch.x.numpy() == sums).all()


def test_damage_names_the_cells_of_the_whole(files: list[Path], tmp_path: Path) -> None:
    for k, file in enumerate(files[:2]):
        scformat.convert(file, tmp_path / f"{k}.cells", jobs=1, ontology=False)
    both = scformat.open([tmp_path / "0.cells", tmp_path / "1.cells"])
    for chunk in (tmp_path / "1.cells").glob("parts/1/counts/entries/c/**/*"):
        if chunk.is_file():
            data = bytearray(chunk.read_bytes())
            data[50:90] = bytes(40)
            chunk.write_bytes(data)
    rows = np.arange(both.n_cells)
    for read in (lambda: both.read(rows), lambda: read_window(both, rows)):
        with pytest.raises(DamagedDataError) as damaged:
            read()
        assert damaged.value.cells and min(damaged.value.cells) >= both.stores[0].n_cells  # type: ignore[attr-defined]
    loader = CellLoader(both, batch_size=16, threads=0, on_damage="skip")
    with pytest.warns(UserWarning, match="skip"):
        batches = list(loader)
    lost = set(loader.damaged)
    assert lost and min(lost) >= both.stores[0].n_cells  # type: ignore[attr-defined]
    assert all(batch.valid[batch.rows < both.stores[0].n_cells].all() for batch in batches[:-1])  # type: ignore[attr-defined]


def test_cells_of_one_count_among_very_many_genes(tmp_path: Path) -> None:
    """Numbers beyond 16 bits, which the first gene of a packed row has by itself here."""
    n, m = 20, 40_000
    for k in range(2):
        values = sparse.csr_matrix(
            (np.arange(1, n + 1), (np.arange(n), 30_000 + np.arange(n) * 99)), (n, m), np.float32
        )
        genes = gene_ids(m, first=1 + k * m)
        data = anndata.AnnData(values, pd.DataFrame(index=[f"c{i}" for i in range(n)]), pd.DataFrame(index=genes))
        (tmp_path / "genes.txt").write_text("\n".join(genes) + "\n")  # keeps their order
        scformat.convert(data, tmp_path / f"{k}.cells", genes=tmp_path / "genes.txt", ontology=False, jobs=1)
    both = scformat.open([tmp_path / "0.cells", tmp_path / "1.cells"])
    assert both.n_genes == 2 * m
    rows = np.arange(n, 2 * n)
    batch = CellDataset(both, output="csr").__getitems__(rows.tolist())
    assert (batch.x.values().numpy() == np.arange(1, n + 1)).all()
    ids = both.genes.index[batch.x.col_indices().numpy()]
    assert ids.tolist() == [f"ENSG9{30_001 + m + i * 99:010d}" for i in range(n)]
    assert (read_window(both, rows).n_values == 1).all()
