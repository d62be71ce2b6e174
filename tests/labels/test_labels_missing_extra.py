"""Without cellxgene-ontology-guide: a clear error where its terms are needed, plain labels where they are not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PREAMBLE = """
import sys
sys.path.insert(0, sys.argv[1])

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "cellxgene_ontology_guide":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocker())
from labels_small import categorical, source
from scformat.errors import MissingExtraError
from scformat.labels import plan_labels
"""


def run(code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PREAMBLE + code, str(Path(__file__).parent)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "made",
    [
        "source('s', {'cell_type_ontology_term_id': categorical(['CL:0000084'])})",
        "source('s', {'organ': categorical(['x']), 'organ__ontology_label': categorical(['lung'])})",
        "source('s', {'cell_type': categorical(['T cell', 'CL_0000084'])})",
        "source('s', {'x': categorical(['p'])}, organism_ontology_term_id='NCBITaxon:9606')",
    ],
)
def test_ids_need_the_extra(made: str) -> None:
    said = run(
        f"""
try:
    plan_labels([{made}], explicit=None, ontology=True)
except MissingExtraError as error:
    print(error)
plain = plan_labels([{made}], explicit=None, ontology=False)
print([label.ontology for label in plain.labels])
"""
    )
    error, plain = said.splitlines()
    assert "scformat[ontology]" in error
    assert "--no-ontology" in error
    assert error.endswith("[missing-extra]")
    assert set(plain) <= set("[None, ]")


def test_names_do_not() -> None:
    said = run(
        """
obs = {'cell_type': categorical(['T cell']), 'b': categorical(['p'])}
made = plan_labels([source('s', obs)], explicit=None, ontology=True)
print(made.names, made['cell_type'].categories, made['cell_type'].ontology)
print(made.notes)
"""
    )
    assert said.splitlines()[0] == "('cell_type', 'b') ('T cell',) None"
    assert "'ontology' is not installed" in said.splitlines()[1]


def test_nor_do_labels_that_are_not_asked_for() -> None:
    said = run(
        """
obs = {'cell_type_ontology_term_id': categorical(['CL:0000084']), 'b': categorical(['p'])}
print(plan_labels([source('s', obs)], explicit=['b'], ontology=True).names)
"""
    )
    assert said == "('b',)\n"
