"""The step bench: a training step that consumes batches, and how long it waits for them.

A small encoder on the processor (genes -> 256 -> 64 -> classes), the same for every row. The wait is the time within
``next()`` of the iterator; the step is all other time of the loop. Torch and the loader share the processors.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.bench import machine


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Seconds of each step.

    Attributes
    ----------
    waits
        Within ``next()``.
    works
        Of forward, backward and the optimizer's step.
    losses
        The loss of each step.
    """

    waits: list[float]
    works: list[float]
    losses: list[float]

    def share(self) -> float:
        """Share of the time that the loop waited."""
        return sum(self.waits) / (sum(self.waits) + sum(self.works))


def main(arguments: list[str] | None = None) -> int:
    """Train for some steps and write ``step.json``, which has the trace; 1 where the wait is above ``--most``."""
    options = _parser().parse_args(arguments)
    results = []
    for output in options.outputs.split(","):
        trace = train(options, output)
        results.append(
            {
                "output": output,
                "wait_share": trace.share(),
                "wait_ms": _spread(trace.waits),
                "work_ms": _spread(trace.works),
                "cells_per_second": len(trace.waits) * options.batch_size / (sum(trace.waits) + sum(trace.works)),
                "loss": {"first": statistics.mean(trace.losses[:20]), "last": statistics.mean(trace.losses[-20:])},
                "waits_s": trace.waits,
                "works_s": trace.works,
            }
        )
        shown = results[-1]
        wait, work, loss = shown["wait_ms"], shown["work_ms"], shown["loss"]
        sys.stdout.write(
            f"{output}: waits {shown['wait_share']:.2%} of the time; a step of {options.batch_size} cells "
            f"{work['median']:.1f} ms, its wait {wait['median']:.2f} ms, at most {wait['most']:.1f} ms; "
            f"loss {loss['first']:.2f} to {loss['last']:.2f}\n"
        )
    result = {
        "bench": "step",
        "machine": machine.describe(),
        "store": Path(options.store).name,
        "settings": {name: value for name, value in vars(options).items() if name not in ("store", "out")},
        "rows": results,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "step.json").write_text(json.dumps(result) + "\n", "utf-8")
    return int(any(row["wait_share"] > options.most for row in results))


def train(options: argparse.Namespace, output: str) -> Trace:
    """Train the encoder on batches of one output."""
    import torch

    from scformat.torch import CellLoader, Log1p, NormalizeTotal

    torch.manual_seed(options.seed)
    loader = CellLoader(
        options.store, batch_size=options.batch_size, table=options.table, labels=["cell_type"], output=output,
        transforms=[NormalizeTotal(1e4), Log1p()], seed=options.seed, steps_per_epoch=options.warm_up + options.steps,
        threads=options.threads,
    )  # fmt: skip
    n_classes = len(loader.store.labels["cell_type"].categories)
    model = torch.nn.Sequential(
        _first(loader.store.n_genes, 256), torch.nn.ReLU(), torch.nn.Linear(256, 64), torch.nn.ReLU(),
        torch.nn.Linear(64, n_classes),
    )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    waits, works, losses = [], [], []
    batches = iter(loader)
    while True:
        begun = time.perf_counter()
        batch = next(batches, None)
        had = time.perf_counter()
        if batch is None:
            break
        loss = torch.nn.functional.cross_entropy(model(batch.x), batch.labels["cell_type"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        waits.append(had - begun)
        losses.append(loss.item())
        works.append(time.perf_counter() - had)
    return Trace(waits=waits[options.warm_up :], works=works[options.warm_up :], losses=losses[options.warm_up :])


def _first(n_in: int, n_out: int) -> Any:
    """Make a linear layer that takes dense and CSR batches."""
    import torch

    class First(torch.nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            if input.layout is torch.sparse_csr:
                return torch.sparse.mm(input, self.weight.t()) + self.bias
            return super().forward(input)

    return First(n_in, n_out)


def _spread(seconds: list[float]) -> dict[str, float]:
    return {
        "median": 1e3 * statistics.median(seconds),
        "least": 1e3 * min(seconds),
        "most": 1e3 * max(seconds),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.bench step", description=__doc__)
    parser.add_argument("store", help="a cell store with the label cell_type")
    parser.add_argument("--table", default="cell_type:balanced")
    parser.add_argument("--outputs", default="dense", help="of dense, csr")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--warm-up", type=int, default=50, help="steps before those")
    parser.add_argument("--threads", type=int, default=None, help="of the loader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=float, default=0.05, help="share of the time that it may wait")
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
