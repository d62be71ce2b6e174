"""Transforms against plain numpy; tokens of empty cells and of short ones; what is random depends on the draw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from samples import counts_matrix, gene_ids, sample

import scformat
from scformat.errors import InvalidDataError, UsageError
from scformat.loading.batches import make_batch
from scformat.loading.form import choose_form
from scformat.loading.transforms import Downsample, GeneSubset, Log1p, NormalizeTotal, QuantileBins, TokenSpec
from scformat.loading.window import read_window
from scformat.random import stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scformat.loading.batches import Arrays
    from scformat.store import Store

N, M = 120, 90


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    values = counts_matrix(N, M, seed=5, mean=2.0)
    values[10] = 0
    values[11] = 0
    values[11, 4] = 3
    other = counts_matrix(20, 50, seed=6, mean=2.0)
    target = tmp_path_factory.mktemp("stores") / "a.cells"
    sources = [sample(values, genes=gene_ids(M)), sample(other, genes=gene_ids(50), prefix="b")]
    return scformat.convert(sources, target, jobs=1)


def batch(store: Store, rows: Any = None, *, positions: Any = None, seed: int = 3, **form: Any) -> Arrays:
    wanted = np.arange(store.n_cells) if rows is None else np.asarray(rows)
    at = wanted if positions is None else np.asarray(positions)
    made = choose_form(store, seed=seed, **form)
    return make_batch(read_window(store, wanted), wanted, at.astype(np.uint64), made.assembly)


def dense(store: Store, rows: Any = None, **form: Any) -> NDArray[np.float32]:
    found = batch(store, rows, **form).dense
    assert found is not None
    return found


def plain(store: Store) -> NDArray[np.float64]:
    return store.read(np.arange(store.n_cells)).dense(np.float64)


def test_normalising_by_the_stored_total_and_by_the_chosen_genes(store: Store) -> None:
    counts = plain(store)
    total = store.obs(["total_counts"])["total_counts"].to_numpy()[:, None]
    genes = list(store.genes.index[20:60])
    some = counts[:, 20:60]
    safe = np.maximum(total, 1)
    assert np.allclose(dense(store, transforms=[NormalizeTotal(1e4)]), counts / safe * 1e4, rtol=1e-6)
    stored = dense(store, transforms=[NormalizeTotal(100, by="stored")], genes=genes)
    assert np.allclose(stored, some / safe * 100, rtol=1e-6)
    selected = dense(store, transforms=[GeneSubset(genes), NormalizeTotal(100, by="selected"), Log1p()])
    own = np.maximum(some.sum(axis=1, keepdims=True), 1)
    assert np.allclose(selected, np.log1p(some / own * 100), rtol=1e-5)
    assert not selected[10].any()


def test_bins_are_shares_of_the_values_below(store: Store) -> None:
    got = dense(store, transforms=[QuantileBins(7)])
    for cell, bins in zip(plain(store), got, strict=True):
        values = cell[cell > 0]
        below = (values[:, None] > values[None, :]).sum(axis=1)
        assert bins[cell > 0].tolist() == (1 + below * 7 // max(len(values), 1)).tolist()
        assert not bins[cell == 0].any()


def test_thinning_keeps_molecules_by_their_words(store: Store) -> None:
    got = dense(store, transforms=[Downsample(share=0.3)], positions=np.arange(store.n_cells) + 1000)
    counts = plain(store).astype(int)
    limit = int(0.3 * 2**32)
    for row in (0, 5, 11, 130):
        words = stream(3, 11, row + 1000, 0, int(counts[row].sum()))
        gene = np.repeat(np.arange(store.n_genes), counts[row])
        assert got[row].tolist() == np.bincount(gene[words < limit], minlength=store.n_genes).tolist()
    assert abs(got.sum() / counts.sum() - 0.3) < 5 * np.sqrt(0.21 / counts.sum())


def test_thinning_depends_on_seed_and_draw_alone(store: Store) -> None:
    how = [Downsample(total=30)]
    rows = [3, 4, 5]
    one = dense(store, rows, positions=[70, 80, 90], transforms=how)
    assert np.array_equal(one[::-1], dense(store, rows[::-1], positions=[90, 80, 70], transforms=how))
    assert not np.array_equal(one, dense(store, rows, positions=[71, 81, 91], transforms=how))
    assert not np.array_equal(one, dense(store, rows, positions=[70, 80, 90], transforms=how, seed=4))
    genes = list(store.genes.index[[40, 2]])
    chosen = dense(store, rows, positions=[70, 80, 90], transforms=how, genes=genes)
    assert np.array_equal(chosen, one[:, [40, 2]])
    everything = dense(store, rows, transforms=[Downsample(share=1.0)])
    assert np.array_equal(everything, plain(store)[rows])
    assert not dense(store, rows, transforms=[Downsample(share=0.0)]).any()


def test_csr_is_dense_without_its_zeros(store: Store) -> None:
    for form in (
        {"transforms": [Downsample(share=0.4), Log1p()]},
        {"genes": list(store.genes.index[[50, 3, 77, 20]]), "transforms": [NormalizeTotal(by="selected")]},
    ):
        expected = dense(store, **form)
        found = batch(store, output="csr", **form).csr
        assert found is not None
        offsets, columns, values = found
        got = np.zeros_like(expected)
        got[np.repeat(np.arange(len(got)), np.diff(offsets)), columns] = values
        assert np.array_equal(got, expected)
        assert (values > 0).all()
        assert len(values) == offsets[-1] == (expected > 0).sum()


@pytest.mark.parametrize(
    "transforms",
    [[Log1p(), Downsample(share=0.5)], [Downsample(share=0.5), NormalizeTotal()], ["log1p"], [np.log1p]],
)
def test_orders_that_mean_nothing_are_refused(store: Store, transforms: list[Any]) -> None:
    with pytest.raises(UsageError) as caught:
        choose_form(store, transforms=transforms)
    assert caught.value.code == "bad-transforms"


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (NormalizeTotal, {"target": 0}),
        (NormalizeTotal, {"by": "all"}),
        (QuantileBins, {"bins": 0}),
        (Downsample, {}),
        (Downsample, {"share": 1.5}),
        (Downsample, {"share": 0.5, "total": 3}),
        (Downsample, {"total": float("nan")}),
        (TokenSpec, {"max_len": 0}),
        (TokenSpec, {"max_len": 5, "how": "first"}),
        (TokenSpec, {"max_len": 5, "add_zero_genes": -1}),
    ],
)
def test_arguments_out_of_range_are_refused(kind: Any, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        kind(**options)
    assert caught.value.code == "bad-transforms"


def tokens(store: Store, rows: Any = None, **form: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    found = batch(store, rows, **form).tokens
    assert found is not None
    return found


@pytest.mark.parametrize("how", ["top", "random", "all"])
@pytest.mark.parametrize("max_len", [M, M + 40])
def test_a_sequence_longer_than_a_cell_is_padded(store: Store, how: Any, max_len: int) -> None:
    genes, values, padding = tokens(store, output=TokenSpec(max_len=max_len, how=how))
    counts = plain(store)
    assert genes.shape == (store.n_cells, max_len)
    for row, cell in enumerate(counts):
        n = int((cell > 0).sum())
        assert padding[row].tolist() == [False] * n + [True] * (max_len - n)
        assert sorted(genes[row, :n].tolist()) == np.flatnonzero(cell).tolist()
        assert values[row, :n].tolist() == cell[genes[row, :n]].tolist()
        assert (genes[row, n:] == store.n_genes).all()
        assert not values[row, n:].any()
    assert padding[10].all()


def test_random_tokens_are_a_fair_choice_that_repeats(store: Store) -> None:
    row = int(np.argmax((plain(store) > 0).sum(axis=1)))
    present = np.flatnonzero(plain(store)[row])
    rows = np.full(4000, row)
    form: dict[str, Any] = {"output": TokenSpec(max_len=10, how="random"), "positions": np.arange(4000)}
    genes, values, padding = tokens(store, rows, **form)
    assert not padding.any()
    assert (np.diff(genes, axis=1) > 0).all()
    assert np.array_equal(values, plain(store)[row][genes])
    times = np.bincount(genes.ravel(), minlength=store.n_genes)
    assert times.sum() == times[present].sum()
    share = 10 / len(present)
    assert (np.abs(times[present] / 4000 - share) < 5 * np.sqrt(share * (1 - share) / 4000)).all()
    again = tokens(store, rows[::-1], output=form["output"], positions=np.arange(4000)[::-1])
    assert np.array_equal(again[0][::-1], genes)


def test_zero_genes_are_measured_ones_without_a_value(store: Store) -> None:
    genes, values, padding = tokens(store, output=TokenSpec(max_len=M, add_zero_genes=6))
    counts = plain(store)
    measured = store.read(np.arange(store.n_cells)).measured()
    for row, cell in enumerate(counts):
        n = int((cell > 0).sum())
        zeros = genes[row, ~padding[row]][n:]
        assert len(zeros) == min(6, M - n, int((measured[row] & (cell == 0)).sum()))
        assert len(set(zeros.tolist())) == len(zeros)
        assert measured[row][zeros].all()
        assert not cell[zeros].any()
        assert not values[row, n:].any()
    assert (~padding[10]).sum() == 6


def test_tokens_of_chosen_genes_are_numbered_in_their_order(store: Store) -> None:
    order = [60, 5, 33]
    wanted = list(store.genes.index[order])
    genes, values, padding = tokens(store, output=TokenSpec(max_len=3, how="all", pad_id=-7), genes=wanted)
    counts = plain(store)[:, order]
    for row, cell in enumerate(counts):
        n = int((cell > 0).sum())
        assert genes[row].tolist() == [*np.flatnonzero(cell).tolist(), *[-7] * (3 - n)]
        assert values[row, :n].tolist() == cell[cell > 0].tolist()
        assert (~padding[row]).sum() == n


def test_all_genes_of_a_cell_must_fit(store: Store) -> None:
    with pytest.raises(InvalidDataError) as caught:
        batch(store, output=TokenSpec(max_len=2, how="all"))
    assert caught.value.code == "too-many-tokens"
    with pytest.raises(UsageError):
        choose_form(store, output="tokens")
