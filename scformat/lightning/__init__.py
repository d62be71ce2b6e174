"""A store as a Lightning data module. Lightning itself is loaded when the module is first named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scformat.lightning.datamodule import CellDataModule

__all__ = ["CellDataModule"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    from scformat.errors import missing_extra

    try:
        module = import_module(f"{__name__}.datamodule")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("lightning", "torch"):
            raise
        raise missing_extra("lightning", needed_for=name) from None
    return getattr(module, name)


def __dir__() -> list[str]:
    return __all__
