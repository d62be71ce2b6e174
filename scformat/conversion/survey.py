"""Which sources there are, where their counts lie, and what their columns are. Headers first, counts second."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.conversion.located import LocatedMatrix, LocatedSource
from scformat.conversion.resume import cannot_resume
from scformat.conversion.scan import NotCountsError, Scan, scan
from scformat.conversion.transpose import transpose
from scformat.errors import InvalidDataError, ScformatError
from scformat.genes import GeneMap, gene_key, organism_taxon, resolve
from scformat.manifest import Skipped
from scformat.sources import open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from scformat.conversion.engine import Engine
    from scformat.conversion.journal import Journal
    from scformat.conversion.options import Options
    from scformat.conversion.requests import Request
    from scformat.genes import Reference
    from scformat.sources.base import CountsMatrix, Source


@dataclass(frozen=True, kw_only=True, eq=False)
class Surveyed:
    """A source whose counts were found and read once.

    Attributes
    ----------
    source
        The open source.
    request
        What was asked for it.
    located
        Its counts, row-wise.
    layout, dtype
        How the source itself stores them.
    genes
        What each column is.
    scan
        Figures of its cells.
    digest
        SHA-256 of the source.
    """

    source: Source
    request: Request
    located: LocatedMatrix
    layout: str
    dtype: str
    genes: GeneMap
    scan: Scan
    digest: str

    @property
    def matrix(self) -> CountsMatrix:
        """Its counts, row-wise."""
        return self.located.matrix


NEVER_SKIPPED = ("cannot-resume",)
"""Errors that are not of a source alone, even where bad ones are skipped."""


def open_all(requests: Sequence[Request], options: Options) -> tuple[list[tuple[Request, Source]], list[Skipped]]:
    """Open every source, so that all bad headers are known at once, before anything is read or written."""
    opened, skipped = [], []
    errors: list[ScformatError] = []
    for request in requests:
        try:
            source = open_source(request.source, name=request.name)
            opened.append((request, source))
            source.matrices()
        except ScformatError as error:
            opened = [pair for pair in opened if pair[0] is not request]
            errors.append(error)
            skipped.append(_skipped(str(request.source), error))
    if errors and options.on_bad == "stop":
        for _, source in opened:
            source.close()
        if len(errors) == 1:
            raise errors[0]
        raise InvalidDataError(
            errors[0].code,
            f"{len(errors)} of {len(requests)} sources cannot be read",
            found=", ".join(str(error) for error in errors[:5]) + (", ..." if len(errors) > 5 else ""),
            hint="mend them, or leave them out (--on-bad skip)",
        )
    if not opened:
        raise InvalidDataError(
            "no-sources", "no source could be read", found=f"{len(skipped)} skipped: {skipped[0].message}"
        )
    return opened, skipped


def survey(
    opened: Sequence[tuple[Request, Source]],
    options: Options,
    *,
    references: Mapping[int, Reference],
    engine: Engine,
    scratch: Path,
    progress: Callable[[str, int, int], None],
    journal: Journal | None = None,
) -> tuple[list[Surveyed], list[Skipped]]:
    """Find the counts of every source and read them once, or take what the journal says of a source unchanged."""
    total = sum(m.n_stored for _, s in opened for m in s.matrices()[:1])
    done = 0
    lock = threading.Lock()

    def advance(n_values: int) -> None:
        nonlocal done
        with lock:
            done += n_values
            progress("reading counts", min(done, total), total)

    surveyed, skipped = [], []
    # A thread for each of several sources only waits for its tasks, so that small sources are read side by side.
    with ThreadPoolExecutor(engine.batches_at_once, thread_name_prefix="scformat-survey") as pool:
        one = _One(options, references, engine, scratch, advance, journal)
        found = [pool.submit(one.survey, request, source, i) for i, (request, source) in enumerate(opened)]
        try:
            for (_, source), future in zip(opened, found, strict=True):
                try:
                    surveyed.append(future.result())
                except ScformatError as error:
                    if options.on_bad == "stop" or error.code in NEVER_SKIPPED:
                        raise
                    skipped.append(_skipped(source.path or source.name, error))
        except BaseException:
            engine.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if not surveyed:
        raise InvalidDataError(
            "no-sources", "no source has counts", found=f"{len(skipped)} skipped: {skipped[0].message}"
        )
    return surveyed, skipped


@dataclass(frozen=True)
class _One:
    """Surveys one source after another, or several at once in threads of their own."""

    options: Options
    references: Mapping[int, Reference]
    engine: Engine
    scratch: Path
    advance: Callable[[int], None]
    journal: Journal | None

    def survey(self, request: Request, source: Source, number: int) -> Surveyed:
        located = LocatedSource.of(source)
        with self.engine.submit(_sha256, located, [None]) as hashing:
            digest = cache(lambda: next(iter(hashing))[1])
            if self.journal is not None:
                before = self.journal.find("source", source.name)
                if before is not None and before.facts["sha256"] != digest():
                    raise cannot_resume(
                        "another source of this name",
                        where=source.path or source.name,
                        expected=f"SHA-256 {before.facts['sha256']}",
                        found=digest(),
                    )
            kept = None if self.journal is None else _KeptScans(self.journal, digest)
            found = self._find_counts(located, request.settings, self.scratch / f"rows-{number}", kept)
            if self.journal is not None:
                self.journal.add("source", source.name, sha256=digest())
            return Surveyed(source=source, request=request, digest=digest(), **found)

    def _find_counts(
        self, located: LocatedSource, settings: Mapping[str, str], rows_at: Path, kept: _KeptScans | None
    ) -> dict[str, Any]:
        options, source = self.options, located.source
        wanted = settings.get("counts", options.counts)
        automatic = wanted == "auto"
        candidates = source.matrices() if automatic else [source.matrix(wanted)]
        where = source.path or source.name
        findings = []
        at_most = options.block_values
        for candidate, matrix in enumerate(candidates):
            table = matrix.var
            genes = resolve(
                index=table.index,
                columns=table.columns,
                organism=organism_taxon(settings["organism"]) if "organism" in settings else options.organism,
                gene_ids=settings.get("gene_ids", options.gene_ids),
                references=self.references,
                source=source.name,
            )
            keys = np.fromiter(
                (gene_key(t, i) for t, i in zip(genes.taxons.tolist(), genes.ids, strict=True)),
                np.uint64,
                len(genes.ids),
            )
            place = f"{where}:{matrix.location}"
            rows = LocatedMatrix(located, matrix.location)
            if matrix.layout == "csc":
                directory = rows_at.with_name(f"{rows_at.name}-{candidate}")
                with self.engine.submit(_transpose, (rows, directory, place, at_most), [None]) as transposing:
                    for _ in transposing:
                        rows = LocatedMatrix(located, matrix.location, directory)
            try:
                scanned = None if kept is None else kept.find(matrix, keys)
                if scanned is None:
                    scanned = scan(rows, keys, engine=self.engine, at_most=at_most, where=place, advance=self.advance)
                    if kept is not None:
                        kept.add(matrix, keys, scanned)
                else:
                    self.advance(matrix.n_stored)
            except NotCountsError as found:
                findings.append(f"{matrix.location}: {found}")
                continue
            return {
                "located": rows,
                "layout": matrix.layout,
                "dtype": matrix.dtype.name,
                "genes": genes,
                "scan": scanned,
            }
        absent = [p for p in ("raw", "layers/counts", "X") if automatic and p not in {m.location for m in candidates}]
        findings += [f"{place}: absent" for place in absent]
        others = [p for p in source.locations() if p not in {m.location for m in candidates}]
        hint = f"name another place with --counts ({', '.join(others)})" if others else "counts must be whole numbers"
        raise InvalidDataError(
            "counts-not-found",
            "no counts",
            where=where,
            expected="whole numbers, none negative, some above zero",
            found="; ".join(findings).replace("; ", ", "),
            hint=f"{hint}, or leave this source out (--on-bad skip)",
        )


def _sha256(source: LocatedSource, _: None) -> str:
    return source.source.sha256()


def _transpose(job: tuple[LocatedMatrix, Path, str, int], _: None) -> None:
    matrix, directory, where, at_most = job
    transpose(matrix.matrix, directory, where=where, at_most=at_most)


class _KeptScans:
    """Scans of one source in a journal, by the source's content, the matrix and what its columns are."""

    def __init__(self, journal: Journal, digest: Callable[[], str]) -> None:
        self._journal, self._digest = journal, digest

    def find(self, matrix: CountsMatrix, keys: NDArray[np.uint64]) -> Scan | None:
        """Return the scan of a matrix, None where there is none that is whole."""
        if not self._journal.names("scan"):
            return None  # nothing to wait for the digest for
        entry = self._journal.find("scan", self._name(matrix, keys))
        arrays = None if entry is None else self._journal.read(entry)
        return None if arrays is None else Scan(**arrays)

    def add(self, matrix: CountsMatrix, keys: NDArray[np.uint64], scanned: Scan) -> None:
        """Keep the scan of a matrix."""
        arrays = {f.name: getattr(scanned, f.name) for f in fields(scanned)}
        self._journal.add("scan", self._name(matrix, keys), arrays=arrays)

    def _name(self, matrix: CountsMatrix, keys: NDArray[np.uint64]) -> str:
        what = f"{self._digest()} {matrix.location} {matrix.shape} ".encode()
        return hashlib.sha256(what + keys.tobytes()).hexdigest()


def _skipped(path: str, error: ScformatError) -> Skipped:
    # What a store says must not depend on where its sources lie; another process names them from the root on.
    message = str(error).replace(str(Path(path).absolute()), path).replace(path, Path(path).name)
    return Skipped(path=Path(path).name, code=error.code, message=message)
