"""A training run that is killed three times ends with exactly the parameters of one that was left alone.

    python examples/resume_after_kill.py [--data FILE...] [--out DIR] [--steps N] [--seed N]

The run is a process of its own. Every few steps it writes a checkpoint: model, optimizer, torch's random state (for
dropout), and `loader.state_dict()`, a few integers that say which batch is next, whatever had been read ahead. The
file is replaced as a whole, so a kill leaves the old one or the new one. SIGKILL gives a process no chance to tidy
up: the next one begins at the last checkpoint, and does the steps since then again. Needs the extra `torch`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch
from common import options_of, save, store_of
from torch import nn

import scformat
from scformat.torch import CellLoader, Log1p, NormalizeTotal

EVERY = 5  # steps between checkpoints
LABEL = "cell_type"


def train(store_path: str, checkpoint: Path, *, steps: int, seed: int) -> None:
    """Train for a number of steps, from the last checkpoint on where there is one; tell of every step."""
    torch.set_num_threads(1)  # how a sum is divided up changes its last bits
    torch.use_deterministic_algorithms(mode=True)
    torch.manual_seed(seed)
    store = scformat.open(store_path)
    types = len(store.labels[LABEL].categories)
    model = nn.Sequential(nn.Linear(store.n_genes, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, types))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loader = CellLoader(
        store,
        table=f"{LABEL}:balanced",
        split="train",
        labels=[LABEL],
        transforms=[NormalizeTotal(1e4), Log1p()],
        steps_per_epoch=steps,
        seed=seed,
    )
    done = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint)
        done = saved["step"]
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        loader.load_state_dict(saved["loader"])
        torch.set_rng_state(saved["random"])
    if done == steps:
        return  # killed after its last step: another pass would be the next
    for step, batch in enumerate(loader, start=done + 1):  # what is left of the pass
        loss = nn.functional.cross_entropy(model(batch.x), batch.labels[LABEL])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % EVERY == 0 or step == steps:
            state = {
                "step": step,
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "loader": loader.state_dict(),
                "random": torch.get_rng_state(),
            }
            save(state, checkpoint)
        print(f"step {step} loss {loss.item():.4f}", flush=True)


def run(arguments: list[str], *, kill_after: int | None = None) -> None:
    """Run the training process to its end, or kill it when it tells of a step."""
    with subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout:
            if kill_after is not None and int(line.split()[1]) >= kill_after:
                child.kill()  # SIGKILL
                break
    if kill_after is None and child.returncode != 0:
        raise SystemExit(f"the training process ended with {child.returncode}")


def main() -> None:
    what = {"nargs": 2, "metavar": ("STORE", "CHECKPOINT"), "help": "train; for the processes that are started here"}
    options = options_of(__doc__, steps=60, train=what)
    if options.train:
        train(options.train[0], Path(options.train[1]), steps=options.steps, seed=options.seed)
        return

    store = store_of(options)
    alone, killed = options.out / "alone.pt", options.out / "killed.pt"
    for path in (alone, killed):
        path.unlink(missing_ok=True)
    settings = ["--steps", str(options.steps), "--seed", str(options.seed)]
    run(["--train", store.path, str(alone), *settings])
    print(f"left alone: {torch.load(alone)['step']} steps")

    for share in (0.3, 0.55, 0.8):
        kill_after = max(1, int(options.steps * share))
        run(["--train", store.path, str(killed), *settings], kill_after=kill_after)
        kept = torch.load(killed)["step"] if killed.exists() else 0
        print(f"killed after step {kill_after}: the last checkpoint is of step {kept}")
    run(["--train", store.path, str(killed), *settings])

    one, other = torch.load(alone), torch.load(killed)
    same = all(torch.equal(one["model"][name], other["model"][name]) for name in one["model"])
    print(f"resumed to step {other['step']}: parameters equal to the last bit: {same}")
    raise SystemExit(not same)


if __name__ == "__main__":
    main()
