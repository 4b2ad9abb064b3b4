/*
 * store/log_segment.c: replaying a segment of tsmkit's own log.
 *
 * A record counts as a whole or not at all: it is decoded before anything of it is added. Each spelling of a series
 * finds its columns by itself, and the fields of a point mostly in the order in which it first had them.
 */
#include "base/alloc.h"
#include "format/batch.h"
#include "store/log_impl.h"
#include "base/banned.h"

enum { NEAR = 16 }; /* columns that are compared one by one before a table is asked */

struct field_column {
    struct tsm_str name; /* the end of the column's key */
    uint32_t number;     /* in the log's items */
    bool conflict;       /* values of another type have been reported */
};

/* A spelling of a series. */
struct tsm_log_series {
    struct tsm_str key; /* empty: it is none */
    struct field_column *columns;
    uint32_t ncolumns, capcolumns;
};

void tsm_log_segments_release(struct tsm_log_segments *s)
{
    for (size_t i = 0; i < s->n; i++)
        tsm_free(s->series[i].columns);
    tsm_free(s->series);
    tsm_map_release(&s->map);
    tsm_map_release(&s->far);
    tsm_arena_release(&s->arena);
    tsm_buf_release(&s->scratch);
    tsm_points_release(&s->points);
}

/* Something in the record in hand that does not check. */
static int damaged(const struct tsm_log_segments *s, struct tsm_err *err)
{
    tsm_err_wrap(err, TSM_ECORRUPT, "%s: record at offset %llu", s->path, s->offset);
    return tsm_damage_pass(s->replay->damage, err);
}

/* ---- series and columns ---- */

static int find_series(struct tsm_log_segments *s, const struct tsm_point *p, struct tsm_log_series **series,
                       struct tsm_err *err)
{
    uint32_t i = tsm_map_get(&s->map, p->raw_key, p->hash);
    if (i != TSM_MAP_NONE) {
        *series = &s->series[i];
        return TSM_OK;
    }
    TSM_GROW(s->series, s->n + 1, s->cap);
    struct tsm_log_series *added = *series = &s->series[s->n];
    struct tsm_str raw = tsm_arena_str(&s->arena, p->raw_key);
    *added = (struct tsm_log_series){.key = raw};
    tsm_map_put(&s->map, raw, p->hash, (uint32_t)s->n++);
    tsm_buf_reset(&s->scratch);
    int rc = tsm_line_key(p->raw_key, &s->scratch, err);
    if (rc != TSM_OK) {
        added->key.n = 0;
        tsm_err_wrap(err, TSM_ECORRUPT, "series '%.*s'", (int)raw.n, raw.p);
        return damaged(s, err);
    }
    if (!tsm_str_eq(raw, tsm_buf_view(&s->scratch)))
        added->key = tsm_arena_str(&s->arena, tsm_buf_view(&s->scratch));
    return TSM_OK;
}

/* A key for the table of far columns: the number of the spelling and the name. In the scratch. */
static struct tsm_str far_key(struct tsm_log_segments *s, uint32_t series, struct tsm_str name)
{
    tsm_buf_reset(&s->scratch);
    tsm_buf_add(&s->scratch, &series, sizeof series);
    tsm_buf_str(&s->scratch, name);
    return tsm_buf_view(&s->scratch);
}

static uint32_t add_column(struct tsm_log_segments *s, struct tsm_log_series *series, struct tsm_str name)
{
    uint32_t at = series->ncolumns++;
    if (at >= NEAR) {
        struct tsm_str key = tsm_arena_str(&s->arena, far_key(s, (uint32_t)(series - s->series), name));
        tsm_map_put(&s->far, key, tsm_hash(key), at);
    }
    tsm_buf_reset(&s->scratch);
    tsm_buf_str(&s->scratch, series->key);
    tsm_buf_str(&s->scratch, TSM_FIELD_SEPARATOR);
    tsm_buf_str(&s->scratch, name);
    uint32_t number = tsm_log_column(s->replay, tsm_buf_view(&s->scratch), true);
    struct tsm_str key = s->replay->log->items[number].key;
    TSM_GROW(series->columns, series->ncolumns, series->capcolumns);
    series->columns[at] = (struct field_column){tsm_str(key.p + key.n - name.n, name.n), number, false};
    return at;
}

/* The place of the column of a field; `expected` is tried first. */
static inline uint32_t find_column(struct tsm_log_segments *s, struct tsm_log_series *series,
                                   struct tsm_str name, uint32_t expected)
{
    const struct field_column *c = series->columns;
    if (expected < series->ncolumns && tsm_str_eq(c[expected].name, name))
        return expected;
    for (uint32_t i = 0; i < series->ncolumns && i < NEAR; i++)
        if (tsm_str_eq(c[i].name, name))
            return i;
    if (series->ncolumns > NEAR) {
        struct tsm_str key = far_key(s, (uint32_t)(series - s->series), name);
        uint32_t at = tsm_map_get(&s->far, key, tsm_hash(key));
        if (at != TSM_MAP_NONE)
            return at;
    }
    return add_column(s, series, name);
}

/* ---- records ---- */

static int add_field(struct tsm_log_segments *s, struct tsm_log_series *series, uint32_t at, int64_t time,
                     const struct tsm_field *f, struct tsm_err *err)
{
    struct field_column *c = &series->columns[at];
    struct tsm_logged *l = &s->replay->log->items[c->number];
    if (l->values.n == 0)
        tsm_values_reset(&l->values, f->type, 1);
    if (l->values.type == f->type) {
        tsm_values_add(&l->values, time, f->value);
        return TSM_OK;
    }
    if (c->conflict) /* it is known to be left out */
        return TSM_OK;
    c->conflict = true;
    tsm_err_set(err, TSM_ECORRUPT, "key '%.*s': values of type %s after values of type %s", (int)l->key.n,
                l->key.p, tsm_type_name(f->type), tsm_type_name(l->values.type));
    return damaged(s, err);
}

static int add_point(struct tsm_log_segments *s, const struct tsm_point *p, struct tsm_err *err)
{
    struct tsm_log_series *series;
    int rc = find_series(s, p, &series, err);
    if (rc != TSM_OK || series->key.n == 0)
        return rc;
    uint32_t expected = 0;
    for (uint32_t i = 0; i < p->nfields && rc == TSM_OK; i++) {
        const struct tsm_field *f = &s->points.fields[p->first_field + i];
        if (tsm_str_eq(f->name, TSM_STR("time"))) /* which is not stored */
            continue;
        uint32_t at = find_column(s, series, f->name, expected);
        expected = at + 1;
        rc = add_field(s, series, at, p->time, f, err);
    }
    return rc;
}

static int replay_points(struct tsm_log_segments *s, struct tsm_str payload, struct tsm_err *err)
{
    tsm_points_reset(&s->points);
    int rc = tsm_batch_decode((const uint8_t *)payload.p, payload.n, &s->points, err);
    if (rc != TSM_OK)
        return damaged(s, err);
    for (size_t i = 0; i < s->points.n && rc == TSM_OK; i++)
        rc = add_point(s, &s->points.points[i], err);
    return rc;
}

static int on_remove(void *ctx, struct tsm_str key, int64_t tmin, int64_t tmax, struct tsm_err *err)
{
    struct tsm_log_segments *s = ctx;
    (void)err;
    tsm_log_remove(s->replay, key, tmin, tmax);
    return TSM_OK;
}

static int replay_record(struct tsm_log_segments *s, const struct tsm_wal_record *record, struct tsm_err *err)
{
    s->offset = record->offset;
    int rc = tsm_wal_order_next(&s->order, record->sequence, err);
    if (rc != TSM_OK)
        rc = damaged(s, err);
    if (rc != TSM_OK)
        return rc;
    if (record->kind == TSM_WAL_POINTS)
        return replay_points(s, record->payload, err);
    rc = tsm_wal_delete_read(record->payload, on_remove, s, err);
    return rc == TSM_ECORRUPT ? damaged(s, err) : rc;
}

/* An end that is torn is nothing to speak of: what is missing of it was never acknowledged, or the sequence of the
 * next record tells. */
int tsm_log_replay_segment(struct tsm_log_segments *s, const char *path, struct tsm_err *err)
{
    struct tsm_buf bytes = {0};
    s->path = path;
    /* Not mapped: its writer may cut off what it could not write to the end. */
    int rc = tsm_fs_read_file(s->replay->fs, path, TSM_WAL_SEGMENT_MAX, &bytes, err);
    if (rc == TSM_ELIMIT || rc == TSM_ECORRUPT) {
        err->code = TSM_ECORRUPT;
        rc = tsm_damage_pass(s->replay->damage, err);
    }
    struct tsm_wal_reader reader = {.p = bytes.data, .len = bytes.len};
    struct tsm_wal_record record;
    for (int next; rc == TSM_OK && (next = tsm_wal_next(&reader, &record, err)) != TSM_ENOTFOUND;) {
        if (next == TSM_OK) {
            rc = replay_record(s, &record, err);
            continue;
        }
        tsm_wal_order_damage(&s->order);
        tsm_err_wrap(err, TSM_ECORRUPT, "%s", path);
        rc = tsm_damage_pass(s->replay->damage, err);
    }
    tsm_wal_reader_release(&reader);
    tsm_buf_release(&bytes);
    return rc;
}
