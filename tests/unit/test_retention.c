/* tests/unit/test_retention.c: which shards have expired, and their removal, with every call of the disk failing once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "faulty_fs.h"
#include "shard_maker.h"
#include "temp_dir.h"

#include "base/alloc.h"
#include "base/time.h"
#include "format/tsm_file.h"
#include "store/data_dir.h"
#include "store/retention.h"

#define NOW (1000 * TSM_HOUR)
#define NONE tsm_str("", 0)

static void must(int rc, const struct tsm_err *err)
{
    if (rc)
        fail_msg("%s", err->msg);
}

static void make_shard(const char *rp, uint64_t shard, int files)
{
    struct tsm_err err;
    char *path = tsm_path_shard(temp_dir, TSM_STR("db"), tsm_str_of(rp), shard);
    char *wal = tsm_path_wal(temp_dir, TSM_STR("db"), tsm_str_of(rp), shard);
    must(tsm_fs_make_dirs(&tsm_fs_posix, path, &err), &err);
    must(tsm_fs_make_dirs(&tsm_fs_posix, wal, &err), &err);
    for (int i = 1; i <= files; i++) {
        char name[TSM_NAME_MAX];
        struct made_value v = {"m#!~#v", TSM_FLOAT, i, 1};
        tsm_file_name_format(name, (struct tsm_file_name){(uint32_t)i, 1}, ".tsm");
        make_file(path, name, &v, 1);
        make_tombstone(path, name, "m#!~#v", 5, 6);
    }
    tsm_free(path);
    tsm_free(wal);
}

/*
 * Policy "day" keeps a day: shard 1 ended two days ago; 2 an hour ago; 3 two days ago, but its group was truncated a month ago; 4
 * ended yesterday to the nanosecond, which is not before; 5 was deleted, and left its folder; 6 was, and left nothing. Policy
 * "ever" keeps everything: shard 7.
 */
static void make_data(void)
{
    struct tsm_meta m = {0};
    struct tsm_err err;
    int64_t day = TSM_DAY, hour = TSM_HOUR;
    bool created;
    must(tsm_fs_remove_tree(&tsm_fs_posix, temp_dir, &err), &err);
    must(tsm_fs_make_dirs(&tsm_fs_posix, temp_dir, &err), &err);
    struct tsm_rp_spec spec = {.name = TSM_STR("ever"), .shard_group_duration = &hour};
    must(tsm_meta_create_database(&m, TSM_STR("db"), &spec, &err), &err);
    spec = (struct tsm_rp_spec){.name = TSM_STR("day"), .duration = &day, .shard_group_duration = &hour};
    uint32_t one = 1;
    spec.replica_n = &one;
    must(tsm_meta_create_rp(&m, TSM_STR("db"), &spec, &err), &err);
    struct tsm_rp *rp = tsm_meta_rp(tsm_meta_database(&m, TSM_STR("db")), TSM_STR("day"));
    const int64_t ends[] = {NOW - 2 * TSM_DAY, NOW - TSM_HOUR,    NOW - 3 * TSM_DAY,
                            NOW - TSM_DAY,     NOW - 5 * TSM_DAY, NOW - 6 * TSM_DAY};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct tsm_shard_group *g = tsm_meta_group_for(&m, rp, ends[i] - 1, &created);
        assert_true(created);
        g->end = ends[i];
        g->start = ends[i] - TSM_HOUR;
        if (i == 2)
            g->truncated_at = NOW - 30 * TSM_DAY;
        if (i >= 4)
            g->deleted_at = NOW - TSM_HOUR;
        if (i < 5)
            make_shard("day", g->shards[0], 2);
    }
    rp = tsm_meta_rp(tsm_meta_database(&m, TSM_STR("db")), TSM_STR("ever"));
    make_shard("ever", tsm_meta_group_for(&m, rp, 5, &created)->shards[0], 1);
    must(tsm_meta_save(&tsm_fs_posix, temp_dir, &m, &err), &err);
    tsm_meta_release(&m);
}

static int find(const struct tsm_fs *fs, struct tsm_expired_shards *l, struct tsm_err *err)
{
    return tsm_retention_find(fs, temp_dir, NONE, NONE, NOW, l, err);
}

static void test_find(void **state)
{
    (void)state;
    struct tsm_expired_shards l;
    struct tsm_err err;
    make_data();
    must(find(&tsm_fs_posix, &l, &err), &err);
    assert_int_equal(l.n, 3);
    unsigned seen = 0;
    for (size_t i = 0; i < l.n; i++) {
        seen |= 1u << l.items[i].shard;
        assert_int_equal(l.items[i].files, 2);
        assert_true(l.items[i].bytes > 0);
        assert_int_equal(l.items[i].deleted, l.items[i].shard == 5);
    }
    assert_int_equal(seen, 1 << 1 | 1 << 3 | 1 << 5);
    assert_int_equal(l.prunable, 1);
    tsm_expired_shards_release(&l);
    must(tsm_retention_find(&tsm_fs_posix, temp_dir, TSM_STR("db"), TSM_STR("ever"), NOW, &l, &err), &err);
    assert_int_equal(l.n, 0);
    tsm_expired_shards_release(&l);
}

struct seen {
    int ok, locked, others;
};

static void on_done(void *ctx, const struct tsm_expired_shard *shard, int code, const struct tsm_err *err)
{
    struct seen *s = ctx;
    (void)shard;
    (void)err;
    *(code == TSM_OK ? &s->ok : code == TSM_ELOCKED ? &s->locked : &s->others) += 1;
}

/* Finds and removes; the code of the whole. */
static int run(const struct tsm_fs *fs, struct seen *seen, struct tsm_retention *r, struct tsm_err *err)
{
    struct tsm_expired_shards l;
    *seen = (struct seen){0};
    *r = (struct tsm_retention){
        .fs = fs, .dir = temp_dir, .holder = "test", .now = NOW, .done = on_done, .ctx = seen};
    int rc = find(fs, &l, err);
    if (rc == TSM_OK)
        rc = tsm_retention_run(r, l.items, l.n, err);
    tsm_expired_shards_release(&l);
    return rc;
}

static size_t groups(const char *rp, size_t *live)
{
    struct tsm_meta m;
    struct tsm_err err;
    must(tsm_meta_load(&tsm_fs_posix, temp_dir, &m, &err), &err);
    const struct tsm_rp *p = tsm_meta_rp(tsm_meta_database(&m, TSM_STR("db")), tsm_str_of(rp));
    size_t n = p->ngroups;
    *live = 0;
    for (size_t i = 0; i < n; i++)
        *live += p->groups[i].deleted_at == 0;
    tsm_meta_release(&m);
    return n;
}

static bool has(const char *rp, uint64_t shard, const char *file)
{
    char *path = tsm_path_shard(temp_dir, TSM_STR("db"), tsm_str_of(rp), shard),
         *inside = tsm_path_join(path, file);
    bool is = tsm_fs_exists(&tsm_fs_posix, inside);
    tsm_free(path);
    tsm_free(inside);
    return is;
}

static void check_live(void)
{
    assert_true(has("day", 2, "000000002-000000001.tsm"));
    assert_true(has("day", 4, "000000002-000000001.tsm"));
    assert_true(has("ever", 7, "000000001-000000001.tsm"));
}

static void check_end(void)
{
    size_t live;
    check_live();
    for (uint64_t shard = 1; shard <= 5; shard += 2)
        assert_false(has("day", shard, "."));
    assert_int_equal(groups("day", &live), 2);
    assert_int_equal(live, 2);
    assert_int_equal(groups("ever", &live), 1);
}

static void test_remove(void **state)
{
    (void)state;
    struct tsm_retention r;
    struct tsm_err err;
    struct seen seen;
    make_data();
    must(run(&tsm_fs_posix, &seen, &r, &err), &err);
    assert_int_equal(seen.ok, 3);
    assert_int_equal(r.removed, 3);
    assert_int_equal(r.pruned, 4);
    check_end();
    struct tsm_expired_shard not = {.db = TSM_STR("db"), .rp = TSM_STR("day"), .shard = 2, .files = 1};
    must(tsm_retention_run(&r, &not, 1, &err), &err);
    assert_int_equal(seen.others, 1);
    check_live();
}

static void test_locks(void **state)
{
    (void)state;
    struct tsm_retention r;
    struct tsm_err err;
    struct seen seen;
    struct tsm_lock writer, shard;
    size_t live;
    make_data();
    char *path = tsm_path_lock(temp_dir), *dir = tsm_path_shard(temp_dir, TSM_STR("db"), TSM_STR("day"), 1),
         *of_shard = tsm_path_shard_lock(dir);
    must(tsm_lock_take(&tsm_fs_posix, path, "writer", &writer, &err), &err);
    must(tsm_lock_take(&tsm_fs_posix, of_shard, "other", &shard, &err), &err);
    must(run(&tsm_fs_posix, &seen, &r, &err), &err);
    assert_true(r.writer);
    assert_int_equal(seen.ok, 2);
    assert_int_equal(seen.locked, 1);
    assert_true(has("day", 1, "000000001-000000001.tsm"));
    assert_true(has("day", 3, "."));
    assert_false(has("day", 3, "000000001-000000001.tsm"));
    assert_false(has("day", 3, "000000001-000000001.tombstone"));
    assert_int_equal(groups("day", &live), 6);
    assert_int_equal(live, 4);
    check_live();
    tsm_lock_release(&writer);
    must(run(&tsm_fs_posix, &seen, &r, &err), &err);
    assert_int_equal(seen.locked, 1);
    assert_int_equal(groups("day", &live),
                     3); /* that of the locked shard is marked: nobody looks at it any more */
    assert_int_equal(live, 2);
    tsm_lock_release(&shard);
    must(run(&tsm_fs_posix, &seen, &r, &err), &err);
    check_end();
    tsm_free(path);
    tsm_free(dir);
    tsm_free(of_shard);
}

/* Whatever fails: what has not expired stays, a group whose files are gone is marked, and the next run finishes. */
static void test_faults(void **state)
{
    (void)state;
    struct faulty_fs f;
    long n = 0;
    faulty_fs_init(&f);
    for (f.fail_at = 1;; f.fail_at++) {
        struct tsm_retention r;
        struct tsm_err err;
        struct seen seen;
        size_t live;
        make_data();
        f.calls = 0;
        int rc = run(&f.fs, &seen, &r, &err);
        check_live();
        groups("day", &live);
        assert_true(live == 4 || live == 2);
        for (uint64_t shard = 1; shard <= 3 && live == 4; shard += 2)
            assert_true(has("day", shard, "000000002-000000001.tsm"));
        if (f.calls < f.fail_at) {
            must(rc, &err);
            check_end();
            break;
        }
        n++;
        must(run(&tsm_fs_posix, &seen, &r, &err), &err);
        check_end();
    }
    assert_true(n > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_find, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_remove, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_locks, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_faults, make_temp, remove_temp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
