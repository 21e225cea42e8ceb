"""What every start of Python runs where cprof is installed: one look at the environment.

A module of its own, so that a program that is not to be profiled does not import the package.
"""

import os


def run():
    if os.environ.get("CPROF_ENABLED"):
        from cprof import _autostart
        _autostart.run()
