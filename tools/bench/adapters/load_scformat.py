"""Load with this package: a stream of :class:`scformat.torch.CellLoader`.

Settings: ``plan``, ``table``, ``output``, further arguments of the loader in ``loader``, those of ``scformat convert``
in ``arguments``. With ``limit`` nothing is loaded: reading, decoding and writing are measured alone.
"""

from __future__ import annotations

import json
import runpy
import sys
from typing import Any

from tools.bench.adapters import harness

_STEPS = 1 << 33


def prepare(settings: dict[str, Any], store: str, sources: list[str]) -> None:
    """Convert with the command line."""
    sys.argv[1:] = ["convert", *sources, store, *settings["arguments"]]
    runpy.run_module("scformat", run_name="__main__", alter_sys=True)


def open_loader(settings: dict[str, Any], store: str, request: harness.Request) -> Any:
    """Open the loader that a row asks for."""
    from scformat.torch import CellLoader

    return CellLoader(
        store,
        batch_size=request.batch,
        table=settings.get("table"),
        plan=settings["plan"],
        output=settings["output"],
        seed=request.seed,
        labels=[name for name in request.labels if name != "study"],
        steps_per_epoch=_STEPS,
        **settings.get("loader", {}),
    )


def open_stream(settings: dict[str, Any], store: str, request: harness.Request) -> harness.Stream:
    """Open a stream: the first runs of independent draws are short, so a period is two long ones."""
    from scformat.loading.schedule import MOST_AHEAD

    return harness.Stream(
        batches=iter(open_loader(settings, store, request)),
        counts=lambda batch: batch.x,
        codes=lambda batch: {**batch.labels, "study": batch.source},
        period=2 * MOST_AHEAD,
    )


def limit(settings: dict[str, Any], store: str, options: dict[str, Any]) -> dict[str, Any]:
    """Measure the stages alone."""
    from dataclasses import asdict

    from scformat.benchmark import measure_stages

    harness.warm(harness.below(store))
    loader = open_loader(settings, store, harness.Request(batch=options["batch"], seed=options["seed"], labels=()))
    stages = measure_stages(loader)
    return {**asdict(stages), "threads": options["threads"], "limit": stages.limit(options["threads"])}


if __name__ == "__main__":
    if sys.argv[1] == "load" and json.loads(sys.argv[2]).get("limit"):
        print(json.dumps(limit(json.loads(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4]))))
    else:
        harness.main(prepare, open_stream)
