/* cli/inspect_dump_log.c: tsm-inspect dump of log segments: a row for what each record has of a key. */
#include "cli/inspect_dump.h"

#include "base/alloc.h"
#include "base/map.h"
#include "cli/rowset.h"
#include "format/batch.h"
#include "format/influx_wal.h"
#include "format/wal.h"
#include "base/banned.h"

#define LOG_COLUMNS "key:s entry:s type:s values:i first:t last:t"
#define OWN_LOG_COLUMNS "sequence:i key:s entry:s type:s values:i first:t last:t"

struct log_dump {
    struct tsm_dump *d;
    struct tsm_rowset rows;
};

static int log_row(struct log_dump *l, struct tsm_str key, const char *entry, const char *type, size_t n,
                   int64_t first, int64_t last, struct tsm_err *err)
{
    tsm_rowset_text(&l->rows, key);
    tsm_rowset_text(&l->rows, tsm_str_of(entry));
    tsm_rowset_text(&l->rows, tsm_str_of(type));
    tsm_rowset_int(&l->rows, (int64_t)n);
    tsm_rowset_time(&l->rows, first);
    tsm_rowset_time(&l->rows, last);
    return tsm_rowset_next(&l->rows, err);
}

static int log_write(void *ctx, struct tsm_str key, const struct tsm_values *v, struct tsm_err *err)
{
    int64_t first = v->t[0], last = v->t[0];
    for (size_t i = 1; i < v->n; i++) {
        first = v->t[i] < first ? v->t[i] : first;
        last = v->t[i] > last ? v->t[i] : last;
    }
    return log_row(ctx, key, "write", tsm_type_name(v->type), v->n, first, last, err);
}

static int log_remove(void *ctx, struct tsm_str key, int64_t tmin, int64_t tmax, struct tsm_err *err)
{
    return log_row(ctx, key, "delete", "", 0, tmin, tmax, err);
}

static int log_damage(void *ctx, struct tsm_err *err)
{
    struct log_dump *l = ctx;
    return tsm_damage_pass(&l->d->in->damage, err);
}

int tsm_dump_influx_log(struct tsm_dump *d, const char *path, struct tsm_err *err)
{
    struct log_dump l = {.d = d};
    struct tsm_wal_visitor v = {&l, log_write, log_remove, log_damage};
    uint64_t torn = 0;
    int c = tsm_rowset_begin(&l.rows, d->sink, tsm_str_of(path), d->several, LOG_COLUMNS, err);
    if (c == TSM_OK)
        c = tsm_influx_wal_read(d->in->fs, path, &v, &torn, err);
    if (c == TSM_OK && torn)
        tsm_inspect_say(d->in, "note: %s: the last record is cut short, %llu bytes are lost", path,
                        (unsigned long long)torn);
    return tsm_rowset_end(&l.rows, c, err);
}

/* ---- tsmkit's log ---------------------------------------------------------------------------- */

/* What a record has of one key and type. */
struct part {
    struct tsm_str key;
    enum tsm_type type;
    int64_t n, first, last;
};

struct own_log_dump {
    struct log_dump base;
    struct tsm_wal_order order;
    struct tsm_points points;
    struct part *parts; /* of the record in hand, in the order in which they come */
    size_t n, cap;
    struct tsm_map map; /* to parts, by type and key */
    struct tsm_arena arena;
    struct tsm_buf key;
    uint64_t sequence;
};

static void add_value(struct own_log_dump *l, const struct tsm_point *p, const struct tsm_field *f)
{
    tsm_buf_reset(&l->key);
    tsm_buf_byte(&l->key, (uint8_t)f->type);
    tsm_buf_str(&l->key, p->raw_key);
    tsm_buf_str(&l->key, TSM_FIELD_SEPARATOR);
    tsm_buf_str(&l->key, f->name);
    struct tsm_str key = tsm_buf_view(&l->key);
    uint64_t hash = tsm_hash(key);
    uint32_t i = tsm_map_get(&l->map, key, hash);
    if (i == TSM_MAP_NONE) {
        key = tsm_arena_str(&l->arena, key);
        TSM_GROW(l->parts, l->n + 1, l->cap);
        l->parts[l->n] = (struct part){tsm_str(key.p + 1, key.n - 1), f->type, 0, p->time, p->time};
        i = (uint32_t)l->n++;
        tsm_map_put(&l->map, key, hash, i);
    }
    struct part *part = &l->parts[i];
    part->n++;
    part->first = p->time < part->first ? p->time : part->first;
    part->last = p->time > part->last ? p->time : part->last;
}

static int own_log_row(struct own_log_dump *l, const struct part *part, const char *entry,
                       struct tsm_err *err)
{
    tsm_rowset_int(&l->base.rows, (int64_t)l->sequence);
    return log_row(&l->base, part->key, entry, part->n ? tsm_type_name(part->type) : "", (size_t)part->n,
                   part->first, part->last, err);
}

/* Keys are listed as they were written: their tags may be in another order than in a TSM file. */
static int own_log_points(struct own_log_dump *l, struct tsm_str payload, struct tsm_err *err)
{
    tsm_points_reset(&l->points);
    tsm_map_release(&l->map);
    tsm_arena_release(&l->arena);
    l->n = 0;
    int c = tsm_batch_decode((const uint8_t *)payload.p, payload.n, &l->points, err);
    for (size_t i = 0; i < l->points.n && c == TSM_OK; i++)
        for (uint32_t k = 0; k < l->points.points[i].nfields; k++)
            add_value(l, &l->points.points[i], &l->points.fields[l->points.points[i].first_field + k]);
    for (size_t i = 0; i < l->n && c == TSM_OK; i++)
        c = own_log_row(l, &l->parts[i], "write", err);
    return c;
}

static int own_log_remove(void *ctx, struct tsm_str key, int64_t tmin, int64_t tmax, struct tsm_err *err)
{
    return own_log_row(ctx, &(struct part){.key = key, .first = tmin, .last = tmax}, "delete", err);
}

static int own_log_record(struct own_log_dump *l, const char *path, const struct tsm_wal_record *record,
                          struct tsm_err *err)
{
    unsigned long long offset = record->offset;
    l->sequence = record->sequence;
    int c = tsm_wal_order_next(&l->order, record->sequence, err);
    if (c != TSM_OK)
        c = log_damage(&l->base, (tsm_err_wrap(err, c, "%s: record at offset %llu", path, offset), err));
    if (c != TSM_OK)
        return c;
    c = record->kind == TSM_WAL_POINTS ? own_log_points(l, record->payload, err)
                                       : tsm_wal_delete_read(record->payload, own_log_remove, l, err);
    if (c == TSM_ECORRUPT)
        c = log_damage(&l->base, (tsm_err_wrap(err, c, "%s: record at offset %llu", path, offset), err));
    return c;
}

static int own_log_records(struct own_log_dump *l, const char *path, struct tsm_str bytes,
                           struct tsm_err *err)
{
    struct tsm_wal_reader reader = {.p = (const uint8_t *)bytes.p, .len = bytes.n};
    struct tsm_wal_record record;
    int c = TSM_OK;
    for (int next; c == TSM_OK && (next = tsm_wal_next(&reader, &record, err)) != TSM_ENOTFOUND;) {
        if (next == TSM_OK) {
            c = own_log_record(l, path, &record, err);
            continue;
        }
        tsm_wal_order_damage(&l->order);
        tsm_err_wrap(err, TSM_ECORRUPT, "%s", path);
        c = log_damage(&l->base, err);
    }
    if (c == TSM_OK && reader.torn)
        tsm_inspect_say(l->base.d->in, "note: %s: the last record is cut short, %zu bytes are lost", path,
                        reader.len - reader.at);
    tsm_wal_reader_release(&reader);
    return c;
}

int tsm_dump_own_log(struct tsm_dump *d, const char *path, struct tsm_err *err)
{
    struct own_log_dump l = {.base = {.d = d}};
    struct tsm_buf bytes = {0};
    int c = tsm_fs_read_file(d->in->fs, path, TSM_WAL_SEGMENT_MAX, &bytes, err);
    if (c == TSM_OK) {
        c = tsm_rowset_begin(&l.base.rows, d->sink, tsm_str_of(path), d->several, OWN_LOG_COLUMNS, err);
        if (c == TSM_OK)
            c = own_log_records(&l, path, tsm_buf_view(&bytes), err);
        c = tsm_rowset_end(&l.base.rows, c, err);
    } else if (c == TSM_ECORRUPT) {
        c = tsm_damage_pass(&d->in->damage, err);
    }
    tsm_buf_release(&bytes);
    tsm_buf_release(&l.key);
    tsm_points_release(&l.points);
    tsm_map_release(&l.map);
    tsm_arena_release(&l.arena);
    tsm_free(l.parts);
    return c;
}
