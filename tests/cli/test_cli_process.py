"""The command as a process: signals, pipes, full disks, terminals."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


def heed_interrupts() -> None:
    """Undo what a shell does to its background jobs: they are born with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for(condition: object, *, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def long_work(command: list[str], environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file whose conversion takes seconds."""
    place = tmp_path_factory.mktemp("long")
    subprocess.run(
        [*command, "simulate", place, "--cells", "15000", "--studies", "1"],
        check=True, capture_output=True, env=environment,
    )  # fmt: skip
    return place / "study_01.h5ad"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_conversion_leaves_nothing(
    command: list[str], environment: dict[str, str], long_work: Path, tmp_path: Path, number: signal.Signals
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    process = subprocess.Popen(
        [*command, "convert", long_work, work / "atlas.cells", "--jobs", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        preexec_fn=heed_interrupts,  # noqa: PLW1509 - this process has no threads of its own
    )  # fmt: skip
    wait_for(lambda: any(work.iterdir()) or process.poll() is not None)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "interrupted\n")
    assert not list(work.iterdir())


@pytest.mark.parametrize("module", ["scformat.cli", "typer", "scformat.cli.validate"])
def test_an_interrupt_while_the_command_is_imported_is_one_line(environment: dict[str, str], module: str) -> None:
    code = (
        "import os, runpy, signal, sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "sys.argv = ['scformat', '--version']\n"
        "runpy.run_module('scformat', run_name='__main__', alter_sys=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_a_closed_pipe_is_no_failure(command: list[str], environment: dict[str, str], store: Path) -> None:
    line = f"set -o pipefail; {' '.join(command)} head {store} -n 400 | head -n 1; echo $?"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True, env=environment)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "0"


def test_a_pipe_that_nobody_reads_is_no_failure(command: list[str], environment: dict[str, str], store: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*command, "info", str(store)], stdout=writer, stderr=subprocess.PIPE, text=True, check=False, env=environment
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [["--version"], ["info"]])
def test_a_full_disk_is_status_3(
    command: list[str], environment: dict[str, str], store: Path, arguments: list[str]
) -> None:
    more = [str(store)] if arguments == ["info"] else []
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*command, *arguments, *more], stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=environment
        )
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "No space left" in done.stderr


def on_terminal(arguments: list[str], base: dict[str, str], **environment: str) -> tuple[int, str, str]:
    """Run with stderr on a terminal; return the status, stdout and what the terminal got."""
    terminal, stderr = pty.openpty()
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=stderr, stdin=subprocess.DEVNULL, env=base | environment
    )
    os.close(stderr)
    shown = b""
    while True:
        ready, _, _ = select.select([terminal], [], [], 60)
        assert ready, "it says nothing for a minute"
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(terminal)
    out, _ = process.communicate(timeout=60)
    return process.returncode, out.decode(), shown.decode()


def test_a_terminal_gets_bars_and_stdout_only_data(
    command: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    arguments = [*command, "simulate", str(tmp_path / "a"), "--cells", "300", "--studies", "1", "--genes", "500"]
    status, out, shown = on_terminal(arguments, environment, TERM="xterm-256color")
    assert status == 0
    assert out == f"{tmp_path}/a/study_01.h5ad\n"
    assert "simulate" in shown
    assert "\x1b[" in shown


def test_no_color_and_dumb_terminals_are_honoured(
    command: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    arguments = [*command, "simulate", str(tmp_path / "a"), "--cells", "300", "--studies", "1", "--genes", "500"]
    status, _, shown = on_terminal(arguments, environment, TERM="xterm-256color", NO_COLOR="1")
    assert status == 0
    assert "\x1b[38" not in shown
    assert "\x1b[3" not in shown.replace("\x1b[3A", "")
    arguments[len(command) + 1] = str(tmp_path / "b")
    status, _, shown = on_terminal(arguments, environment, TERM="dumb")
    assert (status, shown) == (0, "")


def test_elsewhere_a_short_run_says_nothing_on_the_way(
    command: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(
        [*command, "simulate", tmp_path / "a", "--cells", "300", "--studies", "1", "--genes", "500"],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    assert done.stderr == ""


def test_an_interrupt_while_text_is_executed_ends_with_a_status(environment: dict[str, str], tmp_path: Path) -> None:
    """As a module, Python would end by the signal itself: -2 instead of 130."""
    (tmp_path / "interrupted.py").write_text(
        "import sys, scformat.cli\n"
        "def run():\n"
        "    try:\n"
        "        exec('raise KeyboardInterrupt')\n"
        "    except KeyboardInterrupt:\n"
        "        return 130\n"
        "scformat.cli.main = run\n"
        "from scformat.__main__ import main\n"
        "sys.exit(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "interrupted"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (130, "")
