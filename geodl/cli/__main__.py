"""`python -m geodl.cli`, as the command geodl."""

import sys

from geodl.cli import entry

if __name__ == "__main__":
    sys.exit(entry())
