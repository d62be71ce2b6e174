"""Kill ranks of training groups; what is committed has to be the stream, and the model that of a run left alone.

    python -m tools.faults.ranks [--kills N] [--steps N] [--seed N] [--out FILE.json]

The training is that of ``examples/elastic.py``, on simulated cells: groups of 2 ranks, of 4, and of 4 and 2 in turn, by
every plan, and both sizes under torchrun. Ranks and moments are drawn: a rank is killed (signal 9) up to 0.1 seconds
after it began a step, or while its group still meets. Then a new group takes the last checkpoint up. Of each run is
asked whether

1. the steps that checkpoints hold have every position of the stream once, with the cell that the plan says, and mark
   what only fills up the end of an epoch;
2. the loader stands where that of a run left alone stands;
3. the parameters are those of one process that trained on the same global batches, and those of a group of the same
   size that was left alone.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import scformat

if TYPE_CHECKING:
    from collections.abc import Sequence

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))
elastic = importlib.import_module("elastic")

SIZES = ((2,), (4,), (4, 2))
PLANS = ("epoch", "stratified", "independent")
NEAR = {"rtol": 1e-4, "atol": 1e-6}
"""Sums of floats in another order differ by as much."""


class Torchrun:
    """A group that torchrun starts; it ends the others itself where one fails."""

    def __init__(self, ranks: int, store: str, directory: Path, options: dict[str, Any]) -> None:
        how = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
        command += [str(EXAMPLES / "elastic.py"), "--train", store, str(directory), *how]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.agent = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)

    @property
    def running(self) -> bool:
        """Whether torchrun is."""
        return self.agent.poll() is None

    def kill(self, rank: int) -> None:
        """Kill one rank, where there is one already."""
        children = Path(f"/proc/{self.agent.pid}/task/{self.agent.pid}/children")
        for pid in children.read_text().split() if self.running else ():
            if f"RANK={rank}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                os.kill(int(pid), signal.SIGKILL)

    def join(self) -> bool:
        """Wait for torchrun."""
        return self.agent.wait() == 0


@dataclass(kw_only=True)
class Outcome:
    """What became of a run.

    Attributes
    ----------
    sizes, plan, launcher
        Ranks of the groups, in turn; which plan; ``processes`` or ``torchrun``.
    kills
        Ranks of the group, which of them was killed, and how many steps it had begun.
    groups
        That were started.
    steps, begun
        Steps of the run, and steps that its first ranks began: what is above `steps` was lost and done again.
    positions, filled_up
        Of the stream, as committed; places that only fill up the end of an epoch.
    every_position_once, same_state
        Whether points 1 and 2 hold.
    of_one_process, of_a_group
        Largest difference of a parameter from that of a run left alone.
    near
        Whether both are within the tolerance.
    """

    sizes: list[int]
    plan: str
    launcher: str
    kills: list[dict[str, int]]
    groups: int
    steps: int
    begun: int
    positions: int
    filled_up: int
    every_position_once: bool
    same_state: bool
    of_one_process: float
    of_a_group: float
    near: bool

    @property
    def right(self) -> bool:
        """Whether everything holds."""
        return self.every_position_once and self.same_state and self.near


def farthest(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Return the largest difference of a parameter."""
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def near(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether parameters are alike but for rounding."""
    return all(torch.allclose(one[name], other[name], **NEAR) for name in one)


def judge(run: Any, sizes: Sequence[int], launcher: str, store: Any, alone: Sequence[Any]) -> Outcome:
    """Compare a run with those of one process and of a group that were left alone."""
    found = run.checkpoint
    references = [other.checkpoint for other in alone]
    models = [each["model"] for each in references]
    committed = run.committed()
    return Outcome(
        sizes=list(sizes),
        plan=run.options["plan"],
        launcher=launcher,
        kills=run.kills,
        groups=run.groups,
        steps=found["step"],
        begun=run.logged(0),
        positions=found["loader"]["position"],
        filled_up=sum(row < 0 for _, row in committed),
        every_position_once=run.is_stream(store),
        same_state=all(found["loader"] == each["loader"] for each in references),
        of_one_process=farthest(found["model"], models[0]),
        of_a_group=farthest(found["model"], models[1]),
        near=all(near(found["model"], model) for model in models),
    )


def campaign(directory: Path, *, kills: int, steps: int, seed: int) -> list[Outcome]:
    """Do every run, with as many `kills` in each."""
    sources = scformat.simulate(directory / "in", cells=1500, studies=2, genes=900, seed=1)
    store = scformat.convert(sources, directory / "a.cells", splits="train=0.8,test=0.2")
    made = 0

    def run(sizes: Sequence[int], plan: str, *, kills: int = 0, start: Any = elastic.Group) -> Any:
        nonlocal made
        made += 1
        new = elastic.Run(store.path, directory / str(made), {"steps": steps, "plan": plan, "seed": seed})
        new.supervise(sizes, kills=kills, seed=seed + made, start=start)
        return new

    found = []
    for plan in PLANS:
        one = run([1], plan)
        alone = {ranks: run([ranks], plan) for ranks in (2, 4)}
        for sizes in SIZES:
            killed = run(sizes, plan, kills=kills)
            found.append(judge(killed, sizes, "processes", store, [one, alone[sizes[0]]]))
            report(found[-1])
        if plan == "epoch":
            killed = run((4, 2), plan, kills=min(kills, 3), start=Torchrun)
            found.append(judge(killed, (4, 2), "torchrun", store, [one, alone[4]]))
            report(found[-1])
    return found


def report(one: Outcome) -> None:
    """Print a line."""
    sizes = ", ".join(map(str, one.sizes))
    print(
        f"{one.plan}, ranks {sizes}, {one.launcher}: {len(one.kills)} kills, {one.groups} groups, {one.steps} steps"
        f" ({one.begun} begun), {one.positions} positions once: {one.every_position_once}, {one.filled_up} filled up,"
        f" parameters apart {one.of_one_process:.1e} and {one.of_a_group:.1e}",
        flush=True,
    )


def main() -> int:
    """Do it all; return 1 where anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tools.faults.ranks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=6, help="in each run (6)")
    parser.add_argument("--steps", type=int, default=120, help="of each run (120)")
    parser.add_argument("--seed", type=int, default=0, help="of streams, models, ranks and moments (0)")
    parser.add_argument("--out", type=Path, help="a JSON file for every run and its kills")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        found = campaign(Path(directory), kills=options.kills, steps=options.steps, seed=options.seed)
    if options.out is not None:
        result = {
            "scformat": scformat.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "seed": options.seed,
            "global batch": elastic.GLOBAL_BATCH,
            "steps between checkpoints": elastic.EVERY,
            "kills": sum(len(one.kills) for one in found),
            "right": sum(one.right for one in found),
            "runs": [asdict(one) for one in found],
        }
        options.out.write_text(json.dumps(result, indent=2) + "\n")
    return int(not all(one.right for one in found))


if __name__ == "__main__":
    raise SystemExit(main())
