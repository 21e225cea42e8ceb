#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <unistd.h>
#include <setjmp.h>
#include <cmocka.h>

#include "config/config.h"

static struct config config;
static char error[256];

/* Every test begins with an environment that says nothing. */
static int empty_environment(void **state)
{
    (void)state;
    clearenv();
    error[0] = '\0';
    return 0;
}

static int release(void **state)
{
    (void)state;
    config_free(&config);
    return 0;
}

static void load(const struct cprof_options *options)
{
    int status = config_load(&config, options, error, sizeof error);
    if (status != 0)
        fail_msg("%s", error);
}

static const char *value_of(const struct pairs *pairs, const char *key)
{
    for (size_t i = 0; i < pairs->count; i++)
        if (strcmp(pairs->list[i].key, key) == 0)
            return pairs->list[i].value;
    return "";
}

static void defaults_are_those_of_the_interface(void **state)
{
    (void)state;
    load(NULL);
    assert_int_equal(config.sources.period[SOURCE_CPU], 10000000);
    assert_true(config.interval == 10.0);
    assert_true(config.native);
    assert_int_equal(config.max_frames, 512);
    assert_int_equal(config.memory_limit, 32 << 20);
    assert_true(config.otlp);
    assert_null(config.output);
    assert_string_equal(config.profiles.url, "http://localhost:4318/v1development/profiles");
    assert_true(config.profiles.timeout == 10.0);
    assert_int_equal(config.profiles.packing, PACK_GZIP);
    assert_string_equal(config.service_name, "unknown_service:config_test");
}

static void
nonsense_is_one_line_that_names_the_variable_the_value_and_what_is_allowed(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value, *line;
    } cases[] = {
        {"CPROF_RATE", "fast", "CPROF_RATE=fast: must be a whole number from 1 to 1000"},
        {"CPROF_RATE", "0", "CPROF_RATE=0: must be a whole number from 1 to 1000"},
        {"CPROF_RATE", "1001", "CPROF_RATE=1001: must be a whole number from 1 to 1000"},
        {"CPROF_RATE", "99.5", "CPROF_RATE=99.5: must be a whole number from 1 to 1000"},
        {"CPROF_RATE", "-1", "CPROF_RATE=-1: must be a whole number from 1 to 1000"},
        {"CPROF_INTERVAL", "0", "CPROF_INTERVAL=0: must be seconds from 0.1 to 86400"},
        {"CPROF_INTERVAL", "nan", "CPROF_INTERVAL=nan: must be seconds from 0.1 to 86400"},
        {"CPROF_INTERVAL", "10h", "CPROF_INTERVAL=10h: must be seconds from 0.1 to 86400"},
        {"CPROF_NATIVE", "yes", "CPROF_NATIVE=yes: must be on or off"},
        {"CPROF_KERNEL", "1", "CPROF_KERNEL=1: must be on or off"},
        {"CPROF_MAX_FRAMES", "0", "CPROF_MAX_FRAMES=0: must be a whole number from 1 to 4096"},
        {"CPROF_MEMORY_LIMIT", "1M",
         "CPROF_MEMORY_LIMIT=1M: must be bytes, as 64M or 64MiB, at least 4M"},
        {"CPROF_MEMORY_LIMIT", "99999999999G",
         "CPROF_MEMORY_LIMIT=99999999999G: must be bytes, as 64M or 64MiB, at least 4M"},
        {"CPROF_LOG", "loud", "CPROF_LOG=loud: must be error, warn, info or debug"},
        {"CPROF_TYPES", "gpu",
         "CPROF_TYPES=gpu: gpu is no profile type; this version has cpu, offcpu, wall, alloc, "
         "heap, lock, blame, exception, gc"},
        {"CPROF_TYPES", "lock@0", "CPROF_TYPES=lock@0: lock takes a time from 1us to 1s"},
        {"CPROF_TYPES", "lock@2s", "CPROF_TYPES=lock@2s: lock takes a time from 1us to 1s"},
        {"CPROF_TYPES", " , ", "CPROF_TYPES= , : names no profile type"},
        {"CPROF_TYPES", "cpu@0hz", "CPROF_TYPES=cpu@0hz: cpu takes a rate from 1hz to 1000hz"},
        {"CPROF_TYPES", "cpu@1001",
         "CPROF_TYPES=cpu@1001: cpu takes a rate from 1hz to 1000hz"},
        {"CPROF_TYPES", "exception@0.5",
         "CPROF_TYPES=exception@0.5: exception takes a whole number N from 1 to 1000000: one "
         "in N is taken"},
        {"CPROF_TYPES", "exception@0",
         "CPROF_TYPES=exception@0: exception takes a whole number N from 1 to 1000000: one in "
         "N is taken"},
        {"CPROF_TYPES", "cpu@", "CPROF_TYPES=cpu@: cpu takes a rate from 1hz to 1000hz"},
        {"CPROF_TYPES", "@100hz",
         "CPROF_TYPES=@100hz:  is no profile type; this version has cpu, offcpu, wall, alloc, "
         "heap, lock, blame, exception, gc"},
        {"CPROF_EXPORTER", "kafka",
         "CPROF_EXPORTER=kafka: must be a list of otlp, pyroscope, parca, file, none"},
        {"CPROF_EXPORTER", "file", "CPROF_EXPORTER=file: needs CPROF_OUTPUT, the file's path"},
        {"CPROF_LABELS", "region", "CPROF_LABELS: must be a list key=value,key=value"},
        {"CPROF_LABELS", "=eu", "CPROF_LABELS: must be a list key=value,key=value"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317",
         "OTEL_EXPORTER_OTLP_ENDPOINT=localhost:4317: must be a URL that begins with http:// "
         "or https://, or unix:/path"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://me:secret@host?key=secret",
         "OTEL_EXPORTER_OTLP_ENDPOINT=ftp://host: must be a URL that begins with http:// "
         "or https://, or unix:/path"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT", "unix:otel.sock",
         "OTEL_EXPORTER_OTLP_ENDPOINT=unix:otel.sock: must be unix: and an absolute path of at "
         "most 107 bytes"},
        {"OTEL_EXPORTER_OTLP_TIMEOUT", "soon",
         "OTEL_EXPORTER_OTLP_TIMEOUT=soon: must be milliseconds from 1 to 10000000"},
        {"OTEL_EXPORTER_OTLP_COMPRESSION", "zip",
         "OTEL_EXPORTER_OTLP_COMPRESSION=zip: must be gzip, zstd or none"},
        {"OTEL_EXPORTER_OTLP_PROFILES_PROTOCOL", "http/json",
         "OTEL_EXPORTER_OTLP_PROFILES_PROTOCOL=http/json: must be http/protobuf or grpc"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        clearenv();
        setenv(cases[i].name, cases[i].value, 1);
        assert_int_equal(config_load(&config, NULL, error, sizeof error), -EINVAL);
        assert_string_equal(error, cases[i].line);
    }
}

static void arguments_win_over_variables_and_are_named_when_wrong(void **state)
{
    (void)state;
    setenv("CPROF_RATE", "nonsense", 1);
    setenv("OTEL_SERVICE_NAME", "environment", 1);
    setenv("CPROF_NATIVE", "on", 1);
    load(&(struct cprof_options){.rate = 250, .service_name = "argument", .native = "off"});
    assert_int_equal(config.sources.period[SOURCE_CPU], 4000000);
    assert_string_equal(config.service_name, "argument");
    assert_false(config.native);
    config_free(&config);
    assert_int_equal(config_load(&config, &(struct cprof_options){.rate = 5000}, error, 256),
                     -EINVAL);
    assert_string_equal(error, "rate=5000: must be a whole number from 1 to 1000");
}

static void an_empty_variable_counts_as_unset(void **state)
{
    (void)state;
    setenv("CPROF_RATE", "", 1);
    setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "", 1);
    setenv("CPROF_OUTPUT", "", 1);
    load(NULL);
    assert_int_equal(config.sources.period[SOURCE_CPU], 10000000);
    assert_true(config.otlp);
}

static void the_disabled_sdk_stays_disabled(void **state)
{
    (void)state;
    setenv("OTEL_SDK_DISABLED", "True", 1);
    assert_int_equal(config_load(&config, NULL, error, sizeof error), -ECANCELED);
    setenv("OTEL_SDK_DISABLED", "false", 1);
    load(NULL);
}

static void the_base_endpoint_gets_the_path_and_the_profiles_form_does_not(void **state)
{
    (void)state;
    setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4318/", 1);
    load(NULL);
    assert_string_equal(config.profiles.url, "https://collector:4318/v1development/profiles");
    config_free(&config);
    setenv("OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT", "https://other/in", 1);
    load(NULL);
    assert_string_equal(config.profiles.url, "https://other/in");
    config_free(&config);
    load(&(struct cprof_options){.endpoint = "http://mine:1/v1development/profiles"});
    assert_string_equal(config.profiles.url, "http://mine:1/v1development/profiles");
}

static void grpc_has_its_own_port_path_and_bare_addresses(void **state)
{
    (void)state;
    static const char method[] =
        "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export";
    static const struct {
        const char *endpoint, *insecure, *host;
    } cases[] = {
        {"", "", "http://localhost:4317"},
        {"https://collector:4317/", "", "https://collector:4317"},
        {"http://collector:4317/v1/profiles?x", "", "http://collector:4317"},
        {"collector:4317", "", "https://collector:4317"},
        {"collector:4317", "true", "http://collector:4317"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char url[256];
        setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", 1);
        setenv("OTEL_EXPORTER_OTLP_ENDPOINT", cases[i].endpoint, 1);
        setenv("OTEL_EXPORTER_OTLP_INSECURE", cases[i].insecure, 1);
        load(NULL);
        assert_int_equal(config.profiles.protocol, TRANSPORT_GRPC);
        snprintf(url, sizeof url, "%s%s", cases[i].host, method);
        assert_string_equal(config.profiles.url, url);
        assert_null(config.profiles.socket);
        config_free(&config);
    }
}

static void a_unix_socket_stands_for_the_host(void **state)
{
    (void)state;
    static const char *const addresses[] = {"unix:/run/otel.sock", "unix:///run/otel.sock"};
    for (size_t i = 0; i < 2; i++) {
        setenv("OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT", addresses[i], 1);
        load(NULL);
        assert_string_equal(config.profiles.url, "http://localhost/v1development/profiles");
        assert_string_equal(config.profiles.socket, "/run/otel.sock");
        config_free(&config);
    }
}

static void headers_are_decoded_and_the_special_ones_win(void **state)
{
    (void)state;
    setenv("OTEL_EXPORTER_OTLP_HEADERS", "a=1, auth=Basic%20x%3D ,b=%zz", 1);
    setenv("OTEL_EXPORTER_OTLP_PROFILES_HEADERS", "a=2", 1);
    const struct cprof_pair more = {"c", "3"};
    load(&(struct cprof_options){.headers = &more, .header_count = 1});
    assert_int_equal(config.profiles.headers.count, 4);
    assert_string_equal(value_of(&config.profiles.headers, "a"), "2");
    assert_string_equal(value_of(&config.profiles.headers, "auth"), "Basic x=");
    assert_string_equal(value_of(&config.profiles.headers, "b"), "%zz");
    assert_string_equal(value_of(&config.profiles.headers, "c"), "3");
}

static void the_service_name_comes_from_the_most_special_source(void **state)
{
    (void)state;
    setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=from%20resource,zone=a", 1);
    const struct cprof_pair known = {"zone", "binding"};
    const struct cprof_options options = {.resource = &known, .resource_count = 1};
    load(&options);
    assert_string_equal(config.service_name, "from resource");
    assert_string_equal(value_of(&config.resource, "zone"), "a");
    config_free(&config);
    setenv("OTEL_SERVICE_NAME", "from name", 1);
    load(&options);
    assert_string_equal(config.service_name, "from name");
}

static void backends_have_addresses_and_keys_of_their_own(void **state)
{
    (void)state;
    setenv("OTEL_EXPORTER_OTLP_HEADERS", "key=of-otlp", 1);
    setenv("CPROF_EXPORTER", "otlp,pyroscope,parca", 1);
    load(NULL);
    assert_string_equal(config.pyroscope.url,
                        "http://localhost:4040/push.v1.PusherService/Push");
    assert_string_equal(config.parca.url, "http://localhost:7070/parca.profilestore.v1alpha1."
                                          "ProfileStoreService/WriteRaw");
    assert_int_equal(config.backend_headers.count, 0);
    config_free(&config);
    setenv("CPROF_EXPORTER", "otlp,pyroscope", 1);
    setenv("CPROF_HEADERS", "X-Scope-OrgID=shops", 1);
    setenv("CPROF_ENDPOINT", "https://me:secret@pyroscope/base/", 1);
    load(NULL);
    assert_string_equal(config.pyroscope.url,
                        "https://me:secret@pyroscope/base/push.v1.PusherService/Push");
    assert_string_equal(value_of(&config.backend_headers, "X-Scope-OrgID"), "shops");
    assert_int_equal(config.profiles.headers.count, 1);
    config_free(&config);
    setenv("CPROF_ENDPOINT", "http://pyroscope:4040/ingest", 1);
    load(NULL);
    assert_string_equal(config.pyroscope.url, "http://pyroscope:4040/ingest");
}

static void an_address_or_key_never_goes_to_two_servers(void **state)
{
    (void)state;
    const struct cprof_pair key = {"key", "secret"};
    const struct cprof_options with_endpoint = {.endpoint = "http://x"};
    const struct cprof_options with_headers = {.headers = &key, .header_count = 1};
    setenv("CPROF_EXPORTER", "otlp,parca", 1);
    assert_int_equal(config_load(&config, &with_endpoint, error, sizeof error), -EINVAL);
    assert_int_equal(config_load(&config, &with_headers, error, sizeof error), -EINVAL);
    assert_null(strstr(error, "secret"));
    setenv("CPROF_EXPORTER", "pyroscope,parca", 1);
    setenv("CPROF_ENDPOINT", "http://x", 1);
    assert_int_equal(config_load(&config, NULL, error, sizeof error), -EINVAL);
}

static void broken_resource_attributes_are_ignored_as_a_whole(void **state)
{
    (void)state;
    static const char *const broken[] = {"a=1,b",     "a=1,=2",    "a=1,b=%", "a=1,b=%4",
                                         "a=1,b=%zz", "a=1,b=%00", "a=1,%=2"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        setenv("OTEL_RESOURCE_ATTRIBUTES", broken[i], 1);
        load(NULL);
        assert_int_equal(config.resource.count, 0);
        config_free(&config);
    }
    setenv("OTEL_RESOURCE_ATTRIBUTES", " a = 1%2c%20 , ,b=,c=x=y,\t", 1);
    load(NULL);
    assert_int_equal(config.resource.count, 3);
    assert_string_equal(value_of(&config.resource, "a"), "1, ");
    assert_string_equal(value_of(&config.resource, "b"), "");
    assert_string_equal(value_of(&config.resource, "c"), "x=y");
}

static void output_alone_means_a_file(void **state)
{
    (void)state;
    setenv("CPROF_OUTPUT", "/tmp/x.pb.gz", 1);
    load(NULL);
    assert_false(config.otlp);
    assert_string_equal(config.output, "/tmp/x.pb.gz");
    config_free(&config);
    setenv("CPROF_EXPORTER", "otlp, file", 1);
    load(NULL);
    assert_true(config.otlp);
    assert_non_null(config.output);
}

static void a_relative_output_stays_where_the_program_started(void **state)
{
    (void)state;
    char folder[4096], expected[4200];
    load(&(struct cprof_options){.output = "y.html"});
    snprintf(expected, sizeof expected, "%s/y.html", getcwd(folder, sizeof folder));
    assert_string_equal(config.output, expected);
}

static void an_output_asked_for_in_the_program_is_written_whatever_the_environment(void **state)
{
    (void)state;
    setenv("CPROF_EXPORTER", "otlp", 1);
    load(&(struct cprof_options){.output = "/tmp/y.html"});
    assert_true(config.otlp);
    assert_string_equal(config.output, "/tmp/y.html");
}

static void sizes_take_units(void **state)
{
    (void)state;
    static const char *const same[] = {"64M",  "64m",    "64MiB",    "64Mi",     "64 MiB",
                                       "64MB", "65536K", "67108864", "67108864B"};
    static const char *const nonsense[] = {"64X",  "64MiBs", "M",    "64iB",
                                           "6.5M", "-64M",   "64M M"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        setenv("CPROF_MEMORY_LIMIT", same[i], 1);
        setenv("CPROF_SPOOL_LIMIT", same[i], 1);
        load(NULL);
        assert_int_equal(config.memory_limit, 64 << 20);
        assert_int_equal(config.spool_limit, 64 << 20);
        config_free(&config);
    }
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        setenv("CPROF_MEMORY_LIMIT", nonsense[i], 1);
        assert_int_equal(config_load(&config, NULL, error, sizeof error), -EINVAL);
    }
    setenv("CPROF_MEMORY_LIMIT", "5000000", 1);
    load(NULL);
    assert_int_equal(config.memory_limit, 5000000);
}

static void history_has_a_folder_a_limit_and_ages(void **state)
{
    (void)state;
    load(NULL);
    assert_null(config.store_folder);
    config_free(&config);
    setenv("CPROF_STORE_DIR", "/var/lib/cprof", 1);
    load(NULL);
    assert_string_equal(config.store_folder, "/var/lib/cprof");
    assert_int_equal(config.store_limit, (size_t)512 << 20);
    assert_int_equal(config.store_ages.count, 3);
    config_free(&config);
    setenv("CPROF_STORE_AGES", "10s:1h,1s:1d", 1);
    assert_int_equal(config_load(&config, NULL, error, sizeof error), -EINVAL);
    assert_non_null(strstr(error, "CPROF_STORE_AGES"));
    assert_non_null(strstr(error, "10s:1h,1m:1d,1h:30d"));
    setenv("CPROF_STORE_AGES", "1m:7d", 1);
    setenv("CPROF_STORE_LIMIT", "1000", 1);
    assert_int_equal(config_load(&config, NULL, error, sizeof error), -EINVAL);
    setenv("CPROF_STORE_LIMIT", "2M", 1);
    load(NULL);
    assert_int_equal(config.store_ages.count, 1);
    assert_int_equal(config.store_limit, 2 << 20);
}

/* A folder for history is enough of an output; what else is named goes beside it. */
static void history_alone_sends_nothing(void **state)
{
    (void)state;
    setenv("CPROF_STORE_DIR", "/var/lib/cprof", 1);
    load(NULL);
    assert_false(config.otlp);
    config_free(&config);
    setenv("CPROF_EXPORTER", "otlp", 1);
    load(NULL);
    assert_true(config.otlp);
    config_free(&config);
    unsetenv("CPROF_EXPORTER");
    setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318", 1);
    load(NULL);
    assert_true(config.otlp);
    assert_non_null(config.store_folder);
    config_free(&config);
    load(&(struct cprof_options){.block = true});
    assert_null(config.store_folder);
}

static void types_carry_their_periods(void **state)
{
    (void)state;
    static const struct {
        const char *types, *rate;
        uint64_t period_ns;
    } cases[] = {
        {"cpu", "250", 4000000},          {"cpu@200hz", "250", 5000000},
        {" cpu@1khz ", NULL, 1000000},    {"all", "50", 20000000},
        {"cpu@1", NULL, 1000000000},      {"gpu,cpu@20hz", NULL, 50000000},
        {"cpu@40hz,wall", "7", 25000000}, {"cpu,cpu@500hz", NULL, 2000000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        clearenv();
        setenv("CPROF_TYPES", cases[i].types, 1);
        if (cases[i].rate != NULL)
            setenv("CPROF_RATE", cases[i].rate, 1);
        load(NULL);
        assert_int_equal(config.sources.period[SOURCE_CPU], cases[i].period_ns);
        config_free(&config);
    }
}

static void times_and_rates_take_units(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        double seconds;
    } intervals[] = {{"30", 30},     {"30s", 30}, {"2.5 s", 2.5},
                     {"500ms", 0.5}, {"1m", 60},  {"1min", 60}};
    for (size_t i = 0; i < sizeof intervals / sizeof *intervals; i++) {
        setenv("CPROF_INTERVAL", intervals[i].value, 1);
        setenv("CPROF_RATE", i % 2 == 0 ? "250Hz" : "250", 1);
        setenv("OTEL_EXPORTER_OTLP_TIMEOUT", i % 2 == 0 ? "5s" : "5000ms", 1);
        load(NULL);
        assert_true(config.interval == intervals[i].seconds);
        assert_int_equal(config.sources.period[SOURCE_CPU], 4000000);
        assert_true(config.profiles.timeout == 5);
        config_free(&config);
    }
    setenv("CPROF_INTERVAL", "30 parsecs", 1);
    assert_int_equal(config_load(&config, NULL, error, sizeof error), -EINVAL);
    setenv("CPROF_INTERVAL", "30", 1);
    setenv("CPROF_RATE", "2.5", 1);
    assert_int_equal(config_load(&config, NULL, error, sizeof error), -EINVAL);
    unsetenv("CPROF_RATE");
    load(NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, empty_environment, release)
    const struct CMUnitTest tests[] = {
        TEST(defaults_are_those_of_the_interface),
        TEST(nonsense_is_one_line_that_names_the_variable_the_value_and_what_is_allowed),
        TEST(arguments_win_over_variables_and_are_named_when_wrong),
        TEST(an_empty_variable_counts_as_unset),
        TEST(the_disabled_sdk_stays_disabled),
        TEST(the_base_endpoint_gets_the_path_and_the_profiles_form_does_not),
        TEST(grpc_has_its_own_port_path_and_bare_addresses),
        TEST(a_unix_socket_stands_for_the_host),
        TEST(headers_are_decoded_and_the_special_ones_win),
        TEST(the_service_name_comes_from_the_most_special_source),
        TEST(backends_have_addresses_and_keys_of_their_own),
        TEST(an_address_or_key_never_goes_to_two_servers),
        TEST(broken_resource_attributes_are_ignored_as_a_whole),
        TEST(output_alone_means_a_file),
        TEST(a_relative_output_stays_where_the_program_started),
        TEST(an_output_asked_for_in_the_program_is_written_whatever_the_environment),
        TEST(sizes_take_units),
        TEST(history_has_a_folder_a_limit_and_ages),
        TEST(history_alone_sends_nothing),
        TEST(types_carry_their_periods),
        TEST(times_and_rates_take_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
