/*
 * tests/fuzz/fuzz_log.c: any bytes as the segments of a log: replaying gives ascending keys and times, whatever is in them,
 * leaving damage out never fails, and the readers of records pass over each byte once.
 *
 * The input is a series of parts; the first byte of each says what it is, modulo 8:
 *   0        the rest is taken as it is
 *   1 … 4    a record of points (1, 2) or a delete (3, 4), its payload packed (1, 3) or stored as it is (2, 4) and all
 *            checksums right: 1 byte that is added to the sequence, 2 bytes length of the payload, the payload
 *   5        a record of points whose payload is unpacked from these bytes: 1 byte for the sequence, 2 bytes length of what is
 *            stored, 4 bytes length of the payload, what is stored
 *   6        the segment ends, another one begins
 *   7        so many bytes are cut off the end: 1 byte
 * Lengths are big-endian, and cut where the input ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "format/wal.h"
#include "store/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

enum { SEGMENTS = 4, FIRST_FD = 1000 };

struct segments {
    struct tsm_buf items[SEGMENTS];
    size_t n;
};

/* ---- a disk with these segments ---- */

static int segment_list(void *ctx, const char *path, int (*each)(void *arg, const char *name), void *arg)
{
    const struct segments *s = ctx;
    int rc = 0;
    (void)path;
    for (size_t i = 0; i < s->n && rc == 0; i++) {
        char name[TSM_WAL_NAME_MAX];
        tsm_wal_name_format(name, (uint32_t)i + 1);
        rc = each(arg, name);
    }
    return rc;
}

static int segment_open(void *ctx, const char *path, int flags, mode_t mode)
{
    uint32_t number;
    const struct segments *s = ctx;
    (void)flags, (void)mode;
    const char *slash = strrchr(path, '/');
    if (!tsm_wal_name_parse(tsm_str_of(slash ? slash + 1 : path), &number) || number > s->n)
        return -ENOENT;
    return FIRST_FD + (int)number - 1;
}

static int segment_close(void *ctx, int fd)
{
    (void)ctx, (void)fd;
    return 0;
}

static int segment_fstat(void *ctx, int fd, struct tsm_fs_stat *st)
{
    const struct segments *s = ctx;
    *st = (struct tsm_fs_stat){.size = s->items[fd - FIRST_FD].len};
    return 0;
}

static ssize_t segment_pread(void *ctx, int fd, void *p, size_t n, off_t offset)
{
    const struct tsm_buf *b = &((const struct segments *)ctx)->items[fd - FIRST_FD];
    if ((size_t)offset >= b->len)
        return 0;
    if (n > b->len - (size_t)offset)
        n = b->len - (size_t)offset;
    memcpy(p, b->data + offset, n);
    return (ssize_t)n;
}

static struct tsm_fs segment_fs(struct segments *s)
{
    return (struct tsm_fs){.ctx = s,
                           .open = segment_open,
                           .close = segment_close,
                           .pread = segment_pread,
                           .fstat = segment_fstat,
                           .list = segment_list};
}

/* ---- making them ---- */

struct input {
    const uint8_t *p, *end;
};

static uint64_t take_number(struct input *in, size_t bytes)
{
    uint64_t v = 0;
    for (size_t i = 0; i < bytes; i++)
        v = v << 8 | (in->p < in->end ? *in->p++ : 0);
    return v;
}

static struct tsm_str take_bytes(struct input *in, size_t n)
{
    size_t left = (size_t)(in->end - in->p);
    n = n < left ? n : left;
    struct tsm_str s = tsm_str((const char *)in->p, n);
    in->p += n;
    return s;
}

/* A record with right checksums around what is stored. */
static void add_record(struct tsm_buf *out, int kind, uint64_t sequence, uint32_t raw, struct tsm_str stored)
{
    uint8_t h[TSM_WAL_HEADER] = {'T', 'S', 'M', 'R', (uint8_t)kind};
    tsm_put_be32(h + 8, raw);
    tsm_put_be32(h + 12, (uint32_t)stored.n);
    tsm_put_be64(h + 16, sequence);
    tsm_put_be32(h + 24, (uint32_t)XXH3_64bits(h, 24));
    tsm_put_be64(h + 28, XXH3_64bits(stored.p, stored.n));
    tsm_buf_add(out, h, sizeof h);
    tsm_buf_str(out, stored);
}

static void make(struct input in, struct segments *s)
{
    enum { RAW_MAX = 1 << 20 };
    uint64_t sequence = 0;
    s->n = 1;
    while (in.p < in.end) {
        struct tsm_buf *b = &s->items[s->n - 1];
        int part = *in.p++ % 8;
        if (part == 0) {
            tsm_buf_str(b, take_bytes(&in, SIZE_MAX));
        } else if (part <= 5) {
            sequence += take_number(&in, 1);
            size_t n = take_number(&in, 2);
            uint32_t raw = part == 5 ? (uint32_t)take_number(&in, 4) % RAW_MAX : (uint32_t)n;
            struct tsm_str bytes = take_bytes(&in, n);
            int kind = part == 3 || part == 4 ? TSM_WAL_DELETE : TSM_WAL_POINTS;
            if (part == 1 || part == 3)
                tsm_wal_encode(b, (enum tsm_wal_kind)kind, sequence, bytes);
            else
                add_record(b, kind, sequence, part == 5 ? raw : (uint32_t)bytes.n, bytes);
        } else if (part == 6) {
            s->n += s->n < SEGMENTS;
        } else {
            size_t cut = take_number(&in, 1);
            b->len -= cut < b->len ? cut : b->len;
        }
    }
}

/* ---- checking ---- */

/* Every byte is in one record, or one stretch that does not check, or in the end that is torn. */
static void check_records(const struct tsm_buf *b)
{
    uint8_t *copy = tsm_alloc(b->len); /* of exactly this size */
    if (b->len)
        memcpy(copy, b->data, b->len);
    struct tsm_wal_reader r = {.p = copy, .len = b->len};
    struct tsm_wal_record record;
    struct tsm_err err;
    for (;;) {
        size_t before = r.at;
        int rc = tsm_wal_next(&r, &record, &err);
        if (rc == TSM_ENOTFOUND)
            break;
        if ((rc != TSM_OK && rc != TSM_ECORRUPT) || r.at <= before || r.at > r.len)
            abort();
        if (rc == TSM_OK && (record.offset != before || record.offset + record.size != r.at))
            abort();
    }
    if ((r.at != r.len) != r.torn)
        abort();
    tsm_wal_reader_release(&r);
    tsm_free(copy);
}

static void check_log(const struct tsm_log *log)
{
    for (size_t i = 0; log && i < log->n; i++) {
        const struct tsm_values *v = &log->items[i].values;
        if (v->n == 0 || (i > 0 && tsm_str_cmp(log->items[i - 1].key, log->items[i].key) >= 0))
            abort();
        for (size_t k = 1; k < v->n; k++)
            if (v->t[k - 1] >= v->t[k])
                abort();
        for (size_t k = 0; v->type == TSM_STRING && k < v->n; k++)
            if (v->v.s[k].n && XXH3_64bits(v->v.s[k].p, v->v.s[k].n) == 0) /* reads every byte */
                abort();
    }
}

static size_t nreports;

static void on_report(void *ctx, const char *message)
{
    (void)ctx;
    if (!*message)
        abort();
    nreports++;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const struct tsm_damage skip = {.skip = true, .report = on_report};
    struct segments s = {0};
    struct tsm_log *log;
    struct tsm_err err;
    make((struct input){p, p + n}, &s);
    for (size_t i = 0; i < s.n; i++)
        check_records(&s.items[i]);
    struct tsm_fs fs = segment_fs(&s);
    nreports = 0;
    if (tsm_log_read(&fs, "log", &skip, &log, &err) != TSM_OK)
        abort();
    check_log(log);
    tsm_log_free(log);
    int rc = tsm_log_read(&fs, "log", NULL, &log, &err);
    if (rc != (nreports ? TSM_ECORRUPT : TSM_OK))
        abort();
    check_log(log);
    tsm_log_free(log);
    for (size_t i = 0; i < SEGMENTS; i++)
        tsm_buf_release(&s.items[i]);
    return 0;
}
