"""From what a user gives as sources to a list of sources with names, each different from the others."""

from __future__ import annotations

import glob
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scformat.errors import StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import anndata

_SUFFIXES = frozenset({".h5ad", ".h5", ".hdf5", ".zarr"})


@dataclass(frozen=True, kw_only=True, eq=False)
class Given:
    """One source before it is opened: a path or an AnnData object, and its name."""

    source: Path | anndata.AnnData
    name: str


def expand(sources: str | Path | anndata.AnnData | Sequence[str | Path | anndata.AnnData]) -> list[Given]:
    """Resolve patterns and name the sources.

    Parameters
    ----------
    sources
        Paths, glob patterns (``**`` too; what they match is sorted) and AnnData objects, or a single one.

    Returns
    -------
    list of Given
        In the order given. A file's name is its stem; where stems clash, with as many names of parent
        directories before it as make them distinct (``sample1/filtered``). Objects in memory are ``anndata``,
        ``anndata-2`` and so on.

    Raises
    ------
    UsageError
        ``no-sources`` for an empty list, ``empty-match`` for a pattern that matches nothing,
        ``duplicate-source`` for a file or object given twice.
    StorageError
        ``source-not-found`` for a path that is not there.
    """
    listed = list(sources) if isinstance(sources, (list, tuple)) else [sources]
    found = [item for given in listed for item in _matches(given)]
    if not found:
        raise UsageError("no-sources", "no sources were given", hint="give a path, a pattern or an AnnData object")
    _refuse_duplicates(found)
    names = unique_names([item for item in found if isinstance(item, Path)])
    taken = set(names.values())
    result = []
    for item in found:
        name = names[item] if isinstance(item, Path) else _free_name(taken)
        taken.add(name)
        result.append(Given(source=item, name=name))
    return result


def stem(path: Path) -> str:
    """Return the file's name without ``.h5ad``, ``.h5``, ``.hdf5`` or ``.zarr``."""
    return path.stem if path.suffix.lower() in _SUFFIXES else path.name


def unique_names(paths: Sequence[Path]) -> dict[Path, str]:
    """Name different files so that no two names are equal."""
    stems = {path: stem(path) for path in paths}
    counts = Counter(stems.values())
    names = {path: name for path, name in stems.items() if counts[name] == 1}
    for name in [name for name, count in counts.items() if count > 1]:
        names |= _prefixed([path for path in paths if stems[path] == name])
    return names


def _prefixed(paths: list[Path]) -> dict[Path, str]:
    """Names of files with the same stem: the fewest parents, and the suffix too where only it differs."""
    parents = {path: path.absolute().resolve().parent.parts[1:] for path in paths}
    deepest = max(map(len, parents.values()))
    for last in (stem, lambda path: path.name):
        for depth in range(deepest + 1):
            names = {path: "/".join([*parents[path][len(parents[path]) - depth :], last(path)]) for path in paths}
            if len(set(names.values())) == len(paths):
                return names
    return {path: path.absolute().as_posix() for path in paths}


def _matches(given: str | Path | anndata.AnnData) -> Iterator[Path | anndata.AnnData]:
    if not isinstance(given, (str, Path)):
        yield given
        return
    path = Path(given)
    if path.exists():
        yield path
    elif glob.has_magic(str(given)):
        matched = sorted(glob.glob(str(given), recursive=True))  # noqa: PTH207 (absolute patterns too)
        if not matched:
            raise UsageError("empty-match", "the pattern matches nothing", where=given)
        yield from map(Path, matched)
    else:
        raise StorageError("source-not-found", "no such file or directory", where=given)


def _refuse_duplicates(found: list[Path | anndata.AnnData]) -> None:
    seen: dict[Path | int, Path | anndata.AnnData] = {}
    for item in found:
        key = item.resolve() if isinstance(item, Path) else id(item)
        if key in seen:
            what = str(item) if isinstance(item, Path) else "an AnnData object"
            raise UsageError("duplicate-source", "the same source is given twice", where=what, found=_text(seen[key]))
        seen[key] = item


def _text(item: Path | anndata.AnnData) -> str:
    return str(item) if isinstance(item, Path) else "the same object"


def _free_name(taken: set[str]) -> str:
    number = 1
    while (name := "anndata" if number == 1 else f"anndata-{number}") in taken:
        number += 1
    return name
