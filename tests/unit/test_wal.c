/* tests/unit/test_wal.c: records of the write-ahead log: round trips, cuts, every flipped bit, what lies between records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "format/wal.h"

enum { RECORDS = 4 };

static const char *const payloads[RECORDS] = {
    "short",
    "long long long long long long long long long long long long long long long long long long long long",
    "",
    "the end, the end, the end, the end, the end, the end, the end, the end, the end, the end, the end",
};

/* A segment with all of them, sequences from 7; ends[i] is where record i ends. */
static void make(struct tsm_buf *b, size_t ends[RECORDS])
{
    for (int i = 0; i < RECORDS; i++) {
        tsm_wal_encode(b, i == 2 ? TSM_WAL_DELETE : TSM_WAL_POINTS, 7 + (uint64_t)i, tsm_str_of(payloads[i]));
        ends[i] = b->len;
    }
}

/* Reads everything; found[i] says whether record i was there as it should be. Returns the number of damaged stretches. */
static int read_all(const uint8_t *p, size_t len, bool found[RECORDS], bool *torn)
{
    struct tsm_wal_reader r = {.p = p, .len = len};
    struct tsm_wal_record record;
    struct tsm_err err;
    int damaged = 0, rc;
    memset(found, 0, RECORDS * sizeof *found);
    while ((rc = tsm_wal_next(&r, &record, &err)) != TSM_ENOTFOUND) {
        if (rc == TSM_ECORRUPT) {
            assert_non_null(strstr(err.msg, "offset "));
            damaged++;
            continue;
        }
        assert_int_equal(rc, TSM_OK);
        assert_in_range(record.sequence, 7, 7 + RECORDS - 1);
        size_t i = (size_t)(record.sequence - 7);
        assert_true(tsm_str_eq(record.payload, tsm_str_of(payloads[i])));
        assert_int_equal(record.kind, i == 2 ? TSM_WAL_DELETE : TSM_WAL_POINTS);
        assert_false(found[i]);
        found[i] = true;
    }
    *torn = r.torn;
    tsm_wal_reader_release(&r);
    return damaged;
}

static void records_come_back(void **state)
{
    (void)state;
    struct tsm_buf b = {0};
    size_t ends[RECORDS];
    bool found[RECORDS], torn;
    make(&b, ends);
    assert_int_equal(read_all(b.data, b.len, found, &torn), 0);
    assert_false(torn);
    for (int i = 0; i < RECORDS; i++)
        assert_true(found[i]);
    assert_true(ends[1] - ends[0] < TSM_WAL_HEADER + strlen(payloads[1])); /* compressed */
    assert_int_equal(read_all(b.data, 0, found, &torn), 0);
    tsm_buf_release(&b);
}

/* A cut takes the record that it is in, without a word, and no other. */
static void a_cut_end_is_no_damage(void **state)
{
    (void)state;
    struct tsm_buf b = {0};
    size_t ends[RECORDS];
    bool found[RECORDS], torn;
    make(&b, ends);
    for (size_t n = 0; n < b.len; n++) {
        uint8_t *copy = tsm_alloc(n + 1);
        memcpy(copy, b.data, n);
        bool boundary = n == 0;
        assert_int_equal(read_all(copy, n, found, &torn), 0);
        for (int i = 0; i < RECORDS; i++) {
            assert_int_equal(found[i], ends[i] <= n);
            boundary |= ends[i] == n;
        }
        assert_int_equal(torn, !boundary);
        tsm_free(copy);
    }
    tsm_buf_release(&b);
}

/* One flipped bit loses the record that it is in, and is reported. */
static void a_flipped_bit_loses_one_record(void **state)
{
    (void)state;
    struct tsm_buf b = {0};
    size_t ends[RECORDS];
    bool found[RECORDS], torn;
    make(&b, ends);
    for (size_t bit = 0; bit < 8 * b.len; bit++) {
        size_t hit = 0;
        while (ends[hit] <= bit / 8)
            hit++;
        b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(read_all(b.data, b.len, found, &torn), 1);
        assert_false(torn);
        for (size_t i = 0; i < RECORDS; i++)
            assert_int_equal(found[i], i != hit);
        b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    tsm_buf_release(&b);
}

static void foreign_bytes_between_records_are_passed_over(void **state)
{
    (void)state;
    struct tsm_buf b = {0}, c = {0};
    size_t ends[RECORDS];
    bool found[RECORDS], torn;
    make(&b, ends);
    tsm_buf_puts(&c, "TSMR garbage TSMRTSMR that is longer than a header of a record");
    tsm_buf_add(&c, b.data, ends[1]);
    tsm_buf_add(&c, b.data + ends[1], 20); /* a writer that died, and one that came after it */
    tsm_buf_add(&c, b.data + ends[2], ends[3] - ends[2]);
    assert_int_equal(read_all(c.data, c.len, found, &torn), 2);
    assert_true(found[0] && found[1] && !found[2] && found[3]);
    /* zeros at the end are what a file system leaves when the power fails */
    memset(tsm_buf_room(&b, 100), 0, 100);
    assert_int_equal(read_all(b.data, b.len + 100, found, &torn), 0);
    assert_true(torn && found[3]);
    tsm_buf_puts(&b, "something else, longer than the header of a record is");
    assert_int_equal(read_all(b.data, b.len, found, &torn), 1);
    tsm_buf_release(&b);
    tsm_buf_release(&c);
}

static int collect(void *ctx, struct tsm_str key, int64_t tmin, int64_t tmax, struct tsm_err *err)
{
    (void)err;
    tsm_buf_printf(ctx, "%.*s %lld %lld;", (int)key.n, key.p, (long long)tmin, (long long)tmax);
    return TSM_OK;
}

static void deletes_come_back(void **state)
{
    (void)state;
    struct tsm_buf b = {0}, text = {0};
    struct tsm_err err;
    tsm_wal_delete_begin(&b, INT64_MIN, 5);
    assert_int_equal(tsm_wal_delete_read(tsm_buf_view(&b), collect, &text, &err), TSM_OK);
    assert_int_equal(text.len, 0);
    tsm_wal_delete_key(&b, TSM_STR("cpu#!~#f"));
    tsm_wal_delete_key(&b, TSM_STR("mem#!~#g"));
    assert_int_equal(tsm_wal_delete_read(tsm_buf_view(&b), collect, &text, &err), TSM_OK);
    assert_string_equal(tsm_buf_cstr(&text),
                        "cpu#!~#f -9223372036854775808 5;mem#!~#g -9223372036854775808 5;");
    tsm_buf_reset(&text);
    for (size_t n = 0; n < b.len; n++)
        if (n != 16 && n != 16 + 12)
            assert_int_equal(tsm_wal_delete_read(tsm_str((char *)b.data, n), collect, &text, &err),
                             TSM_ECORRUPT);
    assert_int_equal(text.len, 0);
    tsm_buf_release(&b);
    tsm_buf_release(&text);
}

static void names_of_segments(void **state)
{
    (void)state;
    char name[TSM_WAL_NAME_MAX];
    uint32_t n;
    tsm_wal_name_format(name, 42);
    assert_string_equal(name, "000000042.log");
    assert_true(tsm_wal_name_parse(tsm_str_of(name), &n));
    assert_int_equal(n, 42);
    tsm_wal_name_format(name, UINT32_MAX);
    assert_true(tsm_wal_name_parse(tsm_str_of(name), &n) && n == UINT32_MAX);
    static const char *const bad[] = {"",
                                      "42.log",
                                      "_00042.wal",
                                      "000000042.log.tmp",
                                      "00000042x.log",
                                      "append.lock",
                                      "0000000042.log",
                                      "4294967296.log",
                                      ".log"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(tsm_wal_name_parse(tsm_str_of(bad[i]), NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_back),
        cmocka_unit_test(a_cut_end_is_no_damage),
        cmocka_unit_test(a_flipped_bit_loses_one_record),
        cmocka_unit_test(foreign_bytes_between_records_are_passed_over),
        cmocka_unit_test(deletes_come_back),
        cmocka_unit_test(names_of_segments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
