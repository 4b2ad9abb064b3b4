/* tests/unit/test_directory.c: a data directory as a backend: reading, changes and writes, alone and beside a live writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "engine_grid.h"
#include "query/directory.h"
#include "query/parser.h"
#include "store/data_dir.h"

static struct tsm_directory *open_directory(void)
{
    struct tsm_directory_options opt = {
        .fs = &tsm_fs_posix, .dir = temp_dir, .program = "test", .memory = 1 << 20, .jobs = 1};
    return tsm_directory_new(&opt);
}

static int change(struct tsm_directory *d, const char *database, const char *text, struct tsm_err *err)
{
    const struct tsm_backend *b = tsm_directory_backend(d);
    struct tsm_change c = {.text = tsm_str_of(text), .database = tsm_str_of(database), .now = START};
    return b->change(b->ctx, &c, err);
}

static void must_change(struct tsm_directory *d, const char *database, const char *text)
{
    struct tsm_err err;
    if (change(d, database, text, &err) != TSM_OK)
        fail_msg("%s: %s", text, err.msg);
}

static int write_lines(struct tsm_directory *d, const char *db, const char *rp, const char *lines,
                       struct tsm_err *err)
{
    const struct tsm_backend *b = tsm_directory_backend(d);
    struct tsm_points points = {0};
    struct tsm_line_options opt = {.unit = 1, .now = START};
    struct rejected rejected = {0};
    tsm_line_parse(tsm_str_of(lines), &opt, &points, count_rejected, &rejected);
    int rc = b->write(b->ctx, tsm_str_of(db), tsm_str_of(rp), &points, count_rejected, &rejected, err);
    assert_int_equal(rejected.n, 0);
    tsm_points_release(&points);
    return rc;
}

/* The keys of shard 1 of db.autogen; -1: there is no shard. */
static int keys(struct tsm_directory *d)
{
    const struct tsm_backend *b = tsm_directory_backend(d);
    struct tsm_shard *s;
    struct tsm_err err;
    int rc = b->open_shard(b->ctx, TSM_STR("db"), TSM_STR("autogen"), 1, NULL, &s, &err);
    if (rc == TSM_ENOTFOUND)
        return -1;
    assert_int_equal(rc, TSM_OK);
    assert_int_equal(s->id, 1);
    int n = (int)s->nkeys;
    b->close_shard(b->ctx, s);
    return n;
}

static void not_there(void **state)
{
    (void)state;
    remove_temp(NULL);
    struct tsm_directory *d = open_directory();
    const struct tsm_backend *b = tsm_directory_backend(d);
    struct tsm_meta m;
    struct tsm_err err;
    assert_int_equal(b->meta(b->ctx, &m, &err), TSM_ENOTFOUND);
    assert_int_equal(change(d, "", "DROP DATABASE db", &err), TSM_ENOTFOUND);
    assert_int_equal(change(d, "db", "DELETE FROM m", &err), TSM_ENOTFOUND);
    assert_false(tsm_fs_exists(&tsm_fs_posix, temp_dir));
    must_change(d, "", "CREATE DATABASE db");
    assert_int_equal(b->meta(b->ctx, &m, &err), TSM_OK);
    assert_int_equal(m.ndatabases, 1);
    tsm_meta_release(&m);
    assert_int_equal(tsm_directory_close(d, &err), TSM_OK);
}

/* What was written is seen at once, also by others, and is in files in the end. */
static void writes(void **state)
{
    (void)state;
    struct tsm_directory *d = open_directory(), *other = open_directory();
    struct tsm_err err;
    must_change(d, "", "CREATE DATABASE db");
    assert_int_equal(keys(d), -1);
    assert_int_equal(write_lines(d, "db", "", "m,h=1 v=1 1577836800000000000", &err), TSM_OK);
    assert_int_equal(keys(d), 1);
    assert_int_equal(write_lines(d, "db", "autogen", "m,h=2 v=1 1577836800000000000", &err), TSM_OK);
    assert_int_equal(keys(other), 2);
    assert_int_equal(count_files("data/db/autogen/1", ".tsm"), 0);
    assert_int_equal(write_lines(d, "db", "none", "m v=1 1", &err), TSM_EQUERY);
    assert_int_equal(write_lines(d, "none", "", "m v=1 1", &err), TSM_EQUERY);
    assert_int_equal(write_lines(other, "db", "", "m v=1 1", &err), TSM_ELOCKED);
    assert_int_equal(change(other, "", "CREATE DATABASE x", &err), TSM_ELOCKED);
    must_change(d, "db", "DELETE FROM m WHERE h = '1'"); /* gives the lock back as well */
    assert_int_equal(keys(d), 1);
    assert_int_equal(count_files("data/db/autogen/1", ".tsm"), 1);
    must_change(other, "", "CREATE DATABASE x");
    assert_int_equal(write_lines(d, "db", "", "m,h=3 v=1 1577836800000000000", &err), TSM_OK);
    assert_int_equal(tsm_directory_close(d, &err), TSM_OK);
    assert_int_equal(keys(other), 2);
    assert_int_equal(count_files("data/db/autogen/1", ".tsm"), 2);
    must_change(other, "", "DROP SHARD 1");
    assert_int_equal(keys(other), -1);
    assert_int_equal(tsm_directory_close(other, &err), TSM_OK);
    assert_int_equal(tsm_directory_close(NULL, &err), TSM_OK);
}

/* A writer with a log has the directory: deletes work, also on what only its log has; nothing else does. */
static void beside_a_writer(void **state)
{
    (void)state;
    struct tsm_engine_options opt = engine_options();
    struct tsm_engine *e;
    struct tsm_err err;
    opt.wal = true;
    assert_int_equal(tsm_engine_open(&tsm_fs_posix, &opt, &e, &err), TSM_OK);
    assert_int_equal(
        write_text(e, TSM_STR("m,h=1 v=1 1577836800000000000\nm,h=2 v=2 1577836800000000000"), NULL, &err),
        TSM_OK);
    struct tsm_directory *d = open_directory();
    assert_int_equal(keys(d), 2);
    must_change(d, "db", "DROP SERIES WHERE h = '1'");
    assert_int_equal(keys(d), 1);
    assert_int_equal(change(d, "", "DROP DATABASE db", &err), TSM_ELOCKED);
    assert_int_equal(change(d, "", "CREATE USER u WITH PASSWORD 'x'", &err), TSM_ELOCKED);
    assert_int_equal(change(d, "db", "DELETE FROM m WHERE v > 1", &err), TSM_EQUERY);
    assert_string_equal(err.msg, "shard 1: fields not supported in WHERE clause during deletion");
    assert_int_equal(tsm_engine_sync(e, &err), TSM_OK);
    tsm_engine_close(e);
    assert_int_equal(keys(d), 1);
    must_change(d, "", "DROP DATABASE db");
    must_change(d, "", "DROP DATABASE db");
    assert_int_equal(keys(d), -1);
    assert_int_equal(tsm_directory_close(d, &err), TSM_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(not_there, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(writes, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(beside_a_writer, make_temp, remove_temp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
