/*
 * fuzz_block.c: any bytes as a block. What decodes must be sound, and come back from another encoding of it
 * unchanged.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "codec/block.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static void check(int holds)
{
    if (!holds)
        abort();
}

static void check_same(const struct tsm_values *a, const struct tsm_values *b)
{
    check(a->type == b->type && a->n == b->n);
    check(memcmp(a->t, b->t, a->n * sizeof *a->t) == 0);
    if (a->type != TSM_STRING) {
        check(memcmp(a->v.p, b->v.p, a->n * tsm_value_size(a->type)) == 0);
        return;
    }
    for (size_t i = 0; i < a->n; i++)
        check(tsm_str_eq(a->v.s[i], b->v.s[i]));
}

static void check_block(const uint8_t *p, size_t len, struct tsm_values *c)
{
    size_t n;
    struct tsm_values again = {0};
    struct tsm_buf block = {0};
    check(tsm_block_count(p, len, &n, NULL) == TSM_OK && n == c->n && n > 0);
    for (size_t i = 1; i < c->n; i++)
        check(c->t[i - 1] < c->t[i]);
    int rc = tsm_block_encode(&block, c, 0, c->n, NULL);
    check(rc == TSM_OK || (rc == TSM_ELIMIT && c->type == TSM_FLOAT));
    if (rc == TSM_OK) {
        check(tsm_block_decode(block.data, block.len, &again, NULL) == TSM_OK);
        check_same(c, &again);
    }
    tsm_buf_release(&block);
    tsm_values_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    struct tsm_values c = {0};
    struct tsm_block_info info;
    if (tsm_block_decode(p, len, &c, NULL) == TSM_OK)
        check_block(p, len, &c);
    tsm_block_decode_times(p, len, &c, NULL);
    tsm_block_info(p, len, &info, NULL);
    tsm_values_release(&c);
    return 0;
}
