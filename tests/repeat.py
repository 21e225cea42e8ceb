"""A plugin for pytest (-p repeat): second tries, each of which runs alone."""

import re

from _pytest.runner import runtestprotocol
from gates import room

TRIES = 3
# What no busy machine explains: one is enough.
CRASH = re.compile(r"SIG(SEGV|ABRT|BUS|ILL|FPE)|returncode=-(4|6|7|8|11)\b|-(4|6|7|8|11) == |"
                   r"Segmentation fault|Fatal Python error|Sanitizer|TimeoutExpired")
tried_again = []


def pytest_runtest_protocol(item, nextitem):
    """Tests of shares and totals rest on the kernel's timer ticks, of which a busy machine can
    rob a thread for a while: a failure has to repeat itself alone, as often as there are tries."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    with room(alone=False):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    for _ in range(TRIES - 1):
        failed = [report for report in reports if report.failed]
        if failed and not any(CRASH.search(str(report.longrepr)) for report in failed):
            tried_again.append(f"{item.nodeid}: {reason(failed[0])}")
            item._initrequest()
            with room(alone=True):
                reports = runtestprotocol(item, nextitem=nextitem, log=False)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def reason(report):
    """The beginning of what went wrong, in one line: what a program said is in it."""
    crash = getattr(report.longrepr, "reprcrash", None)
    lines = (crash.message if crash else str(report.longrepr)).splitlines()
    return " | ".join(line.strip() for line in lines if line.strip())[:400]


def pytest_terminal_summary(terminalreporter):
    for name in tried_again:
        terminalreporter.write_line(f"tried again: {name}")
