"""``python -m scformat`` is the command ``scformat``."""

import sys

from scformat.cli import main

if __name__ == "__main__":
    sys.exit(main())
