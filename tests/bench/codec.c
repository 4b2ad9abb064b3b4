/*
 * tests/bench/codec.c: nanoseconds per value to encode and decode blocks of 1,000 points, for typical
 * columns, and of the CRC-32 over them. Each figure is the best of several rounds, so that a busy machine
 * disturbs it little.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <zlib.h>

#include "codec/block.h"

enum { POINTS = TSM_BLOCK_POINTS, BLOCKS = 200, ROUNDS = 20 };

static uint64_t random_state = 88172645463325252u;

static uint64_t random_bits(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static double gauss(void)
{
    double sum = -6;
    for (int i = 0; i < 12; i++)
        sum += (double)(random_bits() >> 11) * 0x1p-53;
    return sum;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

enum column { GAUSS, RANDOM_FLOAT, CONSTANT_FLOAT, SMALL_INTEGER, WALK, JITTER, BOOLEAN, WORD };

static const struct {
    enum column column;
    enum tsm_type type;
    const char *name;
} columns[] = {
    {GAUSS, TSM_FLOAT, "float, gaussian, 4 decimals"}, {RANDOM_FLOAT, TSM_FLOAT, "float, random bits"},
    {CONSTANT_FLOAT, TSM_FLOAT, "float, constant"},    {SMALL_INTEGER, TSM_INTEGER, "integer, 0 to 99"},
    {WALK, TSM_INTEGER, "integer, steps of 1"},        {JITTER, TSM_INTEGER, "the same, times with jitter"},
    {BOOLEAN, TSM_BOOLEAN, "boolean, random"},         {WORD, TSM_STRING, "string, few words"},
};

static union tsm_value next_value(enum column column, int64_t *level)
{
    static const char *const words[] = {"ok", "warning", "error", ""};
    switch (column) {
    case GAUSS:
        return (union tsm_value){.f = round(gauss() * 1e5 + 5e5) / 1e4};
    case RANDOM_FLOAT:
        return (union tsm_value){.f = (double)(random_bits() >> 11) * 0x1p-53};
    case CONSTANT_FLOAT:
        return (union tsm_value){.f = 12.5};
    case SMALL_INTEGER:
        return (union tsm_value){.i = (int64_t)(random_bits() % 100)};
    case BOOLEAN:
        return (union tsm_value){.b = random_bits() % 2 != 0};
    case WORD:
        return (union tsm_value){.s = tsm_str_of(words[random_bits() % 4])};
    default:
        *level += (int64_t)(random_bits() % 3) - 1;
        return (union tsm_value){.i = *level};
    }
}

static void fill(struct tsm_values *c, enum column column, enum tsm_type type)
{
    int64_t t = INT64_C(1500000000000000000), level = 0;
    tsm_values_reset(c, type, POINTS);
    for (size_t i = 0; i < POINTS; i++) {
        tsm_values_add(c, t, next_value(column, &level));
        t += column == JITTER ? (int64_t)(900 + random_bits() % 200) * 1000000 : 1000000000;
    }
}

static struct tsm_values input[BLOCKS], output;
static struct tsm_buf blocks[BLOCKS];

enum step { ENCODE, DECODE, TIMES, COUNT, CRC, STEPS };

static uint64_t do_step(enum step step, size_t i)
{
    size_t n = 0;
    const uint8_t *p = blocks[i].data;
    size_t len = blocks[i].len;
    switch (step) {
    case ENCODE:
        tsm_buf_reset(&blocks[i]);
        return (uint64_t)tsm_block_encode(&blocks[i], &input[i], 0, POINTS, NULL);
    case DECODE:
        return (uint64_t)tsm_block_decode(p, len, &output, NULL);
    case TIMES:
        return (uint64_t)tsm_block_decode_times(p, len, &output, NULL);
    case COUNT:
        return (uint64_t)tsm_block_count(p, len, &n, NULL) + (n != POINTS);
    default:
        return crc32(0, p, (uInt)len) == 0;
    }
}

static void measure(size_t column)
{
    double best[STEPS] = {HUGE_VAL, HUGE_VAL, HUGE_VAL, HUGE_VAL, HUGE_VAL};
    uint64_t wrong = 0;
    size_t bytes = 0;
    for (size_t i = 0; i < BLOCKS; i++)
        fill(&input[i], columns[column].column, columns[column].type);
    for (int round = 0; round < ROUNDS; round++)
        for (int step = 0; step < STEPS; step++) {
            double start = now();
            for (size_t i = 0; i < BLOCKS; i++)
                wrong += do_step((enum step)step, i);
            double each = (now() - start) / (BLOCKS * POINTS);
            best[step] = each < best[step] ? each : best[step];
        }
    for (size_t i = 0; i < BLOCKS; i++)
        bytes += blocks[i].len;
    printf("%-28s %7.2f %7.2f %7.2f %7.2f %7.2f %7.2f%s\n", columns[column].name,
           (double)bytes / (BLOCKS * POINTS), best[ENCODE], best[DECODE], best[TIMES], best[COUNT], best[CRC],
           wrong ? "  WRONG" : "");
}

int main(void)
{
    printf("%-28s %7s %7s %7s %7s %7s %7s\n", "ns per value", "bytes", "encode", "decode", "times", "count",
           "crc");
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        measure(i);
    for (size_t i = 0; i < BLOCKS; i++) {
        tsm_values_release(&input[i]);
        tsm_buf_release(&blocks[i]);
    }
    tsm_values_release(&output);
    return 0;
}
