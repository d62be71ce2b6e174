"""Batches of sets: each of one combination of labels, with controls that match it exactly; shares, ranks, resuming."""

from __future__ import annotations

import itertools
import json
import pickle
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

torch = pytest.importorskip("torch", reason="torch is an extra")

import scformat  # noqa: E402
from scformat.errors import UnknownNameError, UsageError  # noqa: E402
from scformat.loading.transforms import Downsample, TokenSpec  # noqa: E402
from scformat.sampling import Table  # noqa: E402
from scformat.torch import CellLoader, Sets  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

    from scformat.store import Store

PLANS = ("independent", "stratified", "epoch")
KINASES = ["aurora", "braf", "control", "jak", "mtor", "rare"]


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three cell lines in two plates each, six perturbations of very unequal size, one plate without controls."""
    import anndata
    from samples import gene_ids
    from scipy import sparse

    rng = np.random.default_rng(4)
    n = 2600
    line = rng.choice(["A549", "K562", "MCF7"], n, p=[0.5, 0.3, 0.2])
    plate = np.char.add(np.char.add(line, "-"), rng.choice(["1", "2"], n))
    drug = rng.choice(KINASES, n, p=[0.3, 0.2, 0.25, 0.14, 0.1, 0.01]).astype(object)
    drug[(plate == "MCF7-2") & (drug == "control")] = "jak"
    drug[rng.random(n) < 0.02] = None
    obs = pd.DataFrame({"cell_line": line, "plate": plate, "perturbation": drug}, index=[f"c{i}" for i in range(n)])
    obs = obs.astype("category")
    obs["dose"] = rng.random(n)
    counts = sparse.random(n, 60, 0.3, "csr", np.float32, random_state=1, data_rvs=lambda k: 1 + rng.integers(0, 9, k))
    counts = sparse.csr_matrix(counts + sparse.identity(n, format="csr", dtype=np.float32)[:, :60])
    data = anndata.AnnData(X=counts, obs=obs, var=pd.DataFrame(index=gene_ids(60)))
    target = tmp_path_factory.mktemp("sets") / "screen.cells"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return scformat.convert(
            [data], target, labels=["cell_line", "plate", "perturbation"],
            stratify_by=["cell_line", "perturbation"], splits="train=0.7,test=0.3", split_by=["plate"],
        )  # fmt: skip


def table(store: Store) -> pd.DataFrame:
    return store.obs(["cell_line", "plate", "perturbation", "dose", "split"])


CONTROLLED = Sets(size=8, by=["cell_line", "perturbation"], control="perturbation == 'control'", match=["plate"])


def loader(store: Store, **options: Any) -> CellLoader:
    made: dict[str, Any] = {"batch_size": 32, "seed": 3, "window": 512, "sets": CONTROLLED, "steps_per_epoch": 30}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return CellLoader(store, **{**made, **options})


def rows_of(batches: Any) -> list[list[int]]:
    return [batch.rows.tolist() + batch.control.rows.tolist() for batch in batches]


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("threads", [0, 2])
def test_sets_share_a_combination_and_controls_match_it(screen: Store, plan: str, threads: int) -> None:
    obs = table(screen)
    made = loader(screen, plan=plan, threads=threads, labels=["perturbation"])
    names = ["cell_line", "perturbation", "plate"]
    frame = made.combinations
    assert list(frame.columns[:3]) == names
    number = 0
    for batch in made:
        assert batch.sets.tolist() == list(range(number, number + 4))
        number += 4
        assert set(batch.set_labels) == set(names)
        assert (len(batch), len(batch.control)) == (32, 32)
        cells, controls = obs.iloc[batch.rows.numpy()], obs.iloc[batch.control.rows.numpy()]
        for s in range(4):
            inside, beside = cells.iloc[8 * s : 8 * s + 8], controls.iloc[8 * s : 8 * s + 8]
            of_it = frame.iloc[int(batch.combination[s])]
            assert inside.index.nunique() == min(8, of_it["cells"])
            for name in names:
                code = int(batch.set_labels[name][s])
                assert set(inside[name]) == {screen.labels[name].categories[code]}
                assert set(inside[name]) == {of_it[name]}
            assert set(inside["perturbation"]) != {"control"}
            assert set(beside["perturbation"]) == {"control"}
            assert set(beside["plate"]) == set(inside["plate"])
            assert beside.index.nunique() == min(8, of_it["controls"])
        assert batch.x.view(4, 8, -1).shape == batch.control.x.view(4, 8, -1).shape == (4, 8, screen.n_genes)
        for half in (batch, batch.control):
            held = screen.read(half.rows.numpy())
            assert np.array_equal(half.x.numpy(), held.dense())
            assert np.array_equal(half.labels["perturbation"].numpy(), screen.labels["perturbation"].codes(half.rows))
        assert batch.valid.all() or plan == "epoch"
        assert batch.control.valid.all()


def test_combinations_without_matched_controls_are_left_out_and_said(screen: Store) -> None:
    obs = table(screen)
    with pytest.warns(UserWarning, match=r"no control cells of the same plate") as caught:
        made = CellLoader(screen, 32, sets=CONTROLLED)
    lost = obs[(obs["plate"] == "MCF7-2") & obs["perturbation"].notna()]
    text = str(caught[0].message)
    n = lost["perturbation"].nunique()
    total = len(obs[obs["perturbation"] != "control"].groupby(["plate", "perturbation"], observed=True).size())
    assert f"{n} of {total} combinations ({len(lost)} cells) are left out" in text
    assert caught[0].filename == __file__
    frame = made.combinations
    assert "MCF7-2" not in set(frame["plate"])
    rest = obs[(obs["plate"] != "MCF7-2") & (obs["perturbation"] != "control") & obs["perturbation"].notna()]
    assert frame["cells"].sum() == len(rest) == made.table.n_cells
    counts = rest.groupby(["cell_line", "perturbation", "plate"], observed=True).size()
    keys = frame[["cell_line", "perturbation", "plate"]].astype(str).itertuples(index=False, name=None)
    assert dict(zip(keys, frame["cells"], strict=True)) == counts.to_dict()
    controls = obs[obs["perturbation"] == "control"].groupby("plate", observed=True).size()
    assert frame["controls"].tolist() == [controls[plate] for plate in frame["plate"]]


def test_combinations_of_by_have_equal_shares_and_plates_of_one_their_cells(screen: Store) -> None:
    frame = loader(screen).combinations
    of_by = frame.groupby(["cell_line", "perturbation"], observed=True)
    assert np.allclose(of_by["probability"].sum(), 1 / of_by.ngroups)
    within = frame["probability"] / of_by["probability"].transform("sum")
    assert np.allclose(within, frame["cells"] / of_by["cells"].transform("sum"))


def test_sets_come_as_often_as_their_masses_say(screen: Store) -> None:
    made = loader(screen, plan="independent", sets=Sets(size=2, by=["cell_line", "perturbation"]), batch_size=512,
                  steps_per_epoch=40)  # fmt: skip
    seen = np.bincount(np.concatenate([b.combination.numpy() for b in made]), minlength=len(made.combinations))
    assert len(made.combinations) == 18
    assert stats.chisquare(seen, seen.sum() * made.combinations["probability"]).pvalue > 0.001
    assert np.allclose(made.combinations["probability"], 1 / 18)


def test_a_table_says_what_sets_are_of(screen: Store) -> None:
    text = "cell_line:balanced,perturbation:natural"
    made = loader(screen, table=text, sets=Sets(size=8))
    assert made.table.digest == screen.tables[text].digest
    assert list(made.combinations.columns[:2]) == ["cell_line", "perturbation"]
    of_line = made.combinations.groupby("cell_line", observed=True)["probability"].sum()
    assert np.allclose(of_line, 1 / 3)
    # With controls the strata are told apart further, and the control cells taken out; the shares stay.
    sets = Sets(size=8, control="perturbation == 'control'", match=["plate"])
    controlled = loader(screen, table="cell_line:balanced,perturbation:balanced", sets=sets).combinations
    assert list(controlled.columns[:3]) == ["cell_line", "perturbation", "plate"]
    some = controlled[controlled["cell_line"] == "K562"]
    share = some.groupby("perturbation", observed=True)["probability"].sum()
    assert np.allclose(share, share.mean())


def test_stored_tables_and_files(screen: Store, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy.cells"
    shutil.copytree(screen.path, copy)
    store = scformat.open(copy)
    from scformat.tables import add_table, build_table

    add_table(store, "both", build_table(store, "cell_line:balanced,perturbation:balanced", name="both"))
    store = scformat.open(copy)
    for given in ("both", store.tables["both"]):
        made = loader(store, table=given, sets=Sets(size=4))
        assert made.table.digest == store.tables["both"].digest
        sets = Sets(size=4, control="perturbation == 'control'", match=["cell_line"])
        train = loader(store, table=given, sets=sets, split="train", organism="human")
        obs = table(store)
        for batch in train:
            inside, beside = obs.iloc[batch.rows.numpy()], obs.iloc[batch.control.rows.numpy()]
            assert set(inside["split"]) == set(beside["split"]) == {"train"}
            assert set(beside["perturbation"]) == {"control"}
            assert (inside["cell_line"].to_numpy() == beside["cell_line"].to_numpy()).all()
        assert "control" not in set(train.combinations["perturbation"])
    with pytest.raises(UsageError, match="does not tell 'plate' apart") as caught:
        loader(store, table="both", sets=Sets(size=4, control="perturbation == 'control'", match=["plate"]))
    assert caught.value.code == "bad-sets"


def test_split_and_where_come_first(screen: Store) -> None:
    obs = table(screen)
    made = loader(screen, where="dose < 0.5", split="train")
    for batch in made:
        for half in (batch, batch.control):
            cells = obs.iloc[half.rows.numpy()]
            assert (cells["dose"] < 0.5).all()
            assert set(cells["split"]) == {"train"}
    everywhere = Sets(size=8, by=["perturbation"], control="perturbation == 'control'", match=["cell_line"],
                      control_scope="store")  # fmt: skip
    where = "perturbation == 'rare' and dose < 0.5"
    held_out = loader(screen, where=where, sets=everywhere)
    outside = 0
    for batch in held_out:
        assert set(obs["perturbation"].iloc[batch.rows.numpy()]) == {"rare"}
        controls = obs.iloc[batch.control.rows.numpy()]
        assert set(controls["perturbation"]) == {"control"}
        outside += int((controls["dose"] >= 0.5).sum())
    assert outside > 0
    with pytest.raises(UsageError, match="no-controls"):
        loader(screen, where=where, sets=Sets(size=8, by=["perturbation"], control="perturbation == 'control'",
                                              match=["cell_line"]))  # fmt: skip


def test_any_control_will_do_where_nothing_is_to_match(screen: Store) -> None:
    sets = Sets(size=16, by=["perturbation"], control="perturbation == 'control' and dose > 0.2", match=[])
    made = loader(screen, sets=sets)
    obs = table(screen)
    lines = set()
    for batch in made:
        controls = obs.iloc[batch.control.rows.numpy()]
        assert set(controls["perturbation"]) == {"control"}
        assert (controls["dose"] > 0.2).all()
        lines |= set(controls["cell_line"])
    assert lines == {"A549", "K562", "MCF7"}
    # The other cells of that name are no controls, so they are sets.
    assert "control" in set(made.combinations["perturbation"])


def test_combinations_of_few_cells_can_be_left_out(screen: Store) -> None:
    every = loader(screen, sets=Sets(size=8, by=["plate", "perturbation"])).combinations
    enough = loader(screen, sets=Sets(size=8, by=["plate", "perturbation"], min_cells=8)).combinations
    assert len(enough) == (every["cells"] >= 8).sum() < len(every)
    assert enough["cells"].min() >= 8
    assert np.allclose(enough["probability"], 1 / len(enough))


def test_a_small_combination_gives_every_cell_before_any_comes_again(screen: Store) -> None:
    made = loader(screen, sets=Sets(size=32, by=["plate", "perturbation"]), where="perturbation == 'rare'")
    sizes = made.combinations["cells"].to_numpy()
    assert sizes.min() < 16
    for batch in made:
        for s, rows in enumerate(batch.rows.view(-1, 32).numpy()):
            n = int(sizes[int(batch.combination[s])])
            times = np.unique(rows, return_counts=True)[1]
            assert len(times) == min(n, 32)
            assert times.max() - times.min() <= 1


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_a_pass_over_an_epoch_has_every_cell_once_over_ranks(screen: Store, ranks: int) -> None:
    made = [
        loader(screen, plan="epoch", rank=r, world_size=ranks, steps_per_epoch=None, output="csr") for r in range(ranks)
    ]
    drawn = np.concatenate([made[0].table.strata.rows_of(c) for c in range(len(made[0].table))])
    orders = []
    for _ in range(2):
        passes = [list(one) for one in made]
        assert {len(p) for p in passes} == {len(made[0])}
        rows = np.concatenate([b.rows[b.valid].numpy() for p in passes for b in p])
        assert np.array_equal(np.sort(rows), np.sort(drawn))
        filled = [b for p in passes for b in p if not b.valid.view(4, 8).any(dim=1).all()]
        assert all(not b.control.valid.view(4, 8)[~b.valid.view(4, 8).any(dim=1)].any() for b in filled)
        orders.append(rows.tolist())
    assert orders[0] != orders[1]


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_partition_the_sets_and_have_equal_numbers(screen: Store, plan: str, ranks: int) -> None:
    made = [loader(screen, plan=plan, rank=r, world_size=ranks, steps_per_epoch=7) for r in range(ranks)]
    numbers = [torch.cat([b.sets for b in one]).tolist() for one in made]
    assert {len(n) for n in numbers} == {28}
    assert sorted(itertools.chain(*numbers)) == list(range(28 * ranks))
    for r, mine in enumerate(numbers):
        assert all(n % ranks == r for n in mine)


@pytest.mark.parametrize("plan", PLANS)
def test_resuming_anywhere_and_over_other_ranks_goes_on_with_the_same_sets(screen: Store, plan: str) -> None:
    def by_number(batches: Any) -> dict[int, list[int]]:
        return {
            int(number): batch.rows.view(-1, 8)[i].tolist() + batch.control.rows.view(-1, 8)[i].tolist()
            for batch in batches
            for i, number in enumerate(batch.sets)
        }

    whole = [by_number([b]) for b in loader(screen, plan=plan, batch_size=48, steps_per_epoch=12)]
    state: dict[str, Any] | None = None
    got: list[dict[int, list[int]]] = []
    for ranks in (1, 3, 2):
        made = [
            loader(screen, plan=plan, batch_size=48 // ranks, rank=r, world_size=ranks, steps_per_epoch=12, seed=9)
            if state is not None
            else loader(screen, plan=plan, batch_size=48, steps_per_epoch=12)
            for r in range(ranks)
        ]
        for one in made:
            if state is not None:
                one.load_state_dict(state)
        streams = [iter(one) for one in made]
        for _ in range(4):
            got.append(by_number([next(stream) for stream in streams]))
        states = [json.loads(json.dumps(one.state_dict())) for one in made]
        assert all(s == states[0] for s in states)
        state = states[0]
        assert set(state["sets"]) == {"size", "controls"}
    assert got == whole


def test_random_transforms_repeat_on_resuming_and_are_the_controls_own(screen: Store) -> None:
    options: dict[str, Any] = {"transforms": [Downsample(0.5)], "sets": Sets(size=8, by=["perturbation"],
                               control="dose >= 0", match=[], control_scope="store")}  # fmt: skip
    with pytest.raises(UsageError, match="nothing-to-draw"):
        loader(screen, **options)
    options["sets"] = Sets(size=8, by=["cell_line"], control="dose < 0.5", match=[])
    whole = list(loader(screen, **options))
    half = loader(screen, **options)
    stream = iter(half)
    for _ in range(11):
        next(stream)
    again = loader(screen, **options)
    again.load_state_dict(half.state_dict())
    for one, other in zip(again, whole[11:], strict=True):
        assert torch.equal(one.x, other.x)
        assert torch.equal(one.control.x, other.control.x)
    # The same cell would be thinned differently as a control than as a cell of the set at its place.
    from scformat.loading.batches import make_batch
    from scformat.loading.window import read_window

    rows = np.arange(64)
    held = read_window(screen, rows)
    t = np.arange(64, dtype=np.uint64)
    plain, control = (make_batch(held, rows, p, half._form.assembly).dense for p in (t, t + np.uint64(1 << 63)))
    assert not np.array_equal(plain, control)


def test_tokens_and_csr(screen: Store) -> None:
    batch = next(iter(loader(screen, output=TokenSpec(max_len=10))))
    assert batch.gene_ids.view(4, 8, -1).shape == batch.control.values.view(4, 8, -1).shape == (4, 8, 10)
    sparse = next(iter(loader(screen, output="csr")))
    assert np.array_equal(sparse.control.x.to_dense().numpy(), screen.read(sparse.control.rows.numpy()).dense())


def test_batches_of_sets_move_and_pickle(screen: Store) -> None:
    batch = next(iter(loader(screen)))
    moved = batch.to("meta")
    parts = [moved.sets, moved.combination, moved.set_labels["plate"], moved.control.x, moved.control.rows]
    assert all(part.device.type == "meta" for part in parts)
    copy = pickle.loads(pickle.dumps(batch))
    assert torch.equal(copy.control.x, batch.control.x)
    assert torch.equal(copy.sets, batch.sets)
    assert torch.equal(copy.set_labels["plate"], batch.set_labels["plate"])


def test_memory_threads_and_passes_do_not_change_sets(screen: Store) -> None:
    for plan in ("independent", "stratified"):
        expected = rows_of(loader(screen, plan=plan, threads=0))
        assert rows_of(loader(screen, plan=plan, threads=3, memory="1MiB")) == expected
        made = loader(screen, plan=plan, steps_per_epoch=10)
        assert list(itertools.chain(*(rows_of(made) for _ in range(3)))) == expected
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert loader(screen, plan="stratified").explain()["draws"] == 512 + 512  # controls too


def test_donor_and_type_in_stores_of_either_order(store: Store, plain_path: Path) -> None:
    sets = Sets(size=16, by=["donor_id", "cell_type"])
    ordered, plain = CellLoader(store, 64, sets=sets), CellLoader(plain_path, 64, sets=sets)
    assert (ordered.plan.name, plain.plan.name) == ("stratified", "independent")
    assert ordered.plan.shape.window % (16 * 8) == 0
    for made in (ordered, plain):
        assert made.combinations["probability"].std() < 1e-6
        obs = made.store.obs(["donor_id", "cell_type"])
        for batch in itertools.islice(made, 10):
            assert batch.control is None
            cells = obs.iloc[batch.rows.numpy()]
            groups = np.repeat(np.arange(4), 16)
            assert (cells.groupby(groups).nunique() == 1).to_numpy().all()
    both = {(d, c) for d, c in store.obs(["donor_id", "cell_type"]).dropna().itertuples(index=False)}
    assert len(ordered.combinations) == len(both)


def test_curricula_change_the_shares_of_sets(screen: Store) -> None:
    made = loader(screen, table="perturbation:natural", sets=Sets(size=8), plan="stratified",
                  temperature=[(0, 1.0), (16, 1e9)], steps_per_epoch=32)  # fmt: skip
    seen = np.concatenate([b.combination.numpy() for b in made])
    first, second = (np.bincount(half, minlength=6) for half in np.split(seen, 2))
    assert abs(first - 64 * made.combinations["probability"]).max() <= 2
    assert abs(second - 64 / 6).max() <= 2


def test_states_of_other_sets_are_refused(screen: Store) -> None:
    state = loader(screen).state_dict()
    for sets in (
        Sets(size=4, by=["cell_line", "perturbation"], control="perturbation == 'control'", match=["plate"]),
        Sets(size=8, by=["cell_line", "perturbation"], control="perturbation == 'control'", match=["cell_line"]),
        Sets(size=8, by=["cell_line", "perturbation", "plate"]),
    ):
        with pytest.raises(UsageError) as caught:
            loader(screen, sets=sets).load_state_dict(state)
        assert caught.value.code == "other-sets"
    with pytest.raises(UsageError, match="other-sets"):
        loader(screen, sets=None).load_state_dict(state)
    with pytest.raises(UsageError, match="other-sets"):
        loader(screen).load_state_dict(loader(screen, sets=None).state_dict())
    assert "sets" not in loader(screen, sets=None).state_dict()
    with pytest.raises(UsageError, match="other-table"):
        loader(screen, sets=Sets(size=8, by=["cell_line"])).load_state_dict(
            loader(screen, sets=Sets(size=8, by=["plate"])).state_dict()
        )
    loader(screen).load_state_dict(state)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"batch_size": 30}, "bad-batch-size"),
        ({"sets": Sets(size=8)}, "bad-sets"),
        ({"table": "cell_line:balanced"}, "bad-sets"),
        ({"sets": Sets(size=8, by=["cell_lines"])}, "unknown-label"),
        ({"sets": Sets(size=8, by=["cell_line"], control="perturbation == 'control'", match=["plates"])},
         "unknown-label"),
        ({"sets": Sets(size=8, by=["cell_line"], control="perturbtion == 'control'", match=[])}, "unknown-column"),
        ({"sets": Sets(size=8, by=["cell_line"], control="perturbation == 'vehicle'", match=[])}, "no-controls"),
        ({"sets": Sets(size=8, by=["cell_line"], control="perturbation == 'vehicle'", match=["plate"])},
         "no-controls"),
        ({"sets": Sets(size=8, by=["perturbation"], control="cell_line == 'K562'", match=["cell_line"])},
         "no-controls"),
        ({"sets": Sets(size=8, by=["perturbation"], min_cells=10_000)}, "no-sets"),
        ({"sets": Sets(size=8, by=["perturbation"]), "where": "dose > 2"}, "nothing-to-draw"),
        ({"sets": Sets(size=8, by=["perturbation"], control="dose >= 0", match=[])}, "nothing-to-draw"),
        ({"sets": Sets(size=8, by=["perturbation"]), "split": "trian"}, "unknown-split"),
        ({"sets": Sets(size=8), "table": "perturbation:natural", "plan": "epoch"}, "epoch-with-weights"),
        ({"sets": Sets(size=8), "table": Table.uniform(np.arange(8))}, "bad-sets"),
        ({"sets": Sets(size=8, by=["cell_line"]), "plan": "stratified", "window": 500}, "bad-window"),
        ({"sets": Sets(size=8, by=["cell_line"]), "plan": "independent", "window": 500}, "bad-window"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(screen: Store, options: dict[str, Any], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        loader(screen, **options)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)
    if code == "unknown-label":
        assert "did you mean" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"size": 0}, "bad-set-size"),
        ({"size": 8, "by": "cell_line"}, "not-a-list"),
        ({"size": 8, "by": []}, "bad-sets"),
        ({"size": 8, "by": ["a"], "control": "b == 'c'"}, "bad-sets"),
        ({"size": 8, "by": ["a"], "match": ["b"]}, "bad-sets"),
        ({"size": 8, "by": ["a"], "control": "b == 'c'", "match": "b"}, "not-a-list"),
        ({"size": 8, "by": ["a"], "control": "b = 'c'", "match": []}, "expression-syntax"),
        ({"size": 8, "by": ["a"], "min_cells": 0}, "bad-sets"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        Sets(**options)
    assert caught.value.code == code
    with pytest.raises(UnknownNameError, match="unknown-control-scope"):
        Sets(size=8, by=["a"], control_scope="stroe")  # type: ignore[arg-type]
