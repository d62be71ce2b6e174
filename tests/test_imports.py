"""Imports have no side effects, and heavy libraries wait until they are needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "scformat"
MODULES = sorted(
    path.stem
    for path in PACKAGE.iterdir()
    if (path.suffix == ".py" or (path / "__init__.py").is_file()) and not path.stem.startswith("_")
)
OPTIONAL = ("torch", "lightning", "dask", "matplotlib", "cellxgene_ontology_guide")


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_alone_and_leaves_the_process_as_it_was(module: str) -> None:
    printed = python(
        "import os, sys, signal, threading, random\n"
        "before = dict(os.environ), os.getcwd(), random.getstate(), signal.getsignal(signal.SIGTERM)\n"
        f"import scformat.{module}\n"
        "assert before == (dict(os.environ), os.getcwd(), random.getstate(), signal.getsignal(signal.SIGTERM))\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
        f"print(*(name for name in {OPTIONAL} if name in sys.modules))\n"
    )
    assert printed == "\n", "an optional dependency was imported"


def test_the_package_itself_loads_nothing_heavy() -> None:
    heavy = ("numpy", "pandas", "scipy", "anndata", "zarr", "h5py", "numba", "tensorstore", "pydantic", *OPTIONAL)
    printed = python(f"import sys, scformat\nprint(*(name for name in {heavy} if name in sys.modules))")
    assert printed == "\n"


def test_the_version_and_help_of_the_command_load_nothing_heavy() -> None:
    heavy = ("numpy", "pandas", "scipy", "anndata", "zarr", "h5py", "numba", "tensorstore", *OPTIONAL)
    for arguments in (["--version"], ["convert", "--help"]):
        printed = python(
            "import sys\nfrom scformat.cli import main\n"
            f"assert main({arguments}) == 0\nprint('loaded:', *(name for name in {heavy} if name in sys.modules))"
        )
        assert printed.splitlines()[-1] == "loaded:"
