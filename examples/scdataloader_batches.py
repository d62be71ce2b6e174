"""Batches as scDataLoader's collator makes them, from a store: a model fed by it moves over without a database.

    python examples/scdataloader_batches.py [--data FILE...] [--out DIR] [--steps N] [--seed N]

`as_scdataloader` is the adapter. It stands for ``Collator(how="most expr", max_len=...)`` of scDataLoader 2.1: the
largest counts of a cell first, then genes without counts, drawn at random, up to `max_len`, so nothing is padded;
`TokenSpec` does the same with ``add_zero_genes=max_len``. Gene numbers are places in the model's own list of genes,
which is given to the loader as ``genes=``; a gene that a study did not measure never stands as a zero. Here a small
model that knows nothing but such batches is trained on them. Needs the extra `torch`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from common import options_of, store_of
from torch import Tensor, nn

from scformat.store.labels import Label
from scformat.torch import Batch, CellLoader, TokenSpec

MAX_LEN = 512


def leaves_first(label: Label) -> tuple[list[str], Tensor]:
    """Order the categories of a label as scDataLoader does: leaves of the ontology, then the classes that group them.

    Returns
    -------
    vocabulary
        Categories in the order of their codes.
    leaves : bool tensor, shape (n_categories, n_leaves)
        By code, which leaves a class may stand for; a leaf stands for itself.
    """
    below = np.eye(len(label.categories), dtype=bool)
    if label.ontology is not None:
        terms = label.ontology.terms.index
        for category, node in enumerate(label.ontology.category_terms):
            if node >= 0:
                below[category, label.ontology.categories_under(terms[node])] = True
    is_leaf = below.sum(1) == 1
    order = np.argsort(~is_leaf, kind="stable")
    return [label.categories[i] for i in order], torch.from_numpy(below[order][:, order[: is_leaf.sum()]])


def as_scdataloader(batch: Batch, classes: Sequence[str], *, tp: Tensor | None = None) -> dict[str, Tensor]:
    """Return a batch of tokens with the keys, shapes and types of scDataLoader's.

    Parameters
    ----------
    batch
        Of B cells and `max_len` genes, without padding.
    classes
        Names of the labels that are the columns of ``class``.
    tp
        Time or diffusion time of each cell, say of ``store.obs(["age"], batch.rows)``; zero if left out, as there.

    Returns
    -------
    dict
        ``x``, float32 (B, max_len), counts; ``genes``, int32 (B, max_len), places in the list of genes; ``class``,
        int32 (B, len(classes)), -1 for unknown; ``tp``, float32 (B,); ``depth``, float32 (B,), the counts of the whole
        cell; ``dataset``, int64 (B,), the number of the source. Cells that fill the last batch of a pass up are left
        out, so that it is shorter, as there. What is not made: ``is_meta``, ``knn_cells``, ``knn_cells_info``.
    """
    if batch.padding_mask.any():
        raise ValueError("a cell has fewer measured genes than max_len, and a batch like this has no padding")
    made = {
        "x": batch.values,
        "genes": batch.gene_ids.int(),
        "class": torch.stack([batch.labels[name] for name in classes], dim=1).int(),
        "tp": torch.zeros(len(batch)) if tp is None else tp.float(),
        "depth": batch.total_counts.float(),
        "dataset": batch.source,
    }
    return {name: value[batch.valid] for name, value in made.items()}


class BagOfGenes(nn.Module):
    """A small model of somebody else: logits of the leaves of one label, from a batch of scDataLoader."""

    def __init__(self, n_genes: int, n_leaves: int) -> None:
        super().__init__()
        self.genes = nn.Embedding(n_genes, 64)
        self.head = nn.Sequential(nn.LayerNorm(64), nn.Linear(64, n_leaves))

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        weight = torch.log1p(1e4 * batch["x"] / batch["depth"][:, None])
        return self.head((weight[:, :, None] * self.genes(batch["genes"])).mean(1))


def main() -> None:
    options = options_of(__doc__, steps=300)
    store = store_of(options)
    vocabulary = sorted(store.genes.index)  # a model that is there has its own
    classes, leaves = leaves_first(store.labels["cell_type"])
    form = {
        "genes": vocabulary,
        "output": TokenSpec(max_len=MAX_LEN, how="top", add_zero_genes=MAX_LEN),
        "labels": {"cell_type": classes},
        "batch_size": 64,
        "seed": options.seed,
    }
    torch.manual_seed(options.seed)
    model = BagOfGenes(len(vocabulary), leaves.shape[1])
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

    recent: list[float] = []
    for step, loaded in enumerate(CellLoader(store, split="train", steps_per_epoch=options.steps, **form)):
        batch = as_scdataloader(loaded, ["cell_type"])
        if step == 0:
            for name, value in batch.items():
                print(f"  {name:8s}{str(value.dtype)[6:]:8s}{tuple(value.shape)}")
        known = batch["class"][:, 0] >= 0
        allowed = leaves[batch["class"][known, 0]]
        score = model(batch)[known].log_softmax(1).masked_fill(~allowed, -torch.inf)
        loss = -score.logsumexp(1).mean()  # a class that groups others is right where one of them is found
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        recent.append(loss.item())
        if (step + 1) % max(1, options.steps // 5) == 0:
            print(f"step {step + 1}: loss {np.mean(recent):.3f}")
            recent.clear()

    right = cells = 0
    for loaded in CellLoader(store, split="test", **form):
        batch = as_scdataloader(loaded, ["cell_type"])
        known = batch["class"][:, 0] >= 0
        with torch.no_grad():
            found = model(batch)[known].argmax(1)
        right += int(leaves[batch["class"][known, 0], found].sum())
        cells += len(found)
    print(f"held-out cells: {right / cells:.3f} of {cells} right")


if __name__ == "__main__":
    main()
