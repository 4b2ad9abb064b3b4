/* query/plan_tags.c: splitting series keys. */
#include "query/plan_tags.h"

#include "base/alloc.h"
#include "base/banned.h"

void tsm_tag_list_release(struct tsm_tag_list *l)
{
    tsm_free(l->items);
    *l = (struct tsm_tag_list){0};
}

static int parse_escaped(struct tsm_tag_list *l, struct tsm_str key, struct tsm_arena *a, struct tsm_err *err)
{
    struct tsm_series s;
    int code = tsm_series_parse(key, a, &s, err);
    if (code)
        return code;
    TSM_GROW(l->items, s.ntags, l->cap);
    l->n = s.ntags;
    if (s.ntags)
        memcpy(l->items, s.tags, s.ntags * sizeof *l->items);
    return TSM_OK;
}

int tsm_tag_list_parse(struct tsm_tag_list *l, struct tsm_str key, struct tsm_arena *a, struct tsm_err *err)
{
    l->n = 0;
    if (memchr(key.p, '\\', key.n))
        return parse_escaped(l, key, a, err);
    const char *end = key.p + key.n, *p = memchr(key.p, ',', key.n);
    while (p) {
        const char *name = p + 1, *equals = memchr(name, '=', (size_t)(end - name));
        p = memchr(name, ',', (size_t)(end - name));
        const char *stop = p ? p : end;
        if (!equals || equals >= stop || equals == name)
            return parse_escaped(l, key, a, err); /* it knows the message */
        if (equals + 1 == stop)
            continue;
        TSM_GROW(l->items, l->n + 1, l->cap);
        l->items[l->n++] = (struct tsm_tag){tsm_str(name, (size_t)(equals - name)),
                                            tsm_str(equals + 1, (size_t)(stop - equals - 1))};
    }
    return TSM_OK;
}
