"""A small classifier that keeps what it saw, and trainers without decoration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightning
import torch

from scformat.lightning import CellDataModule
from scformat.torch import Log1p, NormalizeTotal

if TYPE_CHECKING:
    from pathlib import Path

    from scformat.store import Store
    from scformat.torch import Batch

# Lightning's own, about how it was written for an earlier torch.
LIGHTNING_WARNINGS = (
    "ignore:`isinstance\\(treespec, LeafSpec\\)` is deprecated, use `isinstance\\(treespec, TreeSpec\\) and "
    "treespec.is_leaf\\(\\)` instead.:FutureWarning",
)


class Classifier(lightning.LightningModule):
    """One linear layer from genes to cell types."""

    def __init__(self, n_genes: int, n_types: int, *, fails_at: int | None = None) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(n_genes, n_types)
        torch.nn.init.zeros_(self.layer.weight)
        torch.nn.init.zeros_(self.layer.bias)
        self.fails_at = fails_at
        self.seen: list[list[int]] = []
        self.looked_at: dict[str, list[list[int]]] = {"validation": [], "test": []}

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        if len(self.seen) == self.fails_at:
            raise RuntimeError("the step fails")
        self.seen.append(batch.rows.tolist())
        loss = torch.nn.functional.cross_entropy(self.layer(batch.x), batch.labels["cell_type"])
        self.log("loss", loss, batch_size=len(batch))
        return loss

    def _look(self, batch: Batch, stage: str) -> None:
        self.looked_at[stage].append(batch.rows[batch.valid].tolist())
        right = self.layer(batch.x).argmax(1) == batch.labels["cell_type"]
        n = int(batch.valid.sum())  # none at all, maybe, in the last batch of a rank
        self.log(f"{stage}_accuracy", (right & batch.valid).sum() / max(n, 1), batch_size=n, sync_dist=True)

    def validation_step(self, batch: Batch, _: int) -> None:
        self._look(batch, "validation")

    def test_step(self, batch: Batch, _: int) -> None:
        self._look(batch, "test")

    def predict_step(self, batch: Batch, _: int) -> torch.Tensor:
        return torch.stack([batch.rows, self.layer(batch.x).argmax(1)])[:, batch.valid]

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=1e-2)


class Saver(lightning.Callback):
    """Saves a checkpoint after every step and every epoch, where ModelCheckpoint does, and after a failure."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        trainer.save_checkpoint(self.directory / f"{trainer.global_step}-step")

    def on_train_epoch_end(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        trainer.save_checkpoint(self.directory / f"{trainer.global_step}-epoch")

    def on_exception(self, trainer: lightning.Trainer, *_: Any) -> None:
        trainer.save_checkpoint(self.directory / "failed")


def classifier(store: Store, **options: Any) -> Classifier:
    return Classifier(store.n_genes, len(store.labels["cell_type"].categories), **options)


def module(store: Store, **options: Any) -> CellDataModule:
    given = {"batch_size": 64, "labels": ["cell_type"], "transforms": [NormalizeTotal(1e4), Log1p()], "threads": 1}
    return CellDataModule(store, **{**given, **options})


def trainer(directory: Path, **options: Any) -> lightning.Trainer:
    given = {
        "accelerator": "cpu",
        "default_root_dir": directory,
        "enable_checkpointing": False,
        "enable_model_summary": False,
        "enable_progress_bar": False,
        "logger": False,
        "num_sanity_val_steps": 0,
    }
    return lightning.Trainer(**{**given, **options})
