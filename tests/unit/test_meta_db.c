/* tests/unit/test_meta_db.c: meta.db, read and written, and influxd's rules for changing it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/time.h"
#include "format/meta_db.h"

static void read_golden(struct tsm_buf *out)
{
    struct tsm_err err;
    if (tsm_fs_read_file(&tsm_fs_posix, "tests/unit/golden/meta.db", 1 << 20, out, &err))
        fail_msg("%s", err.msg);
}

static void same(struct tsm_str a, const char *b)
{
    if (!tsm_str_eq(a, tsm_str_of(b)))
        fail_msg("'%.*s' is not '%s'", (int)a.n, a.p, b);
}

/* influxd's file, field by field. */
static void golden(void **state)
{
    (void)state;
    struct tsm_buf bytes = {0};
    struct tsm_meta m;
    read_golden(&bytes);
    assert_int_equal(tsm_meta_decode(bytes.data, bytes.len, &m, NULL), TSM_OK);
    tsm_buf_release(&bytes);
    assert_true(m.index > 10 && m.cluster_id != 0);
    assert_int_equal(m.max_shard_group_id, 5);
    assert_int_equal(m.max_shard_id, 5);
    assert_int_equal(m.ndatabases, 2);
    struct tsm_database *db = tsm_meta_database(&m, TSM_STR("alpha"));
    assert_ptr_equal(db, &m.databases[0]);
    same(db->default_rp, "hour");
    assert_int_equal(db->nrps, 3);
    assert_ptr_equal(tsm_meta_rp(db, TSM_STR("")), tsm_meta_rp(db, TSM_STR("hour")));
    assert_null(tsm_meta_rp(db, TSM_STR("monat")));
    assert_int_equal(db->ncontinuous, 1);
    assert_true(db->continuous[0].name.n > 0 && db->unknown.n == 0);
    assert_true(tsm_str_starts(db->continuous[0].query, TSM_STR("CREATE CONTINUOUS QUERY ")));
    struct tsm_rp *rp = tsm_meta_rp(db, TSM_STR("autogen"));
    assert_true(rp->duration == 0 && rp->shard_group_duration == TSM_WEEK && rp->replica_n == 1);
    assert_true(rp->nsubscriptions == 1 && rp->unknown.n == 0);
    assert_true(rp->subscriptions[0].name.n > 0 && rp->subscriptions[0].ndestinations > 0);
    assert_int_equal(rp->ngroups, 5);
    for (size_t i = 0; i + 1 < rp->ngroups; i++)
        assert_true(rp->groups[i].end <= rp->groups[i + 1].start);
    struct tsm_shard_group *g = tsm_rp_group_at(rp, 0);
    assert_true(g->id == 1 && g->nshards == 1 && g->shards[0] == 1);
    assert_true(g->start == -3 * TSM_DAY && g->end == 4 * TSM_DAY);
    assert_ptr_equal(tsm_rp_group_at(rp, -1), g);
    assert_null(tsm_rp_group_at(rp, 4 * TSM_DAY));
    assert_null(tsm_rp_group_at(rp, 1600000000 * TSM_SEC)); /* dropped */
    g = tsm_rp_group_at(rp, TSM_TIME_MAX);
    assert_true(g->id == 5 && g->end == INT64_MAX);
    rp = tsm_meta_rp(db, TSM_STR("zwei"));
    assert_true(rp->duration == 52 * TSM_WEEK && rp->shard_group_duration == 2 * TSM_DAY);
    rp = tsm_meta_rp(db, TSM_STR("hour"));
    assert_true(rp->duration == TSM_HOUR && rp->shard_group_duration == TSM_HOUR && rp->replica_n == 2);
    db = tsm_meta_database(&m, TSM_STR("zeta db"));
    same(db->default_rp, "monat");
    assert_null(tsm_meta_database(&m, TSM_STR("beta")));
    assert_int_equal(m.nusers, 2);
    same(m.users[0].name, "jo");
    assert_true(m.users[0].admin && m.users[0].hash.n == 60);
    same(m.users[1].name, "reader");
    assert_true(!m.users[1].admin && m.users[1].nprivileges == 1);
    same(m.users[1].privileges[0].database, "alpha");
    assert_int_equal(m.users[1].privileges[0].privilege, 1);
    tsm_meta_release(&m);
}

/* Read and written again it is the same, byte for byte. */
static void identity(void **state)
{
    (void)state;
    struct tsm_buf bytes = {0}, again = {0};
    struct tsm_meta m;
    read_golden(&bytes);
    assert_int_equal(tsm_meta_decode(bytes.data, bytes.len, &m, NULL), TSM_OK);
    tsm_meta_encode(&m, &again);
    assert_int_equal(again.len, bytes.len);
    assert_memory_equal(again.data, bytes.data, bytes.len);
    tsm_meta_release(&m);
    tsm_buf_release(&again);
    tsm_buf_release(&bytes);
}

/* Fields that nobody knows yet survive at every level. */
static void unknown_fields(void **state)
{
    (void)state;
    static const uint8_t text[] = "\x08\x01\x10\x02\x18\x03" /* term, index, cluster */
                                  "\xa2\x06\x02zz"           /* field 100 of the whole */
                                  "\x2a\x39"                 /* database */
                                  "\x0a\x01"
                                  "d\x12\x01r\xa2\x06\x01y" /* its name, default policy, field 100 */
                                  "\x1a\x2d"                /* policy */
                                  "\x0a\x01"
                                  "r\x10\x00\x18\x80\x80\xa4\xc9\xff\xc1\x89\x01\x20\x01\xa0\x06\x05"
                                  "\x2a\x18" /* group */
                                  "\x08\x01\x10\x00\x18\x05\x20\x00"
                                  "\x2a\x06\x08\x01\x1a\x02\x08\x07" /* shard with an owner */
                                  "\xa5\x06"
                                  "abcd\x30"
                                  "\x03"                      /* fixed field 100; truncated */
                                  "\x38\x09\x40\x01\x48\x01"; /* maxima */
    const size_t len = sizeof text - 1;
    struct tsm_meta m, n;
    struct tsm_err err;
    struct tsm_buf a = {0}, b = {0};
    if (tsm_meta_decode(text, len, &m, &err))
        fail_msg("%s", err.msg);
    assert_int_equal(m.unknown.n, 5);
    assert_int_equal(m.databases[0].unknown.n, 4);
    assert_int_equal(m.databases[0].rps[0].unknown.n, 3);
    struct tsm_shard_group *g = &m.databases[0].rps[0].groups[0];
    assert_true(g->unknown.n == 6 && g->truncated_at == 3);
    assert_ptr_equal(tsm_rp_group_at(&m.databases[0].rps[0], 2), g);
    assert_null(tsm_rp_group_at(&m.databases[0].rps[0], 3));
    assert_int_equal(m.max_node_id, 9);
    tsm_meta_encode(&m, &a);
    assert_int_equal(a.len, len);
    assert_int_equal(tsm_meta_decode(a.data, a.len, &n, NULL), TSM_OK);
    tsm_meta_encode(&n, &b);
    assert_memory_equal(a.data, b.data, a.len);
    assert_int_equal(n.databases[0].rps[0].groups[0].shard_bytes[0].n, 6);
    tsm_meta_release(&m);
    tsm_meta_release(&n);
    tsm_buf_release(&a);
    tsm_buf_release(&b);
}

/* Cut anywhere it is an error with an offset; with any bit flipped it is read or refused, never more. */
static void damage(void **state)
{
    (void)state;
    struct tsm_buf bytes = {0}, out = {0};
    struct tsm_meta m;
    struct tsm_err err;
    read_golden(&bytes);
    for (size_t n = 0; n < bytes.len; n++) {
        uint8_t *copy = tsm_alloc(n);
        memcpy(copy, bytes.data, n);
        assert_int_equal(tsm_meta_decode(copy, n, &m, &err), TSM_ECORRUPT);
        assert_int_equal(m.ndatabases, 0);
        assert_non_null(strstr(err.msg, n ? "offset " : "empty"));
        tsm_free(copy);
    }
    for (size_t bit = 0; bit < bytes.len * 8; bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        if (tsm_meta_decode(bytes.data, bytes.len, &m, NULL) == TSM_OK) {
            tsm_buf_reset(&out);
            tsm_meta_encode(&m, &out);
        }
        tsm_meta_release(&m);
        bytes.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    tsm_buf_release(&bytes);
    tsm_buf_release(&out);
}

/* With a seal every flipped bit is found, every cut, and what is added. */
static void seal(void **state)
{
    (void)state;
    struct tsm_buf bytes = {0}, plain = {0}, again = {0};
    struct tsm_meta m;
    struct tsm_err err;
    read_golden(&plain);
    assert_int_equal(tsm_meta_decode(plain.data, plain.len, &m, NULL), TSM_OK);
    tsm_meta_encode_sealed(&m, &bytes);
    tsm_meta_release(&m);
    assert_int_equal(bytes.len, plain.len + 12);
    assert_memory_equal(bytes.data + 12, plain.data, plain.len);
    assert_int_equal(tsm_meta_decode(bytes.data, bytes.len, &m, &err), TSM_OK);
    tsm_meta_encode(&m, &again);
    assert_int_equal(again.len, plain.len); /* it is not kept as an unknown field */
    tsm_meta_release(&m);

    for (size_t bit = 0; bit < bytes.len * 8; bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_equal(tsm_meta_decode(bytes.data, bytes.len, &m, &err), TSM_ECORRUPT);
        assert_non_null(strstr(err.msg, "offset "));
        assert_int_equal(m.ndatabases, 0);
        bytes.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    for (size_t n = 0; n < bytes.len; n++) {
        uint8_t *copy = tsm_alloc(n);
        memcpy(copy, bytes.data, n);
        assert_int_equal(tsm_meta_decode(copy, n, &m, &err), TSM_ECORRUPT);
        tsm_free(copy);
    }
    tsm_buf_add(&bytes, "", 1);
    assert_int_equal(tsm_meta_decode(bytes.data, bytes.len, &m, &err), TSM_ECORRUPT);
    bytes.len--;

    /* Someone who keeps what he does not know writes it at the end, where it means nothing. */
    tsm_buf_add(&plain, bytes.data, 12);
    assert_int_equal(tsm_meta_decode(plain.data, plain.len, &m, &err), TSM_OK);
    tsm_buf_reset(&again);
    tsm_meta_encode_sealed(&m, &again);
    assert_int_equal(again.len, bytes.len);
    assert_memory_equal(again.data, bytes.data, bytes.len);
    tsm_meta_release(&m);
    tsm_buf_release(&bytes);
    tsm_buf_release(&plain);
    tsm_buf_release(&again);
}

/* A name in the file never leads out of the directory. */
static void bad_names(void **state)
{
    (void)state;
    static const char *const names[] = {"", ".", "..", "a/b", "../x"};
    for (size_t i = 0; i < 2 * sizeof names / sizeof *names; i++) {
        struct tsm_meta m = {0}, n;
        struct tsm_buf out = {0};
        struct tsm_err err;
        assert_int_equal(tsm_meta_create_database(&m, TSM_STR("good"), NULL, NULL), TSM_OK);
        struct tsm_str bad = tsm_str_of(names[i / 2]);
        if (i % 2)
            m.databases[0].name = bad;
        else
            m.databases[0].rps[0].name = bad;
        tsm_meta_encode(&m, &out);
        assert_int_equal(tsm_meta_decode(out.data, out.len, &n, &err), TSM_ECORRUPT);
        assert_non_null(strstr(err.msg, "name"));
        tsm_meta_release(&m);
        tsm_buf_release(&out);
    }
}

static void load_save(void **state)
{
    (void)state;
    char dir[] = "/tmp/tsmkit-test-XXXXXX";
    struct tsm_meta m;
    struct tsm_err err;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(tsm_meta_load(&tsm_fs_posix, dir, &m, &err), TSM_OK);
    assert_true(m.index == 1 && m.cluster_id != 0 && m.ndatabases == 0);
    uint64_t cluster = m.cluster_id;
    assert_int_equal(tsm_meta_create_database(&m, TSM_STR("db"), NULL, &err), TSM_OK);
    assert_int_equal(tsm_meta_save(&tsm_fs_posix, dir, &m, &err), TSM_OK);
    tsm_meta_release(&m);
    assert_int_equal(tsm_meta_load(&tsm_fs_posix, dir, &m, &err), TSM_OK);
    assert_true(m.index == 2 && m.cluster_id == cluster && m.ndatabases == 1);
    tsm_meta_release(&m);

    char path[64];
    snprintf(path, sizeof path, "%s/meta/meta.db", dir);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(tsm_meta_load(&tsm_fs_posix, dir, &m, &err), TSM_ECORRUPT);
    assert_non_null(strstr(err.msg, "meta.db: the file is empty"));

    /* Without the file, shards would be numbered from 1 again, into folders that are there. */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(tsm_meta_load(&tsm_fs_posix, dir, &m, &err), TSM_OK);
    tsm_meta_release(&m);
    snprintf(path, sizeof path, "%s/data/db", dir);
    assert_int_equal(tsm_fs_make_dirs(&tsm_fs_posix, path, &err), TSM_OK);
    assert_int_equal(tsm_meta_load(&tsm_fs_posix, dir, &m, &err), TSM_ECORRUPT);
    assert_non_null(strstr(err.msg, "meta.db: missing"));
    assert_int_equal(tsm_fs_remove_tree(&tsm_fs_posix, dir, &err), TSM_OK);
}

/* ---- influxd's rules --------------------------------------------------------------------------- */

/* A specification in one line; -1 leaves a number out. */
struct spec {
    int64_t duration, shard;
    uint32_t replicas;
    struct tsm_rp_spec s;
};

static struct tsm_rp_spec *spec(struct spec *x, const char *name, int64_t duration, int64_t shard,
                                int replicas)
{
    *x = (struct spec){.duration = duration, .shard = shard, .replicas = (uint32_t)replicas};
    x->s.name = tsm_str_of(name);
    x->s.duration = duration >= 0 ? &x->duration : NULL;
    x->s.shard_group_duration = shard >= 0 ? &x->shard : NULL;
    x->s.replica_n = replicas >= 0 ? &x->replicas : NULL;
    return &x->s;
}

static void refused(int rc, const struct tsm_err *err, const char *text)
{
    assert_int_equal(rc, TSM_EQUERY);
    assert_string_equal(err->msg, text);
}

#define CONFLICT "retention policy conflicts with an existing policy"
#define INCOMPATIBLE "retention policy duration must be greater than the shard duration"
#define TOO_SHORT "retention policy duration must be at least 1h0m0s"

static void create_database(void **state)
{
    (void)state;
    struct tsm_meta m = {0};
    struct tsm_err err;
    struct spec x;
    struct tsm_str a = TSM_STR("a"), b = TSM_STR("b");
    assert_int_equal(tsm_meta_create_database(&m, a, NULL, &err), TSM_OK);
    assert_int_equal(tsm_meta_create_database(&m, a, NULL, &err), TSM_OK);
    assert_int_equal(m.ndatabases, 1);
    struct tsm_rp *rp = tsm_meta_rp(tsm_meta_database(&m, a), TSM_STR(""));
    same(rp->name, "autogen");
    assert_true(rp->duration == 0 && rp->shard_group_duration == TSM_WEEK && rp->replica_n == 1);
    /* WITH DURATION INF is what is there; another duration or name is not */
    assert_int_equal(tsm_meta_create_database(&m, a, spec(&x, "", 0, -1, -1), &err), TSM_OK);
    refused(tsm_meta_create_database(&m, a, spec(&x, "", TSM_DAY, -1, -1), &err), &err, CONFLICT);
    refused(tsm_meta_create_database(&m, a, spec(&x, "x", 0, -1, -1), &err), &err, CONFLICT);
    refused(tsm_meta_create_database(&m, a, spec(&x, "", -1, TSM_DAY, -1), &err), &err, CONFLICT);
    refused(tsm_meta_create_database(&m, a, spec(&x, "", -1, -1, 2), &err), &err, CONFLICT);
    /* an existing policy that is not the default */
    assert_int_equal(tsm_meta_create_rp(&m, a, spec(&x, "second", TSM_DAY, -1, -1), &err), TSM_OK);
    refused(tsm_meta_create_database(&m, a, spec(&x, "second", TSM_DAY, -1, -1), &err), &err, CONFLICT);

    refused(tsm_meta_create_database(&m, b, spec(&x, "p", TSM_MINUTE, -1, -1), &err), &err, TOO_SHORT);
    refused(tsm_meta_create_database(&m, b, spec(&x, "p", TSM_HOUR, TSM_DAY, -1), &err), &err, INCOMPATIBLE);
    refused(tsm_meta_create_database(&m, b, spec(&x, "p/", TSM_DAY, -1, -1), &err), &err, "invalid name");
    refused(tsm_meta_create_database(&m, b, spec(&x, "p", TSM_DAY, -1, 0), &err), &err,
            "replication factor must be greater than 0");
    assert_int_equal(m.ndatabases, 1); /* nothing half done */
    assert_int_equal(tsm_meta_create_database(&m, b, spec(&x, "p", TSM_DAY, 1, 3), &err), TSM_OK);
    rp = tsm_meta_rp(&m.databases[1], TSM_STR("p"));
    assert_true(rp->shard_group_duration == TSM_HOUR && rp->replica_n == 3);
    same(m.databases[1].default_rp, "p");

    char longest[257];
    memset(longest, 'n', sizeof longest);
    assert_int_equal(tsm_meta_create_database(&m, tsm_str(longest, 255), NULL, &err), TSM_OK);
    refused(tsm_meta_create_database(&m, tsm_str(longest, 256), NULL, &err), &err, "name too long");
    static const char *const bad[] = {"",     ".",    "..",       "a/b",         "a\\b",
                                      "a\nb", "\x7f", "\xc2\x85", "\xe2\x80\x8b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refused(tsm_meta_create_database(&m, tsm_str_of(bad[i]), NULL, &err), &err, "invalid name");
    static const char *const good[] = {"a b", "...", "ä", "日本", "a\"b", "\xf0\x9f\x98\x80"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(tsm_meta_create_database(&m, tsm_str_of(good[i]), NULL, &err), TSM_OK);
    tsm_meta_release(&m);
}

static void create_rp(void **state)
{
    (void)state;
    struct tsm_meta m = {0};
    struct tsm_err err;
    struct spec x;
    struct tsm_str db = TSM_STR("db");
    refused(tsm_meta_create_rp(&m, db, spec(&x, "p", 0, -1, 1), &err), &err, "database not found: db");
    assert_int_equal(tsm_meta_create_database(&m, db, NULL, &err), TSM_OK);
    static const struct {
        int64_t duration, given, shard;
    } defaults[] = {
        {0, -1, TSM_WEEK},         {180 * TSM_DAY, -1, TSM_WEEK},   {180 * TSM_DAY - 1, -1, TSM_DAY},
        {2 * TSM_DAY, 0, TSM_DAY}, {2 * TSM_DAY - 1, -1, TSM_HOUR}, {TSM_HOUR, -1, TSM_HOUR},
        {TSM_DAY, 1, TSM_HOUR},    {TSM_DAY, TSM_DAY, TSM_DAY},     {0, 3 * TSM_WEEK, 3 * TSM_WEEK},
    };
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++) {
        char name[8];
        snprintf(name, sizeof name, "p%zu", i);
        assert_int_equal(
            tsm_meta_create_rp(&m, db, spec(&x, name, defaults[i].duration, defaults[i].given, 1), &err),
            TSM_OK);
        struct tsm_rp *rp = tsm_meta_rp(&m.databases[0], tsm_str_of(name));
        assert_true(rp->shard_group_duration == defaults[i].shard);
    }
    same(m.databases[0].default_rp, "autogen");
    size_t n = m.databases[0].nrps;
    refused(tsm_meta_create_rp(&m, db, spec(&x, "q", TSM_HOUR - 1, -1, 1), &err), &err, TOO_SHORT);
    refused(tsm_meta_create_rp(&m, db, spec(&x, "q", TSM_HOUR, TSM_DAY, 1), &err), &err, INCOMPATIBLE);
    refused(tsm_meta_create_rp(&m, db, spec(&x, "", 0, -1, 1), &err), &err, "invalid name");
    refused(tsm_meta_create_rp(&m, db, spec(&x, "p0", TSM_DAY, -1, 1), &err), &err,
            "retention policy already exists");
    assert_int_equal(tsm_meta_create_rp(&m, db, spec(&x, "p0", 0, -1, 1), &err), TSM_OK);
    spec(&x, "p0", 0, -1, 1)->make_default = true;
    refused(tsm_meta_create_rp(&m, db, &x.s, &err), &err, CONFLICT);
    assert_int_equal(m.databases[0].nrps, n);
    spec(&x, "new", 0, -1, 1)->make_default = true;
    assert_int_equal(tsm_meta_create_rp(&m, db, &x.s, &err), TSM_OK);
    same(m.databases[0].default_rp, "new");
    assert_int_equal(tsm_meta_drop_rp(&m, db, TSM_STR("p3")), TSM_OK);
    assert_int_equal(tsm_meta_drop_rp(&m, db, TSM_STR("p3")), TSM_ENOTFOUND);
    assert_int_equal(tsm_meta_drop_rp(&m, TSM_STR("nix"), TSM_STR("p3")), TSM_ENOTFOUND);
    assert_int_equal(m.databases[0].nrps, n);
    assert_null(tsm_meta_rp(&m.databases[0], TSM_STR("p3")));
    assert_non_null(tsm_meta_rp(&m.databases[0], TSM_STR("p4")));
    /* Dropping the default one leaves its name, as in influxd; there is none then. */
    assert_int_equal(tsm_meta_drop_rp(&m, db, TSM_STR("new")), TSM_OK);
    assert_null(tsm_meta_rp(&m.databases[0], TSM_STR("")));
    tsm_meta_release(&m);
}

static void alter_rp(void **state)
{
    (void)state;
    struct tsm_meta m = {0};
    struct tsm_err err;
    struct spec x;
    struct tsm_str db = TSM_STR("db");
    refused(tsm_meta_alter_rp(&m, db, spec(&x, "p", 0, -1, -1), &err), &err, "database not found: db");
    assert_int_equal(tsm_meta_create_database(&m, db, NULL, &err), TSM_OK);
    refused(tsm_meta_alter_rp(&m, db, spec(&x, "p", 0, -1, -1), &err), &err, "retention policy not found: p");
    assert_int_equal(tsm_meta_create_rp(&m, db, spec(&x, "p", TSM_WEEK, -1, 1), &err), TSM_OK);
    struct tsm_rp *rp = tsm_meta_rp(&m.databases[0], TSM_STR("p"));
    assert_true(rp->shard_group_duration == TSM_DAY);

    refused(tsm_meta_alter_rp(&m, db, spec(&x, "p", TSM_MINUTE, -1, -1), &err), &err, TOO_SHORT);
    refused(tsm_meta_alter_rp(&m, db, spec(&x, "p", TSM_HOUR, -1, -1), &err), &err, INCOMPATIBLE);
    refused(tsm_meta_alter_rp(&m, db, spec(&x, "p", -1, 2 * TSM_WEEK, -1), &err), &err, INCOMPATIBLE);
    refused(tsm_meta_alter_rp(&m, db, spec(&x, "p", TSM_DAY, TSM_WEEK, -1), &err), &err, INCOMPATIBLE);
    assert_true(rp->duration == TSM_WEEK && rp->shard_group_duration == TSM_DAY);

    assert_int_equal(tsm_meta_alter_rp(&m, db, spec(&x, "p", TSM_DAY, -1, 5), &err), TSM_OK);
    assert_true(rp->duration == TSM_DAY && rp->shard_group_duration == TSM_DAY && rp->replica_n == 5);
    assert_int_equal(tsm_meta_alter_rp(&m, db, spec(&x, "p", 0, TSM_MINUTE, -1), &err), TSM_OK);
    assert_true(rp->duration == 0 && rp->shard_group_duration == TSM_HOUR);
    assert_int_equal(tsm_meta_alter_rp(&m, db, spec(&x, "p", -1, 0, -1), &err), TSM_OK);
    assert_true(rp->shard_group_duration == TSM_WEEK);
    same(m.databases[0].default_rp, "autogen");
    spec(&x, "p", -1, -1, -1)->make_default = true;
    assert_int_equal(tsm_meta_alter_rp(&m, db, &x.s, &err), TSM_OK);
    same(m.databases[0].default_rp, "p");
    tsm_meta_release(&m);
}

static void drop_database(void **state)
{
    (void)state;
    struct tsm_buf bytes = {0};
    struct tsm_meta m;
    read_golden(&bytes);
    assert_int_equal(tsm_meta_decode(bytes.data, bytes.len, &m, NULL), TSM_OK);
    assert_int_equal(tsm_meta_drop_database(&m, TSM_STR("alpha")), TSM_OK);
    assert_int_equal(tsm_meta_drop_database(&m, TSM_STR("alpha")), TSM_ENOTFOUND);
    assert_int_equal(m.ndatabases, 1);
    same(m.databases[0].name, "zeta db");
    assert_int_equal(m.users[1].nprivileges, 0);
    tsm_meta_release(&m);
    tsm_buf_release(&bytes);
}

static void groups(void **state)
{
    (void)state;
    struct tsm_meta m = {0};
    bool created;
    assert_int_equal(tsm_meta_create_database(&m, TSM_STR("db"), NULL, NULL), TSM_OK);
    struct tsm_rp *rp = &m.databases[0].rps[0];
    struct tsm_shard_group *g = tsm_meta_group_for(&m, rp, 1600000000 * TSM_SEC, &created);
    assert_true(created && g->id == 1 && g->shards[0] == 1 && g->nshards == 1);
    assert_true(g->start == 1599436800 * TSM_SEC && g->end == 1600041600 * TSM_SEC);
    assert_ptr_equal(tsm_meta_group_for(&m, rp, g->start, &created), g);
    assert_false(created);
    assert_ptr_equal(tsm_meta_group_for(&m, rp, g->end - 1, &created), g);
    assert_false(created);
    static const int64_t times[] = {
        TSM_TIME_MAX,
        TSM_TIME_MIN,
        0,
        -1,
        1,
        TSM_TIME_MIN + TSM_WEEK,
        1600041600 * TSM_SEC,
        TSM_TIME_MAX - TSM_WEEK,
    };
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        g = tsm_meta_group_for(&m, rp, times[i], &created);
        assert_true(g->start <= times[i] && times[i] < g->end);
    }
    assert_int_equal(rp->ngroups, 7); /* 0, -1 and 1 share one */
    assert_true(rp->groups[0].start == INT64_MIN && rp->groups[0].end == rp->groups[1].start);
    for (size_t i = 0; i + 1 < rp->ngroups; i++)
        assert_true(rp->groups[i].end <= rp->groups[i + 1].start);
    assert_true(rp->groups[6].end == INT64_MAX);
    assert_true(m.max_shard_id == 7 && m.max_shard_group_id == 7);

    /* A deleted group is passed over; ids are never used again, even when the maxima in the file are too low.
     */
    rp->groups[3].deleted_at = 5;
    m.max_shard_id = m.max_shard_group_id = 0;
    struct tsm_buf out = {0};
    struct tsm_meta n;
    tsm_meta_encode(&m, &out);
    assert_int_equal(tsm_meta_decode(out.data, out.len, &n, NULL), TSM_OK);
    assert_true(n.max_shard_id == 7 && n.max_shard_group_id == 7);
    rp = &n.databases[0].rps[0];
    assert_true(rp->groups[0].start == INT64_MIN);
    g = tsm_meta_group_for(&n, rp, rp->groups[3].start, &created);
    assert_true(created && g->id == 8 && g->shards[0] == 8);
    tsm_buf_release(&out);
    tsm_meta_release(&n);
    tsm_meta_release(&m);
}

/* influxd writes the start of a group that begins before 1677 wrapped around to a time after its end. */
static void wrapped_start(void **state)
{
    (void)state;
    struct tsm_meta m = {0}, n;
    struct tsm_buf out = {0};
    bool created;
    assert_int_equal(tsm_meta_create_database(&m, TSM_STR("db"), NULL, NULL), TSM_OK);
    struct tsm_shard_group *g = tsm_meta_group_for(&m, &m.databases[0].rps[0], TSM_TIME_MIN, &created);
    g->start = INT64_MAX - 2 * TSM_DAY;
    tsm_meta_encode(&m, &out);
    assert_int_equal(tsm_meta_decode(out.data, out.len, &n, NULL), TSM_OK);
    assert_non_null(tsm_rp_group_at(&n.databases[0].rps[0], TSM_TIME_MIN));
    tsm_buf_release(&out);
    tsm_meta_release(&n);
    tsm_meta_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden),          cmocka_unit_test(identity),  cmocka_unit_test(unknown_fields),
        cmocka_unit_test(damage),          cmocka_unit_test(seal),      cmocka_unit_test(bad_names),
        cmocka_unit_test(load_save),       cmocka_unit_test(create_rp), cmocka_unit_test(alter_rp),
        cmocka_unit_test(create_database), cmocka_unit_test(groups),    cmocka_unit_test(drop_database),
        cmocka_unit_test(wrapped_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
