"""``python -m thalbids``."""

import sys

from thalbids.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
