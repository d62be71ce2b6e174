"""Several stores read as one: over all their genes, with one numbering of cells, categories, sources and splits."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable

from scformat.caching import Cache
from scformat.collection.plan import check_different
from scformat.collection.united import Collection
from scformat.errors import UsageError
from scformat.store import Store, open_store

__all__ = ["Collection", "open_stores"]


def open_stores(
    given: str | os.PathLike[str] | Store | Iterable[str | os.PathLike[str] | Store],
    *,
    cache: str | os.PathLike[str] | Cache | None = None,
    cache_size: str | int | None = None,
) -> Store:
    """Open a store, or several as one; see :func:`scformat.open`."""
    if isinstance(given, Store):
        return given
    if isinstance(given, str | os.PathLike) or not isinstance(given, Iterable):
        return open_store(given, cache=cache, cache_size=cache_size)
    stores: list[Store] = []
    for one in given:
        opened = one if isinstance(one, Store) else open_store(one, cache=cache, cache_size=cache_size)
        stores += opened.stores if isinstance(opened, Collection) else [opened]
    if not stores:
        raise UsageError("no-stores", "no store is given", expected="a path, or a list of paths", found="an empty list")
    if len(stores) == 1:
        return stores[0]
    check_different([store.manifest for store in stores], [store.path for store in stores])
    opened = Collection(stores)
    if not opened.same_splits:
        text = "the splits of the stores were made by different rules: a group may be in different ones in two stores"
        warnings.warn(text, UserWarning, stacklevel=3)
    return opened
