"""Helpers for tests of sources: a matrix in blocks, a column as a pandas column."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scformat.strings import Strings

if TYPE_CHECKING:
    from collections.abc import Callable

    import anndata

    from scformat.columns import Column
    from scformat.sources import CountsMatrix


def _whole(matrix: CountsMatrix, step: int = 97) -> np.ndarray[Any, Any]:
    """Read a matrix in blocks of `step` rows or columns, as a dense array."""
    pieces = []
    n = matrix.shape[1 if matrix.layout == "csc" else 0]
    for start in range(0, n, step):
        stop = min(start + step, n)
        block = matrix.read_columns(start, stop) if matrix.layout == "csc" else matrix.read_rows(start, stop)
        if block.dense is not None:
            pieces.append(block.dense)
            continue
        assert block.offsets is not None
        assert block.offsets[0] == 0
        if matrix.layout == "csc":
            part = sparse.csc_matrix((block.data, block.indices, block.offsets), (matrix.shape[0], stop - start))
        else:
            part = sparse.csr_matrix((block.data, block.indices, block.offsets), (stop - start, matrix.shape[1]))
        pieces.append(part.toarray())
    return np.concatenate(pieces, axis=1 if matrix.layout == "csc" else 0)


@pytest.fixture
def whole() -> Callable[..., np.ndarray[Any, Any]]:
    """Return a function that reads a matrix in blocks, as a dense array."""
    return _whole


def _series(column: Column) -> pd.Series[Any]:
    """Rebuild the pandas column that anndata gives for `column`."""
    if column.categories is not None:
        categories: Any = list(column.categories)
        if column.dtype == "bool":
            categories = np.array([text == "True" for text in categories], bool)
        elif column.dtype != "string":
            convert = float if column.dtype.startswith("float") else int
            categories = np.array([convert(text) for text in categories], column.dtype)
        else:
            categories = np.array(categories, object)
        return pd.Series(pd.Categorical.from_codes(column.codes, pd.Index(categories), ordered=column.ordered))
    values = column.values.to_numpy() if isinstance(column.values, Strings) else column.values
    if not column.nullable:
        return pd.Series(values)
    assert column.mask is not None
    numbers: Any = values
    if column.kind == "string":
        return pd.Series(np.where(column.mask, None, numbers)).astype("string")
    if column.kind == "boolean":
        return pd.Series(pd.arrays.BooleanArray(numbers, column.mask))
    return pd.Series(pd.arrays.IntegerArray(numbers, column.mask))


def _write_zarr(adata: anndata.AnnData, path: Path, version: int, **options: Any) -> None:
    import anndata

    with warnings.catch_warnings(), anndata.settings.override(zarr_write_format=version):
        # anndata announces new defaults, zarr-python that its strings in version 3 are not final.
        warnings.simplefilter("ignore")
        adata.write_zarr(path, convert_strings_to_categoricals=False, **options)


@pytest.fixture
def write_zarr() -> Callable[..., None]:
    """Return a function that writes an object as Zarr of version 2 or 3."""
    return _write_zarr


@pytest.fixture
def series() -> Callable[[Column], pd.Series[Any]]:
    """Return a function that rebuilds a pandas column."""
    return _series
