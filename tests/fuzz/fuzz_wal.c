/*
 * tests/fuzz/fuzz_wal.c: any bytes as a log segment of influxd's. The first byte tells how: as they are, or
 * as the content of one record, past the compression.
 */
#include <snappy-c.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "format/influx_wal.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* Reads every byte that is given. */
static uint64_t sum;

static void add(const void *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum += ((const uint8_t *)p)[i];
}

static int on_write(void *ctx, struct tsm_str key, const struct tsm_values *v, struct tsm_err *err)
{
    (void)ctx, (void)err;
    if (v->n == 0)
        abort();
    add(key.p, key.n);
    add(v->t, v->n * sizeof *v->t);
    add(v->v.p, v->n * tsm_value_size(v->type));
    for (size_t i = 0; v->type == TSM_STRING && i < v->n; i++)
        add(v->v.s[i].p, v->v.s[i].n);
    return TSM_OK;
}

static int on_remove(void *ctx, struct tsm_str key, int64_t tmin, int64_t tmax, struct tsm_err *err)
{
    (void)ctx, (void)err, (void)tmin, (void)tmax;
    add(key.p, key.n);
    return TSM_OK;
}

static int on_damage(void *ctx, struct tsm_err *err)
{
    (void)ctx;
    if (err->code != TSM_ECORRUPT)
        abort();
    return TSM_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct tsm_wal_visitor strict = {NULL, on_write, on_remove, NULL},
                           skip = {NULL, on_write, on_remove, on_damage};
    struct tsm_buf b = {0};
    uint64_t torn;
    if (n == 0)
        return 0;
    uint8_t how = *p++;
    n--;
    if (how % 4) {
        size_t size = snappy_max_compressed_length(n);
        uint8_t *room = tsm_buf_room(&b, 5 + size);
        snappy_compress((const char *)p, n, (char *)room + 5, &size);
        room[0] = how % 4;
        tsm_put_be32(room + 1, (uint32_t)size);
        p = b.data;
        n = 5 + size;
    }
    int rc = tsm_influx_wal_scan(p, n, &strict, &torn, NULL);
    if ((rc != TSM_OK && rc != TSM_ECORRUPT) || torn > n || tsm_influx_wal_scan(p, n, &skip, &torn, NULL))
        abort();
    tsm_buf_release(&b);
    return 0;
}
