"""What every kind of source offers: one matrix after another, obs columns, var tables.

The readers of h5ad, 10x HDF5, AnnData-Zarr and objects in memory implement :class:`Source` and
:class:`CountsMatrix`; the conversion knows these two only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from scformat.columns import Column
    from scformat.strings import Strings

Layout = Literal["csr", "csc", "dense"]
Format = Literal["h5ad", "10x-v2", "10x-v3", "anndata-zarr", "anndata"]


@dataclass(frozen=True, kw_only=True, eq=False)
class VarTable:
    """The var table of one counts matrix.

    Attributes
    ----------
    index
        The var names, one per column of the matrix.
    index_name
        The name the source gives its index, None where it has none.
    columns
        The columns that can be read, in the source's order, without the index.
    not_kept
        One line for each column that could not be read, with the reason.
    """

    index: Strings
    index_name: str | None
    columns: dict[str, Column]
    not_kept: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """Consecutive rows (CSR, dense) or columns (CSC) of a matrix, as the source stores them.

    Attributes
    ----------
    offsets : int64 array, shape (k + 1,), or None
        Entry range of each row (or column) within `indices` and `data`; starts at 0. None for a dense block.
    indices : int32 or int64 array, shape (nnz,), or None
        Column (CSC: row) of each entry, in the source's order, which need not be sorted. NOT checked to lie
        within the matrix: whoever scatters by them must.
    data : array, shape (nnz,), or None
        The stored values in the source's own numeric dtype (boolean possible), explicit zeros included.
    dense : array, shape (k, m), or None
        The values of a dense block.
    """

    offsets: NDArray[np.int64] | None = None
    indices: NDArray[np.int32] | NDArray[np.int64] | None = None
    data: NDArray[Any] | None = None
    dense: NDArray[Any] | None = None


class CountsMatrix(Protocol):
    """A matrix of cells by genes in one place of a source.

    Reading methods may be called from several threads at once. The structure (monotone offsets that end where
    the entries do, shapes) is checked when the matrix is opened; `indices` are left to the reader of a block.
    """

    @property
    def location(self) -> str:
        """``X``, ``raw``, ``layers/NAME``; ``matrix`` for 10x."""

    @property
    def layout(self) -> Layout:
        """How the matrix is stored."""

    @property
    def shape(self) -> tuple[int, int]:
        """Cells, genes."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored values."""

    @property
    def n_stored(self) -> int:
        """Stored entries, explicit zeros included; of a dense matrix, all of them."""

    @property
    def bytes_stored(self) -> int:
        """Bytes that the entries take once decoded (indices and values): what reading all of it moves."""

    @property
    def row_step(self) -> int:
        """Rows (CSC: columns) a block should be a multiple of so that no chunk is decoded twice; 1 if free."""

    @property
    def var(self) -> VarTable:
        """The table of its columns, read once."""

    def row_offsets(self) -> NDArray[np.int64]:
        """Offsets of the rows, shape (n_cells + 1,); CSR only (TypeError otherwise)."""

    def col_offsets(self) -> NDArray[np.int64]:
        """Offsets of the columns, shape (n_genes + 1,); CSC only (TypeError otherwise)."""

    def read_rows(self, start: int, stop: int) -> Block:
        """Read rows ``start..stop-1``; CSR and dense (TypeError for CSC). Thread-safe."""

    def read_columns(self, start: int, stop: int) -> Block:
        """Read columns ``start..stop-1``; CSC only (TypeError otherwise). Thread-safe."""


class Source(Protocol):
    """One file, directory or object with cells."""

    @property
    def name(self) -> str:
        """Its name: the file's stem unless another was given."""

    @property
    def path(self) -> str | None:
        """Where it lies, as it was given; None for an object in memory."""

    @property
    def format(self) -> Format:
        """Which of the known formats it is."""

    @property
    def n_cells(self) -> int:
        """Number of cells."""

    @property
    def index_name(self) -> str | None:
        """The name of obs' index."""

    def matrices(self) -> list[CountsMatrix]:
        """Where counts may be: ``raw``, ``layers/counts``, ``X``, those of them that are there, in this order."""

    def matrix(self, location: str) -> CountsMatrix:
        """Return the matrix at `location`; UnknownNameError lists those there."""

    def locations(self) -> list[str]:
        """Every matrix that :meth:`matrix` accepts."""

    def graphs(self) -> list[str]:
        """Names of the matrices of cells by cells, sorted: what ``obsp`` holds."""

    def graph(self, name: str) -> CountsMatrix:
        """Return the matrix of cells by cells of a name; it has no var table. UnknownNameError lists those there."""

    def barcodes(self) -> Strings:
        """Return the index of obs."""

    def obs(self) -> dict[str, Column]:
        """All obs columns that can be kept, in the source's order, without the index."""

    def uns_text(self) -> dict[str, str]:
        """Scalar strings at the top of uns: organism, title, citation."""

    def not_kept(self, *, counts: str | None = None) -> list[str]:
        """List what a conversion leaves behind, one line each (``obsm/X_pca``, ``obs/when (datetime64[ns])``).

        With `counts`, the location that counts are taken from, every other matrix is listed too.
        """

    def sha256(self) -> str:
        """Return a SHA-256, hexadecimal.

        Of a file's bytes; of a directory, over its sorted ``relative-path TAB sha256 LF`` lines; of an object in
        memory, over its names, columns and matrices.
        """

    def close(self) -> None:
        """Release the file; matrices of it cannot be read any more."""
