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
    finally:
        # python -m ends as if by the signal where an interrupt passed code given as text, as dataclasses are made of,
        # however it was met; executing some more makes it forget.
        exec("")


if __name__ == "__main__":
    sys.exit(main())
