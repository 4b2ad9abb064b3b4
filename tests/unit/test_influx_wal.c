/* tests/unit/test_influx_wal.c: influxd's log segments: all.wal, made by influxd, and made-up ones. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "format/influx_wal.h"
#include "wal_maker.h"

/* What was visited, as text: a line per value and per delete. */
struct story {
    struct tsm_buf text;
    int stop_after; /* calls; 0: never */
    int damages;
    char last[1024];
};

static int called(struct story *s)
{
    return s->stop_after && --s->stop_after == 0 ? TSM_ESTOP : TSM_OK;
}

static int on_write(void *ctx, struct tsm_str key, const struct tsm_values *v, struct tsm_err *err)
{
    (void)err;
    struct story *s = ctx;
    for (size_t i = 0; i < v->n; i++) {
        union tsm_value x = tsm_values_get(v, i);
        tsm_buf_printf(&s->text, "%.*s %lld ", (int)key.n, key.p, (long long)v->t[i]);
        switch (v->type) {
        case TSM_FLOAT:
            tsm_buf_printf(&s->text, "%g\n", x.f);
            break;
        case TSM_INTEGER:
            tsm_buf_printf(&s->text, "%lldi\n", (long long)x.i);
            break;
        case TSM_UNSIGNED:
            tsm_buf_printf(&s->text, "%lluu\n", (unsigned long long)x.u);
            break;
        case TSM_BOOLEAN:
            tsm_buf_printf(&s->text, "%s\n", x.b ? "true" : "false");
            break;
        default:
            if (x.s.n > 100)
                tsm_buf_printf(&s->text, "%zu bytes\n", x.s.n);
            else
                tsm_buf_printf(&s->text, "\"%.*s\"\n", (int)x.s.n, x.s.p);
            break;
        }
    }
    return called(s);
}

static int on_remove(void *ctx, struct tsm_str key, int64_t tmin, int64_t tmax, struct tsm_err *err)
{
    (void)err;
    struct story *s = ctx;
    tsm_buf_printf(&s->text, "remove %.*s %lld %lld\n", (int)key.n, key.p, (long long)tmin, (long long)tmax);
    return called(s);
}

static int on_damage(void *ctx, struct tsm_err *err)
{
    struct story *s = ctx;
    s->damages++;
    snprintf(s->last, sizeof s->last, "%s", err->msg);
    return TSM_OK;
}

static struct tsm_wal_visitor visitor(struct story *s, bool skip)
{
    return (struct tsm_wal_visitor){s, on_write, on_remove, skip ? on_damage : NULL};
}

static const char *golden_path = "tests/unit/golden/all.wal";

static void read_golden(struct tsm_buf *out)
{
    struct tsm_err err;
    if (tsm_fs_read_file(&tsm_fs_posix, golden_path, 1 << 20, out, &err))
        fail_msg("%s", err.msg);
}

static int by_line(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Compares the lines of what was visited with those wanted. influxd writes the keys of one record in any
 * order; so do we compare: sorted. */
static void check_lines(struct story *s, const char *const *want, size_t n)
{
    char *lines[64], *p = tsm_buf_cstr(&s->text), *end;
    size_t got = 0;
    for (; (end = strchr(p, '\n')) && got < 64; p = end + 1) {
        *end = 0;
        lines[got++] = p;
    }
    qsort(lines, got, sizeof *lines, by_line);
    for (size_t i = 0; i < got && i < n; i++)
        assert_string_equal(lines[i], want[i]);
    assert_int_equal(got, n);
}

static void golden(void **state)
{
    (void)state;
    static const char *const want[] = {
        "all,host=a#!~#b 1000 true",
        "all,host=a#!~#b 2000 true",
        "all,host=a#!~#b 3000 false",
        "all,host=a#!~#f 1000 1.5",
        "all,host=a#!~#f 2000 1e+300",
        "all,host=a#!~#f 2000 99",
        "all,host=a#!~#f 3000 -0.25",
        "all,host=a#!~#i 1000 -7i",
        "all,host=a#!~#i 2000 -9223372036854775808i",
        "all,host=a#!~#i 3000 9223372036854775807i",
        "all,host=a#!~#s 1000 \"text\"",
        "all,host=a#!~#s 2000 \"ä \"q\" \\ end\"",
        "all,host=a#!~#s 3000 \"\"",
        "all,host=b#!~#f 1000 1",
        "all,host=b#!~#f 2000 2",
        "all,host=b#!~#f 3000 3",
        "all,host=b#!~#f 3000 33",
        "all,host=b#!~#f 4000 4",
        "gone#!~#v 1 1i",
        "gone#!~#v 2 2i",
        "long#!~#s 5 3000 bytes",
        "remove all,host=b#!~#f 2000 3000",
        "remove gone#!~#v -9223372036854775808 9223372036854775807",
    };
    struct story s = {0};
    struct tsm_wal_visitor v = visitor(&s, false);
    struct tsm_err err;
    uint64_t torn = 1;
    if (tsm_influx_wal_read(&tsm_fs_posix, golden_path, &v, &torn, &err))
        fail_msg("%s", err.msg);
    assert_true(torn == 0);
    const char *text = tsm_buf_cstr(&s.text);
    const char *delete = strstr(text, "remove all");
    assert_non_null(delete);
    assert_true(strstr(text, "host=b#!~#f 3000 3\n") < delete &&strstr(text, "host=b#!~#f 3000 33\n") >
                delete);
    check_lines(&s, want, sizeof want / sizeof *want);
    tsm_buf_release(&s.text);
}

/* Ends of the records of the golden segment. */
static size_t record_ends(const struct tsm_buf *b, size_t *ends)
{
    size_t n = 0;
    for (size_t at = 0; at < b->len; ends[n++] = at)
        at += 5 + tsm_get_be32(b->data + at + 1);
    return n;
}

/* Cut at every byte: all whole records are there, the rest is counted as torn. */
static void torn_anywhere(void **state)
{
    (void)state;
    struct tsm_buf b = {0};
    size_t ends[32], before = 0;
    read_golden(&b);
    assert_int_equal(record_ends(&b, ends), 8);
    size_t visited[9] = {0};
    for (size_t len = 0; len <= b.len; len++) {
        struct story s = {0};
        struct tsm_wal_visitor v = visitor(&s, false);
        uint64_t torn;
        uint8_t *copy = tsm_alloc(len);
        memcpy(copy, b.data, len);
        if (before < 8 && len == ends[before])
            before++;
        assert_int_equal(tsm_influx_wal_scan(copy, len, &v, &torn, NULL), TSM_OK);
        assert_true(torn == len - (before ? ends[before - 1] : 0));
        if (torn == 0)
            visited[before] = s.text.len;
        assert_int_equal(s.text.len, visited[before]);
        tsm_buf_release(&s.text);
        tsm_free(copy);
    }
    assert_true(visited[8] > visited[1] && visited[1] > 0);
    tsm_buf_release(&b);
}

/* Every single bit flipped: no crash, and never fewer records than those before the damage. */
static void bit_flips(void **state)
{
    (void)state;
    struct tsm_buf b = {0};
    read_golden(&b);
    unsigned refused = 0;
    for (size_t bit = 0; bit < b.len * 8; bit++) {
        struct story s = {0}, all = {0};
        struct tsm_wal_visitor v = visitor(&s, false), skip = visitor(&all, true);
        struct tsm_err err;
        uint64_t torn;
        b.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        int rc = tsm_influx_wal_scan(b.data, b.len, &v, &torn, &err);
        assert_true(rc == TSM_OK || rc == TSM_ECORRUPT);
        if (rc) {
            refused++;
            assert_true(strncmp(err.msg, "offset ", 7) == 0 && strtoul(err.msg + 7, NULL, 10) <= bit / 8);
        }
        assert_int_equal(tsm_influx_wal_scan(b.data, b.len, &skip, &torn, NULL), TSM_OK);
        assert_int_equal(all.damages > 0, rc != TSM_OK);
        assert_true(all.text.len >= s.text.len);
        b.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        tsm_buf_release(&s.text);
        tsm_buf_release(&all.text);
    }
    assert_true(refused > b.len);
    tsm_buf_release(&b);
}

/* ---- made-up segments -------------------------------------------------------------------------- */

static const char unsigned_write[] = "\x05\x00\x03k#f\x00\x00\x00\x02"
                                     "\x00\x00\x00\x00\x00\x00\x00\x09\xff\xff\xff\xff\xff\xff\xff\xff"
                                     "\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x01";

static void unsigned_and_delete(void **state)
{
    (void)state;
    static const char *const want[] = {
        "k#f -1 1u",
        "k#f 9 18446744073709551615u",
        "remove a -9223372036854775808 9223372036854775807",
        "remove b -9223372036854775808 9223372036854775807",
        "remove k -2 5",
        "remove  -2 5",
    };
    struct tsm_buf b = {0};
    struct story s = {0};
    struct tsm_wal_visitor v = visitor(&s, false);
    uint64_t torn;
    wal_add_record(&b, 1, unsigned_write, sizeof unsigned_write - 1);
    wal_add_record(&b, 2, "a\nb", 3);
    wal_add_record(&b, 2, "", 0);
    wal_add_record(&b, 3, "\xff\xff\xff\xff\xff\xff\xff\xfe\0\0\0\0\0\0\0\x05\0\0\0\x01k\0\0\0\0", 25);
    wal_add_record(&b, 3, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
    assert_int_equal(tsm_influx_wal_scan(b.data, b.len, &v, &torn, NULL), TSM_OK);
    const char *sorted[6] = {want[5], want[0], want[1], want[2], want[3], want[4]};
    sorted[0] = want[0], sorted[1] = want[1], sorted[2] = want[5], sorted[3] = want[2], sorted[4] = want[3];
    check_lines(&s, sorted, 6);
    tsm_buf_release(&b);
    tsm_buf_release(&s.text);
}

/* Records whose compressed block is sound and whose content is not. */
static void lying_content(void **state)
{
    (void)state;
    static const struct {
        uint8_t kind;
        const char *content;
        size_t n;
        const char *cause;
    } cases[] = {
        {1, "\x09", 1, "unknown value type"},
        {1, "\0", 1, "unknown value type"},
        {1, "\x01\x00", 2, "a key is cut short"},
        {1, "\x01\xff\xffk", 4, "a key is cut short"},
        {1, "\x01\x00\x01k\x00\x00", 6, "a key is cut short"},
        {1, "\x01\x00\x01k\x00\x00\x00\x00", 8, "the number of values does not fit"},
        {1, "\x01\x00\x01k\xff\xff\xff\xff", 8, "the number of values does not fit"},
        {1, "\x01\x00\x01k\x00\x00\x00\x01tttttttttvvvv", 21, "a value is cut short"},
        {1, "\x04\x00\x01k\x00\x00\x00\x01tttttttt\xff\xff\xff\xffx", 21, "a value is cut short"},
        {3, "1234567812345", 13, "a time range is cut short"},
        {3, "1234567812345678\0\0\0\x05k", 21, "a key is cut short"},
        {3, "1234567812345678\0\0", 18, "a key is cut short"},
        {7, "x", 1, "unknown kind of record"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tsm_buf b = {0};
        struct story s = {0}, strict = {0};
        struct tsm_wal_visitor v = visitor(&s, true), w = visitor(&strict, false);
        struct tsm_err err;
        uint64_t torn;
        wal_add_record(&b, 2, "before", 6);
        size_t at = b.len;
        /* A good part before the bad one has no effect either. */
        struct tsm_buf content = {0};
        if (cases[i].kind == 1)
            tsm_buf_add(&content, unsigned_write, sizeof unsigned_write - 1);
        tsm_buf_add(&content, cases[i].content, cases[i].n);
        wal_add_record(&b, cases[i].kind, content.data, content.len);
        wal_add_record(&b, 2, "after", 5);
        assert_int_equal(tsm_influx_wal_scan(b.data, b.len, &v, &torn, NULL), TSM_OK);
        assert_int_equal(s.damages, 1);
        char wanted[128];
        snprintf(wanted, sizeof wanted, "offset %zu: %s", at, cases[i].cause);
        assert_string_equal(s.last, wanted);
        assert_non_null(strstr(tsm_buf_cstr(&s.text), "remove after"));
        assert_null(strstr(tsm_buf_cstr(&s.text), "k#f"));
        assert_int_equal(tsm_influx_wal_scan(b.data, b.len, &w, &torn, &err), TSM_ECORRUPT);
        assert_string_equal(err.msg, wanted);
        assert_null(strstr(tsm_buf_cstr(&strict.text), "remove after"));
        assert_non_null(strstr(tsm_buf_cstr(&strict.text), "remove before"));
        tsm_buf_release(&s.text);
        tsm_buf_release(&strict.text);
        tsm_buf_release(&content);
        tsm_buf_release(&b);
    }
}

/* The end of a file: what was torn by a crash is told from a wrong length. */
static void ends(void **state)
{
    (void)state;
    struct tsm_buf b = {0};
    struct story s = {0};
    struct tsm_wal_visitor v = visitor(&s, true);
    uint64_t torn;
    wal_add_record(&b, 2, "one", 3);
    size_t one = b.len;
    wal_add_record(&b, 2, "two", 3);
    size_t two = b.len;
    memset(tsm_buf_room(&b, 4096), 0, 4096);
    b.len += 4096; /* zeros behind the last record */
    assert_int_equal(tsm_influx_wal_scan(b.data, b.len, &v, &torn, NULL), TSM_OK);
    assert_true(torn == 4096 && s.damages == 0);
    tsm_put_be32(b.data + one + 1, 1000); /* the block is whole, so this length is a lie */
    assert_int_equal(tsm_influx_wal_scan(b.data, two, &v, &torn, NULL), TSM_OK);
    assert_true(torn == 0 && s.damages == 1);
    assert_non_null(strstr(s.last, "beyond the end of the file"));
    /* A block that claims to unpack to 4 GB. */
    tsm_buf_reset(&b);
    tsm_buf_add(&b, "\x01\0\0\0\x07\xff\xff\xff\xff\x0f\x00x", 12);
    assert_int_equal(tsm_influx_wal_scan(b.data, b.len, &v, &torn, NULL), TSM_OK);
    assert_non_null(strstr(s.last, "impossible length"));
    tsm_buf_release(&b);
    tsm_buf_release(&s.text);
}

static void stops(void **state)
{
    (void)state;
    for (int n = 1; n < 8; n++) {
        struct story s = {.stop_after = n};
        struct tsm_wal_visitor v = visitor(&s, true);
        uint64_t torn;
        assert_int_equal(tsm_influx_wal_read(&tsm_fs_posix, golden_path, &v, &torn, NULL), TSM_ESTOP);
        assert_int_equal(s.stop_after, 0);
        tsm_buf_release(&s.text);
    }
    struct story s = {0};
    struct tsm_wal_visitor v = visitor(&s, false);
    struct tsm_err err;
    uint64_t torn;
    assert_int_equal(tsm_influx_wal_read(&tsm_fs_posix, "/nonexistent/_00001.wal", &v, &torn, &err),
                     TSM_ENOTFOUND);
}

static void names(void **state)
{
    (void)state;
    uint32_t id = 0;
    assert_true(tsm_influx_wal_name(TSM_STR("_00001.wal"), &id) && id == 1);
    assert_true(tsm_influx_wal_name(TSM_STR("_123456.wal"), &id) && id == 123456);
    assert_true(tsm_influx_wal_name(TSM_STR("_4294967295.wal"), NULL));
    static const char *const bad[] = {
        "",          "_.wal",           "_0001.wal",  "00001.wal",     "_00001.wa",
        "_00001wal", "_4294967296.wal", "_0000a.wal", "_00001.wal.tmp"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(tsm_influx_wal_name(tsm_str_of(bad[i]), &id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden),    cmocka_unit_test(torn_anywhere),
        cmocka_unit_test(bit_flips), cmocka_unit_test(lying_content),
        cmocka_unit_test(ends),      cmocka_unit_test(unsigned_and_delete),
        cmocka_unit_test(stops),     cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
