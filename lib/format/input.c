/*
 * format/input.c: plain, gzip and LZ4 input behind one read call.
 *
 * What was decompressed before a fault is always delivered first: the fault is kept and reported by the next
 * call, and by every one after it.
 */
#include "format/input.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <lz4frame.h>
#include <unistd.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/banned.h"

enum {
    RAW_SIZE = 256 * 1024, /* compressed bytes read at a time */
    MAGIC_MAX = 4,
};

enum kind { UNKNOWN, PLAIN, GZIP, LZ4 };

struct tsm_input {
    int fd;
    char *name;
    enum kind kind;
    uint8_t *raw; /* bytes read and not yet used: [pos, len) */
    size_t pos, len;
    uint64_t offset; /* in the input, of raw[len] */
    bool raw_end;
    bool inside;   /* a gzip member or LZ4 frame has begun and not ended */
    bool padding;  /* zero bytes follow the last gzip member, as tar leaves them */
    bool finished; /* the end was reported */
    bool draining; /* nothing is to be read */
    z_stream z;
    LZ4F_dctx *lz4;
    size_t lz4_want; /* bytes that lz4 asked for: given more, it loses what comes before a damaged block */
    struct tsm_err fault; /* code 0: none */
};

struct tsm_input *tsm_input_open(int fd, const char *name)
{
    struct tsm_input *in = tsm_calloc(1, sizeof *in);
    in->fd = fd;
    in->name = tsm_strdup(name);
    in->raw = tsm_alloc(RAW_SIZE);
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* fails on a pipe, which does not matter */
    return in;
}

void tsm_input_close(struct tsm_input *in)
{
    if (!in)
        return;
    if (in->kind == GZIP)
        inflateEnd(&in->z);
    if (in->lz4)
        LZ4F_freeDecompressionContext(in->lz4);
    close(in->fd);
    tsm_free(in->name);
    tsm_free(in->raw);
    tsm_free(in);
}

static int corrupt(struct tsm_input *in, const char *cause)
{
    return tsm_err_set(&in->fault, TSM_ECORRUPT, "%s: offset %" PRIu64 ": %s", in->name,
                       in->offset - (in->len - in->pos), cause);
}

/* One read; *n is 0 at the end of the input. */
static int read_some(struct tsm_input *in, void *p, size_t room, size_t *n)
{
    ssize_t r;
    do
        r = read(in->fd, p, room);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        return tsm_err_sys(&in->fault, errno, "%s: read", in->name);
    *n = (size_t)r;
    in->offset += (size_t)r;
    in->raw_end = r == 0;
    return TSM_OK;
}

/* Reads more behind what is left in raw, which is less than RAW_SIZE. */
static int fill(struct tsm_input *in)
{
    if (in->pos > 0) {
        memmove(in->raw, in->raw + in->pos, in->len - in->pos);
        in->len -= in->pos;
        in->pos = 0;
    }
    size_t n;
    int rc = read_some(in, in->raw + in->len, RAW_SIZE - in->len, &n);
    if (!rc)
        in->len += n;
    return rc;
}

static bool is_gzip(const uint8_t *p, size_t n)
{
    return n >= 2 && p[0] == 0x1f && p[1] == 0x8b;
}

static bool is_lz4(const uint8_t *p, size_t n)
{
    return n >= 4 && memcmp(p, "\x04\x22\x4d\x18", 4) == 0;
}

static int detect(struct tsm_input *in)
{
    while (in->kind == UNKNOWN) {
        int rc = fill(in);
        if (rc)
            return rc;
        if (is_gzip(in->raw, in->len)) {
            in->z.zalloc = tsm_zlib_alloc;
            in->z.zfree = tsm_zlib_free;
            if (inflateInit2(&in->z, 15 + 16) != Z_OK) /* 16: with a gzip header */
                return tsm_err_set(&in->fault, TSM_EIO, "%s: zlib does not start", in->name);
            in->kind = GZIP;
        } else if (is_lz4(in->raw, in->len)) {
            LZ4F_errorCode_t e = LZ4F_createDecompressionContext(&in->lz4, LZ4F_VERSION);
            if (LZ4F_isError(e))
                return tsm_err_set(&in->fault, TSM_EIO, "%s: lz4: %s", in->name, LZ4F_getErrorName(e));
            in->lz4_want = LZ4F_HEADER_SIZE_MAX;
            in->kind = LZ4;
        } else if (in->raw_end || in->len >= MAGIC_MAX || (in->raw[0] != 0x1f && in->raw[0] != 0x04)) {
            in->kind = PLAIN;
        }
    }
    return TSM_OK;
}

/* ---- one step each: uses what is in raw, gives at most room bytes to p ---- */

/* Past the end of a member: starts the next one. */
static int next_member(struct tsm_input *in)
{
    while (in->pos < in->len && in->raw[in->pos] == 0) {
        in->padding = true;
        in->pos++;
    }
    size_t n = in->len - in->pos;
    if (n == 0 || (n == 1 && !in->raw_end && !in->padding && in->raw[in->pos] == 0x1f))
        return TSM_OK;
    if (in->padding || !is_gzip(in->raw + in->pos, n))
        return corrupt(in, "bytes after the end of the gzip data");
    inflateReset(&in->z);
    in->inside = true;
    return TSM_OK;
}

static int step_gzip(struct tsm_input *in, uint8_t *p, size_t room, size_t *given)
{
    if (!in->inside) {
        int rc = next_member(in);
        if (rc || !in->inside)
            return rc;
    }
    in->z.next_in = in->raw + in->pos;
    in->z.avail_in = (uInt)(in->len - in->pos);
    in->z.next_out = p;
    in->z.avail_out = room > UINT32_MAX ? UINT32_MAX : (uInt)room;
    uInt before = in->z.avail_out;
    int rc = inflate(&in->z, Z_NO_FLUSH);
    in->pos = in->len - in->z.avail_in;
    *given = before - in->z.avail_out;
    if (rc == Z_STREAM_END)
        in->inside = false;
    else if (rc == Z_MEM_ERROR)
        return tsm_err_set(&in->fault, TSM_EIO, "%s: zlib: out of memory", in->name);
    else if (rc != Z_OK && rc != Z_BUF_ERROR)
        return corrupt(in, in->z.msg ? in->z.msg : "damaged gzip data");
    return TSM_OK;
}

static int step_lz4(struct tsm_input *in, uint8_t *p, size_t room, size_t *given)
{
    size_t used = in->len - in->pos, got = room;
    if (used > 0)
        in->inside = true;
    if (used > in->lz4_want)
        used = in->lz4_want;
    size_t rc = LZ4F_decompress(in->lz4, p, &got, in->raw + in->pos, &used, NULL);
    if (LZ4F_isError(rc))
        return corrupt(in, LZ4F_getErrorName(rc));
    in->pos += used;
    *given = got;
    in->lz4_want = rc ? rc : LZ4F_HEADER_SIZE_MAX;
    if (rc == 0)
        in->inside = false;
    return TSM_OK;
}

/* Decompresses what has been read, and when that gives nothing, what one more read brings: waiting longer is for the
 * caller to decide. */
static int read_compressed(struct tsm_input *in, uint8_t *p, size_t room, bool filled, size_t *total)
{
    for (;;) {
        size_t given = 0, left = in->len - in->pos;
        bool was_inside = in->inside;
        int rc = in->kind == GZIP ? step_gzip(in, p + *total, room - *total, &given)
                                  : step_lz4(in, p + *total, room - *total, &given);
        *total += given;
        if (rc || *total == room)
            return rc;
        if (given > 0 || left != in->len - in->pos || was_inside != in->inside)
            continue; /* there may be more in what was read */
        if (*total > 0)
            return TSM_OK;
        if (in->raw_end)
            return in->inside || in->len > in->pos ? corrupt(in, "the compressed data ends too early")
                                                   : TSM_OK;
        if (filled)
            return TSM_OK;
        rc = fill(in);
        if (rc)
            return rc;
        filled = !in->raw_end;
    }
}

/* What detect() has read, then directly from the input. */
static int read_plain(struct tsm_input *in, uint8_t *p, size_t room, size_t *total)
{
    size_t n = in->len - in->pos;
    if (n == 0)
        return in->raw_end || in->draining ? TSM_OK : read_some(in, p, room, total);
    if (n > room)
        n = room;
    memcpy(p, in->raw + in->pos, n);
    in->pos += n;
    *total = n;
    return TSM_OK;
}

static int read_known(struct tsm_input *in, struct tsm_buf *out, size_t max, size_t *total,
                      struct tsm_err *err)
{
    int rc = in->fault.code;
    bool unknown = in->kind == UNKNOWN; /* then detect() reads */
    *total = 0;
    if (!rc && unknown)
        rc = detect(in);
    if (!rc) {
        uint8_t *p = tsm_buf_room(out, max);
        rc = in->kind == PLAIN ? read_plain(in, p, max, total)
                               : read_compressed(in, p, max, unknown || in->draining, total);
        out->len += *total;
    }
    if (rc && *total == 0 && err)
        *err = in->fault;
    return *total ? TSM_OK : rc; /* the fault comes next time */
}

int tsm_input_read(struct tsm_input *in, struct tsm_buf *out, size_t max, bool *eof, struct tsm_err *err)
{
    size_t total;
    *eof = in->finished;
    if (max == 0 || in->finished)
        return TSM_OK;
    int rc = read_known(in, out, max, &total, err);
    *eof = in->finished = !rc && total == 0 && in->raw_end;
    return rc;
}

int tsm_input_drain(struct tsm_input *in, struct tsm_buf *out, size_t max, struct tsm_err *err)
{
    size_t total;
    if (max == 0 || in->finished || in->kind == UNKNOWN)
        return TSM_OK;
    in->draining = true;
    int rc = read_known(in, out, max, &total, err);
    in->draining = false;
    return rc;
}

/* Moves forward in a plain file, but not beyond its end. */
static uint64_t seek_plain(struct tsm_input *in, uint64_t n)
{
    off_t at = lseek(in->fd, 0, SEEK_CUR), end = at < 0 ? -1 : lseek(in->fd, 0, SEEK_END);
    if (end < 0)
        return 0;
    uint64_t left = end > at ? (uint64_t)(end - at) : 0;
    if (n > left)
        n = left;
    if (lseek(in->fd, at + (off_t)n, SEEK_SET) < 0)
        return 0;
    in->offset += n;
    return n;
}

int tsm_input_skip(struct tsm_input *in, uint64_t n, uint64_t *skipped, struct tsm_err *err)
{
    struct tsm_buf text = {0};
    int rc = TSM_OK;
    bool eof = false;
    *skipped = 0;
    while (*skipped < n && rc == TSM_OK && !eof) {
        uint64_t left = n - *skipped;
        if (in->kind == PLAIN && in->pos == in->len && !in->finished && !in->fault.code) {
            uint64_t moved = seek_plain(in, left);
            *skipped += moved;
            if (moved)
                continue;
        }
        tsm_buf_reset(&text);
        rc = tsm_input_read(in, &text, left < RAW_SIZE ? (size_t)left : RAW_SIZE, &eof, err);
        *skipped += text.len;
    }
    tsm_buf_release(&text);
    return rc;
}
