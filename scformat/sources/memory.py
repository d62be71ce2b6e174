"""AnnData objects in memory, backed ones too."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from scformat.columns import Column
from scformat.errors import InvalidDataError, UnsupportedError, unknown_name
from scformat.sources.annotated import CANDIDATES, no_var, open_matrix
from scformat.sources.base import VarTable
from scformat.sources.dataframe import UnsupportedColumnError, categorical, plain_column
from scformat.sources.hdf5_tree import Hdf5File
from scformat.sources.matrices import ArrayRows, DenseMatrix, SparseMatrix
from scformat.sources.text import plain_text, to_strings
from scformat.strings import Strings

if TYPE_CHECKING:
    from collections.abc import Callable

    import anndata
    import pandas as pd

    from scformat.sources.base import CountsMatrix, Format

_DIGEST_ENTRIES = 1 << 22


class MemorySource:
    """An AnnData object.

    Matrices in memory are used as they are, without a copy; those of a backed object are read from its file.
    The object must not change while the source is in use.
    """

    path: str | None = None
    format: Format = "anndata"

    def __init__(self, adata: anndata.AnnData, *, name: str) -> None:
        self.name = name
        self._adata = adata
        self._where = name
        self.n_cells = int(adata.n_obs)
        self.index_name = None if adata.obs.index.name is None else str(adata.obs.index.name)
        self._opened: dict[str, CountsMatrix] = {}
        self._files: list[Hdf5File] = []

    def locations(self) -> list[str]:
        """Every place that holds a matrix, the candidates for counts first."""
        adata = self._adata
        found = [f"layers/{name}" for name in adata.layers]
        found += ["X"] if adata.X is not None else []
        found += ["raw"] if adata.raw is not None else []
        return sorted(found, key=lambda place: (CANDIDATES.index(place) if place in CANDIDATES else 3, place))

    def matrices(self) -> list[CountsMatrix]:
        """Open the candidates that are there: ``raw``, ``layers/counts``, ``X``."""
        return [self.matrix(place) for place in self.locations() if place in CANDIDATES]

    def matrix(self, location: str) -> CountsMatrix:
        """Open the matrix at `location`."""
        if location not in self._opened:
            if location not in self.locations():
                raise unknown_name("matrix", location, self.locations(), where=self._where)
            self._opened[location] = self._open(location)
        return self._opened[location]

    def _open(self, location: str) -> CountsMatrix:
        adata = self._adata
        frame = adata.raw.var if location == "raw" else adata.var

        def var() -> VarTable:
            columns, not_kept = frame_columns(frame, where=f"{self._where}:var")
            name = None if frame.index.name is None else str(frame.index.name)
            index = to_strings(frame.index.to_numpy(object), where=f"{self._where}:var")
            return VarTable(index=index, index_name=name, columns=columns, not_kept=not_kept)

        if location in {"raw", "X"}:
            stored = adata.raw.X if location == "raw" else adata.X
        else:
            stored = adata.layers[location.removeprefix("layers/")]
        return self._matrix_of(stored, location, var)

    def _matrix_of(self, stored: Any, location: str, var: Callable[[], VarTable]) -> CountsMatrix:
        from scipy import sparse

        where = f"{self._where}:{location}"
        if sparse.issparse(stored) and stored.format in {"csr", "csc"}:
            n_stored = int(stored.indptr[-1])
            return SparseMatrix(
                location=location,
                where=where,
                layout=stored.format,
                shape=(int(stored.shape[0]), int(stored.shape[1])),
                offsets=stored.indptr,
                indices=ArrayRows(stored.indices[:n_stored]),
                data=ArrayRows(stored.data[:n_stored]),
                var=var,
            )
        if isinstance(stored, np.ndarray):
            return DenseMatrix(location=location, where=where, rows=ArrayRows(np.asarray(stored)), var=var)
        item = getattr(stored, "group", stored)
        if isinstance(item, (h5py.Group, h5py.Dataset)):
            file = Hdf5File.borrowed(item.file)
            self._files.append(file)
            return open_matrix(file.node(item), location=location, var=var)
        raise UnsupportedError(
            "unsupported-matrix",
            "a matrix of a type that cannot be read",
            where=where,
            expected="a scipy CSR or CSC matrix, or a numpy array",
            found=type(stored).__name__,
            hint="bring it into memory first (a lazy array: .compute())",
        )

    def graphs(self) -> list[str]:
        """Names of the matrices in ``obsp``."""
        return sorted(map(str, self._adata.obsp))

    def graph(self, name: str) -> CountsMatrix:
        """Open a matrix of ``obsp``."""
        if name not in self._adata.obsp:
            raise unknown_name("obsp matrix", name, self.graphs(), where=self._where)
        return self._matrix_of(self._adata.obsp[name], f"obsp/{name}", no_var)

    def barcodes(self) -> Strings:
        """Return the index of obs."""
        return to_strings(self._adata.obs.index.to_numpy(object), where=f"{self._where}:obs")

    @cached_property
    def _obs(self) -> tuple[dict[str, Column], list[str]]:
        return frame_columns(self._adata.obs, where=f"{self._where}:obs")

    def obs(self) -> dict[str, Column]:
        """All obs columns that can be kept, in order."""
        return dict(self._obs[0])

    def uns_text(self) -> dict[str, str]:
        """Scalar strings at the top of uns."""
        texts = {str(name): plain_text(value) for name, value in self._adata.uns.items()}
        return {name: text for name, text in texts.items() if text is not None}

    def not_kept(self, *, counts: str | None = None) -> list[str]:
        """List what a conversion leaves behind, one line each."""
        adata = self._adata
        left = [f"obs/{line}" for line in self._obs[1]]
        left += [f"var/{name}" for name in adata.var.columns]
        for place in ("obsm", "varm", "obsp", "varp"):
            left += [f"{place}/{name}" for name in sorted(getattr(adata, place))]
        left += [place for place in self.locations() if counts is not None and place != counts]
        left += [f"uns/{name}" for name in sorted(map(str, adata.uns)) if name not in self.uns_text()]
        left += ["raw/varm"] if adata.raw is not None and len(adata.raw.varm) else []
        return left

    def sha256(self) -> str:
        """SHA-256 over names, obs columns and every matrix: a digest of the content, not of any file's bytes."""
        digest = hashlib.sha256()

        def add(what: str, *values: np.ndarray[Any, Any] | Strings | None) -> None:
            digest.update(f"{what}\n".encode())
            for value in values:
                arrays = (value.offsets, value.data) if isinstance(value, Strings) else (value,)
                for array in arrays:
                    if array is not None:
                        digest.update(f"{array.dtype.str} {array.shape}\n".encode())
                        digest.update(np.ascontiguousarray(array).data)

        add("obs", self.barcodes())
        for name, column in self.obs().items():
            add(f"{name} {column.kind} {column.dtype} {column.categories} {column.ordered}", column.values, column.mask)
        for location in self.locations():
            matrix = self.matrix(location)
            add(f"{location} {matrix.layout} {matrix.shape}", matrix.var.index)
            by_column = matrix.layout == "csc"
            n_lines = matrix.shape[1 if by_column else 0]
            step = max(1, _DIGEST_ENTRIES // max(1, matrix.n_stored // max(1, n_lines)))
            for start in range(0, n_lines, step):
                read = matrix.read_columns if by_column else matrix.read_rows
                block = read(start, min(start + step, n_lines))
                add(str(start), block.offsets, block.indices, block.data, block.dense)
        return digest.hexdigest()

    def close(self) -> None:
        """Close what was opened beside the object; the object itself stays as it is."""
        for file in self._files:
            file.close()


def frame_columns(frame: pd.DataFrame, *, where: str) -> tuple[dict[str, Column], list[str]]:
    """Read the columns of a data frame.

    Returns
    -------
    columns
        Those of a known type, in order.
    not_kept
        ``NAME (reason)`` of each of the others.
    """
    columns: dict[str, Column] = {}
    not_kept = []
    for position, label in enumerate(frame.columns):
        name = str(label)
        if name in columns:
            raise InvalidDataError("duplicate-column", f"two columns {name!r}", where=where)
        try:
            columns[name] = series_column(frame.iloc[:, position], where=f"{where}/{name}")
        except UnsupportedColumnError as reason:
            not_kept.append(f"{name} ({reason})")
    return columns, not_kept


def series_column(series: pd.Series[Any], *, where: str) -> Column:
    """Type a pandas column; UnsupportedColumnError for what a store cannot keep."""
    import pandas as pd
    from pandas.api import types

    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        categories = dtype.categories
        if not types.is_numeric_dtype(categories.dtype) and pd.api.types.infer_dtype(categories) not in {
            "string",
            "empty",
        }:
            raise UnsupportedColumnError(f"categories of type {categories.dtype}")
        numeric = types.is_numeric_dtype(categories.dtype) and isinstance(categories.dtype, np.dtype)
        values = categories.to_numpy() if numeric else categories.to_numpy(object)
        return categorical(series.cat.codes.to_numpy(), values, ordered=bool(dtype.ordered), where=where)
    if isinstance(dtype, pd.StringDtype):
        return _text_column(series, nullable=dtype.na_value is pd.NA, where=where)
    if isinstance(dtype, np.dtype):
        if dtype.kind != "O":
            return plain_column(series.to_numpy(), where=where)
        kind = types.infer_dtype(series, skipna=True)
        if kind not in {"string", "empty"}:
            raise UnsupportedColumnError(f"objects: {kind}")
        return _text_column(series, nullable=False, where=where)
    stored = getattr(dtype, "numpy_dtype", None)
    if isinstance(stored, np.dtype) and stored.kind in "iufb":
        mask = series.isna().to_numpy(bool)
        inner = plain_column(series.to_numpy(stored, na_value=stored.type(0)), where=where)
        return Column(kind=inner.kind, dtype=inner.dtype, values=inner.values, mask=mask, nullable=True)
    raise UnsupportedColumnError(f"type {dtype}")


def _text_column(series: pd.Series[Any], *, nullable: bool, where: str) -> Column:
    mask = series.isna().to_numpy(bool)
    values = series.to_numpy(object).copy()
    values[mask] = ""
    return Column(
        kind="string",
        dtype="string",
        values=to_strings(values, where=where),
        mask=mask if nullable or mask.any() else None,
        nullable=nullable,
    )
