"""Sources and matrices that any process can open: they travel as where they lie."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from scformat.conversion.transpose import open_transposed
from scformat.errors import UsageError
from scformat.sources import open_source

if TYPE_CHECKING:
    from scformat.sources.base import CountsMatrix, Source

_opened: WeakValueDictionary[tuple[str, str], LocatedSource] = WeakValueDictionary()
_opening = threading.Lock()


class LocatedSource:
    """A source, open or to be opened at its first use.

    Parameters
    ----------
    path, name
        Where it lies, None for an object in memory; and its name.
    source
        Where it is open already.
    """

    def __init__(self, path: str | None, name: str, source: Source | None = None) -> None:
        self.path, self.name = path, name
        self._source = source
        self._lock = threading.Lock()

    @classmethod
    def of(cls, source: Source) -> LocatedSource:
        """Locate an open source."""
        return cls(source.path, source.name, source)

    @property
    def source(self) -> Source:
        """The open source."""
        with self._lock:
            if self._source is None:
                self._source = open_source(str(self.path), name=self.name)
            return self._source

    def __reduce__(self) -> tuple[Any, ...]:
        if self.path is None:
            raise UsageError(
                "source-in-memory",
                "an object in memory cannot be converted by a cluster",
                where=self.name,
                expected="a file that every worker can open",
                hint="write it with write_h5ad, or leave dask out",
            )
        return located_source, (str(Path(self.path).absolute()), self.name)


def located_source(path: str, name: str) -> LocatedSource:
    """Return the source at an absolute path, the same one for all who ask in this process."""
    with _opening:
        found = _opened.get((path, name))
        if found is None:
            found = _opened[path, name] = LocatedSource(path, name)
        return found


class LocatedMatrix:
    """A matrix of a source.

    Parameters
    ----------
    source, location
        Which one.
    rows
        Directory of a copy by rows (see :func:`scformat.conversion.transpose.transpose`), None where there is none.
    """

    def __init__(self, source: LocatedSource, location: str, rows: Path | None = None) -> None:
        self.source, self.location, self.rows = source, location, rows
        self._matrix: CountsMatrix | None = None
        self._lock = threading.Lock()

    @property
    def matrix(self) -> CountsMatrix:
        """The open matrix; where there is a copy by rows, that."""
        with self._lock:
            if self._matrix is None:
                matrix = self.source.source.matrix(self.location)
                where = f"{self.source.path or self.source.name}:{self.location}"
                self._matrix = matrix if self.rows is None else open_transposed(matrix, self.rows, where=where)
            return self._matrix

    def __reduce__(self) -> tuple[Any, ...]:
        return LocatedMatrix, (self.source, self.location, self.rows)
