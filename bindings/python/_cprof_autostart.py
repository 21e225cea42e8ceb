"""What every start of Python runs where cprof is installed: one look at the environment.

A module of its own, so that a program that is not to be profiled does not import the package.
"""

import os

_OFF = ("", "0", "false", "no", "off")
_asked = False  # site may read the same folder twice


def run():
    global _asked
    if not _asked and os.environ.get("CPROF_ENABLED", "").strip().lower() not in _OFF:
        _asked = True
        from cprof import _autostart
        _autostart.run()
