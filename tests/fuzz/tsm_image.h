/*
 * tests/fuzz/tsm_image.h: files in memory for fuzzers of what reads TSM files, and repairs that let damage get past the
 * checks.
 */
#ifndef TESTS_TSM_IMAGE_H
#define TESTS_TSM_IMAGE_H

#include <errno.h>
#include <string.h>
#include <zlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "sys/fs.h"

/* ---- a disk with a few files ---- */

struct image {
    const char *name;
    uint8_t *p; /* of exactly its size */
    size_t n;
};

enum { IMAGES = 3, IMAGE_FD = 1000 };

static inline struct image image_of(const char *name, const uint8_t *p, size_t n)
{
    struct image f = {name, tsm_alloc(n), n};
    if (n)
        memcpy(f.p, p, n);
    return f;
}

/* ctx: IMAGES of them; without a name: none. */
static int image_open(void *ctx, const char *path, int flags, mode_t mode)
{
    const struct image *f = ctx;
    (void)flags, (void)mode;
    for (int i = 0; i < IMAGES; i++)
        if (f[i].name && strcmp(path, f[i].name) == 0)
            return IMAGE_FD + i;
    return -ENOENT;
}

static int image_close(void *ctx, int fd)
{
    (void)ctx, (void)fd;
    return 0;
}

static int image_fstat(void *ctx, int fd, struct tsm_fs_stat *st)
{
    *st = (struct tsm_fs_stat){.size = ((struct image *)ctx)[fd - IMAGE_FD].n};
    return 0;
}

static ssize_t image_pread(void *ctx, int fd, void *p, size_t n, off_t offset)
{
    const struct image *f = (struct image *)ctx + (fd - IMAGE_FD);
    size_t at = (uint64_t)offset < f->n ? (size_t)offset : f->n;
    n = n < f->n - at ? n : f->n - at;
    if (n)
        memcpy(p, f->p + at, n);
    return (ssize_t)n;
}

static int image_mmap(void *ctx, int fd, size_t size, const uint8_t **p)
{
    (void)size;
    *p = ((struct image *)ctx)[fd - IMAGE_FD].p;
    return 0;
}

static int image_munmap(void *ctx, const uint8_t *p, size_t size)
{
    (void)ctx, (void)p, (void)size;
    return 0;
}

static inline struct tsm_fs image_fs(struct image *files)
{
    return (struct tsm_fs){.ctx = files,
                           .open = image_open,
                           .close = image_close,
                           .fstat = image_fstat,
                           .pread = image_pread,
                           .mmap = image_mmap,
                           .munmap = image_munmap};
}

/* ---- repairs ---- */

/* Makes the checksum of every block right that the index at `at` names, as far as the index can be
 * followed. */
static inline void image_repair_blocks(struct image *f, uint64_t at)
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

/* Makes the digest of the origins right that end at `end`, where there are any. */
static inline void image_repair_origins(struct image *f, uint64_t end)
{
    for (uint64_t n = 20 + 24; n <= end; n += 24) {
        uint8_t *p = f->p + end - n;
        if (memcmp(p, "TSMFROM1", 8) == 0) {
            tsm_put_be64(p + n - 8, XXH3_64bits(p, n - 8));
            return;
        }
    }
}

/* what: 1 header, 2 footer, 4 checksums of the blocks that the index names, 8 the seal, 16 the origins. */
static inline void image_repair(struct image *f, uint8_t what)
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
        image_repair_blocks(f, index);
    if (what & 16)
        image_repair_origins(f, index - 16);
    if (what & 8)
        tsm_put_be64(f->p + index - 8, XXH3_64bits(f->p + index, f->n - index));
}

#endif
