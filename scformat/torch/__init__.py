"""Batches of cells as torch tensors. torch itself is loaded when a loader is first named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scformat.loading.encodings import Ancestors
from scformat.loading.neighbours import Neighbours
from scformat.loading.sets import Sets
from scformat.loading.transforms import (
    Downsample,
    GeneSubset,
    Log1p,
    NormalizeTotal,
    QuantileBins,
    TokenSpec,
)

if TYPE_CHECKING:
    from scformat.torch.batch import Batch
    from scformat.torch.dataset import CellDataset, WeightedSampler
    from scformat.torch.loader import CellLoader
    from scformat.torch.neighbours import NeighbourBatch

__all__ = [
    "Ancestors",
    "Batch",
    "CellDataset",
    "CellLoader",
    "Downsample",
    "GeneSubset",
    "Log1p",
    "NeighbourBatch",
    "Neighbours",
    "NormalizeTotal",
    "QuantileBins",
    "Sets",
    "TokenSpec",
    "WeightedSampler",
]

_MODULES = {
    "Batch": "batch",
    "CellDataset": "dataset",
    "CellLoader": "loader",
    "NeighbourBatch": "neighbours",
    "WeightedSampler": "dataset",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    from scformat.errors import missing_extra

    try:
        module = import_module(f"{__name__}.{_MODULES[name]}")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise missing_extra("torch", needed_for=name) from None
    return getattr(module, name)


def __dir__() -> list[str]:
    return __all__
