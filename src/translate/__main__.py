"""`python -m translate`, and the console script `translate-gan`."""

import os
import sys

from translate import signals


def run() -> int:
    """Run the command line of this process; return the exit code.

    Idle threads of GNU's OpenMP spin for a short while before they sleep, unless the environment says otherwise. On a
    busy machine, threads that spin for long take processors from other threads of the same operation; on a quiet one,
    threads that sleep at once start each operation late. Measured by `benchmarks/busy_machine.py`.
    """
    with signals.handled(to_the_end=True) as outcome:
        if "OMP_WAIT_POLICY" not in os.environ:
            os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # read when torch is loaded
        from translate.cli import main  # the imports of the command line take a while, and signals are obeyed by now

        outcome.code = main(sys.argv[1:])
    return outcome.code


if __name__ == "__main__":
    sys.exit(run())
