/*
 * tests/fuzz/fuzz_scan.c: any bytes as two TSM files of one shard, the first one with tombstones: whatever is in them,
 * a scan gives ascending times, counting gives what scanning gives, a part is what the whole has there, and what is
 * damaged can be left out.
 *
 *   1 byte   repairs (tsm_image.h)
 *   1 byte   length of the tombstones' entries
 *   2 bytes  length of the first file, big-endian
 *   the entries, the first file, the second file
 */
#include <stdlib.h>

#include "store/scan.h"
#include "tsm_image.h"

enum { MOST_BLOCKS = 20, MOST_KEYS = 100, MOST_VALUES = 1 << 18 };

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

struct found {
    int64_t *times;
    size_t n, cap;
};

/* Adds the times of [tmin, tmax]; what the scan said. */
static int scan(struct tsm_scan *sc, const struct tsm_shard *s, size_t key, int64_t tmin, int64_t tmax,
                struct found *found)
{
    const struct tsm_values *v;
    int rc = tsm_scan_start(sc, s, key, tmin, tmax, NULL);
    found->n = 0;
    while (rc == TSM_OK && (rc = tsm_scan_next(sc, &v, NULL)) == TSM_OK && v) {
        if (v->n == 0 || v->t[0] < tmin || v->t[v->n - 1] > tmax)
            abort();
        TSM_GROW(found->times, found->n + v->n, found->cap);
        for (size_t i = 0; i < v->n; i++) {
            if (found->n > 0 && found->times[found->n - 1] >= v->t[i])
                abort();
            found->times[found->n++] = v->t[i];
        }
    }
    if (rc != TSM_OK && (rc != TSM_ECORRUPT || s->damage))
        abort();
    return rc;
}

static void check_count(struct tsm_scan *sc, const struct tsm_shard *s, size_t key, int64_t tmin,
                        int64_t tmax, const struct found *all)
{
    uint64_t count, expected = 0;
    int rc = tsm_scan_count(sc, s, key, tmin, tmax, &count, NULL);
    for (size_t i = 0; i < all->n; i++)
        expected += all->times[i] >= tmin && all->times[i] <= tmax;
    if (rc != TSM_OK || count != expected)
        abort();
}

static void check_key(struct tsm_scan *sc, const struct tsm_shard *s, size_t key, struct found *all,
                      struct found *part)
{
    uint64_t count;
    if (tsm_key_blocks(s, key, INT64_MIN, INT64_MAX) > MOST_BLOCKS)
        return;
    if (tsm_scan_count(sc, s, key, INT64_MIN, INT64_MAX, &count, NULL) == TSM_OK && count > MOST_VALUES)
        return; /* a run of equal distances takes no room, but time */
    if (scan(sc, s, key, INT64_MIN, INT64_MAX, all) != TSM_OK)
        return;
    if (s->damage) /* counting looks at less, so it may find less */
        return;
    check_count(sc, s, key, INT64_MIN, INT64_MAX, all);
    if (all->n == 0)
        return;
    int64_t from = all->times[all->n / 3], to = all->times[all->n - 1 - all->n / 3];
    if (from > to)
        return;
    check_count(sc, s, key, from, to, all);
    if (scan(sc, s, key, from, to, part) != TSM_OK || part->n == 0)
        abort();
    size_t at = 0;
    while (all->times[at] < from)
        at++;
    if (part->n > all->n - at || memcmp(part->times, all->times + at, part->n * sizeof *part->times) != 0)
        abort();
}

static void check_shard(const struct tsm_fs *fs, const struct tsm_damage *damage)
{
    char a[] = "a.tsm", b[] = "b.tsm", *const paths[] = {a, b};
    struct tsm_shard *s;
    int rc = tsm_shard_open_files(fs, paths, 2, damage, &s, NULL);
    if (rc != TSM_OK && (rc != TSM_ECORRUPT || damage))
        abort();
    if (rc != TSM_OK)
        return;
    struct tsm_scan *sc = tsm_scan_new();
    struct found all = {0}, part = {0};
    for (size_t key = 0; key < s->nkeys && key < MOST_KEYS; key++)
        check_key(sc, s, key, &all, &part);
    tsm_free(all.times);
    tsm_free(part.times);
    tsm_scan_free(sc);
    tsm_shard_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    enum { HEAD = 4 };
    static const struct tsm_damage skip = {.skip = true};
    if (n < HEAD)
        return 0;
    uint8_t repairs = p[0];
    size_t gone = p[1], first = tsm_get_be16(p + 2);
    p += HEAD;
    n -= HEAD;
    gone = gone < n ? gone : n;
    first = first < n - gone ? first : n - gone;
    struct tsm_buf tombstones = {0};
    tsm_put_be32(tsm_buf_room(&tombstones, 4), 0x1502);
    tombstones.len = 4;
    tsm_buf_add(&tombstones, p, gone);
    struct image f[IMAGES] = {image_of("a.tsm", p + gone, first),
                              image_of("b.tsm", p + gone + first, n - gone - first),
                              {gone ? "a.tombstone" : NULL, tombstones.data, tombstones.len}};
    image_repair(&f[0], repairs);
    image_repair(&f[1], repairs);
    struct tsm_fs fs = image_fs(f);
    check_shard(&fs, NULL);
    check_shard(&fs, &skip);
    tsm_free(f[0].p);
    tsm_free(f[1].p);
    tsm_buf_release(&tombstones);
    return 0;
}
