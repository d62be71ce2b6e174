"""Real files and the shipped references for the tests of genes."""

from __future__ import annotations

import functools
import warnings
from typing import TYPE_CHECKING

import pytest

from scformat.genes import GeneMap, Reference, load_all, resolve
from scformat.strings import Strings

from .genes_small import categorical, strings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd


@pytest.fixture(scope="session")
def references() -> dict[int, Reference]:
    return load_all()


@pytest.fixture(scope="session")
def read_var(shared_data: Path) -> Callable[[str], pd.DataFrame]:
    anndata = pytest.importorskip("anndata")

    def read(name: str) -> pd.DataFrame:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old files are read with warnings of anndata's
            data = anndata.read_h5ad(shared_data / f"{name}.h5ad", backed="r")
        try:
            var: pd.DataFrame = data.var.copy()
            return var
        finally:
            data.file.close()

    return functools.cache(read)


@pytest.fixture(scope="session")
def resolve_file(read_var: Callable[[str], pd.DataFrame], references: dict[int, Reference]) -> Callable[..., GeneMap]:
    def resolved(name: str, organism: int | None = None) -> GeneMap:
        var = read_var(name)
        columns = {
            str(c): categorical(var[c].tolist())
            if var[c].dtype.name == "category"
            else strings(var[c].astype(str).tolist())
            for c in var.columns
            if var[c].dtype.name in ("category", "object", "str")
        }
        return resolve(
            index=Strings.of(var.index), columns=columns, references=references, organism=organism, source=name
        )

    return resolved
