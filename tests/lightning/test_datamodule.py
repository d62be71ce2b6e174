"""Training, validation, test and prediction with a Lightning trainer; resumed runs see what whole ones saw."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is an extra")
pytest.importorskip("lightning", reason="lightning is an extra")

from small_classifier import LIGHTNING_WARNINGS, Saver, classifier, module, trainer  # noqa: E402

from scformat.errors import UnknownNameError, UsageError  # noqa: E402
from scformat.lightning import CellDataModule  # noqa: E402
from scformat.torch import CellLoader  # noqa: E402

if TYPE_CHECKING:
    from scformat.store import Store

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.filterwarnings(text) for text in LIGHTNING_WARNINGS]


def stream(store: Store, n: int, **options: Any) -> list[list[int]]:
    """The first n batches of training, without Lightning."""
    made = CellLoader(store, **{"batch_size": 64, "split": "train", "threads": 0, "output": "csr", **options})
    rows: list[list[int]] = []
    while len(rows) < n:
        rows += [batch.rows.tolist() for batch in made]
    return rows[:n]


def flat(batches: list[list[int]]) -> list[int]:
    return [row for batch in batches for row in batch]


def test_a_model_learns(store: Store, tmp_path: Path) -> None:
    model = classifier(store)
    data = module(store, table="ct", steps_per_epoch=20, evaluation={"batch_size": 100})
    made = trainer(tmp_path, max_epochs=4)
    before = made.validate(model, data, verbose=False)[0]["validation_accuracy"]
    made.fit(model, data)
    after = made.validate(model, data, verbose=False)[0]["validation_accuracy"]
    assert after > max(2 * before, 0.5)
    assert model.seen == stream(store, 80, table="ct")


@pytest.mark.parametrize("distributed_sampler", [True, False])
def test_lightning_takes_the_loaders_as_they_are(store: Store, tmp_path: Path, *, distributed_sampler: bool) -> None:
    made = trainer(tmp_path, max_epochs=1, use_distributed_sampler=distributed_sampler)
    data = module(store)
    made.fit(classifier(store), data)
    assert made.train_dataloader is data.train_dataloader()
    assert isinstance(made.train_dataloader, CellLoader)
    assert isinstance(made.val_dataloaders, CellLoader)
    assert len(made.train_dataloader) == -(-len(store.select("split == 'train'")) // 64)


def test_every_pass_has_each_cell_of_its_split_once(store: Store, tmp_path: Path) -> None:
    model, data = classifier(store), module(store, evaluation={"batch_size": 70})
    made = trainer(tmp_path, max_epochs=2, num_sanity_val_steps=2)
    made.fit(model, data)
    n = len(store.select("split == 'val'"))
    batches = -(-n // 70)
    looked_at = model.looked_at["validation"]
    assert len(looked_at) == 2 + 2 * batches
    assert looked_at[2 : 2 + batches] == looked_at[2 + batches :], "two validations differ"
    assert sorted(flat(looked_at[2 : 2 + batches])) == store.select("split == 'val'").tolist()
    made.test(model, data, verbose=False)
    assert sorted(flat(model.looked_at["test"])) == store.select("split == 'test'").tolist()
    predicted = torch.cat(made.predict(model, data), dim=1).numpy()
    assert sorted(predicted[0].tolist()) == list(range(store.n_cells))
    # an epoch of the epoch plan, too, has every cell of its split once; what fills up repeats one
    epoch = flat(model.seen[: len(model.seen) // 2])
    assert sorted(set(epoch)) == store.select("split == 'train'").tolist()


PLANS: dict[str, dict[str, Any]] = {
    "independent": {"table": "ct", "steps_per_epoch": 9},
    "stratified": {"table": "ct", "plan": "stratified", "block": 4, "window": 512, "steps_per_epoch": 9},
    "epoch": {"batch_size": 100},
}


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize(
    "limits",
    [{"max_epochs": 3}, {"max_steps": 21, "max_epochs": -1}, {"max_epochs": 3, "limit_train_batches": 5}],
    ids=["epochs", "steps", "short-epochs"],
)
def test_a_resumed_run_goes_on_with_the_very_next_batch(
    store: Store, tmp_path: Path, plan: str, limits: dict[str, Any]
) -> None:
    model = classifier(store)
    trainer(tmp_path, callbacks=[Saver(tmp_path)], **limits).fit(model, module(store, **PLANS[plan]))
    assert model.seen == stream(store, len(model.seen), **PLANS[plan])
    per_epoch = limits.get("limit_train_batches", len(module(store, **PLANS[plan]).train_dataloader()))
    for name in ("4-step", f"{per_epoch}-step", f"{per_epoch}-epoch", "14-step"):
        again = classifier(store)
        trainer(tmp_path, **limits).fit(again, module(store, **PLANS[plan], seed=77), ckpt_path=tmp_path / name)
        assert again.seen == model.seen[int(name.split("-")[0]) :], name
        assert torch.equal(again.layer.weight, model.layer.weight)


def test_a_batch_whose_step_failed_comes_again(store: Store, tmp_path: Path) -> None:
    whole = stream(store, 12, table="ct")
    broken = classifier(store, fails_at=7)
    made = trainer(tmp_path, max_steps=12, callbacks=[Saver(tmp_path)])
    data = module(store, table="ct")
    with pytest.raises(RuntimeError, match="the step fails"):
        made.fit(broken, data)
    assert broken.seen == whole[:7]
    assert data.state_dict()["train"]["position"] == 7 * 64
    model = classifier(store)
    trainer(tmp_path, max_steps=12).fit(model, module(store, table="ct"), ckpt_path=tmp_path / "failed")
    assert model.seen == whole[7:]


def test_epochs_that_are_cut_short_or_reloaded_lose_no_batch(store: Store, tmp_path: Path) -> None:
    for options in ({"limit_train_batches": 4}, {"reload_dataloaders_every_n_epochs": 1}):
        model = classifier(store)
        trainer(tmp_path, max_epochs=3, **options).fit(model, module(store, table="ct", steps_per_epoch=9))
        assert model.seen == stream(store, len(model.seen), table="ct")


def test_overfitting_repeats_its_batches(store: Store, tmp_path: Path) -> None:
    model = classifier(store)
    trainer(tmp_path, max_epochs=3, overfit_batches=4).fit(model, module(store, table="ct"))
    assert model.seen == 3 * stream(store, 4, table="ct")


def test_another_trainer_begins_anew_and_the_same_one_goes_on(store: Store, tmp_path: Path) -> None:
    data = module(store, table="ct", steps_per_epoch=5)
    whole = stream(store, 10, table="ct")
    model = classifier(store)
    made = trainer(tmp_path, max_epochs=1)
    made.fit(model, data)
    made.fit_loop.max_epochs = 2
    made.fit(model, data)
    assert model.seen == whole
    other = classifier(store)
    trainer(tmp_path, max_epochs=1).fit(other, data)
    assert other.seen == whole[:5]
    state = data.state_dict()
    third = classifier(store)
    given = module(store, table="ct", steps_per_epoch=5)
    given.load_state_dict(state)
    trainer(tmp_path, max_epochs=1).fit(third, given)
    assert third.seen == whole[5:]


def test_without_a_trainer_the_loaders_work_alike(store: Store) -> None:
    data = module(store, table="ct", steps_per_epoch=6)
    rows = [batch.rows.tolist() for batch in data.train_dataloader()]
    copy = pickle.loads(pickle.dumps(data))
    assert rows + [batch.rows.tolist() for batch in copy.train_dataloader()] == stream(store, 12, table="ct")
    assert isinstance(data.val_dataloader(), CellLoader)
    assert str(data).endswith("train: train, validation: val, test: test, predict: all cells>")


def test_a_batch_goes_to_the_device_it_is_asked_to(store: Store) -> None:
    data = module(store)
    batch = next(iter(data.train_dataloader()))
    moved = data.transfer_batch_to_device(batch, torch.device("meta"), 0)
    assert moved.x.device.type == moved.labels["cell_type"].device.type == "meta"
    assert moved.genes is batch.genes
    assert data.transfer_batch_to_device(torch.ones(2), torch.device("meta"), 0).device.type == "meta"


@pytest.mark.filterwarnings("ignore:Total length of `list` across ranks is zero:UserWarning")
def test_what_a_store_has_decides_the_splits(store: Store, whole: Store, tmp_path: Path) -> None:
    assert CellDataModule(store).splits == {"train": "train", "validation": "val", "test": "test", "predict": None}
    assert CellDataModule(whole).splits == {"train": None, "predict": None}
    data = module(whole, batch_size=256)
    model = classifier(whole)
    trainer(tmp_path, max_epochs=1).fit(model, data)
    assert sorted(set(flat(model.seen))) == list(range(whole.n_cells))
    assert model.looked_at["validation"] == []
    with pytest.raises(UsageError) as caught:
        trainer(tmp_path).validate(model, data)
    assert caught.value.code == "no-split"
    chosen = module(store, splits={"validation": "test", "predict": "val"})
    assert chosen.splits == {"train": "train", "validation": "test", "test": "test", "predict": "val"}


@pytest.mark.parametrize(
    ("options", "kind", "code"),
    [
        ({"splits": {"validate": "val"}}, UnknownNameError, "unknown-stage"),
        ({"splits": {"train": "trein"}}, UnknownNameError, "unknown-split"),
        ({"lables": ["cell_type"]}, UnknownNameError, "unknown-option"),
        ({"rank": 1}, UsageError, "not-an-option"),
        ({"split": "train"}, UsageError, "not-an-option"),
        ({"evaluation": {"table": "ct"}}, UsageError, "not-an-option"),
        ({"evaluation": {"batchsize": 3}}, UnknownNameError, "unknown-option"),
    ],
)
def test_options_are_checked_at_once(store: Store, options: dict[str, Any], kind: type[Exception], code: str) -> None:
    with pytest.raises(kind) as caught:
        CellDataModule(store, **options)
    assert caught.value.code == code


def test_splits_that_are_not_there(whole: Store) -> None:
    with pytest.raises(UsageError) as caught:
        CellDataModule(whole, splits={"train": "train"})
    assert caught.value.code == "no-splits"


def test_a_state_of_another_table_is_refused(store: Store, tmp_path: Path) -> None:
    data = module(store, table="ct")
    next(iter(data.train_dataloader()))
    other = module(store)
    other.load_state_dict(data.state_dict())
    with pytest.raises(UsageError) as caught:
        trainer(tmp_path, max_epochs=1).fit(classifier(store), other)
    assert caught.value.code == "other-table"


def test_two_processes_see_each_position_once(store_path: Path, store: Store, tmp_path: Path) -> None:
    # A process of its own: what is spawned imports the main module again.
    options = ["-W", "error", *(word for text in LIGHTNING_WARNINGS for word in ("-W", text.replace("\\", "")))]
    done = subprocess.run(
        [sys.executable, *options, str(Path(__file__).parent / "two_processes.py"), store_path, tmp_path],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=REPOSITORY,
    )
    assert done.returncode == 0, done.stderr
    seen = [[np.load(tmp_path / f"{name}-{rank}.npy") for rank in range(2)] for name in ("first", "resumed")]
    together = [np.stack(ranks, axis=2).reshape(len(ranks[0]), -1) for ranks in seen]
    whole = stream(store, 16, table="ct", batch_size=64)
    assert together[0].tolist() == whole[:10], "two ranks of 32 cells are not one of 64"
    assert together[1].tolist() == whole[6:16]
    looked_at = np.concatenate([np.load(tmp_path / f"looked-{rank}.npy") for rank in range(2)])
    assert sorted(looked_at.tolist()) == store.select("split == 'val'").tolist()


def test_without_lightning_the_extra_is_named() -> None:
    code = (
        "import sys\nsys.modules['lightning'] = None\nimport scformat.lightning\n"
        "from scformat.errors import MissingExtraError\n"
        "try:\n    from scformat.lightning import CellDataModule\n"
        "except MissingExtraError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert "CellDataModule needs the extra 'lightning'" in done.stdout
    assert "scformat[lightning]" in done.stdout
