"""The genes of a batch: which genes of the store, in which order."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4
from weakref import WeakValueDictionary

import numpy as np

from scformat.blobs import system_errors
from scformat.errors import StorageError, UsageError, unknown_name
from scformat.genes.organisms import organism_taxon

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from scformat.store import Store

PROTEIN_CODING = "protein_coding"

_KNOWN: WeakValueDictionary[str, Columns] = WeakValueDictionary()
"""Those of this process, so that a batch from a worker finds its genes here instead of bringing them along."""


@dataclass(frozen=True, eq=False)
class Columns:
    """The genes of a batch.

    Attributes
    ----------
    chosen
        The :attr:`table`; None: all genes of the store, whose table is made when somebody asks for it.
    gene : int64 array, shape (n,)
        Place in the gene index of the store, -1 for a gene it does not have.
    store
    whole
        All genes of the store in its order.
    key
        The same in every process that this object was handed on to.
    """

    chosen: pd.DataFrame | None
    gene: NDArray[np.int64]
    store: Store
    whole: bool
    key: str = field(default_factory=lambda: uuid4().hex)

    def __post_init__(self) -> None:
        _KNOWN[self.key] = self

    def __len__(self) -> int:
        return len(self.gene)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a column of a batch.

        Indexed by gene id: ``symbol``, ``taxon``, ``biotype``, and ``found``, whether the store has the gene at all.
        """
        return self.store.genes.drop(columns="resolved").assign(found=True) if self.chosen is None else self.chosen

    @property
    def n_packed(self) -> int:
        """Numbers that genes have in packed rows."""
        packed = self.store.packed_genes
        return self.store.n_genes if packed is None else len(packed)

    def column_of_gene(self) -> NDArray[np.int32] | None:
        """Return the column of each gene of packed rows, -1 for those left out; None for all of them in their order."""
        packed = self.store.packed_genes
        if self.whole and packed is None:
            return None
        out = np.full(self.store.n_genes, -1, np.int32)
        held = self.gene >= 0
        out[self.gene[held]] = np.flatnonzero(held)
        return out if packed is None else out[packed]

    @cached_property
    def measured(self) -> NDArray[np.bool_]:
        """Which columns each source measured; bool, shape (n_sources, n)."""
        view = self.store.sources_view
        everything = view.measured(np.arange(len(view.records)))
        return everything if self.whole else everything[:, self.gene] & (self.gene >= 0)


def known_columns(key: str) -> Columns | None:
    """Return the genes of a key, None where this process does not have them."""
    return _KNOWN.get(key)


def choose_genes(
    store: Store, genes: Sequence[str] | str | os.PathLike[str] | None = None, *, organism: str | None = None
) -> Columns:
    """Choose the genes of batches.

    Parameters
    ----------
    genes
        Ids in the order wanted; a file with one id a line (the first of its columns, divided by tabs or commas);
        ``protein_coding``; None: all. Ids that the store does not have are kept, and are zero in every cell.
    organism
        Genes of this organism alone.

    Raises
    ------
    UsageError
        ``repeated-gene``, ``empty-gene-list``, ``bad-gene-list``; ``no-such-genes``: not one of them is in the store.
    UnknownNameError
        ``unknown-gene-list``: neither ``protein_coding`` nor a file.
    """
    wanted = _wanted(genes)
    if wanted is None and organism is None and genes is None:
        return Columns(None, np.arange(store.n_genes), store, whole=True)
    frame = store.genes
    allowed = np.ones(len(frame), np.bool_)
    if organism is not None:
        allowed &= (frame["taxon"] == organism_taxon(organism)).to_numpy()
    if wanted is None:
        if genes is not None:
            allowed &= (frame["biotype"] == PROTEIN_CODING).to_numpy()
        places = np.flatnonzero(allowed)
        table = frame.iloc[places]
        if not len(places):
            raise UsageError("no-such-genes", "the store has no such genes", where=store.path, found=genes or organism)
        return Columns(table.drop(columns="resolved").assign(found=True), places, store, whole=False)
    place_of = {name: i for i, name in zip(np.flatnonzero(allowed).tolist(), frame.index[allowed], strict=True)}
    gene = np.array([place_of.get(name, -1) for name in wanted], np.int64)
    if not (gene >= 0).any():
        raise _no_such_genes(store, wanted, frame[allowed])
    table = frame.drop(columns="resolved").iloc[np.maximum(gene, 0)].set_axis(wanted, axis=0).rename_axis("id")
    absent = gene < 0
    table.loc[absent, ["symbol", "biotype"]] = ""
    table.loc[absent, "taxon"] = 0
    return Columns(table.assign(found=~absent), gene, store, whole=False)


def _wanted(genes: Sequence[str] | str | os.PathLike[str] | None) -> list[str] | None:
    """Return the ids that are listed, None where no list is given."""
    if genes is None or (isinstance(genes, str) and genes == PROTEIN_CODING):
        return None
    ids = _listed(genes) if isinstance(genes, str | os.PathLike) else [str(name) for name in genes]
    if not ids:
        raise UsageError("empty-gene-list", "the gene list is empty", hint="name one gene a line")
    seen: set[str] = set()
    for name in ids:
        if name in seen:
            raise UsageError("repeated-gene", "a gene is listed twice", found=repr(name))
        seen.add(name)
    return ids


def _listed(given: str | os.PathLike[str]) -> list[str]:
    """Read the first column of a file."""
    path = Path(given).expanduser()
    if not path.is_file():
        if isinstance(given, str):
            raise unknown_name("gene list", given, [PROTEIN_CODING])
        raise StorageError("not-found", "there is no such file", where=path)
    with system_errors(path):
        data = path.read_bytes()
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError("bad-gene-list", "not a list of genes", where=path, found=error) from None
    names = [re.split(r"[\t,]", line)[0].strip() for line in lines]
    return [name for name in names if name and not name.startswith("#")]


def _no_such_genes(store: Store, wanted: Sequence[str], genes: pd.DataFrame) -> UsageError:
    by_symbol = dict(zip(genes["symbol"], genes.index, strict=True))
    symbol = next((name for name in wanted if name in by_symbol), None)
    if symbol is None:
        hint = unknown_name("gene", wanted[0], genes.index).hint
    else:
        hint = f"genes are listed by id, not by symbol: {symbol} is {by_symbol[symbol]}; see store.genes"
    return UsageError(
        "no-such-genes", "the store has none of these genes", where=store.path, found=symbol or wanted[0], hint=hint
    )
