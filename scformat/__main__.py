"""The command ``scformat``, also as ``python -m scformat``."""

import sys


def main() -> int:
    """Run the command line; an interrupt while it is still being imported ends it as one does later."""
    try:
        from scformat.cli import main as run

        return run()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
