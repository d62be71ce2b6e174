"""Batches of a run that cannot be read whole: an error meets the batch that it concerns, and names its cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scformat.errors import InvalidDataError
from scformat.loading.window import read_window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scformat.loading.window import Held
    from scformat.store import Store

NAMED = 5
"""Cells that an error lists."""


def read_batch(store: Store, rows: NDArray[np.int64], *, labels: Sequence[str] = ()) -> Held:
    """Read the cells of one batch.

    Raises
    ------
    InvalidDataError
        As :func:`scformat.loading.window.read_window`, and names the cells that cannot be read.
    """
    try:
        return read_window(store, rows, labels=labels)
    except InvalidDataError as error:
        bad = [row for row in np.unique(rows).tolist() if not _readable(store, row, labels)]
        if not bad:
            raise
        cells = ", ".join(map(str, bad[:NAMED])) + (f" and {len(bad) - NAMED} more" if len(bad) > NAMED else "")
        raise InvalidDataError(
            error.code,
            error.what,
            where=error.where,
            expected=error.expected,
            found=f"{error.found}, for cell {cells}" if error.found else f"cell {cells}",
            hint=error.hint,
        ) from error


def _readable(store: Store, row: int, labels: Sequence[str]) -> bool:
    try:
        read_window(store, np.array([row]), labels=labels)
    except InvalidDataError:
        return False
    return True
