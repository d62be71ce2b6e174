"""Natural against balanced draws: recall of rare cell types of a linear classifier.

    python examples/rare_cell_types.py PBMC.h5ad [--plot recall.png]

takes an h5ad file of counts with a column of cell types (`--label`, by default ``celltype``), holds a fifth of each
type out, thins half of the types to 15 training cells, converts what is left to a store, and trains the same
classifier twice a seed: on draws in proportion to the cells, and on draws that are even over types. Needs the extra
`torch`, and matplotlib for the plot.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path

import anndata
import numpy as np
import torch

import scformat
from scformat.torch import CellLoader, Log1p, NormalizeTotal

RARE_CELLS = 15
STEPS, BATCH = 300, 128
TRANSFORMS = (NormalizeTotal(1e4), Log1p())


def split_and_thin(labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return training rows, test rows, and which types were thinned."""
    rng = np.random.default_rng(seed)
    types = sorted(set(labels))
    rare = types[::2]
    train, test = [], []
    for name in types:
        rows = rng.permutation(np.flatnonzero(labels == name))
        held_out = len(rows) // 5
        test.append(rows[:held_out])
        train.append(rows[held_out : held_out + RARE_CELLS] if name in rare else rows[held_out:])
    return np.concatenate(train), np.concatenate(test), rare


def train(store: scformat.store.Store, label: str, scheme: str, seed: int) -> torch.nn.Linear:
    """Train on draws of one scheme."""
    torch.manual_seed(seed)
    model = torch.nn.Linear(store.n_genes, len(store.labels[label].categories))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loader = CellLoader(
        store,
        table=f"{label}:{scheme}",
        batch_size=BATCH,
        labels=[label],
        transforms=TRANSFORMS,
        steps_per_epoch=STEPS,
        seed=seed,
    )
    for batch in loader:
        loss = torch.nn.functional.cross_entropy(model(batch.x), batch.labels[label].long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


def recalls(
    model: torch.nn.Linear, store: scformat.store.Store, label: str, names: tuple[str, ...]
) -> dict[str, float]:
    """Recall of each type on the cells of a store; `names` are the types in the order of the model's outputs."""
    right: dict[str, list[bool]] = {}
    own = store.labels[label].categories
    for batch in CellLoader(store, batch_size=BATCH, labels=[label], transforms=TRANSFORMS):
        with torch.no_grad():
            found = model(batch.x).argmax(dim=1).tolist()
        for guess, code, valid in zip(found, batch.labels[label].tolist(), batch.valid.tolist(), strict=True):
            if valid:
                right.setdefault(own[code], []).append(names[guess] == own[code])
    return {name: float(np.mean(hits)) for name, hits in right.items()}


def main() -> None:
    """Run five seeds and print mean and spread."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--label", default="celltype")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()

    cells = anndata.read_h5ad(options.file)
    labels = cells.obs[options.label].astype(str).to_numpy()
    results: dict[str, list[dict[str, float]]] = {"natural": [], "balanced": []}
    rare: list[str] = []
    for seed in range(options.seeds):
        training, test, rare = split_and_thin(labels, seed)
        with tempfile.TemporaryDirectory() as directory, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # barcodes that repeat within the file
            ours = scformat.convert(cells[training].copy(), Path(directory, "train.cells"), labels=[options.label])
            genes = gene_list(ours, directory)
            held_out = Path(directory, "test.cells")
            theirs = scformat.convert(cells[test].copy(), held_out, labels=[options.label], genes=genes)
            for scheme, runs in results.items():
                model = train(ours, options.label, scheme, seed)
                runs.append(recalls(model, theirs, options.label, ours.labels[options.label].categories))
    for kind, names in (("rare", rare), ("common", sorted(set(labels) - set(rare)))):
        for scheme, runs in results.items():
            means = [np.mean([run[name] for name in names]) for run in runs]
            print(f"{kind} types, {scheme} draws: mean recall {np.mean(means):.3f} (sd {np.std(means, ddof=1):.3f})")
    if options.plot is not None:
        draw(results, rare, options.plot)


def gene_list(store: scformat.store.Store, directory: str) -> Path:
    """Write the genes of a store, so that another store has them in the same order."""
    path = Path(directory, "genes.txt")
    path.write_text("\n".join(store.genes.index) + "\n")
    return path


def draw(results: dict[str, list[dict[str, float]]], rare: list[str], path: Path) -> None:
    """Plot the recall of each type, mean and spread over the seeds."""
    import matplotlib.pyplot as plt

    names = sorted(results["natural"][0], key=lambda name: (name not in rare, name))
    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    for shift, (scheme, runs) in zip((-0.2, 0.2), results.items(), strict=True):
        values = np.array([[run[name] for name in names] for run in runs])
        places = np.arange(len(names)) + shift
        axes.bar(places, values.mean(0), 0.38, yerr=values.std(0, ddof=1), label=f"{scheme} draws", capsize=2)
    axes.set_xticks(range(len(names)), [f"{n} *" if n in rare else n for n in names], rotation=35, ha="right")
    axes.set_ylabel("recall on held-out cells")
    axes.set_title(
        f"* thinned to {RARE_CELLS} training cells; mean and standard deviation of {len(results['natural'])} seeds"
    )
    figure.legend(loc="outside upper right", ncols=2)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
