"""Sources of cells: h5ad of every age, 10x HDF5, AnnData-Zarr, AnnData objects; all behind one protocol."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from scformat.errors import InvalidDataError, StorageError, UsageError
from scformat.sources.base import Block, CountsMatrix, Format, Layout, Source, VarTable
from scformat.sources.expand import Given, expand, stem

if TYPE_CHECKING:
    from collections.abc import Iterable

    import anndata

__all__ = [
    "Block",
    "CountsMatrix",
    "Format",
    "Given",
    "Layout",
    "Source",
    "VarTable",
    "expand",
    "get_ready",
    "open_source",
]


def get_ready(sources: Iterable[str | Path | anndata.AnnData]) -> None:
    """Start what opening these sources takes, and do not wait for it: there may be other things to do meanwhile."""
    # os.path, for which a name that cannot be is no file; opening it tells why.
    if any(isinstance(given, (str, Path)) and os.path.isfile(given) for given in sources):  # noqa: PTH113
        from scformat.sources.hdf5_process import hdf5_process

        hdf5_process().start()


def open_source(given: str | Path | anndata.AnnData, *, name: str | None = None) -> Source:
    """Open a source, whatever its format; content decides, not the name's extension.

    Parameters
    ----------
    given
        A file, a Zarr directory, or an AnnData object.
    name
        Its name; by default the file's stem, ``anndata`` for an object.

    Raises
    ------
    StorageError
        When it is not there or cannot be read.
    InvalidDataError
        When it is none of the known formats, truncated, or contradicts itself.
    """
    if not isinstance(given, (str, Path)):
        from scformat.sources.memory import MemorySource

        if not all(hasattr(given, part) for part in ("obs", "var", "X", "uns")):
            raise UsageError(
                "bad-source",
                "a source of a type that cannot be read",
                expected="a path or an AnnData object",
                found=type(given).__name__,
            )
        return MemorySource(given, name=name or "anndata")
    path = Path(given)
    try:
        is_directory = path.is_dir()
        exists = is_directory or path.exists()
    except OSError as error:
        raise StorageError("cannot-open", f"cannot be opened ({error.strerror})", where=given) from error
    if not exists:
        raise StorageError("source-not-found", "no such file or directory", where=given)
    if is_directory:
        from scformat.sources.anndata_zarr import open_anndata_zarr

        return open_anndata_zarr(given, name=name or stem(path))
    return _open_hdf5(given, name or stem(path))


def _open_hdf5(given: str | Path, name: str) -> Source:
    from scformat.sources.annotated import is_annotated
    from scformat.sources.h5ad import open_h5ad
    from scformat.sources.hdf5_remote import RemoteFile
    from scformat.sources.tenx import TenxSource, tenx_format

    file = RemoteFile(given)
    try:
        if is_annotated(file.root):
            return open_h5ad(file, name=name)
        tenx = tenx_format(file.root)
        if tenx is not None:
            return TenxSource(file, name=name, format=tenx)
        raise InvalidDataError(
            "unknown-format",
            "an HDF5 file that is neither AnnData nor 10x",
            where=given,
            expected="obs and var, matrix/features, or a genome's group",
            found=", ".join(file.root.names()[:8]) or "an empty file",
        )
    except BaseException:
        file.close()
        raise
