"""Labels in a vocabulary of one's own; targets over the ontology against a plain walk over its edges."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch", reason="torch is an extra")
pytest.importorskip("cellxgene_ontology_guide", reason="the ontologies are an extra")

from samples import counts_matrix, gene_ids, sample  # noqa: E402

import scformat  # noqa: E402
from scformat.errors import ScformatError, UsageError  # noqa: E402
from scformat.torch import Ancestors, CellDataset, CellLoader  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from scformat.store import Store

REPOSITORY = Path(__file__).resolve().parents[2]

N = 400
CD4 = "CD4-positive, alpha-beta T cell"
TYPES = ["T cell", CD4, "mature NK T cell", "natural killer cell", "B cell", "no type at all", "neuron"]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[str]], Store]:
    def made(types: list[str]) -> Store:
        codes = np.random.default_rng(len(types)).integers(-1, len(types), N)
        codes[: len(types)] = np.arange(len(types))
        obs = {
            "cell_type": pd.Categorical.from_codes(codes, types),
            "donor": pd.Categorical([f"d{i % 4}" for i in range(N)]),
        }
        values = counts_matrix(N, 20, seed=1)
        target = tmp_path_factory.mktemp("stores") / "a.cells"
        return scformat.convert([sample(values, genes=gene_ids(20), obs=obs)], target, jobs=1)

    return made


@pytest.fixture(scope="module")
def cells(make: Callable[[list[str]], Store]) -> Store:
    return make(TYPES)


def names(store: Store, rows: Any) -> list[str | None]:
    label = store.labels["cell_type"]
    return [None if code < 0 else label.categories[code] for code in label.codes(rows)]


def above(store: Store, name: str) -> set[str]:
    """Ids at or above a term, by its parents alone."""
    ontology = store.labels["cell_type"].ontology
    assert ontology is not None
    known = dict(zip(ontology.terms["name"], ontology.terms.index, strict=True))
    found, todo = set(), [known[name]] if name in known else []
    while todo:
        term = todo.pop()
        found.add(term)
        todo.extend(ontology.parents(term))
    return found


def test_targets_are_the_term_of_a_cell_and_all_above_it(cells: Store) -> None:
    ontology = cells.labels["cell_type"].ontology
    assert ontology is not None
    ids = list(ontology.terms.index)
    seen = set()
    for batch in CellLoader(cells, 64, labels=["cell_type"], targets=["cell_type"], threads=0):
        target = batch.targets["cell_type"]
        assert (target.dtype, tuple(target.shape)) == (torch.bool, (64, len(ids)))
        for name, line in zip(names(cells, batch.rows.numpy()), target.numpy(), strict=True):
            expected = set() if name is None else above(cells, name)
            assert {ids[i] for i in np.flatnonzero(line)} == expected
            seen.add((name, len(expected) > 0))
    assert {(name, name not in (None, "no type at all")) for name in [None, *TYPES]} == seen


def test_a_store_of_simulated_studies_has_targets_too(store: Store) -> None:
    ontology = store.labels["cell_type"].ontology
    assert ontology is not None
    batch = CellDataset(store, targets=["cell_type"]).__getitems__(np.arange(store.n_cells))
    assert batch.targets["cell_type"].sum(dim=0).tolist() == ontology.counts.tolist()


LINEAGES: list[tuple[list[str], dict[str, int]]] = [
    (["B cell", "T cell"], {"B cell": 0, "T cell": 1, CD4: 1, "mature NK T cell": 1}),
    (["CL:0000084", "CL:0000236"], {"T cell": 0, CD4: 0, "mature NK T cell": 0, "B cell": 1}),
    # The most specific of the terms above a cell is meant, in whichever order they are listed.
    (["T cell", CD4], {"T cell": 0, CD4: 1, "mature NK T cell": 0}),
    ([CD4, "leukocyte"], {CD4: 0, "T cell": 1, "mature NK T cell": 1, "natural killer cell": 1, "B cell": 1}),
    (["neuron"], {"neuron": 0}),
]


@pytest.mark.parametrize(("terms", "code_of"), LINEAGES)
def test_ancestors_tell_which_of_some_terms_a_cell_lies_below(
    cells: Store, terms: list[str], code_of: dict[str, int]
) -> None:
    made = CellDataset(cells, targets={"lineage": Ancestors("cell_type", terms), "all": "cell_type"})
    batch = pickle.loads(pickle.dumps(made)).__getitems__(np.arange(N))
    lineage = batch.targets["lineage"]
    assert lineage.dtype == torch.int64
    assert lineage.tolist() == [code_of.get(name or "", -1) for name in names(cells, None)]
    assert batch.targets["all"].dtype == torch.bool
    assert batch.labels == {}


def test_terms_between_which_a_cell_cannot_be_told_are_refused(cells: Store) -> None:
    # Leukocytes are both, and neither term lies below the other.
    pair = ["motile cell", "single nucleate cell"]
    with pytest.raises(UsageError, match="'motile cell' and 'single nucleate cell'") as caught:
        CellDataset(cells, targets={"x": Ancestors("cell_type", pair)})
    assert caught.value.code == "ambiguous-terms"
    # A term between tells.
    made = CellDataset(cells, targets={"x": Ancestors("cell_type", [*pair, "mononuclear leukocyte"])})
    assert made[names(cells, None).index("B cell")].targets["x"].tolist() == [2]


def test_targets_travel_with_their_batch(cells: Store) -> None:
    made = CellLoader(cells, 16, labels=["donor"], targets=["cell_type"], threads=0)
    batch = next(iter(made))
    assert batch.to("meta").targets["cell_type"].device.type == "meta"
    copy = pickle.loads(pickle.dumps(batch))
    assert torch.equal(copy.targets["cell_type"], batch.targets["cell_type"])
    batch.targets["cell_type"].fill_(True)
    assert not next(iter(made)).targets["cell_type"].all()


@pytest.mark.parametrize(
    ("targets", "code"),
    [
        ("cell_type", "not-a-list"),
        (Ancestors("cell_type", ["T cell"]), "not-a-list"),
        ([Ancestors("cell_type", ["T cell"])], "not-a-list"),
        (["cell_type", "cell_type"], "repeated-name"),
        (["cell_typ"], "unknown-label"),
        (["donor"], "no-ontology"),
        ({"x": Ancestors("donor", ["T cell"])}, "no-ontology"),
        ({"x": 3}, "bad-target"),
        ({"x": Ancestors("cell_type", ["T cel"])}, "unknown-ontology-term"),
        ({"x": Ancestors("cell_type", ["T cell", "CL:0000084"])}, "repeated-name"),
    ],
)
def test_what_is_no_target_is_refused(cells: Store, targets: Any, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        CellLoader(cells, targets=targets)
    assert caught.value.code == code


@pytest.mark.parametrize(("terms", "code"), [("T cell", "not-a-list"), ([], "no-terms"), (["a", "a"], "repeated-name")])
def test_ancestors_are_a_list_of_terms(terms: Any, code: str) -> None:
    with pytest.raises(ScformatError) as caught:
        Ancestors("cell_type", terms)
    assert caught.value.code == code


def test_terms_that_another_store_may_have_are_told(cells: Store) -> None:
    with pytest.warns(UserWarning, match="no cell of the store has 'hepatocyte'") as caught:
        made = CellDataset(cells, targets={"x": Ancestors("cell_type", ["hepatocyte", "neuron"])})
    assert caught[0].filename == __file__
    assert made[names(cells, None).index("neuron")].targets["x"].tolist() == [1]


def test_stores_agree_in_a_vocabulary(cells: Store, make: Callable[[list[str]], Store]) -> None:
    other = make(["neuron", "T cell", "B cell"])
    assert other.labels["cell_type"].categories != cells.labels["cell_type"].categories
    wanted = ["neuron", "B cell", "T cell"]
    for store in (cells, other):
        made = CellLoader(store, 50, labels={"cell_type": wanted, "donor": None}, threads=0)
        for batch in made:
            rows = batch.rows.numpy()
            expected = [wanted.index(name) if name in wanted else -1 for name in names(store, rows)]
            assert batch.labels["cell_type"].dtype == torch.int64
            assert batch.labels["cell_type"].tolist() == expected
            assert batch.labels["donor"].tolist() == store.labels["donor"].codes(rows).tolist()


def test_a_vocabulary_may_join_categories(cells: Store) -> None:
    code_of = {"T cell": 7, CD4: 7, "B cell": 2}
    batch = CellDataset(cells, labels={"cell_type": code_of}).__getitems__(np.arange(N))
    assert batch.labels["cell_type"].tolist() == [code_of.get(name or "", -1) for name in names(cells, None)]


def test_categories_that_another_store_may_have_are_told(cells: Store) -> None:
    with pytest.warns(UserWarning, match=r"label 'cell_type'.*'hepatocyte'") as caught:
        made = CellDataset(cells, labels={"cell_type": ["hepatocyte", "neuron"]})
    assert caught[0].filename == __file__
    assert made[names(cells, None).index("neuron")].labels["cell_type"].tolist() == [1]


def test_a_label_that_no_drawn_cell_has_is_missing_everywhere(tmp_path: Path) -> None:
    kind = pd.Categorical(["x", "y"] * 30)
    sources = [
        sample(counts_matrix(60, 20, seed=2), genes=gene_ids(20), obs={"kind": kind}),
        sample(counts_matrix(40, 20, seed=3), genes=gene_ids(20), prefix="b"),
    ]
    both = scformat.convert(sources, tmp_path / "both.cells", jobs=1)
    lacking = both.select("kind is missing")
    assert len(lacking) == 40
    made = CellLoader(both, 10, labels={"kind": ["y"]}, where="kind is missing", threads=0)
    assert {code for batch in made for code in batch.labels["kind"].tolist()} == {-1}
    with pytest.raises(UsageError) as caught:
        CellLoader(both, table="kind:balanced", where="kind is missing")
    assert caught.value.code == "nothing-to-draw"
    # Beside cells that have it they are left out of its strata, and nothing shifts.
    made = CellLoader(both, 10, labels=["kind"], table="kind:balanced", plan="independent", threads=0)
    assert made.table.n_cells == 60
    for batch in made:
        assert not np.isin(batch.rows.numpy(), lacking).any()
        assert batch.labels["kind"].tolist() == both.labels["kind"].codes(batch.rows.numpy()).tolist()


@pytest.mark.parametrize(
    ("labels", "code", "told"),
    [
        ({"cell_typ": ["T cell"]}, "unknown-label", "cell_type"),
        ({"cell_type": ["T cel"]}, "unknown-category", "T cell"),
        ({"cell_type": "T cell"}, "not-a-list", "list"),
        ({"cell_type": ["T cell", "T cell"]}, "repeated-name", "T cell"),
        ({"cell_type": []}, "bad-vocabulary", "cell_type"),
        ({"cell_type": {"T cell": "zero"}}, "bad-vocabulary", "whole number"),
        ({"cell_type": {"T cell": -2}}, "bad-vocabulary", "whole number"),
        (["cell_type", "cell_type"], "repeated-name", "cell_type"),
        (3, "not-a-list", "list"),
    ],
)
def test_what_is_no_vocabulary_is_refused(cells: Store, labels: Any, code: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        CellLoader(cells, labels=labels)
    assert caught.value.code == code


def test_codes_do_not_depend_on_the_hash_seed(cells: Store, tmp_path: Path) -> None:
    script = tmp_path / "codes.py"
    script.write_text(
        "import sys, numpy as np\nfrom scformat.torch import Ancestors, CellDataset\n"
        "made = CellDataset(sys.argv[1], labels=['cell_type'], targets={'a': 'cell_type',"
        " 'b': Ancestors('cell_type', ['B cell', 'T cell'])})\n"
        "batch = made.__getitems__(np.arange(len(made)))\n"
        "print(batch.labels['cell_type'].tolist(), batch.targets['b'].tolist(), batch.targets['a'].int().tolist())\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, str(script), cells.path], env={**os.environ, "PYTHONHASHSEED": seed}, check=True,
            capture_output=True, cwd=REPOSITORY,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(outputs) == 1
