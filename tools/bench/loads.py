"""What the loading bench measures: rows of systems with their settings, and the stores that these read.

A row draws cells alike (``uniform``) or with equal shares of the classes (``balanced``); the randomness of its batches
is set beside independent draws of that distribution.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tools.bench.peers import Row

_TORCH = ("torch==2.13.0",)
_REPORTED = ("torch", "anndata", "h5py", "zarr", "numpy", "scipy")
HELD = 16_384
"""Cells that annbatch holds and shuffles at once, whatever the length of a run: its default, 32 runs of 512 cells."""


@dataclass(frozen=True, kw_only=True)
class Store:
    """Something that rows read.

    Attributes
    ----------
    name
        Given to ``--stores``.
    row
        Whose environment and adapter make it, with its settings.
    sources
        ``sources``: made of the h5ad files; ``merged``: of the one file that has all of their cells.
    """

    name: str
    row: Row
    sources: str


@dataclass(frozen=True, kw_only=True)
class Load:
    """A line of the result.

    Attributes
    ----------
    row
        The system with its settings.
    group
        Given to ``--peers``; ``scformat`` for this package.
    store
        Name of what it reads.
    draws
        ``uniform`` or ``balanced``.
    output
        ``csr`` or ``dense``.
    limit
        Of a row of this package: the same with the stages measured alone.
    """

    row: Row
    group: str
    store: str
    draws: str
    output: str
    limit: Row | None = None


_OWN = Row(
    name="scformat",
    what="cell store, stratified by cell_type",
    adapter="load_scformat.py",
    settings={"arguments": ["--order", "stratified", "--stratify-by", "cell_type"]},
    reported=("scformat", "torch", "numba", "numcodecs", "tensorstore", "numpy"),
)
_MERGED = replace(
    _OWN,
    name="merged",
    what="one h5ad, uncompressed and contiguous",
    adapter="merge_h5ad.py",
    settings={},
    suffix=".h5ad",
)
_ANNBATCH = Row(
    name="annbatch",
    what="",
    adapter="load_annbatch.py",
    requirements=("annbatch[zarrs]==0.3.1",),
    before=_TORCH,
    home="annbatch-torch",
    python=(3, 12),
    reported=("annbatch", "zarrs", *_REPORTED),
)
_SCDATASET = Row(
    name="scdataset",
    what="",
    adapter="load_scdataset.py",
    requirements=("scdataset==0.3.0", "anndata", "h5py"),
    before=_TORCH,
    reported=("scdataset", *_REPORTED),
)
_SCDL = Row(
    name="scdl",
    what="",
    adapter="load_scdl.py",
    requirements=("bionemo-scdl==0.1.3",),
    before=_TORCH,
    reported=("bionemo-scdl", *_REPORTED),
)
_SLAF = Row(
    name="slaf",
    what="",
    adapter="load_slaf.py",
    requirements=("slafdb==0.5.2", "psutil"),
    before=_TORCH,
    home="slafdb-torch",
    reported=("slafdb", "pylance", "polars", *_REPORTED),
)
_SOMA = Row(
    name="soma",
    what="",
    adapter="load_soma.py",
    requirements=("tiledbsoma-ml==0.1.0",),
    before=_TORCH,
    reported=("tiledbsoma-ml", "tiledbsoma", *_REPORTED),
)
_LAMIN = Row(
    name="lamindb",
    what="",
    adapter="load_mapped.py",
    requirements=("lamindb==2.12.1",),
    before=_TORCH,
    reported=("lamindb", *_REPORTED),
)
_SCDATALOADER = Row(
    name="scdataloader",
    what="",
    adapter="load_scdataloader.py",
    requirements=("scdataloader==2.1.3", "pyarrow<21"),
    before=_TORCH,
    reported=("scdataloader", "lamindb", "pyarrow", *_REPORTED),
)


def stores(*, dataset_size: str) -> dict[str, Store]:
    """Return what rows read, by name; `dataset_size` is what annbatch shuffles in memory."""
    sized = {"dataset_size": dataset_size}
    made = (
        Store(name="cells", row=_OWN, sources="sources"),
        Store(name="merged", row=_MERGED, sources="sources"),
        Store(name="annbatch", row=replace(_ANNBATCH, settings=sized), sources="sources"),
        Store(
            name="annbatch-grouped",
            row=replace(_ANNBATCH, settings={**sized, "groupby": "cell_type"}),
            sources="merged",
        ),
        Store(name="scdl", row=_SCDL, sources="merged"),
        Store(name="slaf", row=_SLAF, sources="merged"),
        Store(name="soma", row=_SOMA, sources="merged"),
    )
    return {store.name: store for store in made}


def loads() -> list[Load]:
    """All rows, in the order of the table."""
    return [*_own(), *_annbatch(), *_scdl(), *_scdataset(), *_others()]


def _own() -> list[Load]:
    plans = (
        ("stratified", "stratified", "cell_type:balanced", "balanced, mixed classes, every cell of a class in turn"),
        ("independent", "independent", "cell_type:balanced", "balanced, every draw independent"),
        ("uniform", "independent", None, "truly random: every draw independent, all cells alike"),
        ("epoch", "epoch", None, "every cell once, blocks of 64"),
    )
    rows = []
    for name, plan, table, what in plans:
        for output in ("csr", "dense"):
            settings = {"plan": plan, "table": table, "output": output}
            row = replace(_OWN, name=f"scformat {name}, {output}", what=what, settings=settings)
            limit = replace(row, name=f"limit {name}, {output}", settings={**settings, "limit": True})
            draws = "balanced" if table else "uniform"
            rows.append(Load(row=row, group="scformat", store="cells", draws=draws, output=output, limit=limit))
    return rows


def _annbatch() -> list[Load]:
    cases = [(False, 512, False), (False, 32, False), (False, 1, False)]
    cases += [(True, 32, False), (True, 32, True), (True, 1, False)]
    return [
        Load(
            row=replace(
                _ANNBATCH,
                name=f"annbatch {'weighted' if weighted else 'random'}, runs of {run}"
                f"{', short classes left out' if leave_out else ''}, {output}",
                what=f"{'WeightedClassSampler' if weighted else 'RandomSampler'}, {HELD:,} cells held",
                settings={"run": run, "held": HELD, "weighted": weighted, "leave_out": leave_out, "output": output},
            ),
            group="annbatch",
            store="annbatch-grouped" if weighted else "annbatch",
            draws="balanced" if weighted else "uniform",
            output=output,
        )
        for weighted, run, leave_out in cases
        for output in ("csr", "dense")
    ]


def _scdl() -> list[Load]:
    kinds = [("rows", weighted, output) for weighted in (False, True) for output in ("csr", "dense")]
    return [
        Load(
            row=replace(
                _SCDL,
                name=f"SCDL {'weighted' if weighted else 'random'}, {loader}, {output}",
                what="get_row and one concatenation" if loader == "rows" else "DataLoader with its collate function",
                settings={"loader": loader, "weighted": weighted, "output": output},
            ),
            group="scdl",
            store="scdl",
            draws="balanced" if weighted else "uniform",
            output=output,
        )
        for loader, weighted, output in [*kinds, ("documented", False, "csr")]
    ]


def _scdataset() -> list[Load]:
    cases = ((16, 0, "csr"), (16, 2, "csr"), (1, 0, "csr"), (16, 0, "dense"))
    return [
        Load(
            row=replace(
                _SCDATASET,
                name=f"scDataset class-balanced, block {block}{f', {workers} workers' if workers else ''}, {output}",
                what="ClassBalancedSampling, fetch_factor 64, uncompressed h5ad",
                settings={"block": block, "fetch": 64, "workers": workers, "output": output},
            ),
            group="scdataset",
            store="merged",
            draws="balanced",
            output=output,
        )
        for block, workers, output in cases
    ]


def _others() -> list[Load]:
    rows = [
        Load(
            row=replace(
                _OWN, name=f"h5py rows, {output}", what="one thread, uncompressed h5ad", adapter="load_h5py.py",
                settings={"output": output}, reported=("h5py", "numpy", "scipy"),
            ),
            group="h5py", store="merged", draws="uniform", output=output,
        )
        for output in ("csr", "dense")
    ]  # fmt: skip
    rows += [
        Load(
            row=replace(
                _SLAF, name=f"SLAF raw, {output}", what="mixture of scanners, its defaults", settings={"output": output}
            ),
            group="slaf", store="slaf", draws="uniform", output=output,
        )
        for output in ("csr", "dense")
    ]  # fmt: skip
    soma = {"run": 64, "io": 65_536, "output": "csr"}
    rows.append(
        Load(
            row=replace(_SOMA, name="TileDB-SOMA-ML shuffled, runs of 64, csr", what="its defaults", settings=soma),
            group="soma", store="soma", draws="uniform", output="csr",
        )
    )  # fmt: skip
    rows += [
        Load(
            row=replace(
                _LAMIN, name=f"lamindb MappedCollection weighted, {workers} workers, dense",
                what="get_label_weights, uncompressed h5ad", settings={"workers": workers},
            ),
            group="lamindb", store="merged", draws="balanced", output="dense",
        )
        for workers in (0, 2)
    ]  # fmt: skip
    rows += [
        Load(
            row=replace(
                _SCDATALOADER, name=f"scDataLoader weighted, {workers} workers, dense",
                what="LabelWeightedSampler, uncompressed h5ad, with shims", settings={"workers": workers},
            ),
            group="scdataloader", store="merged", draws="balanced", output="dense",
        )
        for workers in (0, 2)
    ]  # fmt: skip
    return rows
