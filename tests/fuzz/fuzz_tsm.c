/*
 * tests/fuzz/fuzz_tsm.c: any bytes as a TSM file: opened, every block decoded, every key looked up.
 *
 * The first byte tells what is repaired before (tsm_image.h). So damage gets past each check.
 */
#include <stdlib.h>

#include "codec/block.h"
#include "format/tsm_reader.h"
#include "tsm_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static uint64_t sum; /* keeps the reads alive */

static void read_values(const struct tsm_values *v)
{
    for (size_t i = 0; i < v->n; i++) {
        union tsm_value x = tsm_values_get(v, i);
        sum += (uint64_t)v->t[i];
        for (size_t j = 0; v->type == TSM_STRING && j < x.s.n; j++)
            sum += (uint8_t)x.s.p[j];
    }
}

static void read_key(const struct tsm_reader *r, size_t key, struct tsm_values *v)
{
    bool found;
    if (tsm_reader_seek(r, tsm_reader_key(r, key), &found) != key || !found)
        abort();
    for (size_t j = 0; j < tsm_reader_entries(r, key); j++) {
        struct tsm_entry e = tsm_reader_entry(r, key, j);
        const uint8_t *p;
        size_t len, count;
        struct tsm_block_info info;
        if (tsm_reader_block(r, &e, &p, &len, NULL) != TSM_OK)
            continue;
        int counted = tsm_block_count(p, len, &count, NULL);
        int known = tsm_block_info(p, len, &info, NULL);
        if (tsm_reader_decode(r, key, &e, v, NULL) != TSM_OK)
            continue;
        if (counted != TSM_OK || count != v->n || known != TSM_OK || info.n != v->n)
            abort();
        read_values(v);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    if (n == 0)
        return 0;
    struct image f[IMAGES] = {image_of("f.tsm", p + 1, n - 1)};
    image_repair(&f[0], *p);
    struct tsm_fs fs = image_fs(f);
    struct tsm_reader *r;
    int c = tsm_reader_open(&fs, "f.tsm", &r, NULL);
    if (c != TSM_OK && c != TSM_ECORRUPT)
        abort();
    struct tsm_values v = {0};
    for (size_t i = 0; c == TSM_OK && i < r->norigins; i++)
        sum += r->origins[i].name.level + r->origins[i].size + r->origins[i].digest;
    sum += c == TSM_OK ? tsm_reader_digest(r) : 0;
    if (c == TSM_OK && r->norigins && !r->sealed)
        abort();
    for (size_t i = 0; c == TSM_OK && i < r->nkeys; i++)
        read_key(r, i, &v);
    tsm_values_release(&v);
    tsm_reader_close(r);
    tsm_free(f[0].p);
    return 0;
}
