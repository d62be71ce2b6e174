"""``python -m tools.conformance [--check]``: write the kit, or compare it with what lies there."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.conformance.collection import bases, invalid_cases, valid_cases
from tools.conformance.kit import make

KIT = Path(__file__).resolve().parents[2] / "spec" / "conformance"


def main() -> int:
    """Run as a program; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.conformance", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file differs")
    parser.add_argument("--into", type=Path, default=KIT, help="where to write")
    options = parser.parse_args()
    kit = make(valid_cases(), invalid_cases(), bases())
    if not options.check:
        kit.write(options.into)
        return 0
    wrong = kit.differences(options.into)
    for path in wrong:
        print(f"{path}: not what tools/conformance makes")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
