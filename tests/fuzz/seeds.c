/* Writes the seed corpus of the fuzzers: small valid files of every format, raw and gzipped. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "format/format.h"
#include "format/html_read.h"
#include "samples.h"

static int put(const char *folder, const char *name, unsigned number, const void *data,
               size_t size)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s-%u", folder, name, number);
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        return -errno;
    size_t written = fwrite(data, 1, size, file);
    return fclose(file) == 0 && written == size ? 0 : -EIO;
}

/* As the format writes it, and unpacked where it packs. */
static int put_format(const char *folder, const struct format *format, unsigned number,
                      const struct profile *p)
{
    struct buffer bytes = {0}, raw = {0};
    int status = format->write(p, &bytes);
    if (status == 0)
        status = put(folder, format->name, number, bytes.data, bytes.size);
    if (status == 0 && buffer_gunzip(bytes.data, bytes.size, FORMAT_MAX_INFLATED, &raw) == 0)
        status = put(folder, "raw", number, raw.data, raw.size);
    buffer_free(&bytes);
    buffer_free(&raw);
    return status;
}

/* Of a page only what is read: its 100 KiB of scripts would make every fuzzer's inputs as long.
 */
static int put_page(const char *folder, unsigned number, const struct profile *p)
{
    char error[FORMAT_ERROR_SIZE];
    struct buffer page = {0}, json = {0};
    int status = format_html.write(p, &page);
    if (status == 0)
        status = html_unpack(page.data, page.size, &json, error);
    if (status == 0) {
        const char *mark = "<script id=\"profile\"";
        unsigned char *from = memmem(page.data, page.size, mark, strlen(mark));
        unsigned char *to =
            memmem(from, page.size - (size_t)(from - page.data), "</script>", 9);
        status = put(folder, "html", number, from, (size_t)(to - from));
    }
    if (status == 0)
        status = put(folder, "page-json", number, json.data, json.size);
    buffer_free(&page);
    buffer_free(&json);
    return status;
}

/* Files of other profilers in text: JSON and lines. */
static int put_texts(const char *folder)
{
    static const struct {
        const char *name, *text;
    } files[] = {
        {"cpuprofile",
         "{\"nodes\":[{\"id\":1,\"callFrame\":{\"functionName\":\"(root)\"},\"children\":[2]},"
         "{\"id\":2,\"callFrame\":{\"functionName\":\"f\",\"url\":\"file:///"
         "a.js\",\"lineNumber\":3},"
         "\"hitCount\":2,\"positionTicks\":[{\"line\":4,\"ticks\":1}]}],\"startTime\":1,"
         "\"endTime\":90,\"samples\":[2,1,2],\"timeDeltas\":[5,20,30]}"},
        {"heapprofile",
         "{\"head\":{\"callFrame\":{\"functionName\":\"(root)\"},\"selfSize\":0,\"id\":1,"
         "\"children\":[{\"callFrame\":{\"functionName\":\"g\"},\"selfSize\":512,\"children\":["
         "]}]}}"},
        {"speedscope", "{\"shared\":{\"frames\":[{\"name\":\"m\",\"file\":\"a.py\",\"line\":2},"
                       "{\"name\":\"n\"}]},"
                       "\"profiles\":[{\"type\":\"sampled\",\"name\":\"t "
                       "(7)\",\"unit\":\"none\",\"samples\":[[0,1],[]],"
                       "\"weights\":[1.5,2]},{\"type\":\"evented\",\"unit\":\"seconds\","
                       "\"events\":[{\"type\":\"O\","
                       "\"frame\":0,\"at\":1},{\"type\":\"C\",\"frame\":0,\"at\":2.5}]}]}"},
        {"gecko", "{\"meta\":{\"interval\":1,\"startTime\":5,\"sampleUnits\":{"
                  "\"threadCPUDelta\":\"ns\"}},\"libs\":"
                  "[{\"name\":\"l\"}],\"threads\":[{\"name\":\"t\",\"tid\":\"7\",\"samples\":{"
                  "\"stack\":[1,null],\"time\":"
                  "[1,2],\"weight\":[1,2],\"threadCPUDelta\":[1,2]},\"stackTable\":{\"frame\":["
                  "0,0],\"prefix\":"
                  "[null,0]},\"frameTable\":{\"func\":[0],\"line\":[3],\"address\":[16]},"
                  "\"funcTable\":{\"name\":[0],"
                  "\"fileName\":[1],\"resource\":[0]},\"resourceTable\":{\"lib\":[0]},"
                  "\"stringArray\":[\"f\",\"a.js\"]}"
                  "]}"},
        {"gecko-raw",
         "{\"meta\":{\"interval\":1,\"startTime\":5},\"libs\":[{\"name\":\"l\",\"start\":4096,"
         "\"end\":8192,\"offset\":16}],\"threads\":[{\"name\":\"t\",\"tid\":7,\"samples\":{"
         "\"schema\":{\"stack\":0,\"time\":1},\"data\":[[1,1],[0,2]]},\"stackTable\":{"
         "\"schema\":{"
         "\"prefix\":0,\"frame\":1},\"data\":[[null,0],[0,1]]},\"frameTable\":{\"schema\":{"
         "\"location\":0,\"line\":1},\"data\":[[0,3],[1]]},\"stringTable\":[\"f (a.js:2:1)\","
         "\"0x1010\"]}],\"processes\":[{\"meta\":{\"startTime\":6},\"threads\":[]}]}"},
        {"stackprof", "{\"mode\":\"cpu\",\"interval\":9,\"samples\":3,\"raw\":[2,1,2,3],\"raw_"
                      "lines\":[2,4,5,3],\"frames\":{"
                      "\"1\":{\"name\":\"a\",\"samples\":1,\"edges\":{\"2\":2}},\"2\":{"
                      "\"name\":\"b\",\"samples\":2}}}"},
        {"stackprof-graph", "{\"mode\":\"object\",\"interval\":9,\"samples\":3,\"frames\":{"
                            "\"1\":{\"name\":\"a\",\"samples\":1,\"edges\":{\"2\":2}},\"2\":{"
                            "\"name\":\"b\",\"samples\":2}}}"},
        {"tcmalloc", "heap profile: 3: 50 [ 9: 90] @ heap_v2/64\n 2: 40 [ 4: 80] @ 0x1101 "
                     "0x1201\n\nMAPPED_LIBRARIES:\n"
                     "1000-2000 r-xp 00000000 08:01 7   /bin/a\n"},
        {"jemalloc", "heap_v2/512\n t*: 5: 70 [0: 0]\n t0: 5: 70 [0: 0]\n@ 0x1101 0x1201\n t*: "
                     "3: 30 [0: 0]\n"},
        {"callgrind", "# callgrind format\npositions: instr line\nevents: Ir "
                      "Time_(10ns)\nob=(1) /bin/a\nfl=(1) a.c\n"
                      "fn=(1) main\n0x10 16 20\ncob=(1)\ncfi=(2) b.c\ncfn=(2) f\ncalls=3 "
                      "+1\n+3 * 40 5\nfn=(2)\n* 3 7\n"},
        {"perf",
         "# x\nsh 7/8 [000] 1.5: 100 cpu-clock:u:\n\t 12ab work+0x1 (/bin/a (deleted))\n\t 3 i "
         "(inlined)\n a.c:7\n\t ffffffff81000000 [unknown] ([kernel.kallsyms])\n\nb 9 cycles: "
         "44 "
         "JS:*f /a.js:1:2 (/tmp/perf-9.map)\n\t 5 py::g:/a.py ([unknown])\n"},
    };
    int status = 0;
    for (unsigned i = 0; status == 0 && i < sizeof(files) / sizeof(*files); i++)
        status = put(folder, files[i].name, 0, files[i].text, strlen(files[i].text));
    return status;
}

/* Formats that cprof reads and does not write. */
static int put_foreign(const char *folder)
{
    static const char json[] =
        "{\"resourceProfiles\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\","
        "\"value\":{"
        "\"stringValue\":\"a\\u00e9\"}}]},\"scopeProfiles\":[{\"profiles\":[{\"sampleType\":{"
        "\"typeStrindex\":1,\"unitStrindex\":2},\"samples\":[{\"stackIndex\":1,\"values\":["
        "\"3\"]}],"
        "\"timeUnixNano\":\"5\"}]}]}],\"dictionary\":{\"stringTable\":[\"\",\"samples\","
        "\"count\"],"
        "\"stackTable\":[{},{\"locationIndices\":[0]}],\"locationTable\":[{}],"
        "\"mappingTable\":[{}],\"functionTable\":[{}]}}";
    static const char maps[] = "1000-2000 r-xp 00000000 08:01 7   /bin/a\n";
    uint64_t words[32] = {0, 3, 0,      10000,  0, /* the head */
                          5, 2, 0x1100, 0x1200,    /* a record */
                          0, 1, 0};                /* the end */
    memcpy(&words[12], maps, sizeof(maps) - 1);
    static const unsigned char pstats[] =
        "{)\3\xfa\4x.pyi\7\0\0\0\xda\1f)\5i\1\0\0\0l\1\0\0\0\2\0g\0\0\0\0\0\0\xf0?"
        "g\0\0\0\0\0\0\0@"
        "{)\3r\0\0\0\0i\2\0\0\0z\1g)\4i\1\0\0\0i\1\0\0\0g\0\0\0\0\0\0\xf0?g\0\0\0\0\0\0\0@00";
    static const unsigned char stackprof[] =
        "\4\10{\t:\11modeI\"\10cpu\6:\6ET:\rintervali\2\350\3:\13frames{\6i\6{\7:\11name\"\6a:"
        "\14samplesl+\7\1\0\2\0"
        ";\11f\0101.5";
    if (put(folder, "marshal", 0, stackprof, sizeof(stackprof) - 1) != 0)
        return -EIO;
    if (put(folder, "pstats", 0, pstats, sizeof(pstats) - 1) != 0)
        return -EIO;
    int status = put(folder, "json", 0, json, sizeof(json) - 1);
    return status != 0
               ? status
               : put(folder, "gperftools", 0, words, 12 * sizeof(*words) + sizeof(maps) - 1);
}

int main(int argc, char **argv)
{
    static const struct format *const formats[] = {&format_pprof, &format_otlp,
                                                   &format_collapsed, &format_block};
    if (argc != 2) {
        fprintf(stderr, "usage: fuzz_seeds FOLDER\n");
        return 2;
    }
    mkdir(argv[1], 0777);
    if (put_foreign(argv[1]) != 0 || put_texts(argv[1]) != 0)
        return 1;
    for (unsigned seed = 1; seed <= 4; seed++) {
        struct profile *p = cpu_profile(NULL);
        profile_set_text(p, PROFILE_RESOURCE, "service.name", "checkout");
        profile_set_number(p, PROFILE_ATTRIBUTES, "cprof.samples", 12);
        profile_set_text(p, PROFILE_COMMENTS, "", "a comment");
        add_random_samples(p, seed, seed * 3);
        for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++)
            if (put_format(argv[1], formats[i], seed, p) != 0)
                return 1;
        if (put_page(argv[1], seed, p) != 0)
            return 1;
        profile_free(p);
    }
    return 0;
}
