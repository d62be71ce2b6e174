"""Puts the kit together: cases, stores, patches and answers, as files below ``spec/conformance``."""

from __future__ import annotations

import io
import json
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.conformance import expected
from tools.conformance.case import DATA, METADATA, SAMPLING, Invalid, Valid
from tools.conformance.coverage import coverage_of_kit
from tools.conformance.patching import patch_of
from tools.conformance.writer import Files, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tools.conformance.case import Base

FOLDERS = ("stores", "patches", "expected")
_EPOCH = (1980, 1, 1, 0, 0, 0)


class Kit:
    """The kit as files in memory; stores are kept unpacked, since compressors differ.

    Attributes
    ----------
    files
        All files but the archives of stores, by path.
    stores
        Files of each store, by its archive's path.
    """

    def __init__(self) -> None:
        self.files: Files = {}
        self.stores: dict[str, Files] = {}
        self._cases: list[dict[str, Any]] = []
        self._copies: dict[str, Copy] = {}

    def valid(self, case: Valid) -> None:
        """Add a case whose store conforms."""
        files = Writer(case.store).run()
        name = case.id.replace("/", "-")
        archive = f"stores/{name}.zip"
        self.stores[archive] = files
        checks: list[dict[str, Any]] = [
            {"level": level, "verb": "validate", "valid": True} for level in range(METADATA, SAMPLING + 1)
        ]
        digests = {
            table["name"]: table["sha256"]
            for table in json.loads(files["zarr.json"])["attributes"]["scformat"]["tables"]
        }
        if case.described:
            checks.append(self._answer(name, "describe", [], expected.describe(case.store, digests)))
        reads = case.reads or ([range(len(case.store.cells))] if case.store.cells else [])
        for i, rows in enumerate(reads):
            options = ["--rows", ",".join(map(str, rows))]
            checks.append(self._answer(name, _numbered("read", i), options, expected.read(case.store, rows)))
        for rows in case.refused_rows:
            options = ["--rows", ",".join(map(str, rows))]
            checks.append({"level": DATA, "verb": "read", "options": options, "refused": True, "exit": 2})
        for i, draw in enumerate(case.draws):
            given = {"table": None, **draw.given()}
            checks.append(
                self._answer(name, _numbered("draw", i), draw.options(), expected.draw(case.store, **given), SAMPLING)
            )
        self._cases.append(
            {
                "id": case.id,
                "level": DATA if not case.draws else SAMPLING,
                "valid": True,
                "made": case.made,
                "requirements": list(case.requirements),
                "store": archive,
                "checks": checks,
            }
        )

    def base(self, base: Base) -> str:
        """Add a store that invalid cases are made from."""
        archive = f"stores/{base.id.replace('/', '-')}.zip"
        self.stores.setdefault(archive, base.files)
        return archive

    def invalid(self, case: Invalid, base: Base, work: Path) -> None:
        """Add a case whose store does not conform."""
        copy = self._copies.setdefault(base.id, Copy(base.files, work / base.id))
        name = case.id.replace("/", "-")
        patch = f"patches/{name}.json"
        self.files[patch] = encode(copy.damaged(case.damage), indent=1)
        checks: list[dict[str, Any]] = []
        if case.level > METADATA:
            checks.append({"level": case.level - 1, "verb": "validate", "valid": True})
        checks.append({"level": case.level, "verb": "validate", "valid": False, "findings": list(case.requirements)})
        for verb, *options in case.refuse:
            checks.append({"level": DATA, "verb": verb, "options": options, "refused": True})
        if case.read:
            assert base.store is not None
            options = ["--rows", ",".join(map(str, case.read))]
            checks.append(self._answer(name, "read", options, expected.read(base.store, case.read)))
        self._cases.append(
            {
                "id": case.id,
                "level": case.level,
                "valid": False,
                "made": case.made,
                "requirements": [*case.requirements, *case.also],
                "store": self.base(base),
                "patch": patch,
                "checks": checks,
            }
        )

    def _answer(
        self, name: str, verb: str, options: Sequence[str], answer: dict[str, Any], level: int = DATA
    ) -> dict[str, Any]:
        path = f"expected/{name}.{verb}.json"
        self.files[path] = encode(answer)
        return {"level": level, "verb": verb.split("-", maxsplit=1)[0], "options": list(options), "expect": path}

    def finish(self) -> None:
        """Write the manifest of the cases."""
        ids = [case["id"] for case in self._cases]
        assert len(ids) == len(set(ids)), "two cases have one id"
        document = {"format": "scformat-conformance", "version": "0.1", "cases": self._cases}
        self.files["cases.json"] = encode(document, indent=1)
        self.files["coverage.json"] = encode(coverage_of_kit(self.files["cases.json"]), indent=1)

    def write(self, folder: Path) -> None:
        """Write all files; those of cases that are no more are removed."""
        for name in FOLDERS:
            if (folder / name).exists():
                shutil.rmtree(folder / name)
        for path, data in self.files.items():
            _put(folder / path, data)
        for path, files in self.stores.items():
            _put(folder / path, archived(files))

    def differences(self, folder: Path) -> list[str]:
        """Paths of a written kit that differ from this one."""
        there = {p for name in FOLDERS for p in (folder / name).rglob("*") if p.is_file()}
        wanted = {folder / path for path in (*self.files, *self.stores)}
        out = [str(p.relative_to(folder)) for p in sorted(there - wanted)]
        for path, data in self.files.items():
            file = folder / path
            if not file.is_file() or file.read_bytes() != data:
                out.append(path)
        for path, files in self.stores.items():
            file = folder / path
            if not file.is_file() or extracted(file) != files:
                out.append(path)
        return out


def _numbered(verb: str, i: int) -> str:
    return verb if i == 0 else f"{verb}-{i + 1}"


def _put(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)


class Copy:
    """A store on disk that is damaged and put right again; only files that changed are read and written."""

    def __init__(self, files: Files, path: Path) -> None:
        self._files = files
        self._path = path
        for name, data in files.items():
            _put(path / name, data)
        self._seen = self._stats()

    def damaged(self, damage: Callable[[Path], None]) -> dict[str, Any]:
        """Damage the store, return what that changed as a patch, and put it right."""
        damage(self._path)
        found = self._stats()
        touched = [name for name in found.keys() | self._seen.keys() if found.get(name) != self._seen.get(name)]
        after = {name: (self._path / name).read_bytes() for name in touched if name in found}
        patch = patch_of({name: self._files[name] for name in touched if name in self._files}, after)
        for name in touched:
            if name in self._files:
                _put(self._path / name, self._files[name])
            else:
                (self._path / name).unlink()
        self._seen = self._stats()
        return patch

    def _stats(self) -> dict[str, tuple[int, int, int]]:
        out = {}
        for file in self._path.rglob("*"):
            if file.is_file():
                stat = file.stat()
                out[file.relative_to(self._path).as_posix()] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        return out


def encode(document: Any, indent: int | None = None) -> bytes:
    """JSON as it lies in the kit."""
    separators = None if indent else (",", ":")
    text = json.dumps(document, indent=indent, ensure_ascii=False, allow_nan=False, separators=separators)
    return f"{text}\n".encode()


def archived(files: Files) -> bytes:
    """A zip archive, the same for the same files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path, data in sorted(files.items()):
            info = zipfile.ZipInfo(path, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            info.create_system = 3
            archive.writestr(info, data)
    return out.getvalue()


def extracted(file: Path) -> Files:
    """Files of a zip archive."""
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in sorted(archive.namelist())}


def make(valid: Iterable[Valid], invalid: Iterable[Invalid], bases: dict[str, Base]) -> Kit:
    """Make the whole kit."""
    kit = Kit()
    for good in valid:
        kit.valid(good)
    with tempfile.TemporaryDirectory() as work:
        for bad in invalid:
            kit.invalid(bad, bases[bad.base], Path(work))
    kit.finish()
    return kit
