/* store/repair_log.c: salvaging what is a list of pieces with checks of their own: logs and tombstones. */
#include <string.h>

#include "base/bytes.h"
#include "format/influx_wal.h"
#include "format/tombstone.h"
#include "format/wal.h"
#include "store/repair.h"
#include "base/banned.h"

enum { LIMIT = 1 << 30 }; /* bytes of a file that is read whole */

/* ---- our log ------------------------------------------------------------------------------------- */

int tsm_repair_log(struct tsm_repair *r, const char *path, struct tsm_err *err)
{
    struct tsm_buf file = {0}, good = {0};
    int rc = tsm_fs_read_file(r->fs, path, LIMIT, &file, err);
    if (rc != TSM_OK)
        return rc;
    struct tsm_wal_reader reader = {.p = file.data, .len = file.len};
    struct tsm_wal_record record;
    struct tsm_err found, first = {0};
    struct tsm_repaired what = {.path = path, .unit = "record"};
    for (int next; (next = tsm_wal_next(&reader, &record, &found)) != TSM_ENOTFOUND;) {
        if (next == TSM_OK) {
            what.kept++;
            tsm_buf_add(&good, file.data + record.offset, record.size);
        } else if (what.lost++ == 0) {
            tsm_err_set(&first, TSM_ECORRUPT, "%s: %s", path, found.msg);
        }
    }
    what.fault = first.msg;
    if (what.lost)
        rc = tsm_repair_replace(r, &what, tsm_buf_view(&good), err);
    tsm_wal_reader_release(&reader);
    tsm_buf_release(&file);
    tsm_buf_release(&good);
    return rc;
}

/* ---- influxd's log ------------------------------------------------------------------------------- */

static int accept_write(void *ctx, struct tsm_str key, const struct tsm_values *values, struct tsm_err *err)
{
    (void)ctx, (void)key, (void)values, (void)err;
    return TSM_OK;
}

static int accept_remove(void *ctx, struct tsm_str key, int64_t tmin, int64_t tmax, struct tsm_err *err)
{
    (void)ctx, (void)key, (void)tmin, (void)tmax, (void)err;
    return TSM_OK;
}

int tsm_repair_influx_log(struct tsm_repair *r, const char *path, struct tsm_err *err)
{
    enum { HEAD = 5 };
    static const struct tsm_wal_visitor visitor = {.write = accept_write, .remove = accept_remove};
    struct tsm_buf file = {0}, good = {0};
    int rc = tsm_fs_read_file(r->fs, path, LIMIT, &file, err);
    if (rc != TSM_OK)
        return rc;
    struct tsm_err found, first = {0};
    struct tsm_repaired what = {.path = path, .unit = "record"};
    for (size_t at = 0, n; at < file.len; at += n) {
        uint64_t torn = 0;
        n = file.len - at;
        if (n > HEAD && tsm_get_be32(file.data + at + 1) <= n - HEAD)
            n = HEAD + tsm_get_be32(file.data + at + 1); /* else it goes to the end, torn or damaged */
        int code = tsm_influx_wal_scan(file.data + at, n, &visitor, &torn, &found);
        if (code == TSM_OK && torn == 0) {
            what.kept++;
            tsm_buf_add(&good, file.data + at, n);
        } else if (code != TSM_OK && what.lost++ == 0) {
            tsm_err_set(&first, TSM_ECORRUPT, "%s: record at offset %zu: %s", path, at, found.msg);
        }
    }
    what.fault = first.msg;
    what.uncertain = what.lost > 0; /* its lengths have no checksum: more may be behind a wrong one */
    if (what.lost)
        rc = tsm_repair_replace(r, &what, tsm_buf_view(&good), err);
    tsm_buf_release(&file);
    tsm_buf_release(&good);
    return rc;
}

/* ---- tombstones ---------------------------------------------------------------------------------- */

static const uint8_t gzip_magic[] = {0x1f, 0x8b, 0x08};

static size_t next_member(const struct tsm_buf *file, size_t from)
{
    const uint8_t *p = from < file->len
                           ? memmem(file->data + from, file->len - from, gzip_magic, sizeof gzip_magic)
                           : NULL;
    return p ? (size_t)(p - file->data) : file->len;
}

/* Whether bytes [from, to) are whole members, by themselves. */
static bool decodes(const struct tsm_buf *file, size_t from, size_t to, struct tsm_buf *scratch)
{
    struct tsm_tombstones t = {0};
    tsm_buf_reset(scratch);
    tsm_buf_add(scratch, file->data, 4);
    tsm_buf_add(scratch, file->data + from, to - from);
    int rc = tsm_tombstones_decode("", scratch->data, scratch->len, NULL, &t, NULL);
    tsm_tombstones_release(&t);
    return rc == TSM_OK;
}

/* The members of version 4 that can be read. What looks like the beginning of one may be inside of another, so a member ends at any of
 * the next few such places. */
static void take_members(const struct tsm_buf *file, struct tsm_buf *good, struct tsm_repaired *what)
{
    enum { TRIES = 16 };
    struct tsm_buf scratch = {0};
    for (size_t at = next_member(file, 4); at < file->len;) {
        size_t end = at, taken = 0;
        for (int i = 0; i < TRIES && end < file->len && !taken; i++) {
            end = next_member(file, end + 1);
            if (decodes(file, at, end, &scratch))
                taken = end;
        }
        if (taken) {
            tsm_buf_add(good, file->data + at, taken - at);
            what->kept++;
        } else {
            what->lost++;
        }
        at = taken ? taken : next_member(file, at + 1);
    }
    tsm_buf_release(&scratch);
}

int tsm_repair_tombstone(struct tsm_repair *r, const char *path, struct tsm_err *err)
{
    struct tsm_buf file = {0}, good = {0};
    struct tsm_tombstones t = {0};
    struct tsm_err fault;
    int rc = tsm_fs_read_file(r->fs, path, LIMIT, &file, err);
    if (rc != TSM_OK)
        return rc;
    if (tsm_tombstones_decode(path, file.data, file.len, NULL, &t, &fault) == TSM_ECORRUPT) {
        struct tsm_repaired what = {.path = path, .fault = fault.msg, .unit = "member", .uncertain = true};
        if (file.len > 4 && tsm_get_be32(file.data) == 0x1504) {
            tsm_buf_add(&good, file.data, 4);
            take_members(&file, &good, &what);
        }
        rc = tsm_repair_replace(r, &what, what.kept ? tsm_buf_view(&good) : tsm_str(NULL, 0), err);
    }
    tsm_tombstones_release(&t);
    tsm_buf_release(&file);
    tsm_buf_release(&good);
    return rc;
}
