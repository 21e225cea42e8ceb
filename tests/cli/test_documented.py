"""What can be set and what is counted is what the documentation says, and the other way round."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [path for folder, endings in (
    ("core", ".c .h"), ("cli", ".c .h"), ("bindings/python", ".c .py"),
    ("bindings/ruby", ".c .h .rb"), ("bindings/node", ".c .h .js .mjs"))
    for path in (ROOT / folder).rglob("*")
    if path.suffix in endings.split() and not {"node_modules", "build", "core-src"} & set(path.parts)]
# Read when a package is built or tested, not by a program that runs.
AT_BUILD_TIME = {"CPROF_SKIP_BUILD", "CPROF_CMAKE_OPTIONS", "CPROF_NODE_INCLUDE",
                 "CPROF_TEST_SELF_TEST"}


def read_by_the_code(prefix):
    quoted = re.compile(rf"""["'](?:env\.)?({prefix}[A-Z_]+)["'=]|\benv\.({prefix}[A-Z_]+)""")
    return {name for path in SOURCES for match in quoted.finditer(path.read_text())
            for name in match.groups() if name}


def first_column(page, heading=""):
    """The names in the first column of the tables after the heading."""
    text = (ROOT / "docs" / page).read_text().partition(heading)[2] if heading else \
        (ROOT / "docs" / page).read_text()
    return {name for line in text.splitlines() if line.startswith("| `")
            for name in re.findall(r"`([^`]+)`", line.split("|")[1])}


def test_every_variable_is_documented_and_every_documented_one_is_read():
    documented = {name for name in first_column("configuration.md") if name.startswith("CPROF_")}
    assert read_by_the_code("CPROF_") - AT_BUILD_TIME == documented


def test_every_standard_variable_that_is_read_is_documented():
    page = (ROOT / "docs" / "configuration.md").read_text()
    parts = {"OTEL_EXPORTER_OTLP", "OTEL_EXPORTER_OTLP_", "OTEL_CTX"}  # no variables
    names = read_by_the_code("OTEL_") - parts
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in names
    for name in names:
        if name.startswith("OTEL_EXPORTER_OTLP_PROFILES_"):
            name = name.replace("_PROFILES_", "_")
            assert name in names
        assert f"`{name}`" in page or f"`{name.replace('OTEL_EXPORTER_OTLP', '')}`" in page, name


def test_every_figure_is_documented():
    header = (ROOT / "core" / "include" / "cprof" / "cprof.h").read_text()
    metrics = (ROOT / "core" / "profile" / "metric_fields.h").read_text()
    fields = [re.search(rf"#define {name}\(X\)((?:.*\\\n)*.*)", text)[1]
              for name, text in (("CPROF_STATS_FIELDS", header), ("PROFILE_ONLY_FIELDS", metrics), ("KERNEL_FIELDS", metrics))]
    names = set(re.findall(r"X\((\w+), ", "".join(fields)))
    assert len(names) > 15
    assert first_column("troubleshooting.md", "own figures") == names
