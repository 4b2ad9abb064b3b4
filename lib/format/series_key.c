/* format/series_key.c: taking series keys apart, making them, and line protocol's escapes. */
#include "format/series_key.h"

#include <string.h>

#include "base/banned.h"

static bool is_special(char c, const char *specials)
{
    return c && strchr(specials, c) != NULL;
}

bool tsm_key_split(struct tsm_str key, struct tsm_str *series, struct tsm_str *field)
{
    struct tsm_str mark = TSM_FIELD_SEPARATOR;
    const char *at = key.n ? memmem(key.p, key.n, mark.p, mark.n) : NULL;
    if (!at)
        return false;
    size_t n = (size_t)(at - key.p);
    *series = tsm_str(key.p, n);
    *field = tsm_str(at + mark.n, key.n - n - mark.n);
    return true;
}

/* Position of the first `stop` at or after from that is not escaped; s.n when there is none. */
static size_t find_stop(struct tsm_str s, size_t from, char stop)
{
    for (size_t i = from; i < s.n; i++) {
        const char *at = memchr(s.p + i, stop, s.n - i);
        if (!at)
            break;
        i = (size_t)(at - s.p);
        if (i == 0 || s.p[i - 1] != '\\')
            return i;
    }
    return s.n;
}

struct tsm_str tsm_unescape(struct tsm_str s, const char *specials, struct tsm_arena *a)
{
    if (s.n == 0 || !memchr(s.p, '\\', s.n))
        return s;
    char *out = tsm_arena_bytes(a, s.n);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\\' && i + 1 < s.n && is_special(s.p[i + 1], specials))
            i++;
        out[n++] = s.p[i];
    }
    return tsm_str(out, n);
}

/* An upper bound: escaped commas are counted too. */
static size_t count_tags(struct tsm_str tags)
{
    size_t n = 0;
    for (size_t i = 0; i < tags.n; i++)
        n += tags.p[i] == ',';
    return n;
}

int tsm_series_parse(struct tsm_str key, struct tsm_arena *a, struct tsm_series *s, struct tsm_err *err)
{
    *s = (struct tsm_series){0};
    size_t at = find_stop(key, 0, ',');
    if (at == 0)
        return tsm_err_set(err, TSM_ECORRUPT, "series key without a measurement");
    s->measurement = tsm_unescape(tsm_str(key.p, at), TSM_MEASUREMENT_SPECIALS, a);
    if (at == key.n)
        return TSM_OK;

    size_t most = count_tags(tsm_str(key.p + at, key.n - at));
    s->tags = tsm_arena_alloc(a, most * sizeof *s->tags);
    while (at < key.n) {
        size_t start = at + 1;
        size_t equals = find_stop(key, start, '=');
        size_t end = find_stop(key, start, ',');
        if (equals >= end)
            return tsm_err_set(err, TSM_ECORRUPT, "series key with a tag without a value at byte %zu", start);
        if (equals == start)
            return tsm_err_set(err, TSM_ECORRUPT, "series key with a tag without a name at byte %zu", start);
        at = end;
        if (end == equals + 1)
            continue; /* an empty value is as good as no tag */
        struct tsm_tag *tag = &s->tags[s->ntags++];
        tag->key = tsm_unescape(tsm_str(key.p + start, equals - start), TSM_TAG_SPECIALS, a);
        tag->value = tsm_unescape(tsm_str(key.p + equals + 1, end - equals - 1), TSM_TAG_SPECIALS, a);
    }
    return TSM_OK;
}

static void escape(struct tsm_buf *out, struct tsm_str s, const char *specials)
{
    size_t from = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (is_special(s.p[i], specials)) {
            tsm_buf_add(out, s.p + from, i - from);
            tsm_buf_byte(out, '\\');
            from = i;
        }
    }
    tsm_buf_add(out, s.p + from, s.n - from);
}

void tsm_escape_measurement(struct tsm_buf *out, struct tsm_str s)
{
    escape(out, s, TSM_MEASUREMENT_SPECIALS);
}

void tsm_escape_tag(struct tsm_buf *out, struct tsm_str s)
{
    escape(out, s, TSM_TAG_SPECIALS);
}

void tsm_escape_field(struct tsm_buf *out, struct tsm_str s)
{
    escape(out, s, TSM_FIELD_SPECIALS);
}

void tsm_escape_string(struct tsm_buf *out, struct tsm_str s)
{
    escape(out, s, TSM_STRING_SPECIALS);
}

void tsm_series_make(struct tsm_buf *out, const struct tsm_series *s)
{
    tsm_escape_measurement(out, s->measurement);
    for (size_t i = 0; i < s->ntags; i++) {
        if (s->tags[i].value.n == 0)
            continue;
        tsm_buf_byte(out, ',');
        tsm_escape_tag(out, s->tags[i].key);
        tsm_buf_byte(out, '=');
        tsm_escape_tag(out, s->tags[i].value);
    }
}

struct tsm_str tsm_series_tag(const struct tsm_series *s, struct tsm_str key)
{
    /* The keys of a damaged or foreign file may be out of order, so this does not bisect; tags are few. */
    for (size_t i = 0; i < s->ntags; i++) {
        if (tsm_str_eq(s->tags[i].key, key))
            return s->tags[i].value;
    }
    return tsm_str(NULL, 0);
}
