/* tests/unit/test_access.c: passwords, and what users may do: the texts are influxd's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "query/access.h"
#include "query/parser.h"

#include "base/banned.h"

/* ---- passwords --------------------------------------------------------------------------------- */

static void check_influxd(void **state)
{
    (void)state;
    /* By golang.org/x/crypto/bcrypt, as in a meta.db of influxd 1.6.7. */
    static const struct {
        const char *password, *hash;
    } cases[] = {
        {"secret", "$2a$10$ehvMVPUxgbTiki5gnaDLt.33H3PC03FP4MWvhP.qFeYKtWr7G.wMy"},
        {"", "$2a$10$ZcCIVNxjhQpaBP6FKbSqLeFetHXNDPhTzKlOX7A.SI56ur1AYRhRS"},
        {"pässwörd 日本", "$2a$10$KS3YjENgvT/uJ.tx9XhrOe.iugavQnaVNi9xSmtrdMto5C1zwW3zi"},
        {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
         "$2a$10$Thmxz7ds5fuXIW03U4mh/uhm53v8zJa1H0ZX/GvkwFadKZihs1OZ."},
        {"\\ ' \" $2a$", "$2a$10$z0/lTZQ0x2RwbFH6dNrti.N6NhzRbrrNP7953.LEeC6ZVkntPIPcq"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tsm_str hash = tsm_str_of(cases[i].hash);
        assert_true(tsm_password_check(tsm_str_of(cases[i].password), hash));
        assert_false(tsm_password_check(TSM_STR("another"), hash));
        assert_false(tsm_password_check(tsm_str_of(cases[i].password), tsm_str(hash.p, hash.n - 1)));
    }
}

static void own_hashes(void **state)
{
    (void)state;
    static const char *const passwords[] = {"", "x", "pass word", "p\xc3\xa4ss", "\xff\xa3", "'\""};
    for (size_t i = 0; i < sizeof passwords / sizeof *passwords; i++) {
        struct tsm_buf hash = {0}, other = {0};
        struct tsm_str password = tsm_str_of(passwords[i]);
        assert_int_equal(tsm_password_hash(password, 4, &hash, NULL), TSM_OK);
        assert_int_equal(tsm_password_hash(password, 4, &other, NULL), TSM_OK);
        assert_int_equal(hash.len, 60);
        assert_true(tsm_str_starts(tsm_buf_view(&hash), TSM_STR("$2a$04$")));
        assert_false(tsm_str_eq(tsm_buf_view(&hash), tsm_buf_view(&other))); /* salted */
        assert_true(tsm_password_check(password, tsm_buf_view(&hash)));
        assert_false(tsm_password_check(TSM_STR("y"), tsm_buf_view(&hash)));
        tsm_buf_release(&hash);
        tsm_buf_release(&other);
    }
    struct tsm_buf hash = {0};
    assert_int_equal(tsm_password_hash(TSM_STR("a\0b"), 4, &hash, NULL), TSM_EQUERY);
    assert_int_equal(hash.len, 0);
}

/* Whatever stands in a meta.db: no password fits, and nothing breaks. */
static void odd_hashes(void **state)
{
    (void)state;
    static const char *const hashes[] = {
        "",
        "x",
        "$",
        "$2",
        "$2a",
        "$2a$",
        "$2a$04",
        "$2a$04$",
        "$1$aaaaaaaa$bbbbbbbbbbbbbbbbbbbbbb",
        "*0",
        "$2a$99$RRRRRRRRRRRRRRRRRRRRRuRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRR",
    };
    for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++)
        for (size_t k = 0; k < 2; k++)
            assert_false(tsm_password_check(k ? TSM_STR("") : TSM_STR("x"), tsm_str_of(hashes[i])));
    char longest[400];
    memset(longest, 'x', sizeof longest);
    memcpy(longest, "$2a$04$", 7);
    assert_false(tsm_password_check(TSM_STR("x"), tsm_str(longest, sizeof longest)));
}

/* ---- privileges -------------------------------------------------------------------------------- */

/* reader: READ on a; writer: WRITE on a; owner: ALL on a; none: nothing, and 0 on a. */
static void make_users(struct tsm_meta *m)
{
    static const struct {
        const char *name;
        int32_t privilege;
        bool admin;
    } users[] = {{"root", 0, true},
                 {"reader", 1, false},
                 {"writer", 2, false},
                 {"owner", 3, false},
                 {"none", 0, false}};
    *m = (struct tsm_meta){0};
    assert_int_equal(tsm_meta_create_database(m, TSM_STR("a"), NULL, NULL), TSM_OK);
    assert_int_equal(tsm_meta_create_database(m, TSM_STR("b"), NULL, NULL), TSM_OK);
    for (size_t i = 0; i < sizeof users / sizeof *users; i++) {
        struct tsm_str name = tsm_str_of(users[i].name);
        assert_int_equal(tsm_meta_create_user(m, name, TSM_STR("h"), users[i].admin, NULL), TSM_OK);
        if (!users[i].admin)
            assert_int_equal(tsm_meta_set_privilege(m, name, TSM_STR("a"), users[i].privilege, NULL), TSM_OK);
    }
}

/* NULL: allowed; else the message. */
static const char *ask(const struct tsm_meta *m, const char *user, const char *query, struct tsm_err *err)
{
    struct tsm_ast ast;
    if (tsm_parse_query(tsm_str_of(query), &ast, err) != TSM_OK)
        fail_msg("%s: %s", query, err->msg);
    int rc = tsm_access_query(m, tsm_str_of(user), &ast, TSM_STR("a"), err);
    tsm_ast_release(&ast);
    assert_true(rc == TSM_OK || rc == TSM_EACCESS);
    return rc == TSM_OK ? NULL : err->msg;
}

enum { READ = 1, WRITE = 2, OWNER = 4, NONE = 8 };

/* Who may, of the four users that are no admins; the query's database is a. */
static void who_may(void **state)
{
    (void)state;
    static const char *const users[] = {"reader", "writer", "owner", "none"};
    static const struct {
        const char *query;
        int may;
    } cases[] = {
        {"SELECT v FROM m", READ | OWNER},
        {"SELECT v FROM a..m, /x/", READ | OWNER},
        {"SELECT v FROM b..m", 0},
        {"SELECT v FROM (SELECT v FROM m)", READ | OWNER},
        {"SELECT v FROM (SELECT v FROM b..m)", 0},
        {"SELECT v INTO y FROM m", OWNER},
        {"SELECT v INTO b..y FROM m", 0},
        {"EXPLAIN SELECT v FROM m", READ | OWNER},
        {"DELETE FROM m", WRITE | OWNER},
        {"DROP SERIES FROM m", WRITE | OWNER},
        {"DROP MEASUREMENT m", 0},
        {"DROP SHARD 1", 0},
        {"SHOW DATABASES", READ | WRITE | OWNER | NONE},
        {"SHOW MEASUREMENTS", READ | OWNER},
        {"SHOW MEASUREMENTS ON b", 0},
        {"SHOW RETENTION POLICIES ON a", READ | OWNER},
        {"SHOW SERIES", READ | OWNER},
        {"SHOW TAG KEYS", READ | OWNER},
        {"SHOW TAG VALUES WITH KEY = k", READ | OWNER},
        {"SHOW FIELD KEYS", READ | OWNER},
        {"SHOW SERIES CARDINALITY", READ | OWNER},
        {"SHOW SERIES EXACT CARDINALITY", READ | WRITE | OWNER | NONE}, /* as in influxd */
        {"SHOW SERIES EXACT CARDINALITY FROM m", READ | OWNER},
        {"SHOW TAG KEY CARDINALITY FROM b..m", 0},
        {"SHOW QUERIES", READ | OWNER},
        {"SHOW CONTINUOUS QUERIES", READ | OWNER},
        {"SHOW USERS", 0},
        {"SHOW GRANTS FOR reader", 0},
        {"SHOW SHARDS", 0},
        {"SHOW STATS", 0},
        {"SHOW DIAGNOSTICS", 0},
        {"SHOW SUBSCRIPTIONS", 0},
        {"KILL QUERY 1", 0},
        {"CREATE DATABASE c", 0},
        {"DROP DATABASE a", 0},
        {"CREATE RETENTION POLICY p ON a DURATION 1d REPLICATION 1", 0},
        {"ALTER RETENTION POLICY p ON a DEFAULT", 0},
        {"DROP RETENTION POLICY p ON a", WRITE | OWNER},
        {"DROP RETENTION POLICY p ON b", 0},
        {"CREATE USER x WITH PASSWORD 'y'", 0},
        {"GRANT ALL ON a TO none", 0},
        {"SET PASSWORD FOR reader = 'x'", 0},
        {"CREATE CONTINUOUS QUERY c ON a BEGIN SELECT mean(v) INTO y FROM m GROUP BY time(1m) END",
         READ | OWNER},
        {"CREATE CONTINUOUS QUERY c ON a BEGIN SELECT mean(v) INTO b..y FROM m GROUP BY time(1m) END", 0},
        {"CREATE CONTINUOUS QUERY c ON a BEGIN SELECT mean(v) INTO a..y FROM m GROUP BY time(1m) END", OWNER},
        {"DROP CONTINUOUS QUERY c ON a", WRITE | OWNER},
        {"SELECT v FROM m; DROP SHARD 1", 0},
    };
    struct tsm_meta m;
    struct tsm_err err;
    make_users(&m);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_null(ask(&m, "root", cases[i].query, &err));
        for (int k = 0; k < 4; k++)
            if (!ask(&m, users[k], cases[i].query, &err) != !!(cases[i].may & 1 << k))
                fail_msg("%s: %s", users[k], cases[i].query);
    }
    tsm_meta_release(&m);
}

static void texts(void **state)
{
    (void)state;
    struct tsm_meta m;
    struct tsm_err err;
    make_users(&m);
    assert_string_equal(ask(&m, "reader", "show users", &err),
                        "reader not authorized to execute statement 'SHOW USERS', requires admin privilege");
    assert_string_equal(ask(&m, "reader", "select v into b..y from m", &err),
                        "reader not authorized to execute statement 'SELECT v INTO b..y FROM m', requires "
                        "WRITE on b");
    assert_string_equal(ask(&m, "none", "select v from m", &err),
                        "none not authorized to execute statement 'SELECT v FROM m', requires READ on a");
    assert_string_equal(ask(&m, "none", "create user x with password 'secret'", &err),
                        "none not authorized to execute statement 'CREATE USER x WITH PASSWORD [REDACTED]', "
                        "requires admin privilege");
    assert_string_equal(ask(&m, "", "show databases", &err), "no user provided");
    assert_string_equal(ask(&m, "nobody", "show databases", &err), "no user provided");
    assert_int_equal(tsm_access_write(&m, TSM_STR("reader"), TSM_STR("a"), &err), TSM_EACCESS);
    assert_string_equal(err.msg, "\"reader\" user is not authorized to write to database \"a\"");
    assert_int_equal(tsm_access_write(&m, TSM_STR("writer"), TSM_STR("a"), &err), TSM_OK);
    assert_int_equal(tsm_access_write(&m, TSM_STR("writer"), TSM_STR("b"), &err), TSM_EACCESS);
    assert_int_equal(tsm_access_write(&m, TSM_STR("root"), TSM_STR("b"), &err), TSM_OK);
    assert_true(tsm_access_has_admin(&m));
    tsm_meta_release(&m);
}

static void first_admin(void **state)
{
    (void)state;
    struct tsm_meta m = {0};
    struct tsm_err err;
    const char *refusal = "create admin user first or disable authentication";
    assert_string_equal(ask(&m, "", "SHOW DATABASES", &err), refusal);
    assert_string_equal(ask(&m, "", "CREATE USER x WITH PASSWORD 'y'", &err), refusal);
    assert_null(ask(&m, "", "CREATE USER x WITH PASSWORD 'y' WITH ALL PRIVILEGES; SHOW DATABASES", &err));
    assert_false(tsm_access_has_admin(&m));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_influxd), cmocka_unit_test(own_hashes), cmocka_unit_test(odd_hashes),
        cmocka_unit_test(who_may),       cmocka_unit_test(texts),      cmocka_unit_test(first_admin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
