/*
 * tests/unit/test_damage.c: a data directory with any one bit flipped, any file cut anywhere, and a disk on
 * which any call fails: every query gives the right answer or names the damage; never another answer.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/time.h"
#include "result/writer.h"
#include "faulty_fs.h"
#include "format/tombstone.h"
#include "query/query.h"
#include "store/engine.h"

#define N(array) (sizeof(array) / sizeof *(array))
#define START 1577836800 /* seconds; 2020-01-01, a Wednesday: shards start on Mondays */

static char dir[64];

/* Every way of reading: all values; counts, which need no values; folds; keys alone; meta.db alone. */
static const char *const queries[] = {
    "SELECT * FROM /./",
    "SELECT count(*) FROM /./",
    "SELECT sum(i), mean(f), max(u), first(s), last(b) FROM m GROUP BY time(1w), host",
    "SELECT last(f) FROM m",
    "SHOW SERIES; SHOW FIELD KEYS; SHOW TAG VALUES WITH KEY = host",
    "SHOW DATABASES; SHOW RETENTION POLICIES",
};

static const char *const files[] = {
    "data/db/autogen/1/000000001-000000001.tsm",
    "data/db/autogen/1/000000001-000000001.tombstone",
    "data/db/autogen/1/500000001-000000001.tsm",
    "data/db/autogen/2/000000001-000000001.tsm",
    "meta/meta.db",
};

/* ---- the directory ---- */

static const char *at(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void on_reject(void *ctx, uint32_t line, struct tsm_str text, const char *cause)
{
    (void)ctx, (void)line;
    fail_msg("%.*s: %s", (int)text.n, text.p, cause);
}

static void write_lines(struct tsm_buf *text)
{
    struct tsm_engine_options opt = {.dir = dir, .database = TSM_STR("db"), .holder = "test", .jobs = 1};
    struct tsm_line_options line = {.unit = TSM_SEC};
    struct tsm_points points = {0};
    struct tsm_engine *e;
    struct tsm_err err;
    tsm_line_parse(tsm_buf_view(text), &line, &points, on_reject, NULL);
    if (tsm_engine_open(&tsm_fs_posix, &opt, &e, &err) != TSM_OK ||
        tsm_engine_write(e, &points, on_reject, NULL, &err) != TSM_OK || tsm_engine_sync(e, &err) != TSM_OK)
        fail_msg("%s", err.msg);
    tsm_engine_close(e);
    tsm_points_release(&points);
    tsm_buf_reset(text);
}

/* Two shards, all types, a key with two blocks, an out-of-order file that overlaps, a tombstone. */
static int make_directory(void **state)
{
    (void)state;
    struct tsm_buf text = {0};
    snprintf(dir, sizeof dir, "%s/tsmkit-test-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(dir))
        return -1;
    for (int i = 0; i < 12; i++) {
        int t = START + i * 60 + (i % 5 == 0);
        tsm_buf_printf(&text, "m,host=h%d f=%d.25,i=%di,b=%s,s=\"text %d\",u=%du %d\n", i % 2, i * i, 7 - i,
                       i % 3 ? "true" : "false", i, 1000 * i, t);
        tsm_buf_printf(&text, "m,host=h%d f=%d,i=%di %d\n", i % 2, i, i, t + 7 * 86400);
    }
    for (int i = 0; i < 1100; i++)
        tsm_buf_printf(&text, "long i=%di %d\n", i, START + i);
    write_lines(&text);
    for (int i = 0; i < 4; i++)
        tsm_buf_printf(&text, "m,host=h1 f=%d.5,s=\"late\" %d\n", -i, START + 60 + i * 120);
    write_lines(&text);
    tsm_buf_release(&text);

    struct tsm_tombstones gone = {0};
    struct tsm_err err;
    tsm_tombstones_add(&gone, TSM_STR("long#!~#i"), (START + 10) * TSM_SEC, (START + 1090) * TSM_SEC);
    tsm_tombstones_add(&gone, TSM_STR("m,host=h0#!~#u"), INT64_MIN, (START + 60) * TSM_SEC);
    int rc = tsm_tombstones_write(&tsm_fs_posix, at(files[1]), &gone, &err);
    tsm_tombstones_release(&gone);
    return rc;
}

static int remove_directory(void **state)
{
    (void)state;
    return tsm_fs_remove_tree(&tsm_fs_posix, dir, NULL);
}

/* ---- asking ---- */

static int ask(const struct tsm_fs *fs, const char *query, const struct tsm_damage *damage,
               struct tsm_buf *answer, struct tsm_err *err)
{
    struct tsm_query_options opt = {.fs = fs,
                                    .dir = dir,
                                    .database = TSM_STR("db"),
                                    .now = START * TSM_SEC,
                                    .jobs = 1,
                                    .memory = 64 << 20};
    struct tsm_result_options form = {.format = TSM_FORMAT_JSON};
    struct tsm_output out = {.fd = -1, .limit = SIZE_MAX};
    uint64_t rows;
    if (damage)
        opt.damage = *damage;
    *err = (struct tsm_err){0};
    struct tsm_sink *sink = tsm_result_writer_new(&form, &out);
    int rc = tsm_query_run(&opt, tsm_str_of(query), sink, &rows, err);
    int finished = tsm_result_writer_finish(sink, NULL);
    assert_true(finished == TSM_OK || rc != TSM_OK);
    tsm_buf_reset(answer);
    tsm_buf_str(answer, tsm_buf_view(&out.buf));
    tsm_output_release(&out);
    return rc;
}

static struct tsm_buf right[N(queries)];

static void find_right_answers(void)
{
    struct tsm_err err;
    for (size_t i = 0; i < N(queries); i++)
        if (ask(&tsm_fs_posix, queries[i], NULL, &right[i], &err) != TSM_OK)
            fail_msg("%s: %s", queries[i], err.msg);
    assert_non_null(strstr(tsm_buf_cstr(&right[0]), "late"));
}

static void forget_answers(void)
{
    for (size_t i = 0; i < N(queries); i++)
        tsm_buf_release(&right[i]);
}

/* True when the damage was named; it fails when there is a wrong answer. what and where are for messages. */
static bool is_found(size_t query, const char *file, const char *what, size_t where)
{
    static struct tsm_buf answer;
    struct tsm_err err;
    int rc = ask(&tsm_fs_posix, queries[query], NULL, &answer, &err);
    if (rc == TSM_OK && !tsm_str_eq(tsm_buf_view(&answer), tsm_buf_view(&right[query])))
        fail_msg("%s, %s %zu: '%s' gives a wrong answer: %.2000s", file, what, where, queries[query],
                 tsm_buf_cstr(&answer));
    if (rc != TSM_OK && (rc != TSM_ECORRUPT || !strstr(err.msg, file) || !strstr(err.msg, ": offset ")))
        if (rc != TSM_ECORRUPT || !strstr(err.msg, file) || !strstr(err.msg, "the file is empty"))
            fail_msg("%s, %s %zu: '%s': %d: %s", file, what, where, queries[query], rc, err.msg);
    tsm_buf_release(&answer);
    return rc != TSM_OK;
}

static void replace(const char *name, struct tsm_str bytes)
{
    FILE *f = fopen(at(name), "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes.p, 1, bytes.n, f), bytes.n);
    assert_int_equal(fclose(f), 0);
}

/* ---- the tests ---- */

static void on_damage(void *ctx, const char *message)
{
    struct tsm_str *file = ctx; /* that is damaged; afterwards empty */
    assert_non_null(memmem(message, strlen(message), file->p, file->n));
    file->n = 0;
}

/* What is damaged may be left out: then there is an answer, and the damage is named all the same. */
static void check_skipping(const char *file, size_t where)
{
    struct tsm_str name = tsm_str_of(file);
    struct tsm_damage damage = {true, on_damage, &name};
    struct tsm_buf answer = {0};
    struct tsm_err err;
    bool found = is_found(0, file, "bit", where);
    if (ask(&tsm_fs_posix, queries[0], &damage, &answer, &err) != TSM_OK)
        fail_msg("%s, %zu: not left out: %s", file, where, err.msg);
    assert_int_equal(found, name.n == 0);
    assert_true(found || tsm_str_eq(tsm_buf_view(&answer), tsm_buf_view(&right[0])));
    assert_non_null(strstr(tsm_buf_cstr(&answer), "\"values\":[["));
    tsm_buf_release(&answer);
}

/* Some bits of a gzip header, and what fills up its last byte, mean nothing. */
static bool every_bit_counts(const char *file)
{
    return !strstr(file, ".tombstone");
}

static void every_bit(void **state)
{
    (void)state;
    find_right_answers();
    for (size_t i = 0; i < N(files); i++) {
        struct tsm_buf bytes = {0};
        struct tsm_err err;
        assert_int_equal(tsm_fs_read_file(&tsm_fs_posix, at(files[i]), 1 << 20, &bytes, &err), TSM_OK);
        for (size_t bit = 0; bit < bytes.len * 8; bit++) {
            size_t found = 0;
            bytes.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            replace(files[i], tsm_buf_view(&bytes));
            for (size_t q = 0; q < N(queries); q++)
                found += is_found(q, files[i], "bit", bit);
            /* The first query reads everything. */
            if (!found && every_bit_counts(files[i]))
                fail_msg("%s, bit %zu: nobody has found it", files[i], bit);
            if (bit % 11 == 0 && strcmp(files[i], "meta/meta.db") != 0)
                check_skipping(files[i], bit);
            bytes.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        }
        replace(files[i], tsm_buf_view(&bytes));
        tsm_buf_release(&bytes);
    }
    forget_answers();
}

/* A stretch of other bytes, anywhere. */
static void noise(void **state)
{
    (void)state;
    uint64_t x = 1;
    find_right_answers();
    for (size_t i = 0; i < N(files); i++) {
        struct tsm_buf bytes = {0};
        struct tsm_err err;
        assert_int_equal(tsm_fs_read_file(&tsm_fs_posix, at(files[i]), 1 << 20, &bytes, &err), TSM_OK);
        uint8_t *copy = tsm_alloc(bytes.len);
        for (size_t n = 0; n < 600; n++) {
            memcpy(copy, bytes.data, bytes.len);
            x = x * 6364136223846793005u + 1442695040888963407u;
            size_t from = (x >> 33) % bytes.len, len = 2 + (x >> 59);
            for (size_t k = from; k < from + len && k < bytes.len; k++) {
                x = x * 6364136223846793005u + 1442695040888963407u;
                copy[k] = (uint8_t)(x >> 56);
            }
            replace(files[i], tsm_str((const char *)copy, bytes.len));
            for (size_t q = 0; q < N(queries); q++)
                is_found(q, files[i], "noise at", from);
        }
        replace(files[i], tsm_buf_view(&bytes));
        tsm_free(copy);
        tsm_buf_release(&bytes);
    }
    forget_answers();
}

static void every_length(void **state)
{
    (void)state;
    find_right_answers();
    for (size_t i = 0; i < N(files); i++) {
        struct tsm_buf bytes = {0};
        struct tsm_err err;
        assert_int_equal(tsm_fs_read_file(&tsm_fs_posix, at(files[i]), 1 << 20, &bytes, &err), TSM_OK);
        for (size_t n = 0; n < bytes.len; n++) {
            replace(files[i], tsm_str((const char *)bytes.data, n));
            assert_true(is_found(0, files[i], "length", n));
            assert_true(is_found(1, files[i], "length", n));
        }
        /* The blocks that a disk hands out are not always those that were written. */
        for (size_t hole = 0; hole < bytes.len; hole += 64) {
            uint8_t *copy = tsm_alloc(bytes.len);
            memcpy(copy, bytes.data, bytes.len);
            memset(copy + hole, 0, bytes.len - hole < 64 ? bytes.len - hole : 64);
            replace(files[i], tsm_str((const char *)copy, bytes.len));
            assert_true(is_found(0, files[i], "zeros at", hole));
            tsm_free(copy);
        }
        tsm_buf_add(&bytes, "more", 4);
        replace(files[i], tsm_buf_view(&bytes));
        assert_true(is_found(0, files[i], "added", 4));
        bytes.len -= 4;
        replace(files[i], tsm_buf_view(&bytes));
        tsm_buf_release(&bytes);
    }
    forget_answers();
}

/* A disk on which a call fails never makes an answer, nor a complaint about corruption. */
static void every_call_fails_once(void **state)
{
    (void)state;
    struct tsm_buf answer = {0};
    struct tsm_err err;
    find_right_answers();
    for (size_t q = 0; q < N(queries); q++) {
        struct faulty_fs f;
        faulty_fs_init(&f);
        for (bool failed = true; failed;) {
            f.fail_at++;
            assert_true(f.fail_at < 1000);
            atomic_store(&f.calls, 0);
            int rc = ask(&f.fs, queries[q], NULL, &answer, &err);
            failed = atomic_load(&f.calls) >= f.fail_at;
            if (rc == TSM_OK && !tsm_str_eq(tsm_buf_view(&answer), tsm_buf_view(&right[q])))
                fail_msg("call %ld: '%s' gives a wrong answer: %.2000s", f.fail_at, queries[q],
                         tsm_buf_cstr(&answer));
            if (rc != TSM_OK && (!failed || rc == TSM_ECORRUPT || !err.msg[0]))
                fail_msg("call %ld: '%s': %d: %s", f.fail_at, queries[q], rc, err.msg);
        }
    }
    tsm_buf_release(&answer);
    forget_answers();
}

/* Statements that change meta.db: a failure leaves what was there or what is to be, and the next run completes it. */
static void every_call_of_a_change_fails_once(void **state)
{
    (void)state;
    static const char changes[] = "CREATE DATABASE new; DROP DATABASE old; "
                                  "CREATE RETENTION POLICY day ON db DURATION 1d REPLICATION 1";
    static const char show[] = "SHOW DATABASES; SHOW RETENTION POLICIES ON db";
    struct tsm_buf answer = {0}, before = {0}, meta = {0};
    struct tsm_err err;
    char path[128];
    assert_int_equal(ask(&tsm_fs_posix, "CREATE DATABASE old", NULL, &answer, &err), TSM_OK);
    assert_int_equal(tsm_fs_read_file(&tsm_fs_posix, at("meta/meta.db"), 1 << 20, &meta, &err), TSM_OK);
    snprintf(path, sizeof path, "%s", at("data/old/autogen/9"));
    find_right_answers();
    struct faulty_fs f;
    faulty_fs_init(&f);
    for (bool failed = true; failed;) {
        f.fail_at++;
        assert_true(f.fail_at < 1000);
        replace("meta/meta.db", tsm_buf_view(&meta));
        assert_int_equal(tsm_fs_make_dirs(&tsm_fs_posix, path, &err), TSM_OK);
        atomic_store(&f.calls, 0);
        int rc = ask(&f.fs, changes, NULL, &answer, &err);
        failed = atomic_load(&f.calls) >= f.fail_at;
        if (rc != TSM_OK && (!failed || rc == TSM_ECORRUPT || !err.msg[0]))
            fail_msg("call %ld: %d: %s", f.fail_at, rc, err.msg);
        assert_int_equal(ask(&tsm_fs_posix, show, NULL, &before, &err), TSM_OK);
        for (size_t q = 0; q + 1 < N(queries); q++) /* the last one shows databases */
            assert_false(is_found(q, "meta.db", "failed call", (size_t)f.fail_at));
        if (ask(&tsm_fs_posix, changes, NULL, &answer, &err) != TSM_OK)
            fail_msg("after call %ld: %s", f.fail_at, err.msg);
        assert_int_equal(ask(&tsm_fs_posix, show, NULL, &answer, &err), TSM_OK);
        if (rc == TSM_OK)
            assert_true(tsm_str_eq(tsm_buf_view(&before), tsm_buf_view(&answer)));
        assert_non_null(strstr(tsm_buf_cstr(&answer), "[[\"db\"],[\"new\"]]"));
        assert_non_null(strstr(tsm_buf_cstr(&answer), "[\"day\",\"24h0m0s\""));
        assert_false(tsm_fs_exists(&tsm_fs_posix, path));
    }
    tsm_buf_release(&answer);
    tsm_buf_release(&before);
    tsm_buf_release(&meta);
    forget_answers();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bit),
        cmocka_unit_test(noise),
        cmocka_unit_test(every_length),
        cmocka_unit_test(every_call_fails_once),
        cmocka_unit_test(every_call_of_a_change_fails_once),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
