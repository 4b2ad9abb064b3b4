/* tests/unit/test_result_writer.c: one answer in every format, and what each has to escape. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/time.h"
#include "result/writer.h"

/* ---- a sink that collects --------------------------------------------------------------------- */

struct fixture {
    struct tsm_output out;
    struct tsm_sink *sink;
};

static void start_with(struct fixture *f, const struct tsm_result_options *opt)
{
    f->out = (struct tsm_output){.fd = -1, .limit = SIZE_MAX};
    f->sink = tsm_result_writer_new(opt, &f->out);
}

static void start(struct fixture *f, enum tsm_format format)
{
    start_with(f, &(struct tsm_result_options){.format = format, .header = true});
}

static void assert_output(struct fixture *f, const char *expected)
{
    assert_int_equal(tsm_result_writer_finish(f->sink, NULL), TSM_OK);
    assert_string_equal(tsm_buf_cstr(&f->out.buf), expected);
    tsm_output_release(&f->out);
}

static void begin(struct fixture *f, unsigned id)
{
    assert_int_equal(f->sink->statement_begin(f->sink, id, NULL), TSM_OK);
}

static void end(struct fixture *f, const char *error)
{
    assert_int_equal(f->sink->statement_end(f->sink, error, NULL), TSM_OK);
}

static void series(struct fixture *f, const struct tsm_series_head *head, const struct tsm_rows *rows)
{
    assert_int_equal(f->sink->series_begin(f->sink, head, NULL), TSM_OK);
    if (rows)
        assert_int_equal(f->sink->rows(f->sink, rows, NULL), TSM_OK);
    assert_int_equal(f->sink->series_end(f->sink, NULL), TSM_OK);
}

/* ---- an answer with every type ---------------------------------------------------------------- */

static const struct tsm_tag tags[] = {{{"dc", 2}, {"eu,1", 4}}, {{"host", 4}, {"", 0}}};
static const struct tsm_column_head columns[] = {
    {{"time", 4}, TSM_ROLE_TIME}, {{"f", 1}, TSM_ROLE_FIELD},   {{"i", 1}, TSM_ROLE_FIELD},
    {{"u", 1}, TSM_ROLE_FIELD},   {{"b x", 3}, TSM_ROLE_FIELD}, {{"s", 1}, TSM_ROLE_FIELD},
    {{"t", 1}, TSM_ROLE_TAG},
};
static const struct tsm_series_head head = {
    .name = {"cpu", 3}, .tags = tags, .ntags = 2, .columns = columns, .ncolumns = 7};

static const int64_t times[] = {0, 1500000000123456789, -1};
static const double floats[] = {1.5, 1e21, 1e-7};
static const int64_t integers[] = {-5, INT64_MIN, 7};
static const uint64_t unsigneds[] = {0, UINT64_MAX, 1};
static const uint8_t booleans[] = {0, 1, 1};
static const struct tsm_str strings[] = {{"plain", 5}, {"a,\"b\"\n\\", 7}, {"", 0}};
static const struct tsm_str tag_values[] = {{"x", 1}, {"y z", 3}, {"", 0}};
static const uint8_t last_null[] = {0, 0, 1};
static const struct tsm_cells cells[] = {
    {.type = TSM_CELL_TIME, .v.i = times},
    {.type = TSM_CELL_FLOAT, .v.f = floats},
    {.type = TSM_CELL_INTEGER, .v.i = integers, .nulls = last_null},
    {.type = TSM_CELL_UNSIGNED, .v.u = unsigneds},
    {.type = TSM_CELL_BOOLEAN, .v.b = booleans},
    {.type = TSM_CELL_STRING, .v.s = strings},
    {.type = TSM_CELL_STRING, .v.s = tag_values, .nulls = last_null},
};
static const struct tsm_rows rows = {3, cells};

/* A smaller one: SHOW DATABASES. */
static const struct tsm_column_head name_column[] = {{{"name", 4}, TSM_ROLE_OTHER}};
static const struct tsm_series_head databases = {
    .name = {"databases", 9}, .columns = name_column, .ncolumns = 1};
static const struct tsm_str names[] = {{"db", 2}, {"höher", 6}};
static const struct tsm_cells name_cells[] = {{.type = TSM_CELL_STRING, .v.s = names}};
static const struct tsm_rows name_rows = {2, name_cells};

static void whole(struct fixture *f)
{
    begin(f, 0);
    series(f, &head, &rows);
    end(f, NULL);
    begin(f, 1);
    series(f, &databases, &name_rows);
    end(f, NULL);
}

/* ---- formats ---------------------------------------------------------------------------------- */

static void test_json(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, TSM_FORMAT_JSON);
    whole(&f);
    assert_output(&f,
                  "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"cpu\",\"tags\":{\"dc\":\"eu,1\","
                  "\"host\":\"\"},"
                  "\"columns\":[\"time\",\"f\",\"i\",\"u\",\"b x\",\"s\",\"t\"],\"values\":["
                  "[\"1970-01-01T00:00:00Z\",1.5,-5,0,false,\"plain\",\"x\"],"
                  "[\"2017-07-14T02:40:00.123456789Z\",1e+21,-9223372036854775808,18446744073709551615,true,"
                  "\"a,\\\"b\\\"\\n\\\\\",\"y z\"],"
                  "[\"1969-12-31T23:59:59.999999999Z\",1e-7,null,1,true,\"\",null]]}]},"
                  "{\"statement_id\":1,\"series\":[{\"name\":\"databases\",\"columns\":[\"name\"],"
                  "\"values\":[[\"db\"],[\"höher\"]]}]}]}\n");
}

static void test_json_pretty(void **state)
{
    struct fixture f;
    (void)state;
    start_with(&f, &(struct tsm_result_options){.format = TSM_FORMAT_JSON, .pretty = true});
    begin(&f, 0);
    series(&f, &databases, &name_rows);
    end(&f, NULL);
    begin(&f, 1);
    end(&f, "no");
    assert_output(
        &f,
        "{\n    \"results\": [\n        {\n            \"statement_id\": 0,\n            \"series\": [\n"
        "                {\n                    \"name\": \"databases\",\n"
        "                    \"columns\": [\n                        \"name\"\n                    ],\n"
        "                    \"values\": [\n                        [\n                            \"db\"\n"
        "                        ],\n                        [\n                            \"höher\"\n"
        "                        ]\n                    ]\n                }\n            ]\n        },\n"
        "        {\n            \"statement_id\": 1,\n            \"error\": \"no\"\n        }\n    ]\n}\n");
}

static void test_json_without_content(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, TSM_FORMAT_JSON);
    assert_output(&f, "{}\n");
    start(&f, TSM_FORMAT_JSON);
    begin(&f, 0);
    end(&f, NULL);
    assert_output(&f, "{\"results\":[{\"statement_id\":0}]}\n");
    start(&f, TSM_FORMAT_JSON);
    begin(&f, 0);
    series(&f, &databases, NULL);
    end(&f, NULL);
    assert_output(&f, "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"databases\",\"columns\":["
                      "\"name\"]}]}]}\n");
}

static void test_json_errors(void **state)
{
    struct fixture f;
    struct tsm_buf b = {0};
    (void)state;
    start(&f, TSM_FORMAT_JSON);
    begin(&f, 0);
    end(&f, "a <b> & \"c\"");
    assert_output(&f,
                  "{\"results\":[{\"statement_id\":0,\"error\":\"a \\u003cb\\u003e \\u0026 \\\"c\\\"\"}]}\n");
    /* In the middle of a series: the error alone, as influxd answers; */
    start(&f, TSM_FORMAT_JSON);
    begin(&f, 0);
    assert_int_equal(f.sink->series_begin(f.sink, &databases, NULL), TSM_OK);
    assert_int_equal(f.sink->rows(f.sink, &name_rows, NULL), TSM_OK);
    end(&f, "broken");
    assert_output(&f, "{\"results\":[{\"statement_id\":0,\"error\":\"broken\"}]}\n");
    /* still a document when rows have been given away. */
    start(&f, TSM_FORMAT_JSON);
    begin(&f, 0);
    assert_int_equal(f.sink->series_begin(f.sink, &databases, NULL), TSM_OK);
    assert_int_equal(f.sink->rows(f.sink, &name_rows, NULL), TSM_OK);
    f.out.written = 1;
    end(&f, "broken");
    assert_output(
        &f, "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"databases\",\"columns\":[\"name\"],"
            "\"values\":[[\"db\"],[\"höher\"]]}],\"error\":\"broken\"}]}\n");
    tsm_json_error(&b, "error parsing query: x", false);
    assert_string_equal(tsm_buf_cstr(&b), "{\"error\":\"error parsing query: x\"}\n");
    tsm_buf_release(&b);
}

static void test_json_strings(void **state)
{
    /* As Go's encoding/json writes them. */
    static const char *const cases[][2] = {
        {"<>&", "\\u003c\\u003e\\u0026"},
        {"\x01\x1f\b\f", "\\u0001\\u001f\\u0008\\u000c"},
        {"\n\r\t", "\\n\\r\\t"},
        {"\x7f/'", "\x7f/'"},
        {"\xe2\x80\xa8\xe2\x80\xa9", "\\u2028\\u2029"},
        {"a\xff\xc3", "a\\ufffd\\ufffd"},
        {"\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd"},
        {"\xf0\x9d\x84\x9e\xe2\x82\xac", "\xf0\x9d\x84\x9e\xe2\x82\xac"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture f;
        char expected[200];
        struct tsm_str s = tsm_str_of(cases[i][0]);
        struct tsm_cells cell = {.type = TSM_CELL_STRING, .v.s = &s};
        struct tsm_rows row = {1, &cell};
        start(&f, TSM_FORMAT_JSON);
        begin(&f, 0);
        series(&f, &databases, &row);
        end(&f, NULL);
        snprintf(
            expected, sizeof expected,
            "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"databases\",\"columns\":[\"name\"],"
            "\"values\":[[\"%s\"]]}]}]}\n",
            cases[i][1]);
        assert_output(&f, expected);
    }
}

static void test_epochs(void **state)
{
    static const struct {
        int64_t unit;
        const char *values;
    } cases[] = {
        {1, "0|1500000000123456789|-1"}, {TSM_USEC, "0|1500000000123456|0"}, {TSM_MSEC, "0|1500000000123|0"},
        {TSM_SEC, "0|1500000000|0"},     {TSM_MINUTE, "0|25000000|0"},       {TSM_HOUR, "0|416666|0"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture f;
        struct tsm_series_head only_time = {.name = {"m", 1}, .columns = columns, .ncolumns = 1};
        char expected[200];
        start_with(&f, &(struct tsm_result_options){.format = TSM_FORMAT_TSV, .epoch_unit = cases[i].unit});
        begin(&f, 0);
        series(&f, &only_time, &rows);
        end(&f, NULL);
        snprintf(expected, sizeof expected, "%s|", cases[i].values);
        for (char *p = expected; *p; p++)
            *p = *p == '|' ? '\n' : *p;
        assert_output(&f, expected);
    }
}

static void test_times(void **state)
{
    static const struct {
        int64_t t;
        const char *text;
    } cases[] = {
        {INT64_MIN + 2, "1677-09-21T00:12:43.145224194Z"},
        {INT64_MAX - 1, "2262-04-11T23:47:16.854775806Z"},
        {-86400 * TSM_SEC, "1969-12-31T00:00:00Z"},
        {-86400 * TSM_SEC - 1, "1969-12-30T23:59:59.999999999Z"},
        {951782400 * TSM_SEC, "2000-02-29T00:00:00Z"},
        {951782400 * TSM_SEC + 100, "2000-02-29T00:00:00.0000001Z"},
        {951868799 * TSM_SEC, "2000-02-29T23:59:59Z"},
        {951868800 * TSM_SEC, "2000-03-01T00:00:00Z"},
        {TSM_SEC / 2, "1970-01-01T00:00:00.5Z"},
        {TSM_MSEC, "1970-01-01T00:00:00.001Z"},
    };
    struct fixture f;
    struct tsm_series_head only_time = {.name = {"m", 1}, .columns = columns, .ncolumns = 1};
    struct tsm_buf expected = {0};
    (void)state;
    start_with(&f, &(struct tsm_result_options){.format = TSM_FORMAT_CSV});
    begin(&f, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tsm_cells cell = {.type = TSM_CELL_TIME, .v.i = &cases[i].t};
        series(&f, &only_time, &(struct tsm_rows){1, &cell});
        tsm_buf_printf(&expected, "%s\n", cases[i].text);
    }
    end(&f, NULL);
    assert_output(&f, tsm_buf_cstr(&expected));
    tsm_buf_release(&expected);
}

static void test_csv(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, TSM_FORMAT_CSV);
    whole(&f);
    assert_output(
        &f, "dc,host,time,f,i,u,b x,s,t\n"
            "\"eu,1\",,1970-01-01T00:00:00Z,1.5,-5,0,false,plain,x\n"
            "\"eu,1\",,2017-07-14T02:40:00.123456789Z,1e+21,-9223372036854775808,18446744073709551615,true,"
            "\"a,\"\"b\"\"\n\\\",y z\n"
            "\"eu,1\",,1969-12-31T23:59:59.999999999Z,1e-7,,1,true,\"\",\n"
            "\n"
            "name\ndb\nhöher\n");
}

static void test_csv_blocks(void **state)
{
    struct fixture f;
    struct tsm_series_head a = databases, b = databases;
    static const struct tsm_column_head other[] = {{{"other", 5}, TSM_ROLE_OTHER}};
    (void)state;
    a.several = b.several = true;
    a.name = TSM_STR("m1");
    b.name = TSM_STR("m,2");
    start(&f, TSM_FORMAT_CSV);
    begin(&f, 0);
    series(&f, &a, &name_rows);
    series(&f, &b, &name_rows);
    b.columns = other;
    series(&f, &b, &name_rows);
    series(&f, &a, NULL); /* nothing comes of a series without rows */
    end(&f, NULL);
    begin(&f, 1);
    end(&f, NULL);
    assert_output(
        &f,
        "name,name\nm1,db\nm1,höher\n\"m,2\",db\n\"m,2\",höher\n\nname,other\n\"m,2\",db\n\"m,2\",höher\n");
    start_with(&f, &(struct tsm_result_options){.format = TSM_FORMAT_CSV, .header = false});
    begin(&f, 0);
    series(&f, &a, &name_rows);
    series(&f, &b, &name_rows);
    end(&f, NULL);
    assert_output(&f, "m1,db\nm1,höher\n\"m,2\",db\n\"m,2\",höher\n");
}

/* The same pointer with other bytes: what the writer remembers of a string must not outlive its batch. */
static void test_csv_reused_memory(void **state)
{
    struct fixture f;
    char text[] = "aa";
    struct tsm_str s = {text, 2};
    struct tsm_cells cell = {.type = TSM_CELL_STRING, .v.s = &s};
    struct tsm_rows row = {1, &cell};
    (void)state;
    start(&f, TSM_FORMAT_CSV);
    begin(&f, 0);
    assert_int_equal(f.sink->series_begin(f.sink, &databases, NULL), TSM_OK);
    assert_int_equal(f.sink->rows(f.sink, &row, NULL), TSM_OK);
    text[1] = ',';
    assert_int_equal(f.sink->rows(f.sink, &row, NULL), TSM_OK);
    assert_int_equal(f.sink->series_end(f.sink, NULL), TSM_OK);
    end(&f, NULL);
    assert_output(&f, "name\naa\n\"a,\"\n");
}

static void test_tsv(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, TSM_FORMAT_TSV);
    whole(&f);
    assert_output(
        &f,
        "dc\thost\ttime\tf\ti\tu\tb x\ts\tt\n"
        "eu,1\t\t1970-01-01T00:00:00Z\t1.5\t-5\t0\tfalse\tplain\tx\n"
        "eu,1\t\t2017-07-14T02:40:00.123456789Z\t1e+21\t-9223372036854775808\t18446744073709551615\ttrue\t"
        "a,\"b\"\\n\\\\\ty z\n"
        "eu,1\t\t1969-12-31T23:59:59.999999999Z\t1e-7\t\t1\ttrue\t\t\n"
        "\n"
        "name\ndb\nhöher\n");
}

static void test_jsonl(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, TSM_FORMAT_JSONL);
    whole(&f);
    assert_output(&f, "{\"name\":\"cpu\",\"tags\":{\"dc\":\"eu,1\",\"host\":\"\"},\"time\":\"1970-01-01T00:"
                      "00:00Z\",\"f\":1.5,"
                      "\"i\":-5,\"u\":0,\"b x\":false,\"s\":\"plain\",\"t\":\"x\"}\n"
                      "{\"name\":\"cpu\",\"tags\":{\"dc\":\"eu,1\",\"host\":\"\"},\"time\":\"2017-07-14T02:"
                      "40:00.123456789Z\","
                      "\"f\":1e+21,\"i\":-9223372036854775808,\"u\":18446744073709551615,\"b x\":true,"
                      "\"s\":\"a,\\\"b\\\"\\n\\\\\",\"t\":\"y z\"}\n"
                      "{\"name\":\"cpu\",\"tags\":{\"dc\":\"eu,1\",\"host\":\"\"},\"time\":\"1969-12-31T23:"
                      "59:59.999999999Z\","
                      "\"f\":1e-7,\"i\":null,\"u\":1,\"b x\":true,\"s\":\"\",\"t\":null}\n"
                      "{\"name\":\"db\"}\n{\"name\":\"höher\"}\n");
}

static void test_line(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, TSM_FORMAT_LINE);
    begin(&f, 0);
    series(&f, &head, &rows);
    end(&f, NULL);
    assert_output(&f,
                  "cpu,dc=eu\\,1,t=x f=1.5,i=-5i,u=0u,b\\ x=false,s=\"plain\" 0\n"
                  "cpu,dc=eu\\,1,t=y\\ z f=1e+21,i=-9223372036854775808i,u=18446744073709551615u,b\\ x=true,"
                  "s=\"a,\\\"b\\\"\n\\\\\" 1500000000123456789\n"
                  "cpu,dc=eu\\,1 f=1e-7,u=1u,b\\ x=true,s=\"\" -1\n");
}

static void test_line_without_fields_or_times(void **state)
{
    struct fixture f;
    struct tsm_err err = {0};
    struct tsm_series_head h = {.name = {"a b", 3}, .columns = columns, .ncolumns = 2};
    static const uint8_t nulls[] = {1, 0, 1};
    struct tsm_cells c[] = {cells[0], {.type = TSM_CELL_FLOAT, .v.f = floats, .nulls = nulls}};
    (void)state;
    start(&f, TSM_FORMAT_LINE);
    begin(&f, 0);
    series(&f, &h, &(struct tsm_rows){3, c});
    assert_int_equal(f.sink->series_begin(f.sink, &databases, &err), TSM_EUSAGE);
    assert_non_null(strstr(err.msg, "line protocol"));
    end(&f, err.msg);
    assert_output(&f, "a\\ b f=1e+21 1500000000123456789\n");
}

/* A tag that is both a column and in GROUP BY is written once. */
static void test_line_repeated_tag(void **state)
{
    struct fixture f;
    static const struct tsm_tag group[] = {{{"t", 1}, {"x", 1}}};
    struct tsm_series_head h = head;
    (void)state;
    h.tags = group;
    h.ntags = 1;
    start(&f, TSM_FORMAT_LINE);
    begin(&f, 0);
    series(&f, &h, &(struct tsm_rows){1, cells});
    end(&f, NULL);
    assert_output(&f, "cpu,t=x f=1.5,i=-5i,u=0u,b\\ x=false,s=\"plain\" 0\n");
}

static void test_table(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, TSM_FORMAT_TABLE);
    whole(&f);
    assert_output(&f,
                  "name: cpu\n"
                  "tags: dc=eu,1, host=\n"
                  "time                                f                     i                     u  b x    "
                  "s         t\n"
                  "----                                -                     -                     -  ---    "
                  "-         -\n"
                  "1970-01-01T00:00:00Z              1.5                    -5                     0  false  "
                  "plain     x\n"
                  "2017-07-14T02:40:00.123456789Z  1e+21  -9223372036854775808  18446744073709551615  true   "
                  "a,\"b\"\\n\\  y z\n"
                  "1969-12-31T23:59:59.999999999Z   1e-7                                           1  true\n"
                  "\n"
                  "name: databases\nname\n----\ndb\nhöher\n");
}

/* Long answers come in windows; a later, wider one widens the columns. */
static void test_table_windows(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, TSM_FORMAT_TABLE);
    static const struct tsm_column_head two[] = {{{"v", 1}, TSM_ROLE_FIELD}, {{"w", 1}, TSM_ROLE_FIELD}};
    struct tsm_series_head h = {.name = {"m", 1}, .columns = two, .ncolumns = 2};
    int64_t v = 1;
    struct tsm_cells c[] = {{.type = TSM_CELL_INTEGER, .v.i = &v}, {.type = TSM_CELL_INTEGER, .v.i = &v}};
    struct tsm_rows row = {1, c};
    begin(&f, 0);
    assert_int_equal(f.sink->series_begin(f.sink, &h, NULL), TSM_OK);
    for (int i = 0; i < 2500; i++) {
        v = i == 2400 ? 123 : 1;
        assert_int_equal(f.sink->rows(f.sink, &row, NULL), TSM_OK);
    }
    assert_true(f.out.buf.len > 2000 * 5); /* two windows are out, the third is not */
    assert_true(f.out.buf.len < 2100 * 5);
    assert_int_equal(f.sink->series_end(f.sink, NULL), TSM_OK);
    end(&f, NULL);
    assert_non_null(strstr(tsm_buf_cstr(&f.out.buf), "name: m\nv  w\n-  -\n1  1\n"));
    assert_non_null(strstr(tsm_buf_cstr(&f.out.buf), "1  1\n  1    1\n"));
    assert_non_null(strstr(tsm_buf_cstr(&f.out.buf), "  1    1\n123  123\n  1    1\n"));
    tsm_result_writer_free(f.sink);
    tsm_output_release(&f.out);
}

static void test_names(void **state)
{
    static const char *const known[] = {"table", "csv", "tsv", "json", "jsonl", "line"};
    enum tsm_format format;
    (void)state;
    for (size_t i = 0; i < 6; i++) {
        assert_true(tsm_format_by_name(tsm_str_of(known[i]), &format));
        assert_int_equal(format, i);
    }
    assert_false(tsm_format_by_name(TSM_STR("xml"), &format));
    tsm_result_writer_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_json_pretty),
        cmocka_unit_test(test_json_without_content),
        cmocka_unit_test(test_json_errors),
        cmocka_unit_test(test_json_strings),
        cmocka_unit_test(test_epochs),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_csv),
        cmocka_unit_test(test_csv_blocks),
        cmocka_unit_test(test_csv_reused_memory),
        cmocka_unit_test(test_tsv),
        cmocka_unit_test(test_jsonl),
        cmocka_unit_test(test_line),
        cmocka_unit_test(test_line_without_fields_or_times),
        cmocka_unit_test(test_line_repeated_tag),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_table_windows),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
