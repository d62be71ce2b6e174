"""The parts of the command line that need no process: failures, progress, tables, lists."""

from __future__ import annotations

import errno

import pytest
import typer

from scformat.cli.failures import exit_status
from scformat.cli.output import describe_size
from scformat.cli.parameters import names
from scformat.cli.progress import line_reporter
from scformat.cli.tables import format_table, format_value
from scformat.errors import (
    InvalidDataError,
    MissingExtraError,
    ScformatError,
    StorageError,
    UnsupportedError,
    UsageError,
    missing_extra,
)


def raising(error: BaseException) -> int:
    raise error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidDataError("bad", "damaged"), 1),
        (UsageError("bad", "wrong"), 2),
        (StorageError("bad", "unreadable"), 3),
        (missing_extra("ontology", needed_for="the column cell_type_ontology_term_id"), 3),
        (UnsupportedError("bad", "too new"), 4),
        (ScformatError("bad", "other"), 1),
        (MissingExtraError("bad", "absent"), 3),
        (FileNotFoundError(errno.ENOENT, "No such file", "a b.tsv"), 3),
        (OSError(errno.ENOSPC, "No space left on device", "/full"), 3),
        (OSError("bare"), 3),
        (KeyboardInterrupt(), 130),
        (typer.BadParameter("wrong"), 2),
        (typer.Exit(4), 4),
        (ZeroDivisionError("two\nlines"), 1),
    ],
)
def test_every_failure_has_its_status_and_one_line(
    error: BaseException, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_status(lambda: raising(error), debug=False) == status
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == (0 if isinstance(error, typer.Exit) else 1)
    if isinstance(error, (ScformatError, OSError)):
        assert str(error.filename if isinstance(error, FileNotFoundError) else error.args[-1]) in printed.err


def test_out_of_memory_says_what_to_give_less_of(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(lambda: len(bytearray(1 << 62)), debug=False) == 3
    assert "--memory" in capsys.readouterr().err


def test_an_unexpected_failure_points_to_debug(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(lambda: 1 // 0, debug=False) == 1
    assert capsys.readouterr().err.startswith("internal error: ZeroDivisionError: ")
    assert exit_status(lambda: 1 // 0, debug=True) == 1
    assert "Traceback" in capsys.readouterr().err


def test_progress_writes_a_line_an_interval() -> None:
    now = 0.0
    lines: list[str] = []
    report = line_reporter(write=lines.append, clock=lambda: now, interval=10)
    for step in range(36):
        now = float(step)
        report("cells", step * 1000, 35_000)
    assert lines == [
        "cells: 10,000 of 35,000 (28%)",
        "cells: 20,000 of 35,000 (57%)",
        "cells: 30,000 of 35,000 (85%)",
    ]
    now = 50
    report("scan", 5, 0)
    assert lines[-1] == "scan: 5"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        ([], None),
        (["cell_type"], ["cell_type"]),
        (["A, B", "C"], ["A", "B", "C"]),
        (['"cell, type",B'], ["cell, type", "B"]),
    ],
)
def test_lists_are_divided_by_commas(given: list[str] | None, expected: list[str] | None) -> None:
    assert names(given, "--labels") == expected


@pytest.mark.parametrize("given", ["", "A,", ",A", "A,,B", " "])
def test_an_empty_name_in_a_list_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match="--labels"):
        names([given], "--labels")


@pytest.mark.parametrize(
    ("n_bytes", "expected"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_600, "1 MB"), (4_201_330, "4.2 MB"), (5 * 10**12, "5 TB")],
)
def test_sizes(n_bytes: int, expected: str) -> None:
    assert describe_size(n_bytes) == expected


def test_values_are_one_line_each() -> None:
    assert format_value(1234567) == "1,234,567"
    assert format_value(9606, name="taxon") == "9606"
    assert format_value(2_000_000, name="bytes") == "2 MB"
    assert format_value(value=True) == "yes"
    assert format_value(None) == format_value([]) == format_value("") == "-"
    assert format_value("two\nlines") == "'two\\nlines'"
    assert format_value(list(range(9))) == "0, 1, 2, 3, 4, 5, and 3 more"
    assert format_value([{"taxon": 9606, "name": "a"}, {"taxon": 1}]) == "taxon 9606, name a; taxon 1"


def test_tables_align_numbers_to_the_right_and_take_markup_as_text() -> None:
    text = format_table(["name", "cells"], [["[red]a[/red]", 5], ["b", 1200]])
    assert text.splitlines() == ["name          cells", "[red]a[/red]      5", "b             1,200"]
    assert format_table(["name"], []).splitlines() == ["name"]
