"""Writing an h5ad file whose cells come block by block: AnnData's on-disk encoding, with h5py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import h5py
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

X_CHUNK = 1 << 18
"""Most entries in a chunk of the matrix: 1 MiB."""
COLUMN_CHUNK = 1 << 15
_CACHE = 32 << 20

Compression = Literal["gzip"] | None


class H5adWriter:
    """An h5ad file with X as CSR (float32 data, int32 indices), obs and var; use it as a context.

    Parameters
    ----------
    path
        The file, created anew.
    n_cells, n_genes
        Shape of X.
    compression
        Of X's data and indices and of the obs columns.
    """

    def __init__(self, path: Path, n_cells: int, n_genes: int, *, compression: Compression) -> None:
        self._file = h5py.File(path, "w", rdcc_nbytes=_CACHE)
        self._n_cells, self._compression = n_cells, compression
        self._end = 0
        _mark(self._file, "anndata", "0.1.0")
        for name in ("layers", "obsm", "obsp", "uns", "varm", "varp"):
            _mark(self._file.create_group(name), "dict", "0.1.0")
        x = self._file.create_group("X")
        _mark(x, "csr_matrix", "0.1.0")
        x.attrs["shape"] = np.array([n_cells, n_genes], np.int64)
        chunk = min(X_CHUNK, 1 << max(10, (n_cells * max(n_genes // 16, 1)).bit_length()))
        self._data = self._growing(x, "data", np.float32, chunk)
        self._indices = self._growing(x, "indices", np.int32, chunk)
        # Row ends beyond int32 only where there could be so many entries: not known before the last cell.
        wide = n_cells * n_genes >= 1 << 31
        self._indptr = self._column(x, "indptr", np.dtype(np.int64 if wide else np.int32), n_cells + 1)
        self._indptr[0] = 0
        self._obs = self._file.create_group("obs")
        self._var = self._file.create_group("var")

    def __enter__(self) -> H5adWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write_uns(self, texts: Mapping[str, str]) -> None:
        """Write text entries of ``uns``."""
        for name, text in texts.items():
            _mark(self._file["uns"].create_dataset(name, data=text, dtype=h5py.string_dtype()), "string", "0.2.0")

    def write_var(self, ids: Sequence[str], texts: Mapping[str, Sequence[str]]) -> None:
        """Write ``var``: the index and columns that are stored as categoricals where their values repeat."""
        _frame(self._var, "_index", list(texts))
        _strings(self._var, "_index", ids)
        for name, values in texts.items():
            distinct = sorted(set(values))
            if 2 * len(distinct) > len(values):
                _strings(self._var, name, values)
                continue
            code = {value: i for i, value in enumerate(distinct)}
            group = _categorical(self._var, name, distinct, ordered=False)
            codes = np.array([code[value] for value in values], _code_type(len(distinct)))
            _mark(group.create_dataset("codes", data=codes), "array", "0.2.0")

    def create_obs(self, columns: Sequence[str]) -> None:
        """Create ``obs`` with its index ``_index``; the columns named here must all be created after."""
        _frame(self._obs, "_index", columns)
        kept = self._obs.create_dataset(
            "_index", (self._n_cells,), h5py.string_dtype(), chunks=(min(COLUMN_CHUNK, self._n_cells),)
        )
        _mark(kept, "string-array", "0.2.0")

    def create_categorical(self, name: str, categories: Sequence[str], *, ordered: bool) -> None:
        """Create a categorical column of obs."""
        group = _categorical(self._obs, name, categories, ordered=ordered)
        _mark(self._column(group, "codes", _code_type(len(categories)), self._n_cells), "array", "0.2.0")

    def create_array(self, name: str, dtype: type[np.generic]) -> None:
        """Create a column of obs of plain numbers or booleans."""
        _mark(self._column(self._obs, name, np.dtype(dtype), self._n_cells), "array", "0.2.0")

    def create_nullable_integer(self, name: str) -> None:
        """Create a column of obs of pandas' type ``Int64``."""
        group = self._obs.create_group(name)
        _mark(group, "nullable-integer", "0.1.0")
        _mark(self._column(group, "values", np.dtype(np.int64), self._n_cells), "array", "0.2.0")
        _mark(self._column(group, "mask", np.dtype(np.bool_), self._n_cells), "array", "0.2.0")

    def write_obs(self, path: str, first: int, values: NDArray[Any] | list[str]) -> None:
        """Write rows of an obs column, from row `first` on; `path` is ``name/codes`` and so on where it has parts."""
        self._obs[path][first : first + len(values)] = values

    def append_rows(self, first: int, ends: NDArray[np.int64], indices: NDArray[Any], data: NDArray[Any]) -> None:
        """Append rows to X: `ends` are the ends of rows within `indices` and `data`; `first` is the first row."""
        stop = self._end + len(indices)
        for dataset, values in ((self._data, data), (self._indices, indices)):
            dataset.resize((stop,))
            dataset[self._end : stop] = values
        self._indptr[first + 1 : first + 1 + len(ends)] = ends + self._end
        self._end = stop

    def _growing(self, group: Any, name: str, dtype: type[np.generic], chunk: int) -> Any:
        return group.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(chunk,), compression=self._compression)

    def _column(self, group: Any, name: str, dtype: np.dtype[Any], n: int) -> Any:
        return group.create_dataset(name, (n,), dtype, chunks=(min(COLUMN_CHUNK, n),), compression=self._compression)


def _mark(item: Any, encoding: str, version: str) -> None:
    item.attrs["encoding-type"] = encoding
    item.attrs["encoding-version"] = version


def _frame(group: Any, index: str, columns: Sequence[str]) -> None:
    _mark(group, "dataframe", "0.2.0")
    group.attrs["_index"] = index
    group.attrs.create("column-order", list(columns), dtype=h5py.string_dtype())


def _strings(group: Any, name: str, values: Sequence[str]) -> None:
    _mark(group.create_dataset(name, data=list(values), dtype=h5py.string_dtype()), "string-array", "0.2.0")


def _categorical(group: Any, name: str, categories: Sequence[str], *, ordered: bool) -> Any:
    made = group.create_group(name)
    _mark(made, "categorical", "0.2.0")
    made.attrs["ordered"] = np.bool_(ordered)
    _strings(made, "categories", categories)
    return made


def _code_type(n: int) -> np.dtype[Any]:
    return np.dtype(np.int8 if n < 1 << 7 else np.int16 if n < 1 << 15 else np.int32)
