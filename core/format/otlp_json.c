#include "format/otlp_json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format/json_read.h"
#include "format/otlp.h"
#include "format/otlp_frames.h"
#include "format/otlp_version.h"
#include "format/refuse.h"
#include "format/wire.h"
#include "profiles.pb-c.h"

#define NAME_MAX_LENGTH 64 /* of a field; longer ones are none of ours */

struct transcoder {
    struct json_cursor json;
    struct buffer text; /* a key, a string or a number on its way */
    bool in_array;      /* of an attribute's values */
    const char *old;    /* an OTLP that only older versions of the protocol have; NULL = none */
};

/* --- names --- */

/* "timeUnixNano" is the field time_unix_nano; either may be written. */
static bool field_name(const struct buffer *key, char name[NAME_MAX_LENGTH])
{
    size_t length = 0;
    for (size_t i = 0; i < key->size; i++) {
        char c = (char)key->data[i];
        bool upper = c >= 'A' && c <= 'Z';
        if (length + 2 >= NAME_MAX_LENGTH)
            return false;
        if (upper)
            name[length++] = '_';
        name[length++] = upper ? (char)(c - 'A' + 'a') : c;
    }
    name[length] = '\0';
    return true;
}

/* Names that messages had in older versions and have no more. */
static void notice_old(struct transcoder *t, const ProtobufCMessageDescriptor *type,
                       const char *name)
{
    static const struct {
        const ProtobufCMessageDescriptor *type;
        const char *name, *version;
    } names[] = {
        {&otlp__profile__descriptor, "profile", OTLP_1_3},
        {&otlp__profile__descriptor, "string_table", OTLP_1_4},
        {&otlp__profiles_data__descriptor, "string_table", OTLP_1_6},
        {&otlp__profiles_dictionary__descriptor, "attribute_units", OTLP_1_7},
        {&otlp__profile__descriptor, "location_indices", OTLP_1_7},
        {&otlp__profile__descriptor, "sample", OTLP_1_8},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(*names) && t->old == NULL; i++)
        if (names[i].type == type && strcmp(names[i].name, name) == 0)
            t->old = names[i].version;
}

/* --- values --- */

static bool is_integer(ProtobufCType type)
{
    return type != PROTOBUF_C_TYPE_BYTES && type != PROTOBUF_C_TYPE_STRING &&
           type != PROTOBUF_C_TYPE_MESSAGE && type != PROTOBUF_C_TYPE_DOUBLE;
}

/* Takes a word, or a string with one in it: 64-bit integers are strings in protobuf's JSON. */
static int take_word(struct transcoder *t)
{
    t->text.size = 0;
    TRY(json_peek(&t->json) == '"' ? json_read_string(&t->json, &t->text)
                                   : json_read_word(&t->json, &t->text));
    buffer_append(&t->text, "", 1);
    return t->text.error;
}

static int read_integer(struct transcoder *t, uint64_t *number)
{
    char *end;
    TRY(take_word(t));
    const char *text = (const char *)t->text.data;
    errno = 0;
    *number = *text == '-' ? (uint64_t)strtoll(text, &end, 10) : strtoull(text, &end, 10);
    if (*end == '\0' && end != text && errno == 0)
        return 0;
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) {
        *number = *text == 't';
        return 0;
    }
    double real = strtod(text, &end); /* "1e9" */
    if (*end != '\0' || end == text || !(real > -9e18 && real < 9e18) ||
        (double)(int64_t)real != real)
        return -EBADMSG;
    *number = (uint64_t)(int64_t)real;
    return 0;
}

static int put_integer(struct transcoder *t, const ProtobufCFieldDescriptor *field,
                       struct buffer *out)
{
    uint64_t number;
    TRY(read_integer(t, &number));
    if (field->type == PROTOBUF_C_TYPE_FIXED64)
        wire_fixed64(out, field->id, number);
    else
        wire_varint_always(out, field->id, number);
    return 0;
}

static int put_double(struct transcoder *t, const ProtobufCFieldDescriptor *field,
                      struct buffer *out)
{
    char *end;
    uint64_t bits;
    TRY(take_word(t));
    double real = strtod((const char *)t->text.data, &end);
    if (*end != '\0' || end == (const char *)t->text.data)
        return -EBADMSG;
    memcpy(&bits, &real, sizeof(bits));
    wire_fixed64(out, field->id, bits);
    return 0;
}

static int hex_digit(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 'a' - 'A';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* OTLP writes ids in hex, where protobuf has base64 for bytes. */
static int put_id(struct transcoder *t, const ProtobufCFieldDescriptor *field,
                  struct buffer *out)
{
    t->text.size = 0;
    TRY(json_read_string(&t->json, &t->text));
    size_t size = t->text.size / 2;
    for (size_t i = 0; i < size; i++) {
        int high = hex_digit(t->text.data[2 * i]), low = hex_digit(t->text.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return 0; /* not an id */
        t->text.data[i] = (unsigned char)(high << 4 | low);
    }
    wire_bytes(out, field->id, t->text.data, size);
    return 0;
}

static int put_message(struct transcoder *t, const ProtobufCMessageDescriptor *type,
                       struct buffer *out);

static int put_part(struct transcoder *t, const ProtobufCFieldDescriptor *field,
                    const ProtobufCMessageDescriptor *type, struct buffer *out)
{
    struct buffer message = {0};
    int status = put_message(t, type, &message);
    if (status == 0)
        wire_buffer(out, field->id, &message);
    buffer_free(&message);
    return status;
}

/* A list of values; lists in it are left out, as whoever reads it leaves them out. */
static int put_array(struct transcoder *t, const ProtobufCFieldDescriptor *field,
                     struct buffer *out)
{
    if (t->in_array)
        return json_skip(&t->json);
    t->in_array = true;
    int status = put_part(t, field, &otlp__array_value__descriptor, out);
    t->in_array = false;
    return status;
}

/* What `bytes` of profiles.proto and common.proto are: most are text, as common.proto says. */
static int put_bytes(struct transcoder *t, const ProtobufCFieldDescriptor *field,
                     struct buffer *out)
{
    static const char *const ids[] = {"trace_id", "span_id", "profile_id"};
    static const char *const left_out[] = {"kvlist_value", "bytes_value", "original_payload"};
    for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++)
        if (strcmp(field->name, ids[i]) == 0)
            return put_id(t, field, out);
    if (strcmp(field->name, "array_value") == 0)
        return put_array(t, field, out);
    for (size_t i = 0; i < sizeof(left_out) / sizeof(*left_out); i++)
        if (strcmp(field->name, left_out[i]) == 0)
            return json_skip(&t->json);
    t->text.size = 0;
    TRY(json_read_string(&t->json, &t->text));
    wire_bytes(out, field->id, t->text.data, t->text.size);
    return 0;
}

static int put_value(struct transcoder *t, const ProtobufCFieldDescriptor *field,
                     struct buffer *out)
{
    if (is_integer(field->type))
        return put_integer(t, field, out);
    if (field->type == PROTOBUF_C_TYPE_DOUBLE)
        return put_double(t, field, out);
    if (field->type != PROTOBUF_C_TYPE_MESSAGE)
        return put_bytes(t, field, out);
    return put_part(t, field, field->descriptor, out);
}

static int put_list(struct transcoder *t, const ProtobufCFieldDescriptor *field,
                    struct buffer *out)
{
    bool first = true;
    int more;
    if (!json_accept(&t->json, '['))
        return -EBADMSG;
    while ((more = json_member(&t->json, ']', &first)) > 0)
        TRY(put_value(t, field, out));
    return more;
}

static int put_field(struct transcoder *t, const ProtobufCMessageDescriptor *type,
                     struct buffer *out)
{
    char name[NAME_MAX_LENGTH];
    const ProtobufCFieldDescriptor *field = NULL;
    t->text.size = 0;
    TRY(json_read_key(&t->json, &t->text));
    if (field_name(&t->text, name)) {
        field = protobuf_c_message_descriptor_get_field_by_name(type, name);
        notice_old(t, type, name);
    }
    if (field == NULL || json_peek(&t->json) == 'n') /* null */
        return json_skip(&t->json);
    return field->label == PROTOBUF_C_LABEL_REPEATED ? put_list(t, field, out)
                                                     : put_value(t, field, out);
}

/* As deep as the messages are in each other, and no deeper: none holds its own kind, but for
 * put_array(). */
static int put_message(struct transcoder *t, const ProtobufCMessageDescriptor *type,
                       struct buffer *out)
{
    bool first = true;
    int more;
    if (!json_accept(&t->json, '{'))
        return -EBADMSG;
    while ((more = json_member(&t->json, '}', &first)) > 0)
        TRY(put_field(t, type, out));
    return more != 0 ? more : out->error;
}

/* --- the whole --- */

static int put_frames(struct transcoder *t, struct buffer *frames,
                      char error[FORMAT_ERROR_SIZE])
{
    const char *start = t->json.at;
    while (json_peek(&t->json) != '\0') {
        struct buffer message = {0};
        int status = put_message(t, &otlp__profiles_data__descriptor, &message);
        if (status == 0)
            otlp_put_frame(frames, &message);
        buffer_free(&message);
        if (status == -ENOMEM || frames->error != 0)
            return refuse_memory(error);
        if (status != 0)
            return refuse(error, "not valid JSON of OTLP profiles: damaged at byte %zu",
                          (size_t)(t->json.at - start));
        if (t->old != NULL)
            return otlp_refuse_old(error, t->old);
    }
    return 0;
}

int otlp_json_frames(const unsigned char *data, size_t size, struct buffer *frames,
                     char error[FORMAT_ERROR_SIZE])
{
    const size_t mark = size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    struct transcoder t = {.json = {(const char *)data + mark, (const char *)data + size}};
    int status = put_frames(&t, frames, error);
    buffer_free(&t.text);
    return status;
}
