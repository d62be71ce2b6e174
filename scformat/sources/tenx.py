"""10x Genomics' HDF5 matrices: version 2 (a group per genome) and 3 (one group, any kinds of features).

Both store genes by cells in columns of cells, which is cells by genes in rows: CSR as it lies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scformat.columns import Column
from scformat.errors import InvalidDataError, unknown_name
from scformat.sources.base import VarTable
from scformat.sources.digest import file_sha256
from scformat.sources.matrices import SideBySide, SparseMatrix
from scformat.sources.text import is_text, plain_text, to_strings
from scformat.sources.tree import ArrayNode, GroupNode
from scformat.strings import Strings

if TYPE_CHECKING:
    from scformat.sources.base import CountsMatrix, Format
    from scformat.sources.hdf5_remote import RemoteFile

LOCATION = "matrix"
_V2_PARTS = frozenset({"barcodes", "genes", "data", "indices", "indptr", "shape"})


def tenx_format(root: GroupNode) -> Format | None:
    """Which version of 10x HDF5 the tree is; None if it is none."""
    matrix = root.get("matrix")
    if isinstance(matrix, GroupNode) and isinstance(matrix.get("features"), GroupNode):
        return "10x-v3"
    return "10x-v2" if _genomes(root) else None


def _genomes(root: GroupNode) -> list[GroupNode]:
    groups = [root.get(name) for name in root.names()]
    return [group for group in groups if isinstance(group, GroupNode) and set(group.names()) >= _V2_PARTS]


class TenxSource:
    """A 10x HDF5 file.

    The index of var is the feature id (Ensembl for genes); ``id``, ``name``, ``genome`` and ``feature_type``
    (version 3) are columns, with whatever other text the file has of every feature. Features of every kind,
    antibodies and guides too, are columns of the matrix. Version 2 with several genomes gives one matrix with
    the genes of all of them.

    Raises
    ------
    InvalidDataError
        When parts are missing or contradict each other, or genomes have different barcodes.
    """

    index_name: str | None = None

    def __init__(self, file: RemoteFile, *, name: str, format: Format) -> None:
        self.name, self.path, self.format = name, file.path, format
        self._file = file
        root = file.root
        self._root = root
        self._used = [root.group("matrix")] if format == "10x-v3" else _genomes(root)
        barcodes = [to_strings(_vector(group, "barcodes"), where=f"{group.where}/barcodes") for group in self._used]
        for group, own in zip(self._used, barcodes, strict=True):
            if not _same(own, barcodes[0]):
                raise InvalidDataError(
                    "genomes-differ",
                    f"the barcodes differ from those of {self._used[0].where}",
                    where=group.where,
                    hint="write each genome to a file of its own",
                )
        self._barcodes = barcodes[0]
        self.n_cells = len(self._barcodes)
        parts = [self._part(group) for group in self._used]
        if len(parts) == 1:
            self._matrix: CountsMatrix = parts[0]
        else:
            var = _joined([part.var for part in parts])
            self._matrix = SideBySide(parts, location=LOCATION, where=root.where, var=var)

    def _part(self, group: GroupNode) -> SparseMatrix:
        shape = _vector(group, "shape")
        if shape.shape != (2,) or shape.dtype.kind not in "iu":
            raise InvalidDataError("bad-matrix", "the matrix has no shape", where=f"{group.where}/shape")
        genes, cells = shape.tolist()
        if cells != self.n_cells:
            raise InvalidDataError(
                "wrong-length",
                "barcodes and the matrix disagree on the number of cells",
                where=group.where,
                expected=f"{self.n_cells} barcodes",
                found=cells,
            )
        v3 = self.format == "10x-v3"
        return SparseMatrix(
            location=LOCATION,
            where=group.where,
            layout="csr",
            shape=(cells, genes),
            offsets=group.array("indptr").values(),
            indices=group.array("indices").rows(),
            data=group.array("data").rows(),
            var=lambda: _features(group.group("features")) if v3 else _genes(group),
        )

    def locations(self) -> list[str]:
        """Return ``["matrix"]``."""
        return [LOCATION]

    def matrices(self) -> list[CountsMatrix]:
        """Return the one matrix."""
        return [self._matrix]

    def matrix(self, location: str) -> CountsMatrix:
        """Return the one matrix, ``matrix``."""
        if location != LOCATION:
            raise unknown_name("matrix", location, [LOCATION], where=self.path)
        return self._matrix

    def graphs(self) -> list[str]:
        """Return nothing: a 10x file has no matrices of cells by cells."""
        return []

    def graph(self, name: str) -> CountsMatrix:
        """Refuse: there is none."""
        raise unknown_name("obsp matrix", name, [], where=self.path)

    def barcodes(self) -> Strings:
        """Return the barcodes."""
        return self._barcodes

    def obs(self) -> dict[str, Column]:
        """Return nothing: a 10x file has barcodes only."""
        return {}

    def uns_text(self) -> dict[str, str]:
        """Scalar strings among the file's attributes (chemistry, software)."""
        texts = ((name, plain_text(self._root.attribute(name))) for name in self._root.attribute_names())
        return {name: text for name, text in texts if text is not None and name != "filetype"}

    def not_kept(self, *, counts: str | None = None) -> list[str]:
        """Other groups of the file, and columns of var."""
        del counts
        used = {group.where for group in self._used}
        others = [name for name in self._root.names() if f"{self._root.where}:{name}" not in used]
        return [f"var/{name}" for name in self._matrix.var.columns] + others

    def sha256(self) -> str:
        """SHA-256 of the file."""
        return file_sha256(self.path)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _vector(group: GroupNode, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    node = group.array(name)
    values = node.values()
    if values.ndim != 1:
        raise InvalidDataError("bad-matrix", "it is no vector", where=node.where, found=f"shape {values.shape}")
    return values


def _features(group: GroupNode) -> VarTable:
    index = to_strings(_vector(group, "id"), where=f"{group.where}/id")
    columns: dict[str, Column] = {}
    order = ["id", "name", "feature_type", "genome"]
    for name in [*order, *(other for other in group.names() if other not in order)]:
        node = group.get(name)
        if isinstance(node, ArrayNode) and node.shape == (len(index),) and is_text(node.dtype) and name[0] != "_":
            columns[name] = _text_column(to_strings(node.values(), where=node.where))
    return VarTable(index=index, index_name=None, columns=columns)


def _genes(group: GroupNode) -> VarTable:
    index = to_strings(_vector(group, "genes"), where=f"{group.where}/genes")
    names = index
    if group.get("gene_names") is not None:
        names = to_strings(_vector(group, "gene_names"), where=f"{group.where}/gene_names")
    if len(names) != len(index):
        raise InvalidDataError(
            "wrong-length",
            "genes and gene_names differ in number",
            where=group.where,
            expected=len(index),
            found=len(names),
        )
    genome = group.where.rpartition(":")[2]
    columns = {"id": index, "name": names, "genome": Strings.of([genome] * len(index))}
    return VarTable(
        index=index, index_name=None, columns={name: _text_column(values) for name, values in columns.items()}
    )


def _joined(tables: list[VarTable]) -> VarTable:
    columns = {
        name: _text_column(Strings.concatenate([_strings(table.columns[name]) for table in tables]))
        for name in tables[0].columns
    }
    return VarTable(index=Strings.concatenate([table.index for table in tables]), index_name=None, columns=columns)


def _text_column(values: Strings) -> Column:
    return Column(kind="string", dtype="string", values=values)


def _strings(column: Column) -> Strings:
    if not isinstance(column.values, Strings):
        raise TypeError(column.kind)
    return column.values


def _same(one: Strings, other: Strings) -> bool:
    return np.array_equal(one.offsets, other.offsets) and np.array_equal(one.data, other.data)
