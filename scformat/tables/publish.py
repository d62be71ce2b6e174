"""A table added to a store, or written beside one: arrays first, then the root that names them, in one step."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from scformat.blobs import system_errors
from scformat.codec import encode_json
from scformat.errors import InvalidDataError, StorageError, UsageError
from scformat.manifest import VERSION, as_json, first_error
from scformat.manifest import Table as ManifestTable
from scformat.publishing import place_of
from scformat.root import NO_DIGEST, root_digest
from scformat.storage import MANIFEST_KEY, Storage
from scformat.tables.files import entry_arrays, open_entry, table_path, write_table_arrays
from scformat.tables.model import FEATURE, TableEntry, TableFile, TableName
from scformat.version import __version__
from scformat.writing import write_groups

if TYPE_CHECKING:
    from scformat.manifest import Manifest
    from scformat.store import Store
    from scformat.tables.view import SamplingTable

ATTRIBUTE = "scformat_table"


def check_name(name: str) -> str:
    """Return `name`, or refuse what is no name of a table (``bad-table-name``)."""
    try:
        return TypeAdapter(TableName).validate_python(name)
    except ValidationError:
        raise UsageError(
            "bad-table-name",
            "not a name of a table",
            expected="letters, digits, _ and -, dots between them, at most 64",
            found=repr(name),
        ) from None


def add_table(store: Store, name: str, table: SamplingTable) -> Manifest:
    """Add a table to a store, and return the store's new manifest.

    Who has the store open goes on with what it was.

    Raises
    ------
    UsageError
        ``bad-table-name``, ``table-exists``, ``cannot-add``: the store can only be read.
    StorageError
        ``store-changed``: another process replaced the root since the store was opened.
    """
    place = place_of(store, "tables", hint="write the table beside the store, with -o FILE")
    check_new(store.manifest, name, where=store.path)
    with place.adding() as begun:
        begun.append(table_path(name, table.digest))
        return place.replace_root(store, with_table(place.storage, store.manifest, name, table))


def with_table(storage: Storage, manifest: Manifest, name: str, table: SamplingTable) -> Manifest:
    """Write a table's arrays and return the manifest with it, which is nowhere yet."""
    check_new(manifest, name, where=storage.url)
    entry = write_table_arrays(storage, table_path(name, table.digest), table, name=name)
    groups = write_groups(storage, entry_arrays(entry))
    storage.sync()
    features = manifest.optional_features
    return manifest.model_copy(
        update={
            "tables": [*manifest.tables, ManifestTable.model_validate(as_json(entry))],
            "groups": dict(sorted({**manifest.groups, **groups}.items())),
            "optional_features": features if FEATURE in features else [*features, FEATURE],
        }
    )


def check_new(manifest: Manifest, name: str, *, where: str) -> None:
    """Refuse what is no name of a table (``bad-table-name``), or one that a store has (``table-exists``)."""
    check_name(name)
    if any(t.name == name for t in manifest.tables):
        raise UsageError("table-exists", f"the store has a table {name!r}", where=where, hint="choose another")


def write_table_file(path: str | os.PathLike[str], name: str, table: SamplingTable) -> None:
    """Write a table to a directory of its own, for a store that one cannot write to.

    Raises
    ------
    UsageError
        ``bad-table-name``, ``destination-exists``, ``not-a-path``.
    """
    if "://" in os.fspath(path):
        raise UsageError("not-a-path", "a table beside a store is written to a directory only", where=os.fspath(path))
    target = Path(path)
    check_name(name)
    if target.exists() or target.is_symlink():
        raise UsageError("destination-exists", "the destination exists", where=target, hint="choose another")
    if not target.parent.is_dir():
        raise StorageError("no-directory", "there is no such directory", where=target.parent, hint="create it first")
    made = target.with_name(f".{target.name}.{os.getpid()}.partial")
    with system_errors(target):
        made.mkdir()
        try:
            storage = Storage(made)
            entry = write_table_arrays(storage, "table", table, name=name)
            document = TableFile(
                format="scformat-table",
                version=VERSION,
                generator=f"scformat {__version__}",
                table=entry,
                groups=write_groups(storage, entry_arrays(entry)),
                sha256=NO_DIGEST,
            )
            storage.write(MANIFEST_KEY, _encode(document)).result()
            storage.sync()
            made.rename(target)
        finally:
            shutil.rmtree(made, ignore_errors=True)


def open_table_file(path: str | os.PathLike[str], store: Store) -> SamplingTable:
    """Open a table that lies beside its store.

    Raises
    ------
    InvalidDataError
        ``not-a-table``, ``bad-table``.
    UsageError
        ``other-cells``: it belongs to another store.
    """
    storage = Storage(path)
    data = storage.read(MANIFEST_KEY)
    where = os.fspath(path)
    if data is None:
        raise StorageError("no-table", "there is no table", where=where, hint="make one with: scformat weights add")
    try:
        document = json.loads(data)
        found = document["attributes"][ATTRIBUTE]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise InvalidDataError("not-a-table", "not a sampling table", where=where) from None
    try:
        file = TableFile.model_validate(found)
    except ValidationError as error:
        place, what = first_error(error)
        raise InvalidDataError("bad-table", what, where=f"{where}/zarr.json:{place}") from None
    if file.version != VERSION or root_digest(data, found) != file.sha256:
        what = "another version" if file.version != VERSION else "its zarr.json was changed"
        raise InvalidDataError("bad-table", f"not a table that this release can use: {what}", where=where)
    return open_entry(storage, file.table, store.manifest, lambda name: store.labels[name].categories)


def read_entry(table: ManifestTable, where: str) -> TableEntry:
    """Return a table of a manifest in full.

    Raises
    ------
    InvalidDataError
        ``bad-table``.
    """
    try:
        return TableEntry.model_validate(table.document)
    except ValidationError as error:
        place, what = first_error(error)
        raise InvalidDataError("bad-table", what, where=f"{where}: table {table.name!r}: {place}") from None


def _encode(file: TableFile) -> bytes:
    blank = encode_json({"zarr_format": 3, "node_type": "group", "attributes": {ATTRIBUTE: as_json(file)}})
    head, tail = blank.rsplit(f'"{NO_DIGEST}"'.encode(), 1)
    return head + f'"{hashlib.sha256(blank).hexdigest()}"'.encode() + tail
