"""A sound store, and copies of it that lie: every checksum and the root's digest fit, as a stranger can make them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from lies import changed_root
from samples import counts_matrix, gene_ids, rich_obs, sample

import scformat
from scformat.codec import decode_index, encode_shard, index_size, with_crc
from scformat.manifest import Array
from scformat.storage import array_spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from scformat.manifest import Manifest, Part
    from scformat.store import Store

N_CELLS, N_GENES = 1_200, 200


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with labels, one of them with an ontology, splits, a table and obs columns of every kind."""
    rng = np.random.default_rng(0)
    obs = rich_obs(N_CELLS).reset_index(drop=True)
    obs["lab"] = pd.Categorical(rng.choice(["a", "b", "c"], N_CELLS))
    obs["donor"] = pd.Categorical(rng.choice(list("pqrs"), N_CELLS))
    values = counts_matrix(N_CELLS, N_GENES, seed=4, mean=2.0)
    terms = {"CL:0000236": "B cell", "CL:0000084": "T cell", "CL:0000576": "monocyte"}
    which = rng.choice(list(terms), N_CELLS)
    obs["cell_type_ontology_term_id"] = pd.Categorical(which)
    obs["cell_type"] = pd.Categorical([terms[term] for term in which])
    source = sample(values, genes=gene_ids(N_GENES), obs={name: obs[name].values for name in obs.columns})
    path = tmp_path_factory.mktemp("hostile") / "sound.cells"
    scformat.convert(
        [source], path, jobs=1, labels=["lab", "donor", "cell_type"], splits="train=0.8,test=0.2", split_by=["donor"],
        weights=["ct=lab:balanced"],
    )  # fmt: skip
    return path


class Liar:
    """A copy of the sound store, to be changed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> Store:
        """Open the copy as it is now."""
        return scformat.open(self.path)

    @property
    def manifest(self) -> Manifest:
        """What the copy says of itself."""
        return self.open().manifest

    @property
    def part(self) -> Part:
        """The only part."""
        return self.manifest.parts[0]

    def edit(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change the manifest, and give the root its right digest."""
        (self.path / "zarr.json").write_bytes(changed_root((self.path / "zarr.json").read_bytes(), change))

    def values(self, array: Array) -> NDArray[Any]:
        """Return an array's values, to be changed."""
        return self.open()._storage.read_array(array).copy()

    @staticmethod
    def array(document: dict[str, Any]) -> Array:
        """Return an array that only its document describes, as those of tables."""
        return Array.model_validate(document)

    def write(self, array: Array, values: NDArray[Any]) -> None:
        """Write an array's files anew, with right checksums."""
        spec = array_spec(array)
        for index, key in spec.files():
            (self.path / key).parent.mkdir(parents=True, exist_ok=True)
            (self.path / key).write_bytes(encode_shard(spec, values[spec.slices(index)]))

    def change(self, array: Array, at: Any, value: Any) -> None:
        """Change elements of an array."""
        values = self.values(array)
        values[at] = value
        self.write(array, values)

    def file_of(self, array: Array) -> Path:
        """Return the first file of an array."""
        return self.path / array_spec(array).key((0,) * len(array.shape))

    def place_chunk(self, array: Array, offset: int, length: int) -> None:
        """Let the index of an array's first file say another place for its first chunk."""
        spec, path = array_spec(array), self.file_of(array)
        data, size = path.read_bytes(), index_size(spec)
        index = decode_index(data[-size:], spec).copy()
        index.reshape(-1, 2)[0] = offset, length
        path.write_bytes(data[:-size] + with_crc(index.tobytes()))


@pytest.fixture
def liar(sound: Path, tmp_path: Path) -> Liar:
    """A copy of the sound store."""
    return Liar(Path(shutil.copytree(sound, tmp_path / "liar.cells")))
