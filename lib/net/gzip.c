/* net/gzip.c: packed bodies. What comes in may be a bomb: it is unpacked up to a limit. */
#include <stdlib.h>
#include <zlib.h>

#include "base/alloc.h"
#include "net/server_impl.h"

#include "base/banned.h"

enum { STEP = 64 << 10, GZIP = 16 };

struct tsm_gunzip {
    z_stream z;
    bool begun; /* in a member */
    bool any;   /* bytes have come */
    bool header_done;
};

struct tsm_gunzip *tsm_gunzip_new(void)
{
    struct tsm_gunzip *g = tsm_calloc(1, sizeof *g);
    g->z.zalloc = tsm_zlib_alloc;
    g->z.zfree = tsm_zlib_free;
    if (inflateInit2(&g->z, MAX_WBITS + GZIP) != Z_OK) {
        tsm_free(g);
        return NULL;
    }
    return g;
}

void tsm_gunzip_free(struct tsm_gunzip *g)
{
    if (!g)
        return;
    inflateEnd(&g->z);
    tsm_free(g);
}

/* In Go's words. */
static int damaged(const struct tsm_gunzip *g, struct tsm_err *err)
{
    const char *why = g->z.msg ? g->z.msg : "";
    if (strstr(why, "header"))
        return tsm_err_set(err, TSM_EPARSE, "gzip: invalid header");
    if (strstr(why, "data check") || strstr(why, "length check"))
        return tsm_err_set(err, TSM_EPARSE, "gzip: invalid checksum");
    return tsm_err_set(err, TSM_EPARSE, "flate: corrupt input before offset %lu", g->z.total_in);
}

int tsm_gunzip_feed(struct tsm_gunzip *g, const uint8_t *p, size_t n, uint64_t limit, struct tsm_buf *out,
                    struct tsm_err *err)
{
    g->z.next_in = (uint8_t *)(uintptr_t)p;
    g->z.avail_in = (unsigned)n;
    g->any = g->any || n;
    while (g->z.avail_in) {
        g->begun = true;
        size_t room = out->cap - out->len > STEP ? out->cap - out->len : STEP;
        if (limit && room > limit + 1 - out->len)
            room = (size_t)(limit + 1 - out->len);
        g->z.next_out = tsm_buf_room(out, room);
        g->z.avail_out = (unsigned)(room < (1u << 30) ? room : 1u << 30);
        unsigned before = g->z.avail_out;
        int rc = inflate(&g->z, Z_NO_FLUSH);
        out->len += before - g->z.avail_out;
        if (limit && out->len > limit)
            return tsm_err_set(err, TSM_ELIMIT, "the body is too large");
        if (rc == Z_STREAM_END) { /* another member may follow */
            g->begun = false;
            if (inflateReset(&g->z) != Z_OK)
                return damaged(g, err);
        } else if (rc != Z_OK && rc != Z_BUF_ERROR) {
            return damaged(g, err);
        }
    }
    return TSM_OK;
}

int tsm_gunzip_end(struct tsm_gunzip *g, struct tsm_err *err)
{
    if (!g->any)
        return tsm_err_set(err, TSM_EPARSE, "EOF");
    return g->begun ? tsm_err_set(err, TSM_EPARSE, "unexpected EOF") : TSM_OK;
}

void tsm_gzip(struct tsm_buf *out, struct tsm_str text)
{
    z_stream z = {.zalloc = tsm_zlib_alloc, .zfree = tsm_zlib_free};
    if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, MAX_WBITS + GZIP, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
    size_t room = deflateBound(&z, text.n);
    z.next_in = (uint8_t *)(uintptr_t)text.p;
    z.avail_in = (unsigned)text.n;
    z.next_out = tsm_buf_room(out, room);
    z.avail_out = (unsigned)room;
    (void)deflate(&z, Z_FINISH);
    out->len += z.total_out;
    deflateEnd(&z);
}
