/* tests/unit/test_rows_stream.c: what a sink was told comes out at the other end, in pieces of any size; and damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/alloc.h"
#include "result/rows_stream.h"
#include "result/writer.h"
#include "sys/zone_file.h"

static const struct tsm_tag tags[] = {{{"host", 4}, {"a", 1}}};
static const struct tsm_column_head columns[] = {
    {{"time", 4}, TSM_ROLE_TIME}, {{"f", 1}, TSM_ROLE_FIELD}, {{"i", 1}, TSM_ROLE_FIELD},
    {{"u", 1}, TSM_ROLE_OTHER},   {{"b", 1}, TSM_ROLE_FIELD}, {{"s", 1}, TSM_ROLE_TAG},
};
static struct tsm_series_head head = {
    .name = {"m", 1}, .tags = tags, .ntags = 1, .columns = columns, .ncolumns = 6, .several = true};

static const int64_t times[] = {1, 2, 3};
static const double floats[] = {1.5, -0.0, 1e300};
static const int64_t integers[] = {INT64_MIN, 0, INT64_MAX};
static const uint64_t unsigneds[] = {0, 1, UINT64_MAX};
static const uint8_t booleans[] = {1, 0, 1};
static const struct tsm_str strings[] = {{"x", 1}, {"", 0}, {"long text", 9}};
static const uint8_t nulls[] = {0, 1, 0};
static const struct tsm_cells cells[] = {
    {TSM_CELL_TIME, {.i = times}, NULL},        {TSM_CELL_FLOAT, {.f = floats}, nulls},
    {TSM_CELL_INTEGER, {.i = integers}, NULL},  {TSM_CELL_UNSIGNED, {.u = unsigneds}, nulls},
    {TSM_CELL_BOOLEAN, {.b = booleans}, nulls}, {TSM_CELL_STRING, {.s = strings}, nulls},
};

/* The same answer to any sink. */
static void drive(struct tsm_sink *s)
{
    const struct tsm_rows rows = {3, cells};
    assert_int_equal(s->statement_begin(s, 0, NULL), TSM_OK);
    assert_int_equal(s->series_begin(s, &head, NULL), TSM_OK);
    assert_int_equal(s->rows(s, &rows, NULL), TSM_OK);
    assert_int_equal(s->rows(s, &rows, NULL), TSM_OK);
    assert_int_equal(s->series_end(s, NULL), TSM_OK);
    if (s->message)
        assert_int_equal(s->message(s, "warning", "take care", NULL), TSM_OK);
    assert_int_equal(s->statement_end(s, NULL, NULL), TSM_OK);
    assert_int_equal(s->statement_begin(s, 1, NULL), TSM_OK);
    assert_int_equal(s->statement_end(s, "it failed", NULL), TSM_OK);
}

static void encode(struct tsm_output *out)
{
    *out = (struct tsm_output){.fd = -1, .limit = SIZE_MAX};
    struct tsm_sink *w = tsm_rows_writer_new(out);
    drive(w);
    assert_int_equal(tsm_rows_writer_finish(w, TSM_EQUERY, 6, "it failed", NULL), TSM_OK);
}

static void test_formats_agree(void **state)
{
    static const enum tsm_format formats[] = {TSM_FORMAT_TABLE, TSM_FORMAT_CSV,   TSM_FORMAT_TSV,
                                              TSM_FORMAT_JSON,  TSM_FORMAT_JSONL, TSM_FORMAT_LINE};
    struct tsm_output stream;
    (void)state;
    encode(&stream);
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
        struct tsm_result_options opt = {.format = formats[f], .header = true};
        struct tsm_output direct = {.fd = -1, .limit = SIZE_MAX};
        struct tsm_sink *sink = tsm_result_writer_new(&opt, &direct);
        drive(sink);
        assert_int_equal(tsm_result_writer_finish(sink, NULL), TSM_OK);
        for (size_t piece = 1; piece <= stream.buf.len; piece = piece * 3 + 1) {
            struct tsm_output out = {.fd = -1, .limit = SIZE_MAX};
            struct tsm_err err = {0};
            uint64_t rows = 0;
            sink = tsm_result_writer_new(&opt, &out);
            struct tsm_rows_reader *r = tsm_rows_reader_new(sink);
            for (size_t at = 0; at < stream.buf.len; at += piece) {
                size_t n = stream.buf.len - at < piece ? stream.buf.len - at : piece;
                assert_int_equal(tsm_rows_reader_feed(r, stream.buf.data + at, n, &err), TSM_OK);
            }
            assert_int_equal(tsm_rows_reader_end(r, &rows, &err), TSM_EQUERY);
            assert_string_equal(err.msg, "it failed");
            assert_int_equal(rows, 6);
            tsm_rows_reader_free(r);
            assert_int_equal(tsm_result_writer_finish(sink, NULL), TSM_OK);
            assert_string_equal(tsm_buf_cstr(&out.buf), tsm_buf_cstr(&direct.buf));
            tsm_output_release(&out);
        }
        tsm_output_release(&direct);
    }
    tsm_output_release(&stream);
}

static void test_cut_short(void **state)
{
    struct tsm_output stream;
    (void)state;
    encode(&stream);
    for (size_t n = 0; n < stream.buf.len; n++) {
        struct tsm_output out = {.fd = -1, .limit = SIZE_MAX};
        struct tsm_sink *sink = tsm_rows_writer_new(&out);
        struct tsm_rows_reader *r = tsm_rows_reader_new(sink);
        assert_int_equal(tsm_rows_reader_feed(r, stream.buf.data, n, NULL), TSM_OK);
        assert_int_equal(tsm_rows_reader_end(r, NULL, NULL), TSM_ECORRUPT);
        tsm_rows_reader_free(r);
        tsm_rows_writer_free(sink);
        tsm_output_release(&out);
    }
    tsm_output_release(&stream);
}

/* Any byte changed: an error or other values, never anything worse (the sanitizers look on). */
static void test_damaged(void **state)
{
    struct tsm_output stream;
    (void)state;
    encode(&stream);
    for (size_t i = 0; i < stream.buf.len; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            struct tsm_output out = {.fd = -1, .limit = SIZE_MAX};
            struct tsm_sink *sink = tsm_rows_writer_new(&out);
            struct tsm_rows_reader *r = tsm_rows_reader_new(sink);
            stream.buf.data[i] ^= (uint8_t)(1u << bit);
            int rc = tsm_rows_reader_feed(r, stream.buf.data, stream.buf.len, NULL);
            if (rc == TSM_OK)
                rc = tsm_rows_reader_end(r, NULL, NULL);
            assert_int_not_equal(rc, TSM_OK); /* the query failed, if nothing else */
            stream.buf.data[i] ^= (uint8_t)(1u << bit);
            tsm_rows_reader_free(r);
            tsm_rows_writer_free(sink);
            tsm_output_release(&out);
        }
    tsm_output_release(&stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats_agree),
        cmocka_unit_test(test_cut_short),
        cmocka_unit_test(test_damaged),
    };
    struct tsm_zone *zone = NULL; /* goes through the stream as well */
    if (tsm_zone_load(&tsm_fs_posix, TSM_STR("Asia/Kolkata"), &zone))
        return 1;
    head.zone = zone;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tsm_zone_free(zone);
    return failed;
}
