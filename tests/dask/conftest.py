"""A Dask cluster of three worker processes for all tests here."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("distributed", reason="needs the extra dask")

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distributed import Client


import pandas as pd
from samples import counts_matrix, sample
from small_blocks import many_blocks

__all__ = ["many_blocks"]


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    """A client of a cluster on this machine. Tests kill two of its workers, which may be started again."""
    import dask
    from distributed import Client, LocalCluster

    repository = Path(__file__).resolve().parents[2]
    with pytest.MonkeyPatch.context() as patch, dask.config.set({"distributed.comm.timeouts.connect": "120s"}):
        patch.setenv("PYTHONPATH", os.pathsep.join([str(repository), os.environ.get("PYTHONPATH", "")]))
        with (
            LocalCluster(
                n_workers=3,
                threads_per_worker=1,
                memory_limit=0,
                silence_logs=logging.CRITICAL,
                dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
            ) as cluster,
            Client(cluster) as made,
        ):
            yield made


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A source of each layout."""
    directory = tmp_path_factory.mktemp("sources")
    for i, layout in enumerate(["csr", "csc", "dense"]):
        values = counts_matrix(300, 60, seed=i, mean=6.0)
        values[3, 7] = 70_000
        kinds = pd.Categorical(["a", "b", "c"] * 100)
        sample(values, layout=layout, prefix=f"s{i}", obs={"kind": kinds}).write_h5ad(directory / f"s{i}.h5ad")
    return sorted(directory.glob("*.h5ad"))
