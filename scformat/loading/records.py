"""The records of the cells of a window: where their entries lie, sources, totals and labels, read together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scformat.layout import RECORD_FIELDS
from scformat.store.fetch import locate_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scformat.store.segments import Segment

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


def read_records(segment: Segment, rows: NDArray[np.int64], labels: Sequence[str]) -> Records:
    """Read the records of some rows of a segment, numbered from its first.

    Raises
    ------
    InvalidDataError
        ``bad-row-end``; a chunk is missing or damaged; ``bad-code``.
    """
    starts, stops, held = locate_rows(segment.storage, segment.part, segment.shard_rows, rows)
    codes = np.empty((len(labels), len(rows)), np.int32)
    for some, name in zip(codes, labels, strict=True):
        some[:] = segment.codes_in(name, held, rows)
    return Records(
        starts=starts,
        stops=stops,
        source=segment.sources(held[_SOURCE]),
        total=held[_TOTAL].astype(np.int64),
        labels=codes,
    )
