"""What every start of Python runs where cprof is installed: one look at the environment.

A module of its own, so that a program that is not to be profiled does not import the package.
"""

import os
import sys

_OFF = ("", "0", "false", "no", "off")
_asked = False  # site may read the same folder twice


def run():
    global _asked
    if not _asked and os.environ.get("CPROF_ENABLED", "").strip().lower() not in _OFF:
        _asked = True
        try:
            from cprof import _autostart
        except ImportError as error:
            if "subinterpreter" not in str(error):  # most of those can't, and need not
                print(f"cprof: {error}; running unprofiled", file=sys.stderr)
            return
        _autostart.run()
