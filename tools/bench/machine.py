"""What a benchmark ran on, and the state of the page cache before each run."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_READ = 16 << 20


def describe() -> dict[str, Any]:
    """Processor, cores, memory and system of this machine; Linux only."""
    return {
        "processor": _field("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
    }


def file_system(path: Path) -> str:
    """Type of the file system that `path` lies on."""
    best, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text("utf-8").splitlines():
        _, mount, name, *_ = line.split()
        inside = str(path.resolve()).startswith(mount.rstrip("/") + "/") or mount == "/"
        if inside and len(mount) > len(best):
            best, kind = mount, name
    return kind


def warm(paths: Iterable[Path]) -> None:
    """Read files, so that they lie in the page cache as far as memory allows."""
    for path in paths:
        with path.open("rb") as file:
            while file.read(_READ):
                pass


def cool(paths: Iterable[Path]) -> None:
    """Drop files from the page cache, as far as the system follows the advice."""
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def size_on_disk(path: Path) -> tuple[int, int]:
    """Bytes and number of files below `path` (or of the file)."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(p.stat().st_size for p in files), len(files)


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text("utf-8").splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return "unknown"
