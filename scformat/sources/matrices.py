"""A counts matrix over arrays that are read by rows: CSR, CSC, dense, and several CSR side by side."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scformat.errors import InvalidDataError, RowIndexError
from scformat.sources.base import Block, VarTable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from scformat.sources.base import CountsMatrix, Layout
    from scformat.sources.tree import Rows


class _Matrix:
    """What all matrices share: their place, their var table and refusals."""

    layout: Layout

    def __init__(self, *, location: str, where: str, shape: tuple[int, int], var: Callable[[], VarTable]) -> None:
        self.location = location
        self.where = where
        self.shape = shape
        self._var = var

    @cached_property
    def var(self) -> VarTable:
        """The table of its columns; InvalidDataError if it is not as long as the matrix is wide."""
        table = self._var()
        if len(table.index) != self.shape[1]:
            raise InvalidDataError(
                "wrong-length",
                "var and the matrix disagree on the number of genes",
                where=self.where,
                expected=f"{len(table.index)} columns",
                found=self.shape[1],
            )
        return table

    def row_offsets(self) -> NDArray[np.int64]:
        """Refuse; CSR overrides it."""
        raise TypeError(f"a {self.layout} matrix has no row offsets")

    def col_offsets(self) -> NDArray[np.int64]:
        """Refuse; CSC overrides it."""
        raise TypeError(f"a {self.layout} matrix has no column offsets")

    def read_rows(self, start: int, stop: int) -> Block:
        """Refuse; CSR and dense override it."""
        raise TypeError(f"a {self.layout} matrix is not read by rows: {start}:{stop}")

    def read_columns(self, start: int, stop: int) -> Block:
        """Refuse; CSC overrides it."""
        raise TypeError(f"a {self.layout} matrix is not read by columns: {start}:{stop}")


class SparseMatrix(_Matrix):
    """A CSR or CSC matrix.

    Parameters
    ----------
    location, where
        Its place in the source, and file and place for messages.
    layout
        ``csr`` or ``csc``.
    shape
        Cells, genes.
    offsets : integer array, shape (n_rows + 1,), CSC: (n_columns + 1,)
        Checked here: starts at 0, never falls, ends where the entries end.
    indices, data
        Readers of the entries; the range of `indices` is left to whoever uses a block.
    var
        Called once, for the var table.
    """

    def __init__(
        self,
        *,
        location: str,
        where: str,
        layout: Literal["csr", "csc"],
        shape: tuple[int, int],
        offsets: NDArray[Any],
        indices: Rows,
        data: Rows,
        var: Callable[[], VarTable],
    ) -> None:
        super().__init__(location=location, where=where, shape=shape, var=var)
        self.layout = layout
        self._offsets = _checked_offsets(offsets, shape[0 if layout == "csr" else 1], where)
        self._indices, self._data = indices, data
        for name, reader, kinds in (("indices", indices, "iu"), ("data", data, "iufb")):
            if reader.dtype.kind not in kinds or len(reader.shape) != 1:
                raise InvalidDataError(
                    "bad-matrix",
                    f"its {name} are no vector of numbers",
                    where=f"{where}/{name}",
                    found=f"type {reader.dtype}, shape {reader.shape}",
                )
            if reader.shape[0] != self.n_stored:
                raise InvalidDataError(
                    "bad-matrix",
                    f"indptr and {name} disagree on the number of entries",
                    where=f"{where}/{name}",
                    expected=f"{self.n_stored} as indptr ends with",
                    found=reader.shape[0],
                )
        self.dtype = data.dtype
        self.row_step = 1

    @property
    def n_stored(self) -> int:
        """Stored entries."""
        return int(self._offsets[-1])

    @property
    def bytes_stored(self) -> int:
        """Bytes of all indices and values once decoded."""
        return self.n_stored * (self._indices.dtype.itemsize + self.dtype.itemsize)

    def row_offsets(self) -> NDArray[np.int64]:
        """Offsets of the rows of a CSR matrix."""
        return self._offsets if self.layout == "csr" else super().row_offsets()

    def col_offsets(self) -> NDArray[np.int64]:
        """Offsets of the columns of a CSC matrix."""
        return self._offsets if self.layout == "csc" else super().col_offsets()

    def read_rows(self, start: int, stop: int) -> Block:
        """Read rows of a CSR matrix."""
        return self._read(start, stop) if self.layout == "csr" else super().read_rows(start, stop)

    def read_columns(self, start: int, stop: int) -> Block:
        """Read columns of a CSC matrix."""
        return self._read(start, stop) if self.layout == "csc" else super().read_columns(start, stop)

    def _read(self, start: int, stop: int) -> Block:
        check_range(start, stop, len(self._offsets) - 1, self.where)
        first, last = int(self._offsets[start]), int(self._offsets[stop])
        return Block(
            offsets=self._offsets[start : stop + 1] - first,
            indices=_signed(self._indices.read(first, last)),
            data=self._data.read(first, last),
        )


class DenseMatrix(_Matrix):
    """A dense matrix over a reader of rows, shape (cells, genes)."""

    layout: Layout = "dense"

    def __init__(self, *, location: str, where: str, rows: Rows, var: Callable[[], VarTable]) -> None:
        if len(rows.shape) != 2 or rows.dtype.kind not in "iufb":
            raise InvalidDataError(
                "bad-matrix", "it is no matrix of numbers", where=where, found=f"type {rows.dtype}, shape {rows.shape}"
            )
        super().__init__(location=location, where=where, shape=(rows.shape[0], rows.shape[1]), var=var)
        self._rows = rows
        self.dtype = rows.dtype
        self.row_step = rows.row_step

    @property
    def n_stored(self) -> int:
        """Cells times genes."""
        return self.shape[0] * self.shape[1]

    @property
    def bytes_stored(self) -> int:
        """Bytes of all values."""
        return self.n_stored * self.dtype.itemsize

    def read_rows(self, start: int, stop: int) -> Block:
        """Read rows as a dense block."""
        check_range(start, stop, self.shape[0], self.where)
        return Block(dense=self._rows.read(start, stop))


class SideBySide(_Matrix):
    """Several CSR matrices of the same cells with the columns of all of them, in order (10x: one per genome)."""

    layout: Layout = "csr"

    def __init__(self, parts: Sequence[CountsMatrix], *, location: str, where: str, var: VarTable) -> None:
        widths = [part.shape[1] for part in parts]
        super().__init__(location=location, where=where, shape=(parts[0].shape[0], sum(widths)), var=lambda: var)
        self._parts = list(parts)
        self._firsts = np.cumsum([0, *widths[:-1]]).tolist()
        self._offsets: NDArray[np.int64] = np.sum([part.row_offsets() for part in parts], axis=0, dtype=np.int64)
        self.dtype = np.result_type(*(part.dtype for part in parts))
        self.row_step = 1

    @property
    def n_stored(self) -> int:
        """Entries of all parts."""
        return sum(part.n_stored for part in self._parts)

    @property
    def bytes_stored(self) -> int:
        """Bytes of all parts."""
        return sum(part.bytes_stored for part in self._parts)

    def row_offsets(self) -> NDArray[np.int64]:
        """Offsets of the joined rows."""
        return self._offsets

    def read_rows(self, start: int, stop: int) -> Block:
        """Read rows; within a row the parts' entries follow one another."""
        check_range(start, stop, self.shape[0], self.where)
        offsets = self._offsets[start : stop + 1] - self._offsets[start]
        indices, data = np.empty(offsets[-1], np.int64), np.empty(offsets[-1], self.dtype)
        starts = offsets[:-1].copy()
        for part, first in zip(self._parts, self._firsts, strict=True):
            block = part.read_rows(start, stop)
            if block.offsets is None or block.indices is None:
                raise TypeError(part.layout)
            lengths = np.diff(block.offsets)
            target = np.repeat(starts - block.offsets[:-1], lengths) + np.arange(block.offsets[-1])
            # An index beyond its genome must not land among the next genome's columns.
            if len(block.indices) and (int(block.indices.min()) < 0 or int(block.indices.max()) >= part.shape[1]):
                raise InvalidDataError("index-out-of-range", "an index beyond its genome's genes", where=self.where)
            indices[target], data[target] = block.indices.astype(np.int64) + first, block.data
            starts += lengths
        return Block(offsets=offsets, indices=indices, data=data)


class ArrayRows:
    """A numpy array as a reader of its rows."""

    row_step = 1

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array
        self.shape: tuple[int, ...] = array.shape
        self.dtype: np.dtype[Any] = array.dtype.newbyteorder("=")

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return rows ``start..stop-1``: a view, unless the byte order is foreign."""
        return self._array[start:stop].astype(self.dtype, copy=False)


def check_range(start: int, stop: int, n: int, where: str) -> None:
    """Refuse a range that is not within ``0..n``."""
    if not 0 <= start <= stop <= n:
        raise RowIndexError("row-out-of-range", f"range {start}:{stop}", where=where, expected=f"within 0:{n}")


def _checked_offsets(offsets: NDArray[Any], n: int, where: str) -> NDArray[np.int64]:
    if offsets.dtype.kind not in "iu" or offsets.shape != (n + 1,):
        raise InvalidDataError(
            "bad-matrix",
            "indptr does not fit the shape",
            where=f"{where}/indptr",
            expected=f"{n + 1} integers",
            found=f"type {offsets.dtype}, shape {offsets.shape}",
        )
    wide: NDArray[np.int64] = offsets.astype(np.int64)
    if wide[0] != 0:
        raise InvalidDataError("bad-matrix", "indptr does not start at 0", where=f"{where}/indptr", found=int(wide[0]))
    falls = np.flatnonzero(np.diff(wide) < 0)
    if len(falls):
        raise InvalidDataError(
            "bad-matrix", "indptr falls", where=f"{where}/indptr", found=f"a smaller value after row {int(falls[0])}"
        )
    return wide


def _signed(indices: NDArray[Any]) -> NDArray[np.int32] | NDArray[np.int64]:
    """Widen indices to int32 or int64; those of these types, all that AnnData writes, are passed on as they are."""
    if indices.dtype in (np.int32, np.int64):
        return indices
    return indices.astype(np.int32) if indices.dtype.itemsize < 4 else indices.astype(np.int64)
