/*
 * tests/fuzz/fuzz_tsm.c: any bytes as a TSM file: opened, every block decoded, every key looked up.
 *
 * The first byte tells what is repaired before: 1 header, 2 footer, 4 checksums of the blocks that the index
 * names, 8 the seal. So damage gets past each of them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "codec/block.h"
#include "format/tsm_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* ---- a disk with one file -------------------------------------------------------------------- */

struct image {
    uint8_t *p;
    size_t n;
};

static int image_open(void *ctx, const char *path, int flags, mode_t mode)
{
    (void)ctx, (void)flags, (void)mode;
    return strcmp(path, "f.tsm") == 0 ? 1000 : -ENOENT;
}

static int image_close(void *ctx, int fd)
{
    (void)ctx, (void)fd;
    return 0;
}

static int image_fstat(void *ctx, int fd, struct tsm_fs_stat *st)
{
    (void)fd;
    *st = (struct tsm_fs_stat){.size = ((struct image *)ctx)->n};
    return 0;
}

static int image_mmap(void *ctx, int fd, size_t size, const uint8_t **p)
{
    (void)fd, (void)size;
    *p = ((struct image *)ctx)->p;
    return 0;
}

static int image_munmap(void *ctx, const uint8_t *p, size_t size)
{
    (void)ctx, (void)p, (void)size;
    return 0;
}

/* ---- repairs --------------------------------------------------------------------------------- */

/* Makes the checksum of every block right that the index at `at` names, as far as the index can be
 * followed. */
static void repair_blocks(struct image *f, uint64_t at)
{
    uint64_t end = f->n - 8;
    while (end - at >= 5) {
        uint64_t key = tsm_get_be16(f->p + at);
        if (end - at < 5 + key)
            return;
        uint64_t count = tsm_get_be16(f->p + at + 3 + key);
        at += 5 + key;
        for (; count > 0; count--, at += 28) {
            if (end - at < 28)
                return;
            uint64_t offset = tsm_get_be64(f->p + at + 16), size = tsm_get_be32(f->p + at + 24);
            if (offset <= end && size <= end - offset && size > 4)
                tsm_put_be32(f->p + offset, (uint32_t)crc32_z(0, f->p + offset + 4, size - 4));
        }
    }
}

static void repair(struct image *f, uint8_t what)
{
    if (f->n < 32)
        return;
    if (what & 1)
        memcpy(f->p, "\x16\xd1\x16\xd1\x01", 5);
    uint64_t index = tsm_get_be64(f->p + f->n - 8);
    if (what & 2)
        tsm_put_be64(f->p + f->n - 8, index %= f->n - 8);
    if (index < 21 || index > f->n - 8)
        return;
    if (what & 4)
        repair_blocks(f, index);
    if (what & 8)
        tsm_put_be64(f->p + index - 8, XXH3_64bits(f->p + index, f->n - index));
}

/* ---- the test -------------------------------------------------------------------------------- */

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
    struct image f = {.p = tsm_alloc(n - 1), .n = n - 1}; /* of exactly its size */
    memcpy(f.p, p + 1, n - 1);
    repair(&f, *p);
    struct tsm_fs fs = {.ctx = &f,
                        .open = image_open,
                        .close = image_close,
                        .fstat = image_fstat,
                        .mmap = image_mmap,
                        .munmap = image_munmap};
    struct tsm_reader *r;
    int c = tsm_reader_open(&fs, "f.tsm", &r, NULL);
    if (c != TSM_OK && c != TSM_ECORRUPT)
        abort();
    struct tsm_values v = {0};
    for (size_t i = 0; c == TSM_OK && i < r->nkeys; i++)
        read_key(r, i, &v);
    tsm_values_release(&v);
    tsm_reader_close(r);
    tsm_free(f.p);
    return 0;
}
