/*
 * store/log.c: replaying a shard's write-ahead log.
 *
 * While it is replayed a column holds its values as they were logged; a delete sorts it first. So the last
 * value written for a time wins, and a delete takes what was logged before it and nothing else.
 */
#include "store/log.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/sort.h"
#include "format/influx_wal.h"
#include "base/banned.h"

struct replay {
    struct tsm_log *log;
    struct tsm_map map; /* key to its number in log->items */
    const struct tsm_damage *damage;
    const char *path; /* of the segment */
};

static struct tsm_logged *find(struct replay *r, struct tsm_str key, bool add)
{
    uint64_t hash = tsm_hash(key);
    uint32_t i = tsm_map_get(&r->map, key, hash);
    struct tsm_log *log = r->log;
    if (i == TSM_MAP_NONE && !add)
        return NULL;
    if (i == TSM_MAP_NONE) {
        TSM_GROW(log->items, log->n + 1, log->cap);
        i = (uint32_t)log->n++;
        log->items[i] = (struct tsm_logged){.key = tsm_arena_str(&log->arena, key)};
        tsm_map_put(&r->map, log->items[i].key, hash, i);
    }
    return &log->items[i];
}

static int on_write(void *ctx, struct tsm_str key, const struct tsm_values *values, struct tsm_err *err)
{
    struct replay *r = ctx;
    struct tsm_values *own = &find(r, key, true)->values;
    if (own->n == 0)
        tsm_values_reset(own, values->type, values->n);
    if (own->type != values->type) {
        tsm_err_set(err, TSM_ECORRUPT, "%s: key '%.*s': values of type %s after values of type %s", r->path,
                    (int)key.n, key.p, tsm_type_name(values->type), tsm_type_name(own->type));
        return tsm_damage_pass(r->damage, err);
    }
    tsm_values_append(own, values, 0, values->n);
    return TSM_OK;
}

static int on_remove(void *ctx, struct tsm_str key, int64_t tmin, int64_t tmax, struct tsm_err *err)
{
    (void)err;
    struct tsm_logged *l = find(ctx, key, false);
    if (l) {
        tsm_values_sort_dedup(&l->values);
        tsm_values_delete(&l->values, tmin, tmax);
    }
    return TSM_OK;
}

static int on_damage(void *ctx, struct tsm_err *err)
{
    struct replay *r = ctx;
    return tsm_damage_pass(r->damage, err);
}

static int by_key(const void *a, const void *b)
{
    const struct tsm_logged *x = a, *y = b;
    return tsm_str_cmp(x->key, y->key);
}

/* Sorts every column, drops the empty ones, sorts by key. */
static void finish(struct tsm_log *log)
{
    size_t n = 0;
    for (size_t i = 0; i < log->n; i++) {
        struct tsm_logged *l = &log->items[i];
        tsm_values_sort_dedup(&l->values);
        if (l->values.n)
            log->items[n++] = *l;
        else
            tsm_values_release(&l->values);
    }
    log->n = n;
    tsm_sort(log->items, n, sizeof *log->items, by_key);
}

struct segment {
    uint32_t id;
    const char *name;
};

static int by_id(const void *a, const void *b)
{
    const struct segment *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* Replays one segment. That it is gone is no error: influxd flushed it, and its values are in a TSM file now.
 */
static int replay_segment(struct replay *r, const struct tsm_fs *fs, const char *dir, const char *name,
                          struct tsm_err *err)
{
    struct tsm_wal_visitor v = {r, on_write, on_remove, on_damage};
    struct tsm_buf path = {0};
    uint64_t torn;
    tsm_buf_printf(&path, "%s/%s", dir, name);
    r->path = tsm_buf_cstr(&path);
    int rc = tsm_influx_wal_read(fs, r->path, &v, &torn, err);
    tsm_buf_release(&path);
    if (rc == TSM_ECORRUPT) /* a record, or what is not a segment at all */
        rc = tsm_damage_pass(r->damage, err);
    return rc == TSM_ENOTFOUND ? TSM_OK : rc;
}

int tsm_log_read(const struct tsm_fs *fs, const char *path, const struct tsm_damage *damage,
                 struct tsm_log **log, struct tsm_err *err)
{
    struct tsm_names names;
    struct tsm_err local;
    *log = NULL;
    if (!err)
        err = &local;
    int rc = tsm_fs_list(fs, path, &names, err);
    if (rc)
        return rc;
    struct segment *segments = tsm_calloc(names.n, sizeof *segments);
    size_t n = 0;
    for (size_t i = 0; i < names.n; i++)
        if (tsm_influx_wal_name(tsm_str_of(names.names[i]), &segments[n].id))
            segments[n++].name = names.names[i];
    tsm_sort(segments, n, sizeof *segments, by_id);
    struct replay r = {.log = tsm_calloc(1, sizeof *r.log), .damage = damage};
    for (size_t i = 0; i < n && rc == TSM_OK; i++)
        rc = replay_segment(&r, fs, path, segments[i].name, err);
    finish(r.log);
    if (rc || r.log->n == 0)
        tsm_log_free(r.log);
    else
        *log = r.log;
    tsm_map_release(&r.map);
    tsm_free(segments);
    tsm_names_release(&names);
    return rc;
}

void tsm_log_free(struct tsm_log *log)
{
    if (!log)
        return;
    for (size_t i = 0; i < log->n; i++)
        tsm_values_release(&log->items[i].values);
    tsm_free(log->items);
    tsm_arena_release(&log->arena);
    tsm_free(log);
}
