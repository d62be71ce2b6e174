"""Which labels there are, and what their codes are."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from calls import calls_of
from labels_small import categorical, check, counted, decoded, integers, source, strings, terms

from scformat.columns import Column
from scformat.errors import InvalidDataError, UnknownNameError, UsageError
from scformat.labels import LabelPlan, SourceObs, plan_labels


def plan(*sources: SourceObs, explicit: list[str] | None = None, ontology: bool = False) -> LabelPlan:
    made = plan_labels(sources, explicit=explicit, ontology=ontology)
    check(made, sources)
    return made


def test_a_label_that_some_sources_lack() -> None:
    made = plan(
        source("a", {"batch": categorical(["x", "y", None])}),
        source("b", {"other": categorical(["p", "p"])}),
        source("c", {"batch": categorical(["y", "w"], ["y", "unused", "w"])}),
    )
    assert made["batch"].categories == ("w", "x", "y")
    assert [decoded(made["batch"], i) for i in range(3)] == [["x", "y", None], [None, None], ["y", "w"]]
    assert made["batch"].columns == (("batch",), (), ("batch",))
    assert decoded(made["other"], 0) == [None] * 3


def test_categories_are_sorted_by_their_bytes() -> None:
    made = plan(source("a", {"x": categorical(["é", "z", "Z", "\U0001f600", "\uff5e"])}))
    assert made["x"].categories == ("Z", "z", "é", "\uff5e", "\U0001f600")


@pytest.mark.parametrize(
    ("n_values", "n_cells", "kept"), [(64, 64, True), (65, 65, False), (100, 400, True), (101, 400, False)]
)
def test_what_looks_like_an_identifier(n_values: int, n_cells: int, kept: bool) -> None:  # noqa: FBT001
    values = [f"v{i % n_values}" for i in range(n_cells)]
    made = plan(source("a", {"x": categorical([*values, None, None])}))
    assert (made.names == ("x",)) == kept
    assert ("x" in made.skipped) != kept
    assert plan(source("a", {"x": categorical(values)}), explicit=["x"]).names == ("x",)


def test_identifiers_are_judged_over_the_sources_that_have_them() -> None:
    values = [f"v{i}" for i in range(60)]
    a, b = source("a", {"x": categorical(values)}), source("b", {"x": categorical([v + "b" for v in values])})
    assert plan(a).names == ("x",)
    assert plan(a, b, source("c", {"y": categorical(["1"] * 1000)})).names == ("y",)


def test_explicit_labels_come_in_their_order_and_alone() -> None:
    obs = {
        "b": categorical(["x", "y"]),
        "a": categorical(["x", "x"]),
        "text": strings(["q", None]),
        "flag": Column(kind="boolean", dtype="bool", values=np.array([True, False]), mask=np.array([False, True])),
        "number": integers([10, 9]),
    }
    made = plan(source("s", obs), explicit=["number", "flag", "b", "text"])
    assert made.names == ("number", "flag", "b", "text")
    assert (made["number"].categories, decoded(made["number"], 0)) == (("10", "9"), ["10", "9"])
    assert decoded(made["flag"], 0) == ["True", None]
    assert decoded(made["text"], 0) == ["q", None]
    assert plan(source("s", obs)).names == ("a", "b")


def test_what_explicit_labels_may_not_be() -> None:
    obs = {
        "donor_id": categorical(["x"]),
        "score": Column(kind="float", dtype="float32", values=np.array([0.5], np.float32)),
        "empty": categorical([None], []),
        "celltype": categorical(["T"]),
    }
    with pytest.raises(UnknownNameError, match=r"'donor'.*'donor_id'.*\[unknown-label\]"):
        plan(source("s", obs), explicit=["donor"])
    with pytest.raises(UsageError, match="label-not-categorical"):
        plan(source("s", obs), explicit=["score"])
    with pytest.raises(UsageError, match="duplicate-label"):
        plan(source("s", obs), explicit=["donor_id", "donor_id"])
    with pytest.raises(UsageError, match="label-without-values"):
        plan(source("s", obs), explicit=["empty"])
    assert plan(source("s", obs), explicit=["cell_type", "celltype"]).names == ("cell_type", "celltype")
    with pytest.raises(UnknownNameError, match="unknown-label"):
        plan(source("s", obs), explicit=["tissue"])


def test_columns_of_several_types_merge_by_text() -> None:
    made = plan(
        source("a", {"x": categorical(["1", "True", "b"])}),
        source("b", {"x": integers([1, 2])}),
        source("c", {"x": strings(["b", None])}),
        source("d", {"x": Column(kind="boolean", dtype="bool", values=np.array([True]))}),
        source("e", {"x": Column(kind="float", dtype="float64", values=np.array([1.0, np.nan]))}),
    )
    assert made["x"].categories == ("1", "1.0", "2", "True", "b")
    assert [decoded(made["x"], i) for i in range(1, 5)] == [["1", "2"], ["b", None], ["True"], ["1.0", None]]
    assert [(f.source, f.status, f.value, f.cells) for f in made.findings] == [
        ("b", "mixed-types", "integer", 2),
        ("c", "mixed-types", "string", 1),
        ("d", "mixed-types", "boolean", 1),
        ("e", "mixed-types", "float", 1),
    ]


def test_constants_fill_and_do_not_overrule() -> None:
    made = plan(
        source("a", {"study": categorical(["own", None, "first"])}, study="first", empty=""),
        source("b", {"x": categorical(["p", "p"])}, study="second"),
    )
    assert made.names == ("study", "x")
    assert [decoded(made["study"], i) for i in range(2)] == [["own", "first", "first"], ["second", "second"]]
    assert made["study"].columns == (("study", "=study"), ("=study",))
    assert [(f.source, f.value, f.status, f.cells) for f in made.findings] == [("a", "first", "constant-unused", 1)]


def test_a_source_without_cells_or_columns() -> None:
    made = plan(
        SourceObs(name="a", n_cells=0, obs={}), source("b", {}, n=3, study="s"), source("c", {"study": categorical([])})
    )
    assert counted(made["study"]) == {"s": 3}
    assert plan(SourceObs(name="a", n_cells=2, obs={})).labels == ()


def test_order_of_labels() -> None:
    names = ["zeta", "donor_id", "Alpha", "organism", "sex", "cell_type", "beta"]
    made = plan(source("a", {name: categorical(["x", "y"]) for name in names}))
    assert made.names == ("cell_type", "sex", "organism", "donor_id", "Alpha", "beta", "zeta")


def test_a_damaged_column_is_refused() -> None:
    bad = Column(kind="categorical", dtype="string", values=np.array([0, 5], np.int32), categories=("x",))
    with pytest.raises(InvalidDataError, match="bad-code"):
        plan(source("a", {"x": bad}))


def test_a_column_taken_in_one_source_stays_a_label_of_another() -> None:
    made = plan(
        source("a", {"cell_type": categorical(["T"]), "celltype": categorical(["fine T"])}),
        source("b", {"celltype": categorical(["B"])}),
    )
    assert [decoded(made["cell_type"], i) for i in range(2)] == [["T"], ["B"]]
    assert [decoded(made["celltype"], i) for i in range(2)] == [["fine T"], ["B"]]


def test_numbers_are_no_names_of_terms() -> None:
    made = plan(source("a", {"sex": integers([0, 1])}))
    assert made.names == ()
    assert plan(source("a", {"sex": integers([0, 1])}), explicit=["sex"])["sex"].categories == ("0", "1")
    both = plan(source("a", {"sex": integers([0, 1])}), source("b", {"sex": categorical(["male"])}))
    assert both["sex"].categories == ("0", "1", "male")


class TestOntologies:
    """With the terms of cellxgene-ontology-guide."""

    @pytest.fixture(autouse=True)
    def _needs_the_guide(self) -> None:
        pytest.importorskip("cellxgene_ontology_guide")

    def test_three_ways_of_naming_meet_in_one_label(self) -> None:
        made = plan(
            source("names", {"CellType": strings(["t cell", "B cell", "odd", None])}),
            source("cxg", {"cell_type_ontology_term_id": categorical(["CL:0000084", "unknown", ""])}),
            source(
                "scp", {"cell_type": categorical(["CL_0000236"]), "cell_type__ontology_label": categorical(["B cell"])}
            ),
            source("constant", {"x": categorical(["p", "q"])}, celltype="T-cell"),
            ontology=True,
        )
        label = made["cell_type"]
        assert label.categories == ("B cell", "T cell", "odd", "unknown")
        assert terms(label) == ["CL:0000236", "CL:0000084", None, None]
        assert [decoded(label, i) for i in range(4)] == [
            ["T cell", "B cell", "odd", None], ["T cell", "unknown", None], ["B cell"], ["T cell", "T cell"],
        ]  # fmt: skip
        assert label.counts.tolist() == [2, 4, 1, 1]
        assert [(f.source, f.value, f.status, f.cells) for f in label.findings] == [
            ("constant", "T-cell", "synonym", 2),
            ("names", "odd", "unknown", 1),
        ]
        assert made.names == ("cell_type", "x")

    def test_withdrawn_terms(self) -> None:
        ids = ["CL:0000003", "CL:0000000", "CL:0000013", "CL:0000013"]
        made = plan(source("a", {"cell_type_ontology_term_id": categorical(ids)}), ontology=True)
        assert counted(made["cell_type"]) == {"cell": 2, "obsolete dentine secreting cell": 2}
        assert terms(made["cell_type"]) == ["CL:0000000", "CL:0000013"]
        assert [(f.value, f.status, f.cells) for f in made.findings] == [
            ("CL:0000003", "replaced", 1),
            ("CL:0000013", "deprecated", 2),
        ]

    def test_the_id_counts_where_the_name_differs(self) -> None:
        obs = {
            "cell_type_ontology_term_id": categorical(["CL:0000084"] * 3 + ["CL:9999999", "CL:9999999", "unknown", ""]),
            "cell_type": categorical(["T-cell", "b cell", "B cell", "B cell", "zzz", "unknown", "T cell"]),
        }
        made = plan(source("a", obs), ontology=True)
        assert decoded(made["cell_type"], 0) == ["T cell"] * 3 + ["B cell", "zzz", "unknown", "T cell"]
        assert [(f.value, f.status, f.cells) for f in made.findings] == [
            ("CL:0000084", "name-differs", 1),
            ("CL:0000084", "name-differs", 1),
            ("CL:9999999", "unknown", 1),
            ("CL:9999999", "unknown", 1),
        ]

    def test_several_terms_in_one_value_are_kept_as_text(self) -> None:
        obs = {
            "self_reported_ethnicity_ontology_term_id": categorical(
                ["HANCESTRO:0005 || HANCESTRO:0014", "HANCESTRO:0005"]
            ),
            "disease_ontology_term_id": categorical(["MONDO:0100096 || MONDO:0005148", "PATO:0000461"]),
            "disease": categorical(["COVID-19 || type 2 diabetes mellitus", "normal"]),
        }
        made = plan(source("a", obs), ontology=True)
        assert terms(made["self_reported_ethnicity"]) == ["HANCESTRO:0005", None]
        assert made["self_reported_ethnicity"].categories == ("European ancestry", "HANCESTRO:0005 || HANCESTRO:0014")
        assert made["disease"].categories == ("COVID-19 || type 2 diabetes mellitus", "normal")
        assert [f.status for f in made.findings] == ["malformed", "malformed"]

    def test_stages_of_one_name_are_told_apart(self) -> None:
        """A later source may bring the other one: the name is qualified even where only one is there."""
        ids = ["HsapDv:0000002", "MmusDv:0000002", "HsapDv:0000003"]
        made = plan(source("a", {"development_stage_ontology_term_id": categorical(ids)}), ontology=True)
        expected = ("Carnegie stage 01", "embryonic stage (HsapDv:0000002)", "embryonic stage (MmusDv:0000002)")
        assert made["development_stage"].categories == expected
        one = plan(source("a", {"development_stage_ontology_term_id": categorical(ids[:1])}), ontology=True)
        assert one["development_stage"].categories == ("embryonic stage (HsapDv:0000002)",)
        named = plan(source("a", {"development_stage": categorical(["embryonic stage"])}), ontology=True)
        assert (named["development_stage"].categories, named["development_stage"].ontology) == (
            ("embryonic stage",),
            None,
        )

    def test_a_text_that_is_no_term_does_not_join_one(self) -> None:
        """A structure and a cell share this name: by the name alone it is neither."""
        name = "extravillous trophoblast"
        made = plan(
            source("a", {"tissue": categorical([name])}),
            source("b", {"tissue_ontology_term_id": categorical(["CL:0008036"])}),
            ontology=True,
        )
        assert made["tissue"].categories == (name, f"{name} (CL:0008036)")
        assert terms(made["tissue"]) == [None, "CL:0008036"]

    def test_constants_of_terms(self) -> None:
        human = "NCBITaxon:9606"
        made = plan(
            source("same", {"organism": categorical(["Homo sapiens", None])}, organism_ontology_term_id=human),
            source("other", {"organism": categorical(["Mus musculus", None])}, organism_ontology_term_id=human),
            source("empty", {"organism": categorical(["", ""])}, organism_ontology_term_id=human),
            ontology=True,
        )
        assert [decoded(made["organism"], i) for i in range(3)] == [
            ["Homo sapiens"] * 2, ["Mus musculus", "Homo sapiens"], ["Homo sapiens"] * 2,
        ]  # fmt: skip
        assert [(f.source, f.value, f.status, f.cells) for f in made.findings] == [
            ("other", "NCBITaxon:9606", "constant-unused", 1)
        ]

    def test_terms_outlive_the_identifier_rule(self) -> None:
        from scformat.ontology import load

        ids = [t.id for t in load("CL").terms.values() if not t.deprecated][:80]
        made = plan(source("a", {"cell_type_ontology_term_id": categorical(ids)}), ontology=True)
        assert len(made["cell_type"].categories) == 80

    def test_the_same_plan_whatever_the_hash_seed(self) -> None:
        code = (
            "import sys; sys.path.insert(0, sys.argv[1])\n"
            "from labels_small import *\nfrom scformat.labels import plan_labels\nimport hashlib\n"
            "obs = {'cell_type': categorical(['T cell', 'CL:0000236', 'x', 'y', 'CL:0000003']),"
            " 'z': categorical(list('edcba')), 'disease': categorical(['normal', 'COVID-19', 'a', 'b', 'unknown'])}\n"
            "p = plan_labels([source('s', obs), source('t', {'z': categorical(list('xyzab'))}, tissue='lung')],"
            " explicit=None, ontology=True)\n"
            "for l in p.labels:\n"
            "    o = l.ontology\n"
            "    g = o and (o.graph.ids, o.graph.ancestors.tolist(), o.terms.tolist())\n"
            "    print(l.name, l.categories, [c.tolist() for c in l.codes], l.findings, g)\n"
        )
        outputs = {
            hashlib.sha256(
                subprocess.run(
                    [sys.executable, "-c", code, str(Path(__file__).parent)],
                    env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
                    capture_output=True, check=True,
                ).stdout
            ).hexdigest()
            for seed in ("0", "1", "2")
        }  # fmt: skip
        assert len(outputs) == 1


def test_the_work_is_on_categories() -> None:
    """3 sources of a million cells, 10 columns."""
    rng = np.random.default_rng(0)
    sources = []
    for name in "abc":
        obs = {}
        for i in range(10):
            n = 10 ** (i // 2 + 1) // 2
            codes = rng.integers(-1, n, 1_000_000).astype(np.int32)
            values = tuple(f"v{j}" for j in range(n))
            obs[f"c{i}"] = Column(kind="categorical", dtype="string", values=codes, categories=values)
        sources.append(SourceObs(name=name, n_cells=1_000_000, obs=obs))
    calls = calls_of(lambda: plan_labels(sources, explicit=None, ontology=True))
    categories = sum(len(column.categories) for source in sources for column in source.obs.values())
    assert calls.total() < 5 * categories, calls.most_common(20)
    assert len(plan_labels(sources, explicit=None, ontology=True).labels) == 10
