/*
 * format/line_key.c: from the key of a line, as written, to the series key that is stored.
 *
 * Stored is what was written with the tags in order: by the bytes of their names, escapes included, as
 * InfluxDB orders them.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/sort.h"
#include "format/line_exact.h"
#include "base/banned.h"

/* A tag as written. */
struct raw_tag {
    struct tsm_str name;
    struct tsm_str text; /* name=value */
};

static int compare_tags(const void *a, const void *b)
{
    return tsm_str_cmp(((const struct raw_tag *)a)->name, ((const struct raw_tag *)b)->name);
}

/* The first stop byte after p that has no backslash before it, or end. */
static const char *find_unescaped(const char *p, const char *end, char stop)
{
    for (p++; p < end; p++)
        if (*p == stop && p[-1] != '\\')
            break;
    return p < end ? p : end;
}

static int duplicate(struct tsm_err *err)
{
    return tsm_err_set(err, TSM_EPARSE, "duplicate tags");
}

static void add_measurement(struct tsm_buf *out, const char *p, const char *end)
{
    for (const char *escape; (escape = memchr(p, '\\', (size_t)(end - p)));) {
        tsm_buf_add(out, p, (size_t)(escape - p));
        p = escape + 1;
        if (p == end || !(*p == '=' || *p == '"'))
            tsm_buf_byte(out, '\\');
    }
    tsm_buf_add(out, p, (size_t)(end - p));
}

static void add_tag(struct tsm_buf *out, const struct raw_tag *t)
{
    tsm_buf_byte(out, ',');
    tsm_buf_str(out, t->name);
    const char *value = t->name.p + t->name.n + 1;
    tsm_buf_puts(out, *value == '=' ? "=\\" : "=");
    tsm_buf_add(out, value, t->text.n - t->name.n - 1);
}

int tsm_line_key(struct tsm_str raw_key, struct tsm_buf *out, struct tsm_err *err)
{
    const char *end = raw_key.p + raw_key.n;
    const char *fault = tsm_line_key_fault(raw_key);
    if (fault)
        return tsm_err_set(err, TSM_EPARSE, "%s", fault);

    struct raw_tag few[32], *tags = few, *many = NULL;
    size_t n = 0, cap = sizeof few / sizeof *few;
    bool sorted = true, twice = false;
    const char *measurement_end = find_unescaped(raw_key.p, end, ',');
    for (const char *p = measurement_end; p < end;) {
        p++;
        if (n == cap) {
            many = tsm_realloc_array(many, cap * 2, sizeof *many);
            if (tags == few)
                memcpy(many, few, sizeof few);
            tags = many;
            cap *= 2;
        }
        struct raw_tag *t = &tags[n++];
        const char *equals = find_unescaped(p, end, '=');
        const char *tag_end = find_unescaped(equals + 1, end, ',');
        t->name = tsm_str(p, (size_t)(equals - p));
        t->text = tsm_str(p, (size_t)(tag_end - p));
        if (n > 1) {
            int c = compare_tags(t - 1, t);
            sorted &= c < 0;
            twice |= c == 0;
        }
        p = tag_end;
    }
    if (!sorted && !twice) {
        tsm_sort(tags, n, sizeof *tags, compare_tags);
        for (size_t i = 1; i < n; i++)
            twice |= compare_tags(&tags[i - 1], &tags[i]) == 0;
    }
    int rc = TSM_OK;
    if (twice) {
        rc = duplicate(err);
    } else if (raw_key.n > TSM_KEY_MAX) {
        rc = tsm_err_set(err, TSM_EPARSE, "max key length exceeded: %zu > %d", raw_key.n, TSM_KEY_MAX);
    } else {
        add_measurement(out, raw_key.p, measurement_end);
        for (size_t i = 0; i < n; i++)
            add_tag(out, &tags[i]);
    }
    tsm_free(many);
    return rc;
}
