"""One batch of cells as tensors."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import torch

from scformat.errors import UsageError
from scformat.loading.genes import known_columns

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from scformat.loading.batches import Arrays
    from scformat.loading.genes import Columns


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """A batch, which owns its memory.

    Attributes
    ----------
    x : float32 tensor, shape (B, n_genes), or None
        Dense or sparse CSR; None for tokens.
    gene_ids : int64 tensor, shape (B, max_len), or None
        For tokens: columns of :attr:`genes`.
    values : float32 tensor, shape (B, max_len), or None
    padding_mask : bool tensor, shape (B, max_len), or None
        True where there is no token.
    rows : int64 tensor, shape (B,)
        Rows of the store.
    labels : dict of int64 tensors, shape (B,)
        Codes, places in ``store.labels[name].categories``; -1 where a cell has no value.
    source : int64 tensor, shape (B,)
        Number of each cell's source.
    total_counts : int64 tensor, shape (B,)
        Sum over all columns of the cell's source, before any choice of genes and any transform.
    valid : bool tensor, shape (B,)
        False for a cell that only fills up the last batch of a finite pass.
    columns
        The genes of the batch; None in a process that does not have its loader or data set.
    """

    rows: torch.Tensor
    labels: dict[str, torch.Tensor]
    source: torch.Tensor
    total_counts: torch.Tensor
    valid: torch.Tensor
    columns: Columns | None
    x: torch.Tensor | None = None
    gene_ids: torch.Tensor | None = None
    values: torch.Tensor | None = None
    padding_mask: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def genes(self) -> pd.DataFrame:
        """The genes, one row a column of `x`: indexed by id, with ``symbol``, ``taxon``, ``biotype``, ``found``."""
        return self._known().table

    def measured(self) -> torch.Tensor:
        """Return which genes each cell's source measured; bool, shape (B, n_genes).

        A zero where this is False says nothing of the cell.
        """
        found = torch.from_numpy(self._known().measured[self.source.cpu().numpy()])
        return found.to(self.rows.device)

    def _known(self) -> Columns:
        if self.columns is None:
            raise UsageError(
                "genes-not-here", "a batch of another process does not know its genes", hint="ask its loader"
            )
        return self.columns

    def __reduce__(self) -> tuple[Any, ...]:
        state = {field.name: getattr(self, field.name) for field in fields(self)}
        state["columns"] = None if self.columns is None else self.columns.key
        x = self.x
        if x is not None and x.layout is torch.sparse_csr:
            state["x"] = (x.crow_indices(), x.col_indices(), x.values(), tuple(x.shape))
        return _restored, (state,)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """Return the batch on a device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory; a sparse `x` stays where it is."""
        return self._each(lambda tensor: tensor if tensor.layout is torch.sparse_csr else tensor.pin_memory())

    def _each(self, change: Any) -> Batch:
        changed: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, torch.Tensor):
                changed[field.name] = change(value)
        return replace(self, labels={name: change(codes) for name, codes in self.labels.items()}, **changed)


def as_tensors(arrays: Arrays, valid: NDArray[Any], labels: tuple[str, ...], columns: Columns) -> Batch:
    """Wrap the arrays of a batch as tensors, without a copy."""
    own = torch.from_numpy
    gene_ids = values = padding = None
    x = None if arrays.dense is None else own(arrays.dense)
    if arrays.csr is not None:
        offsets, places, counts = arrays.csr
        x = _sparse(own(offsets), own(places), own(counts), (len(arrays.rows), len(columns)))
    if arrays.tokens is not None:
        gene_ids, values, padding = (own(a) for a in arrays.tokens)
    return Batch(
        x=x,
        gene_ids=gene_ids,
        values=values,
        padding_mask=padding,
        rows=own(arrays.rows.copy()),  # the rows of many batches are one array
        labels={name: own(arrays.labels[i].copy()) for i, name in enumerate(labels)},
        source=own(arrays.source).long(),
        total_counts=own(arrays.total),
        valid=own(valid.copy()),
        columns=columns,
    )


def _restored(state: dict[str, Any]) -> Batch:
    key, x = state["columns"], state["x"]
    columns = None if key is None else known_columns(key)
    return Batch(**{**state, "columns": columns, "x": _sparse(*x) if isinstance(x, tuple) else x})


def _sparse(offsets: torch.Tensor, genes: torch.Tensor, values: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    with warnings.catch_warnings():
        # torch calls its whole CSR layout a beta, once a process.
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta", category=UserWarning)
        return torch.sparse_csr_tensor(offsets, genes, values, size=shape, check_invariants=False)
