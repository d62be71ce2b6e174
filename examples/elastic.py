"""Ranks are killed and the group comes back smaller or larger; what is committed is the stream, each position once.

    python examples/elastic.py [--data FILE...] [--out DIR] [--steps N] [--seed N] [--ranks N...] [--kills N]

Trains on several ranks (gloo), first left alone, then with SIGKILL to one rank after another. A rank that is lost takes
its group down; all begin again at the last checkpoint, in a new group with the next number of ranks. Nothing but the
checkpoint holds them together: model, optimizer, and `loader.state_dict()`, a few integers that any number of ranks
goes on from. To prove it every rank logs the cells it trained on. Needs the extra `torch`. Under torchrun:

    until torchrun --standalone --nproc-per-node 4 examples/elastic.py --train STORE DIR; do sleep 1; done
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import cycle
from multiprocessing import connection
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.nn  # before there is a group: ddp.py says why
from common import options_of, save, store_of
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import scformat
from scformat.torch import Batch, CellLoader, Log1p, NormalizeTotal

GLOBAL_BATCH, LABEL = 128, "cell_type"
EVERY = 5  # steps between checkpoints
PLANS = {"epoch": {}, "stratified": {"table": f"{LABEL}:balanced"}, "independent": {"table": f"{LABEL}:balanced"}}


def loader_of(store: scformat.store.Store, plan: str, seed: int, ranks: int = 1) -> CellLoader:
    """Make the loader of this rank; of the only one where there is no group."""
    return CellLoader(
        store,
        GLOBAL_BATCH // ranks,
        plan=plan,
        **PLANS[plan],
        split="train",
        labels=[LABEL],
        transforms=[NormalizeTotal(1e4), Log1p()],
        seed=seed,
    )


def model_of(store: scformat.store.Store, seed: int) -> nn.Module:
    torch.manual_seed(seed)  # the same first parameters everywhere
    return nn.Sequential(nn.Linear(store.n_genes, 64), nn.ReLU(), nn.Linear(64, len(store.labels[LABEL].categories)))


def train(store_path: str, directory: Path, *, steps: int, plan: str, seed: int) -> None:
    """Train as one rank of the group that the environment names, from the last checkpoint on."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", timeout=timedelta(minutes=5))
    rank, ranks = dist.get_rank(), dist.get_world_size()
    store = scformat.open(store_path)
    model = model_of(store, seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    loader = loader_of(store, plan, seed, ranks)
    checkpoint = directory / "checkpoint.pt"
    done, groups = 0, []
    if checkpoint.exists():
        saved = torch.load(checkpoint)
        done, groups = saved["step"], saved["groups"]
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        loader.load_state_dict(saved["loader"])
    loader.check_ranks()  # all have found the same checkpoint, and the same store
    model = DistributedDataParallel(model)
    names = [f"group{len(list(directory.glob('group*-0.log')))}"]
    dist.broadcast_object_list(names)  # no two groups log to one file

    with (directory / f"{names[0]}-{rank}.log").open("w") as log:
        for step, begin, batch in steps_of(loader, done, steps):
            known = batch.valid & (batch.labels[LABEL] >= 0)
            rows = batch.rows.where(batch.valid, -1)  # what only fills up a last batch is marked
            print(json.dumps([step, begin, rows.tolist()]), file=log, flush=True)
            # The mean over the cells of all ranks: gradients are averaged over ranks, which may know unequal numbers.
            cells = known.sum()
            dist.all_reduce(cells)
            losses = nn.functional.cross_entropy(model(batch.x), batch.labels[LABEL], ignore_index=-1, reduction="none")
            optimizer.zero_grad()
            (losses[known].sum() * ranks / cells).backward()
            optimizer.step()
            if rank == 0 and (step % EVERY == 0 or step == steps):
                # Every rank has logged this step: it did so before gradients were exchanged.
                state = {
                    "step": step,
                    "groups": [*groups, {"name": names[0], "ranks": ranks, "first": done + 1, "last": step}],
                    "model": model.module.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "loader": loader.state_dict(),
                }
                save(state, checkpoint)
    dist.barrier()
    del model
    dist.destroy_process_group()


def steps_of(loader: CellLoader, done: int, steps: int) -> Iterator[tuple[int, int, Batch]]:
    """Yield the number of each step that is left, where in the stream it begins, and its batch."""
    while done < steps:
        begin = loader.position
        for batch in loader:  # what is left of the pass, then the next one
            done += 1
            yield done, begin, batch
            if done == steps:
                return
            begin = loader.position


def run_rank(rank: int, ranks: int, port: int, *arguments: object, **options: object) -> None:
    """Run one process of a group, as a launcher would."""
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(ranks), MASTER_ADDR="localhost", MASTER_PORT=str(port))
    try:
        train(*arguments, **options)
    except RuntimeError as error:
        if "by peer" not in str(error):  # closed, or reset
            raise
        raise SystemExit(f"rank {rank} of {ranks}: another one is gone") from None


class Group:
    """Processes that train as one: as many ranks, a place to meet, and what `train` is told."""

    def __init__(self, ranks: int, store: str, directory: Path, options: dict[str, object]) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["torch._dynamo", "torch.distributed.nn", "scformat.torch.loader", "pandas"])
        # A port of its own: who was left of the last group may still be at the old one.
        with socket.create_server(("localhost", 0)) as free:
            port = free.getsockname()[1]
        arguments = (ranks, port, store, directory)
        self.processes = [
            context.Process(target=run_rank, args=(rank, *arguments), kwargs=options, daemon=True)
            for rank in range(ranks)
        ]
        for process in self.processes:
            process.start()

    @property
    def running(self) -> bool:
        return all(process.is_alive() for process in self.processes)

    def kill(self, rank: int) -> None:
        self.processes[rank].kill()  # SIGKILL

    def join(self) -> bool:
        """Wait for the end of all; where one fails the others, which wait for it, are ended too."""
        left = {process.sentinel: process for process in self.processes}
        while left:
            for sentinel in connection.wait(list(left)):
                process = left.pop(sentinel)
                process.join()
                if process.exitcode != 0:
                    for other in left.values():
                        other.kill()
        return all(process.exitcode == 0 for process in self.processes)


@dataclass
class Run:
    """A run that is taken up again until it has ended well, and what became of it."""

    store: str
    directory: Path
    options: dict[str, object]  # of `train`
    kills: list[dict[str, int]] = field(default_factory=list)
    groups: int = 0

    def supervise(self, sizes: Sequence[int], *, kills: int = 0, seed: int = 0, start: type[Group] = Group) -> None:
        """Start groups of these sizes in turn. As many as `kills` of them lose a rank at some moment."""
        draw = random.Random(seed)
        self.directory.mkdir()
        for ranks in cycle(sizes):
            group = start(ranks, self.store, self.directory, self.options)
            self.groups += 1
            kill = None
            if len(self.kills) < kills:
                rank, after, seconds = draw.randrange(ranks), draw.randint(0, 3 * EVERY), draw.uniform(0, 0.1)
                kill = self._kill(group, rank, after=after, seconds=seconds)
            if group.join():
                return
            if kill is None:
                raise SystemExit("a rank failed by itself")
            self.kills.append({"ranks": ranks, **kill})

    def _kill(self, group: Group, rank: int, *, after: int, seconds: float) -> dict[str, int]:
        """Kill a rank some time after it has logged a number of steps: before the first, in one, at a checkpoint."""
        before = self.logged(rank)
        while group.running and self.logged(rank) < before + after:
            time.sleep(0.002)
        time.sleep(seconds)
        group.kill(rank)
        return {"rank": rank, "steps": self.logged(rank) - before}

    def logged(self, rank: int) -> int:
        """Steps that this rank of all groups has logged."""
        return sum(file.read_bytes().count(b"\n") for file in self.directory.glob(f"group*-{rank}.log"))

    @property
    def checkpoint(self) -> dict[str, object]:
        return torch.load(self.directory / "checkpoint.pt")

    def committed(self) -> list[tuple[int, int]]:
        """Position in the stream and cell (-1: fills up) of all that checkpoints hold the steps of."""
        found = []
        for group in self.checkpoint["groups"]:
            for rank in range(group["ranks"]):
                for line in (self.directory / f"{group['name']}-{rank}.log").read_text().splitlines():
                    step, begin, rows = json.loads(line)
                    if group["first"] <= step <= group["last"]:
                        # Draw k of rank r among R is number k R + r of the global batch.
                        found += [(begin + k * group["ranks"] + rank, row) for k, row in enumerate(rows)]
        return found

    def is_stream(self, store: scformat.store.Store) -> bool:
        """Whether what is committed has every position of the stream once, with the cell that the plan says."""
        found = [each for each in sorted(self.committed()) if each[1] >= 0]
        loader = loader_of(store, self.options["plan"], self.options["seed"])
        return found == list(enumerate(loader.plan.rows(0, self.checkpoint["loader"]["position"]).tolist()))


def main() -> None:
    options = options_of(
        __doc__,
        steps=60,
        train={"nargs": 2, "metavar": ("STORE", "DIR"), "help": "be a rank of the group that the environment names"},
        plan={"choices": PLANS, "default": "epoch"},
        ranks={"type": int, "nargs": "+", "default": [4, 2], "help": "of the groups, in turn; divisors of 128"},
        kills={"type": int, "default": 4},
    )
    how = {"steps": options.steps, "plan": options.plan, "seed": options.seed}
    if options.train:
        train(options.train[0], Path(options.train[1]), **how)
        return

    store = store_of(options)
    runs = {}
    for name, kills in (("left alone", 0), ("killed", options.kills)):
        directory = options.out / name.replace(" ", "-")
        shutil.rmtree(directory, ignore_errors=True)
        runs[name] = run = Run(store.path, directory, how)
        run.supervise(options.ranks, kills=kills, seed=options.seed)
        for kill in run.kills:
            print("killed rank {rank} of {ranks} at its step {steps}".format(**kill))
        filled = sum(row < 0 for _, row in run.committed())
        print(f"{name}: {run.groups} groups, {run.checkpoint['step']} steps, {filled} places only filled up")
        print(f"  every position of the stream once: {run.is_stream(store)}")
    one, other = (run.checkpoint["model"] for run in runs.values())
    farthest = max((one[name] - other[name]).abs().max().item() for name in one)
    print(f"largest difference of a parameter: {farthest:.1e}")


if __name__ == "__main__":
    main()
