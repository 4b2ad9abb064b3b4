/* tests/unit/test_prometheus.c: remote write to points, remote read to InfluxQL, an answer to a read response. */
#include <math.h>
#include <setjmp.h>
#include <snappy-c.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/map.h"
#include "base/protobuf.h"
#include "net/prometheus.h"

static void label(struct tsm_buf *series, const char *name, const char *value)
{
    struct tsm_buf b = {0};
    tsm_pb_put_bytes(&b, 1, tsm_str_of(name));
    tsm_pb_put_bytes(&b, 2, tsm_str_of(value));
    tsm_pb_put_bytes(series, 1, tsm_buf_view(&b));
    tsm_buf_release(&b);
}

static void sample(struct tsm_buf *series, double v, int64_t ms)
{
    struct tsm_buf b = {0};
    uint64_t bits;
    memcpy(&bits, &v, 8);
    tsm_pb_put_fixed64(&b, 1, bits);
    tsm_pb_put_varint(&b, 2, (uint64_t)ms);
    tsm_pb_put_bytes(series, 2, tsm_buf_view(&b));
    tsm_buf_release(&b);
}

static void writes(void **state)
{
    (void)state;
    struct tsm_buf request = {0}, series = {0};
    label(&series, "__name__", "http requests");
    label(&series, "code", "200");
    label(&series, "empty", "");
    label(&series, "path", "/a b,c=d");
    sample(&series, 1.5, 1600000000123);
    sample(&series, NAN, 1600000001000);
    sample(&series, INFINITY, 1600000001000);
    sample(&series, -INFINITY, 1600000001000);
    sample(&series, -2, -1);
    tsm_pb_put_bytes(&request, 1, tsm_buf_view(&series));
    tsm_buf_reset(&series);
    label(&series, "job", "x");
    sample(&series, 7, 5);
    tsm_pb_put_bytes(&request, 1, tsm_buf_view(&series));

    struct tsm_points points = {0};
    struct tsm_prometheus_dropped dropped;
    struct tsm_err err = {0};
    assert_int_equal(tsm_prometheus_write(request.data, request.len, &points, &dropped, &err), 0);
    assert_int_equal(dropped.nan, 1);
    assert_int_equal(dropped.positive, 1);
    assert_int_equal(dropped.negative, 1);
    assert_int_equal(points.n, 3);
    struct tsm_buf lines = {0};
    for (size_t i = 0; i < points.n; i++) {
        assert_true(points.points[i].hash == tsm_hash(points.points[i].raw_key));
        tsm_line_point(&lines, &points.points[i], points.fields);
        tsm_buf_byte(&lines, '\n');
    }
    assert_string_equal(
        tsm_buf_cstr(&lines),
        "http\\ requests,__name__=http\\ requests,code=200,path=/a\\ b\\,c\\=d value=1.5 "
        "1600000000123000000\n"
        "http\\ requests,__name__=http\\ requests,code=200,path=/a\\ b\\,c\\=d value=-2 -1000000\n"
        "prom_metric_not_specified,job=x value=7 5000000\n");
    for (size_t cut = 1; cut < request.len;
         cut++) { /* whatever is left of it: no crash, and never more points */
        tsm_points_reset(&points);
        (void)tsm_prometheus_write(request.data, cut, &points, &dropped, &err);
        assert_true(points.n <= 3);
    }
    tsm_buf_release(&lines);
    tsm_points_release(&points);
    tsm_buf_release(&request);
    tsm_buf_release(&series);
}

static void matcher(struct tsm_buf *query, uint64_t type, const char *name, const char *value)
{
    struct tsm_buf b = {0};
    tsm_pb_put_varint(&b, 1, type);
    tsm_pb_put_bytes(&b, 2, tsm_str_of(name));
    tsm_pb_put_bytes(&b, 3, tsm_str_of(value));
    tsm_pb_put_bytes(query, 3, tsm_buf_view(&b));
    tsm_buf_release(&b);
}

static void questions(void **state)
{
    (void)state;
    struct tsm_buf request = {0}, query = {0}, text = {0};
    struct tsm_err err = {0};
    tsm_pb_put_varint(&query, 1, 1000);
    tsm_pb_put_varint(&query, 2, 2000);
    matcher(&query, 0, "__name__", "up \"x\"");
    matcher(&query, 1, "job", "it's");
    matcher(&query, 2, "path", "/a|b");
    matcher(&query, 3, "q", "");
    tsm_pb_put_bytes(&request, 1, tsm_buf_view(&query));
    tsm_buf_reset(&query);
    matcher(&query, 2, "__name__", "a.*");
    tsm_pb_put_bytes(&request, 1, tsm_buf_view(&query));
    tsm_buf_reset(&query);
    matcher(&query, 1, "__name__", "a");
    tsm_pb_put_varint(&query, 2, (uint64_t)INT64_MAX);
    tsm_pb_put_bytes(&request, 1, tsm_buf_view(&query));
    assert_int_equal(tsm_prometheus_read(request.data, request.len, &text, &err), 0);
    assert_string_equal(tsm_buf_cstr(&text),
                        "SELECT \"value\" FROM \"up \\\"x\\\"\" WHERE time >= 1000000000 AND time <= "
                        "2000000000 AND job::tag != 'it\\'s' "
                        "AND path::tag =~ /^(?:\\/a|b)$/ AND q::tag !~ /^(?:)$/ GROUP BY *; "
                        "SELECT \"value\" FROM /^(?:a.*)$/ WHERE time >= 0 AND time <= 0 GROUP BY *; "
                        "SELECT \"value\" FROM /.*/ WHERE time >= 0 AND time <= 9223372036854775806 AND "
                        "__name__::tag != 'a' GROUP BY *");
    tsm_buf_reset(&query);
    matcher(&query, 4, "a", "b");
    tsm_buf_reset(&request);
    tsm_pb_put_bytes(&request, 1, tsm_buf_view(&query));
    assert_int_equal(tsm_prometheus_read(request.data, request.len, &text, &err), TSM_EPARSE);
    assert_int_equal(tsm_prometheus_read(NULL, 0, &text, &err), TSM_EPARSE);
    tsm_buf_release(&request);
    tsm_buf_release(&query);
    tsm_buf_release(&text);
}

static void answers(void **state)
{
    (void)state;
    struct tsm_prometheus_answer *a = tsm_prometheus_answer_new(1 << 20);
    struct tsm_sink *s = tsm_prometheus_answer_sink(a);
    struct tsm_tag tags[] = {{TSM_STR("a"), TSM_STR("1")}, {TSM_STR("b"), TSM_STR("")}};
    struct tsm_column_head columns[] = {{TSM_STR("time"), TSM_ROLE_TIME}, {TSM_STR("value"), TSM_ROLE_FIELD}};
    struct tsm_series_head head = {
        .name = TSM_STR("m"), .tags = tags, .ntags = 2, .columns = columns, .ncolumns = 2};
    int64_t t[] = {1000000, 2999999, -1};
    double v[] = {0.5, 1, 2};
    uint8_t nulls[] = {0, 1, 0};
    struct tsm_cells cells[] = {{.type = TSM_CELL_TIME, .v.i = t},
                                {.type = TSM_CELL_FLOAT, .v.f = v, .nulls = nulls}};
    struct tsm_rows rows = {3, cells};
    assert_int_equal(s->statement_begin(s, 0, NULL), 0);
    assert_int_equal(s->series_begin(s, &head, NULL), 0);
    assert_int_equal(s->rows(s, &rows, NULL), 0);
    assert_int_equal(s->series_end(s, NULL), 0);
    assert_int_equal(s->statement_end(s, NULL, NULL), 0);

    struct tsm_buf packed = {0}, got = {0}, series = {0}, result = {0}, want = {0};
    tsm_prometheus_answer_pack(a, &packed);
    assert_int_equal(tsm_prometheus_unpack(packed.data, packed.len, 1 << 20, &got, NULL), 0);
    label(&series, "a", "1");
    sample(&series, 0.5, 1);
    sample(&series, 2, -1);
    tsm_pb_put_bytes(&result, 1, tsm_buf_view(&series));
    tsm_pb_put_bytes(&want, 1, tsm_buf_view(&result));
    assert_true(tsm_str_eq(tsm_buf_view(&got), tsm_buf_view(&want)));
    assert_int_equal(tsm_prometheus_unpack(packed.data, packed.len, 3, &got, NULL), TSM_ELIMIT);
    assert_int_equal(
        tsm_prometheus_unpack((const uint8_t *)"\xff\xff\xff\xff\xff\xff", 6, 1 << 20, &got, NULL),
        TSM_EPARSE);
    tsm_prometheus_answer_free(a);

    a = tsm_prometheus_answer_new(8);
    s = tsm_prometheus_answer_sink(a);
    s->statement_begin(s, 0, NULL);
    s->series_begin(s, &head, NULL);
    assert_int_equal(s->rows(s, &rows, NULL), TSM_ELIMIT);
    tsm_prometheus_answer_free(a);
    tsm_buf_release(&packed);
    tsm_buf_release(&got);
    tsm_buf_release(&series);
    tsm_buf_release(&result);
    tsm_buf_release(&want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes),
        cmocka_unit_test(questions),
        cmocka_unit_test(answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
