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

static void blocks_of_every_shape_round_trip(void **state)
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
                fill(&in, (enum tsm_type)type, (enum shape)shape,
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

/* ---- known bytes, after InfluxDB's own ---- */

static void simple8b_words_are_chosen_greedily(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        uint64_t value, last;
        unsigned selectors[4];
        size_t words;
    } cases[] = {
        {240, 1, 1, {0}, 1},          {241, 1, 1, {0, 15}, 2},
        {120, 1, 1, {1}, 1},          {119, 1, 1, {2, 3, 4, 8}, 4},
        {239, 1, 0, {1, 2, 3, 4}, 4}, {60, 0, 1, {2}, 1},
        {60, 0, 2, {3, 3}, 2},        {30, 3, 3, {3}, 1},
        {20, 7, 7, {4}, 1},           {15, 15, 15, {5}, 1},
        {12, 31, 31, {6}, 1},         {10, 63, 63, {7}, 1},
        {8, 127, 127, {8}, 1},        {7, 255, 255, {9}, 1},
        {6, 1023, 1023, {10}, 1},     {5, 4095, 4095, {11}, 1},
        {4, 32767, 1, {12}, 1},       {3, 1048575, 2, {13}, 1},
        {2, 1073741823, 0, {14}, 1},  {2, TSM_SIMPLE8B_MAX, TSM_SIMPLE8B_MAX, {15, 15}, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t v[241], sums[242];
        uint8_t out[8 * 241];
        for (size_t k = 0; k < cases[i].n; k++)
            v[k] = k + 1 < cases[i].n ? cases[i].value : cases[i].last;
        size_t len = tsm_simple8b_encode(out, v, cases[i].n);
        if (len < 8 * cases[i].words)
            fail_msg("case %zu: %zu bytes", i, len);
        for (size_t k = 0; k < cases[i].words; k++)
            if (out[8 * k] >> 4 != (int)cases[i].selectors[k])
                fail_msg("case %zu: word %zu has selector %d", i, k, out[8 * k] >> 4);
        assert_int_equal(tsm_simple8b_count(out, len), cases[i].n);
        sums[cases[i].n] = 0x1234;
        tsm_simple8b_decode_sums(out, len, 0, 1, sums);
        assert_int_equal(sums[cases[i].n], 0x1234);
        for (size_t k = 0; k < cases[i].n; k++)
            assert_int_equal(sums[k] - (k ? sums[k - 1] : 0), v[k]);
    }
}

static void assert_encodes(enum tsm_type type, const int64_t *t, const void *v, size_t n, const char *bytes,
                           size_t len)
{
    struct tsm_values c = {0};
    struct tsm_buf out = {0};
    tsm_values_reset(&c, type, n);
    memcpy(c.t, t, n * sizeof *t);
    memcpy(c.v.p, v, n * tsm_value_size(type));
    c.n = n;
    assert_int_equal(tsm_block_encode(&out, &c, 0, n, NULL), TSM_OK);
    assert_int_equal(out.len, len);
    assert_memory_equal(out.data, bytes, len);
    tsm_buf_release(&out);
    tsm_values_release(&c);
}

#define ENCODES(type, t, v, bytes) \
    assert_encodes(type, t, v, sizeof(t) / sizeof *(t), bytes, sizeof(bytes) - 1)

static void small_blocks_have_the_known_bytes(void **state)
{
    (void)state;
    ENCODES(TSM_INTEGER, ((const int64_t[]){10}), ((const int64_t[]){-1}),
            "\x01\x09\x1c\0\0\0\0\0\0\0\x0a"
            "\x10\0\0\0\0\0\0\0\x01");
    ENCODES(TSM_INTEGER, ((const int64_t[]){0, 1000, 2000}), ((const int64_t[]){5, 7, 9}),
            "\x01\x0b\x23\0\0\0\0\0\0\0\0\x01\x03"
            "\x20\0\0\0\0\0\0\0\x0a\x04\x02");
    ENCODES(TSM_UNSIGNED, ((const int64_t[]){1, 3, 6}), ((const uint64_t[]){UINT64_MAX, 0, 0}),
            "\x04\x11\x10\0\0\0\0\0\0\0\x01\xe0\0\0\0\xc0\0\0\x02"
            "\x10\0\0\0\0\0\0\0\x01\xe0\0\0\0\0\0\0\x02");
    ENCODES(TSM_BOOLEAN, ((const int64_t[]){0, 1, 2, 3, 4, 5, 6, 7, 8}),
            ((const uint8_t[]){1, 0, 0, 0, 0, 0, 0, 1, 1}),
            "\x02\x0b\x20\0\0\0\0\0\0\0\0\x01\x09"
            "\x10\x09\x81\x80");
    ENCODES(TSM_STRING, ((const int64_t[]){0, 1}), ((const struct tsm_str[]){{"ab", 2}, {NULL, 0}}),
            "\x03\x0b\x20\0\0\0\0\0\0\0\0\x01\x02"
            "\x10\x04\x0c\x02"
            "ab\0");
    /* 12.0, then the same again, then the NaN: 0, then 11, 2 leading zeros, 62 bits 0x3fd0000000000001 */
    ENCODES(TSM_FLOAT, ((const int64_t[]){0, 1}), ((const double[]){12, 12}),
            "\x00\x0b\x20\0\0\0\0\0\0\0\0\x01\x02"
            "\x10\x40\x28\0\0\0\0\0\0\x62\xfb\xfd\0\0\0\0\0\0\x10");
}

static void raw_floats_are_read(void **state)
{
    (void)state;
    static const uint8_t block[] =
        "\x00\x0b\x20\0\0\0\0\0\0\0\0\x01\x02\x00\x40\x28\0\0\0\0\0\0\xbf\xf0\0\0\0\0\0";
    struct tsm_values c = {0};
    assert_int_equal(tsm_block_decode(block, sizeof block, &c, NULL), TSM_OK);
    assert_true(c.n == 2 && c.v.f[0] == 12 && c.v.f[1] == -1);
    assert_int_equal(tsm_block_decode(block, sizeof block - 1, &c, NULL), TSM_ECORRUPT);
    tsm_values_release(&c);
}

/* ---- what cannot be encoded ---- */

static void nan_and_infinity_are_refused(void **state)
{
    (void)state;
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    struct tsm_values c = {0};
    struct tsm_buf out = {0};
    struct tsm_err err;
    for (size_t i = 0; i < 3; i++)
        for (size_t at = 0; at < 3; at++) {
            fill(&c, TSM_FLOAT, STEADY, 3);
            c.v.f[at] = bad[i];
            tsm_buf_reset(&out);
            tsm_buf_byte(&out, 7);
            assert_int_equal(tsm_block_encode(&out, &c, 0, 3, &err), TSM_ELIMIT);
            assert_int_equal(out.len, 1);
        }
    assert_int_equal(tsm_block_encode(&out, &c, 1, 1, &err), TSM_ELIMIT);
    assert_int_equal(tsm_block_encode(&out, &c, 0, 4, &err), TSM_ELIMIT);
    tsm_buf_release(&out);
    tsm_values_release(&c);
}

/* ---- damage ---- */

/* A decoded block keeps every promise, whatever its bytes were. */
static void assert_sound(const struct tsm_values *c, const uint8_t *p, size_t len)
{
    size_t n;
    assert_int_equal(tsm_block_count(p, len, &n, NULL), TSM_OK);
    assert_int_equal(n, c->n);
    assert_true(n > 0 && n <= TSM_BLOCK_MAX_POINTS);
    for (size_t i = 1; i < c->n; i++)
        assert_true(c->t[i - 1] < c->t[i]);
    size_t text = 0;
    for (size_t i = 0; i < c->n; i++) {
        if (c->type == TSM_BOOLEAN)
            assert_true(c->v.b[i] <= 1);
        if (c->type == TSM_STRING)
            for (size_t k = 0; k < c->v.s[i].n; k++)
                text += (uint8_t)c->v.s[i].p[k];
    }
    assert_true(text < SIZE_MAX);
}

/* Decodes a copy that has no byte to spare, so that the address sanitizer sees every read beyond it. */
static void decode_exact(const uint8_t *p, size_t len, struct tsm_values *c)
{
    uint8_t *copy = tsm_alloc(len);
    memcpy(copy, p, len);
    struct tsm_err err = {0};
    struct tsm_block_info info;
    int rc = tsm_block_decode(copy, len, c, &err);
    if (rc == TSM_OK) {
        assert_sound(c, copy, len);
    } else {
        assert_int_equal(rc, TSM_ECORRUPT);
        assert_int_equal(err.code, TSM_ECORRUPT);
        assert_true(strlen(err.msg) > 0);
        assert_int_equal(c->n, 0);
    }
    tsm_block_decode_times(copy, len, c, NULL);
    tsm_block_info(copy, len, &info, NULL);
    tsm_free(copy);
}

static void damaged_blocks_never_crash(void **state)
{
    (void)state;
    struct tsm_values in = {0}, out = {0};
    struct tsm_buf block = {0};
    random_state = 2;
    for (int type = 0; type < TSM_TYPES; type++)
        for (int shape = 0; shape < SHAPES; shape++)
            for (size_t n = 1; n < (type == TSM_STRING ? 16 : 150); n = 2 * n + 1) {
                fill(&in, (enum tsm_type)type, (enum shape)shape, n);
                tsm_buf_reset(&block);
                assert_int_equal(tsm_block_encode(&block, &in, 0, n, NULL), TSM_OK);
                for (size_t len = 0; len < block.len; len++)
                    decode_exact(block.data, len, &out);
                for (size_t i = 0; i < block.len; i++) {
                    uint8_t good = block.data[i];
                    for (unsigned bit = 0; bit < 8; bit++) {
                        block.data[i] = good ^ (uint8_t)(1u << bit);
                        decode_exact(block.data, block.len, &out);
                    }
                    block.data[i] = (uint8_t)random_bits();
                    decode_exact(block.data, block.len, &out);
                    block.data[i] = good;
                }
            }
    tsm_values_release(&in);
    tsm_values_release(&out);
    tsm_buf_release(&block);
}

static void random_bytes_never_crash(void **state)
{
    (void)state;
    struct tsm_values out = {0};
    uint8_t bytes[200];
    random_state = 3;
    for (int round = 0; round < 100000; round++) {
        size_t len = random_below(sizeof bytes);
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)random_bits();
        if (len > 25 && round % 8) { /* most get past the first checks */
            bytes[0] = (uint8_t)random_below(TSM_TYPES);
            bytes[1] = (uint8_t)(1 + 8 * (1 + random_below(2)));
            bytes[2] = (uint8_t)(random_below(3) << 4 | (bytes[2] & 15));
            bytes[2 + bytes[1]] = (uint8_t)(random_below(3) << 4);
        }
        decode_exact(bytes, len, &out);
    }
    tsm_values_release(&out);
}

/* A cut, or values for more or fewer points than there are times, is found in every type. */
static void wrong_counts_are_found(void **state)
{
    (void)state;
    struct tsm_values in = {0}, out = {0};
    struct tsm_buf times = {0}, values = {0}, mixed = {0};
    random_state = 4;
    for (int type = 0; type < TSM_TYPES; type++)
        for (int shape = 0; shape < SHAPES; shape++)
            for (size_t n = 1; n < 300; n = 2 * n + 1) {
                struct tsm_block_info a, b;
                size_t other = n + 1 + random_below(3);
                fill(&in, (enum tsm_type)type, (enum shape)shape, n + 3);
                tsm_buf_reset(&times);
                tsm_buf_reset(&values);
                assert_int_equal(tsm_block_encode(&times, &in, 0, n, NULL), TSM_OK);
                assert_int_equal(tsm_block_encode(&values, &in, 0, other, NULL), TSM_OK);
                assert_int_equal(tsm_block_info(times.data, times.len, &a, NULL), TSM_OK);
                assert_int_equal(tsm_block_info(values.data, values.len, &b, NULL), TSM_OK);
                for (int swap = 0; swap < 2; swap++) {
                    tsm_buf_reset(&mixed);
                    tsm_buf_add(&mixed, times.data, times.len - a.value_bytes);
                    tsm_buf_add(&mixed, values.data + values.len - b.value_bytes, b.value_bytes);
                    if (tsm_block_decode(mixed.data, mixed.len, &out, NULL) != TSM_ECORRUPT)
                        fail_msg("%s, shape %d: %zu and %zu points", tsm_type_name((enum tsm_type)type),
                                 shape, n, other);
                    struct tsm_buf t = times;
                    struct tsm_block_info i = a;
                    times = values, a = b;
                    values = t, b = i;
                }
                for (size_t cut = 1; cut <= a.value_bytes; cut++)
                    assert_int_equal(tsm_block_decode(times.data, times.len - cut, &out, NULL), TSM_ECORRUPT);
            }
    tsm_values_release(&in);
    tsm_values_release(&out);
    tsm_buf_release(&times);
    tsm_buf_release(&values);
    tsm_buf_release(&mixed);
}

static void lies_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *message;
    } cases[] = {
#define CASE(bytes, message) {bytes, sizeof(bytes) - 1, message}
        CASE("", "block of 0 bytes is too short"),
        CASE("\x05\x01\x00", "unknown block type 5"),
        CASE("\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "bad length of the timestamps"),
        CASE("\x00\x7f\x10", "timestamps of 127 bytes exceed the block"),
        CASE("\x00\x00\x10", "timestamps: none"),
        CASE("\x00\x01\x30", "timestamps: unknown encoding 3"),
        CASE("\x00\x01\x00", "timestamps: count 0 is out of range"),
        CASE("\x00\x05\x00zzzz", "timestamps: 5 raw bytes are not whole numbers"),
        CASE("\x00\x01\x10", "timestamps: 1 packed bytes are not whole words"),
        CASE("\x00\x08\x20\0\0\0\0\0\0\0", "timestamps: run of 8 bytes is too short"),
        CASE("\x00\x0a\x20\0\0\0\0\0\0\0\0\xff", "timestamps: bad delta of a run"),
        CASE("\x00\x0a\x20\0\0\0\0\0\0\0\0\x01", "timestamps: bad length of a run"),
        CASE("\x00\x0c\x20\0\0\0\0\0\0\0\0\x01\x02\x02", "timestamps: bad length of a run"),
        CASE("\x00\x0f\x20\0\0\0\0\0\0\0\0\x01\xff\xff\xff\xff\x07", "timestamps: run of 2147483647"),
        CASE("\x00\x0b\x20\0\0\0\0\0\0\0\0\x01\x00", "timestamps: run of 0"),
        CASE("\x00\x0b\x20\0\0\0\0\0\0\0\0\x00\x02", "timestamps: not in ascending order"),
        CASE("\x00\x0b\x20\x7f\xff\xff\xff\xff\xff\xff\xff\x01\x02", "timestamps: not in ascending order"),
        CASE("\x00\x14\x2f\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02",
             "timestamps: delta of a run exceeds 64 bits"),
        CASE("\x01\x11\x10\0\0\0\0\0\0\0\0\xf0\0\0\0\0\0\0\0"
             "\x00\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
             "timestamps: not in ascending order"),
        CASE("\x01\x0b\x20\0\0\0\0\0\0\0\0\x01\x02\x30\0\0\0\0\0\0\0\0", "integers: unknown encoding 3"),
        CASE("\x01\x0b\x20\0\0\0\0\0\0\0\0\x01\x02\x20\0\0\0\0\0\0\0\0\x01\x02",
             "integers: 3 values for 2 timestamps"),
        CASE("\x02\x0b\x20\0\0\0\0\0\0\0\0\x01\x02\x10\x03\xff", "booleans: 3 values for 2 timestamps"),
        CASE("\x02\x0b\x20\0\0\0\0\0\0\0\0\x01\x02\x10\x02\xff\xff", "booleans: 2 bytes for 2 values"),
        CASE("\x03\x0b\x20\0\0\0\0\0\0\0\0\x01\x02\x10\xff\xff\xff\xff\x0f",
             "strings: 5 bytes cannot hold 4294967295"),
        CASE("\x03\x0b\x20\0\0\0\0\0\0\0\0\x01\x02\x10\x02\x04\x7f\x00",
             "strings: value 1 of 2 is cut short"),
        CASE("\x03\x0b\x20\0\0\0\0\0\0\0\0\x01\x02\x10\x03\x08\x00\x00\x00",
             "strings: 1 bytes after the last of 2 values"),
        CASE("\x00\x0b\x20\0\0\0\0\0\0\0\0\x01\x02\x10\x7f\xf8\0\0\0\0\0\x01",
             "floats: no values for 2 timestamps"),
        CASE("\x00\x0b\x20\0\0\0\0\0\0\0\0\x01\x02\x10\x40\x28\0\0\0\0\0\0\x00",
             "floats: no end after 2 values"),
#undef CASE
    };
    struct tsm_values c = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tsm_err err = {0};
        assert_int_equal(tsm_block_decode((const uint8_t *)cases[i].bytes, cases[i].len, &c, &err),
                         TSM_ECORRUPT);
        assert_string_equal(err.msg, cases[i].message);
    }
    tsm_values_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_every_shape_round_trip),
        cmocka_unit_test(simple8b_words_are_chosen_greedily),
        cmocka_unit_test(small_blocks_have_the_known_bytes),
        cmocka_unit_test(raw_floats_are_read),
        cmocka_unit_test(nan_and_infinity_are_refused),
        cmocka_unit_test(damaged_blocks_never_crash),
        cmocka_unit_test(random_bytes_never_crash),
        cmocka_unit_test(wrong_counts_are_found),
        cmocka_unit_test(lies_are_named),
    };
    return cmocka_run_group_tests_name("codec", tests, NULL, NULL);
}
