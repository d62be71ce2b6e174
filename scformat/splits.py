"""Splits: which cells train, which validate, which test.

A split is a function of the seed, the shares and the group a cell belongs to, and of nothing else: not of
the order, of other cells or of the machine. Appending cells never moves a group.

The algorithm, for splits s = 0 .. S-1 with shares f_s that are decimal numbers and sum to 1:

1. Thresholds: T_s = floor((f_0 + ... + f_s) 2^64), in exact arithmetic on the decimal notation of the shares
   (the shortest that gives the same double), and T_(S-1) = 2^64.
2. The key of a group is a 64-bit number. The group is a list of values, one for each of its columns in the
   order given: a text, or missing. A missing value is the byte 0x00; a text is the byte 0x01, the number of its
   UTF-8 bytes as a 64-bit little-endian integer, and these bytes. The key is the first eight bytes, little-endian,
   of the SHA-256 of all values one after another. Without groups every cell stands for itself: its key is its
   content hash, so that identical cells fall alike.
3. u = u64(P(10, key, 0)) with the seed (Philox domain 10, i = key, j = 0).
4. The split is the first s with u < T_s.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from scformat.errors import InvalidDataError, StorageError, UsageError

if TYPE_CHECKING:
    import _csv
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from scformat.strings import Strings

NO_SPLIT: Final = -1
"""Code of a cell that is in no split."""

CELL_COLUMNS: Final = ("source", "barcode")
"""Columns of a split file that names single cells."""

_TOLERANCE: Final = 1e-9
_LISTED: Final = 5


@dataclass(frozen=True)
class SplitSpec:
    """Names of the splits and their shares.

    Parameters
    ----------
    names
        Different from one another, in the order of the codes.
    shares
        Each above 0; they sum to 1 within 1e-9.

    Raises
    ------
    UsageError
        ``bad-splits``.
    """

    names: tuple[str, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.names or len(self.names) != len(self.shares):
            raise _bad("every split needs a name and a share", f"{len(self.names)} and {len(self.shares)}")
        check_names(self.names)
        for name, share in zip(self.names, self.shares, strict=True):
            if not 0 < share <= 1:
                raise _bad(f"the share of {name!r} is not above 0 and up to 1", share)
        total = math.fsum(self.shares)
        if abs(total - 1) > _TOLERANCE:
            hint = "name a split for the rest" if total < 1 else None
            raise _bad("the shares do not sum to 1", f"{total:.12g}", hint=hint)

    @classmethod
    def of(cls, given: str | Mapping[str, float] | SplitSpec) -> SplitSpec:
        """Read ``"train=0.8,val=0.1,test=0.1"``, or a mapping of names to shares.

        Raises
        ------
        UsageError
            ``bad-splits``.
        """
        if isinstance(given, SplitSpec):
            return given
        if isinstance(given, Mapping):
            return cls(tuple(given), tuple(_share(name, share) for name, share in given.items()))
        pairs = [piece.split("=") for piece in given.split(",")]
        if any(len(pair) != 2 for pair in pairs):
            raise _bad("not a list of splits", repr(given))
        names = tuple(name.strip() for name, _ in pairs)
        return cls(names, tuple(_share(name, share) for name, share in pairs))

    def __str__(self) -> str:
        return ",".join(f"{name}={float(share)!r}" for name, share in zip(self.names, self.shares, strict=True))

    @property
    def thresholds(self) -> tuple[int, ...]:
        """T_s of the algorithm, ascending; the last is 2^64."""
        total, out = Fraction(0), []
        for share in self.shares[:-1]:
            total += Fraction(repr(float(share)))
            out.append(math.floor(total * 2**64))
        return (*(min(t, 1 << 64) for t in out), 1 << 64)


def check_names(names: Sequence[str]) -> None:
    """Check the names of splits.

    Raises
    ------
    UsageError
        ``bad-splits``: a name twice, or one that cannot be written on a command line.
    """
    for at, name in enumerate(names):
        if not name or name != name.strip() or any(c in ",=@" or not c.isprintable() for c in name):
            raise _bad("not the name of a split", repr(name))
        if name in names[:at]:
            raise _bad("two splits have one name", repr(name))


def group_key(values: Sequence[str | None]) -> int:
    """64-bit key of a group: step 2 of the algorithm. None is a missing value."""
    digest = hashlib.sha256()
    for value in values:
        if value is None:
            digest.update(b"\x00")
        else:
            encoded = value.encode()
            digest.update(b"\x01" + len(encoded).to_bytes(8, "little") + encoded)
    return int.from_bytes(digest.digest()[:8], "little")


def assign(spec: SplitSpec, groups: Iterable[Sequence[str | None]], seed: int) -> NDArray[np.int32]:
    """Assign groups to splits.

    Parameters
    ----------
    spec
        The splits.
    groups
        Values of each group's columns, always in one order; None where missing.
    seed
        0 .. 2^64 - 1.

    Returns
    -------
    int32 array, shape (number of groups,)
        Index of the split.

    Raises
    ------
    UsageError
        ``bad-seed``.
    """
    keys = [group_key(values) for values in groups]
    return assign_keys(spec, np.array(keys, np.uint64), seed)


def assign_cells(
    spec: SplitSpec, codes: Sequence[NDArray[np.integer[Any]]], categories: Sequence[Sequence[str]], seed: int
) -> NDArray[np.int32]:
    """Assign cells by the groups that some columns make of them.

    Parameters
    ----------
    spec
        The splits.
    codes : one integer array a column, each of shape (n,)
        Index of the cell's category; negative where missing. A missing value is a value of its own, so
        cells without a donor stay together within the values of the other columns.
    categories
        Texts of each column's categories. The split depends on the texts, not on the codes.
    seed
        0 .. 2^64 - 1.

    Returns
    -------
    int32 array, shape (n,)
    """
    cell_group, groups = _groups(codes, categories)
    return assign(spec, groups, seed)[cell_group]


def assign_content(spec: SplitSpec, content: NDArray[np.int64], seed: int) -> NDArray[np.int32]:
    """Assign each cell by its content hash, so that identical cells fall alike; shapes (n,)."""
    return assign_keys(spec, content.view(np.uint64), seed)


def assign_keys(spec: SplitSpec, keys: NDArray[np.uint64], seed: int) -> NDArray[np.int32]:
    """Take steps 3 and 4 of the algorithm for many keys; shapes (n,)."""
    from scformat.random import DOMAIN_SPLIT, words64

    inner = np.array([t for t in spec.thresholds if t < 1 << 64], np.uint64)
    return np.searchsorted(inner, words64(seed, DOMAIN_SPLIT, keys), side="right").astype(np.int32)


def number_groups(
    codes: Sequence[NDArray[np.integer[Any]]], sizes: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give each distinct combination of several columns' codes a number.

    Parameters
    ----------
    codes : one integer array a column, each of shape (n,)
        Below the column's size; all negative codes are one value, missing.
    sizes
        Number of categories of each column.

    Returns
    -------
    group : int64 array, shape (n,)
        Number of each cell's combination, 0 .. g-1.
    first : int64 array, shape (g,)
        First cell of each combination.
    """
    if not codes:
        raise UsageError("no-split-columns", "no columns to make groups of")
    group = np.zeros(len(codes[0]), np.int64)
    n_groups = 1
    for column, size in zip(codes, sizes, strict=True):
        # Numbered anew after every column: a product of all sizes would leave 64 bits.
        combined = group * (size + 1) + np.maximum(column, -1) + 1
        group, n_groups = _compact(combined, n_groups * (size + 1))
    first = np.empty(n_groups, np.int64)
    first[group[::-1]] = np.arange(len(group) - 1, -1, -1)  # of one group's cells the first comes last and stays
    return group, first


def _groups(
    codes: Sequence[NDArray[np.integer[Any]]], categories: Sequence[Sequence[str]]
) -> tuple[NDArray[np.int64], list[tuple[str | None, ...]]]:
    """Return the group's number of each cell, and the values of each group."""
    cell_group, first = number_groups(codes, [len(texts) for texts in categories])
    values = []
    for column, texts in zip(codes, categories, strict=True):
        values.append([texts[code] if code >= 0 else None for code in column[first].tolist()])
    return cell_group, list(zip(*values, strict=True))


def _compact(values: NDArray[np.int64], bound: int) -> tuple[NDArray[np.int64], int]:
    """Rank `values`, each of 0 .. bound-1, among the distinct ones; return the ranks and how many are distinct."""
    if bound > max(4 * len(values), 1 << 16):
        distinct, numbers = np.unique(values, return_inverse=True)
        return numbers.reshape(-1).astype(np.int64), len(distinct)
    present = np.zeros(bound, bool)
    present[values] = True
    return (np.cumsum(present) - 1)[values], int(np.count_nonzero(present))


def resolve_duplicates(
    splits: NDArray[np.int32],
    content: NDArray[np.int64],
    total_counts: NDArray[np.integer[Any]],
    n_genes: NDArray[np.integer[Any]],
    order: NDArray[np.integer[Any]] | None = None,
) -> tuple[NDArray[np.int32], int]:
    """Take cells out of their split that repeat an earlier cell of another one.

    Cells are the same where content hash, total_counts and n_genes are; cells without a gene are never the
    same. Of the same cells the first that has a split keeps it, and so do all that share its split; the
    others get none.

    Parameters
    ----------
    splits, content, total_counts, n_genes : arrays, shape (n,)
        Split of each cell, negative for none, and what the cells' records hold.
    order : integer array, shape (n,), optional
        Which cell comes first: the lower, and at the same number the one at the lower position; by default the
        position. Numbers that do not depend on the physical order make the result independent of it.

    Returns
    -------
    splits : int32 array, shape (n,)
        A copy with -1 where a cell was taken out.
    n_removed
        How many cells were.
    """
    out = splits.copy()
    at = np.flatnonzero((splits >= 0) & (n_genes > 0))
    # Most cells repeat none: only those that share their hash with another take part in the sort by all fields.
    ranked = at[np.argsort(content[at], kind="stable")]
    same = content[ranked][1:] == content[ranked][:-1]
    repeated = np.zeros(len(ranked), bool)
    repeated[1:] |= same
    repeated[:-1] |= same
    at = ranked[repeated]
    if not len(at):
        return out, 0
    keys = [content[at], total_counts[at], n_genes[at]]
    ranked = np.lexsort((at, at if order is None else order[at], *keys))
    starts = np.ones(len(at), bool)
    starts[1:] = np.logical_or.reduce([key[ranked][1:] != key[ranked][:-1] for key in keys])
    found = splits[at[ranked]]
    kept = found[starts][np.cumsum(starts) - 1]
    removed = at[ranked[found != kept]]
    out[removed] = NO_SPLIT
    return out, len(removed)


def cells_per_split(names: Sequence[str], splits: NDArray[np.integer[Any]]) -> dict[str, int]:
    """Count the cells in each split; those without one are what is left of all."""
    counts = np.bincount(splits[splits >= 0], minlength=len(names))
    return {name: int(count) for name, count in zip(names, counts, strict=True)}


@dataclass(frozen=True, kw_only=True)
class SplitFile:
    """Splits that a file gives to cells or groups.

    Attributes
    ----------
    path
        As given.
    columns
        Columns that name a cell (:data:`CELL_COLUMNS`) or a group.
    names
        Splits in the order of their first appearance.
    rows
        Code of the split for the values of `columns`; None is a missing value, -1 no split.
    """

    path: str
    columns: tuple[str, ...]
    names: tuple[str, ...]
    rows: Mapping[tuple[str | None, ...], int]

    @property
    def by_cell(self) -> bool:
        """Whether the file names single cells, not groups."""
        return self.columns == CELL_COLUMNS

    def assign_cells(
        self, codes: Sequence[NDArray[np.integer[Any]]], categories: Sequence[Sequence[str]]
    ) -> NDArray[np.int32]:
        """Assign cells by their groups; parameters as in :func:`assign_cells`, for :attr:`columns` in their order.

        Returns
        -------
        int32 array, shape (n,)
            -1 for cells whose group the file does not name.

        Raises
        ------
        InvalidDataError
            ``unknown-split-rows``: the file names groups that are not there.
        """
        cell_group, groups = _groups(codes, categories)
        self._check_known(set(groups))
        return np.array([self.rows.get(group, NO_SPLIT) for group in groups], np.int32)[cell_group]

    def assign_barcodes(self, sources: Sequence[tuple[str, Strings]]) -> list[NDArray[np.int32]]:
        """Assign cells by source and barcode.

        Parameters
        ----------
        sources
            Name and barcodes of every source.

        Returns
        -------
        list of int32 arrays
            One a source; -1 for cells that the file does not name. Cells of one source that share a barcode
            share its split.

        Raises
        ------
        InvalidDataError
            ``unknown-split-rows``: the file names cells that are not there.
        """
        wanted: dict[str, dict[str, int]] = {}
        for (source, barcode), code in self.rows.items():
            wanted.setdefault(source or "", {})[barcode or ""] = code
        out, known = [], set[tuple[str | None, ...]]()
        for name, barcodes in sources:
            codes = wanted.get(name, {})
            found = np.full(len(barcodes), NO_SPLIT, np.int32)
            for row, barcode in enumerate(barcodes if codes else ()):
                if barcode in codes:
                    found[row] = codes[barcode]
                    known.add((name, barcode))
            out.append(found)
        self._check_known(known)
        return out

    def _check_known(self, known: set[tuple[str | None, ...]]) -> None:
        unknown = [row for row in self.rows if row not in known]
        if unknown:
            listed = ", ".join(repr(tuple("" if v is None else v for v in row)) for row in unknown[:_LISTED])
            raise InvalidDataError(
                "unknown-split-rows",
                f"{len(unknown):,} of {len(self.rows):,} rows name what is not there",
                where=self.path,
                expected=f"values of {', '.join(self.columns)} that occur",
                found=listed + (", ..." if len(unknown) > _LISTED else ""),
            )


def read_split_file(path: str | Path) -> SplitFile:
    """Read a table of splits: a header with ``split`` and either ``source`` and ``barcode`` or the groups' columns.

    Commas separate the columns of a ``.csv`` file, tabs those of any other. An empty value of a group's column
    stands for missing, an empty split for none.

    Raises
    ------
    StorageError
        ``split-file-unreadable``.
    InvalidDataError
        ``bad-split-file``, with the line.
    """
    where = Path(path)
    try:
        with where.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines, delimiter="," if where.suffix.lower() == ".csv" else "\t", strict=True)
            return _read_table(str(path), reader)
    except UnicodeDecodeError as error:
        raise InvalidDataError("bad-split-file", "not UTF-8 text", where=path, found=error.reason) from error
    except csv.Error as error:
        raise InvalidDataError("bad-split-file", f"not a table: {error}", where=path) from error
    except OSError as error:
        raise StorageError("split-file-unreadable", error.strerror or "cannot be read", where=path) from error


def _read_table(path: str, reader: _csv.Reader) -> SplitFile:
    header = [name.strip() for name in next(reader, [])]
    columns = [name for name in header if name != "split"]
    if len(set(header)) != len(header) or len(columns) != len(header) - 1 or not columns or "" in header:
        expected = "source, barcode, split, or the columns of the groups and split"
        raise InvalidDataError(
            "bad-split-file", "not the header of a splits file", where=path, expected=expected, found=", ".join(header)
        )
    if set(columns) == set(CELL_COLUMNS):
        columns = list(CELL_COLUMNS)
    elif "barcode" in columns:
        hint = "a barcode names a cell together with its source alone"
        raise InvalidDataError("bad-split-file", "not the header of a splits file", where=path, hint=hint)
    at, split_at = [header.index(name) for name in columns], header.index("split")
    names: dict[str, int] = {}
    rows: dict[tuple[str | None, ...], int] = {}
    for line in reader:
        if not line:
            continue
        place = f"{path}: line {reader.line_num}"
        if len(line) != len(header):
            raise InvalidDataError(
                "bad-split-file", "a row of another length", where=place, expected=len(header), found=len(line)
            )
        name = line[split_at].strip()
        if name and name not in names:
            _check_name(name, place)
        code = names.setdefault(name, len(names)) if name else NO_SPLIT
        key = tuple(line[column] or None for column in at)
        if rows.setdefault(key, code) != code:
            raise InvalidDataError("bad-split-file", "a second split for one row", where=place, found=repr(line))
    return SplitFile(path=path, columns=tuple(columns), names=tuple(names), rows=rows)


def _check_name(name: str, place: str) -> None:
    try:
        check_names([name])
    except UsageError as error:
        raise InvalidDataError("bad-split-file", error.what, where=place, found=error.found) from error


def _share(name: str, share: object) -> float:
    try:
        return float(share)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise _bad(f"the share of {name.strip()!r} is not a number", repr(share)) from None


def _bad(what: str, found: object, hint: str | None = None) -> UsageError:
    return UsageError("bad-splits", what, expected="for example train=0.8,val=0.1,test=0.1", found=found, hint=hint)
