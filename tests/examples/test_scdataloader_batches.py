"""Batches with scDataLoader's keys: names, shapes, types and values."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is an extra")

import scformat  # noqa: E402
from scformat.torch import CellLoader, TokenSpec  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from scformat.store import Store

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
MAX_LEN = 300


@pytest.fixture(scope="module")
def store(studies: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Store:
    return scformat.convert(studies, tmp_path_factory.mktemp("store") / "cells.store")


@pytest.fixture
def adapter(example: Callable[[str], ModuleType]) -> ModuleType:
    return example("scdataloader_batches")


def make_loader(store: Store, vocabulary: list[str], **options: object) -> CellLoader:
    form = TokenSpec(max_len=MAX_LEN, how="top", add_zero_genes=MAX_LEN)
    return CellLoader(store, 32, genes=vocabulary, output=form, seed=2, **options)


def test_keys_shapes_types_and_values(adapter: ModuleType, store: Store) -> None:
    vocabulary = sorted(store.genes.index)
    classes = {name: adapter.leaves_first(store.labels[name])[0] for name in ("cell_type", "tissue")}
    place = store.genes.index.get_indexer(vocabulary)
    zeros = 0
    for loaded in make_loader(store, vocabulary, labels=classes, steps_per_epoch=4):
        batch = adapter.as_scdataloader(loaded, ["cell_type", "tissue"])
        assert {name: (value.dtype, tuple(value.shape)) for name, value in batch.items()} == {
            "x": (torch.float32, (32, MAX_LEN)),
            "genes": (torch.int32, (32, MAX_LEN)),
            "class": (torch.int32, (32, 2)),
            "tp": (torch.float32, (32,)),
            "depth": (torch.float32, (32,)),
            "dataset": (torch.int64, (32,)),
        }
        cells = store.read(loaded.rows.numpy())
        counts, measured = cells.dense(np.float32)[:, place], cells.measured()[:, place]
        for i in range(32):
            genes, x = batch["genes"][i].numpy(), batch["x"][i].numpy()
            assert len(set(genes.tolist())) == MAX_LEN
            np.testing.assert_array_equal(x, counts[i, genes])
            expressed = np.sort(counts[i][counts[i] > 0])[::-1][:MAX_LEN]
            np.testing.assert_array_equal(x[: len(expressed)], expressed)
            assert not x[len(expressed) :].any()
            assert measured[i, genes].all()
            zeros += MAX_LEN - len(expressed)
        told = store.obs(["cell_type", "tissue", "study"], loaded.rows)
        for column, (name, vocabulary_of_label) in enumerate(classes.items()):
            assert [vocabulary_of_label[code] for code in batch["class"][:, column]] == told[name].tolist()
        assert batch["depth"].tolist() == counts.sum(1).tolist()
        assert batch["dataset"].tolist() == told["study"].str[-1].astype(int).sub(1).tolist()
        assert not batch["tp"].any()
    assert zeros > 0


def test_leaves_come_first(adapter: ModuleType, store: Store) -> None:
    label = store.labels["cell_type"]
    classes, leaves = adapter.leaves_first(label)
    assert sorted(classes) == sorted(label.categories)
    n_leaves = leaves.shape[1]
    assert torch.equal(leaves[:n_leaves], torch.eye(n_leaves, dtype=torch.bool))
    assert (leaves[n_leaves:].sum(1) >= 1).all()

    general = classes.index("CD8-positive, alpha-beta T cell")
    special = classes.index("CD8-positive, alpha-beta memory T cell")
    assert special < n_leaves <= general
    assert leaves[general, special]
    assert not leaves[general, classes.index("astrocyte")]


def test_a_label_without_an_ontology_is_all_leaves(adapter: ModuleType, store: Store) -> None:
    classes, leaves = adapter.leaves_first(store.labels["donor_id"])
    assert classes == list(store.labels["donor_id"].categories)
    assert torch.equal(leaves, torch.eye(len(classes), dtype=torch.bool))


def test_time_and_missing_labels_come_through(adapter: ModuleType, store: Store) -> None:
    loader = CellLoader(store, 32, output=TokenSpec(max_len=50, how="top", add_zero_genes=50), labels=["phase"])
    missing = 0
    for loaded in loader:
        ages = torch.from_numpy(store.obs(["age_years"], loaded.rows)["age_years"].to_numpy(np.float64, na_value=-1.0))
        batch = adapter.as_scdataloader(loaded, ["phase"], tp=ages)
        assert batch["tp"].dtype == torch.float32
        assert torch.equal(batch["tp"].double(), ages[loaded.valid])
        assert torch.equal(batch["class"][:, 0].long(), loaded.labels["phase"][loaded.valid])
        missing += int((batch["class"] == -1).sum())
    assert missing > 0


def test_what_fills_up_a_pass_is_left_out(adapter: ModuleType, store: Store) -> None:
    loader = make_loader(store, sorted(store.genes.index), labels=["tissue"])
    sizes = [len(adapter.as_scdataloader(loaded, ["tissue"])["x"]) for loaded in loader]
    assert sum(sizes) == store.n_cells
    assert sizes[-1] == store.n_cells % 32 != 0


def test_padding_is_refused(adapter: ModuleType, store: Store) -> None:
    loader = CellLoader(store, 32, output=TokenSpec(max_len=MAX_LEN))
    with pytest.raises(ValueError, match="no padding"):
        adapter.as_scdataloader(next(iter(loader)), [])


def test_a_model_is_trained_on_simulated_cells_where_there_are_no_others(
    run_example: Callable[..., str], tmp_path: Path
) -> None:
    elsewhere = tmp_path / "examples"
    shutil.copytree(EXAMPLES, elsewhere, ignore=shutil.ignore_patterns("__pycache__"))
    said = run_example("scdataloader_batches.py", "--steps", 20, directory=elsewhere)
    assert "study_01.h5ad" in said
    assert re.search(r"^  class +int32 +\(64, 1\)$", said, re.MULTILINE)
    losses = [float(loss) for loss in re.findall(r"^step \d+: loss ([0-9.]+)", said, re.MULTILINE)]
    assert losses[-1] < losses[0]
    assert re.search(r"^held-out cells: 0\.\d+ of \d+ right$", said, re.MULTILINE)
