/* query/catalogue.c: gathering measurements, series and tag keys from the keys of shards. */
#include "query/catalogue.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/sort.h"

#include "base/banned.h"

struct maker {
    struct tsm_catalogue *c;
    struct tsm_map names;  /* measurement -> number */
    struct tsm_map series; /* series key -> 0 */
    bool names_only;
    size_t memory, held;
};

struct tsm_str tsm_raw_measurement(struct tsm_str series)
{
    for (size_t i = 0; i < series.n; i++) {
        if (series.p[i] == '\\')
            i++;
        else if (series.p[i] == ',')
            return tsm_str(series.p, i);
    }
    return series;
}

static struct tsm_listed_measurement *measurement(struct maker *m, struct tsm_str name)
{
    struct tsm_catalogue *c = m->c;
    uint64_t hash = tsm_hash(name);
    uint32_t i = tsm_map_get(&m->names, name, hash);
    if (i == TSM_MAP_NONE) {
        i = (uint32_t)c->n;
        TSM_GROW(c->measurements, c->n + 1, c->cap);
        c->measurements[c->n++] = (struct tsm_listed_measurement){.name = name};
        tsm_map_put(&m->names, name, hash, i);
    }
    return &c->measurements[i];
}

static int add_series(struct maker *m, struct tsm_str key, struct tsm_err *err)
{
    uint64_t hash = tsm_hash(key);
    if (tsm_map_get(&m->series, key, hash) != TSM_MAP_NONE)
        return TSM_OK;
    struct tsm_series s;
    int rc = tsm_series_parse(key, &m->c->arena, &s, err);
    if (rc != TSM_OK)
        return rc;
    tsm_map_put(&m->series, key, hash, 0);
    struct tsm_listed_measurement *listed = measurement(m, s.measurement);
    if (m->names_only)
        return TSM_OK;
    m->held -= listed->capseries * sizeof *listed->series;
    TSM_GROW(listed->series, listed->nseries + 1, listed->capseries);
    m->held += listed->capseries * sizeof *listed->series;
    listed->series[listed->nseries++] = (struct tsm_listed_series){key, s.tags, (uint32_t)s.ntags};
    if (m->held + m->c->arena.bytes + tsm_map_bytes(&m->series) > m->memory)
        return tsm_err_set(err, TSM_ELIMIT,
                           "the list of series needs more than the memory limit of %zu bytes", m->memory);
    return TSM_OK;
}

static int add_shard(struct maker *m, const struct tsm_shard *shard, struct tsm_err *err)
{
    struct tsm_str last = {0};
    for (size_t i = 0; i < shard->nkeys; i++) {
        struct tsm_str series, field;
        if (!tsm_key_split(tsm_shard_key(shard, i), &series, &field) || tsm_str_eq(series, last))
            continue;
        if (m->names_only)
            series = tsm_raw_measurement(series);
        if (m->names_only && tsm_str_eq(series, last))
            continue;
        last = series;
        int rc = add_series(m, series, err);
        if (rc != TSM_OK)
            return rc;
    }
    return TSM_OK;
}

/* ---- order ------------------------------------------------------------------------------------ */

static int compare_series(const void *a, const void *b)
{
    const struct tsm_listed_series *x = a, *y = b;
    for (uint32_t i = 0; i < x->ntags && i < y->ntags; i++) {
        int c = tsm_str_cmp(x->tags[i].key, y->tags[i].key);
        if (c == 0)
            c = tsm_str_cmp(x->tags[i].value, y->tags[i].value);
        if (c)
            return c;
    }
    return (x->ntags > y->ntags) - (x->ntags < y->ntags);
}

static int compare_measurements(const void *a, const void *b)
{
    const struct tsm_listed_measurement *x = a, *y = b;
    return tsm_str_cmp(x->name, y->name);
}

static int compare_strings(const void *a, const void *b)
{
    const struct tsm_str *x = a, *y = b;
    return tsm_str_cmp(*x, *y);
}

static void list_tag_keys(struct tsm_catalogue *c, struct tsm_listed_measurement *m)
{
    struct tsm_map known = {0};
    struct tsm_str *keys = NULL;
    size_t n = 0, cap = 0;
    for (size_t i = 0; i < m->nseries; i++)
        for (uint32_t k = 0; k < m->series[i].ntags; k++) {
            struct tsm_str key = m->series[i].tags[k].key;
            uint64_t hash = tsm_hash(key);
            if (tsm_map_get(&known, key, hash) != TSM_MAP_NONE)
                continue;
            tsm_map_put(&known, key, hash, 0);
            TSM_GROW(keys, n + 1, cap);
            keys[n++] = key;
        }
    tsm_sort(keys, n, sizeof *keys, compare_strings);
    m->tag_keys = tsm_arena_alloc(&c->arena, n * sizeof *keys);
    if (n)
        memcpy(m->tag_keys, keys, n * sizeof *keys);
    m->ntag_keys = n;
    tsm_free(keys);
    tsm_map_release(&known);
}

int tsm_catalogue_make(struct tsm_shard *const *shards, size_t n, bool names_only, size_t memory,
                       struct tsm_catalogue *c, struct tsm_err *err)
{
    struct maker m = {.c = c, .names_only = names_only, .memory = memory};
    int rc = TSM_OK;
    *c = (struct tsm_catalogue){0};
    for (size_t i = 0; i < n && rc == TSM_OK; i++)
        rc = add_shard(&m, shards[i], err);
    tsm_map_release(&m.names);
    tsm_map_release(&m.series);
    if (rc != TSM_OK) {
        tsm_catalogue_release(c);
        return rc;
    }
    tsm_sort(c->measurements, c->n, sizeof *c->measurements, compare_measurements);
    for (size_t i = 0; i < c->n; i++) {
        struct tsm_listed_measurement *listed = &c->measurements[i];
        tsm_sort(listed->series, listed->nseries, sizeof *listed->series, compare_series);
        list_tag_keys(c, listed);
    }
    return TSM_OK;
}

void tsm_catalogue_release(struct tsm_catalogue *c)
{
    for (size_t i = 0; i < c->n; i++)
        tsm_free(c->measurements[i].series);
    tsm_free(c->measurements);
    tsm_arena_release(&c->arena);
    *c = (struct tsm_catalogue){0};
}
