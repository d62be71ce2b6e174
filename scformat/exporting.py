"""Back to AnnData: a selection over the unified genes, or one source as it was."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.blobs import write_whole
from scformat.errors import InvalidDataError, StorageError, UsageError
from scformat.store.obs import to_pandas, with_categories

if TYPE_CHECKING:
    import anndata
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from scformat.manifest import SourceColumn
    from scformat.store import Store


COUNT_TYPES = frozenset(np.dtype(code).name for code in np.typecodes["AllInteger"] + np.typecodes["Float"] + "?")


def source_anndata(store: Store, name: str, rows: ArrayLike | None = None) -> anndata.AnnData:
    """Return the cells of one source in its own order, with its own genes, names, types and categories.

    Parameters
    ----------
    store
        An open store.
    name
        A name of ``store.sources``.
    rows
        Restrict the cells to these rows of the store; None: all of the source.

    Returns
    -------
    AnnData
        X is CSR in the source's own type. Columns of one gene, whose counts were summed, have the sum in the
        first and nothing in the others; columns that no gene takes are empty.
    """
    import anndata
    import pandas as pd

    number = store.sources_view.number(name)
    record = store.sources_view.records[number]
    chosen = _rows_of_source(store, number, rows)
    genes = store.sources_view.genes(number)
    if record.n_vars != len(genes.names) or record.dtype not in COUNT_TYPES:
        raise InvalidDataError(
            "bad-source-record", "not the columns of the source, or no type of counts", where=f"{store.path}: {name}"
        )
    column_of_gene = np.full(store.n_genes, -1, np.int64)
    taken = np.flatnonzero(genes.gene >= 0)[::-1]
    column_of_gene[genes.gene[taken]] = taken
    counts = store.read(chosen).csr(np.int64)
    columns = column_of_gene[counts.indices]
    if (columns < 0).any():
        raise InvalidDataError(
            "bad-gene", "a count of a gene that its source did not measure", where=f"{store.path}: {name}"
        )
    counts.indices = columns.astype(counts.indices.dtype)
    counts._shape = (len(chosen), record.n_vars)
    counts.sort_indices()
    own = counts.data.astype(record.dtype)
    if (own == counts.data).all():  # the sum of two columns may pass the type that each of them had
        counts.data = own
    every = chosen if rows is None else _rows_of_source(store, number, None)

    def restored(described: SourceColumn) -> pd.Series[Any]:
        whole = store.obs_column(described.name, every)
        values = whole if rows is None else store.obs_column(described.name, chosen)
        return to_pandas(values, with_categories(described, whole))

    obs = pd.DataFrame(
        {c.name: restored(c) for c in record.columns},
        index=pd.RangeIndex(len(chosen)),
        columns=[c.name for c in record.columns],
    ).set_axis(store.barcodes(chosen).to_numpy(), axis=0)
    obs.index.name = record.index_name
    var = pd.DataFrame(index=pd.Index(genes.names.to_numpy(), name=record.var_index_name))
    with warnings.catch_warnings():
        # A source may name two cells alike.
        warnings.filterwarnings("ignore", message=".* names are not unique", category=UserWarning)
        return anndata.AnnData(X=counts, obs=obs, var=var)


def export_store(
    store: Store,
    destination: str | os.PathLike[str],
    *,
    source: str | None = None,
    where: str | None = None,
    rows: ArrayLike | str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write cells as h5ad; see :func:`scformat.export`."""
    target = Path(destination).expanduser()
    if target.exists() and not overwrite:
        raise UsageError("destination-exists", "the destination exists", where=target, hint="choose another")
    if not target.parent.is_dir():
        raise StorageError("no-directory", "there is no such directory", where=target.parent, hint="create it first")
    given = read_row_file(rows) if isinstance(rows, (str, os.PathLike)) else rows
    chosen = None if given is None else store.check_rows(given)
    if where is not None:
        selected = store.select(where)
        chosen = selected if chosen is None else chosen[np.isin(chosen, selected)]
    if chosen is not None and len(chosen) == 0:
        raise InvalidDataError(
            "no-cells", "no cell is selected", where=store.path, found=where or "an empty list of rows"
        )
    data = store.to_anndata(chosen) if source is None else source_anndata(store, source, chosen)
    write_whole(target, _as_h5ad(data))
    return target


def _as_h5ad(data: anndata.AnnData) -> bytes:
    """Return the content of a file, made in memory: on a full disk HDF5 ends the process when it closes a file."""
    import h5py
    from anndata.io import write_elem

    with h5py.File("export", "w", driver="core", backing_store=False) as file:
        write_elem(file, "/", data, dataset_kwargs={"compression": "gzip"})
        file.flush()
        image: bytes = file.id.get_file_image()
    return image


def read_row_file(path: str | os.PathLike[str]) -> NDArray[np.int64]:
    """Read row numbers from a text file, one a line, or from a ``.npy`` file."""
    try:
        if Path(path).suffix == ".npy":
            values: NDArray[Any] = np.load(path, allow_pickle=False)
        else:
            values = np.array([int(line) for line in Path(path).read_text().split()], np.int64)
    except OSError as error:
        raise StorageError("rows-unreadable", "cannot read the rows", where=path, found=error.strerror) from None
    except ValueError as error:
        raise InvalidDataError("bad-rows-file", "not a list of row numbers", where=path, found=error) from None
    return np.asarray(values, np.int64)


def _rows_of_source(store: Store, number: int, rows: ArrayLike | None) -> NDArray[np.int64]:
    """Rows of a source, in its own order."""
    candidates = store.check_rows(rows)
    mine = store.field("source", candidates) == number
    order = np.argsort(store.field("source_row", candidates[mine]), kind="stable")
    chosen: NDArray[np.int64] = candidates[mine][order]
    return chosen
