"""Which rank a loader is, and ranks that have not one stream: told on every rank, before a batch is trained on."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch", reason="torch is an extra")

from scformat.errors import UsageError  # noqa: E402
from scformat.torch import CellLoader, WeightedSampler  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

    from scformat.store import Store

PLANS = ("independent", "stratified", "epoch")


@pytest.mark.parametrize("plan", PLANS)
def test_a_launcher_says_the_rank_before_a_group_is_made(
    store: Store, plan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = None if plan == "epoch" else "cell_type:balanced"
    how: dict[str, Any] = {"plan": plan, "table": table, "split": "test", "output": "csr"}
    given = [list(CellLoader(store, 64, rank=r, world_size=3, **how)) for r in range(3)]
    monkeypatch.setenv("WORLD_SIZE", "3")
    for r in range(3):
        monkeypatch.setenv("RANK", str(r))
        made = CellLoader(store, 64, **how)
        found = list(made)
        assert len(found) == len(made) == len(given[0])
        assert [b.rows.tolist() for b in found] == [b.rows.tolist() for b in given[r]]
        assert len(CellLoader(store, 64, rank=0, world_size=1, **how)) == -(-made.table.n_cells // 64)


def test_a_sampler_takes_the_same_rank(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(WeightedSampler("cell_type:balanced", 40, store=store))
    monkeypatch.setenv("WORLD_SIZE", "2")
    for r in range(2):
        monkeypatch.setenv("RANK", str(r))
        assert list(WeightedSampler("cell_type:balanced", 20, store=store)) == whole[r::2]


@pytest.mark.parametrize(("rank", "ranks"), [("2", "2"), ("-1", "2"), ("0", "0"), ("one", "2"), ("0", "1.5")])
def test_an_environment_that_makes_no_sense_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch, rank: str, ranks: str
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", ranks)
    with pytest.raises(UsageError, match=f"RANK and WORLD_SIZE.*found '{rank}' and '{ranks}'") as refused:
        CellLoader(store)
    assert refused.value.code == "bad-rank"
    assert len(CellLoader(store, rank=0, world_size=1)) > 0


@pytest.mark.parametrize("names", [(), ("RANK",), ("WORLD_SIZE",)])
def test_half_an_environment_is_none(store: Store, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name in names:
        monkeypatch.setenv(name, "2")
    made = CellLoader(store, 64)
    assert "rank 0 of 1" in repr(made)
    made.check_ranks()  # there is nobody to compare with


SAME: dict[str, Any] = {"batch_size": 32, "table": "cell_type:balanced", "seed": 3, "steps_per_epoch": 5}
APART: dict[str, dict[str, Any]] = {
    "store": {"store": "plain", "table": None, "plan": "independent"},
    "table": {"table": "cell_type:natural"},
    "seed": {"seed": 4},
    "plan": {"plan": "independent"},
    "block": {"block": 16},
    "schedule": {"temperature": 2.0},
    "batch size": {"batch_size": 16},
    "number of batches": {"steps_per_epoch": 6},
}


def _compare(rank: int, paths: dict[str, str], meeting: str, out: Any) -> None:
    """On two ranks: compare loaders that are alike, and such that differ in one thing on rank 1."""
    import torch.distributed as dist

    early = CellLoader(paths["ordered"], **SAME)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)

    def said(loader: CellLoader) -> str:
        try:
            loader.check_ranks()
        except UsageError as error:
            return str(error)
        return ""

    def made(**other: Any) -> CellLoader:
        options = {"store": "ordered", **SAME, **(other if rank == 1 else {})}
        return CellLoader(paths[options.pop("store")], **options)

    found = {"nothing": said(made()), "early": said(early)}
    found.update({name: said(made(**other)) for name, other in APART.items()})
    later = made()
    stream = iter(later)
    next(stream)
    stream.close()
    found["position 64"] = said(later)
    if rank == 0:
        later.load_state_dict(made().state_dict())  # as if it had found an older checkpoint
    found["older"] = said(later)
    out.put((rank, found))
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")
def test_ranks_that_have_not_one_stream_are_told(ordered_path: Path, plain_path: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    paths = {"ordered": str(ordered_path), "plain": str(plain_path)}
    made = [context.Process(target=_compare, args=(rank, paths, str(tmp_path / "meeting"), queue)) for rank in range(2)]
    for process in made:
        process.start()
    got = dict(queue.get(timeout=300) for _ in made)
    for process in made:
        process.join(120)
        assert process.exitcode == 0
    assert got[0] == got[1], "every rank is told the same"
    found = got[0]
    assert found.pop("nothing") == ""
    assert found.pop("position 64") == ""
    assert "another position; found 0 on rank 0, 64 on rank 1" in found.pop("older")
    assert "not one share each; found shares 0, 0 of 1 on 2 ranks" in found.pop("early")
    assert found.keys() == APART.keys()
    for name, text in found.items():
        assert f"another {name}; found" in text
        assert text.endswith("[ranks-differ]")
