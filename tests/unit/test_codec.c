/* test_codec.c: every encoding of a block: round trips over many shapes of data, and damaged bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "codec/block.h"
#include "codec/boolean.h"
#include "codec/float.h"
#include "codec/integer.h"
#include "codec/simple8b.h"
#include "codec/string.h"
#include "codec/time.h"

enum { POINTS = 1001 };

/* xorshift64*: the same numbers in every run. */
static uint64_t random_state;

static uint64_t random_bits(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * UINT64_C(2685821657736338717);
}

static uint64_t random_below(uint64_t n)
{
    return random_bits() % n;
}

/* ---- shapes of data ---- */

enum shape { CONSTANT, STEADY, WALK, WIDE_WALK, ALTERNATING, EXTREMES, MIXED_WIDTH, ONES, NOISE, SHAPES };

static uint64_t integer_of_shape(enum shape shape, size_t i, uint64_t last)
{
    switch (shape) {
    case CONSTANT:
        return last;
    case STEADY:
        return last + 7;
    case WALK:
        return last + random_below(21) - 10;
    case WIDE_WALK:
        return last + random_below(UINT64_C(1) << 40) - (UINT64_C(1) << 39);
    case ALTERNATING:
        return i % 2 ? 1000000 : 0;
    case EXTREMES:
        return random_below(2) ? (uint64_t)INT64_MIN : (uint64_t)INT64_MAX;
    case MIXED_WIDTH: /* deltas of every number of bits that simple8b can take */
        return last + (random_bits() >> (5 + random_below(59)));
    case ONES: /* zigzag deltas of 1 with few others in between: the selectors for runs */
        return last - 1 - (random_below(300) == 0);
    default:
        return random_bits();
    }
}

static void fill_integers(enum shape shape, int64_t *v, size_t n)
{
    uint64_t last = shape == CONSTANT ? random_bits() : random_below(1000);
    for (size_t i = 0; i < n; i++)
        v[i] = (int64_t)(last = integer_of_shape(shape, i, last));
}

static void fill_floats(enum shape shape, double *v, size_t n)
{
    double last = 20;
    for (size_t i = 0; i < n; i++) {
        switch (shape) {
        case CONSTANT:
            break;
        case STEADY:
            last += 0.5;
            break;
        case WALK:
            last = round(last * 1e4 + (double)random_below(2001) - 1000) / 1e4;
            break;
        case WIDE_WALK:
            last = ldexp(1, (int)random_below(2000) - 1000);
            break;
        case ALTERNATING:
            last = i % 2 ? -0.0 : 0.0;
            break;
        case EXTREMES:
            last = random_below(2) ? 1.7976931348623157e308 : -4.9e-324;
            break;
        case MIXED_WIDTH:
            last = (double)(random_bits() >> random_below(64));
            break;
        case ONES:
            last = random_below(50) ? last : last * 1.1;
            break;
        default:
            do {
                uint64_t bits = random_bits();
                memcpy(&last, &bits, sizeof last);
            } while (!isfinite(last));
        }
        v[i] = last;
    }
}

/* Strictly ascending; the deltas have every scale and width. */
static void fill_times(enum shape shape, int64_t *t, size_t n)
{
    uint64_t scale = 1;
    for (uint64_t k = random_below(14); k; k--)
        scale *= 10;
    uint64_t time = shape == EXTREMES ? (uint64_t)INT64_MIN + 2
                                      : UINT64_C(1500000000000000000) - random_below(1000);
    for (size_t i = 0; i < n; i++) {
        t[i] = (int64_t)time;
        switch (shape) {
        case CONSTANT:
        case STEADY:
            time += 1000000000;
            break;
        case WALK:
            time += (1 + random_below(20)) * (scale % 1000000000000 ? scale : 1);
            break;
        case EXTREMES:
            time += n < 5 ? UINT64_C(1) << 62 : UINT64_C(1) << 53;
            break;
        case MIXED_WIDTH:
            time += 1 + (random_bits() >> (14 + random_below(50)));
            break;
        case ONES:
            time += 1 + (random_below(300) == 0);
            break;
        default:
            time += 1 + random_below(1000000);
        }
    }
}

static void fill_strings(struct tsm_values *c, enum shape shape, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char text[300];
        size_t len = shape == CONSTANT ? 5 : shape == EXTREMES ? (i % 2) * 299 : random_below(20);
        for (size_t k = 0; k < len; k++)
            text[k] = (char)(shape == NOISE ? random_bits() : 'a' + random_below(4));
        tsm_values_add(c, c->t[i], (union tsm_value){.s = tsm_str(shape == CONSTANT ? "hello" : text, len)});
    }
}

static void fill(struct tsm_values *c, enum tsm_type type, enum shape shape, size_t n)
{
    tsm_values_reset(c, type, n);
    fill_times(shape, c->t, n);
    switch (type) {
    case TSM_FLOAT:
        fill_floats(shape, c->v.f, n);
        break;
    case TSM_BOOLEAN:
        for (size_t i = 0; i < n; i++)
            c->v.b[i] = shape == CONSTANT ? 1 : shape == ALTERNATING ? i % 2 : (uint8_t)random_below(2);
        break;
    case TSM_STRING:
        fill_strings(c, shape, n);
        break;
    default:
        fill_integers(shape, c->v.i, n);
    }
    c->n = n;
}

static void assert_same(const struct tsm_values *a, const struct tsm_values *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->t, b->t, a->n * sizeof *a->t);
    if (a->type != TSM_STRING) {
        assert_memory_equal(a->v.p, b->v.p, a->n * tsm_value_size(a->type));
        return;
    }
    for (size_t i = 0; i < a->n; i++)
        assert_true(tsm_str_eq(a->v.s[i], b->v.s[i]));
}

/* ---- round trips ---- */

static void round_trip(const struct tsm_values *in, struct tsm_values *out, struct tsm_buf *block)
{
    struct tsm_err err = {0};
    tsm_buf_reset(block);
    tsm_buf_byte(block, 0xee); /* encoding appends */
    assert_int_equal(tsm_block_encode(block, in, 0, in->n, &err), TSM_OK);
    const uint8_t *p = block->data + 1;
    size_t len = block->len - 1, n;
    if (tsm_block_decode(p, len, out, &err) != TSM_OK)
        fail_msg("%s, %zu points: %s", tsm_type_name(in->type), in->n, err.msg);
    assert_same(in, out);
    assert_int_equal(tsm_block_count(p, len, &n, &err), TSM_OK);
    assert_int_equal(n, in->n);
    assert_int_equal(tsm_block_decode_times(p, len, out, &err), TSM_OK);
    assert_int_equal(out->n, in->n);
    assert_memory_equal(out->t, in->t, in->n * sizeof *in->t);
    struct tsm_block_info info;
    assert_int_equal(tsm_block_info(p, len, &info, &err), TSM_OK);
    assert_int_equal(info.type, in->type);
    assert_int_equal(info.n, in->n);
    assert_string_not_equal(info.time_encoding, "unknown");
    assert_string_not_equal(info.value_encoding, "unknown");
}

static void test_round_trips(void **state)
{
    (void)state;
    static const size_t sizes[] = {1,   2,   3,   4,   5,   7,   8,   9,   59,  60,   61,
                                   119, 120, 121, 122, 239, 240, 241, 242, 999, 1000, POINTS};
    struct tsm_values in = {0}, out = {0};
    struct tsm_buf block = {0};
    random_state = 1;
    for (int type = 0; type < TSM_TYPES; type++)
        for (int shape = 0; shape < SHAPES; shape++)
            for (size_t k = 0; k < sizeof sizes / sizeof *sizes + 40; k++) {
                fill(&in, type, shape,
                     k < sizeof sizes / sizeof *sizes ? sizes[k] : 1 + random_below(POINTS));
                round_trip(&in, &out, &block);
            }
    fill(&in, TSM_FLOAT, WALK, 70000); /* more than a writer ever puts in */
    round_trip(&in, &out, &block);
    fill(&in, TSM_STRING, WALK, 70000);
    round_trip(&in, &out, &block);
    tsm_values_release(&in);
    tsm_values_release(&out);
    tsm_buf_release(&block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
