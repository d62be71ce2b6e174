"""AnnData in a Zarr directory, version 2 or 3 of Zarr."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.errors import InvalidDataError, ScformatError, StorageError
from scformat.sources.annotated import AnnotatedSource, is_annotated
from scformat.sources.digest import directory_sha256
from scformat.sources.tree import ArrayNode, GroupNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    import zarr
    from numpy.typing import NDArray

_MARKERS = ("zarr.json", ".zgroup")


def is_zarr(path: Path) -> bool:
    """Whether a directory has the metadata of a Zarr group or array."""
    return any((path / name).is_file() for name in _MARKERS)


def open_anndata_zarr(path: str | Path, *, name: str) -> AnnotatedSource:
    """Open a Zarr directory as a source.

    Raises
    ------
    InvalidDataError
        When it is no Zarr group, or has not AnnData's tables.
    """
    import zarr

    given = str(path)
    if not is_zarr(Path(path)):
        raise InvalidDataError(
            "not-zarr", "the directory is no Zarr group", where=given, expected=f"{_MARKERS[0]} or {_MARKERS[1]} in it"
        )
    with reading(given):
        root = ZarrGroup(zarr.open_group(given, mode="r"), where=given)
    if not is_annotated(root):
        raise InvalidDataError(
            "unknown-format",
            "the Zarr group is no AnnData",
            where=given,
            expected="obs and var in it",
            found=", ".join(root.names()[:8]) or "nothing",
        )
    return AnnotatedSource(
        root,
        name=name,
        path=given,
        format="anndata-zarr",
        digest=lambda: directory_sha256(path),
        close=lambda: None,
    )


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Turn what zarr-python raises on damaged data into InvalidDataError, a failure of the disk into StorageError."""
    try:
        yield
    except ScformatError:
        raise
    except OSError as error:
        if error.errno is not None:
            raise StorageError("read-failed", f"cannot be read ({error.strerror})", where=where) from error
        raise InvalidDataError("unreadable-array", f"Zarr cannot read it ({error})", where=where) from error
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise InvalidDataError("unreadable-array", f"Zarr cannot read it ({error})", where=where) from error


class _ZarrNode:
    """What groups and arrays share."""

    def __init__(self, item: zarr.Group | zarr.Array[Any], *, where: str, parent: ZarrGroup | None = None) -> None:
        self.where = where
        self._parent = parent
        self._attributes = dict(item.attrs)

    def attribute(self, name: str) -> Any:
        """Return an attribute, None if it is not there."""
        return self._attributes.get(name)

    def attribute_names(self) -> list[str]:
        """Names of its attributes."""
        return list(self._attributes)


class ZarrGroup(_ZarrNode, GroupNode):
    """A group."""

    def __init__(self, item: zarr.Group, *, where: str, parent: ZarrGroup | None = None) -> None:
        super().__init__(item, where=where, parent=parent)
        self._item = item

    def names(self) -> list[str]:
        """Names of its members, sorted."""
        with reading(self.where):
            return sorted(self._item.keys())

    def get(self, name: str) -> GroupNode | ArrayNode | None:
        """Return a member, None if it is not there."""
        import zarr

        with reading(self.where):
            item = self._item.get(name)
        where = f"{self.where}{'/' if self._parent else ':'}{name}"
        if isinstance(item, zarr.Group):
            return ZarrGroup(item, where=where, parent=self)
        return ZarrArray(item, where=where, parent=self) if isinstance(item, zarr.Array) else None


class ZarrArray(_ZarrNode, ArrayNode):
    """An array."""

    def __init__(self, item: zarr.Array[Any], *, where: str, parent: ZarrGroup | None = None) -> None:
        super().__init__(item, where=where, parent=parent)
        self._item = item

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return tuple(self._item.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its dtype."""
        return np.dtype(self._item.dtype)

    def values(self) -> NDArray[Any]:
        """Read all of it."""
        with reading(self.where):
            values = np.asarray(self._item[...])
        return values.astype(values.dtype.newbyteorder("="), copy=False) if values.dtype.kind in "iufc" else values

    def rows(self) -> ZarrRows:
        """Open it for reading by rows."""
        return ZarrRows(self._item, where=self.where)

    def referred(self, name: str) -> ArrayNode | None:
        """Follow an attribute that holds a path within the table's group."""
        path = self.text_attribute(name)
        if path is None or self._parent is None:
            return None
        node: GroupNode | ArrayNode | None = self._parent
        for step in path.strip("/").split("/"):
            node = node.get(step) if isinstance(node, GroupNode) else None
        return node if isinstance(node, ArrayNode) else None


class ZarrRows:
    """Reader of rows; zarr-python decodes in threads of its own."""

    def __init__(self, item: zarr.Array[Any], *, where: str) -> None:
        self.where = where
        self.shape: tuple[int, ...] = tuple(item.shape)
        self.dtype: np.dtype[Any] = np.dtype(item.dtype).newbyteorder("=")
        # A shard is read in parts, so that its chunks are what is decoded together.
        self.row_step = int(item.chunks[0]) if item.chunks else 1
        self._item = item

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Read rows ``start..stop-1``."""
        with reading(self.where):
            return np.asarray(self._item[start:stop]).astype(self.dtype, copy=False)
