"""What the labels of real files become; the expectations were read off the files by hand."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
from labels_small import check, counted, strings, summary, terms

pytest.importorskip("cellxgene_ontology_guide")

from scformat.columns import Column
from scformat.labels import SourceObs, constants_of, plan_labels

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="module")
def read(shared_data: Path) -> Callable[[str], SourceObs]:
    """Read obs with anndata, independently of this package's sources."""
    import anndata

    def column(series: object) -> Column:
        import pandas as pd

        assert isinstance(series, pd.Series)
        if isinstance(series.dtype, pd.CategoricalDtype):
            return Column(
                kind="categorical",
                dtype="string",
                values=series.cat.codes.to_numpy().astype(np.int32),
                categories=tuple(map(str, series.cat.categories)),
            )
        values = series.to_numpy()
        if values.dtype.kind in "iu":
            return Column(kind="integer", dtype=str(values.dtype), values=values)
        if values.dtype.kind == "b":
            return Column(kind="boolean", dtype="bool", values=values)
        return strings([str(v) for v in values])

    def source(name: str) -> SourceObs:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old files are read with warnings of anndata's
            adata = anndata.read_h5ad(shared_data / f"{name}.h5ad")
        uns = {key: value for key, value in adata.uns.items() if isinstance(value, str)}
        obs = {str(name): column(adata.obs[name]) for name in adata.obs.columns}
        return SourceObs(name=name, n_cells=adata.n_obs, obs=obs, constants=constants_of(uns))

    return source


def test_cxg_example_with_labels(read: Callable[[str], SourceObs]) -> None:
    sources = [read("cxg_example_with_labels")]
    plan = plan_labels(sources, explicit=None, ontology=True)
    check(plan, sources)
    assert summary(plan) == {
        "cell_type": {"endothelial cell": 160, "fibroblast": 160},
        "tissue": {
            "brain (organoid)": 1,
            "epithelial cell": 1,
            "fibroblast (cell culture)": 1,
            "heart left ventricle": 156,
            "heart right ventricle": 160,
            "kidney": 1,
        },
        "disease": {"normal": 320},
        "assay": {"10x 3' v2": 128, "10x 3' v3": 191, "10x 3' v3 (sci-plex)": 1},
        "development_stage": {"50-year-old stage": 160, "60-year-old stage": 160},
        "sex": {"female": 318, "male": 1, "unknown": 1},
        "organism": {"Homo sapiens": 319, "Mus musculus": 1},
    }
    assert terms(plan["cell_type"]) == ["CL:0000115", "CL:0000057"]
    assert terms(plan["tissue"]) == [None, "CL:0000066", None, "UBERON:0002084", "UBERON:0002080", "UBERON:0002113"]
    assert terms(plan["disease"]) == ["PATO:0000461"]
    assert terms(plan["assay"]) == ["EFO:0009899", "EFO:0009922", None]
    assert terms(plan["development_stage"]) == ["HsapDv:0000144", "HsapDv:0000154"]
    assert terms(plan["sex"]) == ["PATO:0000383", "PATO:0000384", None]
    assert terms(plan["organism"]) == ["NCBITaxon:9606", "NCBITaxon:10090"]
    assert plan["sex"].n_without_term == 1
    # "unknown" is not among them; one odd value leaves the others of its column resolved.
    assert [(f.label, f.value, f.status, f.cells) for f in plan.findings] == [
        ("tissue", "CL:0000057 (cell culture)", "malformed", 1),
        ("tissue", "UBERON:0000955 (organoid)", "malformed", 1),
        ("assay", "EFO:0009922 (sci-plex)", "malformed", 1),
    ]
    # Its only column, ethnicity_ontology_term_id, holds empty texts.
    assert plan.skipped == {"self_reported_ethnicity": "no cell has a value"}
    graph = plan["cell_type"].ontology
    assert graph is not None
    assert {"CL:0000000", "CL:0000057", "CL:0000115"} <= set(graph.graph.ids)


def test_cxg_example_valid(read: Callable[[str], SourceObs]) -> None:
    sources = [read("cxg_example_valid")]
    assert sources[0].constants == {"organism_ontology_term_id": "NCBITaxon:9606"}
    plan = plan_labels(sources, explicit=None, ontology=True)
    check(plan, sources)
    assert summary(plan) == {
        "cell_type": {"epithelial cell": 2},
        "tissue": {"lung": 2},
        "disease": {"COVID-19": 2},
        "assay": {"10x 3' v2": 2},
        "self_reported_ethnicity": {"Japanese": 2},
        "development_stage": {"Carnegie stage 01": 2},
        "sex": {"female": 2},
        "organism": {"Homo sapiens": 2},
        "donor_id": {"donor_1": 2},
        "suspension_type": {"nucleus": 2},
        "tissue_type": {"tissue": 2},
    }
    assert list(plan.names) == list(summary(plan))
    assert [terms(plan[name])[0] for name in plan.names[:8]] == [
        "CL:0000066", "UBERON:0002048", "MONDO:0100096", "EFO:0009899", "HANCESTRO:0019", "HsapDv:0000003",
        "PATO:0000383", "NCBITaxon:9606",
    ]  # fmt: skip
    assert plan["organism"].columns == (("=organism_ontology_term_id",),)
    assert plan.findings == ()


def test_scp_test(read: Callable[[str], SourceObs]) -> None:
    sources = [read("scp_test")]
    plan = plan_labels(sources, explicit=None, ontology=True)
    check(plan, sources)
    assert summary(plan) == {
        "cell_type": {
            "cholinergic neuron": 71,
            "cranial somatomotor neuron": 55,
            "pyramidal neuron": 50,
            "somatomotor neuron": 38,
            "sympathetic cholinergic neuron": 24,
        },
        "tissue": {"brain": 238},
        "disease": {"normal": 238},
        "assay": {"Smart-like": 238},
        "sex": {"male": 238},
        "organism": {"Mus musculus": 238},
        "donor_id": {"ChatNAmb_pool1": 238},
        "biosample_id": {"ChatNAmb_pool1": 238},
        "biosample_type": {"PrimaryBioSample": 238},
        "brain_region": {"UBERON:0001719": 238},
        "brain_region__ontology_label": {"nucleus ambiguus": 238},
        "mouse_strain": {"NCIT:C14424": 238},
        "mouse_strain__ontology_label": {"C57BL/6 Mouse": 238},
        "organism_age__unit": {"UO:0000034": 238},
        "organism_age__unit__ontology_label": {"week": 238},
        "seurat_clusters": {"0": 70, "1": 55, "2": 50, "3": 38, "4": 24, "6": 1},
    }
    assert list(plan.names) == list(summary(plan))
    assert terms(plan["cell_type"]) == ["CL:0000108", "CL:0008010", "CL:0000598", "CL:0005024", "CL:3000003"]
    assert plan["tissue"].columns == (("organ", "organ__ontology_label"),)
    assert terms(plan["sex"]) == ["PATO:0000384"]
    assert terms(plan["organism"]) == ["NCBITaxon:10090"]
    assert plan.findings == ()


def test_pbmc_facs(read: Callable[[str], SourceObs]) -> None:
    """Names that no ontology knows: a plain label, and every value is reported."""
    sources = [read("pbmc_facs")]
    plan = plan_labels(sources, explicit=None, ontology=True)
    check(plan, sources)
    assert plan.names == ("cell_type", "subpop")
    assert plan["cell_type"].columns == (("celltype",),)
    assert plan["cell_type"].ontology is None
    assert len(plan["cell_type"].categories) == 10
    assert counted(plan["cell_type"])["CD19+ B"] == 767
    assert {f.status for f in plan.findings} == {"unknown"}
    assert sum(f.cells for f in plan.findings) == 3774
    assert plan.skipped == {"barcode": "3766 values in 3774 cells look like identifiers"}


def test_all_of_them_together(read: Callable[[str], SourceObs]) -> None:
    names = ["cxg_example_with_labels", "cxg_example_valid", "scp_test", "pbmc_facs"]
    sources = [read(name) for name in names]
    plan = plan_labels(sources, explicit=None, ontology=True)
    check(plan, sources)
    # CELLxGENE's columns, its uns, and the Single Cell Portal's columns meet in the same terms.
    assert counted(plan["organism"]) == {"Homo sapiens": 321, "Mus musculus": 239}
    assert counted(plan["disease"]) == {"COVID-19": 2, "normal": 558}
    assert counted(plan["sex"]) == {"female": 320, "male": 239, "unknown": 1}
    assert [plan["disease"].n_missing, plan["donor_id"].n_missing] == [3774, 320 + 3774]
    assert (np.asarray(plan["donor_id"].codes[0]) == -1).all()
    assert plan["cell_type"].n_without_term == 3774


def test_without_ontologies(read: Callable[[str], SourceObs]) -> None:
    sources = [read("cxg_example_with_labels"), read("cxg_example_valid")]
    plan = plan_labels(sources, explicit=["sex", "assay"], ontology=False)
    check(plan, sources)
    assert plan.names == ("sex", "assay")
    assert counted(plan["sex"]) == {"PATO:0000383": 2, "female": 318, "male": 1, "unknown": 1}
    assert all(label.ontology is None for label in plan.labels)
    every = plan_labels(sources, explicit=None, ontology=False)
    assert not [name for name in every.names if name.endswith("_ontology_term_id")]
