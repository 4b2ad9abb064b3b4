/* tests/unit/test_tsm_file.c: TSM files: round trips, those that influxd wrote, and every kind of damage. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>
#include <zlib.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "codec/block.h"
#include "faulty_fs.h"
#include "format/series_key.h"
#include "format/tsm_reader.h"
#include "format/tsm_writer.h"
#include "temp_dir.h"

#define GOLDEN "tests/unit/golden/"

static char path[96];

static int make_path(void **state)
{
    int r = make_temp(state);
    snprintf(path, sizeof path, "%s/000000001-000000001.tsm", temp_dir);
    return r;
}

/* ---- a file in memory, in a mapping of exactly its size: a sanitizer sees every byte read too many -------
 */

static struct tsm_buf image;

static int memory_open(void *ctx, const char *name, int flags, mode_t mode)
{
    (void)mode;
    size_t n = strlen(name);
    return n > 4 && strcmp(name + n - 4, ".tsm") == 0 ? tsm_fs_posix.open(ctx, "/dev/null", flags, 0)
                                                      : -ENOENT;
}

static int memory_fstat(void *ctx, int fd, struct tsm_fs_stat *st)
{
    (void)ctx, (void)fd;
    *st = (struct tsm_fs_stat){.size = image.len};
    return 0;
}

static int memory_mmap(void *ctx, int fd, size_t size, const uint8_t **p)
{
    (void)ctx, (void)fd;
    *p = memcpy(tsm_alloc(size), image.data, size);
    return 0;
}

static int memory_munmap(void *ctx, const uint8_t *p, size_t size)
{
    (void)ctx, (void)size;
    tsm_free((void *)(uintptr_t)p);
    return 0;
}

static struct tsm_fs memory_fs(void)
{
    struct tsm_fs fs = tsm_fs_posix;
    fs.open = memory_open;
    fs.fstat = memory_fstat;
    fs.mmap = memory_mmap;
    fs.munmap = memory_munmap;
    return fs;
}

/* Opens image and decodes every block: the first error. */
static int read_image(struct tsm_err *err)
{
    struct tsm_fs fs = memory_fs();
    struct tsm_reader *r;
    int e = tsm_reader_open(&fs, "x.tsm", &r, err);
    if (e != TSM_OK) {
        assert_null(r);
        return e;
    }
    struct tsm_values v = {0};
    for (size_t i = 0; i < r->nkeys && e == TSM_OK; i++)
        for (size_t j = 0; j < tsm_reader_entries(r, i) && e == TSM_OK; j++) {
            struct tsm_entry entry = tsm_reader_entry(r, i, j);
            e = tsm_reader_decode(r, i, &entry, &v, err);
        }
    tsm_values_release(&v);
    tsm_reader_close(r);
    return e;
}

static void assert_image_corrupt(const char *cause)
{
    struct tsm_err err = {0};
    if (read_image(&err) != TSM_ECORRUPT)
        fail_msg("taken, but: %s", cause);
    if (!strstr(err.msg, "x.tsm: offset ") || !strstr(err.msg, cause))
        fail_msg("'%s' does not say '%s'", err.msg, cause);
}

static void load_image(const char *from)
{
    tsm_buf_reset(&image);
    assert_int_equal(tsm_fs_read_file(&tsm_fs_posix, from, 1 << 20, &image, NULL), TSM_OK);
}

/* ---- content ------------------------------------------------------------------------------------------ */

static union tsm_value value_of(enum tsm_type type, int64_t i)
{
    static char text[4][32];
    static unsigned turn;
    switch (type) {
    case TSM_FLOAT:
        return (union tsm_value){.f = (double)i * 0.25};
    case TSM_INTEGER:
        return (union tsm_value){.i = -i * 3};
    case TSM_BOOLEAN:
        return (union tsm_value){.b = i % 3 == 0};
    case TSM_UNSIGNED:
        return (union tsm_value){.u = (uint64_t)i << 40};
    default: {
        char *p = text[turn++ % 4];
        int n = snprintf(p, sizeof text[0], "text %lld", (long long)i % 5);
        return (union tsm_value){.s = tsm_str(p, (size_t)n)};
    }
    }
}

static bool same_value(enum tsm_type type, union tsm_value a, union tsm_value b)
{
    if (type == TSM_STRING)
        return tsm_str_eq(a.s, b.s);
    if (type == TSM_BOOLEAN)
        return a.b == b.b;
    return a.u == b.u;
}

enum { BLOCKS = 3 };

/* Key number i is of type i % 5 and has blocks of n values, the j-th value of all at (j + 1) * 10 seconds. */
static void key_text(char *out, size_t size, int i)
{
    snprintf(out, size, "m,host=server%04d#!~#v%d", i, i % 5);
}

static void fill(struct tsm_values *v, enum tsm_type type, int64_t from, int64_t n)
{
    tsm_values_reset(v, type, (size_t)n);
    for (int64_t j = from; j < from + n; j++)
        tsm_values_add(v, (j + 1) * 10000000000, value_of(type, j));
}

static int add_block(struct tsm_writer *w, const char *key, const struct tsm_values *v, struct tsm_err *err)
{
    struct tsm_buf block = {0};
    int r = tsm_block_encode(&block, v, 0, v->n, err);
    if (r == TSM_OK)
        r = tsm_writer_block(w, tsm_str_of(key), v->type, v->t[0], v->t[v->n - 1], block.data, block.len,
                             err);
    tsm_buf_release(&block);
    return r;
}

static bool with_origins; /* files are written with them */
static size_t index_memory = SIZE_MAX;

static const struct tsm_origin some_origins[] = {
    {{1, 1}, 1000, 0x0123456789abcdef},
    {{2, 7}, 1ull << 40, 5},
    {{UINT32_MAX, UINT32_MAX}, UINT64_MAX, UINT64_MAX},
};
enum { ORIGINS = 3 };

/* Writes keys * BLOCKS blocks; the writer's answer. */
static int write_file(const struct tsm_fs *fs, const char *to, int keys, int64_t n, struct tsm_err *err)
{
    struct tsm_writer *w;
    struct tsm_values v = {0};
    int r = tsm_writer_open(fs, to, &w, err);
    if (r != TSM_OK)
        return r;
    if (with_origins)
        tsm_writer_origins(w, some_origins, ORIGINS);
    tsm_writer_limit_memory(w, index_memory);
    for (int i = 0; i < keys && r == TSM_OK; i++) {
        char key[64];
        key_text(key, sizeof key, i);
        for (int64_t b = 0; b < BLOCKS && r == TSM_OK; b++) {
            fill(&v, (enum tsm_type)(i % 5), b * n, n);
            r = add_block(w, key, &v, err);
        }
    }
    tsm_values_release(&v);
    if (r == TSM_OK)
        return tsm_writer_install(w, err);
    tsm_writer_abandon(w);
    return r;
}

static struct tsm_reader *open_file(const char *from)
{
    struct tsm_reader *r;
    struct tsm_err err;
    if (tsm_reader_open(&tsm_fs_posix, from, &r, &err) != TSM_OK)
        fail_msg("%s", err.msg);
    return r;
}

/* ---- the tests ---------------------------------------------------------------------------------------- */

static void names_are_formatted_and_parsed(void **state)
{
    (void)state;
    char out[TSM_NAME_MAX];
    struct tsm_file_name n = {7, 2};
    tsm_file_name_format(out, n, ".tsm");
    assert_string_equal(out, "000000007-000000002.tsm");
    assert_true(tsm_file_name_parse(tsm_str_of(out), ".tsm", &n));
    assert_int_equal(n.generation, 7);
    assert_int_equal(n.level, 2);
    assert_true(tsm_file_name_parse(TSM_STR("500000001-4294967295.tsm.tmp"), ".tsm.tmp", &n));
    assert_int_equal(n.generation, TSM_FIRST_LATE_GENERATION);
    assert_int_equal(n.level, UINT32_MAX);
    assert_true(tsm_file_name_parse(TSM_STR("000001-01.tombstone"), ".tombstone", &n));
    static const char *const bad[] = {
        "",
        "-",
        "1",
        "1-",
        "1-1",
        "-1-1.tsm",
        "1-1.tsm1",
        "1-1.tsm.tmp",
        "x1-1.tsm",
        "1_1.tsm",
        "4294967296-1.tsm",
        "1-99999999999.tsm",
        "1-1 .tsm",
        "1-+1.tsm",
        "1--1.tsm",
        "1-1.TSM",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (tsm_file_name_parse(tsm_str_of(bad[i]), ".tsm", &n))
            fail_msg("'%s' was taken", bad[i]);
    tsm_file_name_format(out, (struct tsm_file_name){UINT32_MAX, UINT32_MAX}, ".tombstone.tmp");
    assert_string_equal(out, "4294967295-4294967295.tombstone.tmp");
}

static void files_come_back(void **state)
{
    (void)state;
    enum { KEYS = 50, N = 700 };
    struct tsm_err err;
    assert_int_equal(write_file(&tsm_fs_posix, path, KEYS, N, &err), TSM_OK);
    struct tsm_reader *r = open_file(path);
    assert_true(r->sealed);
    assert_int_equal(r->nkeys, KEYS);
    assert_int_equal(r->tmin, 10000000000);
    assert_int_equal(r->tmax, BLOCKS * N * 10000000000);
    struct tsm_values v = {0};
    for (int i = 0; i < KEYS; i++) {
        char key[64];
        key_text(key, sizeof key, i);
        bool found;
        assert_int_equal(tsm_reader_seek(r, tsm_str_of(key), &found), i);
        assert_true(found);
        assert_true(tsm_str_eq(tsm_reader_key(r, (size_t)i), tsm_str_of(key)));
        assert_int_equal(tsm_reader_seek(r, tsm_str(key, strlen(key) - 1), &found), i);
        assert_false(found);
        strcat(key, "x");
        assert_int_equal(tsm_reader_seek(r, tsm_str_of(key), &found), i + 1);
        assert_false(found);
        enum tsm_type type = (enum tsm_type)(i % 5);
        assert_int_equal(tsm_reader_type(r, (size_t)i), type);
        assert_int_equal(tsm_reader_entries(r, (size_t)i), BLOCKS);
        for (size_t b = 0; b < BLOCKS; b++) {
            struct tsm_entry e = tsm_reader_entry(r, (size_t)i, b);
            if (tsm_reader_decode(r, (size_t)i, &e, &v, &err) != TSM_OK)
                fail_msg("%s", err.msg);
            assert_int_equal(v.n, N);
            for (size_t j = 0; j < N; j++) {
                int64_t k = (int64_t)(b * N + j);
                assert_int_equal(v.t[j], (k + 1) * 10000000000);
                assert_true(same_value(type, tsm_values_get(&v, j), value_of(type, k)));
            }
        }
    }
    tsm_values_release(&v);
    tsm_reader_close(r);
    tsm_reader_close(NULL);
}

static void copied_blocks_give_the_same_file(void **state)
{
    (void)state;
    struct tsm_err err;
    assert_int_equal(write_file(&tsm_fs_posix, path, 10, 100, &err), TSM_OK);
    struct tsm_reader *r = open_file(path);
    char copy[110];
    snprintf(copy, sizeof copy, "%s/000000002-000000001.tsm", temp_dir);
    struct tsm_writer *w;
    assert_int_equal(tsm_writer_open(&tsm_fs_posix, copy, &w, &err), TSM_OK);
    assert_true(tsm_writer_empty(w));
    for (size_t i = 0; i < r->nkeys; i++)
        for (size_t j = 0; j < tsm_reader_entries(r, i); j++) {
            struct tsm_entry e = tsm_reader_entry(r, i, j);
            assert_int_equal(tsm_writer_copy(w, tsm_reader_key(r, i), tsm_reader_type(r, i), e.tmin, e.tmax,
                                             r->map.data + e.offset, e.size, &err),
                             TSM_OK);
        }
    assert_false(tsm_writer_empty(w));
    assert_int_equal(tsm_writer_size(w), r->map.size);
    assert_true(tsm_writer_memory(w) > r->index_size);
    assert_false(tsm_fs_exists(&tsm_fs_posix, copy));
    assert_int_equal(tsm_writer_install(w, &err), TSM_OK);
    struct tsm_reader *c = open_file(copy);
    assert_int_equal(c->map.size, r->map.size);
    assert_memory_equal(c->map.data, r->map.data, r->map.size);
    tsm_reader_close(c);
    tsm_reader_close(r);
}

static void origins_come_back(void **state)
{
    (void)state;
    struct tsm_err err;
    with_origins = true;
    assert_int_equal(write_file(&tsm_fs_posix, path, 5, 10, &err), TSM_OK);
    with_origins = false;
    struct tsm_reader *r = open_file(path);
    assert_true(r->sealed);
    assert_int_equal(r->norigins, ORIGINS);
    for (size_t i = 0; i < ORIGINS; i++) {
        assert_int_equal(r->origins[i].name.generation, some_origins[i].name.generation);
        assert_int_equal(r->origins[i].name.level, some_origins[i].name.level);
        assert_true(r->origins[i].size == some_origins[i].size);
        assert_true(r->origins[i].digest == some_origins[i].digest);
    }
    uint64_t index = r->index_offset;
    assert_true(tsm_reader_digest(r) == XXH3_64bits(r->map.data + index, r->map.size - index));
    tsm_reader_close(r);
    r = open_file(GOLDEN "influxd-types.tsm");
    assert_int_equal(r->norigins, 0);
    assert_true(tsm_reader_digest(r) ==
                XXH3_64bits(r->map.data + r->index_offset, r->map.size - r->index_offset));
    tsm_reader_close(r);
}

static void assert_same_file(const char *a, const char *b)
{
    struct tsm_buf x = {0}, y = {0};
    assert_int_equal(tsm_fs_read_file(&tsm_fs_posix, a, 1 << 26, &x, NULL), TSM_OK);
    assert_int_equal(tsm_fs_read_file(&tsm_fs_posix, b, 1 << 26, &y, NULL), TSM_OK);
    assert_int_equal(x.len, y.len);
    assert_memory_equal(x.data, y.data, x.len);
    tsm_buf_release(&x);
    tsm_buf_release(&y);
}

/* An index that does not fit its memory takes a way through a second file; the result is the same. */
static void an_index_may_spill(void **state)
{
    (void)state;
    struct tsm_err err;
    char other[110], spill[140], tmp[120];
    snprintf(other, sizeof other, "%s/000000007-000000002.tsm", temp_dir);
    snprintf(spill, sizeof spill, "%s.index.tmp", other);
    snprintf(tmp, sizeof tmp, "%s.tmp", other);
    assert_int_equal(write_file(&tsm_fs_posix, path, 9000, 2, &err), TSM_OK);
    static const size_t limits[] = {0, 1, 100, 5000, 300000, 1 << 20};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        index_memory = limits[i];
        assert_int_equal(write_file(&tsm_fs_posix, other, 9000, 2, &err), TSM_OK);
        assert_same_file(path, other);
        assert_false(tsm_fs_exists(&tsm_fs_posix, spill));
        assert_int_equal(tsm_fs_remove(&tsm_fs_posix, other, NULL), TSM_OK);
    }
    index_memory = SIZE_MAX;

    /* Abandoned, it leaves nothing; and what it takes of memory stays small. */
    struct tsm_writer *w;
    uint8_t block[] = {1, 2, 3, 4, 5, 6, 7, 8};
    assert_int_equal(tsm_writer_open(&tsm_fs_posix, other, &w, &err), TSM_OK);
    tsm_writer_limit_memory(w, 10000);
    for (int i = 0; i < 5000; i++) {
        char key[20];
        snprintf(key, sizeof key, "key %06d", i);
        assert_int_equal(tsm_writer_block(w, tsm_str_of(key), TSM_FLOAT, 1, 1, block, sizeof block, &err),
                         TSM_OK);
        assert_true(tsm_writer_memory(w) < 10000 + (1 << 20));
    }
    assert_true(tsm_fs_exists(&tsm_fs_posix, spill));
    assert_int_equal(tsm_writer_size(w), 5 + 5000 * 12 + 16 + 5000 * (5 + 10 + 28) + 8);
    tsm_writer_abandon(w);
    assert_false(tsm_fs_exists(&tsm_fs_posix, spill));
    assert_false(tsm_fs_exists(&tsm_fs_posix, tmp));
    assert_int_equal(tsm_fs_remove(&tsm_fs_posix, path, NULL), TSM_OK);
}

static void a_finished_file_can_be_looked_at_first(void **state)
{
    (void)state;
    struct tsm_err err;
    struct tsm_writer *w;
    const char *tmp;
    char copy[150];
    uint8_t block[] = {1, 2, 3, 4, 5, 6, 7, 8};
    for (int install = 0; install < 2; install++) {
        assert_int_equal(tsm_writer_open(&tsm_fs_posix, path, &w, &err), TSM_OK);
        assert_int_equal(tsm_writer_finish(w, &tmp, &err), TSM_ELIMIT); /* there is nothing in it */
        assert_int_equal(tsm_writer_block(w, TSM_STR("k"), TSM_FLOAT, 1, 1, block, sizeof block, &err),
                         TSM_OK);
        uint64_t size = tsm_writer_size(w);
        assert_int_equal(tsm_writer_finish(w, &tmp, &err), TSM_OK);
        snprintf(copy, sizeof copy, "%s", tmp);
        struct tsm_reader *r = open_file(tmp);
        assert_int_equal(r->nkeys, 1);
        assert_int_equal(r->map.size, size);
        tsm_reader_close(r);
        assert_false(tsm_fs_exists(&tsm_fs_posix, path));
        if (install)
            assert_int_equal(tsm_writer_install(w, &err), TSM_OK);
        else
            tsm_writer_abandon(w);
        assert_int_equal(tsm_fs_exists(&tsm_fs_posix, path), install);
        assert_false(tsm_fs_exists(&tsm_fs_posix, copy));
    }
    assert_int_equal(tsm_fs_remove(&tsm_fs_posix, path, NULL), TSM_OK);
}

static void the_writer_refuses_disorder(void **state)
{
    (void)state;
    struct tsm_err err;
    struct tsm_writer *w;
    uint8_t block[] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct tsm_str m = TSM_STR("m"), l = TSM_STR("l");
    char other[110], tmp[120];
    snprintf(other, sizeof other, "%s/000000009-000000001.tsm", temp_dir);
    snprintf(tmp, sizeof tmp, "%s.tmp", other);
    assert_int_equal(tsm_writer_open(&tsm_fs_posix, other, &w, &err), TSM_OK);
    assert_true(tsm_fs_exists(&tsm_fs_posix, tmp));
    assert_int_equal(tsm_writer_block(w, m, TSM_FLOAT, 10, 20, block, sizeof block, &err), TSM_OK);
    assert_int_equal(tsm_writer_block(w, m, TSM_FLOAT, 20, 30, block, sizeof block, &err), TSM_ECORRUPT);
    assert_int_equal(tsm_writer_block(w, m, TSM_INTEGER, 21, 30, block, sizeof block, &err), TSM_ECONFLICT);
    assert_int_equal(tsm_writer_block(w, l, TSM_FLOAT, 21, 30, block, sizeof block, &err), TSM_ECORRUPT);
    assert_int_equal(tsm_writer_block(w, m, TSM_FLOAT, 22, 21, block, sizeof block, &err), TSM_ELIMIT);
    assert_int_equal(tsm_writer_block(w, m, TSM_FLOAT, 21, 21, block, 0, &err), TSM_ELIMIT);
    assert_int_equal(tsm_writer_block(w, tsm_str("", 0), TSM_FLOAT, 1, 1, block, sizeof block, &err),
                     TSM_ELIMIT);
    static char longest[TSM_KEY_MAX + 1];
    memset(longest, 'x', sizeof longest);
    assert_int_equal(
        tsm_writer_block(w, tsm_str(longest, sizeof longest), TSM_FLOAT, 1, 1, block, sizeof block, &err),
        TSM_ELIMIT);
    assert_int_equal(
        tsm_writer_block(w, tsm_str(longest, TSM_KEY_MAX), TSM_FLOAT, 1, 1, block, sizeof block, &err),
        TSM_OK);
    tsm_writer_abandon(w);
    assert_false(tsm_fs_exists(&tsm_fs_posix, tmp));

    assert_int_equal(tsm_writer_open(&tsm_fs_posix, other, &w, &err), TSM_OK);
    for (int i = 0; i < TSM_MAX_ENTRIES; i++)
        assert_int_equal(tsm_writer_block(w, m, TSM_FLOAT, i, i, block, sizeof block, &err), TSM_OK);
    assert_int_equal(tsm_writer_block(w, m, TSM_FLOAT, 100000, 100000, block, sizeof block, &err),
                     TSM_ELIMIT);
    assert_int_equal(tsm_writer_install(w, &err), TSM_OK);
    struct tsm_reader *r = open_file(other);
    assert_int_equal(tsm_reader_entries(r, 0), TSM_MAX_ENTRIES);
    tsm_reader_close(r);
    assert_int_equal(tsm_fs_remove(&tsm_fs_posix, other, NULL), TSM_OK);

    assert_int_equal(tsm_writer_open(&tsm_fs_posix, other, &w, &err), TSM_OK);
    assert_int_equal(tsm_writer_install(w, &err), TSM_ELIMIT);
    assert_false(tsm_fs_exists(&tsm_fs_posix, other));
    assert_false(tsm_fs_exists(&tsm_fs_posix, tmp));
    tsm_writer_abandon(NULL);
}

/* What influxd wrote for f=k*0.5, i=k*k-1000, b=(k%5==0), s="text (k%7)" or "" at 1.5e18 + k seconds, k <
 * 1200. */
static void assert_influxd_value(char field, int64_t k, const struct tsm_values *v, size_t j)
{
    char text[16];
    assert_int_equal(v->t[j], 1500000000000000000 + k * 1000000000);
    switch (field) {
    case 'b':
        assert_int_equal(v->v.b[j], k % 5 == 0);
        break;
    case 'f':
        assert_true(v->v.f[j] == (double)k * 0.5);
        break;
    case 'i':
        assert_int_equal(v->v.i[j], k * k - 1000);
        break;
    default:
        snprintf(text, sizeof text, "text %d", (int)(k % 7));
        assert_true(tsm_str_eq(v->v.s[j], k % 3 ? tsm_str_of(text) : TSM_STR("")));
    }
}

static void influxd_files_are_read(void **state)
{
    (void)state;
    static const char fields[] = "bfis";
    static const enum tsm_type types[] = {TSM_BOOLEAN, TSM_FLOAT, TSM_INTEGER, TSM_STRING};
    struct tsm_values v = {0};
    struct tsm_err err;
    for (int compacted = 0; compacted < 2; compacted++) {
        struct tsm_reader *r = open_file(compacted ? GOLDEN "influxd-compacted.tsm"
                                                   : GOLDEN "influxd-types.tsm");
        assert_false(r->sealed);
        assert_int_equal(r->nkeys, compacted ? 4 : 8); /* compacted after DELETE and DROP SERIES */
        for (size_t i = 0; i < r->nkeys; i++) {
            struct tsm_str series, field;
            assert_true(tsm_key_split(tsm_reader_key(r, i), &series, &field));
            assert_true(tsm_str_eq(series, i < 4 ? TSM_STR("m\\ x,host=a,z=1")
                                                 : TSM_STR("m\\ x,host=b\\ c\\,d,z=1")));
            assert_int_equal(field.p[0], fields[i % 4]);
            assert_int_equal(tsm_reader_type(r, i), types[i % 4]);
            int64_t k = 0;
            for (size_t b = 0; b < tsm_reader_entries(r, i); b++) {
                struct tsm_entry e = tsm_reader_entry(r, i, b);
                if (tsm_reader_decode(r, i, &e, &v, &err) != TSM_OK)
                    fail_msg("%s", err.msg);
                for (size_t j = 0; j < v.n; j++, k++) {
                    if (compacted && k == 100)
                        k = 250;
                    assert_influxd_value(fields[i % 4], k, &v, j);
                }
            }
            assert_int_equal(k, 1200);
        }
        tsm_reader_close(r);
    }
    tsm_values_release(&v);
}

static void tombstones_beside_a_file_are_loaded(void **state)
{
    (void)state;
    char beside[110];
    snprintf(beside, sizeof beside, "%s/000000001-000000001.tombstone", temp_dir);
    struct tsm_err err;
    assert_int_equal(write_file(&tsm_fs_posix, path, 2, 5, &err), TSM_OK);
    struct tsm_tombstones t = {0};
    char keys[2][64];
    for (int i = 0; i < 2; i++) {
        key_text(keys[i], sizeof keys[i], i);
        tsm_tombstones_add(&t, tsm_str_of(keys[i]), i, 2);
    }
    tsm_tombstones_add(&t, TSM_STR("not a key of the file"), 1, 2);
    tsm_tombstones_add(&t, tsm_str_of(keys[0]), 7, 8);
    assert_int_equal(tsm_tombstones_write(&tsm_fs_posix, beside, &t, &err), TSM_OK);
    tsm_tombstones_release(&t);
    struct tsm_reader *r = open_file(path);
    assert_int_equal(r->tombstones.n, 3);
    const int64_t tmins[] = {0, 7, 1};
    for (int i = 0; i < 3; i++) {
        const struct tsm_tombstone *item = &r->tombstones.items[i];
        assert_true(item->key.p == tsm_reader_key(r, i / 2).p);
        assert_int_equal(item->tmin, tmins[i]);
    }
    tsm_reader_close(r);
    assert_int_equal(tsm_fs_write_file(&tsm_fs_posix, beside, TSM_STR("damaged"), &err), TSM_OK);
    assert_int_equal(tsm_reader_open(&tsm_fs_posix, path, &r, &err), TSM_ECORRUPT);
    assert_non_null(strstr(err.msg, beside));
    assert_null(r);
    assert_int_equal(tsm_reader_open_bare(&tsm_fs_posix, path, &r, &err), TSM_OK);
    tsm_reader_close(r);
    assert_int_equal(tsm_fs_remove(&tsm_fs_posix, beside, NULL), TSM_OK);
    assert_int_equal(tsm_reader_open(&tsm_fs_posix, "/nonexistent/a.tsm", &r, &err), TSM_ENOTFOUND);
}

/* A small sealed file with keys of every type. */
static void make_small_image(void)
{
    struct tsm_err err;
    assert_int_equal(write_file(&tsm_fs_posix, path, 5, 3, &err), TSM_OK);
    load_image(path);
    assert_int_equal(read_image(&err), TSM_OK);
}

static void every_flipped_bit_is_detected(void **state)
{
    (void)state;
    make_small_image();
    for (size_t bit = 0; bit < image.len * 8; bit++) {
        image.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        struct tsm_err err;
        if (read_image(&err) != TSM_ECORRUPT)
            fail_msg("bit %zu of byte %zu: not detected", bit % 8, bit / 8);
        if (!strstr(err.msg, "x.tsm: offset "))
            fail_msg("bit %zu of byte %zu: '%s'", bit % 8, bit / 8, err.msg);
        image.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void every_changed_byte_is_detected(void **state)
{
    (void)state;
    make_small_image();
    for (size_t i = 0; i < image.len; i++) {
        uint8_t was = image.data[i];
        static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
        for (size_t j = 0; j < sizeof values; j++) {
            image.data[i] = values[j];
            if (values[j] != was && read_image(NULL) != TSM_ECORRUPT)
                fail_msg("byte %zu as %02x: not detected", i, values[j]);
        }
        image.data[i] = was;
    }
}

static void every_cut_is_detected(void **state)
{
    (void)state;
    static const char *const files[] = {NULL, GOLDEN "influxd-compacted.tsm"};
    for (size_t f = 0; f < 2; f++) {
        if (files[f])
            load_image(files[f]);
        else
            make_small_image();
        size_t whole = image.len;
        for (image.len = 0; image.len < whole; image.len++)
            if (read_image(NULL) != TSM_ECORRUPT)
                fail_msg("cut at %zu of %zu: not detected", image.len, whole);
        /* nor may anything come after the end, or zeros in place of a tail */
        tsm_buf_byte(&image, 0);
        assert_int_equal(read_image(NULL), TSM_ECORRUPT);
        image.len = whole;
        memset(image.data + whole / 2, 0, whole - whole / 2);
        assert_int_equal(read_image(NULL), TSM_ECORRUPT);
    }
}

/* The same of a file that names its origins. */
static void damaged_origins_are_detected(void **state)
{
    with_origins = true;
    every_flipped_bit_is_detected(state);
    every_changed_byte_is_detected(state);
    every_cut_is_detected(state);
    with_origins = false;
}

static uint64_t index_of_image(void)
{
    return tsm_get_be64(image.data + image.len - 8);
}

/* Makes the seal fit whatever the index says now. */
static void seal_image(uint64_t index)
{
    tsm_put_be64(image.data + index - 8, XXH3_64bits(image.data + index, image.len - index));
}

/* Every number of the index in turn says something else, under a seal that fits. */
static void lying_numbers_are_detected(void **state)
{
    (void)state;
    make_small_image();
    uint64_t index = index_of_image();
    struct tsm_buf original = {0};
    tsm_buf_add(&original, image.data, image.len);
    static const uint64_t lies[] = {0,
                                    1,
                                    4,
                                    5,
                                    16,
                                    255,
                                    UINT16_MAX,
                                    INT32_MAX,
                                    UINT32_MAX,
                                    1ull << 40,
                                    INT64_MAX,
                                    1ull << 63,
                                    UINT64_MAX,
                                    UINT64_MAX - 7,
                                    UINT64_MAX - 27};
    size_t undetected = 0;
    for (size_t at = index; at < image.len; at++)
        for (size_t width = 1; width <= 8 && at + width <= image.len; width *= 2)
            for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
                memcpy(image.data, original.data, original.len);
                for (size_t b = 0; b < width; b++)
                    image.data[at + b] = (uint8_t)(lies[i] >> (8 * (width - 1 - b)));
                if (memcmp(image.data, original.data, image.len) == 0)
                    continue;
                seal_image(index);
                undetected += read_image(NULL) == TSM_OK;
            }
    /* Only another name for a key, still in order, can pass. */
    assert_true(undetected > 0);
    for (size_t bit = index * 8; bit < image.len * 8; bit++) {
        memcpy(image.data, original.data, original.len);
        image.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        seal_image(index);
        read_image(NULL);
    }
    tsm_buf_release(&original);
}

/* A file with one key "k", one block, and what the test makes of it. */
static uint64_t make_tiny_image(void)
{
    struct tsm_writer *w;
    struct tsm_values v = {0};
    assert_int_equal(tsm_writer_open(&tsm_fs_posix, path, &w, NULL), TSM_OK);
    fill(&v, TSM_INTEGER, 0, 4);
    assert_int_equal(add_block(w, "k", &v, NULL), TSM_OK);
    fill(&v, TSM_INTEGER, 4, 4);
    assert_int_equal(add_block(w, "k", &v, NULL), TSM_OK);
    assert_int_equal(add_block(w, "l", &v, NULL), TSM_OK);
    assert_int_equal(tsm_writer_install(w, NULL), TSM_OK);
    tsm_values_release(&v);
    load_image(path);
    return index_of_image();
}

static void each_fault_has_its_message(void **state)
{
    (void)state;
    uint64_t index = make_tiny_image();
    enum {
        KEY = 2,
        TYPE = 3,
        COUNT = 4,
        FIRST = 6,
        SECOND = FIRST + TSM_ENTRY_SIZE,
        NEXT = SECOND + TSM_ENTRY_SIZE
    };
    static const struct {
        size_t at; /* in the index */
        size_t width;
        uint64_t value;
        const char *cause;
    } faults[] = {
        {0, 2, 0, "index record with an empty key"},
        {0, 2, 65535, "index record is cut short"},
        {KEY, 1, 'l', "keys of the index are out of order"},
        {KEY, 1, 'm', "keys of the index are out of order"},
        {TYPE, 1, 5, "index record of an unknown type"},
        {TYPE, 1, 0, "block: type differs from the index"},
        {COUNT, 2, 0, "index record without entries"},
        {COUNT, 2, 65535, "index record is cut short"},
        {FIRST, 8, 1, "block: first or last time differs from the index"},
        {FIRST, 8, INT64_MAX, "index entry ends before it starts"},
        {SECOND, 8, 1, "index entries of one key are out of order"},
        {SECOND + 8, 8, INT64_MAX, "block: first or last time differs from the index"},
        {FIRST + 16, 8, 4, "index entry points outside the blocks"},
        {FIRST + 16, 8, 6, "block: checksum mismatch"},
        {FIRST + 16, 8, UINT64_MAX, "index entry points outside the blocks"},
        {FIRST + 24, 4, UINT32_MAX, "index entry points outside the blocks"},
        {FIRST + 24, 4, 7, "index entry with a block that is too small"},
        {FIRST + 24, 4, 9, "block: checksum mismatch"},
        {NEXT, 2, 2, "index record is cut short"},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        make_tiny_image();
        for (size_t b = 0; b < faults[i].width; b++)
            image.data[index + faults[i].at + b] = (uint8_t)(faults[i].value >>
                                                             (8 * (faults[i].width - 1 - b)));
        assert_image_corrupt(faults[i].at == NEXT ? faults[i].cause : "");
        seal_image(index);
        assert_image_corrupt(faults[i].cause);
    }
}

static void the_frame_is_checked(void **state)
{
    (void)state;
    uint64_t index = make_tiny_image();
    image.len = 0;
    assert_image_corrupt("offset 0: the file is empty");
    image.len = 4;
    assert_image_corrupt("offset 4: the file is cut short");
    image.data[0] = 'P';
    assert_image_corrupt("offset 0: not a TSM file");
    make_tiny_image();
    image.data[4] = 2;
    assert_image_corrupt("offset 4: format version 2 is not known");

    static const uint64_t wrong[] = {0, 5, UINT64_MAX, INT64_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        make_tiny_image();
        tsm_put_be64(image.data + image.len - 8, wrong[i]);
        assert_image_corrupt("is outside the file");
    }
    make_tiny_image();
    image.data[index - 16] ^= 1;
    assert_image_corrupt("neither a block nor a seal before the index");
    make_tiny_image();
    image.data[index - 1] ^= 1;
    assert_image_corrupt("the index does not match its seal");

    /* The seal taken out: a file as influxd writes it. */
    make_tiny_image();
    memmove(image.data + index - 16, image.data + index, image.len - index);
    image.len -= 16;
    tsm_put_be64(image.data + image.len - 8, index - 16);
    assert_int_equal(read_image(NULL), TSM_OK);
    struct tsm_fs fs = memory_fs();
    struct tsm_reader *r;
    assert_int_equal(tsm_reader_open(&fs, "x.tsm", &r, NULL), TSM_OK);
    assert_false(r->sealed);
    tsm_reader_close(r);
}

/* Origins that their own checksum confirms, under a seal that fits, and yet are none. */
static void lying_origins_are_detected(void **state)
{
    (void)state;
    static const struct {
        size_t at, width;
        uint64_t value;
        const char *cause;
    } faults[] = {
        {0, 1, 'X', "neither a block nor a seal before the index"},
        {8, 4, 0, "origins: their number does not fit their size"},
        {8, 4, ORIGINS - 1, "origins: their number does not fit their size"},
        {8, 4, ORIGINS + 1, "origins: their number does not fit their size"},
        {8, 4, UINT32_MAX, "origins: their number does not fit their size"},
        {20, 1, 77, NULL}, /* another origin: nothing can tell */
    };
    enum { SIZE = TSM_ORIGINS_SIZE + ORIGINS * TSM_ORIGIN_SIZE };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        with_origins = true;
        make_small_image();
        with_origins = false;
        uint8_t *p = image.data + index_of_image() - TSM_SEAL_SIZE - SIZE;
        for (size_t b = 0; b < faults[i].width; b++)
            p[faults[i].at + b] = (uint8_t)(faults[i].value >> (8 * (faults[i].width - 1 - b)));
        assert_image_corrupt(i == 0 ? faults[i].cause : "origins: ");
        tsm_put_be64(p + SIZE - 8, XXH3_64bits(p, SIZE - 8));
        if (faults[i].cause)
            assert_image_corrupt(faults[i].cause);
        else
            assert_int_equal(read_image(NULL), TSM_OK);
    }
    /* Without a seal behind them they are a fault. */
    with_origins = true;
    make_small_image();
    with_origins = false;
    uint64_t index = index_of_image();
    memmove(image.data + index - 16, image.data + index, image.len - index);
    image.len -= 16;
    tsm_put_be64(image.data + image.len - 8, index - 16);
    assert_image_corrupt("neither a block nor a seal before the index");
}

/* The checksum is right, the block is not. */
static void damage_under_a_right_checksum_is_detected(void **state)
{
    (void)state;
    make_small_image();
    struct tsm_fs fs = memory_fs();
    struct tsm_buf original = {0};
    tsm_buf_add(&original, image.data, image.len);
    struct tsm_reader *r;
    assert_int_equal(tsm_reader_open(&fs, "x.tsm", &r, NULL), TSM_OK);
    size_t detected = 0;
    for (size_t i = 0; i < r->nkeys; i++) {
        struct tsm_entry e = tsm_reader_entry(r, i, 1);
        for (size_t at = e.offset + 4; at < e.offset + e.size; at++)
            for (unsigned bit = 0; bit < 8; bit++) {
                memcpy(image.data, original.data, original.len);
                image.data[at] ^= (uint8_t)(1 << bit);
                uint32_t crc = (uint32_t)crc32(0, image.data + e.offset + 4, e.size - 4);
                tsm_put_be32(image.data + e.offset, crc);
                detected += read_image(NULL) != TSM_OK;
            }
    }
    assert_true(detected > 100); /* the others gave other values: nothing can tell */
    tsm_reader_close(r);
    tsm_buf_release(&original);
}

static void a_failing_disk_leaves_nothing_behind(void **state)
{
    (void)state;
    char to[110], tmp[120];
    snprintf(to, sizeof to, "%s/000000005-000000001.tsm", temp_dir);
    snprintf(tmp, sizeof tmp, "%s.tmp", to);
    assert_int_equal(tsm_fs_remove(&tsm_fs_posix, to, NULL), TSM_OK);
    struct faulty_fs f;
    faulty_fs_init(&f);
    f.kinds = FAULTY_ALL & ~(unsigned)FAULTY_UNLINK;
    f.error = ENOSPC;
    int failures = 0;
    for (f.fail_at = 1; f.fail_at < 1000; f.fail_at++) {
        f.calls = 0;
        struct tsm_err err = {0};
        int r = write_file(&f.fs, to, 20, 100, &err);
        if (f.calls < f.fail_at) {
            assert_int_equal(r, TSM_OK);
            break;
        }
        assert_false(tsm_fs_exists(&tsm_fs_posix, tmp));
        if (r == TSM_OK) { /* closing the directory failed, or a spilled index that has been read back */
            assert_int_equal(tsm_fs_remove(&tsm_fs_posix, to, NULL), TSM_OK);
            continue;
        }
        failures++;
        assert_int_equal(r, TSM_ENOSPC);
        assert_non_null(strstr(err.msg, "No space left on device"));
        if (tsm_fs_exists(&tsm_fs_posix,
                          to)) { /* only when the directory could not be fsynced after the rename */
            assert_non_null(strstr(err.msg, "directory"));
            assert_int_equal(tsm_fs_remove(&tsm_fs_posix, to, NULL), TSM_OK);
        }
    }
    assert_in_range(failures, 6, 100);
    struct tsm_reader *r = open_file(to);
    tsm_reader_close(r);
    if (index_memory != SIZE_MAX)
        return;

    f.fail_at = 0;
    f.short_write = 1000;
    assert_int_equal(tsm_fs_remove(&tsm_fs_posix, to, NULL), TSM_OK);
    assert_int_equal(write_file(&f.fs, to, 20, 100, NULL), TSM_OK);
    r = open_file(to);
    tsm_reader_close(r);
    f.short_write = 0;

    f.kinds = FAULTY_OPEN | FAULTY_READ;
    f.error = EIO;
    for (f.fail_at = 1; f.fail_at < 100; f.fail_at++) {
        f.calls = 0;
        int e = tsm_reader_open(&f.fs, to, &r, NULL);
        if (f.calls < f.fail_at) {
            assert_int_equal(e, TSM_OK);
            break;
        }
        assert_int_equal(e, TSM_EIO);
        assert_null(r);
    }
    tsm_reader_close(r);
}

static void a_failing_disk_leaves_nothing_of_a_spilled_index(void **state)
{
    index_memory = 500;
    a_failing_disk_leaves_nothing_behind(state);
    index_memory = SIZE_MAX;
    char spill[140];
    snprintf(spill, sizeof spill, "%s/000000005-000000001.tsm.index.tmp", temp_dir);
    assert_false(tsm_fs_exists(&tsm_fs_posix, spill));
}

static int release_image(void **state)
{
    tsm_buf_release(&image);
    return remove_temp(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_formatted_and_parsed),
        cmocka_unit_test(files_come_back),
        cmocka_unit_test(copied_blocks_give_the_same_file),
        cmocka_unit_test(origins_come_back),
        cmocka_unit_test(an_index_may_spill),
        cmocka_unit_test(a_finished_file_can_be_looked_at_first),
        cmocka_unit_test(the_writer_refuses_disorder),
        cmocka_unit_test(influxd_files_are_read),
        cmocka_unit_test(tombstones_beside_a_file_are_loaded),
        cmocka_unit_test(every_flipped_bit_is_detected),
        cmocka_unit_test(every_changed_byte_is_detected),
        cmocka_unit_test(every_cut_is_detected),
        cmocka_unit_test(damaged_origins_are_detected),
        cmocka_unit_test(lying_origins_are_detected),
        cmocka_unit_test(lying_numbers_are_detected),
        cmocka_unit_test(each_fault_has_its_message),
        cmocka_unit_test(the_frame_is_checked),
        cmocka_unit_test(damage_under_a_right_checksum_is_detected),
        cmocka_unit_test(a_failing_disk_leaves_nothing_behind),
        cmocka_unit_test(a_failing_disk_leaves_nothing_of_a_spilled_index),
    };
    return cmocka_run_group_tests(tests, make_path, release_image);
}
