/* Entries of the raft log and snapshots as bytes: what goes in comes out, and nothing else is taken for one. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "cluster/entry.h"
#include "cluster/raft_node.h"
#include "cluster/snapshot.h"
#include "store/data_dir.h"
#include "temp_dir.h"
#include "base/banned.h"

/* ---- entries ---- */

static void parse(const char *lines, struct tsm_points *points)
{
    struct tsm_line_options opt = {.unit = 1};
    tsm_line_parse(tsm_str_of(lines), &opt, points, NULL, NULL);
}

static uint8_t *encode(const struct tsm_points *points, size_t from, size_t to, size_t *len)
{
    struct tsm_entry_encoder *e = tsm_entry_encoder_new();
    uint8_t *p = tsm_entry_batch(e, TSM_STR("db"), TSM_STR("rp"), points, from, to, len);
    tsm_entry_encoder_free(e);
    return p;
}

static void a_batch_comes_back(void **state)
{
    (void)state;
    struct tsm_points points = {0}, back = {0};
    struct tsm_raft_entry entry;
    struct tsm_buf unpacked = {0};
    size_t len;
    parse("m,t=a f=1.5,i=2i 10\nm,t=b s=\"x\",b=true 20\nn f=3 30\n", &points);
    assert_int_equal(points.n, 3);
    uint8_t *p = encode(&points, 1, 3, &len);
    assert_int_equal(len % TSM_RAFT_ALIGN, 0);
    assert_int_not_equal(p[0], 0);
    assert_int_equal(tsm_entry_decode(p, len, &entry, NULL), TSM_OK);
    assert_int_equal(entry.kind, TSM_ENTRY_BATCH);
    assert_true(tsm_str_eq(entry.db, TSM_STR("db")) && tsm_str_eq(entry.rp, TSM_STR("rp")));
    assert_int_equal(tsm_entry_points(&entry, &unpacked, &back, NULL), TSM_OK);
    assert_int_equal(back.n, 2);
    assert_true(tsm_str_eq(back.points[0].raw_key, TSM_STR("m,t=b")));
    assert_int_equal(back.points[0].time, 20);
    assert_int_equal(back.points[0].nfields, 2);
    assert_true(tsm_str_eq(back.fields[0].value.s, TSM_STR("x")));
    assert_true(back.fields[1].value.b);
    assert_true(tsm_str_eq(back.points[1].raw_key, TSM_STR("n")));
    assert_true(back.fields[back.points[1].first_field].value.f == 3);
    tsm_free(p);
    tsm_points_release(&points);
    tsm_points_release(&back);
    tsm_buf_release(&unpacked);
}

static void a_change_comes_back(void **state)
{
    (void)state;
    struct tsm_change c = {.text = TSM_STR("CREATE USER u WITH PASSWORD '[REDACTED]'"),
                           .database = TSM_STR("db"),
                           .now = -5,
                           .hash = TSM_STR("$2a$10$x")};
    struct tsm_raft_entry entry;
    size_t len;
    uint8_t *p = tsm_entry_change(&c, &len);
    assert_int_equal(len % TSM_RAFT_ALIGN, 0);
    assert_int_equal(tsm_entry_decode(p, len, &entry, NULL), TSM_OK);
    assert_int_equal(entry.kind, TSM_ENTRY_CHANGE);
    assert_true(tsm_str_eq(entry.change.text, c.text));
    assert_true(tsm_str_eq(entry.change.database, c.database));
    assert_true(tsm_str_eq(entry.change.hash, c.hash));
    assert_int_equal(entry.change.now, -5);
    tsm_free(p);
}

/* Whether the bytes are refused, as an entry or as points. */
static bool is_refused(const uint8_t *p, size_t len, struct tsm_err *err)
{
    struct tsm_raft_entry entry;
    struct tsm_points points = {0};
    struct tsm_buf unpacked = {0};
    int rc = tsm_entry_decode(p, len, &entry, err);
    if (rc == TSM_OK)
        rc = tsm_entry_points(&entry, &unpacked, &points, err);
    tsm_points_release(&points);
    tsm_buf_release(&unpacked);
    assert_true(rc == TSM_OK || rc == TSM_ECORRUPT);
    return rc != TSM_OK;
}

static void bytes_that_are_no_entry_are_refused(void **state)
{
    (void)state;
    struct tsm_points points = {0};
    struct tsm_err err = {0};
    size_t len;
    parse("m,t=a f=1.5 10\n", &points);
    uint8_t *p = encode(&points, 0, 1, &len);
    assert_false(is_refused(p, len, &err));
    for (size_t n = 0; n < len; n++)
        assert_true(is_refused(p, n, &err));
    static const struct {
        size_t at;
        uint8_t value;
        const char *cause;
    } faults[] = {
        {0, 2, "unknown version 2"}, {1, 9, "unknown kind 9"}, {2, 1, "a bad head"},
        {4, 1, "a bad length"},      {7, 3, "a bad length"},   {8, 0, "a bad name"},
        {8, 200, "a bad name"},      {11, 200, "a bad name"},  {14, 255, "a size that cannot be"},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        uint8_t before = p[faults[i].at];
        p[faults[i].at] = faults[i].value;
        assert_true(is_refused(p, len, &err));
        if (!strstr(err.msg, faults[i].cause) && faults[i].at != 14)
            fail_msg("%zu: %s", i, err.msg);
        p[faults[i].at] = before;
    }
    tsm_free(p);
    tsm_points_release(&points);
}

static void what_no_entry_can_hold_is_named(void **state)
{
    (void)state;
    struct tsm_field fields[] = {{TSM_STR("f"), TSM_FLOAT, {.f = INFINITY}},
                                 {TSM_STR(""), TSM_INTEGER, {.i = 1}}};
    struct tsm_points points = {.fields = fields, .nfields = 2};
    struct tsm_point p = {.raw_key = TSM_STR("m"), .nfields = 1, .text = TSM_STR("m f=inf")};
    struct tsm_buf why = {0};
    assert_false(tsm_entry_can_hold(&points, &p, &why));
    assert_string_equal(tsm_buf_cstr(&why), "unable to parse 'm f=inf': invalid number");
    tsm_buf_reset(&why);
    p.first_field = 1;
    assert_false(tsm_entry_can_hold(&points, &p, &why));
    fields[1].name = TSM_STR("g");
    assert_true(tsm_entry_can_hold(&points, &p, &why));
    char *key = tsm_alloc(TSM_KEY_MAX);
    memset(key, 'k', TSM_KEY_MAX);
    p.raw_key = tsm_str(key, TSM_KEY_MAX - 5);
    assert_true(tsm_entry_can_hold(&points, &p, &why));
    p.raw_key = tsm_str(key, TSM_KEY_MAX - 4);
    tsm_buf_reset(&why);
    assert_false(tsm_entry_can_hold(&points, &p, &why));
    assert_non_null(strstr(tsm_buf_cstr(&why), "max key length exceeded: 65536 > 65535"));
    tsm_free(key);
    tsm_buf_release(&why);
}

/* ---- snapshots ---- */

static void make_file(const char *dir, uint64_t shard, const char *name, const char *content)
{
    char *path = tsm_path_shard(dir, TSM_STR("db"), TSM_STR("autogen"), shard);
    assert_int_equal(tsm_fs_make_dirs(&tsm_fs_posix, path, NULL), TSM_OK);
    char *file = tsm_path_join(path, name);
    assert_int_equal(tsm_fs_write_file(&tsm_fs_posix, file, tsm_str_of(content), NULL), TSM_OK);
    tsm_free(file);
    tsm_free(path);
}

static void a_snapshot_lists_files_and_comes_back(void **state)
{
    (void)state;
    struct tsm_meta meta = {0};
    struct tsm_snapshot first = {0}, second = {0}, third = {0}, back;
    struct tsm_buf bytes = {0};
    bool created;
    assert_int_equal(tsm_meta_create_database(&meta, TSM_STR("db"), NULL, NULL), TSM_OK);
    struct tsm_rp *rp = tsm_meta_rp(tsm_meta_database(&meta, TSM_STR("db")), TSM_STR(""));
    uint64_t shard = tsm_meta_group_for(&meta, rp, 0, &created)->shards[0];
    tsm_meta_group_for(&meta, rp, (int64_t)1 << 60, &created); /* without a folder */
    make_file(temp_dir, shard, "000000001-000000001.tsm", "first");
    make_file(temp_dir, shard, "000000002-000000001.tsm", "second file");
    make_file(temp_dir, shard, "000000002-000000001.tombstone", "stone");
    make_file(temp_dir, shard, "000000003-000000001.tsm.bad", "bad");
    make_file(temp_dir, shard, "lock", "");
    assert_int_equal(tsm_snapshot_list(&tsm_fs_posix, temp_dir, &meta, NULL, 10, &first, NULL), TSM_OK);
    assert_int_equal(first.n, 1);
    assert_int_equal(first.shards[0].shard, shard);
    assert_int_equal(first.shards[0].n, 3);
    const struct tsm_snapshot_file *f = first.shards[0].files;
    assert_true(tsm_str_eq(f[0].name, TSM_STR("000000001-000000001.tsm")));
    assert_int_equal(f[0].size, 5);
    /* Ten bytes may be read: those of the two small ones. */
    assert_true(f[0].digest && f[1].digest && !f[2].digest);
    /* What is known is not read again, so the third has its turn. */
    assert_int_equal(tsm_snapshot_list(&tsm_fs_posix, temp_dir, &meta, &first, 11, &second, NULL), TSM_OK);
    assert_int_equal(second.shards[0].files[0].digest, f[0].digest);
    assert_true(second.shards[0].files[2].digest);
    /* Unless it has changed. */
    make_file(temp_dir, shard, "000000001-000000001.tsm", "changed");
    assert_int_equal(tsm_snapshot_list(&tsm_fs_posix, temp_dir, &meta, &second, 0, &third, NULL), TSM_OK);
    assert_int_equal(third.shards[0].files[0].digest, 0);
    assert_int_equal(third.shards[0].files[2].digest, second.shards[0].files[2].digest);

    second.index = 77;
    second.meta = TSM_STR("some bytes");
    tsm_snapshot_encode(&second, &bytes);
    assert_int_equal(tsm_snapshot_decode(bytes.data, bytes.len, &back, NULL), TSM_OK);
    assert_int_equal(back.index, 77);
    assert_true(tsm_str_eq(back.meta, second.meta));
    assert_int_equal(back.n, 1);
    assert_true(tsm_str_eq(back.shards[0].db, TSM_STR("db")) &&
                tsm_str_eq(back.shards[0].rp, TSM_STR("autogen")));
    assert_int_equal(back.shards[0].n, 3);
    for (size_t i = 0; i < 3; i++) {
        const struct tsm_snapshot_file *a = &second.shards[0].files[i], *b = &back.shards[0].files[i];
        assert_true(tsm_str_eq(a->name, b->name) && a->size == b->size && a->digest == b->digest &&
                    a->mtime == b->mtime);
    }
    tsm_snapshot_release(&back);
    for (size_t n = 0; n < bytes.len; n++)
        assert_int_equal(tsm_snapshot_decode(bytes.data, n, &back, NULL), TSM_ECORRUPT);
    tsm_buf_byte(&bytes, 0);
    assert_int_equal(tsm_snapshot_decode(bytes.data, bytes.len, &back, NULL), TSM_ECORRUPT);
    bytes.data[0] = 9;
    assert_int_equal(tsm_snapshot_decode(bytes.data, bytes.len, &back, NULL), TSM_ECORRUPT);
    tsm_snapshot_release(&first);
    tsm_snapshot_release(&second);
    tsm_snapshot_release(&third);
    tsm_buf_release(&bytes);
    tsm_meta_release(&meta);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_comes_back),
        cmocka_unit_test(a_change_comes_back),
        cmocka_unit_test(bytes_that_are_no_entry_are_refused),
        cmocka_unit_test(what_no_entry_can_hold_is_named),
        cmocka_unit_test_setup_teardown(a_snapshot_lists_files_and_comes_back, make_temp, remove_temp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
