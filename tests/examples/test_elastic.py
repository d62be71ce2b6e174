"""Groups that lose ranks: what checkpoints hold is the stream, read from the logs and not as the example does it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is an extra")

from scformat.torch import CellLoader  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")

STEPS = 25
RESULT = Path(__file__).resolve().parents[2] / "tools" / "faults" / "results" / "ranks.json"


def _committed(directory: Path, groups: list[dict[str, Any]]) -> list[np.ndarray]:
    """Rows of each global batch: draw k of rank r among R is number k R + r."""
    batches = []
    for group in groups:
        logs = [(directory / f"{group['name']}-{rank}.log").read_text() for rank in range(group["ranks"])]
        lines = [[json.loads(line) for line in log.splitlines() if line.endswith("]")] for log in logs]
        for step in range(group["first"], group["last"] + 1):
            [*parts] = [[rows for number, _, rows in mine if number == step] for mine in lines]
            assert [len(part) for part in parts] == [1] * group["ranks"]
            batches.append(np.stack([part[0] for part in parts], axis=1).ravel())
    return batches


def test_groups_of_two_and_four_that_are_killed_train_as_one_that_is_not(
    run_example: Callable[..., str], studies: list[Path], tmp_path: Path
) -> None:
    said = run_example(
        "elastic.py",
        "--steps",
        STEPS,
        "--ranks",
        2,
        4,
        "--kills",
        2,
        "--seed",
        5,
        "--out",
        tmp_path,
        "--data",
        *studies,
    )
    assert 1 <= len(re.findall(r"^killed rank \d of [24] at its step \d+$", said, re.MULTILINE)) <= 2
    assert said.count("every position of the stream once: True") == 2

    alone, killed = (torch.load(tmp_path / name / "checkpoint.pt") for name in ("left-alone", "killed"))
    assert alone["step"] == killed["step"] == STEPS
    assert alone["loader"] == killed["loader"]
    torch.testing.assert_close(killed["model"], alone["model"], rtol=1e-4, atol=1e-6)

    batches = _committed(tmp_path / "killed", killed["groups"])
    loader = CellLoader(tmp_path / "cells.store", 128, split="train", plan="epoch", seed=5)
    length = len(loader)
    assert len(batches) == STEPS > 2 * length, "some epochs ended on the way"
    for epoch in range(STEPS // length):
        whole = np.concatenate(batches[epoch * length : (epoch + 1) * length])
        cells = loader.table.n_cells
        assert (whole[cells:] == -1).all()
        assert np.array_equal(np.sort(whole[:cells]), np.sort(loader.store.select("split == 'train'")))
        assert np.array_equal(whole[:cells], loader.plan.rows(epoch * cells, (epoch + 1) * cells))
    assert np.array_equal(np.concatenate(batches), np.concatenate(_committed(tmp_path / "left-alone", alone["groups"])))


def test_the_long_run_killed_every_kind_of_group_and_lost_nothing() -> None:
    found = json.loads(RESULT.read_text())
    runs = found["runs"]
    plans = {run["plan"] for run in runs}
    assert plans == {"epoch", "stratified", "independent"}
    kinds = {(tuple(run["sizes"]), run["plan"]) for run in runs if run["launcher"] == "processes"}
    assert kinds == {(sizes, plan) for sizes in ((2,), (4,), (4, 2)) for plan in plans}
    assert "torchrun" in {run["launcher"] for run in runs}
    assert found["kills"] == sum(len(run["kills"]) for run in runs) >= 50
    assert found["right"] == len(runs)
    assert all(run["every_position_once"] and run["same_state"] and run["near"] for run in runs)
    assert all(run["of_a_group"] == 0 for run in runs if run["sizes"] == [2]), "two numbers have one sum"
