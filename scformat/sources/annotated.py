"""An AnnData object on disk, in HDF5 or Zarr, back to version 0.5 of the format."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from scformat.errors import InvalidDataError, unknown_name
from scformat.sources.base import VarTable
from scformat.sources.dataframe import Table
from scformat.sources.matrices import DenseMatrix, SparseMatrix
from scformat.sources.text import is_text, plain_text
from scformat.sources.tree import ArrayNode, GroupNode

if TYPE_CHECKING:
    from collections.abc import Callable

    from scformat.columns import Column
    from scformat.sources.base import CountsMatrix, Format
    from scformat.strings import Strings

# Where counts may be, in the order in which they are looked for.
CANDIDATES = ("raw", "layers/counts", "X")
_ASIDE = ("obsm", "varm", "obsp", "varp")


class AnnotatedSource:
    """A source over a tree as AnnData writes it.

    Parameters
    ----------
    root
        The tree's root.
    name, path, format
        See :class:`~scformat.sources.base.Source`.
    digest
        Computes the SHA-256 of what lies on disk.
    close
        Releases it.

    Raises
    ------
    InvalidDataError
        When obs or var is missing or is no table.
    """

    def __init__(
        self,
        root: GroupNode,
        *,
        name: str,
        path: str | None,
        format: Format,
        digest: Callable[[], str],
        close: Callable[[], None],
    ) -> None:
        self.name, self.path, self.format = name, path, format
        self._root, self._digest, self._close = root, digest, close
        self._obs_table = Table(_table_node(root, "obs"), categories=_groups(root, "uns"))
        self.n_cells = len(self._obs_table)
        self.index_name = self._obs_table.index_name
        self._opened: dict[str, CountsMatrix] = {}

    def locations(self) -> list[str]:
        """List every place that holds a matrix, the candidates for counts first."""
        found = [f"layers/{name}" for name in self._members("layers")]
        if _matrix_node(self._root.get("X")) is not None:
            found.append("X")
        if self._raw_node() is not None:
            found.append("raw")
        return sorted(found, key=lambda place: (CANDIDATES.index(place) if place in CANDIDATES else 3, place))

    def matrices(self) -> list[CountsMatrix]:
        """Open the candidates that are there: ``raw``, ``layers/counts``, ``X``."""
        return [self.matrix(place) for place in self.locations() if place in CANDIDATES]

    def matrix(self, location: str) -> CountsMatrix:
        """Open the matrix at `location`."""
        if location not in self._opened:
            if location not in self.locations():
                raise unknown_name("matrix", location, self.locations(), where=self._root.where)
            self._opened[location] = self._open(location)
        return self._opened[location]

    def _open(self, location: str) -> CountsMatrix:
        if location == "raw":
            node, table = self._raw_node(), self._raw_var
        else:
            group, _, member = location.rpartition("/")
            node, table = _matrix_node((self._root.group(group) if group else self._root).get(member)), self._var
        if node is None:
            raise InvalidDataError("missing-node", f"no {location}", where=self._root.where)
        matrix = open_matrix(node, location=location, var=table)
        if matrix.shape[0] != self.n_cells:
            raise InvalidDataError(
                "wrong-length",
                "obs and the matrix disagree on the number of cells",
                where=node.where,
                expected=f"{self.n_cells} rows",
                found=matrix.shape[0],
            )
        return matrix

    def _raw_node(self) -> GroupNode | ArrayNode | None:
        raw = self._root.get("raw")
        return _matrix_node(raw.get("X") if isinstance(raw, GroupNode) else self._root.get("raw.X"))

    def _var(self) -> VarTable:
        return _var_table(Table(_table_node(self._root, "var"), categories=_groups(self._root, "uns")))

    def _raw_var(self) -> VarTable:
        raw = self._root.get("raw")
        if isinstance(raw, GroupNode):
            return _var_table(Table(_table_node(raw, "var"), categories=_groups(self._root, "uns")))
        return _var_table(Table(_table_node(self._root, "raw.var"), categories=_groups(self._root, "raw.cat", "uns")))

    def graphs(self) -> list[str]:
        """Names of the matrices in ``obsp``, or in ``uns/neighbors`` of a file from before 0.7."""
        return sorted(self._graph_nodes())

    def graph(self, name: str) -> CountsMatrix:
        """Open a matrix of cells by cells."""
        nodes = self._graph_nodes()
        if name not in nodes:
            raise unknown_name("obsp matrix", name, sorted(nodes), where=self._root.where)
        node = nodes[name]
        matrix = open_matrix(node, location=f"obsp/{name}", var=no_var)
        if matrix.shape != (self.n_cells, self.n_cells):
            raise InvalidDataError(
                "wrong-length",
                "not a matrix of cells by cells",
                where=node.where,
                expected=f"shape ({self.n_cells}, {self.n_cells})",
                found=matrix.shape,
            )
        return matrix

    def _graph_nodes(self) -> dict[str, GroupNode | ArrayNode]:
        found: dict[str, GroupNode | ArrayNode] = {}
        uns = self._root.get("uns")
        old = uns.get("neighbors") if isinstance(uns, GroupNode) else None
        for place, names in ((old, ("connectivities", "distances")), (self._root.get("obsp"), None)):
            if not isinstance(place, GroupNode):
                continue
            for name in place.names() if names is None else names:
                node = _matrix_node(place.get(name))
                if node is not None and (isinstance(node, GroupNode) or len(node.shape or ()) == 2):
                    found[name] = node
        return found

    def barcodes(self) -> Strings:
        """Return the index of obs."""
        return self._obs_table.index

    def obs(self) -> dict[str, Column]:
        """All obs columns that can be kept, in order; read anew at every call, because they take much memory."""
        columns, self._obs_notes = self._obs_table.read()
        return columns

    @cached_property
    def _obs_notes(self) -> list[str]:
        return self._obs_table.read()[1]

    def uns_text(self) -> dict[str, str]:
        """Scalar strings at the top of uns."""
        texts = {}
        uns = self._root.get("uns")
        for name in uns.names() if isinstance(uns, GroupNode) else ():
            node = uns.get(name) if isinstance(uns, GroupNode) else None
            text = _scalar_text(node)
            if text is not None:
                texts[name] = text
        return texts

    def not_kept(self, *, counts: str | None = None) -> list[str]:
        """List what a conversion leaves behind, one line each."""
        left = [f"obs/{line}" for line in self._obs_notes]
        left += [f"var/{name}" for name in Table(_table_node(self._root, "var")).names]
        left += [f"{place}/{name}" for place in _ASIDE for name in self._members(place)]
        left += [place for place in self.locations() if counts is not None and place != counts]
        used = {f"{name}_categories" for name in self._obs_table.names} | set(self.uns_text())
        left += [f"uns/{name}" for name in self._members("uns") if name not in used]
        raw = self._root.get("raw")
        varm = raw.get("varm") if isinstance(raw, GroupNode) else None
        return left + [f"raw/varm/{name}" for name in (varm.names() if isinstance(varm, GroupNode) else ())]

    def _members(self, place: str) -> list[str]:
        """Names in a group, or the fields of a compound array of a file from before 0.7."""
        node = self._root.get(place)
        if isinstance(node, GroupNode):
            return node.names()
        return list(node.dtype.names or ()) if isinstance(node, ArrayNode) else []

    def sha256(self) -> str:
        """SHA-256 of what lies on disk."""
        return self._digest()

    def close(self) -> None:
        """Release it."""
        self._close()


def is_annotated(root: GroupNode) -> bool:
    """Whether the tree has AnnData's two tables."""
    return root.get("obs") is not None and root.get("var") is not None


def open_matrix(
    node: GroupNode | ArrayNode, *, location: str, var: Callable[[], VarTable]
) -> SparseMatrix | DenseMatrix:
    """Open a matrix as AnnData writes it: a dense array, or a CSR or CSC group.

    Raises
    ------
    InvalidDataError
        For a group of another kind, a missing part, or parts that contradict each other.
    """
    if isinstance(node, ArrayNode):
        return DenseMatrix(location=location, where=node.where, rows=node.rows(), var=var)
    layout = sparse_layout(node)
    shape = node.attribute("shape")
    shape = node.attribute("h5sparse_shape") if shape is None else shape
    if shape is None or np.shape(shape) != (2,):
        raise InvalidDataError("bad-matrix", "the matrix has no shape", where=node.where, expected="attribute 'shape'")
    return SparseMatrix(
        location=location,
        where=node.where,
        layout=layout,
        shape=(int(shape[0]), int(shape[1])),
        offsets=node.array("indptr").values(),
        indices=node.array("indices").rows(),
        data=node.array("data").rows(),
        var=var,
    )


def sparse_layout(node: GroupNode) -> Literal["csr", "csc"]:
    """Return the layout of a sparse group, from today's attribute or that of files from before 0.7."""
    name = node.encoding or node.text_attribute("h5sparse_format") or ""
    if name in {"csr", "csr_matrix"}:
        return "csr"
    if name in {"csc", "csc_matrix"}:
        return "csc"
    raise InvalidDataError(
        "bad-matrix",
        "a group that is no known kind of matrix",
        where=node.where,
        expected="csr_matrix or csc_matrix",
        found=name or "no encoding-type",
    )


def no_var() -> VarTable:
    """Refuse: a matrix of cells by cells has no var table."""
    raise TypeError("a matrix of cells by cells has no var table")


def _matrix_node(node: GroupNode | ArrayNode | None) -> GroupNode | ArrayNode | None:
    """Return the node unless it stands for None: an empty dataspace, or the encoding ``null``."""
    if node is None or node.encoding == "null" or (isinstance(node, ArrayNode) and node.shape is None):
        return None
    return node


def _table_node(group: GroupNode, name: str) -> GroupNode | ArrayNode:
    node = group.get(name)
    if node is None:
        raise InvalidDataError("missing-node", f"no {name!r}", where=group.where, expected="a table", found="nothing")
    return node


def _groups(root: GroupNode, *names: str) -> list[GroupNode]:
    nodes = [root.get(name) for name in names]
    return [node for node in nodes if isinstance(node, GroupNode)]


def _var_table(table: Table) -> VarTable:
    columns, not_kept = table.read()
    return VarTable(index=table.index, index_name=table.index_name, columns=columns, not_kept=not_kept)


def _scalar_text(node: GroupNode | ArrayNode | None) -> str | None:
    if isinstance(node, ArrayNode) and node.shape in {(), (1,)} and is_text(node.dtype):
        return plain_text(np.asarray(node.values()))
    return None
