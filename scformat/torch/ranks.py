"""Which rank of how many this process is, and whether all ranks are of one stream."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import torch.distributed as dist

from scformat.errors import UsageError
from scformat.loading.options import check_rank

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def ranks_of(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Return a rank and the number of ranks: as given, of torch.distributed, of the environment, or 0 and 1.

    The environment has them where torchrun or another launcher started this process. A loader made before
    ``init_process_group`` would otherwise be one of many that all draw the same cells.

    Raises
    ------
    UsageError
        ``bad-rank``.
    """
    given = check_rank(rank, world_size)
    if given is not None:
        return given
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return _of_environment(os.environ) or (0, 1)


def _of_environment(environment: Mapping[str, str]) -> tuple[int, int] | None:
    stated = [environment.get(name, "") for name in ("RANK", "WORLD_SIZE")]
    if not all(stated):
        return None
    try:
        rank, world_size = map(int, stated)
    except ValueError:
        rank, world_size = -1, 0
    if not 0 <= rank < world_size:
        raise UsageError(
            "bad-rank",
            "the environment has no rank",
            where="RANK and WORLD_SIZE",
            expected="0 <= RANK < WORLD_SIZE",
            found=" and ".join(map(repr, stated)),
            hint="unset them, or give rank= and world_size=",
        )
    return rank, world_size


def check_agreement(mine: Mapping[str, Any], *, rank: int, group: dist.ProcessGroup | None) -> None:
    """Compare what all ranks say of their stream.

    Parameters
    ----------
    mine
        What has to be alike on all ranks.
    rank
        Which share of the stream this process takes; each has to be taken once.
    group
        Ranks that call this; None: all.

    Raises
    ------
    UsageError
        ``ranks-differ``, on every rank.
    """
    said: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(said, (rank, dict(mine)), group=group)
    found = difference([share for share, _ in said], [other for _, other in said])
    if found is not None:
        raise UsageError("ranks-differ", f"the ranks have not one stream: {found[0]}", found=found[1], hint=found[2])


def difference(shares: Sequence[int], said: Sequence[Mapping[str, Any]]) -> tuple[str, str, str] | None:
    """Return what is not alike, in which ranks, and what to do; None where nothing is."""
    for name, value in said[0].items():
        for r, other in enumerate(said):
            if other[name] != value:
                hint = "open one store, and give all ranks the same options and the same state"
                return f"another {name}", f"{value} on rank 0, {other[name]} on rank {r}", hint
    if sorted(shares) != list(range(len(said))) or said[0]["number of ranks"] != len(said):
        taken = ", ".join(map(str, shares))
        hint = "make loaders after init_process_group, or give rank= and world_size="
        return "not one share each", f"shares {taken} of {said[0]['number of ranks']} on {len(said)} ranks", hint
    return None
