"""What a command says on stderr, apart from its progress: a line of that comes every ten seconds on a slow machine."""

from __future__ import annotations

import re

_PROGRESS = re.compile(r"[a-z ]+: [\d,]+( of [\d,]+ \(\d+%\))?")


def messages(stderr: str) -> list[str]:
    """Its lines, those of progress left out."""
    return [line for line in stderr.strip().splitlines() if not _PROGRESS.fullmatch(line)]
