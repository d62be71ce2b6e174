"""The neighbours of the cells of a batch, as tensors."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from scformat.torch.batch import Batch


@dataclass(frozen=True, kw_only=True, eq=False)
class NeighbourBatch:
    """The k neighbours of each of B cells, nearest first.

    Attributes
    ----------
    rows : int64 tensor, shape (B, k)
        Rows of the store; -1 where a cell has no more neighbours.
    valid : bool tensor, shape (B, k)
        Where there is a neighbour.
    weights : float32 tensor, shape (B, k), or None
        As ``store.neighbours[name].weight`` says; 0 where there is no neighbour. None where the table has none.
    x : float32 tensor, shape (B, k, n_genes), or None
        Made like the ``x`` of the batch, zeros where there is no neighbour; sparse CSR of shape (B k, n_genes), with
        empty rows there. None for tokens, for metacells and without counts.
    gene_ids, values, padding_mask : tensors, shape (B, k, max_len), or None
        For tokens; nothing but padding where there is no neighbour.
    labels, targets : dicts of tensors
        As those of the batch, shape (B, k) and (B, k, ...).
    source : int64 tensor, shape (B, k)
        -1 where there is no neighbour.
    total_counts : int64 tensor, shape (B, k)
        0 where there is no neighbour.
    """

    rows: torch.Tensor
    valid: torch.Tensor
    source: torch.Tensor
    total_counts: torch.Tensor
    weights: torch.Tensor | None = None
    x: torch.Tensor | None = None
    gene_ids: torch.Tensor | None = None
    values: torch.Tensor | None = None
    padding_mask: torch.Tensor | None = None
    labels: dict[str, torch.Tensor] = field(default_factory=dict)
    targets: dict[str, torch.Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> NeighbourBatch:
        changed: dict[str, Any] = {}
        for member in fields(self):
            value = getattr(self, member.name)
            if isinstance(value, torch.Tensor):
                changed[member.name] = change(value)
            elif isinstance(value, dict):
                changed[member.name] = {name: change(each) for name, each in value.items()}
        return replace(self, **changed)


def as_neighbours(cells: Batch, weights: torch.Tensor | None, k: int) -> NeighbourBatch:
    """Fold a batch of B k cells, those of a cell together, to the neighbours of B cells."""

    def folded(tensor: torch.Tensor | None) -> Any:
        if tensor is None or tensor.layout is torch.sparse_csr:
            return tensor
        return tensor.view(-1, k, *tensor.shape[1:])

    return NeighbourBatch(
        rows=folded(cells.rows),
        valid=folded(cells.valid),
        source=folded(cells.source),
        total_counts=folded(cells.total_counts),
        weights=weights,
        x=folded(cells.x),
        gene_ids=folded(cells.gene_ids),
        values=folded(cells.values),
        padding_mask=folded(cells.padding_mask),
        labels={name: folded(each) for name, each in cells.labels.items()},
        targets={name: folded(each) for name, each in cells.targets.items()},
    )
