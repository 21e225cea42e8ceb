"""Starts cprof with the interpreter when CPROF_ENABLED says so (see _cprof_autostart.py)."""

import os
import sys

_ON = ("1", "true", "yes", "on")
_OFF = ("", "0", "false", "no", "off")


def run() -> None:
    """Never raises: what is wrong is one line on standard error."""
    try:
        value = os.environ.get("CPROF_ENABLED", "").strip().lower()
        if value in _ON:
            import cprof
            cprof.start()
        elif value not in _OFF:
            raise ValueError(f"CPROF_ENABLED={os.environ['CPROF_ENABLED']!r}: "
                             f"on or off is needed")
    except Exception as error:
        line = str(error).replace("\n", " ")
        print(f"cprof: {line}; running unprofiled", file=sys.stderr)
