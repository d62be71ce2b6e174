"""Removing what no root names: files of killed processes, and what a later root has replaced."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scformat.blobs import system_errors
from scformat.conversion.publish import left_behind
from scformat.errors import UsageError
from scformat.manifest import every_array
from scformat.publishing import Place, alone, busy, place_of, read_root, replacing
from scformat.storage import MANIFEST_KEY, array_spec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scformat.manifest import Manifest
    from scformat.store import Store


@dataclass(frozen=True, kw_only=True)
class Vacuumed:
    """What was removed, or would be.

    Attributes
    ----------
    keys
        The files, relative to the store, sorted; those of a killed conversion lie beside it (``../.NAME.partial/``).
    bytes
        Their size; None in a bucket, which does not tell it with the names.
    """

    keys: tuple[str, ...]
    bytes: int | None


def naming(manifest: Manifest) -> Callable[[str], bool]:
    """Return what tells the files of a store: its root, and those of the groups and arrays that the root names.

    They are not listed: a root can name any number of files.
    """
    keys = {MANIFEST_KEY, *(f"{group}/{MANIFEST_KEY}" for group in manifest.groups)}
    grids: dict[str, tuple[int, ...]] = {}
    for array in every_array(manifest):
        keys.add(f"{array.path}/{MANIFEST_KEY}")
        grids[array.path] = array_spec(array).grid

    def named(key: str) -> bool:
        path, _, place = key.rpartition("/c/")
        numbers, grid = place.split("/"), grids.get(path, ())
        return key in keys or (
            len(numbers) == len(grid)
            and all(n.isdecimal() and str(int(n)) == n and int(n) < end for n, end in zip(numbers, grid, strict=True))
        )

    return named


def vacuum_store(store: Store, *, dry_run: bool = False) -> Vacuumed:
    """Remove the files below a store that its root does not name; see :func:`scformat.vacuum`."""
    place = place_of(store, "vacuums")
    if place.directory is None:
        return _list_bucket(place, dry_run=dry_run)
    directory = place.directory
    with replacing(directory), alone(directory) as free:
        if not free:
            raise busy(store.path)
        named = naming(read_root(directory))
        with system_errors(directory):
            found = sorted(p for p in directory.rglob("*") if p.is_symlink() or not p.is_dir())
            extra = [(p, p.lstat().st_size) for p in found if not named(p.relative_to(directory).as_posix())]
            if not dry_run:
                for path, _ in extra:
                    path.unlink()
                _remove_empty(directory)
    keys = [path.relative_to(directory).as_posix() for path, _ in extra]
    beside = _vacuum_beside(directory, dry_run=dry_run)
    sizes = sum(size for _, size in extra) + sum(beside.values())
    return Vacuumed(keys=tuple(sorted([*keys, *beside])), bytes=sizes)


def _list_bucket(place: Place, *, dry_run: bool) -> Vacuumed:
    """List what lies in a bucket and the root does not name.

    Nobody can tell there whether it is what a killed writer has left, or what one at work is about to name.
    """
    if not dry_run:
        raise UsageError(
            "cannot-vacuum",
            "a bucket does not tell whether anybody is adding to the store",
            where=place.storage.url,
            hint="list what no root names with --dry-run, and remove it by the bucket's own tools when nobody is",
        )
    named, keys = naming(place.root()), place.storage.keys()
    return Vacuumed(keys=tuple(key for key in keys if not named(key)), bytes=None)


def _vacuum_beside(directory: Path, *, dry_run: bool) -> dict[str, int]:
    """Remove what a conversion left that was killed once the store was in its place; return names and sizes."""
    with system_errors(directory), left_behind(directory.resolve()) as home:
        if home is None:
            return {}
        files = [p for p in home.rglob("*") if p.is_symlink() or not p.is_dir()]
        sizes = {f"../{p.relative_to(home.parent).as_posix()}": p.lstat().st_size for p in files}
        if not dry_run:
            # The journal last: without it, whoever comes after a kill sees nothing to resume, as here.
            for path in sorted(files, key=lambda p: (p.name == "journal", p.name == "lock")):
                path.unlink()
            shutil.rmtree(home, ignore_errors=True)
        return sizes


def _remove_empty(directory: Path) -> None:
    below = [p for p in directory.rglob("*") if p.is_dir() and not p.is_symlink()]
    for path in sorted(below, key=lambda p: len(p.parts), reverse=True):
        with contextlib.suppress(OSError):  # not empty
            path.rmdir()
