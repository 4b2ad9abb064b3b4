/* tests/unit/test_tsm_file.c: TSM files: round trips, those that influxd wrote, and writing to a disk that fails. */
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
#include <cmocka.h>

#include "faulty_fs.h"
#include "format/series_key.h"
#include "temp_dir.h"
#include "tsm_content.h"

static char path[96];

static int make_path(void **state)
{
    int r = make_temp(state);
    snprintf(path, sizeof path, "%s/000000001-000000001.tsm", temp_dir);
    return r;
}

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
        cmocka_unit_test(a_failing_disk_leaves_nothing_behind),
        cmocka_unit_test(a_failing_disk_leaves_nothing_of_a_spilled_index),
    };
    return cmocka_run_group_tests(tests, make_path, remove_temp);
}
