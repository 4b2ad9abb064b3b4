/* tests/unit/test_csv.c: CSV into points: roles of columns, types, quotes, faults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "format/csv.h"

static void note_reject(void *ctx, uint32_t line, struct tsm_str text, const char *cause)
{
    (void)text;
    tsm_buf_printf(ctx, "!%u %s\n", line, cause);
}

/* All points as line protocol, then the rejects, in one text. */
static char *convert(const char *header, const char *rows, struct tsm_csv_options opt)
{
    struct tsm_buf out = {0}, rejects = {0};
    struct tsm_err err;
    struct tsm_csv *csv;
    if (!opt.separator)
        opt.separator = ',';
    if (!opt.line.unit)
        opt.line = (struct tsm_line_options){.unit = 1, .now = 42};
    if (tsm_csv_open(tsm_str_of(header), &opt, &csv, &err)) {
        assert_null(csv);
        return tsm_strdup(err.msg);
    }
    struct tsm_points points = {0};
    tsm_csv_parse(csv, tsm_str_of(rows), &points, note_reject, &rejects);
    for (size_t i = 0; i < points.n; i++) {
        const struct tsm_point *p = &points.points[i];
        tsm_buf_printf(&out, "%u ", p->line);
        tsm_buf_str(&out, p->raw_key);
        for (size_t j = 0; j < p->nfields; j++) {
            const struct tsm_field *f = &points.fields[p->first_field + j];
            tsm_buf_byte(&out, j ? ',' : ' ');
            tsm_escape_field(&out, f->name);
            tsm_buf_byte(&out, '=');
            tsm_line_value(&out, f->type, f->value);
        }
        tsm_buf_printf(&out, " %lld\n", (long long)p->time);
    }
    tsm_buf_str(&out, tsm_buf_view(&rejects));
    tsm_points_release(&points);
    tsm_csv_close(csv);
    tsm_buf_release(&rejects);
    return tsm_buf_detach(&out, NULL);
}

#define CHECK(header, rows, expected, ...)                                         \
    do {                                                                           \
        char *got_ = convert(header, rows, (struct tsm_csv_options){__VA_ARGS__}); \
        assert_string_equal(got_, expected);                                       \
        tsm_free(got_);                                                            \
    } while (0)

static void columns_get_their_roles(void **state)
{
    (void)state;
    CHECK("time,host,region,v,w", "1,a,eu,1.5,2\n2,b,,3,\n",
          "1 m,host=a,region=eu v=1.5,w=2 1\n2 m,host=b v=3 2\n", .measurement = TSM_STR("m"),
          .tags = TSM_STR("region,host"));
    CHECK("when,host,v,w", "7,a,1.5,2", "1 m,host=a w=2 7\n", .measurement = TSM_STR("m"),
          .tags = TSM_STR("host"), .fields = TSM_STR("w"), .time = TSM_STR("when"));
    CHECK("name;v", "a b;1\n;2\n", "1 a\\ b v=1 42\n!2 unable to parse ';2': missing measurement\n",
          .measurement = TSM_STR("name"), .measurement_column = true, .separator = ';');
    CHECK("name,v", "a\\=b\\\\\"\"c,1\na\\=b\\c,1\n",
          "2 a\\\\=b\\c v=1 42\n!1 unable to parse 'a\\=b\\\\\"\"c,1': wrong quotes\n",
          .measurement = TSM_STR("name"), .measurement_column = true);
    CHECK("\xef\xbb\xbftime,v\r", "5,1\r\n\r\n6,2\r\n", "1 m v=1 5\n3 m v=2 6\n",
          .measurement = TSM_STR("m"));
}

static void tags_are_in_key_order_and_escaped(void **state)
{
    (void)state;
    CHECK("b,a c,aZ,v", "1=2,\"x,y\",z,1\n", "1 my\\ m,aZ=z,a\\ c=x\\,y,b=1\\=2 v=1 42\n",
          .measurement = TSM_STR("my m"), .tags = TSM_STR("b,a c,aZ"));
    CHECK("t,v", "a\\,1\n\"a\nb\",1\n",
          "!1 unable to parse 'a\\,1': invalid tag value: a\\\n"
          "!2 unable to parse '\"a\nb\",1': invalid tag value: a\nb\n",
          .measurement = TSM_STR("m"), .tags = TSM_STR("t"));
}

static void types_come_from_the_text(void **state)
{
    (void)state;
    CHECK("v",
          "1\n-1.5e3\n12i\n12u\ntrue\nFALSE\nabc\nt\n12x\n\"say "
          "\"\"hi\"\"\"\n2024-01-01\n-\n9223372036854775808i\n",
          "1 m v=1 42\n2 m v=-1500 42\n3 m v=12i 42\n4 m v=12u 42\n5 m v=true 42\n6 m v=false 42\n7 m "
          "v=\"abc\" 42\n"
          "8 m v=\"t\" 42\n9 m v=\"12x\" 42\n10 m v=\"say \\\"hi\\\"\" 42\n11 m v=\"2024-01-01\" 42\n12 m "
          "v=\"-\" 42\n"
          "13 m v=\"9223372036854775808i\" 42\n",
          .measurement = TSM_STR("m"));
}

static void types_come_from_the_options(void **state)
{
    (void)state;
    CHECK("f,i,u,b,s",
          "1,1,1,t,1\n1e400,1,1,t,1\n1,1.5,1,t,1\n1,1,-1,t,1\n1,1,1,yes,1\n1,2i,3u,false,\n,,,,x\n,,,,\n",
          "1 m f=1,i=1i,u=1u,b=true,s=\"1\" 42\n6 m f=1,i=2i,u=3u,b=false 42\n7 m s=\"x\" 42\n"
          "!2 unable to parse '1e400,1,1,t,1': invalid float: 1e400\n"
          "!3 unable to parse '1,1.5,1,t,1': invalid integer: 1.5\n"
          "!4 unable to parse '1,1,-1,t,1': invalid unsigned: -1\n"
          "!5 unable to parse '1,1,1,yes,1': invalid boolean: yes\n"
          "!8 unable to parse ',,,,': missing fields\n",
          .measurement = TSM_STR("m"), .fields = TSM_STR("f:float,i:integer,u:unsigned,b:boolean,s:string"));
    CHECK("a:integer,b", "1,2\n", "1 m a:integer=1 42\n", .measurement = TSM_STR("m"),
          .fields = TSM_STR("a:integer"));
}

static void times_have_units_or_dates(void **state)
{
    (void)state;
    struct tsm_line_options seconds = {.unit = 1000000000, .now = 0};
    CHECK("time,v", "3,1\n2000-01-01T00:00:00Z,1\n9223372037,1\nx,1\n,1\n",
          "1 m v=1 3000000000\n2 m v=1 946684800000000000\n5 m v=1 0\n"
          "!3 unable to parse '9223372037,1': time outside range: 9223372037\n"
          "!4 unable to parse 'x,1': bad timestamp: x\n",
          .measurement = TSM_STR("m"), .line = seconds);
}

static void quotes_and_shapes(void **state)
{
    (void)state;
    CHECK("a,b", "\"1,2\",\"line\nline\"\n3,4\n", "1 m a=\"1,2\",b=\"line\nline\" 42\n3 m a=3,b=4 42\n",
          .measurement = TSM_STR("m"));
    CHECK("a,b", "1\n1,2,3\n\"x\"y,1\nx\"\"y,1\n5,6\n",
          "5 m a=5,b=6 42\n"
          "!1 unable to parse '1': fewer columns than the header's 2\n"
          "!2 unable to parse '1,2,3': more columns than the header's 2\n"
          "!3 unable to parse '\"x\"y,1': wrong quotes\n"
          "!4 unable to parse 'x\"\"y,1': wrong quotes\n",
          .measurement = TSM_STR("m"));
    /* a quote that is never closed costs its own line */
    CHECK("a,b", "1,2\n3,\"4\n5,6\n",
          "1 m a=1,b=2 42\n3 m a=5,b=6 42\n!2 unable to parse '3,\"4': wrong quotes\n",
          .measurement = TSM_STR("m"));
}

static void wrong_options_are_named(void **state)
{
    (void)state;
    CHECK("a,b", "", "csv: no measurement is given", .separator = ',');
    CHECK("a,b", "", "csv: no column 'c'", .measurement = TSM_STR("m"), .tags = TSM_STR("a,c"));
    CHECK("a,b", "", "csv: no column 'c'", .measurement = TSM_STR("c"), .measurement_column = true);
    CHECK("a,b", "", "csv: column 'a' is used twice", .measurement = TSM_STR("m"), .tags = TSM_STR("a"),
          .fields = TSM_STR("a"));
    CHECK("a,a", "", "csv: two columns are named 'a'", .measurement = TSM_STR("m"));
    CHECK("a,", "", "csv: column 2 has no name", .measurement = TSM_STR("m"));
    CHECK("a,\"b", "", "csv: wrong quotes in the header line", .measurement = TSM_STR("m"));
    CHECK("a", "", "csv: 'm\\' cannot be a measurement's name", .measurement = TSM_STR("m\\"));
    CHECK("a,b\\", "", "csv: column 'b\\' cannot be a tag's name", .measurement = TSM_STR("m"),
          .tags = TSM_STR("b\\"));
}

static void long_keys_are_refused(void **state)
{
    (void)state;
    char *row = tsm_alloc(70000);
    memset(row, 'x', 65536);
    memcpy(row + 65536, ",1", 3);
    char *got = convert("t,v", row,
                        (struct tsm_csv_options){.measurement = TSM_STR("m"), .tags = TSM_STR("t")});
    assert_non_null(strstr(got, "max key length exceeded: 65540 > 65535"));
    tsm_free(got);
    memcpy(row + 65530, ",1", 3);
    got = convert("t,v", row, (struct tsm_csv_options){.measurement = TSM_STR("m"), .tags = TSM_STR("t")});
    assert_non_null(strstr(got, "max key length exceeded: 65539 > 65535"));
    tsm_free(got);
    tsm_free(row);
}

static void records_end_outside_quotes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n;
    } cases[] = {{"", 0},          {"a", 0},        {"a\n", 2},         {"a\nb", 2},
                 {"a\nb\n", 4},    {"\"a\nb", 0},   {"\"a\nb\"\nc", 6}, {"a\n\"b\n", 2},
                 {"a\n\"b\nc", 2}, {"a\"\"\nb", 4}, {"\"\"\"\n", 0},    {"x\n\"a\"\"\n", 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(tsm_csv_records(tsm_str_of(cases[i].text)), cases[i].n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_get_their_roles),    cmocka_unit_test(tags_are_in_key_order_and_escaped),
        cmocka_unit_test(types_come_from_the_text),   cmocka_unit_test(types_come_from_the_options),
        cmocka_unit_test(times_have_units_or_dates),  cmocka_unit_test(quotes_and_shapes),
        cmocka_unit_test(wrong_options_are_named),    cmocka_unit_test(long_keys_are_refused),
        cmocka_unit_test(records_end_outside_quotes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
