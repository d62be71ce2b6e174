"""What a conversion would do, for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.manifest import as_json

if TYPE_CHECKING:
    from scformat.conversion.plan import Plan

SHOWN = 20
"""Findings that the text lists; a hundred sources have thousands."""
BYTES_AN_ENTRY = 1.1
"""Typical size of an entry on disk, for the estimate alone."""


@dataclass(frozen=True, kw_only=True)
class ConversionPlan:
    """The outcome of a dry run.

    Attributes
    ----------
    document
        Cells, genes, sources, labels, splits, findings and the estimated size, as plain JSON values.
    """

    document: dict[str, Any]

    @classmethod
    def of(cls, plan: Plan) -> ConversionPlan:
        """Describe a plan."""
        kept = np.bincount(plan.cells.source, minlength=len(plan.surveyed)).tolist()
        entries = int(plan.cells.needed.sum())
        sources = [
            {
                "name": s.source.name,
                "format": s.source.format,
                "counts": s.matrix.location,
                "layout": s.layout,
                "cells": s.source.n_cells,
                "cells_kept": n,
                "genes": s.matrix.shape[1],
                "gene_ids": s.genes.column,
                "genes_resolved": s.genes.n_resolved,
                "genes_left_out": len(left_out.ids),
                "organisms": {str(taxon): count for taxon, count in s.genes.organisms.items()},
                "nonzeros": int(s.scan.detection.sum()),
                "total_counts": int(s.scan.total.sum()),
                "not_kept": s.source.not_kept(counts=s.matrix.location),
            }
            for s, n, left_out in zip(plan.surveyed, kept, plan.index.left_out, strict=True)
        ]
        labels = [
            {
                "name": label.name,
                "categories": len(label.categories),
                "missing": label.n_missing,
                "ontology": None if label.ontology is None else dict(label.ontology.graph.releases),
            }
            for label in plan.labels.labels
        ]
        document: dict[str, Any] = {
            "n_cells": plan.n_cells,
            "n_genes": len(plan.index.genes),
            "genes": plan.options.genes,
            "order": plan.options.order,
            "seed": plan.options.seed,
            "sources": sources,
            "labels": labels,
            "obs": [c.name for c in plan.obs],
            "splits": None
            if plan.splits is None
            else {
                "by": list(plan.splits.by),
                "cells": dict(zip(plan.splits.names, plan.splits.counts, strict=True)),
                "duplicates_left_out": plan.splits.duplicates_left_out,
            },
            "findings": [as_json(f) for f in plan.findings],
            "skipped": [as_json(s) for s in plan.skipped],
            "bytes_estimated": int(entries * BYTES_AN_ENTRY),
        }
        return cls(document=document)

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain JSON values."""
        return self.document

    def lines(self) -> list[str]:
        """Return the plan as text, a line each."""
        d = self.document
        lines = [
            f"{d['n_cells']:,} cells x {d['n_genes']:,} genes ({d['genes']}), order {d['order']}, "
            f"about {d['bytes_estimated'] / 1e6:,.1f} MB"
        ]
        if "append" in d:
            new = d["append"]
            categories = ", ".join(f"{name} {len(some):,}" for name, some in new["categories_new"].items() if some)
            lines.append(
                f"appended to {new['n_cells_before']:,} cells; new: {new['n_genes_new']:,} genes"
                f", categories {categories or '(none)'}, obs {', '.join(new['obs_new']) or '(none)'}"
            )
        for s in d["sources"]:
            lines.append(
                f"source {s['name']}: {s['cells_kept']:,} of {s['cells']:,} cells, counts in {s['counts']} "
                f"({s['layout']}), {s['genes_resolved']:,} of {s['genes']:,} genes known by {s['gene_ids']}, "
                f"{s['genes_left_out']:,} left out, {s['nonzeros']:,} non-zeros"
            )
            if s["not_kept"]:
                lines.append(f"  not kept: {', '.join(s['not_kept'])}")
        for label in d["labels"]:
            terms = (
                ""
                if not label["ontology"]
                else " (" + ", ".join(f"{k} {v}" for k, v in label["ontology"].items()) + ")"
            )
            missing = f", {label['missing']:,} cells without" if label["missing"] else ""
            lines.append(f"label {label['name']}: {label['categories']:,} categories{missing}{terms}")
        if d["splits"] is not None:
            cells = ", ".join(f"{name} {n:,}" for name, n in d["splits"]["cells"].items())
            lines.append(f"splits by {', '.join(d['splits']['by']) or 'cell'}: {cells}")
        lines += [finding_line(f) for f in d["findings"][:SHOWN]]
        if len(d["findings"]) > SHOWN:
            lines.append(f"note: {len(d['findings']) - SHOWN:,} more, all in --json and in the store")
        lines += [f"skipped {s['path']}: {s['message']}" for s in d["skipped"]]
        return lines


def finding_line(finding: dict[str, Any]) -> str:
    """Return a remark of the conversion as one line."""
    parts = [finding["source"]] if finding.get("source") else []
    parts.append(finding["what"])
    if finding.get("value") is not None:
        parts.append(repr(finding["value"]))
    if finding.get("cells") is not None:
        parts.append(f"({finding['cells']:,} cells)")
    return f"note: {' '.join(parts)}" + (f": {finding['note']}" if finding.get("note") else "")
