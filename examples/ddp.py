"""Two processes train as one: the same global batches, the same losses, the same parameters at the end.

    python examples/ddp.py [--data FILE...] [--out DIR] [--steps N] [--seed N]

Trains a classifier of cell types twice on the same stream of balanced draws: in one process with batches of 128, and
in two under DistributedDataParallel (gloo) with batches of 64 each. The loader needs no argument for that: rank r of
R takes every R-th draw of one stream, so what the ranks hold in a step is the batch of the single process. What is
left is the order in which floats are added. Needs the extra `torch`.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.nn  # see run_rank
import torch.multiprocessing
from common import options_of, store_of
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import scformat
from scformat.torch import CellLoader, Log1p, NormalizeTotal

GLOBAL_BATCH, LABEL = 128, "cell_type"


@dataclass
class Run:
    """What a training run leaves behind."""

    losses: list[float]
    rows: Tensor  # of the global batches, int64 (steps, GLOBAL_BATCH), each sorted
    right: float
    parameters: dict[str, Tensor]


def over_ranks(value: Tensor) -> Tensor:
    """Return the values of all ranks, in a row of their own each."""
    if not dist.is_initialized():
        return value[None]
    parts = [torch.empty_like(value) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, value)
    return torch.stack(parts)


def train(store_path: str, steps: int, seed: int) -> Run:
    """Train in this process, as a rank of torch.distributed where that is initialised."""
    world_size = dist.get_world_size() if dist.is_initialized() else 1
    store = scformat.open(store_path)
    form = {
        "batch_size": GLOBAL_BATCH // world_size,
        "labels": [LABEL],
        "transforms": [NormalizeTotal(1e4), Log1p()],
        "seed": seed,
    }
    torch.manual_seed(seed)  # the same first parameters everywhere
    types = len(store.labels[LABEL].categories)
    model: nn.Module = nn.Sequential(nn.Linear(store.n_genes, 64), nn.ReLU(), nn.Linear(64, types))
    model = DistributedDataParallel(model) if world_size > 1 else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    losses, rows = [], []
    for batch in CellLoader(store, table=f"{LABEL}:balanced", split="train", steps_per_epoch=steps, **form):
        loss = nn.functional.cross_entropy(model(batch.x), batch.labels[LABEL])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(over_ranks(loss.detach()).mean().item())
        rows.append(over_ranks(batch.rows).flatten().sort().values)

    # Ranks have equal numbers of batches: the last one is filled up, and `valid` says with what.
    score = torch.zeros(2)
    for batch in CellLoader(store, split="test", **form):
        with torch.no_grad():
            right = model(batch.x).argmax(1) == batch.labels[LABEL]
        known = batch.valid & (batch.labels[LABEL] >= 0)
        score += torch.tensor([(right & known).sum(), known.sum()])
    hits, cells = over_ranks(score).sum(0).tolist()
    inner = model.module if isinstance(model, DistributedDataParallel) else model
    return Run(losses, torch.stack(rows), hits / cells, inner.state_dict())


def run_rank(rank: int, world_size: int, directory: str, store_path: str, steps: int, seed: int) -> None:
    """Run one process of several; the first leaves the result in `directory`."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{directory}/meeting", rank=rank, world_size=world_size)
    run = train(store_path, steps, seed)
    if rank == 0:
        torch.save(vars(run), Path(directory, "run.pt"))
    # gloo's threads have to end before the interpreter does, or they bring it down now and then. They end with the last
    # reference to the group. DistributedDataParallel imports torch.distributed.nn, whose functions hold for good the
    # group that there is when they are imported: hence the import above, when there is none.
    dist.barrier()
    dist.destroy_process_group()


def main() -> None:
    options = options_of(__doc__, steps=200)
    store = store_of(options)
    torch.set_num_threads(1)
    one = train(store.path, options.steps, options.seed)
    with tempfile.TemporaryDirectory() as directory:
        arguments = (2, directory, store.path, options.steps, options.seed)
        torch.multiprocessing.spawn(run_rank, arguments, nprocs=2)
        two = Run(**torch.load(Path(directory, "run.pt")))

    print("step  one process  two processes")
    for step in sorted({0, *range(options.steps // 5 - 1, options.steps, max(1, options.steps // 5))}):
        print(f"{step + 1:4d}  {one.losses[step]:11.6f}  {two.losses[step]:13.6f}")
    print(f"held-out cells: {one.right:.4f} and {two.right:.4f} right")
    print(f"the same cells in every batch: {torch.equal(one.rows, two.rows)}")
    apart = max(abs(a - b) for a, b in zip(one.losses, two.losses, strict=True))
    farthest = max((one.parameters[name] - two.parameters[name]).abs().max().item() for name in one.parameters)
    print(f"largest difference of a loss: {apart:.1e}, of a parameter: {farthest:.1e}")


if __name__ == "__main__":
    main()
