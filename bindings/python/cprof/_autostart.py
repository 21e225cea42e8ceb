"""Starts cprof with the interpreter when CPROF_ENABLED is on (see _cprof_autostart.py)."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ON = ("1", "true", "yes", "on")


def _let_ask(cprof: Any, told: bool) -> None:
    """What can't be asked is profiled all the same, and a read-only file system is no news then."""
    try:
        cprof._stand_by()
    except Exception as error:
        if told:
            cprof._cprof.say(str(error))


def run() -> None:
    """Never raises: what is wrong is one line on standard error. Some subinterpreters come by
    here too: one engine profiles the whole process."""
    try:
        value = os.environ["CPROF_ENABLED"]
        word = value.strip().lower()
        if word not in _ON and word != "standby":
            raise ValueError(f"CPROF_ENABLED={value}: must be on, standby or off")
        import cprof
        if cprof.is_running():
            return
        _let_ask(cprof, told=word == "standby")
        if word in _ON:
            cprof._start(origin="CPROF_ENABLED")
    except Exception as error:
        line = str(error).replace("\n", " ")
        print(f"cprof: {line}; running unprofiled", file=sys.stderr)
