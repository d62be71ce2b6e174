"""Node with zarrita.js, installed once for each version of tools/interop, and the Python twin of its script."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import node_packages
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

TOOL = Path(__file__).resolve().parents[2] / "tools" / "interop"
FILES = (".npmrc", "crc32c.mjs", "package-lock.json", "package.json", "read.mjs")

Reading = dict[str, Any]
"""What a reader says of an array: path, dtype, shape, chunk, fill and sha256, or path and error."""


@pytest.fixture(scope="session")
def interop() -> ModuleType:
    """Module ``tools/interop/read.py``."""
    found = importlib.util.spec_from_file_location("interop_read", TOOL / "read.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module  # dataclasses look their module up
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def read(interop: ModuleType, zarrita: Callable[[Path], list[Reading]]) -> Callable[[Path], dict[str, list[Reading]]]:
    """Function that reads a store with each of the four."""

    def run(store: Path) -> dict[str, list[Reading]]:
        python = {library: list(interop.read_store(library, store)) for library in interop.LIBRARIES}
        return {**python, "zarrita": zarrita(store)}

    return run


@pytest.fixture(scope="session")
def zarrita(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Path], list[Reading]]:
    """Function that reads a store with zarrita.js."""
    node, npm = node_packages.find_node()
    digest = hashlib.sha256()
    for name in FILES:
        digest.update((TOOL / name).read_bytes())
    cache = getattr(request.config, "cache", None)
    above = cache.mkdir("interop") if cache is not None else tmp_path_factory.mktemp("interop")
    place = above / digest.hexdigest()[:16]
    if not place.is_dir():
        _install(node, npm, place)

    def run(store: Path) -> list[Reading]:
        done = subprocess.run([node, place / "read.mjs", store], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


def _install(node: Path, npm: list[str | Path], place: Path) -> None:
    """Install the locked packages beside a copy of the script; a process that comes second keeps the first's."""
    scratch = Path(tempfile.mkdtemp(dir=place.parent))
    try:
        for name in FILES:
            shutil.copyfile(TOOL / name, scratch / name)
        options = ["--ignore-scripts", "--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-timeout=60000"]
        env = node_packages.environment(node)
        command = [*npm, "ci", *options]
        done = subprocess.run(command, cwd=scratch, env=env, capture_output=True, text=True, check=False)
        lost = node_packages.UNREACHABLE.search(done.stderr)
        if done.returncode != 0 and lost:
            node_packages.cannot(f"the npm registry cannot be reached ({lost[1]})")
        assert done.returncode == 0, done.stderr
        try:
            scratch.rename(place)
        except OSError:
            if not place.is_dir():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
