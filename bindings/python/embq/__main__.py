"""The program ``embq``."""

import sys

from ._embq import run_program


def main() -> int:
    """Run the program with the arguments of the process and return its exit code."""
    return run_program(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
