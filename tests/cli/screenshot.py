"""screenshot.py PAGE.html OUT.png [WIDTHxHEIGHT]: takes the pictures of docs/."""

import sys

from browser import Browser

with Browser() as browser:
    if len(sys.argv) > 3:
        browser.resize(*map(int, sys.argv[3].split("x")))
    browser.open(sys.argv[1])
    browser.screenshot(sys.argv[2])
