"""`python -m geodl.cli`, as the command geodl."""

import sys

from geodl.cli import main

if __name__ == "__main__":
    sys.exit(main())
