"""One batch of cells as tensors."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from scformat.errors import UsageError
from scformat.loading.genes import known_columns
from scformat.torch.neighbours import NeighbourBatch

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from scformat.loading.batches import Arrays
    from scformat.loading.form import Form
    from scformat.loading.genes import Columns


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """A batch, whose memory nothing else writes to.

    CSR batches that were made together lie in one piece of it, which is let go with the last of them.

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
        Codes, places in ``store.labels[name].categories`` or in the vocabulary given; -1 where a cell has no value.
    targets : dict of tensors
        For a label with an ontology: bool, shape (B, n_terms), which terms (``store.labels[name].ontology.terms``)
        a cell is or lies below. For :class:`Ancestors`: int64, shape (B,), which of its terms, -1 none.
    source : int64 tensor, shape (B,)
        Number of each cell's source; -1 for one that was skipped as it is damaged.
    total_counts : int64 tensor, shape (B,)
        Sum over all columns of the cell's source, before any choice of genes and any transform.
    valid : bool tensor, shape (B,)
        False for a cell that only fills up the last batch of a finite pass, and for one that was skipped as it is
        damaged: it has no counts, labels or source, and -1 as their codes.
    sets, combination : int64 tensors, shape (S,), or None
        With ``sets=``: number of each set in the stream, and the combination that it is of, a row of
        :attr:`CellLoader.combinations`. The cells of a set lie together: ``x.view(S, size, -1)``.
    set_labels : dict of int64 tensors, shape (S,)
        With ``sets=``: codes of each combination's labels.
    control : Batch or None
        With controls: as many control cells, those of each set at the places of its cells.
    neighbours
        With ``neighbours=``: those of each cell, see :class:`NeighbourBatch`.
    columns
        The genes of the batch; None in a process that does not have its loader or data set.
    """

    rows: torch.Tensor
    labels: dict[str, torch.Tensor]
    source: torch.Tensor
    total_counts: torch.Tensor
    valid: torch.Tensor
    columns: Columns | None
    targets: dict[str, torch.Tensor] = field(default_factory=dict)
    x: torch.Tensor | None = None
    gene_ids: torch.Tensor | None = None
    values: torch.Tensor | None = None
    padding_mask: torch.Tensor | None = None
    sets: torch.Tensor | None = None
    combination: torch.Tensor | None = None
    set_labels: dict[str, torch.Tensor] = field(default_factory=dict)
    control: Batch | None = None
    neighbours: NeighbourBatch | None = None

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
        source = self.source.cpu().numpy()
        found = torch.from_numpy(self._known().measured[source] & (source >= 0)[:, None])
        return found.to(self.rows.device)

    def _known(self) -> Columns:
        if self.columns is None:
            raise UsageError(
                "genes-not-here", "a batch of another process does not know its genes", hint="ask its loader"
            )
        return self.columns

    def __reduce__(self) -> tuple[Any, ...]:
        state = {member.name: getattr(self, member.name) for member in fields(self)}
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
        for member in fields(self):
            value = getattr(self, member.name)
            if isinstance(value, torch.Tensor):
                changed[member.name] = change(value)
            elif isinstance(value, Batch | NeighbourBatch):
                changed[member.name] = value._each(change)
            elif isinstance(value, dict):
                changed[member.name] = {name: change(each) for name, each in value.items()}
        return replace(self, **changed)


def as_tensors(arrays: Arrays, valid: NDArray[Any], form: Form) -> Batch:
    """Make tensors of the arrays of a batch: counts as they are; the rest, which many batches share, copied."""
    own = torch.from_numpy
    codes = dict(zip(form.read, arrays.labels, strict=True))
    gene_ids = values = padding = None
    x = None if arrays.dense is None else own(arrays.dense)
    if arrays.csr is not None:
        offsets, places, counts = arrays.csr
        x = _sparse(own(offsets), own(places), own(counts), (len(arrays.rows), len(form.columns)))
    if arrays.tokens is not None:
        gene_ids, values, padding = (own(a) for a in arrays.tokens)
    return Batch(
        x=x,
        gene_ids=gene_ids,
        values=values,
        padding_mask=padding,
        rows=own(arrays.rows.copy()),
        labels={each.name: own(each.of(codes[each.label])) for each in form.labels},
        targets={each.name: own(each.of(codes[each.label])) for each in form.targets},
        source=own(arrays.source.copy()),
        total_counts=own(arrays.total.copy()),
        valid=own(valid),
        columns=form.columns,
    )


def _restored(state: dict[str, Any]) -> Batch:
    key, x = state["columns"], state["x"]
    columns = None if key is None else known_columns(key)
    return Batch(**{**state, "columns": columns, "x": _sparse(*x) if isinstance(x, tuple) else x})


def _sparse(offsets: torch.Tensor, genes: torch.Tensor, values: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    let_torch_warn()
    return torch.sparse_csr_tensor(offsets, genes, values, size=shape, check_invariants=False)


@cache
def let_torch_warn() -> None:
    """Let torch call its whole CSR layout a beta where nobody hears it: it does so once a process.

    Filters of warnings are those of all threads: whoever lets several make batches calls this before.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta", category=UserWarning)
        of = torch.zeros(1, dtype=torch.int32)
        torch.sparse_csr_tensor(of, of[:0], torch.zeros(0), size=(0, 0), check_invariants=False)
