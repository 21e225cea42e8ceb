"""python -m cprof [-o OUT] [--rate N] [--types LIST] (SCRIPT | - | -m MODULE | -c CODE) [ARGS]"""

import argparse
import atexit
import builtins
import importlib.util
import io
import marshal
import os
import pkgutil
import runpy
import shutil
import sys
import tempfile
import types
# Before the program runs: gevent puts its own in their place, which wait for its loop.
from os import posix_spawn, waitpid

import cprof

_DEFAULT_OUTPUT = "cprof-%p.html"


def _parse(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m cprof", allow_abbrev=False,
        usage="python -m cprof [-o OUT] [--rate N] [--types LIST] "
              "(SCRIPT | - | -m MODULE | -c CODE) [ARGS]",
        description="Run a Python program profiled.")
    parser.add_argument("-o", dest="output", metavar="OUT",
                        help="the file to write; its ending picks the format "
                             "(.html .pb.gz .otlp .collapsed .speedscope.json)")
    parser.add_argument("--rate", type=int, metavar="N",
                        help="samples per second of CPU time and thread")
    parser.add_argument("--types", metavar="LIST",
                        help="what to measure; cpu, offcpu, wall, alloc, heap, lock, blame, exception, "
                             "gc")
    parser.add_argument("-m", dest="module", metavar="MODULE", nargs=argparse.REMAINDER,
                        help="run a library module, as python -m does")
    parser.add_argument("-c", dest="code", metavar="CODE", nargs=argparse.REMAINDER,
                        help="run this text, as python -c does")
    parser.add_argument("script", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.command = options.module or options.code or options.script
    if not options.command:
        parser.error("a SCRIPT, -m MODULE or -c CODE is needed")
    return options


def _output(options):
    """Where the profile goes when neither the command line nor the environment says so."""
    if options.output or os.environ.get("CPROF_OUTPUT") or os.environ.get("CPROF_EXPORTER"):
        return options.output
    return _DEFAULT_OUTPUT


def _script_globals(path):
    """A fresh __main__, as python SCRIPT makes it."""
    module = types.ModuleType("__main__")
    module.__dict__.update(__file__=path, __builtins__=builtins, __cached__=None)
    sys.modules["__main__"] = module
    return module.__dict__


def _script_code(path):
    with io.open_code(path) as file:
        text = file.read()
    if text.startswith(importlib.util.MAGIC_NUMBER):  # python runs compiled files as well
        return marshal.loads(text[16:])
    return compile(text, path, "exec", dont_inherit=True)


def _prepare_text(text, name):
    """Of -c and of standard input."""
    code = compile(text, name, "exec", dont_inherit=True)
    sys.path[0] = ""
    variables = _script_globals(name)
    del variables["__file__"]
    return lambda: exec(code, variables)


def _prepare_script(path):
    # A folder or a zip file, whatever its name: what python asks, too.
    if pkgutil.get_importer(path) is not None:
        return lambda: runpy.run_path(path, run_name="__main__")
    code = _script_code(path)
    sys.path[0] = os.path.dirname(os.path.realpath(path))
    variables = _script_globals(path)
    return lambda: exec(code, variables)


def _prepare(options):
    """Sets sys.argv and sys.path as the program expects them; returns what runs it."""
    sys.argv[:] = options.command
    if options.module:
        sys.path[0] = os.getcwd()
        return lambda: runpy._run_module_as_main(options.command[0])
    if options.code:
        sys.argv[0] = "-c"
        return _prepare_text(options.command[0], "<string>")
    if options.command[0] == "-":
        return _prepare_text(sys.stdin.read(), "<stdin>")
    return _prepare_script(options.command[0])


def _hide_ourselves():
    """Tracebacks begin with the program's first frame, not with ours."""
    original = sys.excepthook

    def excepthook(kind, error, traceback):
        while traceback is not None and (
                traceback.tb_frame.f_globals.get("__name__") == "runpy"
                or traceback.tb_frame.f_code.co_filename == __file__):
            traceback = traceback.tb_next
        original(kind, error.with_traceback(traceback), traceback)

    sys.excepthook = excepthook


class _Table:
    """The hottest functions at the end, on standard error, as `cprof run` shows them: from a
    profile of its own, since a page can't be read back."""

    def __enter__(self):
        self._process = os.getpid()  # a forked child ends here too, and shows nothing
        self._folder = tempfile.mkdtemp(prefix="cprof-")
        self._path = os.path.join(self._folder, "table.pb.gz")
        self._block = cprof.profile(self._path)
        self._block.__enter__()

    def __exit__(self, *unused):
        self._block.__exit__(None, None, None)

    def show(self):
        if os.getpid() != self._process:
            return
        try:
            if os.path.exists(self._path):
                self._print()
        except OSError:  # without the command, or without children to wait for
            pass
        shutil.rmtree(self._folder, ignore_errors=True)

    def _print(self):
        command = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bin", "cprof")
        arguments = ["cprof", "top", "-n", "15", self._path]
        print(file=sys.stderr, flush=True)
        child = posix_spawn(command, arguments, os.environ,
                            file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
        waitpid(child, 0)


def _written():
    pattern = cprof._cprof.output()
    return pattern and pattern.replace("%p", str(os.getpid()))


def _finish(table, where):
    """At exit: below the traceback, if there is one."""
    try:
        sys.stdout.flush()
    except (AttributeError, ValueError, OSError):  # the program has closed it
        pass
    table.show()
    if where:
        print(f"cprof: profile written to {where}", file=sys.stderr)


def main():
    options = _parse(sys.argv[1:])
    output = _output(options)
    _hide_ourselves()
    try:
        run = _prepare(options)
    except OSError as error:
        sys.exit(f"cprof: {options.command[0]}: {error.strerror}")
    try:
        cprof.start(output=output, rate=options.rate, types=options.types)
    except (ValueError, RuntimeError) as error:
        sys.exit(f"cprof: {error}")
    cprof._cprof.hide_below(run.__code__)
    table = _Table()
    try:
        with table:
            run()
    finally:
        where = _written()
        atexit.register(_finish, table, where if cprof.stop() else None)


if __name__ == "__main__":
    main()
