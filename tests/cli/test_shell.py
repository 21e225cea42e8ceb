"""Completion and the man page: they know every command and option that --help knows."""

import re
import shutil
import subprocess

import pytest

from conftest import COMMAND, ROOT
from test_read import one_line

READING = ["run", "top", "flame", "diff", "convert", "merge", "spans", "peek", "list", "tags", "query",
           "watch", "leaks", "advise", "serve"]
# Of running processes.
ASKING = ["ps", "start", "stop", "record", "dump", "live", "attach"]
COMMANDS = ["run", *ASKING, *READING[1:], "completion"]

# What every command that reads profiles takes.
SELECTION = {"--span", "--trace", "--label", "--state", "--reason", "--thread", "--type", "--value", "--binary", "--focus", "--ignore",
             "--hide", "--show", "--prune-from"}


def options(cprof, command):
    """What the command's help lists."""
    lines = re.findall(r"^  (-.*)$", cprof(command, "--help").stdout, re.M)
    return {option for line in lines for option in re.findall(r"(?:^|, )(--?[a-z-]+)", line[:40])}


def test_the_help_has_every_option_that_the_command_takes(cprof):
    for command in COMMANDS:
        source = (ROOT / "cli" / f"cmd_{command}.c").read_text()
        taken = {f"--{name}" for name in re.findall(r'^\s*\{"([a-z-]+)", \w+_argument', source, re.M)}
        if "PAGE_OPTIONS" in source:
            taken |= {"--source-url", "--source-root", "--source", "--no-source"}
        if "REQUEST_ROW_OPTIONS" in source:
            taken |= {"--cum", "--by", "--all-native"}
        if "REQUEST_JSON_OPTION" in source:
            taken |= {"--json"}
        if "REQUEST_CSV_OPTION" in source:
            taken |= {"--csv"}
        if "OUTPUT_FORMAT_OPTION" in source:
            taken |= {"--format"}
        if "HISTORY_OPTIONS" in source or "HISTORY_RANGE_OPTIONS" in source:
            taken |= {"--service", "--from", "--to"}
        if "HISTORY_OPTIONS" in source:
            taken |= {"--store"}
        if "SELECTION_OPTIONS" in source:
            taken |= SELECTION
        assert {option for option in options(cprof, command) if len(option) > 2} == taken, command


def test_every_command_that_reads_profiles_takes_the_filters(cprof):
    for command in READING:
        assert SELECTION <= options(cprof, command), command
    for command in ("top", "spans", "diff", "peek", "list", "tags", "advise"):
        assert "--json" in options(cprof, command), command


def bash(*words):
    """What bash offers when the last word is being typed."""
    script = f"""eval "$({COMMAND} completion bash)"
                 COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _cprof; printf '%s\\n' "${{COMPREPLY[@]}}" """
    done = subprocess.run(["bash", "-c", script, "bash", *words], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return set(done.stdout.split())


def test_bash_completes_commands_options_and_values(cprof):
    assert bash("cprof", "") == {*COMMANDS, "--help", "--version"}
    assert bash("cprof", "di") == {"diff"}
    for command in COMMANDS:
        assert bash("cprof", command, "-") == options(cprof, command) | {"--help"}
    assert bash("cprof", "diff", "--nor") == {"--normalize"}
    assert bash("cprof", "diff", "--normalize", "t") == {"total"}
    assert bash("cprof", "top", "--type", "") == {"cpython", "ruby", "v8js", "native", "kernel"}
    assert bash("cprof", "top", "--value", "inuse") == {"inuse_objects", "inuse_space"}
    assert bash("cprof", "top", "--by", "") == {"function", "line", "file", "module", "type", "thread", "stack", "label:"}
    assert bash("cprof", "completion", "") == {"bash", "zsh", "fish", "--help"}
    assert bash("cprof", "top", "prof") == set()  # files are bash's own


def test_zsh_completes_commands_options_and_values(cprof, tmp_path):
    zsh = shutil.which("zsh")
    if not zsh:
        pytest.skip("no zsh on this machine")
    script = cprof("completion", "zsh").stdout
    assert script.startswith("#compdef cprof\n")
    # Outside an editor nothing completes; what the function asks for is what counts.
    (tmp_path / "ask").write_text(f"""
        compdef() {{ : }}
        _describe() {{ print -l -- ${{(P)2}} }}
        _arguments() {{ print -l -- "$@" }}
        eval "$({COMMAND} completion zsh)"
        words=("$@") CURRENT=$#; _cprof
    """)

    def ask(*words):
        done = subprocess.run([zsh, "-f", tmp_path / "ask", *words], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    # The function is called from the script itself: the last lines take it for being loaded.
    assert [line.split(":")[0] for line in ask("cprof", "")] == COMMANDS
    for command in COMMANDS:
        found = {re.match(r"(--?[a-z-]+)\[", line)[1] for line in ask("cprof", command, "-") if line[0] == "-"}
        assert found == options(cprof, command)
    assert "--normalize[\"second\", \"total\" or \"none\", where the choice above does not fit]:value:(second total none)" in ask(
        "cprof", "diff", "-")


def test_fish_completes_commands_options_and_values(cprof, tmp_path):
    fish = shutil.which("fish")
    if not fish:
        pytest.skip("no fish on this machine")

    def offered(line):
        script = f"{COMMAND} completion fish | source; complete -C '{line}'"
        done = subprocess.run([fish, "--no-config", "-c", script], capture_output=True, text=True, timeout=60,
                              cwd=tmp_path, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"})
        assert (done.returncode, done.stderr) == (0, "")
        return {line.split("\t")[0] for line in done.stdout.splitlines()}

    assert offered("cprof ") == set(COMMANDS)
    for command in COMMANDS[:-1]:
        assert offered(f"cprof {command} -") - {"-h", "--help"} == options(cprof, command)
    assert offered("cprof diff --normalize ") == {"second", "total", "none"}
    assert offered("cprof completion ") == {"bash", "zsh", "fish"}


def test_other_shells_are_wrong_usage(cprof):
    one_line(cprof("completion"), 2, "which shell")
    one_line(cprof("completion", "tcsh"), 2, "tcsh")
    one_line(cprof("completion", "bash", "zsh"), 2)


def test_the_man_page_has_every_command_and_option(cprof):
    text = (ROOT / "docs" / "cprof.1").read_text().replace("\\-", "-")
    for command in COMMANDS:
        assert f"\\fBcprof {command}\\fR" in text and f".TP\n.B {command}\n" in text
        for option in options(cprof, command):
            assert re.search(rf"^\.BI? .*{option}(?![a-z-])", text, re.M), (command, option)


def test_the_man_page_is_right_for_groff():
    if not shutil.which("groff"):
        pytest.skip("no groff on this machine")
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", ROOT / "docs" / "cprof.1"], capture_output=True,
                          text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
