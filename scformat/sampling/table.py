"""A sampling table: strata, their integer masses and the alias table over them."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.errors import UsageError
from scformat.sampling.alias import AliasTable, build_alias
from scformat.sampling.independent import draw_cells
from scformat.sampling.masses import check_masses, integer_masses, tempered
from scformat.sampling.strata import ResidentRows, RowList, Strata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import ArrayLike, NDArray

_HASHED_AT_ONCE = 1 << 20


class Table:
    """A distribution over cells.

    Parameters
    ----------
    masses : int64 array, shape (K,)
        They sum to 2^B.
    counts : int64 array, shape (K,)
        Cells of each stratum, at least one where the mass is above zero.
    strata
        The rows, or a function that reads them when a cell is first asked for.
    alias
        As it was stored; None: built from the masses when needed.
    cells_digest
        What the row numbers refer to, in 64 hexadecimal digits; empty for rows of nothing stored.
    digest
        :attr:`digest` of a stored table, so that it need not be computed.

    Attributes
    ----------
    masses, counts, bits
    """

    def __init__(
        self,
        masses: NDArray[np.int64],
        counts: NDArray[np.int64],
        strata: Strata | Callable[[], Strata],
        *,
        alias: AliasTable | Callable[[], AliasTable] | None = None,
        cells_digest: str = "",
        digest: str | None = None,
    ) -> None:
        self.masses = masses
        self.counts = counts
        self.bits = check_masses(masses)
        self.cells_digest = cells_digest
        self._given = strata
        self._alias = alias
        self._digest = digest
        if len(counts) != len(masses) or bool((counts < (masses > 0)).any()):
            raise UsageError("bad-strata", "a stratum that can be drawn has no cells, or counts do not fit masses")

    @classmethod
    def from_weights(cls, rows: Iterable[ArrayLike], weights: ArrayLike) -> Table:
        """Make a table of lists of rows and the weight of each list."""
        strata = Strata.of_rows(rows)
        return cls(integer_masses(weights), strata.counts, strata)

    @classmethod
    def uniform(cls, rows: ArrayLike) -> Table:
        """Make a table of one stratum: every cell alike."""
        return cls.from_weights([rows], [1.0])

    def __len__(self) -> int:
        return len(self.masses)

    @cached_property
    def strata(self) -> Strata:
        """The rows of each stratum.

        Raises
        ------
        UsageError
            ``bad-strata``: they are not as many as `counts` says.
        """
        strata = self._given if isinstance(self._given, Strata) else self._given()
        if not np.array_equal(strata.counts, self.counts):
            raise UsageError("bad-strata", "strata do not have the cells that the table says")
        return strata

    @cached_property
    def alias(self) -> AliasTable:
        """The alias table."""
        if isinstance(self._alias, AliasTable):
            return self._alias
        return build_alias(self.masses) if self._alias is None else self._alias()

    @property
    def n_cells(self) -> int:
        """Cells of all strata, those of mass zero too."""
        return int(self.counts.sum())

    @property
    def probability(self) -> NDArray[np.float64]:
        """Share of each stratum, mass / 2^B; float64, shape (K,)."""
        return np.ldexp(self.masses.astype(np.float64), -self.bits)

    def draw(self, seed: int, start: int, n: int, *, step: int = 1) -> NDArray[np.int64]:
        """Return the rows of draws `start`, `start` + `step`, ..., `n` of them; int64, shape (n,).

        Draw t depends on the seed and t alone.

        Raises
        ------
        UsageError
            ``bad-seed``, ``bad-position``.
        """
        return self.strata.locate(*self.draw_strata(seed, start, n, step=step))

    def draw_strata(
        self, seed: int, start: int, n: int, *, step: int = 1
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return the stratum of each draw and the number of the cell in it, without asking for rows."""
        return draw_cells(self.alias, self.counts, self.bits, seed, start, n, step)

    def at(self, temperature: float) -> Table:
        """Return the table at a temperature; the same object at 1.

        Raises
        ------
        UsageError
            ``bad-temperature``.
        """
        masses = tempered(self.masses, temperature)
        if masses is self.masses:
            return self
        return Table(masses, self.counts, lambda: self.strata, cells_digest=self.cells_digest)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that decides which cell a draw gives.

        Over these lines, each ended by LF, numbers in decimal: ``scformat table 1``; ``cells`` SPACE and the digest
        of what rows refer to, or ``-``; then for each of ``counts``, ``masses``, ``threshold``, ``alias``,
        ``offsets`` and either ``run_start`` and ``run_length`` or ``rows``: name SPACE length, LF, and right
        after it the values as little-endian int64.
        """
        if self._digest is not None:
            return self._digest
        strata = self.strata
        total = hashlib.sha256(f"scformat table 1\ncells {self.cells_digest or '-'}\n".encode())
        arrays: dict[str, NDArray[Any] | None] = {
            "counts": self.counts,
            "masses": self.masses,
            "threshold": self.alias.threshold,
            "alias": self.alias.alias,
            "offsets": strata.offsets,
            "run_start": strata.run_start,
            "run_length": strata.run_length,
        }
        for name, values in arrays.items():
            if values is not None:
                _hash_rows(total, name, ResidentRows(values))
        if strata.rows is not None:
            _hash_rows(total, "rows", strata.rows)
        return total.hexdigest()


def _hash_rows(total: hashlib._Hash, name: str, values: RowList) -> None:
    total.update(f"{name} {len(values)}\n".encode())
    for start in range(0, len(values), _HASHED_AT_ONCE):
        places = np.arange(start, min(start + _HASHED_AT_ONCE, len(values)), dtype=np.int64)
        total.update(values.take(places).astype("<i8").tobytes())
