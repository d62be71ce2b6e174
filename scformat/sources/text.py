"""Strings of every form that HDF5, Zarr and numpy give them, to :class:`~scformat.strings.Strings`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.errors import InvalidDataError
from scformat.strings import Strings

if TYPE_CHECKING:
    from numpy.typing import NDArray


def is_text(dtype: np.dtype[Any]) -> bool:
    """Whether arrays of `dtype` hold strings: fixed bytes, fixed unicode, numpy's StringDType or objects."""
    return dtype.kind in "SUTO"


def to_strings(values: NDArray[Any], *, where: str) -> Strings:
    """Encode an array of strings, shape (n,).

    Parameters
    ----------
    values
        Fixed-length bytes or unicode, variable-length strings (objects of ``bytes`` or ``str``), or numbers,
        which are written as Python does.
    where
        File and array, for messages.

    Raises
    ------
    InvalidDataError
        For bytes that are not UTF-8, or objects that are no strings.
    """
    if values.dtype.kind == "U":
        values = np.char.encode(values, "utf-8")
    if values.dtype.kind == "S":
        return _checked(_from_fixed(values), where)
    items = values.tolist()
    if values.dtype.kind in "iufb":
        return Strings.of(number_text(item) for item in items)
    try:
        encoded = [item if isinstance(item, bytes) else item.encode() for item in items]
    except (AttributeError, UnicodeEncodeError) as error:
        raise InvalidDataError("not-text", "it holds something that is no string", where=where) from error
    return _checked(Strings.of_bytes(encoded), where)


def number_text(value: float | bool) -> str:  # noqa: FBT001 (a value, not a switch)
    """Shortest exact notation of a Python number or bool."""
    return repr(value)


def plain_text(value: object) -> str | None:
    """Return the string in a scalar or an array of one element, decoded; None for anything else."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return str(value) if isinstance(value, str) else None


def text_list(value: object) -> list[str]:
    """Return the strings of an attribute that holds one or many; numbers among them are written as text."""
    items = value.reshape(-1).tolist() if isinstance(value, np.ndarray) else value
    if isinstance(items, (str, bytes)) or not isinstance(items, (list, tuple)):
        items = [items]
    return [item.decode(errors="replace") if isinstance(item, bytes) else str(item) for item in items]


def _from_fixed(values: NDArray[np.bytes_]) -> Strings:
    n, width = len(values), values.dtype.itemsize
    lengths = np.char.str_len(values).astype(np.int64)
    offsets = np.zeros(n + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    table = np.ascontiguousarray(values).view(np.uint8).reshape(n, width)
    return Strings(data=table[np.arange(width) < lengths[:, None]], offsets=offsets)


def _checked(strings: Strings, where: str) -> Strings:
    """Refuse bytes that are not UTF-8, as a whole or because a character crosses from one string to the next."""
    starts = strings.offsets[:-1]
    starts = starts[starts < len(strings.data)]
    try:
        strings.data.tobytes().decode()
        crossing = bool(((strings.data[starts] & 0xC0) == 0x80).any())
    except UnicodeDecodeError:
        crossing = True
    if crossing:
        raise InvalidDataError("not-utf8", "its text is not UTF-8", where=where, hint="write it again as UTF-8")
    return strings
