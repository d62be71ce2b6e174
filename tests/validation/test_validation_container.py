"""Damage of files, shards and chunks that only their bytes show (level 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import scformat
from tools.conformance.corruptions.container import BITS, CONTAINER, flip

if TYPE_CHECKING:
    from .damage import Damage

ALONE = {
    "bit-of-chunk": {"ZAR-10", "INT-2", "CNT-13"},
    "bit-of-index": {"ZAR-11", "INT-2"},
    "bit-of-checksum": {"ZAR-11", "INT-2"},
    "bit-of-metadata": {"INT-2"},
}
"""All that is found."""


@pytest.mark.parametrize("name", BITS)
def test_bytes(damage: Damage, name: str) -> None:
    case = BITS[name]
    case.apply(damage)
    found = scformat.validate(damage.path).findings
    assert any(f.requirement == case.requirement and case.where in f.where for f in found), found
    if name in ALONE:
        assert {f.requirement for f in found} == ALONE[name]


@pytest.mark.parametrize("name", CONTAINER)
def test_container(damage: Damage, name: str) -> None:
    case = CONTAINER[name]
    case.apply(damage)
    found = scformat.validate(damage.path).findings
    assert any(f.requirement == case.requirement and case.where in f.where for f in found), found


def test_digests(damage: Damage) -> None:
    """Digests that do not fit while all else does."""
    genes, part = damage.manifest["genes"], damage.part
    genes["taxon"]["sha256"] = "1" * 64
    genes["index_digest"] = "2" * 64
    genes["set_digest"] = "3" * 64
    damage.put(part["shard_digests"], np.full((1, 64), ord("4"), np.uint8))
    damage.seal()
    found = {f.requirement: f.where for f in scformat.validate(damage.path).findings}
    assert found == {
        "INT-2": "genes/1/taxon",
        "GEN-12": "zarr.json:scformat/genes/index_digest",
        "GEN-13": "zarr.json:scformat/genes/set_digest",
        "CNT-13": "parts/1/counts/shard_digests, shard 0",
    }


def test_damage_in_one_place_does_not_hide_damage_elsewhere(damage: Damage) -> None:
    damage.change(damage.label("donor_id")["counts"], 0, 0)
    damage.change(damage.part["content"], 5, 1)
    damage.seal()
    (damage.path / "genes/1/symbol/bytes/c/0").unlink()
    flip(damage.obs("identifier")["codes"]["path"] + "/c/0", 0.5)(damage)
    found = {f.requirement for f in scformat.validate(damage.path).findings}
    assert {"LAB-4", "CEL-10", "ZAR-15", "INT-2"} <= found
