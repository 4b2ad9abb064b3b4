/* store/repair_log.c: segments of logs. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "format/batch.h"
#include "format/influx_wal.h"
#include "format/wal.h"
#include "store/data_dir.h"
#include "store/repair_impl.h"
#include "store/shard_wal.h"
#include "base/banned.h"

#define MAX_FILLED (1u << 20) /* empty records in one place */

/* ---- ours --------------------------------------------------------------------------------------------- */

/* A record that checks. */
struct kept {
    size_t offset, size;
    uint64_t sequence;
};

struct segment {
    char *path;
    struct kept *records;
    size_t n, cap;
    uint64_t bad, bad_bytes; /* stretches that do not check */
    uint64_t points;
    char cause[300];
    bool rewrite; /* also of a sound one, for the sequence */
};

struct chain {
    struct tsm_repair *r;
    struct segment *segments;
    size_t n, cap;
    struct tsm_points points; /* scratch */
};

static void chain_release(struct chain *c)
{
    for (size_t i = 0; i < c->n; i++) {
        tsm_free(c->segments[i].path);
        tsm_free(c->segments[i].records);
    }
    tsm_free(c->segments);
    tsm_points_release(&c->points);
}

static int ignore_delete(void *ctx, struct tsm_str key, int64_t tmin, int64_t tmax, struct tsm_err *err)
{
    (void)ctx, (void)key, (void)tmin, (void)tmax, (void)err;
    return TSM_OK;
}

static int check_payload(struct chain *c, const struct tsm_wal_record *record, uint64_t *points,
                         struct tsm_err *err)
{
    if (record->kind == TSM_WAL_DELETE)
        return tsm_wal_delete_read(record->payload, ignore_delete, NULL, err);
    tsm_points_reset(&c->points);
    int rc = tsm_batch_decode((const uint8_t *)record->payload.p, record->payload.n, &c->points, err);
    if (rc == TSM_OK)
        *points += c->points.nfields;
    return rc;
}

static void add_bad(struct segment *s, uint64_t bytes, const char *cause)
{
    if (!s->bad && !s->cause[0])
        snprintf(s->cause, sizeof s->cause, "%.299s", cause);
    s->bad++;
    s->bad_bytes += bytes;
}

/* Notes what is in a segment. */
static void look_into(struct chain *c, struct segment *s, const struct tsm_buf *bytes)
{
    struct tsm_wal_reader reader = {.p = bytes->data, .len = bytes->len};
    struct tsm_wal_record record;
    struct tsm_err err = {0};
    for (;;) {
        size_t at = reader.at;
        int rc = tsm_wal_next(&reader, &record, &err);
        if (rc == TSM_ENOTFOUND)
            break;
        if (rc == TSM_OK) {
            rc = check_payload(c, &record, &s->points, &err);
            if (rc != TSM_OK)
                tsm_err_wrap(&err, rc, "offset %" PRIu64, record.offset);
        }
        if (rc != TSM_OK) {
            add_bad(s, reader.at - at, err.msg);
            continue;
        }
        TSM_GROW(s->records, s->n + 1, s->cap);
        s->records[s->n++] = (struct kept){record.offset, record.size, record.sequence};
    }
    tsm_wal_reader_release(&reader);
}

static int read_chain(struct chain *c, const char *dir, struct tsm_err *err)
{
    uint32_t *numbers;
    size_t n;
    int rc = tsm_wal_list(c->r->fs, dir, &numbers, &n, err);
    if (rc != TSM_OK)
        return rc == TSM_ENOTFOUND ? TSM_OK : rc;
    for (size_t i = 0; i < n && rc == TSM_OK; i++) {
        struct tsm_buf bytes = {0};
        char name[TSM_WAL_NAME_MAX];
        tsm_wal_name_format(name, numbers[i]);
        TSM_GROW(c->segments, c->n + 1, c->cap);
        struct segment *s = &c->segments[c->n++];
        *s = (struct segment){.path = tsm_path_join(dir, name)};
        rc = tsm_fs_read_file(c->r->fs, s->path, TSM_WAL_SEGMENT_MAX, &bytes, err);
        if (rc == TSM_OK)
            look_into(c, s, &bytes);
        else if (rc == TSM_ENOTFOUND) /* flushed meanwhile */
            rc = TSM_OK;
        tsm_buf_release(&bytes);
    }
    tsm_free(numbers);
    return rc;
}

/* The sequence of the first record behind segment i; 0: there is none. */
static uint64_t next_sequence(const struct chain *c, size_t i)
{
    while (++i < c->n)
        if (c->segments[i].n)
            return c->segments[i].records[0].sequence;
    return 0;
}

/* Which segments have to be written again: those with damage, and those before whose records others are missing. */
static bool find_damage(struct chain *c)
{
    uint64_t last = 0;
    bool any = false;
    for (size_t i = 0; i < c->n; i++) {
        struct segment *s = &c->segments[i];
        s->rewrite = s->bad > 0;
        uint64_t first = next_sequence(c, i);
        for (size_t j = 0; j < s->n; j++) {
            uint64_t sequence = s->records[j].sequence;
            if (last && sequence != last + 1) {
                if (!s->cause[0])
                    snprintf(s->cause, sizeof s->cause,
                             "offset %zu: sequence %" PRIu64 " comes after %" PRIu64, s->records[j].offset,
                             sequence, last);
                s->rewrite = true;
            }
            last = sequence > last ? sequence : last + 1;
        }
        if (s->rewrite && last && first > last && first - last <= MAX_FILLED)
            last = first - 1; /* it will be filled at its end */
        any |= s->rewrite;
    }
    return any;
}

/* Empty records up to sequence `to`. */
static void fill(struct tsm_buf *out, uint64_t *last, uint64_t to)
{
    static const char nothing[3]; /* no keys, no names, no points */
    while (*last < to)
        tsm_wal_encode(out, TSM_WAL_POINTS, ++*last, tsm_str(nothing, sizeof nothing));
}

/* The segment as it is to be. */
static void write_records(const struct segment *s, const struct tsm_buf *old, uint64_t next, uint64_t *last,
                          struct tsm_buf *out)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct kept *k = &s->records[i];
        if (*last && k->sequence > *last + 1 && k->sequence - *last <= MAX_FILLED)
            fill(out, last, k->sequence - 1);
        if (*last == 0 || k->sequence == *last + 1) {
            tsm_buf_add(out, old->data + k->offset, k->size);
            *last = k->sequence;
            continue;
        }
        struct tsm_wal_reader reader = {.p = old->data + k->offset, .len = k->size};
        struct tsm_wal_record record;
        if (tsm_wal_next(&reader, &record, NULL) == TSM_OK)
            tsm_wal_encode(out, record.kind, ++*last, record.payload);
        tsm_wal_reader_release(&reader);
    }
    if (*last && next > *last && next - *last <= MAX_FILLED)
        fill(out, last, next - 1);
}

static int repair_segment(struct chain *c, size_t i, uint64_t *last, struct tsm_err *err)
{
    struct segment *s = &c->segments[i];
    struct tsm_buf old = {0}, out = {0};
    int rc = tsm_fs_read_file(c->r->fs, s->path, TSM_WAL_SEGMENT_MAX, &old, err);
    struct tsm_repaired what = {
        .path = s->path,
        .cause = s->cause,
        .blocks = s->n,
        .values = s->points,
        .lost_blocks = s->bad,
        .lost_bytes = s->bad_bytes,
        .lost_tmin = INT64_MAX,
        .lost_tmax = INT64_MIN,
    };
    char *aside = NULL;
    if (rc == TSM_OK) {
        write_records(s, &old, next_sequence(c, i), last, &out);
        what.state = !s->n ? TSM_REPAIR_NOTHING : s->bad ? TSM_REPAIR_PART : TSM_REPAIR_WHOLE;
        if (!s->bad) /* records that are nowhere */
            what.state = TSM_REPAIR_PART;
        if (!c->r->dry_run)
            rc = out.len
                     ? tsm_repair_replace(c->r, s->path, tsm_buf_view(&old), tsm_buf_view(&out), &aside, err)
                     : tsm_repair_move(c->r, s->path, &aside, err);
    }
    what.kept_as = aside;
    if (rc == TSM_OK)
        rc = tsm_repair_tell(c->r, &what, err);
    tsm_free(aside);
    tsm_buf_release(&old);
    tsm_buf_release(&out);
    return rc;
}

int tsm_repair_segments(struct tsm_repair *r, const char *dir, bool act, bool *damaged, struct tsm_err *err)
{
    struct chain c = {.r = r};
    uint64_t last = 0;
    int rc = read_chain(&c, dir, err);
    *damaged = rc == TSM_OK && find_damage(&c);
    if (!act || !*damaged)
        r->files += c.n;
    for (size_t i = 0; i < c.n && rc == TSM_OK && act; i++) {
        struct segment *s = &c.segments[i];
        if (s->rewrite)
            rc = repair_segment(&c, i, &last, err);
        else if (s->n)
            last = s->records[s->n - 1].sequence;
    }
    chain_release(&c);
    return rc;
}

/* ---- influxd's ---------------------------------------------------------------------------------------- */

enum { INFLUX_HEAD = 5 }; /* kind and length */

struct counted {
    uint64_t values;
    bool bad;
};

static int count_write(void *ctx, struct tsm_str key, const struct tsm_values *values, struct tsm_err *err)
{
    (void)key, (void)err;
    ((struct counted *)ctx)->values += values->n;
    return TSM_OK;
}

static int note_damage(void *ctx, struct tsm_err *err)
{
    (void)err;
    ((struct counted *)ctx)->bad = true;
    return TSM_OK;
}

/* The length of the record at p, when it checks; else 0. */
static size_t influx_record(const uint8_t *p, size_t len, uint64_t *values)
{
    struct counted counted = {0};
    const struct tsm_wal_visitor visitor = {&counted, count_write, ignore_delete, note_damage};
    if (len < INFLUX_HEAD || p[0] < 1 || p[0] > 3 || tsm_get_be32(p + 1) == 0 ||
        tsm_get_be32(p + 1) > len - INFLUX_HEAD)
        return 0;
    size_t n = INFLUX_HEAD + tsm_get_be32(p + 1);
    uint64_t torn = 0;
    if (tsm_influx_wal_scan(p, n, &visitor, &torn, NULL) != TSM_OK || counted.bad || torn)
        return 0;
    *values += counted.values;
    return n;
}

/* Where a record that checks begins behind one that does not; len when there is none. */
static size_t next_influx_record(const uint8_t *p, size_t len, size_t at)
{
    uint64_t values = 0;
    if (len - at > INFLUX_HEAD) {
        uint64_t end = at + INFLUX_HEAD + (uint64_t)tsm_get_be32(p + at + 1);
        if (end == len || (end < len && influx_record(p + end, len - end, &values)))
            return end;
    }
    while (++at < len)
        if (influx_record(p + at, len - at, &values))
            return at;
    return len;
}

int tsm_repair_influx_segment(struct tsm_repair *r, const char *path, bool act, bool *damaged,
                              struct tsm_err *err)
{
    struct counted counted = {0};
    struct tsm_err failure = {0};
    const struct tsm_wal_visitor visitor = {&counted, count_write, ignore_delete, NULL};
    struct tsm_buf old = {0}, out = {0};
    uint64_t torn = 0;
    *damaged = false;
    int rc = tsm_fs_read_file(r->fs, path, TSM_WAL_SEGMENT_MAX, &old, err);
    if (rc == TSM_OK)
        *damaged = tsm_influx_wal_scan(old.data, old.len, &visitor, &torn, &failure) == TSM_ECORRUPT;
    if (rc != TSM_OK || !*damaged || !act) {
        tsm_buf_release(&old);
        return rc == TSM_ENOTFOUND ? TSM_OK : rc;
    }
    struct tsm_repaired what = {
        .path = path, .cause = failure.msg, .lost_tmin = INT64_MAX, .lost_tmax = INT64_MIN};
    for (size_t at = 0; at < old.len;) {
        size_t n = influx_record(old.data + at, old.len - at, &what.values);
        if (n) {
            tsm_buf_add(&out, old.data + at, n);
            what.blocks++;
            at += n;
            continue;
        }
        size_t next = next_influx_record(old.data, old.len, at);
        what.lost_blocks++;
        what.lost_bytes += next - at;
        at = next;
    }
    what.state = what.blocks ? TSM_REPAIR_PART : TSM_REPAIR_NOTHING;
    char *aside = NULL;
    if (!r->dry_run)
        rc = out.len ? tsm_repair_replace(r, path, tsm_buf_view(&old), tsm_buf_view(&out), &aside, err)
                     : tsm_repair_move(r, path, &aside, err);
    what.kept_as = aside;
    if (rc == TSM_OK)
        rc = tsm_repair_tell(r, &what, err);
    tsm_free(aside);
    tsm_buf_release(&old);
    tsm_buf_release(&out);
    return rc;
}
