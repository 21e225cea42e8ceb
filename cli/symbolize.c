#include "symbolize.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "binary.h"
#include "command.h"
#include "profile/combine.h"
#include "symbol/debugfile.h"

struct names {
    const struct symbolize *symbolize;
    const struct profile *profile;
    struct binary **of_mapping; /* by id; NULL = none */
    bool used[SYMBOLIZE_BINARIES];
};

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool is_folder(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* Does its only line say no more than where it is? So cprof names code that has no symbol where
 * it runs, by the function's start: "libz.so.1+0x4970". */
static bool says_place(const struct profile *p, const struct profile_location *location)
{
    if (location->line_count != 1 || location->mapping == 0)
        return false;
    const struct profile_mapping *mapping = profile_get_mapping(p, location->mapping);
    const char *file = base_name(profile_text(p, mapping->filename));
    const struct profile_function *function =
        profile_get_function(p, location->lines[0].function);
    const char *name = profile_text(p, function->name);
    size_t length = strlen(file);
    if (length == 0 || strncmp(name, file, length) != 0 ||
        strncmp(name + length, "+0x", 3) != 0)
        return false;
    const char *digits = name + length + 3;
    return *digits != '\0' && digits[strspn(digits, "0123456789abcdef")] == '\0';
}

static bool is_nameless(void *closure, const struct profile_location *location)
{
    const struct names *names = closure;
    return location->line_count == 0 || says_place(names->profile, location);
}

/* By a path that the user gave. */
static struct binary *open_given(const char *path, const struct binary_identity *identity,
                                 bool believed)
{
    enum binary_match match;
    if (is_folder(path))
        return binary_open_debug(path, identity->build_id);
    struct binary *binary = binary_open(path, identity, &match);
    if (match == BINARY_SAME || (match == BINARY_PERHAPS && believed))
        return binary;
    binary_free(binary);
    return NULL;
}

static struct binary *open_binary(struct names *names, profile_id id)
{
    const struct profile *p = names->profile;
    const struct profile_mapping *mapping = profile_get_mapping(p, id);
    const char *file = profile_text(p, mapping->filename);
    const struct binary_identity identity = {
        .build_id = profile_text(p, mapping->build_id),
        .htlhash = profile_text(p, mapping->htlhash),
    };
    struct binary *binary = NULL;
    for (size_t i = 0; i < names->symbolize->count && !binary; i++) {
        const char *path = names->symbolize->paths[i];
        bool believed = id == 1 || strcmp(base_name(path), base_name(file)) == 0;
        binary = open_given(path, &identity, believed);
        names->used[i] |= binary != NULL;
    }
    if (!binary && *file == '/')
        binary = open_given(file, &identity, true);
    return binary ? binary : binary_open_debug(DEBUGFILE_ROOT, identity.build_id);
}

/* Opens the files of all mappings that have code without a name. */
static bool open_binaries(struct names *names)
{
    const struct profile *p = names->profile;
    bool any = false;
    bool *asked = calloc(profile_mapping_count(p), sizeof(*asked));
    for (profile_id id = 1; asked && id < profile_location_count(p); id++) {
        const struct profile_location *location = profile_get_location(p, id);
        if (location->mapping == 0 || asked[location->mapping] || !is_nameless(names, location))
            continue;
        asked[location->mapping] = true;
        names->of_mapping[location->mapping] = open_binary(names, location->mapping);
        any |= names->of_mapping[location->mapping] != NULL;
    }
    free(asked);
    return any;
}

/* Addresses of a running program are its mapping's; others are the file's own already. */
static uint64_t vaddr_of(const struct binary *binary, const struct profile_mapping *mapping,
                         uint64_t address)
{
    if (address < mapping->start || address >= mapping->limit)
        return address;
    return binary_vaddr(binary, address - mapping->start + mapping->file_offset);
}

static profile_id function_of(struct profile *to, const struct symbol_line *line)
{
    const struct profile_function function = {
        .name = profile_string(to, line->name),
        .system_name = profile_string(to, line->linkage ? line->linkage : ""),
        .filename = profile_string(to, line->file ? line->file : ""),
        .start_line = line->start_line,
    };
    return profile_function(to, &function);
}

static uint32_t name_location(void *closure, const struct profile_location *location,
                              struct profile *to, struct profile_line *lines)
{
    struct names *names = closure;
    struct binary *binary = names->of_mapping[location->mapping];
    struct symbol_line found[SYMBOL_MAX_INLINED];
    if (!binary)
        return 0;
    const struct profile_mapping *mapping =
        profile_get_mapping(names->profile, location->mapping);
    size_t count = binary_find(binary, vaddr_of(binary, mapping, location->address), found);
    for (size_t i = 0; i < count; i++)
        lines[i] = (struct profile_line){.function = function_of(to, &found[i]),
                                         .line = found[i].line};
    return (uint32_t)count;
}

static bool knows_mapping(void *closure, profile_id mapping)
{
    const struct names *names = closure;
    return names->of_mapping[mapping] != NULL;
}

/* A file that was given for nothing is a mistake that people want to hear of. */
static void tell_unused(const struct names *names)
{
    for (size_t i = 0; i < names->symbolize->count; i++)
        if (!names->used[i])
            fail("%s: is of no code without a name in the profile", names->symbolize->paths[i]);
}

static struct profile *name_all(struct names *names)
{
    const struct profile_naming naming = {.closure = names,
                                          .nameless = is_nameless,
                                          .name = name_location,
                                          .knows = knows_mapping};
    return profile_name(names->profile, &naming);
}

struct profile *symbolize(const struct symbolize *symbolize, struct profile *profile)
{
    struct names names = {.symbolize = symbolize, .profile = profile};
    const size_t mappings = profile_mapping_count(profile);
    names.of_mapping = calloc(mappings, sizeof(struct binary *));
    struct profile *named = profile;
    if (names.of_mapping && open_binaries(&names))
        named = name_all(&names);
    if (names.of_mapping)
        tell_unused(&names);
    for (size_t i = 0; names.of_mapping && i < mappings; i++)
        binary_free(names.of_mapping[i]);
    free(names.of_mapping);
    if (named != profile)
        profile_free(profile);
    return named;
}
