"""Neighbour tables that break the format, at each level; and stores with sound ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

import scformat
from scformat.neighbours import add_neighbours
from tools.conformance.corruptions.neighbours import NEIGHBOURS_1, NEIGHBOURS_3, K, digest_of, entry, set_values

from .damage import Damage


def graph(n: int, seed: int = 0) -> sparse.csr_matrix:
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.arange(n), 5)
    columns = (rows + rng.permuted(np.tile(np.arange(1, 9), (n, 1)), axis=1)[:, :5].ravel()) % n
    made = sparse.csr_matrix((rng.random(len(rows)) + 0.1, (rows, columns)), shape=(n, n))
    made.data[made.indptr[7] : made.indptr[8]] = 0
    made.eliminate_zeros()
    return made


@pytest.fixture
def near(damage: Damage) -> Damage:
    """A good store with neighbours, with weights and without: cell 7 has none, all others K."""
    store = scformat.open(damage.path)
    add_neighbours(store, "knn", graph(store.n_cells), k=K, weight="distance")
    store = scformat.open(damage.path)
    add_neighbours(store, "near", graph(store.n_cells, 1), k=K, weight="connectivity")
    store = scformat.open(damage.path)
    rows = store.neighbours["knn"].rows()
    add_neighbours(store, "rows", (rows, None))
    return Damage(damage.path)


def test_sound_neighbours(near: Damage) -> None:
    for level in (1, 2, 3, 4):
        assert scformat.validate(near.path, level=level).findings == ()
    assert entry(near)["sha256"] == digest_of(near, entry(near))
    assert entry(near, "rows")["sha256"] == digest_of(near, entry(near, "rows"))


def test_many_cells_are_looked_at_block_by_block(near: Damage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scformat.validation.neighbours._AT_ONCE", 7)
    assert scformat.validate(near.path).findings == ()
    set_values("The neighbours of some cells are cell 40.", "rows", (0, slice(40, 60)), 40)(near)
    near.seal()
    found = [f for f in scformat.validate(near.path).findings if "its own neighbour" in f.message]
    assert [f.where.rsplit("/", 1)[1] for f in found] == ["rows, cell 40"]


@pytest.mark.parametrize("name", NEIGHBOURS_1)
def test_the_manifest(near: Damage, name: str) -> None:
    case = NEIGHBOURS_1[name]
    case.apply(near)
    found = scformat.validate(near.path, level=1).findings
    assert any(f.requirement == case.requirement and case.where in f.where for f in found), found
    # Deeper levels go on, whatever the manifest says.
    assert set(found) <= set(scformat.validate(near.path).findings)


@pytest.mark.parametrize("name", NEIGHBOURS_3)
def test_values(near: Damage, name: str) -> None:
    case = NEIGHBOURS_3[name]
    case.apply(near)
    assert scformat.validate(near.path, level=2).ok
    found = scformat.validate(near.path).findings
    assert any(f.requirement == case.requirement and case.where in f.where for f in found), found
    assert {"INT-2", "INT-3", "INT-4"}.isdisjoint(f.requirement for f in found)


def test_equal_faults_are_one_finding(near: Damage) -> None:
    set_values("The neighbours of some cells are no rows.", "rows", (0, slice(30, 40)), 10**6)(near)
    near.seal()
    found = [f for f in scformat.validate(near.path).findings if f.requirement == "NBR-4"]
    assert [(f.where.rsplit("/", 1)[1], "(and 9 more)" in f.message) for f in found] == [("rows, cell 30", True)]


@pytest.mark.parametrize("array", ["rows", "weights"])
@pytest.mark.parametrize("how", ["flipped", "gone", "metadata"])
def test_bytes(near: Damage, array: str, how: str) -> None:
    file = near.file(entry(near)[array])
    if how == "flipped":
        data = bytearray(file.read_bytes())
        data[40] ^= 2
        file.write_bytes(data)
    elif how == "gone":
        file.unlink()
    else:
        (near.path / entry(near)[array]["path"] / "zarr.json").write_text("{}")
    found = {f.requirement for f in scformat.validate(near.path).findings}
    assert found & {"flipped": {"INT-2"}, "gone": {"ZAR-15"}, "metadata": {"ZAR-9"}}[how]
    assert not found & {"NBR-4", "NBR-5", "NBR-8"}


def test_all_cited_requirements_bind_a_store() -> None:
    path = Path(__file__).resolve().parents[2] / "spec" / "requirements.json"
    spec = {r["id"]: r for r in json.loads(path.read_bytes())}
    for level, cases in ((1, NEIGHBOURS_1), (3, NEIGHBOURS_3)):
        for case in cases.values():
            assert spec[case.requirement]["level"] == level
    own = {r for r in spec if r.startswith("NBR") and spec[r]["binds"] == "store"}
    cited = {case.requirement for case in (*NEIGHBOURS_1.values(), *NEIGHBOURS_3.values())}
    assert own == {requirement for requirement in cited if requirement.startswith("NBR")}
