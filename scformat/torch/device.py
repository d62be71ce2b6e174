"""The way of a batch to its device: counts travel as CSR; they are scattered, and as far as possible scaled, there."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from scformat.errors import UsageError
from scformat.loading.transforms import LOG1P, SCALE_SELECTED, SCALE_STORED, Recipe
from scformat.torch.batch import as_tensors
from scformat.torch.neighbours import as_neighbours

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scformat.loading.batches import Arrays, Assembly
    from scformat.loading.form import Form
    from scformat.torch.batch import Batch

ON_DEVICE = (SCALE_STORED, SCALE_SELECTED, LOG1P)


@dataclass(frozen=True, kw_only=True, eq=False)
class Delivery:
    """How batches get where they are wanted.

    Attributes
    ----------
    form
        What a batch looks like.
    assembly
        What is made of it on the host.
    device
        Where it goes; None: it stays.
    pinned
        Its tensors lie in page-locked memory, of the host or on the way.
    rest
        Transforms that are left to the device, which also makes `x` dense; None: the host does everything.
    """

    form: Form
    assembly: Assembly
    device: torch.device | None = None
    pinned: bool = False
    rest: Recipe | None = None

    @classmethod
    def of(cls, form: Form, *, device: torch.device | None = None, pinned: bool = False) -> Delivery:
        """Decide it: dense batches for another device than the CPU travel as CSR."""
        if form.assembly.output != "dense" or device is None or device.type == "cpu":
            return cls(form=form, assembly=form.assembly, device=device, pinned=pinned)
        return cls.as_csr(form, device=device, pinned=pinned)

    @classmethod
    def as_csr(cls, form: Form, *, device: torch.device, pinned: bool = False) -> Delivery:
        """Let dense batches travel as CSR; transforms that a device does not know are done before."""
        recipe = form.assembly.recipe
        n = len(recipe.codes)
        while n and recipe.codes[n - 1] in ON_DEVICE:
            n -= 1
        before = Recipe(codes=recipe.codes[:n], arguments=recipe.arguments[:n])
        after = Recipe(codes=recipe.codes[n:], arguments=recipe.arguments[n:])
        assembly = replace(form.assembly, output="csr", recipe=before)
        return cls(form=form, assembly=assembly, device=device, pinned=pinned, rest=after)

    @property
    def stays(self) -> bool:
        """Whether a batch is done once it is made: it goes to no device, which threads have streams for."""
        return self.device is None and not self.pinned

    def __call__(self, arrays: Arrays, valid: NDArray[np.bool_]) -> Batch:
        """Make a batch of arrays that were made as :attr:`assembly` says."""
        batch = self._made(arrays, valid)
        found = arrays.neighbours
        if found is None:
            return batch
        cells = self(found.cells, found.cells.rows >= 0)
        weights = None if found.weights is None else torch.from_numpy(found.weights).to(cells.rows.device)
        return replace(batch, neighbours=as_neighbours(cells, weights, found.k))

    def _made(self, arrays: Arrays, valid: NDArray[np.bool_]) -> Batch:
        if self.rest is None or arrays.csr is None:  # neighbours can come without counts
            return self._moved(as_tensors(arrays, valid, self.form))
        batch = self._moved(as_tensors(replace(arrays, csr=None), valid, self.form))
        offsets, columns, values = (self._sent(torch.from_numpy(each)) for each in arrays.csr)
        x = scatter(offsets, columns, values, batch.total_counts, len(self.form.columns), self.rest)
        return replace(batch, x=x)

    def _moved(self, batch: Batch) -> Batch:
        batch = batch.pin_memory() if self.pinned else batch
        return batch if self.device is None else batch.to(self.device, non_blocking=self.pinned)

    def _sent(self, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dtype is torch.int64:
            tensor = tensor.to(torch.int32)  # half the way: columns and the entries of a batch are far below 2^31
        tensor = tensor.pin_memory() if self.pinned else tensor
        return tensor.to(self.device, non_blocking=self.pinned)


def scatter(
    offsets: torch.Tensor,
    columns: torch.Tensor,
    values: torch.Tensor,
    total: torch.Tensor,
    n_columns: int,
    rest: Recipe,
) -> torch.Tensor:
    """Make CSR dense where it lies, after some transforms; to float32 rounding what the host makes.

    Parameters
    ----------
    offsets : int tensor, shape (B + 1,)
    columns : int tensor, shape (nnz,)
        Each once a row, in any order.
    values : float32 tensor, shape (nnz,)
    total : int64 tensor, shape (B,)
        ``total_counts`` of each cell.
    n_columns
    rest
        Of :data:`ON_DEVICE` alone.

    Returns
    -------
    float32 tensor, shape (B, n_columns)
    """
    n, device = len(offsets) - 1, values.device
    wide = torch.float32 if device.type == "mps" else torch.float64  # Apple's devices have no float64
    # The size is given: the host does not wait for the device to tell it.
    row = torch.repeat_interleave(torch.arange(n, device=device), offsets.diff(), output_size=len(columns))
    for code, target in zip(rest.codes.tolist(), rest.arguments.tolist(), strict=True):
        if code == LOG1P:
            values = values.log1p()
            continue
        if code == SCALE_STORED:
            sums = total.to(wide)
        else:
            sums = torch.zeros(n, dtype=wide, device=device).index_add_(0, row, values.to(wide))
        values = (values * torch.where(sums > 0, target / sums, 1.0)[row]).to(torch.float32)
    x = torch.zeros((n, n_columns), dtype=torch.float32, device=device)
    x[row, columns.long()] = values
    return x


def check_device(device: torch.device | str | None) -> torch.device | None:
    """Return a device of this machine.

    Raises
    ------
    UsageError
        ``bad-device``: there is no such kind of device; ``no-device``: this machine or this torch does not have it.
    """
    if device is None:
        return None
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise UsageError(
            "bad-device", "not a device", expected="for example 'cuda:0' or 'cpu'", found=repr(device)
        ) from error
    if found.type == "cuda" and not torch.cuda.is_available():
        raise UsageError("no-device", "there is no CUDA device that this torch can use", found=repr(str(found)))
    return found


def check_pinning(pin_memory: Any) -> bool:
    """Return whether memory is page-locked: as torch's own DataLoader, only where there is a device for it.

    Warns
    -----
    UserWarning
        There is none.
    """
    if not pin_memory:
        return False
    if torch.cuda.is_available():
        return True
    warnings.warn("pin_memory does nothing: there is no CUDA device that this torch can use", UserWarning, stacklevel=3)
    return False
