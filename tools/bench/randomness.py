"""How random batches are: the entropy of a label within a batch, and what independent draws would have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.bench.adapters.harness import LABELS

if TYPE_CHECKING:
    from numpy.typing import NDArray


def expected_entropy(shares: NDArray[np.float64], n: int) -> float:
    """Mean entropy, bits, of `n` independent draws from a distribution: exact, by the binomial law of each category."""
    from scipy.stats import binom

    counts = np.arange(1, n + 1)
    terms = -(counts / n) * np.log2(counts / n)
    return float((binom.pmf(counts[:, None], n, shares[None, :]) * terms[:, None]).sum())


def distributions(labels: dict[str, NDArray[np.int64]]) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return the shares of each label's categories where cells are drawn alike, and where classes have equal shares.

    Parameters
    ----------
    labels
        Codes of every cell.
    """
    classes = labels[LABELS[0]]
    alike = np.ones(len(classes)) / len(classes)
    sizes = np.bincount(classes)
    balanced = 1.0 / sizes[classes] / np.count_nonzero(sizes)
    return {
        draws: {name: np.bincount(codes, weights=weights) for name, codes in labels.items()}
        for draws, weights in (("uniform", alike), ("balanced", balanced))
    }


def read_labels(sources: list[Path]) -> dict[str, NDArray[np.int64]]:
    """Read the labels of h5ad files as codes over all of them; donors are those of their study."""
    import h5py

    texts: dict[str, list[NDArray[Any]]] = {name: [] for name in LABELS}
    for path in sources:
        with h5py.File(path, "r") as file:
            columns = {name: file["obs"][name] for name in LABELS}
            values = {
                name: np.array(column["categories"].asstr()[:], dtype=str)[column["codes"][:]]
                for name, column in columns.items()
            }
        values["donor_id"] = np.char.add(np.char.add(values["study"], "/"), values["donor_id"])
        for name in LABELS:
            texts[name].append(values[name])
    return {
        name: np.unique(np.concatenate(each), return_inverse=True)[1].astype(np.int64) for name, each in texts.items()
    }


def compare(found: dict[str, Any], shares: dict[str, NDArray[np.float64]], n: int) -> dict[str, dict[str, float]]:
    """Set the entropies of an adapter's batches beside those of independent draws."""
    compared = {}
    for name in LABELS:
        expected = expected_entropy(shares[name], n)
        compared[name] = {
            "entropy": found["entropy"][name],
            "independent": expected,
            "ratio": found["entropy"][name] / expected if expected else 1.0,
            "pooled": found["pooled"][name],
            "categories": found["categories"][name],
        }
    return compared
