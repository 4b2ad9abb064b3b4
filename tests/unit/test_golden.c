/*
 * test_golden.c: files that influxd wrote (tests/unit/golden/make_values.py), against the line protocol that
 * they came from, and against what the codec makes of the same values.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/num.h"
#include "codec/block.h"
#include "format/line.h"
#include "format/tsm_reader.h"

static struct tsm_reader *open_golden(const char *path)
{
    struct tsm_reader *r;
    struct tsm_err err = {0};
    if (tsm_reader_open(&tsm_fs_posix, path, &r, &err) != TSM_OK)
        fail_msg("%s", err.msg);
    return r;
}

static void read_gzip(const char *path, struct tsm_buf *out)
{
    gzFile f = gzopen(path, "rb");
    assert_non_null(f);
    int n;
    do {
        n = gzread(f, tsm_buf_room(out, 1 << 16), 1 << 16);
        assert_true(n >= 0);
        out->len += (size_t)n;
    } while (n > 0);
    gzclose(f);
}

/* ---- the values are those of the line protocol ---- */

/* All values of the key that was asked for last. */
struct column {
    const struct tsm_reader *r;
    size_t key;
    struct tsm_values values, block;
};

static void load_key(struct column *c, struct tsm_str key)
{
    bool found;
    size_t i = tsm_reader_seek(c->r, key, &found);
    if (!found)
        fail_msg("no key %.*s", (int)key.n, key.p);
    if (i == c->key)
        return;
    c->key = i;
    tsm_values_reset(&c->values, tsm_reader_type(c->r, i), 0);
    for (size_t k = 0; k < tsm_reader_entries(c->r, i); k++) {
        struct tsm_entry e = tsm_reader_entry(c->r, i, k);
        struct tsm_err err = {0};
        if (tsm_reader_decode(c->r, i, &e, &c->block, &err) != TSM_OK)
            fail_msg("%.*s: %s", (int)key.n, key.p, err.msg);
        tsm_values_append(&c->values, &c->block, 0, c->block.n);
    }
}

static void assert_value(const struct column *c, int64_t t, const struct tsm_field *f)
{
    size_t i = tsm_values_lower_bound(&c->values, t);
    assert_true(i < c->values.n && c->values.t[i] == t);
    assert_int_equal(c->values.type, f->type);
    union tsm_value v = tsm_values_get(&c->values, i);
    switch (f->type) {
    case TSM_STRING:
        assert_true(tsm_str_eq(v.s, f->value.s));
        break;
    case TSM_BOOLEAN:
        assert_int_equal(v.b, f->value.b);
        break;
    default:
        assert_int_equal(v.u, f->value.u);
    }
}

static void unexpected_reject(void *ctx, uint32_t line, struct tsm_str text, const char *cause)
{
    (void)ctx;
    (void)text;
    fail_msg("line %u: %s", line, cause);
}

/* Every line's value is in the file; returns how many values there were. */
static size_t compare_lines(const char *lines, const char *tsm)
{
    struct tsm_buf text = {0}, key = {0};
    struct tsm_points points = {0};
    struct tsm_line_options options = {.unit = 1};
    read_gzip(lines, &text);
    tsm_line_parse(tsm_buf_view(&text), &options, &points, unexpected_reject, NULL);
    struct column c = {.r = open_golden(tsm), .key = SIZE_MAX};
    size_t n = 0;
    for (size_t i = 0; i < points.n; i++) {
        const struct tsm_point *p = &points.points[i];
        for (size_t k = 0; k < p->nfields; k++, n++) {
            const struct tsm_field *f = &points.fields[p->first_field + k];
            tsm_buf_reset(&key);
            assert_int_equal(tsm_line_key(p->raw_key, &key, NULL), TSM_OK);
            tsm_buf_str(&key, TSM_FIELD_SEPARATOR);
            tsm_buf_str(&key, f->name);
            load_key(&c, tsm_buf_view(&key));
            assert_value(&c, p->time, f);
        }
    }
    tsm_reader_close((struct tsm_reader *)c.r);
    tsm_values_release(&c.values);
    tsm_values_release(&c.block);
    tsm_points_release(&points);
    tsm_buf_release(&text);
    tsm_buf_release(&key);
    return n;
}

static void values_are_those_that_were_written(void **state)
{
    (void)state;
    assert_int_equal(
        compare_lines("tests/unit/golden/influxd-values.lp.gz", "tests/unit/golden/influxd-values.tsm"),
        16116);
    assert_int_equal(
        compare_lines("tests/unit/golden/influxd-early.lp.gz", "tests/unit/golden/influxd-early.tsm"), 200);
}

/* ---- the bytes are those that influxd writes ---- */

/* Where InfluxDB 1.8 (whose way we follow) came to write fewer bytes than 1.6: runs of ones that end before
 * the block, and a large first integer. */
static bool written_shorter(struct tsm_str key)
{
    static const char *const keys[] = {"integer#!~#ones", "integer#!~#huge_first", "integer#!~#huge_single",
                                       "time#!~#ones"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (tsm_str_eq(key, tsm_str_of(keys[i])))
            return true;
    return false;
}

static void compare_block(const struct tsm_reader *r, size_t key, size_t entry, struct tsm_values *c,
                          struct tsm_buf *out)
{
    struct tsm_entry e = tsm_reader_entry(r, key, entry);
    struct tsm_str name = tsm_reader_key(r, key);
    const uint8_t *block;
    size_t len, n;
    assert_int_equal(tsm_reader_block(r, &e, &block, &len, NULL), TSM_OK);
    assert_int_equal(tsm_block_decode(block, len, c, NULL), TSM_OK);
    assert_int_equal(tsm_block_count(block, len, &n, NULL), TSM_OK);
    assert_int_equal(n, c->n);
    tsm_buf_reset(out);
    assert_int_equal(tsm_block_encode(out, c, 0, c->n, NULL), TSM_OK);
    if (written_shorter(name)) {
        assert_true(out->len <= len);
        assert_true(out->len < len || memcmp(out->data, block, len) != 0);
        return;
    }
    if (out->len != len || memcmp(out->data, block, len) != 0)
        fail_msg("%.*s: block %zu differs: %zu bytes, influxd has %zu", (int)name.n, name.p, entry, out->len,
                 len);
}

static void blocks_are_byte_for_byte_those_of_influxd(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "tests/unit/golden/influxd-values.tsm", "tests/unit/golden/influxd-early.tsm",
        "tests/unit/golden/influxd-types.tsm", "tests/unit/golden/influxd-compacted.tsm"};
    struct tsm_values c = {0};
    struct tsm_buf out = {0};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct tsm_reader *r = open_golden(paths[i]);
        for (size_t key = 0; key < r->nkeys; key++)
            for (size_t entry = 0; entry < tsm_reader_entries(r, key); entry++)
                compare_block(r, key, entry, &c, &out);
        tsm_reader_close(r);
    }
    tsm_values_release(&c);
    tsm_buf_release(&out);
}

/* ---- numbers are printed as influxd prints them ---- */

static void floats_are_printed_as_influxd_does(void **state)
{
    (void)state;
    FILE *f = fopen("tests/unit/golden/influxd-floats.txt", "r");
    assert_non_null(f);
    char line[800], text[TSM_NUM_MAX + 1];
    size_t n = 0;
    for (; fgets(line, sizeof line, f); n++) {
        line[strcspn(line, "\n")] = 0;
        char *json = strchr(line, ' ');
        assert_non_null(json);
        *json++ = 0;
        double v;
        assert_true(tsm_parse_float(tsm_str_of(json), &v));
        text[tsm_format_float_json(text, v)] = 0;
        assert_string_equal(text, json);
        text[tsm_format_float_plain(text, v)] = 0;
        assert_string_equal(text, line);
        assert_true(tsm_parse_float(tsm_str_of(line), &v));
        text[tsm_format_float_json(text, v)] = 0;
        assert_string_equal(text, json);
    }
    fclose(f);
    assert_int_equal(n, 307);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_those_that_were_written),
        cmocka_unit_test(blocks_are_byte_for_byte_those_of_influxd),
        cmocka_unit_test(floats_are_printed_as_influxd_does),
    };
    return cmocka_run_group_tests_name("golden", tests, NULL, NULL);
}
