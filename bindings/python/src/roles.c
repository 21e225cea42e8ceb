#include "roles.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "greenlets.h"

/* The eval loop itself, and the pieces that compilers and the tail-calling interpreter make of
 * it. A trailing * matches the rest. */
static const char *const interpreter[] = {
    "_PyEval_EvalFrameDefault*",
    "_TAIL_CALL_*",
};

/* What stands between a call in Python and the eval loop or C function that it runs, and
 * between the process's start and its first line of Python. */
static const char *const plumbing[] = {
    "_PyEval_EvalFrame",
    "_PyEval_EvalFrame.*",
    "_PyEval_Vector*",
    "_PyEval_EvalCode*",
    "_PyFunction_Vectorcall*",
    "_PyFunctionVectorcall*",
    "_PyObject_Call",
    "_PyObject_Call.*",
    "_PyObject_Call_Prepend*",
    "_PyObject_CallMethod*",
    "_PyObject_CallFunction*",
    "_PyObject_CallNoArg*",
    "_PyObject_FastCall*",
    "_PyObject_MakeTpCall*",
    "_PyObject_Vectorcall*",
    "_PyVectorcall_Call*",
    "PyObject_Call",
    "PyObject_CallFunction*",
    "PyObject_CallMethod*",
    "PyObject_CallNoArgs",
    "PyObject_CallObject",
    "PyObject_CallOneArg",
    "PyObject_Vectorcall*",
    "PyVectorcall_Call",
    "PyEval_CallObject*",
    "PyEval_EvalCode*",
    "PyEval_EvalFrame*",
    "PyCFunction_Call",
    "function_code_fastcall*",
    "call_function*",
    "do_call_core*",
    "trace_call_function*",
    "object_vacall*",
    "cfunction_call*",
    "cfunction_vectorcall_*",
    "method_vectorcall*",
    "vectorcall_method*",
    "vectorcall_maybe*",
    "vectorcall_unbound*",
    "call_unbound*",
    "call_attribute*",
    "slot_*", /* a type's, which look up a class's method and call it */
    "_Py_slot_tp_*",
    "wrapperdescr_call*",
    "wrapper_call*",
    "gen_send_ex*",
    "gen_iternext*",
    "gen_send",
    "gen_send.*",
    "PyGen_Send*",
    "PyGen_am_send*",
    "PyIter_Send*",
    "builtin_exec",
    "builtin_exec.*",
    "builtin_exec_impl*",
    "builtin_eval",
    "builtin_eval.*",
    "builtin_eval_impl*",
    "run_eval_code_obj*",
    "run_mod*",
    "pyrun_file*",
    "pyrun_simple_file*",
    "_PyRun_SimpleFile*",
    "_PyRun_AnyFile*",
    "PyRun_*",
    "pymain_*",
    "Py_RunMain*",
    "Py_BytesMain*",
    "Py_Main*",
    "thread_run*",
    "pythread_wrapper*",
    "main",
    "py_trampoline_evaluator*", /* -X perf */
    "entry_call*",              /* ours, around the first function of a thread */
    "turns_poll*",              /* and around an event loop's wait */
    "turns_set_running*",
    /* The same by the names that cfunctions.h knows them by. */
    "cprof._cprof.*",
    "exec",
    "eval",
    "generator.__next__",
    "generator.send",
    "coroutine.send",
    "wrapper_descriptor.__call__",
    "method-wrapper.__call__",
    "method_descriptor.__call__",
    "classmethod_descriptor.__call__",
    "builtin_function_or_method.__call__",
    "method.__call__",
    "function.__call__",
};

/* CPython's trampolines for perf (-X perf), by the names in its map: one runs the eval loop for
 * one function, whose own frame has the name as well. They lie in no file. */
static const char trampoline[] = "py::*";

/* Where a greenlet's own stack begins. Whoever started it has long gone on, and its stack with
 * it: what lies there is another greenlet's or nobody's. */
static const char greenlet_base[] = "_ZN8greenlet12UserGreenlet15inner_bootstrap*";

static bool matches(const char *symbol, const char *pattern)
{
    const char *star = strchr(pattern, '*');

    if (star == NULL)
        return strcmp(symbol, pattern) == 0;
    return strncmp(symbol, pattern, (size_t)(star - pattern)) == 0;
}

static bool listed(const char *symbol, const char *const *patterns, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (matches(symbol, patterns[i]))
            return true;
    return false;
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

/* True for the interpreter's own file and for this extension. */
static bool is_python(const char *module)
{
    const char *name = file_name(module);

    return strncmp(name, "python", 6) == 0 || strncmp(name, "libpython", 9) == 0 ||
           strncmp(name, "_cprof.", 7) == 0;
}

enum cprof_role roles_of(const char *symbol, const char *module)
{
    const bool python = module != NULL && is_python(module);

    /* A distribution's interpreter is stripped: what has no name there, nor one that Python
     * calls it by, is a static function of CPython, and often one of those above. */
    if (symbol == NULL)
        return python ? CPROF_ROLE_PLUMBING : CPROF_ROLE_PLAIN;
    /* An embedder may have linked the interpreter into a file of any name, but the eval loop's
     * name is nobody else's. The others must be where they belong. */
    if (listed(symbol, interpreter, sizeof interpreter / sizeof interpreter[0]))
        return CPROF_ROLE_INTERPRETER;
    if (module != NULL && strncmp(file_name(module), "_greenlet.", 10) == 0) {
        greenlets_met();
        if (matches(symbol, greenlet_base))
            return CPROF_ROLE_BASE;
    }
    if (module != NULL && module[0] == '\0' && matches(symbol, trampoline))
        return CPROF_ROLE_PLUMBING;
    if (python && listed(symbol, plumbing, sizeof plumbing / sizeof plumbing[0]))
        return CPROF_ROLE_PLUMBING;
    return CPROF_ROLE_PLAIN;
}
