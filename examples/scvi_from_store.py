"""scVI trained from a store: scvi-tools' own model and training, fed by a loader and never by an AnnData.

    pip install torch scvi-tools              (tried with 1.4.2; it is no extra of this package)
    python examples/scvi_from_store.py [--data FILE...] [--out DIR] [--steps N] [--seed N]

`scvi.model.SCVI` made without an AnnData takes a Lightning data module, and asks it for `n_vars`, `n_batch` and
batches under scvi's keys: that is all that `Cells` below is (scvi-tools calls this way experimental). Sources are
scvi's batches here. With several files the genes are those that all of them measured, since scVI takes every zero for
a measured one. At the end held-out cells are told apart by their nearest neighbours in the latent space.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator

import numpy as np
import scvi
import torch
from common import options_of, store_of
from lightning import LightningDataModule
from scvi import REGISTRY_KEYS
from sklearn.neighbors import KNeighborsClassifier

from scformat.store import Store
from scformat.torch import Batch, CellLoader

BATCH, EPOCHS = 128, 10


def as_scvi(batch: Batch) -> dict[str, torch.Tensor]:
    """Return a batch under scvi's keys: counts, float32 (B, n_genes); batch and label, int64 (B, 1)."""
    return {
        REGISTRY_KEYS.X_KEY: batch.x,
        REGISTRY_KEYS.BATCH_KEY: batch.source[:, None],
        REGISTRY_KEYS.LABELS_KEY: torch.zeros_like(batch.source)[:, None],  # SCVI has no use for labels
    }


class ScviBatches:
    """The batches of a loader under scvi's keys; every pass over it goes on with the loader's stream."""

    def __init__(self, loader: CellLoader) -> None:
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        return map(as_scvi, self.loader)


class Cells(LightningDataModule):
    """The training cells of a store, as SCVI asks for them; an epoch is a number of steps."""

    def __init__(self, store: Store, *, steps: int, seed: int) -> None:
        super().__init__()
        self.n_vars, self.n_batch = store.n_genes, len(store.sources)
        loader = CellLoader(store, batch_size=BATCH, split="train", steps_per_epoch=steps, seed=seed)
        self._batches = ScviBatches(loader)

    def train_dataloader(self) -> ScviBatches:
        return self._batches


def embed(model: scvi.model.SCVI, store: Store, split: str) -> tuple[np.ndarray, np.ndarray, float]:
    """Latent positions, float32 (n, n_latent), codes of cell types, int64 (n,), and mean ELBO of a split's cells."""
    batches = list(CellLoader(store, batch_size=BATCH, split=split, labels=["cell_type"]))
    latent = model.get_latent_representation(dataloader=map(as_scvi, batches))
    elbo = model.get_elbo(dataloader=map(as_scvi, batches), return_mean=False)
    types = torch.cat([batch.labels["cell_type"] for batch in batches]).numpy()
    kept = torch.cat([batch.valid for batch in batches]).numpy() & (types >= 0)  # not what fills the last batch up
    return latent[kept], types[kept], float(elbo[kept].mean())


def main() -> None:
    options = options_of(__doc__, steps=400)
    store = store_of(options, genes="intersection")
    warnings.filterwarnings("ignore")  # of Lightning, about numbers of workers and the like

    torch.manual_seed(options.seed)
    model = scvi.model.SCVI()
    begun = time.perf_counter()
    model.train(
        max_epochs=EPOCHS,
        datamodule=Cells(store, steps=max(1, options.steps // EPOCHS), seed=options.seed),
        plan_kwargs={"n_epochs_kl_warmup": EPOCHS // 2},
        enable_progress_bar=False,
    )
    print(f"{model.trainer.global_step} steps in {time.perf_counter() - begun:.0f} s")
    losses = model.history["elbo_train"]["elbo_train"].tolist()
    print("negative ELBO a cell, by epoch:", " ".join(f"{loss:.0f}" for loss in losses))

    known, types, _ = embed(model, store, "train")
    asked, truth, elbo = embed(model, store, "test")
    found = KNeighborsClassifier(15).fit(known, types).predict(asked)
    print(f"held-out cells: negative ELBO {-elbo:.0f}")
    print(f"  type by 15 nearest training cells in {known.shape[1]} dimensions: {np.mean(found == truth):.3f} right")
    print(f"  the most frequent type for all of them: {np.mean(truth == np.bincount(types).argmax()):.3f} right")


if __name__ == "__main__":
    main()
