"""The splits of a store as the loaders of a Lightning trainer."""

from __future__ import annotations

import inspect
import os
from typing import TYPE_CHECKING, Any, Final

from lightning.pytorch import LightningDataModule
from lightning.pytorch.trainer.states import TrainerFn

from scformat.errors import UsageError, unknown_name
from scformat.lightning.loaders import PassLoader, TrainLoader
from scformat.store import Store, open_store
from scformat.torch.batch import Batch
from scformat.torch.loader import CellLoader

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Literal

    import torch

    from scformat.sampling.table import Table
    from scformat.tables.view import SamplingTable

STAGES: Final = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing"),
    "predict": ("predict",),
}
"""What a split of each stage may be called; the first one that the store has is taken."""

_OF_THE_TRAINER: Final = ("rank", "world_size", "device")
_OF_THE_MODULE: Final = ("store", "split")
_OF_TRAINING: Final = ("table", "plan", "steps_per_epoch", "temperature")


class CellDataModule(LightningDataModule):
    """The cells of a store for a Lightning trainer.

    Training is a stream of weighted draws that goes on from epoch to epoch. Validation, test and prediction are
    finite passes, each over the same cells in the same order. ``batch.valid`` is False for the cells that fill up
    the last batch, on some ranks perhaps all of it, so every mean takes it in:
    ``n = int(batch.valid.sum())``, then ``self.log(name, losses[batch.valid].sum() / max(n, 1), batch_size=n)``.

    Ranks and their number are the trainer's (those that share out data, where a strategy splits the model too);
    Lightning neither wraps nor replaces these loaders, whatever ``use_distributed_sampler`` says. A checkpoint
    holds where the stream stands after the last batch that was trained on, and a run that goes on from it, also
    with another number of ranks, goes on with the very next one.

    Parameters
    ----------
    store
        A store, or where one lies.
    batch_size
        Cells a batch, of each rank.
    table, plan, steps_per_epoch, temperature
        Of the training stream; see :class:`scformat.torch.CellLoader`. None: every training cell alike, in epochs
        over all of them.
    splits
        Split of each stage, ``train``, ``validation``, ``test`` and ``predict``; None for all cells. A stage that
        is left out takes the split of its name (``val`` for validation), where the store has one; ``predict`` then
        takes all cells, and ``train`` too where the store has no splits at all.
    evaluation
        Options in which validation, test and prediction differ from training, for example
        ``{"batch_size": 1024, "transforms": [...]}``, or ``{"sets": None}`` for single cells.
    options
        All others of :class:`scformat.torch.CellLoader`: ``labels``, ``output``, ``genes``, ``transforms``,
        ``where``, ``seed``, ``memory``, ``sets``, ``neighbours``, ...

    Attributes
    ----------
    store
        The open store.
    splits : dict
        Split of each stage that there is one for.

    Raises
    ------
    UnknownNameError
        ``unknown-stage``, ``unknown-split``, ``unknown-option``.
    UsageError
        ``not-an-option``: one that the trainer or this module decides. ``no-splits``.
    """

    def __init__(
        self,
        store: Store | str | os.PathLike[str],
        *,
        batch_size: int = 128,
        table: Table | SamplingTable | str | os.PathLike[str] | None = None,
        plan: Literal["independent", "stratified", "epoch"] | None = None,
        steps_per_epoch: int | None = None,
        temperature: float | Sequence[tuple[int, float]] = 1.0,
        splits: Mapping[str, str | None] | None = None,
        evaluation: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.store = open_store(store) if isinstance(store, str | os.PathLike) else store
        self.batch_size = batch_size
        self.splits = _choose_splits(self.store, splits or {})
        self._training = {"table": table, "plan": plan, "steps_per_epoch": steps_per_epoch, "temperature": temperature}
        self._options = _check_options(options)
        self._evaluation = _check_options(evaluation or {}, without=_OF_TRAINING)
        self._train: TrainLoader | None = None
        self._made_for: tuple[Any, ...] = ()
        self._state: dict[str, Any] | None = None

    def __str__(self) -> str:
        stages = (f"{stage}: {'all cells' if split is None else split}" for stage, split in self.splits.items())
        return f"<CellDataModule of {self.store.path}: {', '.join(stages)}>"

    __repr__ = __str__

    def __getstate__(self) -> dict[str, Any]:
        # A process that gets a copy makes its own loader, of its own rank, and goes on from where this one stands.
        return {**self.__dict__, "_train": None, "_state": self.state_dict().get("train")}

    def setup(self, stage: str) -> None:
        """Begin the training stream anew where a new trainer begins to train; Lightning calls this."""
        loops = None if self.trainer is None else self.trainer.fit_loop.epoch_loop
        fresh = stage == "fit" and loops is not None and not loops.batch_progress.total.ready
        if fresh and self._train is not None and self._train.used:
            self._train = None  # what an earlier trainer left; a state that was loaded since is kept

    def train_dataloader(self) -> TrainLoader:
        """Return the loader of the training stream; the same one, as long as ranks and batch size are the same.

        Raises
        ------
        UsageError
            ``no-split``; those of :class:`scformat.torch.CellLoader`; ``other-table``: the state that was loaded
            belongs to another table or other cells.
        """
        trainer = self.trainer
        repeat = getattr(trainer, "overfit_batches", 0) > 0
        options = {**self._options, **self._training, **self._place(), "batch_size": self.batch_size}
        made_for = (id(trainer), self.batch_size, options["rank"], options["world_size"], repeat)
        if self._train is None or self._made_for != made_for:
            state = self.state_dict().get("train")
            progress: Any = None if trainer is None else trainer.fit_loop.epoch_loop.batch_progress
            made = TrainLoader(
                store=self.store,
                split=self._split("train"),
                trained=None if progress is None else lambda: progress.total.processed,
                repeat=repeat,
                **options,
            )
            if state is not None:
                made.load_state_dict(state)
            self._train, self._made_for, self._state = made, made_for, None
        return self._train

    def val_dataloader(self) -> PassLoader | list[PassLoader]:
        """Return the loader of a pass over the validation cells; none at all where fitting finds no such split."""
        fitting = self.trainer is not None and self.trainer.state.fn == TrainerFn.FITTING
        return [] if fitting and "validation" not in self.splits else self._pass("validation")

    def test_dataloader(self) -> PassLoader:
        """Return the loader of a pass over the test cells."""
        return self._pass("test")

    def predict_dataloader(self) -> PassLoader:
        """Return the loader of a pass over the cells to predict; ``batch.rows`` says which they are."""
        return self._pass("predict")

    def state_dict(self) -> dict[str, Any]:
        """Return where the training stream stands after the last batch that was trained on; Lightning saves it."""
        state = self._state if self._train is None else self._train.state_dict()
        return {} if state is None else {"train": state}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where a training stream stood; Lightning calls this with what a checkpoint holds."""
        state = state_dict.get("train")
        if self._train is not None and state is not None:
            self._train.load_state_dict(state)
        else:
            self._train, self._state = None, state

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Return a batch on the trainer's device."""
        if isinstance(batch, Batch):
            return batch.to(device, non_blocking=device.type == "cuda")
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    def _pass(self, stage: str) -> PassLoader:
        options = {"batch_size": self.batch_size, **self._options, **self._evaluation, **self._place()}
        return PassLoader(store=self.store, split=self._split(stage), plan="epoch", **options)

    def _split(self, stage: str) -> str | None:
        if stage not in self.splits:
            held = self.store.manifest.splits
            raise UsageError(
                "no-split",
                f"no split for {stage}",
                where=self.store.path,
                expected=" or ".join(STAGES[stage]),
                found="no splits" if held is None else ", ".join(held.names),
                hint=f"give splits={{'{stage}': NAME}}, or None for all cells",
            )
        return self.splits[stage]

    def _place(self) -> dict[str, Any]:
        """Rank, number of ranks and device, of the trainer where there is one."""
        trainer = self.trainer
        if trainer is None:
            return {"rank": None, "world_size": None}
        # With tensor parallelism several ranks train on the same cells: the strategy knows which.
        share = trainer.distributed_sampler_kwargs
        if share is None:
            share = {"rank": trainer.global_rank, "num_replicas": trainer.world_size}
        device = trainer.strategy.root_device
        return {
            "rank": share["rank"],
            "world_size": share["num_replicas"],
            "device": device if device.type == "cuda" else None,
        }


def _choose_splits(store: Store, given: Mapping[str, str | None]) -> dict[str, str | None]:
    held = [] if store.manifest.splits is None else store.manifest.splits.names
    chosen: dict[str, str | None] = {}
    for stage, names in STAGES.items():
        found = next((name for name in names if name in held), None)
        if found is not None or stage == "predict" or (stage == "train" and not held):
            chosen[stage] = found
    for stage, name in given.items():
        if stage not in STAGES:
            raise unknown_name("stage", stage, STAGES)
        if name is not None and not held:
            raise UsageError("no-splits", f"no split {name!r}: the store has none", where=store.path,
                             hint="convert with --splits")  # fmt: skip
        if name is not None and name not in held:
            raise unknown_name("split", name, held, where=store.path)
        chosen[stage] = name
    return chosen


def _check_options(given: Mapping[str, Any], *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    known = list(inspect.signature(CellLoader).parameters)
    for name in given:
        if name in _OF_THE_TRAINER:
            raise UsageError("not-an-option", f"{name} is the trainer's", hint="leave it out")
        if name in (*_OF_THE_MODULE, *without):
            raise UsageError("not-an-option", f"{name} cannot be given here", hint="see the parameters of the module")
        if name not in known:
            raise unknown_name("option", name, [n for n in known if n not in (*_OF_THE_TRAINER, *_OF_THE_MODULE)])
    return dict(given)
