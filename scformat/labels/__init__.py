"""Labels: per-cell categories that hold one meaning over all sources."""

from scformat.labels.combine import Combined, combine_codes
from scformat.labels.extend import extend_label, extend_labels
from scformat.labels.model import Finding, Label, LabelOntology, LabelPlan, SourceObs
from scformat.labels.plan import constants_of, plan_labels

__all__ = [
    "Combined",
    "Finding",
    "Label",
    "LabelOntology",
    "LabelPlan",
    "SourceObs",
    "combine_codes",
    "constants_of",
    "extend_label",
    "extend_labels",
    "plan_labels",
]
