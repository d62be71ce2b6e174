"""Columns of obs and var from every form in which AnnData has written a table.

Since 0.7 a table is a group with an array per column; categories lay in a ``__categories`` group that the
column refers to (0.7), or lie beside the codes in a group of their own (0.8 and later), where nullable columns
are too. Before 0.7 a table was one compound array, with categories in ``uns/<column>_categories``.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.columns import Column
from scformat.errors import InvalidDataError
from scformat.sources.text import is_text, number_text, text_list, to_strings
from scformat.sources.tree import ArrayNode, GroupNode
from scformat.strings import Strings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scformat.columns import Kind

_KINDS: dict[str, Kind] = {"i": "integer", "u": "integer", "f": "float", "b": "boolean"}


class UnsupportedColumnError(Exception):
    """A column of a type that a store cannot keep; it is listed, not an error."""


class Table:
    """An obs or var table.

    Parameters
    ----------
    node
        The group, or the compound array of a file from before 0.7.
    categories
        Groups with ``<column>_categories`` for a compound array: ``uns``, ``raw.cat``.

    Attributes
    ----------
    where
        File and table, for messages.
    index
        Its index as strings.
    index_name
        The index' name, None where it has none.
    """

    def __init__(self, node: GroupNode | ArrayNode, *, categories: Sequence[GroupNode] = ()) -> None:
        self.where = node.where
        self._node = node
        self._category_groups = categories
        self._records: NDArray[Any] | None = None
        self._not_kept: list[str] = []
        if isinstance(node, ArrayNode):
            if not node.dtype.names or node.shape is None or len(node.shape) != 1:
                raise InvalidDataError("bad-table", "it is no table", where=self.where, found=f"type {node.dtype}")
            self._records = node.values()
            key, *self._names = node.dtype.names
            self.index_name: str | None = key
            self.index: Strings = to_strings(self._records[key], where=f"{self.where}/{key}")
        else:
            key = _index_key(node)
            self.index_name = None if key == "_index" else key
            self.index = _index_strings(node, key)
            order = node.attribute("column-order")
            members = [name for name in node.names() if name not in {key, "__categories"}]
            self._names = members if order is None else list(dict.fromkeys(text_list(order)))
            listed = set(self._names)
            self._not_kept = [f"{name} (not in column-order)" for name in members if name not in listed]

    def __len__(self) -> int:
        return len(self.index)

    @property
    def names(self) -> list[str]:
        """Names of its columns, in order."""
        return list(self._names)

    def read(self) -> tuple[dict[str, Column], list[str]]:
        """Read all columns.

        Returns
        -------
        columns
            Those of a known type, in order.
        not_kept
            ``NAME (reason)`` of each of the others.

        Raises
        ------
        InvalidDataError
            For a column of a wrong length, a code without a category, text that is not UTF-8, a missing array.
        """
        columns: dict[str, Column] = {}
        not_kept = list(self._not_kept)
        for name in self._names:
            try:
                column = self._column(name)
            except UnsupportedColumnError as reason:
                not_kept.append(f"{name} ({reason})")
                continue
            if len(column) != len(self):
                raise InvalidDataError(
                    "wrong-length",
                    "the column is not as long as its table",
                    where=f"{self.where}/{name}",
                    expected=len(self),
                    found=len(column),
                )
            columns[name] = column
        return columns, not_kept

    def _column(self, name: str) -> Column:
        where = f"{self.where}/{name}"
        if self._records is not None:
            return self._old_column(name, self._records[name], where)
        if not isinstance(self._node, GroupNode):
            raise TypeError(self._node)
        node = self._node.get(name)
        if node is None:
            raise InvalidDataError("missing-column", "column-order lists it but it is not there", where=where)
        return read_column(node)

    def _old_column(self, name: str, values: NDArray[Any], where: str) -> Column:
        if values.dtype.kind in "iu":
            for group in self._category_groups:
                node = group.get(f"{name}_categories")
                if isinstance(node, ArrayNode):
                    return categorical(values, np.atleast_1d(node.values()), ordered=False, where=where)
        return plain_column(values, where=where)


def _index_key(node: GroupNode) -> str:
    key = node.text_attribute("_index")
    if key is not None:
        return key
    for usual in ("_index", "index"):
        if node.get(usual) is not None:
            return usual
    raise InvalidDataError("missing-index", "the table has no index", where=node.where, expected="attribute '_index'")


def _index_strings(node: GroupNode, key: str) -> Strings:
    member = node.get(key)
    where = f"{node.where}/{key}"
    if member is None:
        raise InvalidDataError("missing-index", "the table's index is not there", where=where)
    if isinstance(member, ArrayNode) and not is_text(member.dtype):
        return to_strings(member.values(), where=where)
    try:
        column = read_column(member)
    except UnsupportedColumnError as reason:
        raise InvalidDataError("bad-index", f"the table's index has {reason}", where=where) from reason
    if column.mask is not None and column.mask.any():
        raise InvalidDataError("bad-index", "the table's index has missing names", where=where)
    if column.categories is not None:
        if len(column) and int(column.codes.min()) < 0:
            raise InvalidDataError("bad-index", "the table's index has missing names", where=where)
        return _taken(column)
    return to_strings(column.values, where=where) if isinstance(column.values, np.ndarray) else column.values


def _taken(column: Column) -> Strings:
    return Strings.of(column.categories or ()).take(column.codes)


def read_column(node: GroupNode | ArrayNode) -> Column:
    """Read one column of a table that is a group.

    Raises
    ------
    UnsupportedColumnError
        For a type that is not one of :class:`~scformat.columns.Column`'s kinds.
    InvalidDataError
        For a column that contradicts itself.
    """
    where = node.where
    if isinstance(node, ArrayNode):
        if node.attribute("categories") is not None:
            categories = node.referred("categories")
            if categories is None:
                raise InvalidDataError("missing-categories", "its categories are not there", where=where)
            ordered = _flag(categories.attribute("ordered"))
            return categorical(_vector(node), _vector(categories), ordered=ordered, where=where)
        return plain_column(_vector(node), where=where)
    names = set(node.names())
    if node.encoding == "categorical" or (not node.encoding and {"codes", "categories"} <= names):
        return _categorical_group(node)
    if node.encoding.startswith("nullable-") or (not node.encoding and {"values", "mask"} <= names):
        return _nullable_group(node)
    raise UnsupportedColumnError(f"type {node.encoding or 'group'}")


def _categorical_group(node: GroupNode) -> Column:
    codes = _vector(node.array("codes"))
    ordered = _flag(node.attribute("ordered"))
    member = node.get("categories")
    if isinstance(member, GroupNode):
        inner = read_column(member)
        if inner.mask is not None and inner.mask.any():
            raise InvalidDataError("missing-category", "a category itself is missing", where=member.where)
        values = inner.values if isinstance(inner.values, np.ndarray) else inner.values.to_numpy()
        return categorical(codes, values, ordered=ordered, where=node.where)
    return categorical(codes, _vector(node.array("categories")), ordered=ordered, where=node.where)


def _nullable_group(node: GroupNode) -> Column:
    inner = plain_column(_vector(node.array("values")), where=node.where)
    mask = _vector(node.array("mask")).astype(bool)
    if len(mask) != len(inner):
        raise InvalidDataError(
            "wrong-length", "mask and values differ", where=node.where, expected=len(inner), found=len(mask)
        )
    values = inner.values
    if not isinstance(values, np.ndarray) and mask.any():
        values = _blanked(values, mask)
    return Column(kind=inner.kind, dtype=inner.dtype, values=values, mask=mask, nullable=True)


def _blanked(values: Strings, mask: NDArray[np.bool_]) -> Strings:
    lengths = np.where(mask, 0, np.diff(values.offsets))
    offsets = np.zeros(len(values) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return Strings(data=values.data[np.repeat(~mask, np.diff(values.offsets))], offsets=offsets)


def plain_column(values: NDArray[Any], *, where: str) -> Column:
    """Type a column from its array, shape (n,).

    Raises
    ------
    UnsupportedColumnError
        For more than one dimension, and for types other than integers, floats, booleans and strings.
    """
    if values.ndim != 1:
        raise UnsupportedColumnError(f"shape {values.shape}")
    if is_text(values.dtype):
        return Column(kind="string", dtype="string", values=to_strings(values, where=where))
    if values.dtype.kind not in _KINDS or values.dtype.itemsize > 8:
        raise UnsupportedColumnError(f"type {values.dtype.name if not values.dtype.names else 'compound'}")
    return Column(kind=_KINDS[values.dtype.kind], dtype=values.dtype.name, values=values)


def categorical(codes: NDArray[Any], categories: NDArray[Any], *, ordered: bool, where: str) -> Column:
    """Build a categorical column from codes (any integer type, -1 missing) and categories (strings, numbers, bools).

    Raises
    ------
    InvalidDataError
        For a code without a category, codes that are no integers, or equal categories.
    """
    if codes.dtype.kind not in "iu" or codes.ndim != 1:
        raise InvalidDataError("bad-codes", "its codes are no integers", where=where, found=f"type {codes.dtype}")
    texts = category_texts(categories, where=where)
    if len(codes) and (int(codes.min()) < -1 or int(codes.max()) >= len(texts)):
        raise InvalidDataError(
            "code-out-of-range",
            "a code without a category",
            where=where,
            expected=f"-1 to {len(texts) - 1}",
            found=f"{int(codes.min())} to {int(codes.max())}",
        )
    dtype = "string" if is_text(categories.dtype) else categories.dtype.name
    return Column(
        kind="categorical", dtype=dtype, values=codes.astype(np.int32), categories=tuple(texts), ordered=ordered
    )


def category_texts(categories: NDArray[Any], *, where: str) -> list[str]:
    """Categories as text, each different from the others."""
    numbers = categories.dtype.kind in _KINDS and categories.dtype.itemsize <= 8
    if categories.ndim != 1 or not (is_text(categories.dtype) or numbers):
        raise UnsupportedColumnError(f"categories of type {categories.dtype}")
    if is_text(categories.dtype):
        texts = list(to_strings(categories, where=where))
    else:
        texts = [number_text(value) for value in categories.tolist()]
    if len(set(texts)) != len(texts):
        double = Counter(texts).most_common(1)[0][0]
        raise InvalidDataError("duplicate-category", f"the category {double!r} is there twice", where=where)
    return texts


def _vector(node: ArrayNode) -> NDArray[Any]:
    if node.shape is None:
        raise UnsupportedColumnError("an empty dataspace")
    return node.values()


def _flag(value: object) -> bool:
    """Return an attribute as a truth value; HDF5 gives a numpy bool, R writers an integer."""
    return bool(np.asarray(value).any()) if value is not None else False
