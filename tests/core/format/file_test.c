/* Files: formats by ending and content, atomic writes, clear refusals; and that Go's own pprof
 * reads what we write, where there is a Go. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "format/format.h"
#include "samples.h"

static char folder[] = "/tmp/cprof-format-XXXXXX";

static const char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[512];
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    return system(command);
}

static void write_bytes(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void the_ending_picks_the_format(void **state)
{
    (void)state;
    const struct {
        const char *path;
        const struct format *format;
    } cases[] = {
        {"a.pb.gz", &format_pprof},
        {"a.pprof", &format_pprof},
        {"dir.d/x.otlp", &format_otlp},
        {"x.otlp.gz", &format_otlp},
        {"x.folded.gz", &format_collapsed},
        {"x.gz", NULL},
        {"a.collapsed", &format_collapsed},
        {"a.folded", &format_collapsed},
        {"a.txt", &format_collapsed},
        {"a.html", &format_html},
        {"a.speedscope.json", &format_speedscope},
        {"a.cpuprofile", &format_cpuprofile},
        {"a.firefox.json", &format_gecko},
        {"a.callgrind", &format_callgrind},
        {"a.pstats", &format_pstats},
        {"a.heapprofile", NULL}, /* is read only, by its bytes */
        {"cprof-1.block", &format_block},
        {"a.json", NULL},
        {"pprof", NULL},
        {".pprof", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_ptr_equal(format_by_path(cases[i].path), cases[i].format);
}

static void every_format_writes_a_file_for_its_owner_only(void **state)
{
    (void)state;
    static const char *const names[] = {"p.pb.gz",           "p.otlp",      "p.collapsed",
                                        "p.speedscope.json", "p.html",      "p.cpuprofile",
                                        "p.firefox.json",    "p.callgrind", "p.pstats"};
    struct profile *p = cpu_profile(NULL);
    add_random_samples(p, 1, 100);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        char error[FORMAT_ERROR_SIZE] = "";
        struct stat status;
        assert_int_equal(format_write_file(p, path_of(names[i]), error), 0);
        assert_int_equal(stat(path_of(names[i]), &status), 0);
        assert_int_equal(status.st_mode & 07777, 0600);
        assert_true(status.st_size > 0);
    }
    profile_free(p);
}

static void a_file_without_a_telling_name_is_read_by_its_content(void **state)
{
    (void)state;
    static const char *const names[] = {"q.pb.gz", "q.otlp", "q.collapsed"};
    struct profile *p = cpu_profile(NULL);
    add_random_samples(p, 1, 100);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        char error[FORMAT_ERROR_SIZE] = "", plain[256];
        assert_int_equal(format_write_file(p, path_of(names[i]), error), 0);
        snprintf(plain, sizeof(plain), "%s/unnamed%zu", folder, i);
        assert_int_equal(rename(path_of(names[i]), plain), 0);
        struct profile *read = format_read_file(plain, error);
        if (read == NULL)
            fail_msg("%s", error);
        assert_int_equal(column_total(read, 0), column_total(p, 0));
        profile_free(read);
    }
    profile_free(p);
}

static void a_failed_write_leaves_the_old_file(void **state)
{
    (void)state;
    struct profile *p = cpu_profile(NULL); /* no samples: OTLP has nothing to say */
    char error[FORMAT_ERROR_SIZE] = "", content[8] = "";
    write_bytes(path_of("old.otlp"), "old", 3);
    assert_int_equal(format_write_file(p, path_of("old.otlp"), error), -ENODATA);
    FILE *file = fopen(path_of("old.otlp"), "rb");
    assert_int_equal(fread(content, 1, sizeof(content), file), 3);
    fclose(file);
    assert_string_equal(content, "old");
    assert_int_equal(format_write_file(p, "/nonexistent/x.pb.gz", error), -ENOENT);
    assert_string_equal(error, "/nonexistent/x.pb.gz: No such file or directory");
    profile_free(p);
}

static void a_refusal_names_the_file_and_the_reason(void **state)
{
    (void)state;
    const struct {
        const char *name, *content;
        size_t size;
        const char *reason;
    } cases[] = {
        {"empty", "", 0, "is empty"},
        {"noise", "\x7f\x45LF\x02\x01", 6, "no format that cprof knows"},
        {"x.html", "<html>", 6, "no page that cprof made"},
        {"x.pb.gz", "\x1f\x8bgarbage", 9, "damaged gzip data"},
        {"x.otlp", "\x0a\x00", 2, "no dictionary"},
        {"x.pprof", "\xff\xff\xff\xff", 4, "not a valid pprof.Profile"},
        {"x.collapsed", "\n\n# nothing\n", 12, "no stacks"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char error[FORMAT_ERROR_SIZE] = "";
        write_bytes(path_of(cases[i].name), cases[i].content, cases[i].size);
        assert_null(format_read_file(path_of(cases[i].name), error));
        if (strstr(error, cases[i].name) == NULL || strstr(error, cases[i].reason) == NULL)
            fail_msg("\"%s\" should say \"%s\"", error, cases[i].reason);
    }
    char error[FORMAT_ERROR_SIZE] = "";
    assert_null(format_read_file(path_of("missing.otlp"), error));
    assert_non_null(strstr(error, "No such file"));
}

static void a_small_file_does_not_unpack_without_end(void **state)
{
    (void)state;
    struct buffer zeros = {0}, bomb = {0}, out = {0};
    unsigned char *at = buffer_extend(&zeros, 4 << 20);
    assert_non_null(at);
    memset(at, 0, 4 << 20);
    assert_int_equal(buffer_gzip(&zeros, &bomb, 9), 0);
    assert_true(bomb.size < 8192);
    assert_int_equal(buffer_gunzip(bomb.data, bomb.size, 1 << 20, &out), -EFBIG);
    assert_true(out.size <= (1 << 20) + 65536);
    out.size = 0;
    assert_int_equal(buffer_gunzip(bomb.data, bomb.size - 9, 8 << 20, &out), -EBADMSG);
    out.size = 0;
    assert_int_equal(buffer_gunzip(bomb.data, bomb.size, 4 << 20, &out), 0);
    assert_int_equal(out.size, 4 << 20);
    buffer_free(&zeros);
    buffer_free(&bomb);
    buffer_free(&out);
}

/* Runs a command and returns what it prints. */
static size_t run(const char *command, char *output, size_t size)
{
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t length = fread(output, 1, size - 1, pipe);
    output[length] = '\0';
    pclose(pipe);
    return length;
}

static void go_tool_pprof_reads_our_files(void **state)
{
    (void)state;
    char command[512], output[8192], error[FORMAT_ERROR_SIZE];
    const char *go = "PATH=$PATH:/usr/local/go/bin";
    snprintf(command, sizeof(command), "%s; go version 2>/dev/null", go);
    if (run(command, output, sizeof(output)) == 0) {
        print_message("[  SKIP  ] there is no go command on this machine\n");
        skip();
    }
    struct profile *p = cpu_profile(NULL);
    profile_id leaf = named_location(p, "Cart.total", 7);
    profile_add(p, 0, profile_stack(p, &leaf, 1), 0, 0, (int64_t[]){75, 750000000});
    leaf = named_location(p, "Cart.render", 9);
    profile_add(p, 0, profile_stack(p, &leaf, 1), 0, 0, (int64_t[]){25, 250000000});
    assert_int_equal(format_write_file(p, path_of("go.pb.gz"), error), 0);
    snprintf(command, sizeof(command), "%s; go tool pprof -top %s 2>&1", go,
             path_of("go.pb.gz"));
    run(command, output, sizeof(output));
    if (strstr(output, "750ms 75.00% 75.00%      750ms 75.00%  Cart.total") == NULL ||
        strstr(output, "250ms 25.00%   100%      250ms 25.00%  Cart.render") == NULL)
        fail_msg("go tool pprof -top printed:\n%s", output);
    profile_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_ending_picks_the_format),
        cmocka_unit_test(every_format_writes_a_file_for_its_owner_only),
        cmocka_unit_test(a_file_without_a_telling_name_is_read_by_its_content),
        cmocka_unit_test(a_failed_write_leaves_the_old_file),
        cmocka_unit_test(a_refusal_names_the_file_and_the_reason),
        cmocka_unit_test(a_small_file_does_not_unpack_without_end),
        cmocka_unit_test(go_tool_pprof_reads_our_files),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
