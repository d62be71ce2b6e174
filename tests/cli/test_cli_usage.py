"""Wrong command lines: one line on stderr, nothing on stdout, status 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]

USAGE = [
    ([], "missing command"),
    (["infoo", "x"], "Did you mean 'info'?"),
    (["zzz"], "one of convert, append, vacuum, info, head, validate, export, report,"),
    (["--bogus"], "no such option: --bogus"),
    (["info"], "missing argument 'STORE'"),
    (["info", "a", "b"], "unexpected extra argument"),
    (["info", "x", "--json=False"], "does not take a value"),
    (["head", "x", "-n", "0"], "'-n'"),
    (["head", "x", "-n", "many"], "'-n'"),
    (["validate", "x", "--level", "5"], "'--level'"),
    (["simulate"], "missing argument 'DIR'"),
    (["simulate", "x", "--cells", "0"], "--cells"),
    (["simulate", "x", "--compression", "lz"], "gzip or none"),
    (["convert"], "missing argument 'DST'"),
    (["convert", "x.cells"], "there is no source"),
    (["convert", "--ordr", "source", "a.h5ad", "x.cells"], "--order"),
    (["convert", "a.h5ad", "b.h5ad"], "the last argument is the store"),
    (["convert", "a.h5ad", "x.cells", "--labels", "A,,B"], "--labels"),
    (["convert", "a.h5ad", "x.cells", "--json"], "--dry-run"),
    (["convert", "a.h5ad", "x.cells", "--order", "source", "--stratify-by", "A"], "--stratify-by"),
    (["convert", "a.h5ad", "x.cells", "--order", "shufled"], "'shuffled'"),
    (["convert", "a.h5ad", "x.cells", "--on-bad", "skp"], "'skip'"),
    (["convert", "a.h5ad", "x.cells", "--genes", "unoin"], "'union'"),
    (["convert", "a.h5ad", "x.cells", "--counts", "layer/x"], "'layers/NAME'"),
    (["convert", "a.h5ad", "x.cells", "--memory", "lots"], "'lots'"),
    (["convert", "a.h5ad", "x.cells", "--jobs", "0"], "jobs"),
    (["convert", "a.h5ad", "x.cells", "--seed", "-1"], "seed"),
    (["convert", "a.h5ad", "x.cells", "--splits", "train=0.8"], "sum to 1"),
    (["convert", "a.h5ad", "x.cells", "--split-by", "study"], "--splits"),
    (["convert", "a.h5ad", "x.cells", "--where", "cell_type = 'B'"], "=="),
    (["convert", "no-such-*.h5ad", "x.cells"], "matches nothing"),
]


@pytest.mark.parametrize(("arguments", "expected"), USAGE, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_a_wrong_command_line_is_one_line_and_status_2(
    run: Run, tmp_path: Path, arguments: list[str], expected: str
) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")
    assert expected in done.stderr
    assert done.stderr.rstrip().endswith("]"), "the line ends with the code of the error"
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_never_the_destination(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("mine")
    done = run("convert", "a.h5ad", path, "--overwrite")
    assert done.returncode == 2
    assert "destination-is-a-source" in done.stderr
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    "arguments",
    [["info", "no.cells"], ["head", "no.cells"], ["validate", "no.cells"], ["export", "no.cells", "x.h5ad"]],
)
def test_a_store_that_is_not_there_is_status_3(run: Run, tmp_path: Path, arguments: list[str]) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "no.cells" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_source_that_is_not_there_is_status_3(run: Run, tmp_path: Path) -> None:
    done = run("convert", "no.h5ad", "x.cells", cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "no.h5ad" in done.stderr


@pytest.mark.parametrize("where", ["before", "after"])
def test_debug_adds_the_traceback_above_the_line(run: Run, tmp_path: Path, where: str) -> None:
    arguments = ["--debug", "info", "no.cells"] if where == "before" else ["info", "no.cells", "--debug"]
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr.startswith("Traceback")
    assert done.stderr.splitlines()[-1].startswith("error: ")


def test_version_and_help_are_data(run: Run) -> None:
    version = run("--version")
    assert (version.returncode, version.stderr) == (0, "")
    assert version.stdout.startswith("scformat 0.")
    for command in ("convert", "info", "head", "validate", "export", "simulate"):
        described = run(command, "--help")
        assert (described.returncode, described.stderr) == (0, "")
        assert f"Usage: scformat {command} " in described.stdout


def test_help_names_every_command_and_option_of_the_interface(run: Run) -> None:
    commands = run("--help").stdout
    for command in ("convert", "info", "head", "validate", "export", "simulate"):
        assert f"  {command} " in commands
    options = run("convert", "--help").stdout
    for name in (
        *("sources", "counts", "genes", "gene-ids", "organism", "labels", "where", "order", "stratify-by", "splits"),
        *("split-by", "splits-file", "no-ontology", "on-bad", "seed", "jobs", "memory", "overwrite", "dry-run"),
        "debug",
    ):
        assert f"  --{name} " in options
