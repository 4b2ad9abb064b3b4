/* query/show_fields.c: SHOW FIELD KEYS, which are those of the shards of the sources' policies. */
#include "base/alloc.h"
#include "base/map.h"
#include "base/sort.h"
#include "query/show_impl.h"
#include "query/tag_filter.h"

#include "base/banned.h"

struct listed_field {
    struct tsm_str measurement, field, type;
};

struct fields {
    struct listed_field *items;
    size_t n, cap;
    struct tsm_map known; /* raw measurement, field and type */
    struct tsm_buf key;
};

static int add_field(struct tsm_shower *s, struct fields *f, struct tsm_str series, struct tsm_str field,
                     enum tsm_type type)
{
    struct tsm_str raw = tsm_raw_measurement(series);
    f->key.len = 0;
    tsm_buf_str(&f->key, raw);
    tsm_buf_byte(&f->key, 0);
    tsm_buf_str(&f->key, field);
    tsm_buf_byte(&f->key, (uint8_t)type);
    uint64_t hash = tsm_hash(tsm_buf_view(&f->key));
    if (tsm_map_get(&f->known, tsm_buf_view(&f->key), hash) != TSM_MAP_NONE)
        return TSM_OK;
    tsm_map_put(&f->known, tsm_arena_str(&s->arena, tsm_buf_view(&f->key)), hash, 0);
    struct tsm_series parsed;
    int rc = tsm_series_parse(raw, &s->arena, &parsed, s->err);
    if (rc != TSM_OK)
        return rc;
    TSM_GROW(f->items, f->n + 1, f->cap);
    f->items[f->n++] = (struct listed_field){parsed.measurement, field, tsm_str_of(tsm_type_name(type))};
    return TSM_OK;
}

static int compare_fields(const void *a, const void *b)
{
    const struct listed_field *x = a, *y = b;
    int c = tsm_str_cmp(x->measurement, y->measurement);
    if (c == 0)
        c = tsm_str_cmp(x->field, y->field);
    return c ? c : tsm_str_cmp(x->type, y->type);
}

static int list_fields(struct tsm_shower *s, const struct fields *f)
{
    const struct tsm_expr *condition = tsm_shower_names(s, NULL);
    struct tsm_show_rows *out = tsm_show_rows_new(s->sink, "fieldKey", "fieldType");
    int rc = TSM_OK;
    for (size_t i = 0; i < f->n && rc >= 0;) {
        struct tsm_listed_measurement m = {.name = f->items[i].measurement};
        rc = tsm_filter_measurement(condition, &m, s->err);
        bool wanted = rc > 0;
        tsm_show_rows_series(out, m.name, s->show);
        for (; i < f->n && tsm_str_eq(f->items[i].measurement, m.name) && rc >= 0; i++)
            if (wanted)
                rc = tsm_show_rows_add(out, f->items[i].field, f->items[i].type, s->err);
        if (rc >= 0)
            rc = tsm_show_rows_end(out, s->err);
    }
    tsm_free(out);
    return rc < 0 ? rc : TSM_OK;
}

static int gather_fields(struct tsm_shower *s, struct fields *f)
{
    for (size_t i = 0; i < s->nshards; i++)
        for (size_t k = 0; k < s->shards[i]->nkeys; k++) {
            struct tsm_str series, field;
            if (!tsm_key_split(tsm_shard_key(s->shards[i], k), &series, &field))
                continue;
            int rc = add_field(s, f, series, field, tsm_shard_key_type(s->shards[i], k));
            if (rc != TSM_OK)
                return rc;
        }
    return TSM_OK;
}

int tsm_show_field_keys(struct tsm_shower *s)
{
    struct fields f = {0};
    int rc = tsm_shower_condition(s, NULL);
    if (rc == TSM_OK)
        rc = tsm_shower_source_shards(s);
    if (rc == TSM_OK)
        rc = gather_fields(s, &f);
    tsm_sort(f.items, f.n, sizeof *f.items, compare_fields);
    if (rc == TSM_OK)
        rc = list_fields(s, &f);
    tsm_free(f.items);
    tsm_map_release(&f.known);
    tsm_buf_release(&f.key);
    return rc;
}
