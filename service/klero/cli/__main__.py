"""`python -m klero.cli` is `klero`."""

import sys

from klero.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
