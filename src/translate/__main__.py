"""`python -m translate`, and the console script `translate-gan`."""

import sys

from translate.cli import main


def run() -> int:
    """Run the command line of this process; return the exit code."""
    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(run())
