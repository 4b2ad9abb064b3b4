/*
 * store/log.c: replaying a shard's write-ahead log.
 *
 * While it is replayed a column holds its values as they were logged; a delete sorts it first. So the last
 * value written for a time wins, and a delete takes what was logged before it and nothing else.
 */
#include "store/log.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/sort.h"
#include "format/influx_wal.h"
#include "store/data_dir.h"
#include "store/log_impl.h"
#include "base/banned.h"

enum { MAX_LISTINGS = 10 }; /* when flushes keep taking segments away */

uint32_t tsm_log_column(struct tsm_log_replay *r, struct tsm_str key, bool add)
{
    uint64_t hash = tsm_hash(key);
    uint32_t i = tsm_map_get(&r->map, key, hash);
    struct tsm_log *log = r->log;
    if (i == TSM_MAP_NONE && add) {
        TSM_GROW(log->items, log->n + 1, log->cap);
        i = (uint32_t)log->n++;
        log->items[i] = (struct tsm_logged){.key = tsm_arena_str(&log->arena, key)};
        tsm_map_put(&r->map, log->items[i].key, hash, i);
    }
    return i;
}

void tsm_log_remove(struct tsm_log_replay *r, struct tsm_str key, int64_t tmin, int64_t tmax)
{
    uint32_t i = tsm_log_column(r, key, false);
    if (i == TSM_MAP_NONE)
        return;
    tsm_values_sort_dedup(&r->log->items[i].values);
    tsm_values_delete(&r->log->items[i].values, tmin, tmax);
}

/* ---- influxd's segments ---- */

struct influx_segment {
    struct tsm_log_replay *replay;
    const char *path;
};

static int on_write(void *ctx, struct tsm_str key, const struct tsm_values *values, struct tsm_err *err)
{
    struct influx_segment *s = ctx;
    struct tsm_log_replay *r = s->replay;
    uint32_t column = tsm_log_column(r, key, true); /* which may move the items */
    struct tsm_values *own = &r->log->items[column].values;
    if (own->n == 0)
        tsm_values_reset(own, values->type, values->n);
    if (own->type != values->type) {
        tsm_err_set(err, TSM_ECORRUPT, "%s: key '%.*s': values of type %s after values of type %s", s->path,
                    (int)key.n, key.p, tsm_type_name(values->type), tsm_type_name(own->type));
        return tsm_damage_pass(r->damage, err);
    }
    tsm_values_append(own, values, 0, values->n);
    return TSM_OK;
}

static int on_remove(void *ctx, struct tsm_str key, int64_t tmin, int64_t tmax, struct tsm_err *err)
{
    struct influx_segment *s = ctx;
    (void)err;
    tsm_log_remove(s->replay, key, tmin, tmax);
    return TSM_OK;
}

static int on_damage(void *ctx, struct tsm_err *err)
{
    struct influx_segment *s = ctx;
    return tsm_damage_pass(s->replay->damage, err);
}

/* Replays one segment. That it is gone is no error: influxd flushed it, and its values are in a TSM file now.
 */
static int replay_influx_segment(struct tsm_log_replay *r, const char *path, struct tsm_err *err)
{
    struct influx_segment s = {r, path};
    struct tsm_wal_visitor v = {&s, on_write, on_remove, on_damage};
    uint64_t torn;
    int rc = tsm_influx_wal_read(r->fs, path, &v, &torn, err);
    if (rc == TSM_ECORRUPT) /* a record, or what is not a segment at all */
        rc = tsm_damage_pass(r->damage, err);
    return rc == TSM_ENOTFOUND ? TSM_OK : rc;
}

/* ---- a folder ---- */

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
    bool ours;
    uint32_t number;
    const char *name;
};

static int by_age(const void *a, const void *b)
{
    const struct segment *x = a, *y = b;
    if (x->ours != y->ours)
        return x->ours ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

/* The segments among the names, oldest first. */
static struct segment *find_segments(const struct tsm_names *names, size_t *n)
{
    struct segment *segments = tsm_calloc(names->n, sizeof *segments);
    *n = 0;
    for (size_t i = 0; i < names->n; i++) {
        struct tsm_str name = tsm_str_of(names->names[i]);
        struct segment *s = &segments[*n];
        s->ours = tsm_wal_name_parse(name, &s->number);
        s->name = names->names[i];
        *n += s->ours || tsm_influx_wal_name(name, &s->number);
    }
    tsm_sort(segments, *n, sizeof *segments, by_age);
    return segments;
}

/* Replays the segments that the folder has now. TSM_ENOTFOUND with *vanished: one of ours was gone before it was read. */
static int replay_folder(struct tsm_log_replay *r, const char *dir, bool *vanished, struct tsm_err *err)
{
    struct tsm_names names;
    struct tsm_log_segments ours = {.replay = r};
    *vanished = false;
    int rc = tsm_fs_list(r->fs, dir, &names, err);
    if (rc != TSM_OK)
        return rc;
    size_t n;
    struct segment *segments = find_segments(&names, &n);
    for (size_t i = 0; i < n && rc == TSM_OK; i++) {
        char *path = tsm_path_join(dir, segments[i].name);
        rc = segments[i].ours ? tsm_log_replay_segment(&ours, path, err)
                              : replay_influx_segment(r, path, err);
        *vanished = rc == TSM_ENOTFOUND;
        tsm_free(path);
    }
    tsm_log_segments_release(&ours);
    tsm_free(segments);
    tsm_names_release(&names);
    return rc;
}

/* Messages, each terminated. */
static void keep_message(void *ctx, const char *message)
{
    tsm_buf_add(ctx, message, strlen(message) + 1);
}

static void report_all(const struct tsm_buf *messages, const struct tsm_damage *damage)
{
    const char *text = (const char *)messages->data;
    if (!damage || !damage->report)
        return;
    for (size_t at = 0; at < messages->len; at += strlen(text + at) + 1)
        damage->report(damage->ctx, text + at);
}

/* Damage counts when it is met twice in a row: a writer may just have cut off what another one, which was killed, had left
 * unfinished, and gone on there, between two of our reads. */
int tsm_log_read(const struct tsm_fs *fs, const char *path, const struct tsm_damage *damage,
                 struct tsm_log **log, struct tsm_err *err)
{
    struct tsm_buf now = {0}, before = {0};
    struct tsm_damage keep = {.skip = damage && damage->skip, .report = keep_message, .ctx = &now};
    struct tsm_err local;
    bool vanished = true, again = true;
    int rc = TSM_OK;
    *log = NULL;
    if (!err)
        err = &local;
    for (int i = 0; again && i < MAX_LISTINGS; i++) {
        struct tsm_buf swap = before;
        before = now;
        now = swap;
        tsm_buf_reset(&now);
        tsm_log_free(*log);
        *log = tsm_calloc(1, sizeof **log);
        struct tsm_log_replay r = {.fs = fs, .log = *log, .damage = &keep};
        rc = replay_folder(&r, path, &vanished, err);
        tsm_map_release(&r.map);
        if (rc == TSM_ECORRUPT)
            keep_message(&now, err->msg);
        again = vanished || (now.len > 0 && !tsm_str_eq(tsm_buf_view(&now), tsm_buf_view(&before)));
    }
    if (vanished)
        rc = err->code = TSM_EIO; /* a link to nothing: not to be taken for a log that is not there */
    if (keep.skip)
        report_all(&now, damage);
    tsm_buf_release(&now);
    tsm_buf_release(&before);
    finish(*log);
    if (rc != TSM_OK || (*log)->n == 0) {
        tsm_log_free(*log);
        *log = NULL;
    }
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
