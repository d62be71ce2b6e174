"""Batches carry the neighbours of their cells, or are sums of cells and neighbours."""

from __future__ import annotations

import json
import pickle
import shutil
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import sparse

torch = pytest.importorskip("torch", reason="torch is an extra")

import scformat  # noqa: E402
from scformat.errors import InvalidDataError, UnknownNameError, UsageError  # noqa: E402
from scformat.loading.neighbours import _streams  # noqa: E402
from scformat.neighbours import add_neighbours, neighbours_from_sources  # noqa: E402
from scformat.sampling.draws import CONTROL_POSITIONS  # noqa: E402
from scformat.torch import (  # noqa: E402
    CellLoader,
    Downsample,
    Log1p,
    Neighbours,
    NormalizeTotal,
    QuantileBins,
    Sets,
    TokenSpec,
)
from scformat.torch.device import Delivery  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from scformat.store import Store
    from scformat.torch import Batch

K = 6
PLANS = ("independent", "stratified", "epoch")


@pytest.fixture(scope="session")
def near_path(ordered_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with neighbours anywhere: some cells have none, some fewer than K."""
    target = tmp_path_factory.mktemp("stores") / "near.cells"
    shutil.copytree(ordered_path, target)
    store = scformat.open(target)
    rng = np.random.default_rng(0)
    n = store.n_cells
    rows = np.repeat(np.arange(n), rng.integers(0, 9, n))
    made = sparse.csr_matrix((rng.random(len(rows)) + 0.5, (rows, rng.integers(0, n, len(rows)))), shape=(n, n))
    add_neighbours(store, "knn", made, k=K, weight="distance")
    store = scformat.open(target)
    add_neighbours(store, "bare", (store.neighbours["knn"].rows(), None))
    return target


@pytest.fixture(scope="session")
def near(near_path: Path) -> Store:
    return scformat.open(near_path)


def loader(store: Store, plan: str = "independent", **options: Any) -> CellLoader:
    table = None if plan == "epoch" else "cell_type:balanced"
    made: dict[str, Any] = {"batch_size": 16, "plan": plan, "table": table, "seed": 5, "block": 8, "window": 512}
    return CellLoader(store, **{**made, "neighbours": "knn", "steps_per_epoch": 6, **options})


def around(store: Store, batch: Batch, k: int = K) -> NDArray[np.int64]:
    return store.neighbours["knn"].rows(batch.rows.numpy())[:, :k]


def dense(store: Store, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Counts of rows, zeros for -1."""
    out = np.zeros((len(rows), store.n_genes), np.float32)
    out[rows >= 0] = store.read(rows[rows >= 0]).dense()
    return out


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("threads", [0, 2])
def test_dense_neighbours(near: Store, plan: str, threads: int) -> None:
    some = False
    for batch in loader(near, plan, threads=threads, labels=["cell_type"], targets=["cell_type"]):
        rows = around(near, batch)
        found = batch.neighbours
        assert found is not None
        assert len(found) == len(batch)
        assert found.rows.tolist() == rows.tolist()
        assert found.valid.tolist() == (rows >= 0).tolist()
        assert np.array_equal(found.weights.numpy(), near.neighbours["knn"].weights(batch.rows.numpy()))
        flat, held = rows.reshape(-1), rows.reshape(-1) >= 0
        assert found.x.shape == (16, K, near.n_genes)
        assert found.x.dtype == torch.float32
        assert np.array_equal(found.x.numpy().reshape(len(flat), -1), dense(near, flat))
        assert np.array_equal(batch.x.numpy(), near.read(batch.rows.numpy()).dense())
        cells = near.obs(["total_counts"], flat[held])
        assert found.total_counts.reshape(-1)[held].tolist() == cells["total_counts"].tolist()
        assert found.source.reshape(-1)[held].tolist() == near.field("source", flat[held]).tolist()
        assert (
            found.labels["cell_type"].reshape(-1)[held].tolist() == near.labels["cell_type"].codes(flat[held]).tolist()
        )
        for tensor, none in ((found.total_counts, 0), (found.source, -1), (found.labels["cell_type"], -1)):
            assert (tensor.reshape(-1)[~held] == none).all()
        assert found.targets["cell_type"].shape[:2] == (16, K)
        assert not found.targets["cell_type"].reshape(len(flat), -1)[~held].any()
        some |= bool((~held).any() and (rows >= 0).all(axis=1).any())
    assert some


def test_sparse_neighbours(near: Store) -> None:
    for batch in loader(near, output="csr"):
        flat = around(near, batch).reshape(-1)
        x = batch.neighbours.x
        assert x.layout is torch.sparse_csr
        assert x.shape == (len(flat), near.n_genes)
        assert np.array_equal(x.to_dense().numpy(), dense(near, flat))
        lengths = np.diff(x.crow_indices().numpy())
        assert (lengths[flat < 0] == 0).all()


@pytest.mark.parametrize("spec", [TokenSpec(max_len=30), TokenSpec(max_len=40, how="random", add_zero_genes=5)])
def test_neighbours_as_tokens(near: Store, spec: TokenSpec) -> None:
    plain = {}
    for batch in CellLoader(near, 64, output=TokenSpec(max_len=30), seed=3):
        for i, row in enumerate(batch.rows.tolist()):
            plain[row] = (batch.gene_ids[i].tolist(), batch.values[i].tolist(), batch.padding_mask[i].tolist())
    for batch in loader(near, output=spec):
        rows, found = around(near, batch), batch.neighbours
        assert found.x is None
        assert found.gene_ids.shape == (16, K, spec.max_len)
        for i, slot in np.ndindex(*rows.shape):
            own = (
                found.gene_ids[i, slot].tolist(),
                found.values[i, slot].tolist(),
                found.padding_mask[i, slot].tolist(),
            )
            if rows[i, slot] < 0:
                assert own == ([near.n_genes] * spec.max_len, [0.0] * spec.max_len, [True] * spec.max_len)
            elif spec.how == "top":
                assert own == plain[int(rows[i, slot])]


def test_the_nearest_of_them(near: Store) -> None:
    for batch in loader(near, neighbours=Neighbours("knn", 2)):
        assert batch.neighbours.rows.tolist() == around(near, batch, 2).tolist()
        assert batch.neighbours.x.shape == (16, 2, near.n_genes)


def test_without_weights(near: Store) -> None:
    for batch in loader(near, neighbours="bare"):
        assert batch.neighbours.weights is None
        assert batch.neighbours.rows.tolist() == around(near, batch).tolist()


def test_without_counts(near: Store) -> None:
    whole = list(loader(near, labels=["cell_type", "donor_id"]))
    made = loader(near, labels=["cell_type", "donor_id"], neighbours=Neighbours("knn", counts=False))
    assert made._most > loader(near)._most
    for one, other in zip(made, whole, strict=True):
        assert one.neighbours.x is None
        assert torch.equal(one.x, other.x)
        for name in ("rows", "weights", "valid", "source", "total_counts"):
            assert torch.equal(getattr(one.neighbours, name), getattr(other.neighbours, name))
        for name in ("cell_type", "donor_id"):
            assert torch.equal(one.neighbours.labels[name], other.neighbours.labels[name])


@pytest.mark.parametrize(
    "transforms",
    [[], [NormalizeTotal(1e4), Log1p()], [NormalizeTotal(100, by="selected")], [Log1p(), QuantileBins(7)]],
)
@pytest.mark.parametrize("output", ["dense", "csr"])
def test_neighbours_are_made_like_cells(near: Store, transforms: list[Any], output: str) -> None:
    genes = near.genes.index[[5, 900, 3, *range(100, 160)]].tolist()
    options = {"transforms": transforms, "genes": genes, "output": output}
    plain = {}
    for batch in CellLoader(near, 64, **options):
        x = batch.x.to_dense() if output == "csr" else batch.x
        plain |= dict(zip(batch.rows.tolist(), x, strict=True))
    for batch in loader(near, **options):
        x = batch.neighbours.x
        x = x.to_dense().view(16, K, -1) if output == "csr" else x
        for (i, slot), row in np.ndenumerate(around(near, batch)):
            assert torch.equal(x[i, slot], plain[int(row)] if row >= 0 else torch.zeros(len(genes)))


def test_what_is_random_differs_between_neighbours_and_repeats(near: Store) -> None:
    options = {"transforms": [Downsample(share=0.5)], "steps_per_epoch": 20}
    once, again = (list(loader(near, **options)) for _ in range(2))
    seen: dict[int, set[bytes]] = {}
    for one, other in zip(once, again, strict=True):
        assert torch.equal(one.neighbours.x, other.neighbours.x)
        rows = one.neighbours.rows
        for i, slot in np.ndindex(*rows.shape):
            if rows[i, slot] >= 0:
                seen.setdefault(int(rows[i, slot]), set()).add(one.neighbours.x[i, slot].numpy().tobytes())
        for i, row in enumerate(one.rows.tolist()):
            seen.setdefault(row, set()).add(one.x[i].numpy().tobytes())
    drawn = [row for batch in once for row in (*batch.rows.tolist(), *batch.neighbours.rows.reshape(-1).tolist())]
    distinct = sum(map(len, seen.values()))
    assert distinct > 0.95 * sum(row >= 0 for row in drawn) > len(seen)


def test_no_two_streams_are_the_same() -> None:
    positions = np.array([0, 1, 2, 1023, 1024, 2**40, 2**52 - 1], np.uint64)
    both = np.concatenate([positions, positions + np.uint64(CONTROL_POSITIONS)])
    streams = _streams(both, 1024)
    assert len(np.unique(np.concatenate([streams, both]))) == len(both) * 1025


# Metacells


def metacell(store: Store, row: int, k: int) -> tuple[NDArray[np.int64], int]:
    rows = [row, *(r for r in store.neighbours["knn"].rows([row])[0, :k].tolist() if r >= 0)]
    return store.read(rows).dense(np.int64).sum(axis=0), int(store.obs(["total_counts"], rows)["total_counts"].sum())


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("k", [None, 3])
def test_metacells_are_sums(near: Store, plan: str, k: int | None) -> None:
    for batch in loader(near, plan, neighbours=Neighbours("knn", k, metacells=True), labels=["cell_type"]):
        for i, row in enumerate(batch.rows.tolist()):
            counts, total = metacell(near, row, k or K)
            assert np.array_equal(batch.x[i].numpy(), counts.astype(np.float32))
            assert int(batch.total_counts[i]) == total
        assert batch.labels["cell_type"].tolist() == near.labels["cell_type"].codes(batch.rows.numpy()).tolist()
        assert batch.neighbours.x is None
        assert batch.neighbours.rows.tolist() == around(near, batch, k or K).tolist()


def test_transforms_are_done_to_the_sum(near: Store) -> None:
    genes = near.genes.index[[5, 900, 3, *range(100, 160)]].tolist()
    places = near.genes.index.get_indexer(genes)
    near_and_far = Neighbours("knn", metacells=True)
    transforms = [NormalizeTotal(1e4), Log1p()]
    for output in ("dense", "csr"):
        for batch in loader(near, neighbours=near_and_far, transforms=transforms, genes=genes, output=output):
            x = batch.x.to_dense() if output == "csr" else batch.x
            for i, row in enumerate(batch.rows.tolist()):
                counts, total = metacell(near, row, K)
                expected = np.log1p(counts[places] * (1e4 / max(total, 1)))
                np.testing.assert_allclose(x[i].numpy(), expected, rtol=2e-6)
    for batch in loader(near, neighbours=near_and_far, transforms=[Downsample(share=0.25)]):
        for i, row in enumerate(batch.rows.tolist()):
            counts, total = metacell(near, row, K)
            kept = batch.x[i].numpy()
            assert (kept <= counts).all()
            assert abs(kept.sum() - 0.25 * counts.sum()) < 6 * np.sqrt(0.1875 * total) + 1
    for batch in loader(near, neighbours=near_and_far, output=TokenSpec(max_len=25)):
        for i, row in enumerate(batch.rows.tolist()):
            counts, _ = metacell(near, row, K)
            order = np.lexsort((np.arange(len(counts)), -counts))[:25]
            assert batch.gene_ids[i].tolist() == [g if counts[g] else near.n_genes for g in order.tolist()]


# Streams, splits, sets, devices


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("how", ["knn", Neighbours("knn", 3, metacells=True)], ids=["carried", "metacells"])
def test_the_stream_is_the_same_and_resumes(near: Store, plan: str, how: Any) -> None:
    without = loader(near, plan, neighbours=None, steps_per_epoch=20)
    whole = list(loader(near, plan, neighbours=how, steps_per_epoch=20))
    assert [b.rows.tolist() for b in whole] == [b.rows.tolist() for b in without]
    first = loader(near, plan, neighbours=how, steps_per_epoch=20)
    stream = iter(first)
    for _ in range(7):
        next(stream)
    stream.close()
    state = json.loads(json.dumps(first.state_dict()))
    second = loader(near, plan, neighbours=how, steps_per_epoch=20, seed=99, memory="1MiB", threads=1)
    second.load_state_dict(state)
    rest = list(second)
    assert len(rest) == 13
    for one, other in zip(rest, whole[7:], strict=True):
        assert torch.equal(one.x, other.x)
        assert torch.equal(one.neighbours.rows, other.neighbours.rows)
        assert (one.neighbours.x is None) == (other.neighbours.x is None) == (how != "knn")
        assert one.neighbours.x is None or torch.equal(one.neighbours.x, other.neighbours.x)
    plain = loader(near, plan, neighbours=None, steps_per_epoch=20)
    plain.load_state_dict(state)
    assert [b.rows.tolist() for b in plain] == [b.rows.tolist() for b in rest]


def test_ranks_and_memory_do_not_change_neighbours(near: Store) -> None:
    by_row: dict[int, bytes] = {}
    for rank in range(2):
        for batch in loader(near, rank=rank, world_size=2, memory="1MiB"):
            for i, row in enumerate(batch.rows.tolist()):
                own = batch.neighbours.x[i].numpy().tobytes()
                assert by_row.setdefault(row, own) == own
    assert len(by_row) > 100


def test_a_split_does_not_see_another(near: Store) -> None:
    split = near.obs(["split"])["split"].to_numpy()
    table = near.neighbours["knn"]
    replaced = 0
    for how in (Neighbours("knn", 3), Neighbours("knn", 3, metacells=True)):
        for batch in loader(near, split="test", neighbours=how):
            for i, row in enumerate(batch.rows.tolist()):
                own = [
                    (r, w)
                    for r, w in zip(table.rows([row])[0].tolist(), table.weights([row])[0].tolist(), strict=True)
                    if r >= 0 and split[r] == "test"
                ]
                filled = [*own[:3], *[(-1, 0.0)] * (3 - len(own))]
                assert batch.neighbours.rows[i].tolist() == [r for r, _ in filled]
                assert batch.neighbours.weights[i].tolist() == [w for _, w in filled]
                replaced += batch.neighbours.rows[i].tolist() != table.rows([row])[0, :3].tolist()
                if how.metacells:
                    members = [row, *(r for r, _ in own[:3])]
                    assert np.array_equal(batch.x[i].numpy(), near.read(members).dense().sum(axis=0))
    assert replaced > 50
    for batch in loader(near, split="test", neighbours=Neighbours("knn", across_splits=True)):
        assert batch.neighbours.rows.tolist() == around(near, batch).tolist()


def test_neighbours_of_sets_and_their_controls(near: Store) -> None:
    donor = near.labels["donor_id"].categories[0]
    sets = Sets(size=4, by=["cell_type"], control=f"donor_id == '{donor}'", match=[])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of combinations without controls
        made = loader(near, "independent", table=None, sets=sets)
    for batch in made:
        assert batch.neighbours.rows.tolist() == around(near, batch).tolist()
        assert batch.control.neighbours.rows.tolist() == around(near, batch.control).tolist()
        flat = batch.control.neighbours.rows.reshape(-1).numpy()
        assert np.array_equal(batch.control.neighbours.x.reshape(len(flat), -1).numpy(), dense(near, flat))


@pytest.mark.parametrize(
    "how", ["knn", Neighbours("knn", metacells=True), Neighbours("knn", counts=False)], ids=["x", "sum", "bare"]
)
def test_what_travels_as_csr_is_the_same(near: Store, how: Any) -> None:
    options = {"transforms": [NormalizeTotal(1e4), Log1p()], "neighbours": how}
    made = loader(near, **options)
    made._delivery = Delivery.as_csr(made._form, device=torch.device("cpu"))
    for one, other in zip(made, loader(near, **options), strict=True):
        torch.testing.assert_close(one.x, other.x)
        assert torch.equal(one.neighbours.rows, other.neighbours.rows)
        assert torch.equal(one.neighbours.weights, other.neighbours.weights)
        if how == "knn":
            torch.testing.assert_close(one.neighbours.x, other.neighbours.x)
        else:
            assert one.neighbours.x is None


def test_batches_move_and_are_pickled(near: Store) -> None:
    batch = next(iter(loader(near, labels=["cell_type"], output="csr")))
    again = pickle.loads(pickle.dumps(batch))
    assert torch.equal(again.neighbours.rows, batch.neighbours.rows)
    assert torch.equal(again.neighbours.x.to_dense(), batch.neighbours.x.to_dense())
    moved = next(iter(loader(near, labels=["cell_type"]))).to("meta").neighbours
    tensors = [moved.rows, moved.valid, moved.weights, moved.x, moved.source, moved.labels["cell_type"]]
    assert {tensor.device.type for tensor in tensors} == {"meta"}


def test_batches_own_their_neighbours(near: Store) -> None:
    first, second = list(loader(near, steps_per_epoch=2))
    rows, x = second.neighbours.rows.clone(), second.neighbours.x.clone()
    first.neighbours.rows.zero_()
    first.neighbours.x.zero_()
    first.neighbours.weights.zero_()
    assert torch.equal(second.neighbours.rows, rows)
    assert torch.equal(second.neighbours.x, x)
    assert second.neighbours.weights.any()


def test_explaining_counts_neighbours(near: Store) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of chunks a cell
        with_them, without = (loader(near, neighbours=n).explain() for n in ("knn", None))
    assert with_them["draws"] == without["draws"]
    assert with_them["cells"] > 2 * without["cells"]
    assert with_them["held_bytes"] > 2 * without["held_bytes"]


@pytest.mark.parametrize(
    ("given", "code", "text"),
    [
        ("kmn", "unknown-neighbour-table", "'knn'"),
        (Neighbours("knnn"), "unknown-neighbour-table", "'knn'"),
        (Neighbours("knn", K + 1), "bad-neighbours", f"at most {K} of 'knn'"),
        (3, "bad-neighbours", "a name"),
        (["knn"], "bad-neighbours", "a name"),
    ],
)
def test_neighbours_that_are_not_there(near: Store, given: Any, code: str, text: str) -> None:
    with pytest.raises((UsageError, UnknownNameError), match=code) as caught:
        loader(near, neighbours=given)
    assert text in str(caught.value)


@pytest.mark.parametrize("options", [{"k": 0}, {"k": -1}, {"k": 2.0}, {"k": True}, {"name": 7}])
def test_neighbours_that_are_none(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="bad-neighbours"):
        Neighbours(**{"name": "knn", **options})


def test_a_store_without_any(store: Store) -> None:
    with pytest.raises(UnknownNameError, match="there is no neighbour table at all"):
        loader(store)
    assert next(iter(loader(store, neighbours=None))).neighbours is None


def test_damage_meets_the_batches_that_it_concerns(near_path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "b.cells"
    shutil.copytree(near_path, copy)
    array = scformat.open(copy).neighbours["knn"].entry.rows
    file = copy / array.path / "c" / "0" / "0"
    data = bytearray(file.read_bytes())
    data[30] ^= 1  # the first chunk of three
    file.write_bytes(bytes(data))
    got = 0
    with pytest.raises(InvalidDataError, match="damaged-chunk"):
        for batch in CellLoader(scformat.open(copy), 1, neighbours="knn", threads=0, seed=2, window=512, block=8):
            assert int(batch.rows.min()) >= array.chunk[1]
            got += 1
    whole = CellLoader(scformat.open(near_path), 1, seed=2, window=512, block=8)
    assert got == next(i for i, batch in enumerate(whole) if int(batch.rows) < array.chunk[1])


def test_a_real_file_by_hand(shared_data: Path, tmp_path: Path) -> None:
    import anndata

    file = shared_data / "anndataR_example.h5ad"
    whole = anndata.read_h5ad(file)
    store = scformat.convert(file, tmp_path / "r.cells", order="shuffled", seed=4, jobs=1)
    add_neighbours(store, "knn", neighbours_from_sources(store, file, k=8))
    store = scformat.open(store.path)
    gene = store.sources_view.genes(0).gene
    counts = np.zeros((whole.n_obs, store.n_genes))
    np.add.at(counts.T, gene, sparse.csr_matrix(whole.layers["counts"]).toarray().T)
    distances = whole.obsp["distances"].toarray()
    barcodes = store.barcodes().to_numpy()
    name_of = {name: i for i, name in enumerate(whole.obs_names)}
    for batch in CellLoader(store, 10, neighbours="knn"):
        sums = next(
            b
            for b in CellLoader(store, 10, neighbours=Neighbours("knn", metacells=True))
            if torch.equal(b.rows, batch.rows)
        )
        for i, row in enumerate(batch.rows.tolist()):
            own = name_of[barcodes[row]]
            ties = np.flatnonzero(distances[own])
            nearest = ties[np.argsort(distances[own, ties], kind="stable")][:8]
            assert [name_of[barcodes[r]] for r in batch.neighbours.rows[i].tolist()] == nearest.tolist()
            np.testing.assert_allclose(batch.neighbours.weights[i].numpy(), distances[own, nearest], rtol=1e-6)
            assert np.array_equal(batch.neighbours.x[i].numpy(), counts[nearest])
            assert np.array_equal(sums.x[i].numpy(), counts[[own, *nearest]].sum(axis=0))
