/* What a process says of itself: container, Kubernetes, and a command line without secrets. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <setjmp.h>
#include <unistd.h>
#include <cmocka.h>

#include "resource/command_line.h"
#include "resource/container.h"
#include "resource/resource.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define UID "3c8d2f1a-11d5-4d4b-9c7d-6a52e3a0b001"
#define UID_SYSTEMD "3c8d2f1a_11d5_4d4b_9c7d_6a52e3a0b001"

static void the_container_is_found_in_the_cgroups_of_every_runtime(void **state)
{
    (void)state;
    static const struct {
        const char *line, *id, *pod;
    } cases[] = {
        {"12:cpuset:/docker/" ID, ID, ""},
        {"0::/system.slice/docker-" ID ".scope", ID, ""},
        {"0::/machine.slice/libpod-" ID ".scope", ID, ""},
        {"0::/machine.slice/libpod-" ID ".scope/container", "", ""},
        {"1:name=systemd:/kubepods/burstable/pod" UID "/" ID, ID, UID},
        {"0::/kubepods.slice/kubepods-pod" UID_SYSTEMD ".slice/cri-containerd-" ID ".scope", ID,
         UID},
        {"0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" UID_SYSTEMD
         ".slice/crio-" ID ".scope",
         ID, UID},
        {"11:devices:/system.slice/containerd.service/kubepods-pod" UID_SYSTEMD
         ".slice:cri-containerd:" ID,
         ID, UID},
        {"0::/", "", ""},
        {"0::/user.slice/user-1000.slice/session-3.scope", "", ""},
        {"0::/docker/0123456789abcdef", "", ""},
        {"0::/podman/" ID "00", "", ""},
        {"", "", ""},
        {"no path at all", "", ""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct container container = {.id = ""};
        container_read_cgroup(&container, cases[i].line);
        assert_string_equal(container.id, cases[i].id);
        assert_string_equal(container.pod_uid, cases[i].pod);
    }
}

static void the_container_is_found_in_its_mounts_where_the_cgroup_is_hidden(void **state)
{
    (void)state;
    static const struct {
        const char *line, *id, *pod, *name;
    } cases[] = {
        {"500 480 8:1 /var/lib/docker/containers/" ID "/hostname /etc/hostname rw - ext4 d rw",
         ID, "", ""},
        {"501 480 0:24 /containers/storage/overlay-containers/" ID
         "/userdata/hosts /etc/hosts rw - tmpfs tmpfs rw",
         ID, "", ""},
        {"502 480 8:1 /var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/" ID
         "/hostname /etc/hostname rw - ext4 d rw",
         "", "", ""},
        {"503 480 8:1 /var/lib/kubelet/pods/" UID
         "/containers/web/5d1ee5f0 /dev/termination-log rw - ext4 d rw",
         "", UID, "web"},
        {"504 480 8:1 /var/lib/kubelet/pods/" UID "/etc-hosts /etc/hosts rw - ext4 d rw", "",
         UID, ""},
        {"505 480 8:1 /home/user/containers/" ID "/x /data rw - ext4 d rw", "", "", ""},
        {"506 480", "", "", ""},
        {"", "", "", ""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct container container = {.id = ""};
        container_read_mount(&container, cases[i].line);
        assert_string_equal(container.id, cases[i].id);
        assert_string_equal(container.pod_uid, cases[i].pod);
        assert_string_equal(container.pod_container, cases[i].name);
    }
}

static void a_command_line_is_shown_without_its_secrets(void **state)
{
    (void)state;
#define CASE(given, shown)                                                                     \
    {                                                                                          \
        given, sizeof given - 1, shown                                                         \
    }
    static const struct {
        const char *arguments;
        size_t size;
        const char *shown;
    } cases[] = {
        CASE("python3\0app.py\0--port\08000\0", "python3 app.py --port 8000"),
        CASE("gunicorn: worker [shop:app]", "gunicorn: worker [shop:app]"),
        CASE("puma 5.6.5 (tcp://0:9292) [shop]", "puma 5.6.5 (tcp://0:9292) [shop]"),
        CASE("a\0--db-password=hunter2\0", "a --db-password=***"),
        CASE("a\0--API_KEY\0hunter2\0b\0", "a --API_KEY *** b"),
        CASE("a\0--token\0--password\0hunter2\0b\0", "a --token *** *** b"),
        CASE("a\0DB_PASSWD=hunter2\0--x=1\0", "a DB_PASSWD=*** --x=1"),
        CASE("a\0-DmySecret=hunter2\0", "a -DmySecret=***"),
        CASE("a\0--env=TOKEN=hunter2\0", "a --env=TOKEN=***"),
        CASE("a\0-phunter2\0", "a -p***"),
        CASE("a\0-H\0Authorization: Bearer hunter2\0", "a -H ***"),
        CASE("a\0-H\0X-Auth:hunter2\0", "a -H X-Auth:***"),
        CASE("python3\0-c\0connect('hunter2')\0", "python3 -c ***"),
        CASE("a\0--db\0postgres://me:hunter2@db/shop?sslkey=hunter2\0",
             "a --db postgres://***@db/shop?***"),
        CASE("a\0--broker=redis://:hun/t@er2@db/0\0", "a --broker=redis://***@db/0"),
        CASE("a\0me:hunter2@db\0", "a me:***"),
        CASE("a\0https://db/shop\0", "a https://db/shop"),
        CASE("a\0Hunter2Hunter2Hunter2\0", "a ***"),
        CASE("a\0--x=eyJhbGciOi/JIUzI1NiIsInR5cCI6\0", "a --x=***"),
        CASE("a\0/srv/app/releases/20260101123456/app.py\0",
             "a /srv/app/releases/20260101123456/app.py"),
        CASE("worker: redis://:hunter2@db", "worker: redis://***@db"),
        CASE("worker --password hunter2 --token  hunter2 -x",
             "worker --password *** --token  *** -x"),
        CASE("", ""),
        CASE("\0\0\0", "  "),
    };
    char text[256];
    for (size_t i = 0; i < COUNT(cases); i++) {
        command_line_show(cases[i].arguments, cases[i].size, text, sizeof text);
        assert_string_equal(text, cases[i].shown);
    }
}

static void a_long_command_line_is_cut_off(void **state)
{
    (void)state;
    char text[8], many[1000];
    memset(many, 'x', sizeof many); /* not even a NUL at its end */
    command_line_show(many, sizeof many, text, sizeof text);
    assert_string_equal(text, "xxxxxxx");
}

static const char *attribute(const struct profile *p, const char *key)
{
    static char number[32];
    for (size_t i = 0; i < profile_attribute_count(p, PROFILE_RESOURCE); i++) {
        const struct profile_label *label = profile_attribute(p, PROFILE_RESOURCE, i);
        if (strcmp(profile_text(p, label->key), key) != 0)
            continue;
        snprintf(number, sizeof number, "%lld", (long long)label->number);
        return label->is_number ? number : profile_text(p, label->text);
    }
    return "";
}

static struct profile *resource_of(const struct cprof_options *options)
{
    char error[256] = "";
    struct config config;
    if (config_load(&config, options, error, sizeof error) != 0)
        fail_msg("%s", error);
    struct profile *profile = profile_new(NULL);
    resource_set(profile, &config);
    config_free(&config);
    return profile;
}

/* A moment of the last hour, in UTC. */
static bool was_just_now(const char *date)
{
    struct tm utc = {.tm_sec = 0};
    const char *rest = strptime(date, "%Y-%m-%dT%H:%M:%S", &utc);
    time_t age = time(NULL) - timegm(&utc);
    return rest != NULL && age >= -1 && age < 3600;
}

static void a_process_says_who_it_is(void **state)
{
    (void)state;
    clearenv();
    const struct cprof_pair runtime = {"process.runtime.name", "cpython"};
    struct profile *p =
        resource_of(&(struct cprof_options){.resource = &runtime, .resource_count = 1});
    char pid[32];
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    assert_string_equal(attribute(p, "process.pid"), pid);
    assert_string_equal(attribute(p, "process.executable.name"), "resource_test");
    assert_non_null(strstr(attribute(p, "process.command_line"), "resource_test"));
    assert_int_equal(strlen(attribute(p, "process.creation.time")),
                     strlen("2026-01-01T00:00:00.000Z"));
    assert_true(was_just_now(attribute(p, "process.creation.time")));
    assert_int_equal(strlen(attribute(p, "service.instance.id")), 36);
    assert_string_equal(attribute(p, "service.name"), "unknown_service:resource_test");
    assert_string_equal(attribute(p, "os.type"), "linux");
    assert_string_not_equal(attribute(p, "os.description"), "");
    assert_string_not_equal(attribute(p, "host.name"), "");
    assert_string_not_equal(attribute(p, "host.arch"), "");
    assert_string_equal(attribute(p, "telemetry.sdk.name"), "cprof");
    assert_string_equal(attribute(p, "telemetry.distro.name"), "cprof");
    assert_string_equal(attribute(p, "process.runtime.name"), "cpython");
    profile_free(p);
}

static void what_the_user_says_wins(void **state)
{
    (void)state;
    clearenv();
    setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1", 1);
    setenv("POD_NAME", "shop-0", 1);
    setenv("NODE_NAME", "node-7", 1);
    setenv("K8S_NAMESPACE_NAME", "from-variable", 1);
    setenv("OTEL_RESOURCE_ATTRIBUTES",
           " k8s.namespace.name = shops ,service.version=1.2%2C3,host.name=h,"
           "service.instance.id=one,empty=,x=1,x=2,",
           1);
    struct profile *p = resource_of(NULL);
    assert_string_equal(attribute(p, "k8s.pod.name"), "shop-0");
    assert_string_equal(attribute(p, "k8s.node.name"), "node-7");
    assert_string_equal(attribute(p, "k8s.namespace.name"), "shops");
    assert_string_equal(attribute(p, "service.version"), "1.2,3");
    assert_string_equal(attribute(p, "service.instance.id"), "one");
    assert_string_equal(attribute(p, "host.name"), "h");
    assert_string_equal(attribute(p, "x"), "2");
    profile_free(p);
}

static void short_variables_mean_a_pod_only_inside_of_one(void **state)
{
    (void)state;
    clearenv();
    setenv("NODE_NAME", "not-kubernetes", 1);
    struct profile *p = resource_of(NULL);
    assert_string_equal(attribute(p, "k8s.node.name"), "");
    profile_free(p);
}

static void two_processes_are_two_instances(void **state)
{
    (void)state;
    clearenv();
    struct profile *one = resource_of(NULL), *other = resource_of(NULL);
    assert_string_not_equal(attribute(one, "service.instance.id"),
                            attribute(other, "service.instance.id"));
    profile_free(one);
    profile_free(other);
}

/* ---- what is sent ---- */

static const struct cprof_pair of_the_binding[] = {
    {"process.runtime.name", "cpython"},
    {"process.runtime.version", "3.11.2"},
    {"process.runtime.description", "3.11.2 (main)"},
    {"telemetry.sdk.language", "python"},
};

/* With these OTEL_RESOURCE_ATTRIBUTES. */
static struct profile *sent_resource(const char *attributes)
{
    const struct cprof_options options = {.resource = of_the_binding,
                                          .resource_count = COUNT(of_the_binding)};
    char error[256] = "";
    struct config config;
    setenv("OTEL_RESOURCE_ATTRIBUTES", attributes, 1);
    if (config_load(&config, &options, error, sizeof error) != 0)
        fail_msg("%s", error);
    struct profile *profile = profile_new(NULL);
    resource_set(profile, &config);
    if (!config.resource_full)
        resource_keep_identity(profile, &config);
    config_free(&config);
    return profile;
}

/* A pod as the OpenTelemetry operator makes it. */
static void be_in_a_pod(void)
{
    char name[256];
    clearenv();
    assert_int_equal(gethostname(name, sizeof name), 0);
    setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1", 1);
    setenv("OTEL_RESOURCE_ATTRIBUTES_POD_NAME", name, 1);
    setenv("OTEL_RESOURCE_ATTRIBUTES_POD_UID", UID, 1);
    setenv("OTEL_RESOURCE_ATTRIBUTES_NODE_NAME", "node-7", 1);
}

#define OPERATORS                                                                              \
    "k8s.container.name=web,k8s.namespace.name=shops,k8s.deployment.name=shop,"                \
    "k8s.deployment.uid=" UID ",k8s.replicaset.name=shop-5d9,k8s.replicaset.uid=" UID          \
    ",service.version=1.2,deployment.environment.name=production,container.id=" ID

/* Over OTLP Pyroscope makes a label of each attribute of the resource, beside six of its own,
 * and of each of a sample: at most 30 names. */
#define PYROSCOPES_OWN 6
#define OF_A_SAMPLE 4 /* thread.id, thread.name, and of its span trace_id and span_id */
#define OF_THE_USER 2 /* CPROF_LABELS, labels() */
#define PYROSCOPE_TAKES 30

static void what_a_pod_sends_stays_below_the_label_names_that_pyroscope_takes(void **state)
{
    (void)state;
    be_in_a_pod();
    struct profile *p = sent_resource(OPERATORS);
    size_t names = PYROSCOPES_OWN + OF_A_SAMPLE + OF_THE_USER;
    size_t kubernetes = 0;
    for (size_t i = 0; i < profile_attribute_count(p, PROFILE_RESOURCE); i++, names++) {
        const struct profile_label *label = profile_attribute(p, PROFILE_RESOURCE, i);
        kubernetes += strncmp(profile_text(p, label->key), "k8s.", 4) == 0;
    }
    assert_int_equal(kubernetes, 9);
    if (names >= PYROSCOPE_TAKES)
        fail_msg("%zu label names", names);
    static const char *const sent[] = {
        "service.name",         "service.instance.id",     "process.pid",
        "process.runtime.name", "process.runtime.version", "container.id",
        "k8s.pod.name"};
    for (size_t i = 0; i < COUNT(sent); i++)
        if (attribute(p, sent[i])[0] == '\0')
            fail_msg("%s is not sent", sent[i]);
    profile_free(p);
}

static void outside_of_pods_the_host_identifies(void **state)
{
    (void)state;
    clearenv();
    struct profile *p = sent_resource("");
    assert_string_not_equal(attribute(p, "host.name"), "");
    assert_string_equal(attribute(p, "process.command_line"), "");
    /* Not sent, but known: pprof's first mapping is that file's. */
    const char *program = profile_text(p, profile_header_const(p)->program);
    assert_non_null(strstr(program, "/resource_test"));
    assert_string_equal(attribute(p, "os.type"), "");
    profile_free(p);
}

static void what_only_describes_is_sent_where_the_user_says_so(void **state)
{
    (void)state;
    be_in_a_pod();
    struct profile *p = sent_resource("os.type=linux,process.owner=me");
    assert_string_equal(attribute(p, "os.type"), "linux");
    assert_string_equal(attribute(p, "process.owner"), "me");
    assert_string_equal(attribute(p, "os.description"), "");
    profile_free(p);
    setenv("CPROF_RESOURCE", "full", 1);
    p = sent_resource("");
    assert_string_not_equal(attribute(p, "process.command_line"), "");
    assert_string_not_equal(attribute(p, "os.description"), "");
    assert_string_not_equal(attribute(p, "host.name"), "");
    assert_string_equal(attribute(p, "telemetry.sdk.language"), "python");
    assert_string_equal(attribute(p, "process.runtime.description"), "3.11.2 (main)");
    profile_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_container_is_found_in_the_cgroups_of_every_runtime),
        cmocka_unit_test(the_container_is_found_in_its_mounts_where_the_cgroup_is_hidden),
        cmocka_unit_test(a_command_line_is_shown_without_its_secrets),
        cmocka_unit_test(a_long_command_line_is_cut_off),
        cmocka_unit_test(a_process_says_who_it_is),
        cmocka_unit_test(what_the_user_says_wins),
        cmocka_unit_test(short_variables_mean_a_pod_only_inside_of_one),
        cmocka_unit_test(two_processes_are_two_instances),
        cmocka_unit_test(what_a_pod_sends_stays_below_the_label_names_that_pyroscope_takes),
        cmocka_unit_test(outside_of_pods_the_host_identifies),
        cmocka_unit_test(what_only_describes_is_sent_where_the_user_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
