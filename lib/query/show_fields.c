/* query/show_fields.c: SHOW FIELD KEYS, which are those of the shards of the sources' policies. */
#include "base/alloc.h"
#include "base/sort.h"
#include "query/show_impl.h"

#include "base/banned.h"

struct field {
    struct tsm_str name;
    enum tsm_type type;
};

struct fields { /* of a measurement */
    struct field *items;
    size_t n, cap;
};

/* Looks at guess first: series of a measurement mostly have the same fields. */
static void add_field(struct fields *f, size_t guess, struct tsm_str name, enum tsm_type type)
{
    if (guess < f->n && f->items[guess].type == type && tsm_str_eq(f->items[guess].name, name))
        return;
    for (size_t i = 0; i < f->n; i++)
        if (f->items[i].type == type && tsm_str_eq(f->items[i].name, name))
            return;
    TSM_GROW(f->items, f->n + 1, f->cap);
    f->items[f->n++] = (struct field){name, type};
}

static int compare_fields(const void *a, const void *b)
{
    const struct field *x = a, *y = b;
    int c = tsm_str_cmp(x->name, y->name);
    return c ? c : tsm_str_cmp(tsm_str_of(tsm_type_name(x->type)), tsm_str_of(tsm_type_name(y->type)));
}

static int gather(struct tsm_shower *s, struct tsm_str measurement, struct fields *f)
{
    struct tsm_series_walk w = {0};
    unsigned rounds = 0;
    int rc = TSM_OK;
    for (size_t i = 0; i < s->nshards && rc == TSM_OK; i++) {
        tsm_series_walk_start(&w, s->shards[i], measurement);
        while (rc == TSM_OK && tsm_series_walk_next(&w)) {
            size_t skip = w.series.n + TSM_FIELD_SEPARATOR.n;
            rc = tsm_control_round(s->q->opt->control, &rounds, s->err);
            for (size_t k = 0; k < w.nkeys; k++) {
                struct tsm_str key = tsm_shard_key(w.shard, w.first + k);
                add_field(f, k, tsm_str(key.p + skip, key.n - skip),
                          tsm_shard_key_type(w.shard, w.first + k));
            }
        }
    }
    tsm_series_walk_release(&w);
    return rc;
}

static int list_measurement(struct tsm_shower *s, struct tsm_str name, struct tsm_show_rows *out)
{
    struct fields f = {0};
    int rc = tsm_shower_is_source(s, name);
    if (rc <= 0)
        return rc;
    rc = gather(s, name, &f);
    tsm_sort(f.items, f.n, sizeof *f.items, compare_fields);
    tsm_show_rows_series(out, name, s->show);
    for (size_t i = 0; i < f.n && rc == TSM_OK; i++)
        rc = tsm_show_rows_add(out, f.items[i].name, tsm_str_of(tsm_type_name(f.items[i].type)), s->err);
    if (rc == TSM_OK)
        rc = tsm_show_rows_end(out, s->err);
    tsm_free(f.items);
    return rc;
}

int tsm_show_field_keys(struct tsm_shower *s)
{
    struct tsm_str_list names = {0};
    int rc = tsm_shower_condition(s, NULL);
    if (rc == TSM_OK)
        rc = tsm_shower_source_shards(s);
    if (rc == TSM_OK)
        rc = tsm_catalogue_names(s->shards, s->nshards, s->q->opt->control, &s->arena, &names, s->err);
    struct tsm_show_rows *out = tsm_show_rows_new(s->sink, "fieldKey", "fieldType");
    for (size_t i = 0; i < names.n && rc == TSM_OK; i++)
        rc = list_measurement(s, names.items[i], out);
    tsm_free(out);
    tsm_str_list_release(&names);
    return rc;
}
