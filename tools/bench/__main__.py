"""``python -m tools.bench BENCH ...``, from the root of the repository."""

from __future__ import annotations

import sys

from scformat.errors import ScformatError
from tools.bench import convert, convert_files, load, scale, step, sweep

BENCHES = {
    "convert": convert.main,
    "convert-files": convert_files.main,
    "load": load.main,
    "scale": scale.main,
    "step": step.main,
    "sweep": sweep.main,
}


def main() -> int:
    """Run the bench that the first argument names."""
    if len(sys.argv) < 2 or sys.argv[1] not in BENCHES:
        sys.stderr.write(f"usage: python -m tools.bench {{{','.join(BENCHES)}}} ...\n")
        return 2
    try:
        return BENCHES[sys.argv[1]](sys.argv[2:])
    except ScformatError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code


if __name__ == "__main__":
    raise SystemExit(main())
