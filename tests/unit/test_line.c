/*
 * tests/unit/test_line.c: line protocol. What influxd says of a line is compared in tests/interop/line.test;
 * here are the properties that need no influxd, and what is ours: streams, line numbers, canonical keys.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/num.h"
#include "base/time.h"
#include "format/line.h"
#include "format/line_exact.h"

static const struct tsm_line_options nanoseconds = {.unit = 1, .now = 42};

/* ---- a small random number generator, the same on every run ---- */

struct random {
    uint64_t state;
};

static uint64_t draw(struct random *r)
{
    uint64_t x = r->state += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static size_t below(struct random *r, size_t n)
{
    return (size_t)(draw(r) % n);
}

/* ---- rendering ---- */

static void note_reject(void *ctx, uint32_t line, struct tsm_str text, const char *cause)
{
    (void)text;
    tsm_buf_printf(ctx, "!%u %s\n", line, cause);
}

static void render(struct tsm_buf *out, const struct tsm_points *points, size_t i)
{
    const struct tsm_point *p = &points->points[i];
    assert_true(p->hash == tsm_hash(p->raw_key));
    tsm_buf_printf(out, "%u ", p->line);
    tsm_buf_str(out, p->raw_key);
    for (uint32_t j = 0; j < p->nfields; j++) {
        const struct tsm_field *f = &points->fields[p->first_field + j];
        tsm_buf_byte(out, j ? ',' : ' ');
        tsm_escape_field(out, f->name);
        tsm_buf_byte(out, '=');
        tsm_line_value(out, f->type, f->value);
    }
    tsm_buf_printf(out, " %lld\n", (long long)p->time);
}

/* Points, then rejects, as text. The input is copied to the end of an allocation, so that a sanitizer sees
 * each byte read beyond it. */
static char *parse(struct tsm_str text, struct tsm_line_options opt)
{
    char *copy = tsm_alloc(text.n);
    memcpy(copy, text.p, text.n);
    struct tsm_points points = {0};
    struct tsm_buf out = {0}, rejects = {0};
    tsm_line_parse(tsm_str(copy, text.n), &opt, &points, note_reject, &rejects);
    for (size_t i = 0; i < points.n; i++)
        render(&out, &points, i);
    tsm_buf_str(&out, tsm_buf_view(&rejects));
    tsm_points_release(&points);
    tsm_buf_release(&rejects);
    tsm_free(copy);
    return tsm_buf_detach(&out, NULL);
}

static void check(const char *text, struct tsm_line_options opt, const char *expected)
{
    char *got = parse(tsm_str_of(text), opt);
    assert_string_equal(got, expected);
    tsm_free(got);
}

/* ---- examples ---- */

static void all_types_and_escapes(void **state)
{
    (void)state;
    check("cpu,host=a f=1.5,i=2i,u=3u,b=t,s=\"x\" 10\n", nanoseconds,
          "1 cpu,host=a f=1.5,i=2i,u=3u,b=true,s=\"x\" 10\n");
    check("m a=-1,b=-2i,c=18446744073709551615u,d=FALSE,e=\"\"", nanoseconds,
          "1 m a=-1,b=-2i,c=18446744073709551615u,d=false,e=\"\" 42\n");
    check("my\\ m,t\\,a=b\\=c f\\ g=\"a\\\"b\\\\c\\d\",h\\=i=1 5", nanoseconds,
          "1 my\\ m,t\\,a=b\\=c f\\ g=\"a\\\"b\\\\c\\\\d\",h\\=i=1 5\n");
    check("m f=9223372036854775807i,g=-9223372036854775808i,h=1e-400,i=123456789012345678901234567890 1",
          nanoseconds,
          "1 m f=9223372036854775807i,g=-9223372036854775808i,h=0,i=123456789012345680000000000000 1\n");
}

static void lines_are_numbered_and_ends_recognised(void **state)
{
    (void)state;
    check("# comment\n\n  \ncpu v=1 1\r\n\r\n\tcpu v=2 2 \nbad\ncpu s=\"a\nb\nc\" 3\ncpu v=4 4", nanoseconds,
          "4 cpu v=1 1\n6 cpu v=2 2\n8 cpu s=\"a\nb\nc\" 3\n11 cpu v=4 4\n"
          "!7 unable to parse 'bad': missing fields\n");
    check("", nanoseconds, "");
    check("\n", nanoseconds, "");
    check("cpu s=\"a\\\"\nb\\\n\" 1\ncpu v=1 2\n", nanoseconds,
          "1 cpu s=\"a\\\"\nb\\\\\n\" 1\n4 cpu v=1 2\n");
    check("a\\\nb v=1 1\ncpu v=1 2\n", nanoseconds, "1 a\\\nb v=1 1\n3 cpu v=1 2\n");
    check("cpu v=1 1\\\n", nanoseconds, "!1 unable to parse 'cpu v=1 1\\': bad timestamp\n");
}

static void a_string_without_an_end_spoils_its_line_only(void **state)
{
    (void)state;
    check("cpu v=1 1\ncpu s=\"a 2\ncpu v=3 3\ncpu v=4 4\n", nanoseconds,
          "1 cpu v=1 1\n3 cpu v=3 3\n4 cpu v=4 4\n!2 unable to parse 'cpu s=\"a 2': unbalanced quotes\n");
    check("# a=\"\ncpu v=1 1\n", nanoseconds, "2 cpu v=1 1\n");
}

static void the_first_fault_is_named(void **state)
{
    (void)state;
    check("cpu,a v=x 1x\n,a v=\ncpu,b=1,a=2,b=3 v=x\n\n cpu v=1,w 1 \ncpu v=1 12x\n", nanoseconds,
          "!1 unable to parse 'cpu,a v=x 1x': missing tag value\n"
          "!2 unable to parse ',a v=': missing measurement\n"
          "!3 unable to parse 'cpu,b=1,a=2,b=3 v=x': duplicate tags\n"
          "!5 unable to parse 'cpu v=1,w 1 ': invalid field format\n"
          "!6 unable to parse 'cpu v=1 12x': bad timestamp\n");
}

static void units_and_bounds_of_time(void **state)
{
    (void)state;
    const struct tsm_line_options seconds = {.unit = TSM_SEC, .now = 7 * TSM_SEC};
    check("m v=1 3\nm v=1 -3\nm v=1\nm v=1 9223372036\nm v=1 9223372037\n", seconds,
          "1 m v=1 3000000000\n2 m v=1 -3000000000\n3 m v=1 7000000000\n4 m v=1 9223372036000000000\n"
          "!5 unable to parse 'm v=1 9223372037': time outside range -9223372036854775806 - "
          "9223372036854775806\n");
    check("m v=1 9223372036854775806\nm v=1 -9223372036854775806\nm v=1 -9223372036854775807\n", nanoseconds,
          "1 m v=1 9223372036854775806\n2 m v=1 -9223372036854775806\n"
          "!3 unable to parse 'm v=1 -9223372036854775807': "
          "time outside range -9223372036854775806 - 9223372036854775806\n");
}

static void zero_bytes_do_not_cut_messages(void **state)
{
    (void)state;
    char *got = parse(TSM_STR("a\0b v\0=x 1"), nanoseconds);
    assert_string_equal(got, "!1 unable to parse 'a\\0b v\\0=x 1': invalid boolean\n");
    tsm_free(got);
}

static void keys_become_canonical(void **state)
{
    (void)state;
    static const struct {
        const char *raw, *key;
    } cases[] = {
        {"cpu", "cpu"},
        {"cpu,b=1,a=2", "cpu,a=2,b=1"},
        {"cpu,a\\ b=1,aZ=2", "cpu,aZ=2,a\\ b=1"}, /* by their bytes as written, as in influxd */
        {"my\\ m\\,x,a\\=b=c\\,d", "my\\ m\\,x,a\\=b=c\\,d"},
        {"c\\=d\\\"e\\f\\\\g", "c=d\"e\\f\\\\g"},
        {"cpu,a==b", "cpu,a=\\=b"},
        {"cpu,a=b=c", "!invalid tag format"},
        {"cpu,a=1,a=2", "!duplicate tags"},
        {"cpu,b=1,a=2,b=3", "!duplicate tags"},
        {"cpu,", "!missing tag key"},
        {"cpu,a=", "!missing tag value"},
        {"cpu,a", "!missing tag value"},
        {"cpu,,a=b", "!missing tag key"},
        {",a=b", "!missing measurement"},
        {"", "!missing measurement"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tsm_buf out = {0}, got = {0};
        struct tsm_err err;
        if (tsm_line_key(tsm_str_of(cases[i].raw), &out, &err)) {
            assert_int_equal(out.len, 0);
            tsm_buf_printf(&got, "!%s", err.msg);
        } else {
            tsm_buf_str(&got, tsm_buf_view(&out));
        }
        assert_string_equal(tsm_buf_cstr(&got), cases[i].key);
        tsm_buf_release(&out);
        tsm_buf_release(&got);
    }
}

static void many_tags_are_sorted(void **state)
{
    (void)state;
    enum { TAGS = 5000 };
    struct tsm_buf raw = {0}, expected = {0}, out = {0};
    tsm_buf_puts(&raw, "m");
    tsm_buf_puts(&expected, "m");
    for (int i = 0; i < TAGS; i++) {
        tsm_buf_printf(&raw, ",t%04d=%d", i * 4999 % TAGS, i * 4999 % TAGS % 7);
        tsm_buf_printf(&expected, ",t%04d=%d", i, i % 7);
    }
    assert_int_equal(tsm_line_key(tsm_buf_view(&raw), &out, NULL), TSM_OK);
    assert_true(tsm_str_eq(tsm_buf_view(&out), tsm_buf_view(&expected)));
    tsm_buf_puts(&raw, ",t0000=1");
    struct tsm_err err;
    assert_int_equal(tsm_line_key(tsm_buf_view(&raw), &out, &err), TSM_EPARSE);
    assert_string_equal(err.msg, "duplicate tags");
    tsm_buf_release(&raw);
    tsm_buf_release(&expected);
    tsm_buf_release(&out);
}

static void long_keys_are_refused(void **state)
{
    (void)state;
    char *text = tsm_alloc(70000);
    memset(text, 'c', 65540);
    struct tsm_err err;
    struct tsm_buf out = {0};
    assert_int_equal(tsm_line_key(tsm_str(text, 65535), &out, &err), TSM_OK);
    assert_int_equal(tsm_line_key(tsm_str(text, 65536), &out, &err), TSM_EPARSE);
    assert_string_equal(err.msg, "max key length exceeded: 65536 > 65535");
    tsm_buf_release(&out);
    memcpy(text + 65530, " v=1 1", 7); /* with the separator: 65535 */
    char *got = parse(tsm_str_of(text), nanoseconds);
    assert_true(got[0] == '1');
    tsm_free(got);
    memcpy(text + 65530, " vw=1 1", 8);
    got = parse(tsm_str_of(text), nanoseconds);
    assert_non_null(strstr(got, "': max key length exceeded: 65536 > 65535\n"));
    tsm_free(got);
    tsm_free(text);
}

static void whole_lines_are_found(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n;
    } cases[] = {
        {"", 0},
        {"cpu v=1", 0},
        {"cpu v=1\n", 8},
        {"cpu v=1\ncpu", 8},
        {"cpu v=1\n\n", 9},
        {"cpu s=\"a\nb", 0},
        {"cpu s=\"a\nb\" 1\nc", 14},
        {"cpu v=1\ncpu s=\"a\nb", 8},
        {"cpu v=1\ncpu s=\"a\n", 8},
        {"cpu s=\"\\\"\n", 0},
        {"cpu s=\"\\\\\"\n", 11},
        {"# x=\"\ncpu v=1\n", 14},
        {"\"cpu\" v=1\n", 10},
        {"cpu v=1\\\n", 0}, /* what the newline is depends on what follows */
        {"cpu v=1\ncpu\\\n", 8},
        {"cpu v=1 \"\n\"", 0}, /* equals > commas: a quote here opens a string too, for influxd */
        {"cpu\\\nx s=\"a\"\n", 13},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (tsm_line_records(tsm_str_of(cases[i].text)) != cases[i].n)
            fail_msg("'%s': %zu, not %zu", cases[i].text, tsm_line_records(tsm_str_of(cases[i].text)),
                     cases[i].n);
    /* a string that is open for too long is given up */
    struct tsm_buf b = {0};
    tsm_buf_puts(&b, "cpu v=1\ncpu s=\"a\n");
    while (b.len <= TSM_LINE_MAX)
        tsm_buf_puts(&b, "cpu v=1\n");
    assert_int_equal(tsm_line_records(tsm_buf_view(&b)), 8);
    tsm_buf_puts(&b, "cpu v=1\ncpu v=1\ncpu");
    assert_int_equal(tsm_line_records(tsm_buf_view(&b)), b.len - 3);
    tsm_buf_release(&b);
}

/* ---- properties ---- */

/* A name of one to eight pieces. What no line can express is left out: a backslash at the end, before a
 * space, in a field's name before any character that has an escape, in a measurement before '=' and '"'. */
static void random_name(struct random *r, struct tsm_buf *out, const char *after_backslash)
{
    static const char *const pieces[] = {"a",  "Z", "_",    "9", ",",  " ", "=",  "\"",
                                         "\\", "é", "日本", "#", "\t", "'", "0i", "-"};
    tsm_buf_reset(out);
    size_t n = 1 + below(r, 8);
    for (size_t i = 0; i < n; i++) {
        const char *piece = pieces[below(r, sizeof pieces / sizeof *pieces)];
        bool escaping = out->len > 0 && out->data[out->len - 1] == '\\';
        if (escaping && strchr(after_backslash, *piece))
            piece = "b";
        if ((i == n - 1 && *piece == '\\') || (i == 0 && (*piece == '#' || *piece == '\t')))
            piece = "c";
        tsm_buf_puts(out, piece);
    }
}

static union tsm_value random_value(struct random *r, struct tsm_buf *text, enum tsm_type *type)
{
    union tsm_value v = {.u = draw(r) >> below(r, 64)};
    *type = (enum tsm_type)below(r, TSM_TYPES);
    if (*type == TSM_FLOAT) {
        uint64_t bits = draw(r);
        memcpy(&v.f, &bits, 8);
        if (!isfinite(v.f) || below(r, 2))
            v.f = (double)(int64_t)(draw(r) % 2000000 - 1000000) / (below(r, 2) ? 1000 : 1);
    } else if (*type == TSM_BOOLEAN) {
        v.b = below(r, 2);
    } else if (*type == TSM_STRING) {
        static const char bytes[] = "ab \",=\\\\\"\n\r\té#i";
        tsm_buf_reset(text);
        for (size_t n = below(r, 40); n > 0; n--)
            tsm_buf_byte(text, (uint8_t)bytes[below(r, sizeof bytes - 1)]);
        v.s = tsm_buf_view(text);
    } else if (*type == TSM_INTEGER && below(r, 2)) {
        v.i = -v.i;
    }
    return v;
}

static void check_value(const struct tsm_field *f, enum tsm_type type, union tsm_value v)
{
    assert_int_equal(f->type, type);
    if (type == TSM_STRING)
        assert_true(tsm_str_eq(f->value.s, v.s));
    else if (type == TSM_BOOLEAN)
        assert_true(f->value.b == v.b);
    else
        assert_true(f->value.u == v.u); /* the bits, of floats too */
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    enum { ROUNDS = 20000, MOST = 4 };
    struct random r = {1};
    struct tsm_points points = {0};
    struct tsm_buf line = {0}, name[MOST] = {0}, text[MOST] = {0}, rejects = {0}, key = {0},
                   measurement = {0};
    struct tsm_buf tag = {0}, value = {0};
    for (int round = 0; round < ROUNDS; round++) {
        struct tsm_series series = {0};
        struct tsm_tag one_tag;
        random_name(&r, &measurement, "=\" ");
        series.measurement = tsm_buf_view(&measurement);
        if (below(&r, 2)) {
            random_name(&r, &tag, " ");
            random_name(&r, &value, " ");
            one_tag = (struct tsm_tag){tsm_buf_view(&tag), tsm_buf_view(&value)};
            series.tags = &one_tag;
            series.ntags = 1;
        }
        tsm_buf_reset(&line);
        tsm_series_make(&line, &series);
        size_t key_len = line.len, n = 1 + below(&r, MOST);
        enum tsm_type type[MOST];
        union tsm_value v[MOST];
        for (size_t i = 0; i < n; i++) {
            random_name(&r, &name[i], " ,=\"\\");
            v[i] = random_value(&r, &text[i], &type[i]);
            tsm_buf_byte(&line, i ? ',' : ' ');
            tsm_escape_field(&line, tsm_buf_view(&name[i]));
            tsm_buf_byte(&line, '=');
            tsm_line_value(&line, type[i], v[i]);
        }
        int64_t t = (int64_t)(draw(&r) >> below(&r, 64)) / 2;
        tsm_buf_printf(&line, " %lld", (long long)t);

        tsm_points_reset(&points);
        tsm_line_parse(tsm_buf_view(&line), &nanoseconds, &points, note_reject, &rejects);
        if (rejects.len > 0)
            fail_msg("%s", tsm_buf_cstr(&rejects));
        assert_int_equal(points.n, 1);
        assert_int_equal(points.points[0].nfields, n);
        assert_int_equal(points.points[0].time, t);
        for (size_t i = 0; i < n; i++) {
            const struct tsm_field *f = &points.fields[points.points[0].first_field + i];
            assert_true(tsm_str_eq(f->name, tsm_buf_view(&name[i])));
            check_value(f, type[i], v[i]);
        }
        tsm_buf_reset(&key);
        assert_int_equal(tsm_line_key(points.points[0].raw_key, &key, NULL), TSM_OK);
        assert_true(tsm_str_eq(tsm_buf_view(&key), tsm_str((char *)line.data, key_len)));
    }
    for (int i = 0; i < MOST; i++) {
        tsm_buf_release(&name[i]);
        tsm_buf_release(&text[i]);
    }
    tsm_points_release(&points);
    tsm_buf_release(&line);
    tsm_buf_release(&rejects);
    tsm_buf_release(&key);
    tsm_buf_release(&measurement);
    tsm_buf_release(&tag);
    tsm_buf_release(&value);
}

/* The exact parser's answer to one line. */
static char *parse_exactly(struct tsm_str line)
{
    struct tsm_points points = {0};
    struct tsm_buf out = {0}, cause = {0};
    if (tsm_line_exact(line, 1, &nanoseconds, &points, &cause)) {
        render(&out, &points, 0);
    } else {
        tsm_buf_puts(&out, "!1 ");
        tsm_line_error(&out, line, tsm_buf_cstr(&cause));
        tsm_buf_byte(&out, '\n');
    }
    tsm_points_release(&points);
    tsm_buf_release(&cause);
    return tsm_buf_detach(&out, NULL);
}

/* The fast parser never takes a line that the exact one rejects or reads in another way. Faults of keys are
 * left to the caller in the first case. */
static void fast_and_exact_agree(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "devices,devgroup=12,devid=1234,devname=dev_1234 humidity=53.2312,temperature=21i "
        "1500000000000000000",
        "my\\ cpu,a\\,b=c\\=d f\\ g=1.5e3,h=t,i=\"x\\\"y, z=1\",j=12u -12345678",
        "m v=\"a\",w=true,x=-0.5,y=9223372036854775807i 12345678901234567",
        "c u=18446744073709551615u,f=123456789012345678901.5,g=1e300",
    };
    static const char alphabet[] = " ,=\"\\\t\r#itufeE+-.0159";
    struct random r = {2};
    struct tsm_buf text = {0};
    int accepted = 0;
    for (int round = 0; round < 60000; round++) {
        tsm_buf_reset(&text);
        tsm_buf_puts(&text, lines[below(&r, sizeof lines / sizeof *lines)]);
        for (size_t n = below(&r, 4); n > 0; n--) {
            size_t at = below(&r, text.len);
            if (below(&r, 3))
                text.data[at] = (uint8_t)alphabet[below(&r, sizeof alphabet - 1)];
            else
                text.len = at + 1; /* cut */
        }
        while (text.len > 0 && text.data[text.len - 1] == '\r')
            text.len--;
        struct tsm_str line = tsm_buf_view(&text);
        const char *p = tsm_line_skip_blanks(line.p, line.p + line.n);
        if (p == line.p + line.n || *p == '#')
            continue;
        line = tsm_str(p, (size_t)(line.p + line.n - p));
        char *fast = parse(line, nanoseconds), *exact = parse_exactly(line);
        struct tsm_str key = tsm_str(line.p, (size_t)(tsm_line_key_end(line.p, line.p + line.n) - line.p));
        struct tsm_buf canonical = {0};
        bool sound = tsm_line_key(key, &canonical, NULL) == TSM_OK;
        if (sound || fast[0] == '!')
            assert_string_equal(fast, exact);
        else
            assert_int_equal(exact[0], '!');
        accepted += exact[0] != '!';
        tsm_buf_release(&canonical);
        tsm_free(fast);
        tsm_free(exact);
    }
    assert_true(accepted > 10000);
    tsm_buf_release(&text);
}

static void floats_are_the_nearest(void **state)
{
    (void)state;
    struct random r = {3};
    struct tsm_points points = {0};
    struct tsm_buf rejects = {0};
    for (int i = 0; i < 100000; i++) {
        char line[64];
        int digits = 1 + (int)below(&r, 19), point = (int)below(&r, (size_t)digits + 1), n = 0;
        n += snprintf(line, sizeof line, below(&r, 2) ? "m v=-" : "m v=");
        const char *number = strchr(line, '=') + 1;
        for (int d = 0; d < digits; d++) {
            if (d == point)
                line[n++] = '.';
            line[n++] = (char)('0' + below(&r, 10));
        }
        line[n] = '\0';
        tsm_points_reset(&points);
        tsm_line_parse(tsm_str(line, (size_t)n), &nanoseconds, &points, note_reject, &rejects);
        assert_int_equal(points.n, 1);
        double expected = strtod(number, NULL);
        assert_memory_equal(&points.fields[0].value.f, &expected, sizeof expected);
    }
    tsm_points_release(&points);
    tsm_buf_release(&rejects);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_types_and_escapes),
        cmocka_unit_test(lines_are_numbered_and_ends_recognised),
        cmocka_unit_test(a_string_without_an_end_spoils_its_line_only),
        cmocka_unit_test(the_first_fault_is_named),
        cmocka_unit_test(units_and_bounds_of_time),
        cmocka_unit_test(zero_bytes_do_not_cut_messages),
        cmocka_unit_test(keys_become_canonical),
        cmocka_unit_test(many_tags_are_sorted),
        cmocka_unit_test(long_keys_are_refused),
        cmocka_unit_test(whole_lines_are_found),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(fast_and_exact_agree),
        cmocka_unit_test(floats_are_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
