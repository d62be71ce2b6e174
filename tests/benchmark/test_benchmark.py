from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

import scformat
from scformat.benchmark import Stages, batch_arrays, choose_cache, default_table, measure_store
from scformat.errors import UnknownNameError, UsageError
from scformat.torch import CellLoader

if TYPE_CHECKING:
    from pathlib import Path

    from scformat.store import Store


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmark")
    files = scformat.simulate(folder, cells=1500, studies=2, genes=900, seed=2)
    scformat.convert(files, folder / "small.cells", stratify_by=["cell_type"], jobs=1)
    return folder / "small.cells"


@pytest.fixture(scope="module")
def store(path: Path) -> Store:
    return scformat.open(path)


def test_every_plan_and_output_has_a_rate_and_a_limit(store: Store) -> None:
    found = measure_store(store, seconds=0.02, threads=2, batch_size=32, seed=5, cache="cold")
    cases = [(rate["plan"], rate["table"], rate["output"]) for rate in found["rates"]]
    balanced = "cell_type:balanced"
    drawn = [("stratified", balanced), ("independent", balanced), ("independent", None), ("epoch", None)]
    assert cases == [(plan, table, output) for plan, table in drawn for output in ("csr", "dense")]
    for rate in found["rates"]:
        stages = Stages(**rate["stages"])
        assert stages.read > 0
        assert stages.decode > 0
        assert stages.write > 0
        assert stages.make > 0
        assert rate["limit"] == pytest.approx(2 / (stages.read + stages.decode + stages.write))
        assert rate["share"] == pytest.approx(rate["cells_per_second"] / rate["limit"])
        assert rate["cpu_seconds"] > 0
    assert found["settings"] == {"batch_size": 32, "threads": 2, "seconds": 0.02, "seed": 5, "cache": "cold"}
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("output", ["csr", "dense"])
def test_what_is_written_for_the_limit_is_as_large_as_a_batch(store: Store, output: str) -> None:
    loader = CellLoader(store, batch_size=32, plan="epoch", output=output)  # type: ignore[arg-type]
    x = next(iter(loader)).x
    assert x is not None
    parts = [x.col_indices(), x.values()] if output == "csr" else [x]
    written = batch_arrays(loader._form.assembly, 32, parts[-1].numel())
    assert [(size, np.dtype(dtype)) for size, dtype in written] == [(p.numel(), p.numpy().dtype) for p in parts]


def test_defaults_fit_the_store(store: Store) -> None:
    assert default_table(store) == "cell_type:balanced"
    assert choose_cache(store, None) == "warm"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"plans": ["stratifed"]}, "unknown-plan"),
        ({"outputs": ["sparse"]}, "unknown-output"),
        ({"cache": "hot"}, "unknown-state-of-the-cache"),
        ({"seconds": 0.0}, "bad-seconds"),
        ({"table": "cell_typ:balanced"}, None),
    ],
)
def test_what_is_not_there_is_refused(store: Store, options: dict[str, object], code: str | None) -> None:
    with pytest.raises((UsageError, UnknownNameError)) as caught:
        measure_store(store, **options)  # type: ignore[arg-type]
    assert code is None or caught.value.code == code


def test_the_command_prints_rates(path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "scformat",
        "bench",
        str(path),
        "--seconds",
        "0.02",
        "--plan",
        "epoch",
        "--output",
        "csr",
    ]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "epoch  uniform  csr" in text
    found = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout)
    assert [(rate["plan"], rate["output"]) for rate in found["rates"]] == [("epoch", "csr")]
    assert set(found["versions"]) >= {"scformat", "numpy", "torch"}
    refused = subprocess.run([*command, "--plan", "epok"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "did you mean" in refused.stderr
