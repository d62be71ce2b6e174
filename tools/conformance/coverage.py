"""``coverage.json``: for every statement the cases or tests that are about it, or why there is none."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

REPOSITORY = Path(__file__).resolve().parents[2]
MOST = 8
"""Cases that are listed of a statement; ``n_cases`` counts them all."""

ALL = {
    "CNF-1": "every invalid case",
    "CNF-2": "every case: the answer of validate has its level",
    "CNF-3": "every invalid case: at the level below its store is valid",
    "CNF-4": "every valid case",
}
"""Statements that all cases are about."""

TESTS: dict[str, Sequence[str]] = {
    "CNV-4": [
        "conversion::test_jobs_and_memory_change_nothing",
        "conversion::test_directory_hash_seed_and_time_change_nothing",
    ],
    "CEL-11": ["conversion::test_cells_without_counts_are_no_duplicates"],
    "GEN-3": ["genes::test_extend_moves_no_gene"],
    "GEN-10": ["genes::test_order_is_by_detection_then_taxon_and_id"],
    "SRC-3": ["sources::test_every_real_file_opens", "sources::test_ranges_of_zarr_and_its_digest"],
    "SPL-12": ["conversion::test_values_that_make_groups_are_texts"],
    "TAB-11": ["tables::test_opening_reads_the_manifest_alone"],
    "TAB-12": ["tables::test_a_table_beside_a_store"],
    "TAB-17": ["tables::test_a_table_in_a_store"],
    "WGT-6": ["sampling::test_levels_of_an_ontology"],
    "WGT-7": ["sampling::test_custom_weights", "tables::test_custom_weights"],
    "WGT-8": ["sampling::test_levels_are_at_most_sixteen_and_hold_their_figures", "tables::test_weights_by_a_figure"],
    "SAM-31": ["sampling::test_a_finite_pass_pads_its_last_batch"],
    "SAM-41": [
        "sampling::test_states_that_do_not_fit_are_refused",
        "sampling::test_a_seed_beyond_53_bits_survives_json",
    ],
    "SAM-50": ["sampling::test_ranks_share_the_sets_of_one_stream", "sampling::test_known_answers"],
    "SAM-51": ["sampling::test_a_set_is_one_stratum_without_repeats_and_a_function_of_its_number"],
    "SAM-52": ["sampling::test_independent_sets_fit_the_masses_and_all_pairs_of_cells"],
    "SAM-53": ["sampling::test_windows_of_stratified_sets_hold_their_shares_and_so_do_their_lanes"],
    "SAM-54": ["sampling::test_an_epoch_of_sets_has_every_cell_exactly_once"],
    "SAM-55": ["torch::test_a_pass_over_an_epoch_has_every_cell_once_over_ranks"],
    "SAM-56": ["sampling::test_controls_of_sets_are_all_equally_often"],
    "SAM-57": ["sampling::test_a_state_says_what_its_sets_are"],
    "SAM-58": ["torch::test_combinations_of_by_have_equal_shares_and_plates_of_one_their_cells"],
    "NBR-7": ["neighbours::test_other_cells_are_refused"],
    "NBR-10": ["neighbours::test_a_graph_over_the_rows_of_a_store"],
    "NBR-11": ["neighbours::test_the_nearest_of_a_sparse_graph", "neighbours::test_the_nearest_of_a_dense_graph"],
    "NBR-12": ["neighbours::test_sources_that_do_not_fit_are_refused"],
    "NBR-13": ["neighbours::test_opening_reads_the_manifest_alone"],
    "NBR-14": ["loading::test_sums_are_exact"],
    "NBR-15": ["torch::test_a_split_does_not_see_another"],
    "INT-1": ["conversion::test_lines_of_a_digest", "conversion::test_digests_in_the_manifest_are_those_of_the_files"],
    "INT-7": ["tables::test_a_table_in_a_store"],
    "INT-8": ["conversion::test_bytes_are_durable_before_the_store_appears"],
    "INT-9": ["conversion::test_many_races_for_one_destination"],
    "INT-10": ["tables::test_a_second_table_and_a_taken_name"],
    "INT-11": ["tables::test_a_table_in_a_store"],
    "INT-12": ["conversion::test_overwrite_replaces_on_success_only"],
    "INT-14": ["tables::test_a_table_in_a_store"],
    "VER-8": ["conformance::test_features_that_this_release_writes"],
    "VER-9": ["neighbours::test_a_feature_that_nobody_knows_is_not_broken"],
    "VER-11": ["conformance::test_features_that_this_release_writes"],
    "CNF-6": ["validation::test_good_store_of_other_options", "validation::test_real_files"],
}
"""Tests of the package, as directory and name, of statements that no store can show."""

UNTESTABLE = {
    "PRT-6": "what a writer does not do between two roots; this release writes no second part",
    "INT-6": "a permission, and what documentation has to say",
    "VER-3": "holds from version 1.0 on",
    "VER-6": "binds later versions of this specification",
}


@cache
def _definitions(folder: str) -> dict[str, list[str]]:
    """Files that define each test of a directory."""
    out: dict[str, list[str]] = {}
    for path in sorted((REPOSITORY / "tests" / folder).glob("test_*.py")):
        for name in re.findall(r"^def (test_\w+)", path.read_text("utf-8"), re.MULTILINE):
            out.setdefault(name, []).append(path.relative_to(REPOSITORY).as_posix())
    return out


def located(test: str) -> list[str]:
    """Names of a test as pytest has them.

    Raises
    ------
    ValueError
        There is no such test.
    """
    folder, _, name = test.partition("::")
    files = _definitions(folder).get(name, [])
    if not files:
        raise ValueError(f"tests/{folder} has no {name}")
    return [f"{file}::{name}" for file in files]


def coverage(requirements: list[dict[str, Any]], cases: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what ``coverage.json`` holds.

    Raises
    ------
    ValueError
        A statement has neither a case nor a test nor a reason, or one is listed for no purpose.
    """
    by_id: dict[str, list[str]] = {}
    for case in cases:
        for requirement in case["requirements"]:
            by_id.setdefault(requirement, []).append(case["id"])
    ids = [r["id"] for r in requirements]
    unknown = sorted((by_id.keys() | TESTS.keys() | UNTESTABLE.keys() | ALL.keys()) - set(ids))
    if unknown:
        raise ValueError(f"not in requirements.json: {', '.join(unknown)}")
    out: dict[str, Any] = {}
    for name in ids:
        entry: dict[str, Any] = {}
        if name in by_id:
            entry |= {"cases": by_id[name][:MOST], "n_cases": len(by_id[name])}
        if name in ALL:
            entry["all"] = ALL[name]
        if name in TESTS:
            entry["tests"] = [place for test in TESTS[name] for place in located(test)]
        if name in UNTESTABLE:
            if entry:
                raise ValueError(f"{name} is said to be untestable, but it is tested")
            entry["untestable"] = UNTESTABLE[name]
        if not entry:
            raise ValueError(f"{name} has no case, no test, and no reason for that")
        out[name] = entry
    return out


def coverage_of_kit(cases: bytes) -> dict[str, Any]:
    """Return the coverage by the cases of a ``cases.json``."""
    requirements = json.loads((REPOSITORY / "spec" / "requirements.json").read_text("utf-8"))
    return coverage(requirements, json.loads(cases)["cases"])
