/* tests/unit/test_batch.c: points as bytes and back, and any other bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_point_comes_back),
        cmocka_unit_test(many_series_grow_the_table),
        cmocka_unit_test(damaged_bytes_are_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
