/*
 * store/verify_log.c: verifying tsmkit's own log.
 *
 * A segment that vanishes has been flushed: all is read again from the listing on, so that the sequence is that of segments
 * which were there together. Findings are reported at the end.
 */
#include "store/verify_log.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "format/batch.h"
#include "format/wal.h"
#include "store/data_dir.h"
#include "store/shard_wal.h"
#include "store/verify_tsm.h"
#include "base/banned.h"

enum { MAX_TRIES = 10 };

struct log_check {
    const struct tsm_fs *fs;
    struct tsm_wal_order order;
    struct tsm_points points;
    struct tsm_buf key;
    struct tsm_err *findings; /* code TSM_OK: a note */
    size_t n, cap;
};

static void release(struct log_check *c)
{
    tsm_points_release(&c->points);
    tsm_buf_release(&c->key);
    tsm_free(c->findings);
}

/* One more finding, for the caller to fill. */
static struct tsm_err *add_finding(struct log_check *c)
{
    TSM_GROW(c->findings, c->n + 1, c->cap);
    return &c->findings[c->n++];
}

/* Keeps what is in err as a finding about the record. */
static void keep(struct log_check *c, const struct tsm_err *err, const char *path,
                 const struct tsm_wal_record *record)
{
    struct tsm_err *f = add_finding(c);
    *f = *err;
    if (record)
        tsm_err_wrap(f, TSM_ECORRUPT, "%s: record at offset %" PRIu64, path, record->offset);
    else
        tsm_err_wrap(f, TSM_ECORRUPT, "%s", path);
}

static int check_points(struct log_check *c, struct tsm_str payload, struct tsm_err *err)
{
    tsm_points_reset(&c->points);
    int rc = tsm_batch_decode((const uint8_t *)payload.p, payload.n, &c->points, err);
    struct tsm_str checked = {0};
    for (size_t i = 0; i < c->points.n && rc == TSM_OK; i++) {
        struct tsm_str raw = c->points.points[i].raw_key;
        if (raw.p == checked.p) /* the points of a series share its bytes */
            continue;
        checked = raw;
        tsm_buf_reset(&c->key);
        rc = tsm_line_key(raw, &c->key, err);
        if (rc != TSM_OK)
            rc = tsm_err_wrap(err, TSM_ECORRUPT, "series '%.*s'", (int)raw.n, raw.p);
    }
    return rc;
}

static int ignore_delete(void *ctx, struct tsm_str key, int64_t tmin, int64_t tmax, struct tsm_err *err)
{
    (void)ctx, (void)key, (void)tmin, (void)tmax, (void)err;
    return TSM_OK;
}

static void check_record(struct log_check *c, const char *path, const struct tsm_wal_record *record)
{
    struct tsm_err err;
    if (tsm_wal_order_next(&c->order, record->sequence, &err) != TSM_OK)
        keep(c, &err, path, record);
    int rc = record->kind == TSM_WAL_POINTS ? check_points(c, record->payload, &err)
                                            : tsm_wal_delete_read(record->payload, ignore_delete, NULL, &err);
    if (rc != TSM_OK)
        keep(c, &err, path, record);
}

/* False when the segment is gone. */
static bool check_segment(struct log_check *c, const char *path)
{
    struct tsm_buf bytes = {0};
    struct tsm_err err;
    int rc = tsm_fs_read_file(c->fs, path, TSM_WAL_SEGMENT_MAX, &bytes, &err);
    if (rc != TSM_OK) {
        *add_finding(c) = err; /* one that has vanished counts only when others do so all the time */
        tsm_buf_release(&bytes);
        return rc != TSM_ENOTFOUND;
    }
    struct tsm_wal_reader reader = {.p = bytes.data, .len = bytes.len};
    struct tsm_wal_record record;
    while ((rc = tsm_wal_next(&reader, &record, &err)) != TSM_ENOTFOUND) {
        if (rc == TSM_OK) {
            check_record(c, path, &record);
            continue;
        }
        tsm_wal_order_damage(&c->order);
        keep(c, &err, path, NULL);
    }
    if (reader.torn)
        tsm_err_set(add_finding(c), TSM_OK, "%s: the last record is cut short, %zu bytes are lost", path,
                    reader.len - reader.at);
    tsm_wal_reader_release(&reader);
    tsm_buf_release(&bytes);
    return true;
}

static int report(struct tsm_verify *v, const struct log_check *c, struct tsm_err *err)
{
    int rc = TSM_OK;
    for (size_t i = 0; i < c->n && rc == TSM_OK; i++) {
        const struct tsm_err *f = &c->findings[i];
        rc = f->code == TSM_OK ? tsm_verify_report(v, TSM_FINDING_NOTE, err, "%s", f->msg)
                               : tsm_verify_failure(v, f, err);
    }
    return rc;
}

int tsm_verify_log_segment(struct tsm_verify *v, const char *path, struct tsm_err *err)
{
    struct log_check c = {.fs = v->fs};
    v->stats.segments++;
    check_segment(&c, path);
    int rc = report(v, &c, err);
    release(&c);
    return rc;
}

/* Reads all segments in the folder. *whole is false when one was gone. */
static int check_all(struct log_check *c, const char *dir, uint64_t *segments, bool *whole,
                     struct tsm_err *err)
{
    uint32_t *numbers = NULL;
    size_t n = 0;
    c->n = *segments = 0;
    c->order = (struct tsm_wal_order){0};
    *whole = true;
    int rc = tsm_wal_list(c->fs, dir, &numbers, &n, err);
    for (size_t i = 0; i < n && *whole; i++, ++*segments) {
        char name[TSM_WAL_NAME_MAX];
        tsm_wal_name_format(name, numbers[i]);
        char *path = tsm_path_join(dir, name);
        *whole = check_segment(c, path);
        tsm_free(path);
    }
    tsm_free(numbers);
    return rc;
}

/* The findings as one text, to compare. */
static void add_findings(const struct log_check *c, struct tsm_buf *out)
{
    tsm_buf_reset(out);
    for (size_t i = 0; i < c->n; i++)
        tsm_buf_add(out, c->findings[i].msg, strlen(c->findings[i].msg) + 1);
}

/* As when a log is replayed, what is found counts when it is found twice in a row: a writer may be at work. */
int tsm_verify_log(struct tsm_verify *v, const char *dir, struct tsm_err *err)
{
    struct log_check c = {.fs = v->fs};
    struct tsm_buf now = {0}, before = {0};
    struct tsm_err failure;
    uint64_t segments = 0;
    bool whole, again = true;
    int rc = TSM_OK;
    for (int i = 0; again && i < MAX_TRIES; i++) {
        rc = check_all(&c, dir, &segments, &whole, &failure);
        add_findings(&c, &now);
        again = rc == TSM_OK &&
                (!whole || (now.len > 0 && !tsm_str_eq(tsm_buf_view(&now), tsm_buf_view(&before))));
        struct tsm_buf swap = before;
        before = now;
        now = swap;
    }
    tsm_buf_release(&now);
    tsm_buf_release(&before);
    v->stats.segments += segments;
    if (rc != TSM_OK && rc != TSM_ENOTFOUND)
        rc = tsm_verify_failure(v, &failure, err);
    else
        rc = report(v, &c, err);
    release(&c);
    return rc;
}
