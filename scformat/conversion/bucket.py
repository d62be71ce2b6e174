"""A store in a bucket appears whole or not at all: its root is the last object, and comes by a conditional request.

There is no place beside it to be written to first and moved from: its objects are written where they will lie, and are
no store before the root is there. So that no two conversions write there at a time, the first object is a claim.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from scformat.conversion.publish import Workplace
from scformat.errors import ScformatError, StorageError, UsageError
from scformat.publishing import claim_group
from scformat.storage import MANIFEST_KEY, Storage

if TYPE_CHECKING:
    from collections.abc import Iterator

CLAIM = "parts"
"""Group of every store, written first with bytes of one conversion only, and at the end as it should be."""


@contextlib.contextmanager
def in_bucket(destination: str, *, overwrite: bool, resume: bool) -> Iterator[Workplace]:
    """Give a prefix of a bucket where nothing lies; what was written goes again unless a root is there at the end.

    Parameters
    ----------
    destination
        Its address.
    overwrite, resume
        Refused.

    Raises
    ------
    UsageError
        ``cannot-overwrite``, ``cannot-resume``, ``destination-exists``.
    StorageError
        ``read-only``: an HTTP address.
    """
    if overwrite:
        raise UsageError(
            "cannot-overwrite",
            "a store in a bucket cannot be replaced in one step",
            where=destination,
            hint="convert to another prefix, and remove the old one when nobody reads it",
        )
    if resume:
        raise UsageError(
            "cannot-resume",
            "a conversion into a bucket keeps nothing to go on from",
            where=destination,
            hint="convert into a directory with --resume, and copy it with the bucket's own tools, zarr.json last",
        )
    if urlsplit(destination).scheme in ("http", "https"):
        raise StorageError("read-only", "nothing can be written here", where=destination, hint="use s3://")
    storage = Storage(destination)
    if storage.keys():
        raise _occupied(storage)
    if not claim_group(storage, CLAIM):
        raise _occupied(storage)
    try:
        with tempfile.TemporaryDirectory(prefix="scformat-") as scratch:
            yield Workplace(storage=storage, scratch=Path(scratch), journal=None)
    except BaseException:
        with contextlib.suppress(ScformatError):
            if storage.read(MANIFEST_KEY) is None:
                storage.discard("")
        raise


def _occupied(storage: Storage) -> UsageError:
    if storage.read(MANIFEST_KEY) is not None:
        return UsageError("destination-exists", "the destination exists", where=storage.url, hint="choose another")
    return UsageError(
        "destination-exists",
        "objects lie at the destination, but no store: of a conversion under way, or of one that was killed",
        where=storage.url,
        hint="choose another, or remove them with the bucket's own tools if no conversion is at work",
    )
