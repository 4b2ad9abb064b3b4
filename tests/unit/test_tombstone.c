/* tests/unit/test_tombstone.c: tombstone files of all versions, those that influxd wrote, and damaged ones.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "faulty_fs.h"
#include "format/tombstone.h"
#include "temp_dir.h"

#define GOLDEN "tests/unit/golden/"

static char path[96];

static int make_path(void **state)
{
    int r = make_temp(state);
    snprintf(path, sizeof path, "%s/t.tombstone", temp_dir);
    return r;
}

static void put_file(const void *p, size_t n)
{
    assert_int_equal(tsm_fs_write_file(&tsm_fs_posix, path, tsm_str(p, n), NULL), TSM_OK);
}

static void add_entry(struct tsm_buf *b, const char *key, int64_t tmin, int64_t tmax)
{
    size_t n = strlen(key);
    uint8_t *p = tsm_buf_room(b, n + 20);
    tsm_put_be32(p, (uint32_t)n);
    memcpy(p + 4, key, n);
    tsm_put_be64(p + 4 + n, (uint64_t)tmin);
    tsm_put_be64(p + 12 + n, (uint64_t)tmax);
    b->len += n + 20;
}

static void add_header(struct tsm_buf *b, uint32_t version)
{
    tsm_put_be32(tsm_buf_room(b, 4), version);
    b->len += 4;
}

static void add_gzip(struct tsm_buf *b, const struct tsm_buf *content)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t bound = deflateBound(&z, content->len);
    z.next_in = content->data;
    z.avail_in = (uInt)content->len;
    z.next_out = tsm_buf_room(b, bound);
    z.avail_out = (uInt)bound;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    b->len += bound - z.avail_out;
    deflateEnd(&z);
}

static void assert_item(const struct tsm_tombstones *t, size_t i, const char *key, int64_t tmin, int64_t tmax)
{
    assert_true(i < t->n);
    assert_true(tsm_str_eq(t->items[i].key, tsm_str_of(key)));
    assert_int_equal(t->items[i].tmin, tmin);
    assert_int_equal(t->items[i].tmax, tmax);
}

static void read_all(const char *from, struct tsm_tombstones *t)
{
    struct tsm_err err;
    if (tsm_tombstones_read(&tsm_fs_posix, from, t, &err) != TSM_OK)
        fail_msg("%s", err.msg);
}

static void ranges_are_sorted_and_joined(void **state)
{
    (void)state;
    struct tsm_tombstones t = {0};
    tsm_tombstones_add(&t, TSM_STR("b"), 10, 20);
    tsm_tombstones_add(&t, TSM_STR("b"), 15, 30);
    tsm_tombstones_add(&t, TSM_STR("a"), 5, 6);
    tsm_tombstones_add(&t, TSM_STR("b"), 31, 40);
    tsm_tombstones_add(&t, TSM_STR("b"), 50, INT64_MAX);
    tsm_tombstones_add(&t, TSM_STR("b"), 60, 70);
    tsm_tombstones_add(&t, TSM_STR("a"), INT64_MIN, 0);
    tsm_tombstones_add(&t, TSM_STR("b"), 1, 2);
    tsm_tombstones_add(&t, TSM_STR("ab"), 7, 7);
    tsm_tombstones_sort(&t);
    assert_int_equal(t.n, 6);
    assert_item(&t, 0, "a", INT64_MIN, 0);
    assert_item(&t, 1, "a", 5, 6);
    assert_item(&t, 2, "ab", 7, 7);
    assert_item(&t, 3, "b", 1, 2);
    assert_item(&t, 4, "b", 10, 40);
    assert_item(&t, 5, "b", 50, INT64_MAX);

    size_t from, to;
    tsm_tombstones_find(&t, TSM_STR("b"), &from, &to);
    assert_int_equal(from, 3);
    assert_int_equal(to, 6);
    tsm_tombstones_find(&t, TSM_STR("aa"), &from, &to);
    assert_int_equal(from, to);
    tsm_tombstones_find(&t, TSM_STR("c"), &from, &to);
    assert_int_equal(from, to);
    tsm_tombstones_release(&t);
    tsm_tombstones_sort(&t);
    tsm_tombstones_find(&t, TSM_STR("c"), &from, &to);
    assert_int_equal(from, to);
}

static void a_written_list_comes_back(void **state)
{
    (void)state;
    struct tsm_tombstones t = {0}, back;
    char key[200];
    for (int i = 0; i < 20000; i++) {
        snprintf(key, sizeof key, "measurement,host=server%d,region=somewhere#!~#value%d", i * 7919 % 20000,
                 i % 3);
        tsm_tombstones_add(&t, tsm_str_of(key), i * 1000, i * 1000 + 500);
    }
    tsm_tombstones_sort(&t);
    struct tsm_err err;
    assert_int_equal(tsm_tombstones_write(&tsm_fs_posix, path, &t, &err), TSM_OK);
    read_all(path, &back);
    assert_int_equal(back.n, t.n);
    for (size_t i = 0; i < t.n; i++) {
        assert_true(tsm_str_eq(back.items[i].key, t.items[i].key));
        assert_int_equal(back.items[i].tmin, t.items[i].tmin);
        assert_int_equal(back.items[i].tmax, t.items[i].tmax);
    }
    tsm_tombstones_release(&t);
    tsm_tombstones_release(&back);
    assert_int_equal(tsm_tombstones_write(&tsm_fs_posix, path, &t, &err), TSM_OK);
    read_all(path, &back);
    assert_int_equal(back.n, 0);
}

static void every_version_is_read(void **state)
{
    (void)state;
    struct tsm_buf b = {0}, entries = {0}, more = {0};
    struct tsm_tombstones t;

    const char *text = "m,a=1#!~#f\n\nm,a=2#!~#f\r\nm,a=0#!~#g";
    put_file(text, strlen(text));
    read_all(path, &t);
    assert_int_equal(t.n, 3);
    assert_item(&t, 0, "m,a=0#!~#g", INT64_MIN, INT64_MAX);
    assert_item(&t, 2, "m,a=2#!~#f", INT64_MIN, INT64_MAX);
    tsm_tombstones_release(&t);

    add_entry(&entries, "m#!~#b", -5, 5);
    add_entry(&entries, "m#!~#a", 1, 2);
    add_entry(&more, "m#!~#a", 2, 3);

    add_header(&b, 0x1502);
    tsm_buf_add(&b, entries.data, entries.len);
    put_file(b.data, b.len);
    read_all(path, &t);
    assert_int_equal(t.n, 2);
    assert_item(&t, 0, "m#!~#a", 1, 2);
    assert_item(&t, 1, "m#!~#b", -5, 5);
    tsm_tombstones_release(&t);

    tsm_buf_reset(&b);
    add_header(&b, 0x1503);
    add_gzip(&b, &entries);
    put_file(b.data, b.len);
    read_all(path, &t);
    assert_int_equal(t.n, 2);
    tsm_tombstones_release(&t);

    tsm_buf_reset(&b);
    add_header(&b, 0x1504);
    add_gzip(&b, &entries);
    add_gzip(&b, &more);
    put_file(b.data, b.len);
    read_all(path, &t);
    assert_int_equal(t.n, 2);
    assert_item(&t, 0, "m#!~#a", 1, 3);
    tsm_tombstones_release(&t);

    snprintf(path, sizeof path, "%s/none.tombstone", temp_dir);
    read_all(path, &t);
    assert_int_equal(t.n, 0);
    snprintf(path, sizeof path, "%s/t.tombstone", temp_dir);

    tsm_buf_release(&b);
    tsm_buf_release(&entries);
    tsm_buf_release(&more);
}

/* influxd's answer to DELETE FROM "m x" WHERE host='a' AND time >= … AND time <= … */
static void influxd_files_are_read(void **state)
{
    (void)state;
    const int64_t start = 1500000000000000000, second = 1000000000;
    struct tsm_tombstones t;
    read_all(GOLDEN "influxd-one-delete.tombstone", &t);
    assert_int_equal(t.n, 4);
    assert_item(&t, 0, "m\\ x,host=a,z=1#!~#b", start + 100 * second, start + 199 * second);
    assert_item(&t, 3, "m\\ x,host=a,z=1#!~#s", start + 100 * second, start + 199 * second);
    tsm_tombstones_release(&t);
    read_all(GOLDEN "influxd-two-deletes.tombstone", &t); /* the second one overlaps the first */
    assert_int_equal(t.n, 4);
    assert_item(&t, 1, "m\\ x,host=a,z=1#!~#f", start + 100 * second, start + 250 * second - 1);
    tsm_tombstones_release(&t);
    read_all(GOLDEN "influxd-drop.tombstone", &t);
    assert_int_equal(t.n, 8);
    assert_item(&t, 4, "m\\ x,host=b\\ c\\,d,z=1#!~#b", INT64_MIN, INT64_MAX);
    tsm_tombstones_release(&t);
}

static void assert_corrupt(const char *cause)
{
    struct tsm_tombstones t;
    struct tsm_err err;
    if (tsm_tombstones_read(&tsm_fs_posix, path, &t, &err) != TSM_ECORRUPT)
        fail_msg("taken, but: %s", cause);
    if (!strstr(err.msg, path) || !strstr(err.msg, cause) || !strstr(err.msg, ": offset "))
        fail_msg("'%s' does not say '%s'", err.msg, cause);
    assert_int_equal(t.n, 0);
}

/* influxd writes it for time > 5 AND time < 3. */
static void a_range_that_ends_before_it_starts_deletes_nothing(void **state)
{
    (void)state;
    struct tsm_buf b = {0};
    struct tsm_tombstones t;
    add_header(&b, 0x1502);
    add_entry(&b, "m#!~#a", 5, 3);
    add_entry(&b, "m#!~#b", 1, 2);
    put_file(b.data, b.len);
    read_all(path, &t);
    assert_int_equal(t.n, 1);
    assert_item(&t, 0, "m#!~#b", 1, 2);
    tsm_tombstones_release(&t);
    tsm_buf_release(&b);
}

static void damage_is_named(void **state)
{
    (void)state;
    struct tsm_buf b = {0}, entries = {0};
    put_file("", 0);
    assert_corrupt("the file is empty");
    put_file("hello\n", 6);
    assert_corrupt("neither a known version nor a text of keys");
    put_file("\0\0\x15\x05garbage", 11);
    assert_corrupt("neither a known version nor a text of keys");
    put_file("\0\0\x15\x03", 4);
    assert_corrupt("gzip data is cut short");
    put_file("\0\0\x15\x04", 4);
    assert_corrupt("gzip data is cut short");
    put_file("\0\0\x15\x04garbage", 11);
    assert_corrupt("gzip data does not check");
    put_file("\0\0\x15\x02\xff\xff\xff\xff", 8);
    assert_corrupt("key is too long");
    put_file("\0\0\x15\x02\0\0\0\0", 8);
    assert_corrupt("empty key");

    add_header(&b, 0x1502);
    add_entry(&b, "m#!~#a", 1, 2);
    put_file(b.data, b.len - 1);
    assert_corrupt("the last entry is cut short");
    put_file(b.data, 6);
    assert_corrupt("the last entry is cut short");

    tsm_buf_reset(&b);
    add_header(&b, 0x1504);
    add_entry(&entries, "m#!~#a", 1, 2);
    tsm_buf_byte(&entries, 0);
    add_gzip(&b, &entries);
    put_file(b.data, b.len);
    assert_corrupt("the last entry is cut short");
    tsm_buf_release(&b);
    tsm_buf_release(&entries);
}

/* A cut file is an error, and so is a flipped bit, unless the list is the same: a few bits of gzip's header
 * mean nothing. */
static void cuts_and_flips_are_detected(void **state)
{
    (void)state;
    struct tsm_buf file = {0};
    struct tsm_tombstones whole;
    read_all(GOLDEN "influxd-drop.tombstone", &whole);
    assert_int_equal(tsm_fs_read_file(&tsm_fs_posix, GOLDEN "influxd-drop.tombstone", 1000, &file, NULL),
                     TSM_OK);
    size_t members = 0;
    for (size_t n = 0; n < file.len; n++) {
        put_file(file.data, n);
        struct tsm_tombstones t;
        if (tsm_tombstones_read(&tsm_fs_posix, path, &t, NULL) == TSM_OK) {
            assert_true(memcmp(file.data + n, "\x1f\x8b", 2) == 0); /* the end of one delete */
            members++;
            tsm_tombstones_release(&t);
        }
    }
    assert_int_equal(members, 2);
    for (size_t bit = 0; bit < file.len * 8; bit++) {
        file.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        put_file(file.data, file.len);
        struct tsm_tombstones t;
        int r = tsm_tombstones_read(&tsm_fs_posix, path, &t, NULL);
        assert_true(r == TSM_OK || r == TSM_ECORRUPT);
        if (r == TSM_OK) {
            assert_int_equal(t.n, whole.n);
            for (size_t i = 0; i < t.n; i++)
                assert_true(tsm_str_eq(t.items[i].key, whole.items[i].key) &&
                            t.items[i].tmin == whole.items[i].tmin && t.items[i].tmax == whole.items[i].tmax);
        }
        tsm_tombstones_release(&t);
        file.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    tsm_tombstones_release(&whole);
    tsm_buf_release(&file);
}

/* A gzip bomb, and one that repeats an entry, take little memory or are refused. */
static void repeated_entries_take_no_memory(void **state)
{
    (void)state;
    struct tsm_buf b = {0}, entries = {0};
    for (int i = 0; i < 500000; i++)
        add_entry(&entries, "m#!~#a", 1, 2);
    add_header(&b, 0x1504);
    add_gzip(&b, &entries);
    put_file(b.data, b.len);
    struct tsm_tombstones t;
    read_all(path, &t);
    assert_int_equal(t.n, 1);
    assert_true(t.cap < 100);
    tsm_tombstones_release(&t);
    tsm_buf_release(&b);
    tsm_buf_release(&entries);
}

static void a_failing_disk_changes_nothing(void **state)
{
    (void)state;
    struct tsm_tombstones before = {0}, after = {0};
    tsm_tombstones_add(&before, TSM_STR("m#!~#a"), 1, 2);
    tsm_tombstones_add(&after, TSM_STR("m#!~#b"), 3, 4);
    assert_int_equal(tsm_tombstones_write(&tsm_fs_posix, path, &before, NULL), TSM_OK);
    struct faulty_fs f;
    faulty_fs_init(&f);
    f.error = ENOSPC;
    f.kinds = FAULTY_ALL & ~(unsigned)(FAULTY_UNLINK | FAULTY_CLOSE);
    int failures = 0;
    for (f.fail_at = 1; f.fail_at < 100; f.fail_at++) {
        f.calls = 0;
        struct tsm_err err;
        int r = tsm_tombstones_write(&f.fs, path, &after, &err);
        if (f.calls < f.fail_at) {
            assert_int_equal(r, TSM_OK);
            break;
        }
        assert_int_equal(r, TSM_ENOSPC);
        assert_non_null(strstr(err.msg, "No space left on device"));
        failures++;
        struct tsm_tombstones t;
        read_all(path, &t);
        assert_int_equal(t.n, 1);
        /* only the directory's fsync comes after the rename */
        if (t.items[0].tmin != 1)
            assert_non_null(strstr(err.msg, "directory"));
        tsm_tombstones_release(&t);
        char tmp[110];
        snprintf(tmp, sizeof tmp, "%s.tmp", path);
        assert_false(tsm_fs_exists(&tsm_fs_posix, tmp));
    }
    assert_in_range(failures, 4, 20); /* open, write, fsync, rename, and those of the directory */
    for (f.fail_at = 1; f.fail_at < 100; f.fail_at++) {
        f.calls = 0;
        struct tsm_tombstones t;
        int r = tsm_tombstones_read(&f.fs, path, &t, NULL);
        tsm_tombstones_release(&t);
        if (f.calls < f.fail_at)
            break;
        assert_int_equal(r, TSM_ENOSPC);
    }
    tsm_tombstones_release(&before);
    tsm_tombstones_release(&after);
}

static void the_path_is_beside_the_file(void **state)
{
    (void)state;
    char *p = tsm_tombstone_path("a.tsm/000000001-000000002.tsm");
    assert_string_equal(p, "a.tsm/000000001-000000002.tombstone");
    tsm_free(p);
    p = tsm_tombstone_path("copy");
    assert_string_equal(p, "copy.tombstone");
    tsm_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_sorted_and_joined),
        cmocka_unit_test(a_written_list_comes_back),
        cmocka_unit_test(every_version_is_read),
        cmocka_unit_test(influxd_files_are_read),
        cmocka_unit_test(a_range_that_ends_before_it_starts_deletes_nothing),
        cmocka_unit_test(damage_is_named),
        cmocka_unit_test(cuts_and_flips_are_detected),
        cmocka_unit_test(repeated_entries_take_no_memory),
        cmocka_unit_test(a_failing_disk_changes_nothing),
        cmocka_unit_test(the_path_is_beside_the_file),
    };
    return cmocka_run_group_tests(tests, make_path, remove_temp);
}
