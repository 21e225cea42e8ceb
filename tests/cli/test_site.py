"""packaging/site: the documentation as a site, whose links all lead somewhere."""

import re
import shutil
import subprocess

import pytest

from conftest import ROOT

PYTHON = "/usr/bin/python3"
pytestmark = pytest.mark.skipif(
    subprocess.run([PYTHON, "-c", "import markdown"], capture_output=True).returncode != 0,
    reason="no Python-Markdown (Debian: apt-get install python3-markdown)")


def build(script, output):
    return subprocess.run([PYTHON, script, output], capture_output=True, text=True, timeout=120)


def test_every_page_is_there_and_every_link_leads_somewhere(tmp_path):
    done = build(ROOT / "packaging/site", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for page in (ROOT / "docs").glob("*.md"):
        text = (tmp_path / "docs" / f"{page.stem}.html").read_text()
        assert text.count("<table>") == len(re.findall(r"^\|[ :]*-[-| :]*\|$", page.read_text(), re.M)), page
        assert 'aria-current="page"' in text, f"{page.name} is missing in the menu"
    assert '<a href="docs/memory.html">' in (tmp_path / "index.html").read_text()


def test_a_link_that_leads_nowhere_is_said(tmp_path):
    project = tmp_path / "project"
    shutil.copytree(ROOT / "docs", project / "docs")
    (project / "packaging").mkdir()
    shutil.copy(ROOT / "packaging/site", project / "packaging")
    (project / "README.md").write_text("# A\n\n## Here it is: `x`\n\n[a](#here-it-is-x) [b](#nowhere) [c](docs/none.md)\n"
                                       "[d](docs/store.md#nothing) ![e](docs/none.png)\n")
    done = build(project / "packaging/site", tmp_path / "site")
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if line.startswith("README.md")]
    assert told == ["README.md: docs/none.md is not there", "README.md: docs/none.png is not there",
                    "README.md: #nowhere has no such part", "README.md: docs/store.md#nothing has no such part"]
