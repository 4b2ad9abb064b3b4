/* tests/unit/test_batch.c: points as bytes and back, and any other bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/map.h"
#include "format/batch.h"

static void no_reject(void *ctx, uint32_t line, struct tsm_str text, const char *cause)
{
    (void)ctx;
    fail_msg("line %u: %.*s: %s", line, (int)text.n, text.p, cause);
}

static void parse(const char *text, struct tsm_points *out)
{
    struct tsm_line_options opt = {1, 0};
    tsm_line_parse(tsm_str_of(text), &opt, out, no_reject, NULL);
}

static void assert_same_value(const struct tsm_field *a, const struct tsm_field *b)
{
    assert_int_equal(a->type, b->type);
    if (a->type == TSM_STRING)
        assert_true(tsm_str_eq(a->value.s, b->value.s));
    else if (a->type == TSM_BOOLEAN)
        assert_int_equal(a->value.b, b->value.b);
    else
        assert_true(a->value.u == b->value.u);
}

static void assert_same_point(const struct tsm_points *x, size_t i, const struct tsm_points *y, size_t k)
{
    const struct tsm_point *a = &x->points[i], *b = &y->points[k];
    assert_true(tsm_str_eq(a->raw_key, b->raw_key));
    assert_true(a->hash == b->hash && a->time == b->time);
    assert_int_equal(a->nfields, b->nfields);
    for (uint32_t f = 0; f < a->nfields; f++) {
        assert_true(tsm_str_eq(x->fields[a->first_field + f].name, y->fields[b->first_field + f].name));
        assert_same_value(&x->fields[a->first_field + f], &y->fields[b->first_field + f]);
    }
}

static const char lines[] =
    "cpu,host=a,dc=x f=1.5,i=-9223372036854775808i,b=true,s=\"a \\\"word\\\"\" -9223372036854775806\n"
    "cpu,host=b u=18446744073709551615u,f=-0 9223372036854775806\n"
    "cpu,host=a,dc=x i=3i,f=2.25 5\n"
    "mem,host=\\ a s=\"\",b=false 5\n"
    "cpu,host=b f=3e300 4\n";

static void every_point_comes_back(void **state)
{
    (void)state;
    struct tsm_batch_encoder *e = tsm_batch_encoder_new();
    struct tsm_points in = {0}, out = {0};
    struct tsm_buf bytes = {0};
    struct tsm_err err;
    static const uint32_t all[] = {0, 1, 2, 3, 4}, some[] = {4, 2};
    parse(lines, &in);
    for (int round = 0; round < 3; round++) {
        tsm_buf_reset(&bytes);
        tsm_batch_encode(e, &in, all, 5, &bytes);
        tsm_points_reset(&out);
        assert_int_equal(tsm_batch_decode(bytes.data, bytes.len, &out, &err), TSM_OK);
        assert_int_equal(out.n, 5);
        for (size_t i = 0; i < 5; i++)
            assert_same_point(&in, i, &out, i);
    }
    tsm_buf_reset(&bytes);
    tsm_batch_encode(e, &in, some, 2, &bytes);
    tsm_points_reset(&out);
    assert_int_equal(tsm_batch_decode(bytes.data, bytes.len, &out, &err), TSM_OK);
    assert_int_equal(out.n, 2);
    assert_same_point(&in, 4, &out, 0);
    assert_same_point(&in, 2, &out, 1);
    tsm_buf_reset(&bytes);
    tsm_batch_encode(e, &in, NULL, 0, &bytes);
    tsm_points_reset(&out);
    assert_int_equal(tsm_batch_decode(bytes.data, bytes.len, &out, &err), TSM_OK);
    assert_int_equal(out.n, 0);
    tsm_points_release(&in);
    tsm_points_release(&out);
    tsm_buf_release(&bytes);
    tsm_batch_encoder_free(e);
}

static void many_series_grow_the_table(void **state)
{
    (void)state;
    enum { N = 5000 };
    struct tsm_batch_encoder *e = tsm_batch_encoder_new();
    struct tsm_points in = {0}, out = {0};
    struct tsm_buf text = {0}, bytes = {0};
    struct tsm_err err;
    uint32_t *which = tsm_realloc_array(NULL, N, sizeof *which);
    for (uint32_t i = 0; i < N; i++) {
        tsm_buf_printf(&text, "m,d=%u f%u=%u %u\n", i % 3001, i % 7, i, i);
        which[i] = i;
    }
    parse(tsm_buf_cstr(&text), &in);
    for (int round = 0; round < 2; round++) {
        tsm_buf_reset(&bytes);
        tsm_batch_encode(e, &in, which, N, &bytes);
    }
    assert_int_equal(tsm_batch_decode(bytes.data, bytes.len, &out, &err), TSM_OK);
    for (uint32_t i = 0; i < N; i++)
        assert_same_point(&in, i, &out, i);
    tsm_free(which);
    tsm_points_release(&in);
    tsm_points_release(&out);
    tsm_buf_release(&text);
    tsm_buf_release(&bytes);
    tsm_batch_encoder_free(e);
}

/* Every cut is found; a flipped bit never leads astray, and what is decoded all the same is well-formed. */
static void damaged_bytes_are_harmless(void **state)
{
    (void)state;
    struct tsm_batch_encoder *e = tsm_batch_encoder_new();
    struct tsm_points in = {0};
    struct tsm_buf bytes = {0};
    struct tsm_err err;
    static const uint32_t all[] = {0, 1, 2, 3, 4};
    parse(lines, &in);
    tsm_batch_encode(e, &in, all, 5, &bytes);
    for (size_t n = 0; n < bytes.len; n++) {
        struct tsm_points out = {0};
        uint8_t *copy = tsm_alloc(n + 1); /* of exactly this size: what is read behind it is noticed */
        memcpy(copy, bytes.data, n);
        assert_int_equal(tsm_batch_decode(copy, n, &out, &err), TSM_ECORRUPT);
        assert_non_null(strstr(err.msg, "offset "));
        tsm_free(copy);
        tsm_points_release(&out);
    }
    for (size_t bit = 0; bit < 8 * bytes.len; bit++) {
        struct tsm_points out = {0};
        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (tsm_batch_decode(bytes.data, bytes.len, &out, &err) == TSM_OK)
            for (size_t i = 0; i < out.n; i++)
                assert_true(out.points[i].first_field + out.points[i].nfields <= out.nfields &&
                            out.points[i].nfields > 0);
        tsm_points_release(&out);
        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    tsm_points_release(&in);
    tsm_buf_release(&bytes);
    tsm_batch_encoder_free(e);
}

/* Names are found by a table too: a line with many fields costs no more for each. */
static void many_names_come_back(void **state)
{
    (void)state;
    enum { N = 200000 };
    struct tsm_batch_encoder *e = tsm_batch_encoder_new();
    struct tsm_points in = {0}, out = {0};
    struct tsm_buf text = {0}, bytes = {0};
    static const uint32_t both[] = {0, 1};
    tsm_buf_puts(&text, "m ");
    for (uint32_t i = 0; i < N; i++)
        tsm_buf_printf(&text, "%sfield%u=%ui", i ? "," : "", i, i);
    tsm_buf_puts(&text, " 1\nm ");
    for (uint32_t i = N; i-- > 0;)
        tsm_buf_printf(&text, "field%u=%ui%s", i, i, i ? "," : " 2\n");
    parse(tsm_buf_cstr(&text), &in);
    tsm_batch_encode(e, &in, both, 2, &bytes);
    assert_int_equal(tsm_batch_decode(bytes.data, bytes.len, &out, NULL), TSM_OK);
    assert_same_point(&in, 0, &out, 0);
    assert_same_point(&in, 1, &out, 1);
    tsm_points_release(&in);
    tsm_points_release(&out);
    tsm_buf_release(&text);
    tsm_buf_release(&bytes);
    tsm_batch_encoder_free(e);
}

/* What no line can hold is not let in by this way either. */
static void impossible_points_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *cause, *bytes;
        size_t n;
    } cases[] = {
#define CASE(cause, bytes) {cause, bytes, sizeof(bytes) - 1}
        CASE("a float that is no number", "\1\1m\1\1f\1"
                                          "\0\2\1\0"
                                          "\x7f\xf8\0\0\0\0\0\1"),
        CASE("a float that is no number", "\1\1m\1\1f\1"
                                          "\0\2\1\0"
                                          "\xff\xf0\0\0\0\0\0\0"),
        CASE("a bad boolean", "\1\1m\1\1f\1"
                              "\0\2\1\2\2"),
        CASE("an unknown field type", "\1\1m\1\1f\1"
                                      "\0\2\1\5\0"),
        CASE("an unknown field type", "\1\1m\1\1f\1"
                                      "\0\2\1\7\0"),
        CASE("a field without a name", "\1\1m\1\1f\1"
                                       "\0\2\1\x0a\1"),
        CASE("a point without a key", "\1\1m\1\1f\1"
                                      "\1\2\1\2\1"),
        CASE("a point with a bad number of fields", "\1\1m\1\1f\1"
                                                    "\0\2\0\2\1"),
        CASE("a point with a bad number of fields", "\1\1m\1\1f\1"
                                                    "\0\2\2\2\1"),
        CASE("more points than there are bytes", "\1\1m\1\1f\2"
                                                 "\0\2\1\2\1"),
        CASE("bytes behind the last point", "\1\1m\1\1f\1"
                                            "\0\2\1\2\1\0"),
        CASE("a key or name of no possible length", "\1\0\1\1f\0"),
        CASE("a key or name of no possible length", "\1\1m\1\0\0"),
        CASE("a key or name that is cut", "\1\x09m\1\1f\0"),
        CASE("more keys or names than there are bytes", "\x7f\1m"),
        CASE("a time out of range", "\1\1m\1\1f\1"
                                    "\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\1\2\1"),
        CASE("a bad time", "\1\1m\1\1f\1"
                           "\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\2\1\2\1"),
#undef CASE
    };
    struct tsm_points out = {0};
    struct tsm_err err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tsm_points_reset(&out);
        assert_int_equal(tsm_batch_decode((const uint8_t *)cases[i].bytes, cases[i].n, &out, &err),
                         TSM_ECORRUPT);
        if (!strstr(err.msg, cases[i].cause))
            fail_msg("case %zu: %s", i, err.msg);
    }
    tsm_points_release(&out);
}

/* A TSM key has two bytes for its length. */
static void long_keys(void **state)
{
    (void)state;
    for (size_t key = TSM_KEY_MAX - 8; key <= TSM_KEY_MAX + 1; key++) {
        struct tsm_points out = {0};
        struct tsm_buf b = {0};
        tsm_buf_byte(&b, 1);
        b.len += tsm_put_uvarint(tsm_buf_room(&b, TSM_VARINT_MAX), key);
        memset(tsm_buf_room(&b, key), 'k', key);
        b.len += key;
        tsm_buf_add(&b,
                    "\1\2ff\1"
                    "\0\2\1\2\1",
                    10);
        assert_int_equal(tsm_batch_decode(b.data, b.len, &out, NULL),
                         key + 4 + 2 <= TSM_KEY_MAX ? TSM_OK : TSM_ECORRUPT);
        tsm_buf_release(&b);
        tsm_points_release(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_point_comes_back),        cmocka_unit_test(many_series_grow_the_table),
        cmocka_unit_test(many_names_come_back),          cmocka_unit_test(damaged_bytes_are_harmless),
        cmocka_unit_test(impossible_points_are_refused), cmocka_unit_test(long_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
