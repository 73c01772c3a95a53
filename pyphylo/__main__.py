"""``python -m pyphylo``."""

import sys

from pyphylo.cli import main

if __name__ == "__main__":
    sys.exit(main())
