"""``scformat report``, as a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]


def test_a_page_is_written_where_it_is_asked_for(run: Run, store: Path, tmp_path: Path) -> None:
    done = run("report", store, "-o", tmp_path / "a.html", "--table", "cell_type:balanced")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr == f"wrote {tmp_path / 'a.html'}\n"
    text = (tmp_path / "a.html").read_text("utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert text.endswith("</html>\n")
    assert "cell_type:balanced" in text
    again = run("report", store, "-o", tmp_path / "a.html")
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert "[destination-exists]" in again.stderr
    assert run("report", store, "-o", tmp_path / "a.html", "--overwrite").returncode == 0
    by_default = run("report", store, cwd=tmp_path)
    assert by_default.returncode == 0, by_default.stderr
    assert (tmp_path / "report.html").read_bytes() == (tmp_path / "a.html").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (("--table", "cell_typ:balanced"), 2, "unknown-label"),
        (("--table", "ct"), 2, "unknown-table"),
        (("-o", "no/such/place.html"), 3, "no-directory"),
        (("--tabel", "ct"), 2, "usage"),
    ],
)
def test_what_is_refused(
    run: Run, store: Path, tmp_path: Path, arguments: tuple[str, ...], status: int, code: str
) -> None:
    done = run("report", store, *arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (status, 1), done.stderr
    assert f"[{code}]" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_no_store(run: Run, tmp_path: Path) -> None:
    done = run("report", tmp_path / "nothing.cells", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "[no-store]" in done.stderr
