"""The `cprof` command of the package: becomes the program that lies beside it."""

import os
import sys


def main() -> None:
    command = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bin", "cprof")
    try:
        os.execv(command, ["cprof", *sys.argv[1:]])
    except OSError as error:
        sys.exit(f"cprof: {command}: {error.strerror}")
