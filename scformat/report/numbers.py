"""Numbers as people read them."""

from __future__ import annotations


def number(value: float) -> str:
    """Write a coordinate: two digits, no trailing zeros."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def count(value: float) -> str:
    """Write a whole number with its thousands set apart."""
    return f"{round(value):,}"


def percent(share: float) -> str:
    """Write a share with three digits that count, never as a power."""
    if share == 0:
        return "0\u202f%"
    exponent = int(f"{100 * share:.2e}".partition("e")[2])
    return f"{100 * share:.{min(max(2 - exponent, 0), 12)}f}\u202f%"


def power_percent(exponent: int) -> str:
    """Write the share 10^`exponent`."""
    return f"{100 * 10.0**exponent:.{max(-2 - exponent, 0)}f}\u202f%"


def file_size(n_bytes: int) -> str:
    """Write a number of bytes as people read it."""
    size, unit = float(n_bytes), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 999.5 or unit == "TB":
            break
        size /= 1000
    return f"{size:.3g}\u202f{unit}"


def large(n: int) -> str:
    """Write a number that a tile has room for."""
    for size, letter in ((1e9, "G"), (1e6, "M")):
        if n >= 10 * size:
            return f"{n / size:,.3g}\u202f{letter}"
    return count(n)
