#include "explain.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "command.h"

void word_list_add(struct word_list *list, const char *word)
{
    const size_t length = strlen(word), used = strlen(list->text);
    for (const char *at = list->text; length && (at = strstr(at, word)); at += length)
        if ((at == list->text || at[-1] == ' ') && (at[length] == ',' || !at[length]))
            return;
    if (length == 0)
        return;
    if (used + length + 3 > sizeof(list->text))
        list->left_out++;
    else
        snprintf(list->text + used, sizeof(list->text) - used, "%s%s", used ? ", " : "", word);
}

static void add_value(struct word_list *list, const struct profile *all,
                      const struct profile_label *label)
{
    char digits[24];
    snprintf(digits, sizeof(digits), "%" PRId64, label->number);
    word_list_add(list, label->is_number ? digits : profile_text(all, label->text));
}

/* Values of a key where it is not NULL, else the keys. */
static void list_labels(const struct profile *all, const char *key, struct word_list *list)
{
    const size_t attributes = profile_attribute_count(all, PROFILE_RESOURCE);
    for (profile_id id = 0; id < profile_label_set_count(all); id++) {
        struct profile_label_set set = profile_get_labels(all, id);
        for (uint32_t i = 0; i < set.count; i++) {
            const char *own = profile_text(all, set.labels[i].key);
            if (!key)
                word_list_add(list, own);
            else if (strcmp(own, key) == 0)
                add_value(list, all, &set.labels[i]);
        }
    }
    for (size_t i = 0; i < attributes; i++) {
        const struct profile_label *each = profile_attribute(all, PROFILE_RESOURCE, i);
        if (!key)
            word_list_add(list, profile_text(all, each->key));
        else if (strcmp(profile_text(all, each->key), key) == 0)
            add_value(list, all, each);
    }
}

bool explain_key(const struct profile *all, const char *key)
{
    struct word_list values = {.text = ""}, keys = {.text = ""};
    list_labels(all, key, &values);
    if (*values.text)
        return true;
    list_labels(all, NULL, &keys);
    if (*keys.text)
        fail("no sample has a label %s, only: %s%s", key, keys.text,
             keys.left_out ? ", …" : "");
    else
        fail("no sample has a label");
    return false;
}

static bool matches(const struct profile *all, const struct profile_filter *part)
{
    struct profile *selected = profile_select(all, part);
    bool any = !selected || profile_sample_count(selected) > 0;
    profile_free(selected);
    return any;
}

/* What was asked for, as it was, and what of that key there is. */
static void tell_label(const struct profile *all, const char *asked, const char *key)
{
    struct word_list values = {.text = ""};
    if (!explain_key(all, key))
        return;
    list_labels(all, key, &values);
    fail("no sample matches %s; there is: %s%s", asked, values.text,
         values.left_out ? ", …" : "");
}

void explain_filter(const struct profile_filter *filter, const struct profile *all)
{
    const struct profile_filter thread = {.thread = filter->thread};
    const struct profile_filter link = {.trace_id = filter->trace_id,
                                        .span_id = filter->span_id};
    char asked[256];
    bool told = false;
    if (profile_sample_count(all) == 0)
        return;
    for (size_t i = 0; i < filter->label_count; i++) {
        const struct profile_label_match *label = &filter->labels[i];
        const struct profile_filter alone = {.labels = {*label}, .label_count = 1};
        if (label->unlike || matches(all, &alone))
            continue;
        snprintf(asked, sizeof(asked), "--label %.99s=%.99s", label->key, label->value);
        tell_label(all, asked, label->key);
        told = true;
    }
    if (filter->thread && !matches(all, &thread)) {
        snprintf(asked, sizeof(asked), "--thread %.200s", filter->thread);
        tell_label(all, asked, "thread.name");
        told = true;
    }
    if ((filter->trace_id || filter->span_id) && !matches(all, &link)) {
        const size_t links = profile_link_count(all) - 1;
        fail(links ? "no sample is of that trace and span; cprof spans lists the %zu that are"
                   : "no sample is of a span",
             links);
        told = true;
    }
    if (!told)
        fail("no sample matches all of these filters");
}
