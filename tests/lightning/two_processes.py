"""Two spawned processes on a CPU: ``two_processes.py STORE DIRECTORY`` writes the rows that each rank saw.

One process with batches of 64 trains six steps and leaves a checkpoint; two with batches of 32 train ten from the
start, and ten from that checkpoint on.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from small_classifier import Classifier, classifier, module, trainer

import scformat


class Recorder(Classifier):
    name = ""
    directory = Path()

    def on_validation_epoch_start(self) -> None:
        self.looked_at["validation"].clear()

    def on_train_end(self) -> None:
        np.save(self.directory / f"{self.name}-{self.global_rank}.npy", np.array(self.seen))
        rows = np.concatenate([np.array(r, np.int64) for r in self.looked_at["validation"]])
        np.save(self.directory / f"looked-{self.global_rank}.npy", rows)


def main(path: str, directory: Path) -> None:
    store = scformat.open(path)
    alone = trainer(directory, max_steps=6)
    alone.fit(classifier(store), module(store, table="ct", steps_per_epoch=5))
    alone.save_checkpoint(directory / "alone.ckpt")
    for name, steps, checkpoint in (("first", 10, None), ("resumed", 16, directory / "alone.ckpt")):
        model = Recorder(store.n_genes, len(store.labels["cell_type"].categories))
        model.name, model.directory = name, directory
        made = trainer(directory, max_steps=steps, devices=2, strategy="ddp_spawn")
        made.fit(model, module(store, table="ct", steps_per_epoch=5, batch_size=32), ckpt_path=checkpoint)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
