"""The records of the cells of a window: where their entries lie, sources, totals and labels, read together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scformat.layout import RECORD_FIELDS
from scformat.store.codes import check_codes, label_codes, source_numbers
from scformat.store.fetch import locate_rows, read_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scformat.manifest import Part
    from scformat.storage import Storage
    from scformat.store import Store

_SOURCE, _TOTAL = (RECORD_FIELDS.index(name) for name in ("source", "total_counts"))


@dataclass(frozen=True, kw_only=True, eq=False)
class Records:
    """What the records of some cells of a part say.

    Attributes
    ----------
    starts, stops : int64 arrays, shape (n,)
        Where the entries of each cell begin and end, counted over the whole entries array.
    source : int32 array, shape (n,)
    total : int64 array, shape (n,)
        Sum over all columns of the cell's source; :data:`scformat.layout.RECOMPUTE` where it has to be computed.
    labels : int32 array, shape (n_labels, n)
        -1 where a cell has no value.
    """

    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    source: NDArray[np.int32]
    total: NDArray[np.int64]
    labels: NDArray[np.int32]


def read_records(
    storage: Storage, part: Part, shard_rows: NDArray[np.int64], rows: NDArray[np.int64], labels: Sequence[str]
) -> Records:
    """Read the records of some rows of a part, numbered from its first.

    Raises
    ------
    InvalidDataError
        ``bad-row-end``; a chunk is missing or damaged.
    """
    starts, stops, held = locate_rows(storage, part, shard_rows, rows)
    codes = np.full((len(labels), len(rows)), -1, np.int32)
    for i, name in enumerate(labels):
        place = part.labels.get(name)
        if place is not None and place.field is not None:
            codes[i] = held[place.field]
        elif place is not None and place.array is not None:
            codes[i] = read_at(storage, place.array, rows, cells=part.start + rows)
    check_codes(held[_SOURCE], source_numbers(part), where=storage.at(part.index.path))
    return Records(
        starts=starts,
        stops=stops,
        source=held[_SOURCE],
        total=held[_TOTAL].astype(np.int64),
        labels=codes,
    )


def check_labels(store: Store, labels: Sequence[str], codes: NDArray[np.int32]) -> None:
    """Refuse codes that are no categories of their labels; int32, shape (n_labels, n)."""
    for name, some in zip(labels, codes, strict=True):
        check_codes(some, label_codes(store.manifest, name), where=f"{store.path}, label {name!r}")
