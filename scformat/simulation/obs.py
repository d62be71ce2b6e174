"""The obs columns of a simulated study: CELLxGENE's names, each label with its term's id beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scformat.simulation.cells import Counts, Labels, barcodes
from scformat.simulation.terms import CELL_TYPES, HUMAN, PHASES, SEVERITIES, Term

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scformat.simulation.h5ad import H5adWriter
    from scformat.simulation.plan import Study


class ObsColumns:
    """Creates the obs columns of a study and writes them block by block.

    Parameters
    ----------
    writer
        The file.
    study
        Its plan.
    n_largest
        Cells of the largest study, which the barcodes depend on.
    """

    def __init__(self, writer: H5adWriter, study: Study, n_largest: int) -> None:
        self._writer, self._study, self._n_largest = writer, study, n_largest
        self._donor: dict[str, NDArray[np.int8]] = {}
        self._type: dict[str, NDArray[np.int8]] = {}
        self._tissue: dict[str, NDArray[np.int8]] = {}
        donors = study.donors
        names = ["study", "donor_id", "cell_type", "cell_type_ontology_term_id", "tissue", "tissue_ontology_term_id"]
        names += ["tissue_type", "assay", "assay_ontology_term_id", "disease", "disease_ontology_term_id"]
        names += ["development_stage", "development_stage_ontology_term_id", "sex", "sex_ontology_term_id"]
        names += ["self_reported_ethnicity", "self_reported_ethnicity_ontology_term_id"]
        names += ["organism", "organism_ontology_term_id", "suspension_type", "is_primary_data", "severity"]
        names += ["phase"] * study.has_phase + ["age_years"] * study.has_age + ["pct_counts_mt"]
        writer.create_obs(names)
        present: list[Term | None] = [
            Term(t.id, t.name) if n else None for t, n in zip(CELL_TYPES, study.type_counts, strict=True)
        ]
        self._terms("cell_type", present, self._type)
        self._terms("tissue", study.tissues, self._tissue)
        self._terms("assay", [d.assay for d in donors], self._donor)
        self._terms("disease", [d.disease for d in donors], self._donor)
        self._terms("development_stage", [d.stage for d in donors], self._donor)
        self._terms("sex", [d.sex for d in donors], self._donor)
        self._terms("self_reported_ethnicity", [d.ethnicity for d in donors], self._donor)
        self._terms("organism", [HUMAN] * len(donors), self._donor)
        self._texts("donor_id", [d.name for d in donors], self._donor)
        for name, value in (("study", study.name), ("tissue_type", "tissue"), ("suspension_type", "cell")):
            self._texts(name, [value] * len(donors), self._donor)
        writer.create_categorical("severity", SEVERITIES, ordered=True)
        self._donor["severity"] = np.array([SEVERITIES.index(d.severity) for d in donors], np.int8)
        writer.create_array("is_primary_data", np.bool_)
        writer.create_array("pct_counts_mt", np.float32)
        if study.has_phase:
            writer.create_categorical("phase", PHASES, ordered=False)
        if study.has_age:
            writer.create_nullable_integer("age_years")
        self._primary = np.array([d.is_primary_data for d in donors], np.bool_)
        self._age = np.array([-1 if d.age is None else d.age for d in donors], np.int64)

    def write(self, labels: Labels, counts: Counts) -> None:
        """Write the rows of a block."""
        write, first = self._writer.write_obs, labels.first
        write("_index", first, barcodes(first, len(labels), self._n_largest, self._study.number))
        for codes, rows in ((self._type, labels.types), (self._tissue, labels.tissues), (self._donor, labels.donors)):
            for name, code in codes.items():
                write(f"{name}/codes", first, code[rows])
        write("is_primary_data", first, self._primary[labels.donors])
        total = np.maximum(counts.totals[:, 0], 1)
        write("pct_counts_mt", first, (100.0 * counts.totals[:, 1] / total).astype(np.float32))
        if self._study.has_phase:
            write("phase/codes", first, labels.phases)
        if self._study.has_age:
            age = self._age[labels.donors]
            write("age_years/values", first, np.maximum(age, 0))
            write("age_years/mask", first, age < 0)

    def _terms(self, name: str, terms: Sequence[Term | None], into: dict[str, NDArray[np.int8]]) -> None:
        self._texts(name, [None if t is None else t.name for t in terms], into)
        self._texts(f"{name}_ontology_term_id", [None if t is None else t.id for t in terms], into)

    def _texts(self, name: str, values: Sequence[str | None], into: dict[str, NDArray[np.int8]]) -> None:
        categories = sorted({value for value in values if value is not None})
        self._writer.create_categorical(name, categories, ordered=False)
        into[name] = np.array([-1 if v is None else categories.index(v) for v in values], np.int8)
