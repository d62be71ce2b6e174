"""Two processes under DistributedDataParallel train as one with the same global batch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

torch = pytest.importorskip("torch", reason="torch is an extra")

import scformat  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")

STEPS, SEED = 25, 4


@pytest.fixture
def store_path(studies: list[Path], tmp_path: Path) -> str:
    return scformat.convert(studies, tmp_path / "cells.store", splits="train=0.8,test=0.2").path


def _rank(rank: int, *arguments: object) -> None:
    """Be a rank, and leave no thread of gloo: one that is at work while the interpreter ends can bring it down."""
    import ddp

    ddp.run_rank(rank, *arguments)
    names = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").glob("*")]
    assert not any("gloo" in name for name in names), names


def test_two_processes_end_with_the_parameters_of_one(
    example: Callable[[str], ModuleType], store_path: str, tmp_path: Path
) -> None:
    import torch.multiprocessing

    ddp = example("ddp")
    one = ddp.train(store_path, STEPS, SEED)
    torch.multiprocessing.spawn(_rank, (2, str(tmp_path), store_path, STEPS, SEED), nprocs=2)
    two = ddp.Run(**torch.load(tmp_path / "run.pt"))

    assert one.rows.shape == (STEPS, ddp.GLOBAL_BATCH)
    assert torch.equal(one.rows, two.rows)
    assert one.losses[-1] < one.losses[0] * 0.7
    assert two.losses == pytest.approx(one.losses, rel=1e-5)
    assert two.right == one.right
    assert one.parameters.keys() == two.parameters.keys()
    for name, value in one.parameters.items():
        torch.testing.assert_close(two.parameters[name], value, rtol=1e-4, atol=1e-6)


def test_another_seed_is_another_run(example: Callable[[str], ModuleType], store_path: str) -> None:
    ddp = example("ddp")
    one, other = ddp.train(store_path, 3, SEED), ddp.train(store_path, 3, SEED + 1)
    assert not torch.equal(one.rows, other.rows)
    assert not all(torch.allclose(one.parameters[name], other.parameters[name]) for name in one.parameters)


def test_it_prints_both(run_example: Callable[..., str], studies: list[Path]) -> None:
    said = run_example("ddp.py", "--steps", 10, "--data", *studies)
    assert "the same cells in every batch: True" in said
    assert len(re.findall(r"^ +\d+ +[0-9.]+ +[0-9.]+$", said, re.MULTILINE)) == 6
    apart = re.search(r"difference of a loss: (\S+), of a parameter: (\S+)$", said, re.MULTILINE)
    assert apart is not None and max(map(float, apart.groups())) < 1e-5
