"""Level 3, the bytes: every file of every array is read once, digested, decoded and handed to who needs its values."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.errors import StorageError
from scformat.storage import array_spec
from scformat.structure.arrays import arrays_of, fill_of, grid_places, n_files
from scformat.structure.sink import several
from scformat.validation.shard import ShardDecoder
from scformat.writing import array_digest

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from numpy.typing import NDArray

    from scformat.manifest import Array, Manifest
    from scformat.storage import Storage
    from scformat.validation.hierarchy import Hierarchy
    from scformat.validation.report import Findings


class Files:
    """The arrays of a store.

    Parameters
    ----------
    storage, manifest, findings
        The store, and where to report.
    hierarchy
        What level 2 found.
    advance
        Called after each file, from any thread.
    tell
        Called now and then from the thread that drives the validation, to show how far it is.
    """

    def __init__(
        self,
        storage: Storage,
        manifest: Manifest,
        hierarchy: Hierarchy,
        findings: Findings,
        *,
        advance: Callable[[], None],
        tell: Callable[[], None],
    ) -> None:
        self.findings = findings
        self.tell = tell
        entries = {part.entries.path for part in manifest.parts}
        self._arrays = {
            array.path: ArrayFiles(storage, array, hierarchy, findings, counts=array.path in entries, advance=advance)
            for array in arrays_of(manifest)
        }

    def of(self, array: Array) -> ArrayFiles:
        """Return the files of an array."""
        return self._arrays[array.path]

    def window(self, array: Array) -> Window:
        """Read an array along its last axis."""
        return Window(self.of(array))

    def whole(self, array: Array) -> NDArray[Any] | None:
        """Read a small array, None where it is damaged."""
        return self.of(array).whole()

    def finish(self, pool: Executor) -> None:
        """Read what nobody asked for, and compare the digests of all arrays."""
        for array in self._arrays.values():
            array.finish(pool)
            self.tell()


class ArrayFiles:
    """The files of one array; each is read once."""

    def __init__(
        self,
        storage: Storage,
        array: Array,
        hierarchy: Hierarchy,
        findings: Findings,
        *,
        counts: bool,
        advance: Callable[[], None],
    ) -> None:
        """Prepare; `counts` where fill values are there by right."""
        self.array = array
        self.spec = array_spec(array)
        self.digests: dict[tuple[int, ...], str] = {}
        self._storage = storage
        self._hierarchy = hierarchy
        self._findings = findings
        self._counts = counts
        self._advance = advance
        self._decoder = ShardDecoder(self.spec, findings, beyond="CNT-8" if counts else "ZAR-17")
        self._seen: set[tuple[int, ...]] = set()
        self._lock = threading.Lock()

    def load(self, place: tuple[int, ...], *, extent: tuple[int, ...] | None = None) -> NDArray[Any] | None:
        """Read a file; to be called once for each.

        Parameters
        ----------
        place
            Where it lies in the grid.
        extent
            Of the counts: the region that holds entries, None where that is not known. Of other arrays the shape
            says it.

        Returns
        -------
        array or None
            The values, None where anything is wrong with the file: that is reported.
        """
        with self._lock:
            if place in self._seen:
                raise RuntimeError(f"{self.array.path}: {place} is read twice")
            self._seen.add(place)
        key = self.spec.key(place)
        if key in self._hierarchy.missing or self.array.path in self._hierarchy.hopeless:
            return None
        try:
            data = self._storage.read(key)
        except StorageError as error:
            self._findings.add("ZAR-15", key, "the file cannot be read", found=error.found)
            return None
        if data is None:
            self._findings.add("ZAR-15", key, "the file is missing")
            return None
        self.digests[place] = hashlib.sha256(data).hexdigest()
        if not self._counts:
            extent = tuple(s.stop - s.start for s in self.spec.slices(place))
        where = self._where(place)
        values = self._decoder.decode(data, extent, where=where)
        if values is not None and not self._counts:
            self._refuse_fill(values, place, where)
        self._advance()
        return values

    def _where(self, place: tuple[int, ...]) -> str:
        number = 0
        for at, n in zip(place, self.spec.grid, strict=True):
            number = number * n + at
        return f"{self.array.path}, shard {number}"

    def _refuse_fill(self, values: NDArray[Any], place: tuple[int, ...], where: str) -> None:
        fill = fill_of(self.array)
        if fill is None:
            return
        lost = values == fill
        n = int(lost.sum())
        if n:
            first = np.unravel_index(int(lost.argmax()), lost.shape)
            at = [int(i) + s.start for i, s in zip(first, self.spec.slices(place), strict=True)]
            text = f"an element is the fill value {self.spec.fill}{several(n)}"
            self._findings.add("ZAR-18", f"{where}, element {', '.join(map(str, at))}", text)

    def whole(self) -> NDArray[Any] | None:
        """Read all of the array."""
        if n_files(self.array) == 0:
            return np.empty(self.spec.shape, self.spec.dtype)
        if self.array.path in self._hierarchy.hopeless:
            return None
        blocks = {place: self.load(place) for place in grid_places(self.array)}
        if len(blocks) == 1:
            return blocks.popitem()[1]
        if any(block is None for block in blocks.values()):
            return None
        out = np.empty(self.spec.shape, self.spec.dtype)
        for place, block in blocks.items():
            out[self.spec.slices(place)] = block
        return out

    def finish(self, pool: Executor) -> None:
        """Read the files that were not read yet, and compare the array's digest."""
        path = self.array.path
        if path in self._hierarchy.hopeless:
            return
        places = list(grid_places(self.array))
        list(pool.map(self.load, [p for p in places if p not in self._seen]))
        if path not in self._hierarchy.digests or len(self.digests) < len(places):
            return  # a file is missing: reported, and there is no digest
        start = len(path) + 1
        lines = [("zarr.json", self._hierarchy.digests[path])]
        lines += [(self.spec.key(place)[start:], self.digests[place]) for place in places]
        actual = array_digest(iter(lines))
        if actual != self.array.sha256:
            text = "the array's digest is not that of the manifest"
            self._findings.add("INT-2", path, text, expected=self.array.sha256, found=actual)


class Window:
    """Reads an array in ascending ranges of its last axis; keeps the files that the last range touched.

    The grid must have one file along all other axes.
    """

    def __init__(self, files: ArrayFiles) -> None:
        self._files = files
        self._step = files.spec.shard[-1]
        self._length = files.spec.shape[-1]
        self._blocks: dict[int, NDArray[Any] | None] = {}
        self._floor = 0

    def read(self, start: int, stop: int) -> NDArray[Any] | None:
        """Return a range, None where a file of it is damaged; it must not begin before what was released."""
        if stop <= start:
            return np.empty((*self._files.spec.shape[:-1], 0), self._files.spec.dtype)
        if start < self._floor or stop > self._length:
            raise RuntimeError(f"{self._files.array.path}: {start} to {stop} is out of reach")
        pieces = []
        for k in range(start // self._step, (stop - 1) // self._step + 1):
            if k not in self._blocks:
                place = (*([0] * (len(self._files.spec.shape) - 1)), k)
                self._blocks[k] = self._files.load(place)
            block = self._blocks[k]
            if block is None:
                return None
            first = k * self._step
            pieces.append(block[..., max(start - first, 0) : stop - first])
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=-1)

    def release(self, start: int) -> None:
        """Forget what lies wholly before `start`."""
        self._floor = max(self._floor, start // self._step * self._step)
        for k in [k for k in self._blocks if (k + 1) * self._step <= start]:
            del self._blocks[k]
