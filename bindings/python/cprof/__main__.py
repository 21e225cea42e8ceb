"""python -m cprof [-o OUT] [--rate N] [--types LIST] (SCRIPT | -m MODULE) [ARGS]"""

import argparse
import builtins
import io
import os
import runpy
import sys
import types

import cprof

_DEFAULT_OUTPUT = "cprof-%p.html"


def _parse(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m cprof", allow_abbrev=False,
        usage="python -m cprof [-o OUT] [--rate N] [--types LIST] (SCRIPT | -m MODULE) [ARGS]",
        description="Run a Python program profiled.")
    parser.add_argument("-o", dest="output", metavar="OUT",
                        help="the file to write; its ending picks the format "
                             "(.html .pb.gz .otlp .collapsed .speedscope.json)")
    parser.add_argument("--rate", type=int, metavar="N",
                        help="samples per second of CPU time and thread")
    parser.add_argument("--types", metavar="LIST", help="cpu")
    parser.add_argument("-m", dest="module", metavar="MODULE", nargs=argparse.REMAINDER,
                        help="run a library module, as python -m does")
    parser.add_argument("script", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.command = options.module or options.script
    if not options.command:
        parser.error("a SCRIPT or -m MODULE is needed")
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
        return compile(file.read(), path, "exec", dont_inherit=True)


def _prepare_script(path):
    if os.path.isdir(path) or path.endswith((".zip", ".pyz")):
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


def _say_where():
    pattern = cprof._cprof.output()
    if pattern:
        path = pattern.replace("%p", str(os.getpid()))
        print(f"cprof: profile written to {path}", file=sys.stderr)


def main():
    options = _parse(sys.argv[1:])
    output = _output(options)
    try:
        run = _prepare(options)
    except OSError as error:
        sys.exit(f"cprof: {options.command[0]}: {error.strerror}")
    try:
        cprof.start(output=output, rate=options.rate, types=options.types)
    except (ValueError, RuntimeError) as error:
        sys.exit(f"cprof: {error}")
    _hide_ourselves()
    cprof._cprof.hide_below(run.__code__)
    try:
        run()
    finally:
        if cprof.stop():
            _say_where()


if __name__ == "__main__":
    main()
