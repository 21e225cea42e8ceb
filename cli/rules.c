#include "rules.h"

#include <string.h>

#define PYTHON_IMPORT "_find_and_load*@<frozen importlib._bootstrap>|*@*importlib/_bootstrap.py"
#define NODE_REQUIRE "*@node:internal/modules/*"
#define RUBY_REQUIRE                                                                           \
    "Kernel#require|Kernel#require_relative|Kernel#load|Kernel.require|Kernel.load|"           \
    "*@*/zeitwerk/*|*@*/bootsnap/*"
#define QUERIES                                                                                \
    "*execute*@*/sqlalchemy/*|*execute*@*/psycopg*|*execute*@*/django/db/*|"                   \
    "sqlite3.*.execute*|*execute*@*/pymysql/*|*execute*@*/MySQLdb/*|*fetch*@*/asyncpg/*|"      \
    "*#exec_query*|*#execute*@*/active_record/*|*#internal_exec_query|PG::Connection#exec*|"   \
    "Mysql2::Client#query|SQLite3::*#step|*query*@*/node_modules/pg/*|"                        \
    "*query*@*/node_modules/mysql*|*@*/node_modules/knex/*"

const char rule_handlers[] =
    "*handle_request@*/gunicorn/workers/*|*.run_asgi@*/uvicorn/protocols/*|"
    "*.__call__@*/django/core/handlers/*|*get_response@*/django/core/handlers/*|"
    "Flask.wsgi_app@*|Flask.full_dispatch_request@*|*@*/starlette/routing.py|"
    "*_handle_request@*/aiohttp/web_protocol.py|*.finish_request@*/socketserver.py|"
    "*Puma::*#handle_request*|*#process_client@*/unicorn/*|Rack::*#call|Rails::Engine#call|"
    "Sinatra::Base#call*|parserOnIncoming*@node:_http_server|*handle*@*/node_modules/express/*|"
    "*@*/node_modules/fastify/lib/handleRequest.js";

const struct rule rules[] = {
    /* --- Python --- */
    {"regex-compiled", "Regular expressions are compiled again and again",
     "Compile them once, when the module is loaded; re keeps no more than 512.", RULE_PYTHON,
     "compile@*/re/_compiler.py|compile@*/sre_compile.py|_compile@*/re/__init__.py|"
     "_compile@*/lib/python*/re.py",
     PYTHON_IMPORT, .threshold = 0.05},
    {"json-in-python", "JSON is read or written by json's Python code instead of its C code",
     "Leave out indent and encoders of your own where it counts, or take orjson.", RULE_PYTHON,
     "py_scanstring@*/json/decoder.py|JSONObject@*/json/decoder.py|"
     "JSONArray@*/json/decoder.py|*_scan_once@*/json/scanner.py|"
     "py_encode_basestring*@*/json/encoder.py|*_iterencode*@*/json/encoder.py",
     .threshold = 0.03},
    {"json", "JSON takes much of the time",
     "Send less of it, keep what is encoded, or take a faster codec (orjson, msgspec, Oj).",
     RULE_PYTHON | RULE_RUBY | RULE_NATIVE,
     "*@*/json/encoder.py|*@*/json/decoder.py|*@*/json/__init__.py|*@*/simplejson/*|"
     "*@*/orjson*.so|*@*/ujson*.so|JSON.generate|JSON.parse|JSON.dump|JSON.load|"
     "JSON::Ext::*|JSON::Coder#*|*#to_json|Oj.dump|Oj.load",
     PYTHON_IMPORT, .behind = "json-in-python", .threshold = 0.25},
    {"pickle", "pickle or Marshal takes much of the time",
     "Pass less between processes, or share it (shared_memory); keep what is encoded.",
     RULE_PYTHON | RULE_RUBY | RULE_NATIVE,
     "_pickle_*|*@*/_pickle*.so|*@*/multiprocessing/reduction.py|_Pickler.*@*/pickle.py|"
     "_Unpickler.*@*/pickle.py|Marshal.dump|Marshal.load",
     .behind = "pickle-in-python", .threshold = 0.2},
    {"pickle-in-python", "pickle's Python code runs instead of its C code",
     "Use pickle.Pickler as it is: a class that inherits from _Pickler is many times slower.",
     RULE_PYTHON, "_Pickler.*@*/pickle.py|_Unpickler.*@*/pickle.py", .threshold = 0.02},
    {"yaml-in-python", "YAML is parsed by Python code",
     "Load it with yaml.CSafeLoader, libyaml's, or keep the result.", RULE_PYTHON,
     "Reader.*@*/yaml/reader.py|Scanner.*@*/yaml/scanner.py|Parser.*@*/yaml/parser.py|"
     "Composer.*@*/yaml/composer.py",
     PYTHON_IMPORT, .threshold = 0.03},
    {"protobuf-in-python", "protobuf's pure Python implementation is in use",
     "Install protobuf's wheel with upb, or unset PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION.",
     RULE_PYTHON,
     "*@*/google/protobuf/internal/python_message.py|*@*/google/protobuf/internal/decoder.py|"
     "*@*/google/protobuf/internal/encoder.py",
     .threshold = 0.03},
    {"msgpack-in-python", "msgpack's Python fallback is in use",
     "Install a wheel of msgpack with its extension.", RULE_PYTHON, "*@*/msgpack/fallback.py",
     .threshold = 0.02},
    {"decimal-in-python", "decimal's Python code runs instead of its C code",
     "Use a Python with _decimal.", RULE_PYTHON, "*@*/_pydecimal.py", .threshold = 0.01},
    {"strptime", "Times are parsed by strptime", "Use datetime.fromisoformat() for ISO 8601.",
     RULE_PYTHON, "*@*/_strptime.py", .threshold = 0.05},
    {"imports-in-request", "Modules are imported within requests",
     "Import them at the top of the module, so that starting pays for it.", RULE_PYTHON,
     PYTHON_IMPORT, .in_request = true, .threshold = 0.02},
    {"deepcopy", "Objects are copied deeply",
     "Copy what changes alone, or keep the data immutable.", RULE_PYTHON, "deepcopy@*/copy.py",
     .threshold = 0.08},
    {"dataclass-asdict", "dataclasses.asdict() copies whole trees",
     "Serialize the fields that are needed, or vars() where it is flat.", RULE_PYTHON,
     "asdict@*/dataclasses.py|_asdict_inner@*/dataclasses.py", .threshold = 0.08},
    {"tracebacks", "Tracebacks are formatted: exceptions as control flow, or logged in a loop",
     "Test before instead of catching after; log the message alone.", RULE_PYTHON,
     "*@*/traceback.py|*@*/linecache.py", .threshold = 0.03},
    {"inspect-stack", "inspect.stack() reads source files for each frame",
     "Use sys._getframe(), or a logger's stacklevel.", RULE_PYTHON,
     "stack@*/inspect.py|getouterframes@*/inspect.py|getframeinfo@*/inspect.py",
     .threshold = 0.03},
    {"abc-isinstance", "isinstance() against abstract base classes",
     "Test for concrete classes where it is hot.", RULE_PYTHON,
     "ABCMeta.__instancecheck__@*abc*|ABCMeta.__subclasscheck__@*abc*", .threshold = 0.08},
    {"tracer", "A tracer or debugger is on: what is measured is not what runs elsewhere",
     "Profile without coverage, pdb and debug middleware.", RULE_PYTHON,
     "*trace_dispatch@*/bdb.py|*@*/coverage/*|*@*/pydevd*|*@*/werkzeug/debug/*|"
     "*@*/debug_toolbar/*",
     .threshold = 0.03},
    {"logging", "Much of the time goes into logging",
     "Log less where it is hot; leave formatting to the logger (\"%s\", value).", RULE_PYTHON,
     "Logger.*@*/logging/__init__.py", .threshold = 0.2},
    {"python-gc", "Python's cyclic garbage collector takes much of the time",
     "gc.freeze() after start, or a higher gc.set_threshold().", RULE_NATIVE | RULE_PYTHON,
     "gc_collect_main*|gc_collect_region*|gc_collect_generations|gc_collect_young*|"
     "gc_collect_increment*|gc.collect|deduce_unreachable",
     .threshold = 0.1},
    /* --- Ruby --- */
    {"ruby-regex-compiled", "Regular expressions are compiled again and again",
     "Keep them in constants; /#{…}/o or Regexp.union once.", RULE_RUBY | RULE_NATIVE,
     "Regexp#initialize|Regexp.new|Regexp.compile|Regexp.union|rb_reg_initialize*|onig_new*|"
     "onig_compile*",
     RUBY_REQUIRE, .threshold = 0.05},
    {"json-in-ruby", "JSON is read or written by json's Ruby code",
     "Load json's extension (json/ext), or Oj.", RULE_RUBY,
     "JSON::Pure::*|*@*/json/pure/*|*@*/json/truffle_ruby/*", .threshold = 0.02},
    {"autoload-in-request", "Code is loaded within requests",
     "Load all of it at start: config.eager_load, Zeitwerk's eager_load.", RULE_RUBY,
     RUBY_REQUIRE, .in_request = true, .threshold = 0.02},
    {"ruby-backtraces", "Backtraces are made: exceptions as control flow",
     "Test before instead of rescuing after; raise with an empty backtrace; "
     "caller_locations(1, 1).",
     RULE_RUBY | RULE_NATIVE,
     "Exception#backtrace*|Exception#set_backtrace|Kernel#caller|Kernel#caller_locations|"
     "setup_exception|rb_ec_partial_backtrace_object|rb_ec_backtrace_*",
     .threshold = 0.05},
    {"method-missing", "Calls go through method_missing", "Define the methods once.", RULE_RUBY,
     "*#method_missing|*.method_missing", .threshold = 0.1},
    {"methods-in-request", "Methods are defined within requests, which clears method caches",
     "Define them at start; no extend of single objects.", RULE_RUBY,
     "Module#define_method|Kernel#extend|Object#extend|BasicObject#instance_eval|"
     "Kernel#define_singleton_method|Object#define_singleton_method",
     RUBY_REQUIRE, .in_request = true, .threshold = 0.03},
    {"ruby-gc", "Ruby's garbage collector takes much of the time",
     "Allocate less (--types alloc shows where); a larger RUBY_GC_HEAP_INIT_SLOTS.", RULE_RUBY,
     "(garbage collector)", .threshold = 0.3},
    /* --- JavaScript --- */
    {"json-on-event-loop", "JSON.stringify and JSON.parse hold up the event loop",
     "Send less, stream it, or give it to a worker.", RULE_JS | RULE_NATIVE,
     "JsonStringify|JsonParse|Builtins_JsonStringify|Builtins_JsonParse|JSON.stringify|"
     "JSON.parse|v8::internal::JsonStringify*|v8::internal::JsonParser*",
     NODE_REQUIRE, .threshold = 0.15},
    {"sync-on-event-loop", "A synchronous call holds up the event loop",
     "Use the promise: fs.promises, zlib's and crypto's asynchronous calls.", RULE_JS,
     "*Sync@node:fs|*Sync@node:zlib|*Sync@node:child_process|*Sync@node:internal/crypto/*|"
     "*Sync@node:crypto|processChunkSync@node:zlib|zlibBufferSync@node:zlib",
     NODE_REQUIRE, .threshold = 0.05},
    {"require-in-request", "Modules are loaded within requests",
     "require() and import at the top of the module.", RULE_JS,
     "Module._load@node:internal/modules/*|Module._compile@node:internal/modules/*|"
     "Module.load@node:internal/modules/*",
     .in_request = true, .threshold = 0.02},
    {"clone-deep", "Objects are copied deeply", "Copy what changes alone.",
     RULE_JS | RULE_NATIVE, "structuredClone*|cloneDeep*|baseClone*", .threshold = 0.08},
    {"js-stack-traces", "Stack traces are made: exceptions as control flow",
     "Return what failed instead of throwing it; Error.stackTraceLimit.", RULE_JS | RULE_NATIVE,
     "*prepareStackTrace*|ErrorCaptureStackTrace|*captureLargerStackTrace*|"
     "v8::internal::Isolate::CaptureAndSetErrorStack*",
     .threshold = 0.05},
    {"intl-formatters", "Formatters of Intl are made again and again",
     "Make an Intl.DateTimeFormat or NumberFormat once and keep it.", RULE_JS | RULE_NATIVE,
     "DatePrototypeToLocale*|NumberPrototypeToLocaleString|DateTimeFormatConstructor|"
     "NumberFormatConstructor|v8::internal::JSDateTimeFormat::New*",
     .threshold = 0.05},
    {"node-gc", "V8's garbage collector takes much of the time",
     "Allocate less (--types alloc shows where); a larger --max-semi-space-size.", RULE_JS,
     "(garbage collector)", .threshold = 0.25},
    /* --- any language --- */
    {"tls-handshakes", "TLS handshakes take much of the time",
     "Keep connections open and use them again.", RULE_ANY,
     "SSL_do_handshake|SSL_connect|SSL_accept|*SSLSocket.do_handshake*|"
     "OpenSSL::SSL::SSLSocket#connect*|OpenSSL::SSL::SSLSocket#accept*|state_machine@*libssl*",
     .threshold = 0.1},
    {"tls-handshake-per-request", "Many requests make a TLS handshake of their own",
     "Keep a client with its connections for all requests.", RULE_ANY,
     "SSL_do_handshake|SSL_connect|*SSLSocket.do_handshake*|OpenSSL::SSL::SSLSocket#connect*",
     .measure = RULE_SPANS, .threshold = 0.25},
    {"certificates-loaded", "The system's certificates are loaded again and again",
     "Make one SSL context, or one HTTP client, and keep it.", RULE_ANY,
     "SSL_CTX_load_verify*|SSL_CTX_set_default_verify*|X509_load_cert*|"
     "*load_verify_locations|*load_default_certs|create_default_context@*/ssl.py|"
     "OpenSSL::X509::Store#set_default_paths",
     PYTHON_IMPORT, .threshold = 0.05},
    {"queries-n-plus-1", "One request makes the same kind of query again and again (N+1)",
     "Fetch the rows in one query: joinedload, prefetch_related, includes, IN (…).", RULE_ANY,
     QUERIES, .measure = RULE_REPEAT, .threshold = 10},
    {"gil-convoy", "Threads wait for the interpreter's lock (GIL)",
     "Fewer threads and more processes; release the lock in long C calls.", RULE_ANY, NULL,
     .measure = RULE_LABEL, .value = "off_cpu", .label_key = "wait.reason",
     .label_value = "gil", .threshold = 0.5},
    {"gvl-convoy", "Threads wait for the interpreter's lock (GVL)",
     "Fewer threads and more processes.", RULE_ANY, NULL, .measure = RULE_LABEL,
     .value = "off_cpu", .label_key = "wait.reason", .label_value = "gvl", .threshold = 0.5},
    {"lock-contention", "Threads wait for a lock",
     "Hold it for less, or divide what it guards.", RULE_ANY, NULL, .measure = RULE_COLUMN,
     .value = "delay", .threshold = 0.5},
    {"exceptions", "Exceptions are raised at a high rate",
     "Test before instead of catching after.", RULE_ANY, NULL, .measure = RULE_RATE,
     .value = "exceptions", .threshold = 1000},
};
const size_t rule_count = sizeof(rules) / sizeof(rules[0]);
_Static_assert(sizeof(rules) / sizeof(rules[0]) <= RULES_MOST, "a rule is a bit");

/* "*" stands for anything; the pattern ends at `end`. */
static bool is_like(const char *pattern, const char *end, const char *text)
{
    const char *star = NULL, *retry = NULL;
    for (;;) {
        if (pattern < end && *pattern == '*') {
            star = ++pattern;
            retry = text;
        } else if (pattern < end && *text && *pattern == *text) {
            pattern++;
            text++;
        } else if (pattern == end && !*text) {
            return true;
        } else if (star && *retry) {
            pattern = star;
            text = ++retry;
        } else {
            return false;
        }
    }
}

/* Not everybody tells the folders of a file: a pattern that begins with any is of none too. */
static bool is_path_like(const char *pattern, const char *end, const char *path)
{
    const bool folders = end - pattern > 2 && pattern[0] == '*' && pattern[1] == '/';
    return is_like(pattern, end, path) || (folders && is_like(pattern + 2, end, path));
}

bool rule_matches(const char *patterns, const char *name, const char *file, const char *module)
{
    for (const char *at = patterns; *at; at += *at == '|') {
        const char *end = at + strcspn(at, "|"), *file_at = at + strcspn(at, "@|");
        if (is_like(at, file_at, name)) {
            const char *begin = file_at + 1;
            if (file_at == end || is_path_like(begin, end, file) ||
                is_path_like(begin, end, module))
                return true;
        }
        at = end;
    }
    return false;
}
