"""Starts cprof with the interpreter when CPROF_ENABLED is on (see _cprof_autostart.py)."""

import os
import sys

_ON = ("1", "true", "yes", "on")


def run() -> None:
    """Never raises: what is wrong is one line on standard error. Some subinterpreters come by
    here too: one engine profiles the whole process."""
    try:
        value = os.environ["CPROF_ENABLED"]
        if value.strip().lower() not in _ON:
            raise ValueError(f"CPROF_ENABLED={value}: must be on or off")
        import cprof
        if not cprof.is_running():
            cprof.start()
    except Exception as error:
        line = str(error).replace("\n", " ")
        print(f"cprof: {line}; running unprofiled", file=sys.stderr)
