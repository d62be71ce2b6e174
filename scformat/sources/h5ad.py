"""h5ad: AnnData in HDF5."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scformat.sources.annotated import AnnotatedSource
from scformat.sources.digest import file_sha256

if TYPE_CHECKING:
    from scformat.sources.hdf5_remote import RemoteFile


def open_h5ad(file: RemoteFile, *, name: str) -> AnnotatedSource:
    """Make a source of an open HDF5 file that has AnnData's tables; it owns the file from then on."""
    return AnnotatedSource(
        file.root,
        name=name,
        path=file.path,
        format="h5ad",
        digest=lambda: file_sha256(file.path),
        close=file.close,
    )
