/*
 * tests/unit/test_change.c: changes as bytes, and carried out on an engine: each once, and again over a state that is newer, as
 * after a kill.
 *
 * A script is a list of entries: statements, and points (lines that begin with '+'). All are carried out in order; what the directory
 * says then is the truth. Then, for all i <= k: entries 1 to k, the end of the process, and all entries from i on again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "engine_grid.h"
#include "query/access.h"
#include "query/change.h"
#include "query/parser.h"
#include "query/query.h"
#include "result/writer.h"

#define NOW (START + TSM_DAY)

enum { ENTRIES = 40 };

struct entry {
    struct tsm_buf bytes; /* of a change */
    const char *points;   /* or NULL */
    int code;             /* what it gave at first */
};

/* ---- an engine --------------------------------------------------------------------------------- */

static struct tsm_engine *open_engine(void)
{
    struct tsm_engine_options opt = engine_options();
    struct tsm_engine *e;
    struct tsm_err err;
    opt.database = TSM_STR("");
    if (tsm_engine_open(&tsm_fs_posix, &opt, &e, &err) != TSM_OK)
        fail_msg("%s", err.msg);
    return e;
}

static void close_engine(struct tsm_engine *e)
{
    struct tsm_err err;
    if (tsm_engine_sync(e, &err) != TSM_OK)
        fail_msg("%s", err.msg);
    tsm_engine_close(e);
}

/* database line; into its default policy, if there is one. */
static void put(struct tsm_engine *e, const char *text)
{
    const char *line = strchr(text, ' ') + 1;
    struct tsm_line_options options = {.unit = 1, .now = NOW};
    struct tsm_points points = {0};
    struct rejected rejected = {0};
    struct tsm_engine_policy *policy;
    struct tsm_err err;
    tsm_line_parse(tsm_str_of(line), &options, &points, count_rejected, &rejected);
    assert_int_equal(rejected.n, 0);
    int rc = tsm_engine_policy(e, tsm_str(text, (size_t)(line - text - 1)), TSM_STR(""), &policy, &err);
    if (rc == TSM_OK && tsm_engine_write_to(e, policy, &points, count_rejected, &rejected, &err) != TSM_OK)
        fail_msg("%s", err.msg);
    tsm_points_release(&points);
}

/* The change of a statement, as a session that has no database makes it, with "database: " before the statement one with it. */
static void make_entry(struct tsm_engine *e, const char *text, struct entry *entry)
{
    struct tsm_ast ast;
    struct tsm_arena arena = {0};
    struct tsm_meta m;
    struct tsm_change c;
    struct tsm_err err;
    const char *colon = strstr(text, ": ");
    struct tsm_str database = colon ? tsm_str(text, (size_t)(colon - text)) : tsm_str("", 0);
    *entry = (struct entry){0};
    if (text[0] == '+') {
        entry->points = text + 1;
        return;
    }
    if (tsm_parse_query(tsm_str_of(colon ? colon + 2 : text), &ast, &err) != TSM_OK)
        fail_msg("%s: %s", text, err.msg);
    assert_int_equal(tsm_engine_meta(e, &m, NULL), TSM_OK);
    if (tsm_change_of(&ast.statements[0], &m, database, tsm_str("", 0), NOW, &arena, &c, &err) != TSM_OK)
        fail_msg("%s: %s", text, err.msg);
    tsm_change_encode(&c, &entry->bytes);
    tsm_meta_release(&m);
    tsm_ast_release(&ast);
    tsm_arena_release(&arena);
}

static int carry_out(struct tsm_engine *e, const struct entry *entry)
{
    struct tsm_change c;
    struct tsm_err err = {0};
    if (entry->points) {
        put(e, entry->points);
        return TSM_OK;
    }
    assert_int_equal(tsm_change_decode(entry->bytes.data, entry->bytes.len, &c, &err), TSM_OK);
    int rc = tsm_change_apply(e, &c, &err);
    if (rc != TSM_OK && rc != TSM_EQUERY)
        fail_msg("%.*s: %s", (int)c.text.n, c.text.p, err.msg);
    return rc;
}

/* ---- what a directory says --------------------------------------------------------------------- */

static int take(void *ctx, const void *p, size_t n, struct tsm_err *err)
{
    (void)err;
    tsm_buf_add(ctx, p, n);
    return TSM_OK;
}

static void ask(const char *database, const char *text, struct tsm_buf *answer)
{
    struct tsm_output out;
    struct tsm_err err;
    tsm_output_init_put(&out, take, answer);
    struct tsm_result_options format = {.format = TSM_FORMAT_JSON};
    struct tsm_sink *sink = tsm_result_writer_new(&format, &out);
    struct tsm_query_options opt = {
        .fs = &tsm_fs_posix,
        .dir = in_temp(""),
        .database = tsm_str_of(database),
        .now = NOW,
        .jobs = 1,
        .memory = 64 << 20,
    };
    (void)tsm_query_run(&opt, tsm_str_of(text), sink, NULL, &err);
    assert_int_equal(tsm_result_writer_finish(sink, &err), TSM_OK);
    assert_int_equal(tsm_output_flush(&out, &err), TSM_OK);
    tsm_output_release(&out);
}

enum { LINES = 64 };

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void describe_policy(struct tsm_arena *a, const struct tsm_database *db, const struct tsm_rp *rp,
                            char **lines, size_t *n)
{
    lines[(*n)++] = tsm_arena_printf(a, "%.*s.%.*s %lld %lld %u", (int)db->name.n, db->name.p,
                                     (int)rp->name.n, rp->name.p, (long long)rp->duration,
                                     (long long)rp->shard_group_duration, rp->replica_n);
    for (size_t i = 0; i < rp->nsubscriptions; i++)
        lines[(*n)++] = tsm_arena_printf(
            a, "%.*s.%.*s subscription %.*s %.*s %zu %.*s", (int)db->name.n, db->name.p, (int)rp->name.n,
            rp->name.p, (int)rp->subscriptions[i].name.n, rp->subscriptions[i].name.p,
            (int)rp->subscriptions[i].mode.n, rp->subscriptions[i].mode.p, rp->subscriptions[i].ndestinations,
            (int)rp->subscriptions[i].destinations[0].n, rp->subscriptions[i].destinations[0].p);
}

static void describe_meta(struct tsm_buf *out)
{
    struct tsm_meta m;
    struct tsm_arena a = {0};
    char *lines[LINES];
    size_t n = 0;
    assert_int_equal(tsm_meta_load(&tsm_fs_posix, in_temp(""), &m, NULL), TSM_OK);
    for (size_t i = 0; i < m.ndatabases; i++) {
        const struct tsm_database *db = &m.databases[i];
        lines[n++] = tsm_arena_printf(&a, "%.*s default %.*s", (int)db->name.n, db->name.p,
                                      (int)db->default_rp.n, db->default_rp.p);
        for (size_t k = 0; k < db->nrps; k++)
            describe_policy(&a, db, &db->rps[k], lines, &n);
        for (size_t k = 0; k < db->ncontinuous; k++)
            lines[n++] = tsm_arena_printf(&a, "%.*s: %.*s", (int)db->name.n, db->name.p,
                                          (int)db->continuous[k].query.n, db->continuous[k].query.p);
    }
    for (size_t i = 0; i < m.nusers; i++) {
        const struct tsm_user *u = &m.users[i];
        lines[n++] = tsm_arena_printf(&a, "user %.*s %.*s %d", (int)u->name.n, u->name.p, (int)u->hash.n,
                                      u->hash.p, u->admin);
        for (size_t k = 0; k < u->nprivileges; k++)
            lines[n++] = tsm_arena_printf(&a, "user %.*s %.*s %d", (int)u->name.n, u->name.p,
                                          (int)u->privileges[k].database.n, u->privileges[k].database.p,
                                          u->privileges[k].privilege);
    }
    qsort(lines, n, sizeof *lines, compare_lines);
    for (size_t i = 0; i < n; i++)
        tsm_buf_printf(out, "%s\n", lines[i]);
    tsm_arena_release(&a);
    tsm_meta_release(&m);
}

/* Everything but the order of names and the numbers of shards. */
static char *describe(void)
{
    static const char *const names[] = {"a", "b"};
    static const char *const questions[] = {"SELECT * FROM /.*/", "SELECT * FROM other./.*/"};
    struct tsm_buf text = {0};
    describe_meta(&text);
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; k < 2; k++)
            ask(names[i], questions[k], &text);
    char *copy = tsm_strdup(tsm_buf_cstr(&text));
    tsm_buf_release(&text);
    return copy;
}

/* ---- scripts ----------------------------------------------------------------------------------- */

static void again(const char *const *script, const struct entry *entries, size_t n, size_t from, size_t crash,
                  const char *expected)
{
    make_temp(NULL);
    struct tsm_engine *e = open_engine();
    for (size_t i = 0; i < crash; i++)
        (void)carry_out(e, &entries[i]);
    close_engine(e);
    e = open_engine();
    for (size_t i = from; i < n; i++)
        (void)carry_out(e, &entries[i]);
    close_engine(e);
    char *got = describe();
    if (strcmp(got, expected) != 0)
        fail_msg("%zu entries, then again from '%s' on:\n%s\nexpected:\n%s", crash, script[from], got,
                 expected);
    tsm_free(got);
    remove_temp(NULL);
}

static void run_script(const char *const *script)
{
    struct entry entries[ENTRIES];
    size_t n = 0;
    make_temp(NULL);
    struct tsm_engine *e = open_engine();
    for (; script[n]; n++) {
        assert_true(n < ENTRIES);
        make_entry(e, script[n], &entries[n]);
        entries[n].code = carry_out(e, &entries[n]);
    }
    close_engine(e);
    char *expected = describe();
    remove_temp(NULL);
    for (size_t from = 0; from < n; from++)
        for (size_t crash = from; crash <= n; crash++)
            again(script, entries, n, from, crash, expected);
    for (size_t i = 0; i < n; i++)
        tsm_buf_release(&entries[i].bytes);
    tsm_free(expected);
}

static void redo_databases(void **state)
{
    (void)state;
    static const char *const script[] = {
        "CREATE DATABASE a",
        "+a cpu,h=1 v=1 1577836800000000000",
        "CREATE RETENTION POLICY other ON a DURATION 2d REPLICATION 1 DEFAULT",
        "+a cpu,h=2 v=2 1577836801000000000",
        "ALTER RETENTION POLICY other ON a DURATION INF",
        "DROP RETENTION POLICY other ON a",
        "CREATE RETENTION POLICY other ON a DURATION 20d REPLICATION 1 SHARD DURATION 1d DEFAULT",
        "+a cpu,h=3 v=3 1577836802000000000",
        "DROP DATABASE a",
        "CREATE DATABASE a",
        "+a cpu,h=4 v=4 1577836803000000000",
        "CREATE DATABASE b WITH DURATION 3d",
        NULL,
    };
    run_script(script);
}

static void redo_deletes(void **state)
{
    (void)state;
    static const char *const script[] = {
        "CREATE DATABASE a",
        "+a cpu,h=1 v=1 1577836800000000000",
        "+a cpu,h=1 v=2 1577836801000000000",
        "+a mem,h=2 v=3 1577836800000000000",
        "a: DELETE FROM cpu WHERE time < '2020-01-01T00:00:01Z'",
        "+a cpu,h=1 v=4 1577836800000000000",
        "a: DROP SERIES FROM /e/ WHERE h = '2'",
        "+a mem,h=3 v=5 1577836800000000000",
        "a: DROP MEASUREMENT cpu",
        "+a cpu,h=1 v=6i 1577836802000000000",
        "a: DELETE WHERE time > now() + 1d",
        NULL,
    };
    run_script(script);
}

static void redo_shards(void **state)
{
    (void)state;
    static const char *const script[] = {
        "CREATE DATABASE a",
        "+a cpu v=1 1577836800000000000",
        "+a cpu v=2 1578836800000000000",
        "DROP SHARD 1",
        "+a cpu v=3 1577836801000000000",
        "DROP SHARD 77",
        "+a cpu v=4 1577836802000000000",
        "DROP SHARD 2",
        NULL,
    };
    run_script(script);
}

static void redo_users(void **state)
{
    (void)state;
    static const char *const script[] = {
        "CREATE DATABASE a",
        "CREATE USER ann WITH PASSWORD 'one'",
        "GRANT ALL ON a TO ann",
        "REVOKE READ ON a FROM ann",
        "DROP USER ann",
        "CREATE USER ann WITH PASSWORD 'two' WITH ALL PRIVILEGES",
        "GRANT READ ON a TO ann",
        "DROP DATABASE a",
        "CREATE DATABASE a",
        "REVOKE ALL PRIVILEGES FROM ann",
        NULL,
    };
    run_script(script);
}

static void redo_continuous(void **state)
{
    (void)state;
    static const char *const script[] = {
        "CREATE DATABASE a",
        "CREATE CONTINUOUS QUERY c ON a BEGIN SELECT mean(v) INTO y FROM x GROUP BY time(1m) END",
        "CREATE RETENTION POLICY other ON a DURATION 2d REPLICATION 1 DEFAULT",
        "CREATE SUBSCRIPTION s ON a.other DESTINATIONS ANY 'udp://h:1', 'http://h:2'",
        "DROP CONTINUOUS QUERY c ON a",
        "CREATE CONTINUOUS QUERY c ON a RESAMPLE EVERY 1m FOR 1h BEGIN SELECT max(v) INTO y FROM /x/, "
        "(SELECT * FROM z) GROUP BY time(1m) END",
        "DROP SUBSCRIPTION s ON a.other",
        "CREATE SUBSCRIPTION s ON a.autogen DESTINATIONS ALL 'https://[::1]:2/x'",
        "DROP RETENTION POLICY other ON a",
        NULL,
    };
    run_script(script);
}

/* ---- refusals, bytes, texts -------------------------------------------------------------------- */

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *statement, *error;
    } cases[] = {
        {"CREATE DATABASE a", NULL},
        {"CREATE USER u WITH PASSWORD 'p'", NULL},
        {"CREATE USER u WITH PASSWORD 'p'", NULL},
        {"CREATE USER u WITH PASSWORD 'p' WITH ALL PRIVILEGES", "user already exists"},
        {"CREATE USER u WITH PASSWORD 'q'", "user already exists"},
        {"CREATE USER \"\" WITH PASSWORD 'q'", "username required"},
        {"SET PASSWORD FOR x = 'p'", "user not found"},
        {"DROP USER x", "user not found"},
        {"GRANT READ ON a TO x", "user not found"},
        {"GRANT READ ON nodb TO u", "database not found: nodb"},
        {"REVOKE READ ON nodb FROM u", "database not found: nodb"},
        {"REVOKE READ ON a FROM x", "user not found"},
        {"GRANT ALL TO x", "user not found"},
        {"CREATE SUBSCRIPTION s ON a.autogen DESTINATIONS ALL 'http://h'",
         "invalid subscription URL: http://h"},
        {"CREATE SUBSCRIPTION s ON a.autogen DESTINATIONS ALL 'tcp://h:1'",
         "invalid subscription URL: tcp://h:1"},
        {"CREATE SUBSCRIPTION s ON a.no DESTINATIONS ALL 'udp://h:1'", "retention policy not found: no"},
        {"DROP SUBSCRIPTION s ON a.autogen", "subscription not found"},
        {"a: DROP SERIES WHERE time < 1", "DROP SERIES doesn't support time in WHERE clause"},
        {"nodb: DELETE FROM x", "database not found: nodb"},
        {"ALTER RETENTION POLICY no ON a DURATION 1d", "retention policy not found: no"},
        {"CREATE DATABASE \"a/b\"", "invalid name"},
    };
    struct tsm_engine *e = open_engine();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct entry entry;
        struct tsm_change c;
        struct tsm_err err = {0};
        make_entry(e, cases[i].statement, &entry);
        for (int round = 0; round < 2; round++) {
            assert_int_equal(tsm_change_decode(entry.bytes.data, entry.bytes.len, &c, &err), TSM_OK);
            int rc = tsm_change_apply(e, &c, &err);
            if (rc != (cases[i].error ? TSM_EQUERY : TSM_OK) ||
                (cases[i].error && strcmp(err.msg, cases[i].error) != 0))
                fail_msg("%s: %d %s", cases[i].statement, rc, err.msg);
        }
        tsm_buf_release(&entry.bytes);
    }
    close_engine(e);
}

static void bytes(void **state)
{
    (void)state;
    struct tsm_change c = {.text = TSM_STR("DROP USER x"),
                           .database = TSM_STR("db"),
                           .now = -5,
                           .hash = TSM_STR("$2a$"),
                           .shard_db = TSM_STR("a"),
                           .shard_rp = TSM_STR("b"),
                           .shard_start = -7},
                      d;
    struct tsm_buf out = {0};
    struct tsm_err err;
    tsm_change_encode(&c, &out);
    assert_int_equal(tsm_change_decode(out.data, out.len, &d, &err), TSM_OK);
    assert_true(tsm_str_eq(c.text, d.text) && tsm_str_eq(c.database, d.database) && c.now == d.now &&
                tsm_str_eq(c.hash, d.hash) && tsm_str_eq(c.shard_db, d.shard_db) &&
                tsm_str_eq(c.shard_rp, d.shard_rp) && c.shard_start == d.shard_start);
    for (size_t i = 0; i < out.len; i++) /* cut short: an error, or another change, but no crash */
        (void)tsm_change_decode(out.data, i, &d, &err);
    assert_int_equal(tsm_change_decode(out.data, 0, &d, &err), TSM_ECORRUPT);
    out.data[0] = 0x7a;
    assert_int_equal(tsm_change_decode(out.data, out.len, &d, &err), TSM_ECORRUPT);
    tsm_buf_release(&out);
    struct tsm_engine *e = open_engine();
    c.text = TSM_STR("SELECT v FROM m");
    assert_int_equal(tsm_change_apply(e, &c, &err), TSM_EQUERY);
    c.text = TSM_STR("DROP USER x; DROP USER y");
    assert_int_equal(tsm_change_apply(e, &c, &err), TSM_EQUERY);
    c.text = TSM_STR("DROP");
    assert_int_equal(tsm_change_apply(e, &c, &err), TSM_EPARSE);
    close_engine(e);
}

/* What stands in a log is complete, can be read again, and knows no password. */
static void texts(void **state)
{
    (void)state;
    static const struct {
        const char *statement, *text;
    } cases[] = {
        {"CREATE USER \"a b\" WITH PASSWORD 'secret' WITH ALL PRIVILEGES",
         "CREATE USER \"a b\" WITH PASSWORD '[REDACTED]' WITH ALL PRIVILEGES"},
        {"SET PASSWORD FOR u = 'secret'", "SET PASSWORD FOR u = '[REDACTED]'"},
        {"create database d with shard duration 0s name x",
         "CREATE DATABASE d WITH SHARD DURATION 0s NAME x"},
        {"CREATE CONTINUOUS QUERY c ON a BEGIN SELECT mean(v) INTO y FROM x, /z/ GROUP BY time(1m) END",
         "CREATE CONTINUOUS QUERY c ON a BEGIN SELECT mean(v) INTO a.autogen.y FROM a.autogen.x, "
         "a.autogen./z/ GROUP BY time(1m) END"},
        {"b: CREATE CONTINUOUS QUERY c ON a BEGIN SELECT mean(v) INTO autogen.:MEASUREMENT FROM a..x GROUP "
         "BY time(1m) END",
         "CREATE CONTINUOUS QUERY c ON a BEGIN SELECT mean(v) INTO b.autogen.:MEASUREMENT FROM a.autogen.x "
         "GROUP BY time(1m) END"},
        {"a: delete from \"x y\", /r\\/s/ where time<now()-1h and h='it\\'s'",
         "DELETE FROM \"x y\", /r\\/s/ WHERE time < now() - 1h AND h = 'it\\'s'"},
    };
    struct tsm_engine *e = open_engine();
    struct entry entry;
    static const char *const before[] = {"CREATE DATABASE a", "CREATE DATABASE b"};
    for (size_t i = 0; i < 2; i++) {
        make_entry(e, before[i], &entry);
        assert_int_equal(carry_out(e, &entry), TSM_OK);
        tsm_buf_release(&entry.bytes);
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tsm_change c;
        struct tsm_ast ast;
        make_entry(e, cases[i].statement, &entry);
        assert_int_equal(tsm_change_decode(entry.bytes.data, entry.bytes.len, &c, NULL), TSM_OK);
        if (!tsm_str_eq(c.text, tsm_str_of(cases[i].text)))
            fail_msg("%s\ngave: %.*s", cases[i].statement, (int)c.text.n, c.text.p);
        assert_null(memmem(entry.bytes.data, entry.bytes.len, "secret", 6));
        assert_int_equal(tsm_parse_query(c.text, &ast, NULL), TSM_OK);
        tsm_ast_release(&ast);
        tsm_buf_release(&entry.bytes);
    }
    close_engine(e);
}

/* What is refused before there is a change. */
static void not_made(void **state)
{
    (void)state;
    static const struct {
        const char *statement, *error;
    } cases[] = {
        {"CREATE CONTINUOUS QUERY c ON a BEGIN SELECT mean(v) INTO no.y FROM x GROUP BY time(1m) END",
         "retention policy not found: a.no"},
        {"CREATE CONTINUOUS QUERY c ON a BEGIN SELECT mean(v) INTO y FROM (SELECT v FROM b..x) GROUP BY "
         "time(1m) END",
         "database not found: b"},
        {"CREATE CONTINUOUS QUERY c ON none BEGIN SELECT mean(v) INTO y FROM x GROUP BY time(1m) END",
         "database not found: none"},
    };
    struct tsm_meta m = {0};
    struct tsm_arena arena = {0};
    assert_int_equal(tsm_meta_create_database(&m, TSM_STR("a"), NULL, NULL), TSM_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tsm_ast ast;
        struct tsm_change c;
        struct tsm_err err;
        assert_int_equal(tsm_parse_query(tsm_str_of(cases[i].statement), &ast, &err), TSM_OK);
        assert_int_equal(
            tsm_change_of(&ast.statements[0], &m, tsm_str("", 0), tsm_str("", 0), NOW, &arena, &c, &err),
            TSM_EQUERY);
        assert_string_equal(err.msg, cases[i].error);
        tsm_ast_release(&ast);
    }
    tsm_arena_release(&arena);
    tsm_meta_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(redo_databases),
        cmocka_unit_test(redo_deletes),
        cmocka_unit_test(redo_shards),
        cmocka_unit_test(redo_users),
        cmocka_unit_test(redo_continuous),
        cmocka_unit_test(not_made),
        cmocka_unit_test_setup_teardown(refused, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(bytes, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(texts, make_temp, remove_temp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
