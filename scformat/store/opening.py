"""The root of a store, decoded, and refused where its members do not fit one another."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from scformat.errors import InvalidDataError
from scformat.root import decode_root, uncollected
from scformat.structure import check_structure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scformat.manifest import Genes, Manifest
    from scformat.storage import Storage

_ANY_GENES = 1 << 20
"""So many are believed: what is made of that size is small."""


def open_root(data: bytes, *, where: str) -> Manifest:
    """Read the manifest of a root ``zarr.json``; what it says of sizes and types holds for all of its arrays.

    Raises
    ------
    InvalidDataError
        ``bad-manifest``: its members do not fit one another; and what :func:`scformat.root.decode_root` raises.
    UnsupportedError
        ``unsupported-version``, ``unknown-feature``.
    """
    with uncollected():
        manifest = decode_root(data, where=where)
        check_structure(manifest, _Refusal(where))
    return manifest


def require_genes(storage: Storage, genes: Genes) -> None:
    """Raise where a number of genes that is beyond all reason is not that of the files as well."""
    if genes.n > _ANY_GENES:
        storage.require(genes.taxon)


class _Refusal:
    """Stops at the first thing that does not fit."""

    def __init__(self, where: str) -> None:
        self._where = where

    def add(self, requirement: str, where: str, what: str, *, expected: object = None, found: object = None) -> None:
        """Raise."""
        raise InvalidDataError(
            "bad-manifest",
            what,
            where=f"{self._where}/{where}",
            expected=expected,
            found=found,
            hint=f"it breaks {requirement} of the specification; scformat validate lists all that is wrong",
        )

    @contextmanager
    def domain(self, name: str) -> Iterator[None]:
        """Do nothing: the place is named where something is found."""
        yield
