/* tests/fuzz/fuzz_tombstone.c: any bytes as a tombstone file. The first byte tells how: 0 as they are, else
 * as the entries of a file of version 2, 3 or 4, past the compression. */
#include <stdlib.h>
#include <zlib.h>

#include "base/bytes.h"
#include "format/tombstone.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void add_gzip(struct tsm_buf *b, const uint8_t *p, size_t n)
{
    z_stream z = {0};
    if (deflateInit2(&z, 1, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
    size_t bound = deflateBound(&z, n);
    z.next_in = (Bytef *)p;
    z.avail_in = (uInt)n;
    z.next_out = tsm_buf_room(b, bound);
    z.avail_out = (uInt)bound;
    if (deflate(&z, Z_FINISH) != Z_STREAM_END)
        abort();
    b->len += bound - z.avail_out;
    deflateEnd(&z);
}

/* Sorted, without gaps that could be closed, and each key found where it is. */
static void check(const struct tsm_tombstones *t)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct tsm_tombstone *x = &t->items[i];
        if (x->tmin > x->tmax || x->key.n == 0)
            abort();
        if (i > 0) {
            const struct tsm_tombstone *before = x - 1;
            int c = tsm_str_cmp(before->key, x->key);
            if (c > 0 || (c == 0 && (before->tmax == INT64_MAX || before->tmax + 1 >= x->tmin)))
                abort();
        }
        size_t from, to;
        tsm_tombstones_find(t, x->key, &from, &to);
        if (i < from || i >= to)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    if (n == 0)
        return 0;
    struct tsm_buf b = {0};
    uint8_t how = *p++ % 4;
    n--;
    if (how == 0) {
        tsm_buf_add(&b, p, n);
    } else {
        tsm_put_be32(tsm_buf_room(&b, 4), 0x1501u + how);
        b.len = 4;
        if (how == 1)
            tsm_buf_add(&b, p, n);
        else
            add_gzip(&b, p, n / 2);
        if (how == 3)
            add_gzip(&b, p + n / 2, n - n / 2);
    }
    struct tsm_tombstones t;
    int r = tsm_tombstones_decode("fuzz", b.data, b.len, NULL, &t, NULL);
    if (r != TSM_OK && r != TSM_ECORRUPT)
        abort();
    check(&t);
    tsm_tombstones_release(&t);
    tsm_buf_release(&b);
    return 0;
}
