/*
 * test_transform.c: the transforms against what influxd 1.6.7 answered (cases/transform.cases). Three lines per case, then an empty
 * one: the function with its settings, the points that go in, the points that come out, as time:value. Numbers must
 * agree to the last bit.
 */
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/time.h"
#include "query/transform.h"

static const char cases_path[] = "tests/unit/cases/transform.cases";

static const char *const names[] = {
    [TSM_TRANSFORM_DERIVATIVE] = "derivative",
    [TSM_TRANSFORM_NON_NEGATIVE_DERIVATIVE] = "non_negative_derivative",
    [TSM_TRANSFORM_DIFFERENCE] = "difference",
    [TSM_TRANSFORM_NON_NEGATIVE_DIFFERENCE] = "non_negative_difference",
    [TSM_TRANSFORM_MOVING_AVERAGE] = "moving_average",
    [TSM_TRANSFORM_CUMULATIVE_SUM] = "cumulative_sum",
    [TSM_TRANSFORM_ELAPSED] = "elapsed",
    [TSM_TRANSFORM_INTEGRAL] = "integral",
    [TSM_TRANSFORM_SAMPLE] = "sample",
    [TSM_TRANSFORM_HOLT_WINTERS] = "holt_winters",
    [TSM_TRANSFORM_HOLT_WINTERS_WITH_FIT] = "holt_winters_with_fit",
    [TSM_TRANSFORM_EXPONENTIAL_MOVING_AVERAGE] = "exponential_moving_average",
    [TSM_TRANSFORM_DOUBLE_EXPONENTIAL_MOVING_AVERAGE] = "double_exponential_moving_average",
    [TSM_TRANSFORM_TRIPLE_EXPONENTIAL_MOVING_AVERAGE] = "triple_exponential_moving_average",
    [TSM_TRANSFORM_TRIPLE_EXPONENTIAL_DERIVATIVE] = "triple_exponential_derivative",
    [TSM_TRANSFORM_RELATIVE_STRENGTH_INDEX] = "relative_strength_index",
    [TSM_TRANSFORM_KAUFMANS_EFFICIENCY_RATIO] = "kaufmans_efficiency_ratio",
    [TSM_TRANSFORM_KAUFMANS_ADAPTIVE_MOVING_AVERAGE] = "kaufmans_adaptive_moving_average",
    [TSM_TRANSFORM_CHANDE_MOMENTUM_OSCILLATOR] = "chande_momentum_oscillator",
};
#define KINDS (sizeof names / sizeof *names)

/* Of unsigned values, which 1.6 does not have, and of several points of one time: as in the tests of 1.8. */
static const char *const newer[][3] = {
    {"derivative unsigned asc unit=1000000000", "0:20 4000000000:10 8000000000:19 12000000000:3",
     "4000000000:-2.5 8000000000:2.25 12000000000:-4"},
    {"derivative unsigned desc unit=1000000000", "12000000000:3 8000000000:19 4000000000:10 0:20",
     "8000000000:4 4000000000:-2.25 0:2.5"},
    {"derivative unsigned asc unit=1000000000", "0:20 0:19 4000000000:10 4000000000:3", "4000000000:-2.5"},
    {"difference unsigned asc", "0:20 4000000000:10 8000000000:19 12000000000:3",
     "4000000000:18446744073709551606 8000000000:9 12000000000:18446744073709551600"},
    {"difference unsigned asc", "0:20 0:19 4000000000:10 4000000000:3", "4000000000:18446744073709551606"},
    {"difference float asc", "0:20 0:19 4000000000:10 4000000000:3", "4000000000:-10"},
    {"non_negative_difference unsigned asc", "0:20 4000000000:10 8000000000:29 12000000000:3 16000000000:39",
     "8000000000:19 16000000000:36"},
    {"elapsed unsigned asc unit=1000000000", "0:20 4000000000:10 8000000000:19 11000000000:3",
     "4000000000:4 8000000000:4 11000000000:3"},
    {"elapsed string asc unit=1000000000", "0:0 0:0 4000000000:0", "0:0 4000000000:4"},
    {"integral unsigned asc unit=1000000000", "0:20 5000000000:10 10000000000:0", "0:100"},
    {"integral unsigned asc unit=2000000000", "0:20 5000000000:10 5000000000:30 10000000000:40", "0:125"},
    {"moving_average unsigned asc n=2", "0:20 4000000000:10 8000000000:19 12000000000:3",
     "4000000000:15 8000000000:14.5 12000000000:11"},
    {"cumulative_sum unsigned asc", "0:20 4000000000:10 8000000000:19 12000000000:3",
     "0:20 4000000000:30 8000000000:49 12000000000:52"},
    {"cumulative_sum unsigned asc", "0:20 0:19 4000000000:10 4000000000:3",
     "0:20 0:39 4000000000:49 4000000000:52"},
};

struct point {
    int64_t t;
    union tsm_num v;
};

struct points {
    struct point *p;
    size_t n, cap;
    enum tsm_vec_type type;
};

/* ---- the cases ----------------------------------------------------------------------------------- */

static struct a_case {
    const char *spec, *in, *out;
} * cases;
static size_t ncases, capcases;
static char *text;

static union tsm_num number(const char *s, char **end, enum tsm_vec_type type)
{
    union tsm_num v = {.u = 0};
    if (strncmp(s, "null", 4) == 0) {
        v.f = (double)NAN;
        *end = (char *)(uintptr_t)s + 4;
    } else if (type == TSM_VEC_FLOAT)
        v.f = strtod(s, end);
    else if (type == TSM_VEC_INTEGER)
        v.i = strtoll(s, end, 10);
    else
        v.u = strtoull(s, end, 10);
    return v;
}

static struct points parse_points(const char *s, enum tsm_vec_type type)
{
    struct points list = {.type = type};
    while (*s) {
        char *end;
        struct point p;
        p.t = strtoll(s, &end, 10);
        assert_int_equal(*end, ':');
        p.v = number(end + 1, &end, type);
        s = end + (*end == ' ');
        TSM_GROW(list.p, list.n + 1, list.cap);
        list.p[list.n++] = p;
    }
    return list;
}

/* Without GROUP BY time() the interval is the statement's time range. */
struct range {
    int64_t start, end;
};

static void set(struct tsm_transform_spec *spec, struct range *range, const char *key, const char *value)
{
    int64_t n = strtoll(value, NULL, 10);
    if (strcmp(key, "unit") == 0)
        spec->unit = n;
    else if (strcmp(key, "n") == 0)
        spec->n = n;
    else if (strcmp(key, "season") == 0)
        spec->season = n;
    else if (strcmp(key, "hold") == 0)
        spec->hold = n;
    else if (strcmp(key, "interval") == 0)
        spec->interval = n;
    else if (strcmp(key, "start") == 0)
        range->start = n;
    else if (strcmp(key, "end") == 0)
        range->end = n;
    else if (strcmp(key, "warmup") == 0)
        spec->warmup = strcmp(value, "simple") == 0 ? TSM_WARMUP_SIMPLE
                       : strcmp(value, "none") == 0 ? TSM_WARMUP_NONE
                                                    : TSM_WARMUP_EXPONENTIAL;
    else
        fail_msg("unknown setting %s", key);
}

static struct tsm_transform_spec parse_spec(const char *line, struct range *range)
{
    char *copy = tsm_strdup(line), *rest = copy, *word = strtok_r(copy, " ", &rest);
    size_t kind = 0;
    while (kind < KINDS && strcmp(word, names[kind]) != 0)
        kind++;
    assert_true(kind < KINDS);
    struct tsm_transform_spec spec = {.kind = (enum tsm_transform_kind)kind, .hold = -1};
    *range = (struct range){TSM_TIME_MIN, INT64_MAX};
    word = strtok_r(NULL, " ", &rest);
    spec.in = strcmp(word, "float") == 0     ? TSM_VEC_FLOAT
              : strcmp(word, "integer") == 0 ? TSM_VEC_INTEGER
              : strcmp(word, "string") == 0  ? TSM_VEC_STRING
                                             : TSM_VEC_UNSIGNED;
    spec.ascending = strcmp(strtok_r(NULL, " ", &rest), "asc") == 0;
    while ((word = strtok_r(NULL, " ", &rest))) {
        char *value = strchr(word, '=');
        assert_non_null(value);
        *value++ = '\0';
        set(&spec, range, word, value);
    }
    tsm_free(copy);
    return spec;
}

/* ---- running ------------------------------------------------------------------------------------- */

static void take(void *ctx, int64_t t, union tsm_num v, uint64_t origin)
{
    (void)origin;
    struct points *list = ctx;
    TSM_GROW(list->p, list->n + 1, list->cap);
    list->p[list->n++] = (struct point){t, v};
}

static struct points transform(const struct tsm_transform_spec *spec, struct tsm_transform *t,
                               struct range range, const struct points *in)
{
    struct points out = {.type = tsm_transform_out(spec)};
    struct tsm_err err = {0};
    tsm_transform_begin(t);
    for (size_t i = 0; i < in->n; i++) {
        struct range w = range;
        if (spec->interval) {
            w.start = in->p[i].t / spec->interval * spec->interval;
            w.end = w.start + spec->interval;
        }
        assert_int_equal(tsm_transform_add(t, in->p[i].t, in->p[i].v, w.start, w.end, take, &out, &err),
                         TSM_OK);
    }
    assert_int_equal(tsm_transform_end(t, take, &out, &err), TSM_OK);
    return out;
}

static char *print(const struct points *list)
{
    struct tsm_buf b = {0};
    for (size_t i = 0; i < list->n; i++) {
        tsm_buf_printf(&b, "%s%" PRId64 ":", i ? " " : "", list->p[i].t);
        if (list->type == TSM_VEC_FLOAT && isnan(list->p[i].v.f))
            tsm_buf_printf(&b, "null");
        else if (list->type == TSM_VEC_FLOAT)
            tsm_buf_printf(&b, "%.17g", list->p[i].v.f);
        else if (list->type == TSM_VEC_INTEGER)
            tsm_buf_printf(&b, "%" PRId64, list->p[i].v.i);
        else
            tsm_buf_printf(&b, "%" PRIu64, list->p[i].v.u);
    }
    char *s = tsm_strndup((const char *)b.data, b.len);
    tsm_buf_release(&b);
    return s;
}

static void test_case(void **state)
{
    const struct a_case *c = *state;
    struct range range;
    struct tsm_transform_spec spec = parse_spec(c->spec, &range);
    struct points in = parse_points(c->in, spec.in), want = parse_points(c->out, tsm_transform_out(&spec));
    struct tsm_transform *t = tsm_transform_new(&spec);
    char *expected = print(&want);
    for (int again = 0; again < 2; again++) { /* begin() forgets everything */
        struct points out = transform(&spec, t, range, &in);
        char *got = print(&out);
        assert_string_equal(got, expected);
        tsm_free(got);
        tsm_free(out.p);
    }
    tsm_free(expected);
    tsm_transform_free(t);
    tsm_free(in.p);
    tsm_free(want.p);
}

/* ---- what the cases cannot say ------------------------------------------------------------------- */

static void test_sample(void **state)
{
    (void)state;
    enum { POINTS = 1000, KEPT = 100 };
    struct point all[POINTS];
    for (int i = 0; i < POINTS; i++)
        all[i] = (struct point){i, {.i = 7 * i}};
    const struct points in = {all, POINTS, POINTS, TSM_VEC_INTEGER};
    struct tsm_transform_spec spec = {
        .kind = TSM_TRANSFORM_SAMPLE, .in = TSM_VEC_INTEGER, .ascending = true, .n = KEPT};
    unsigned seen[POINTS] = {0};
    for (spec.seed = 1; spec.seed <= 200; spec.seed++) {
        struct tsm_transform *t = tsm_transform_new(&spec);
        struct points out = transform(&spec, t, (struct range){0, POINTS}, &in);
        assert_int_equal(out.n, KEPT);
        for (size_t i = 0; i < out.n; i++) {
            assert_int_equal(out.p[i].v.i, 7 * out.p[i].t);
            if (i)
                assert_true(out.p[i].t > out.p[i - 1].t);
            seen[out.p[i].t]++;
        }
        tsm_free(out.p);
        tsm_transform_free(t);
    }
    /* Each of them 20 times of 200, give or take: 0 and 55 are beyond all chance. */
    for (int i = 0; i < POINTS; i++)
        assert_in_range(seen[i], 1, 55);
}

static void test_limits(void **state)
{
    (void)state;
    struct tsm_err err = {0};
    static const struct {
        enum tsm_transform_kind kind;
        int64_t n;
    } big[] = {
        {TSM_TRANSFORM_MOVING_AVERAGE, INT64_MAX},
        {TSM_TRANSFORM_SAMPLE, INT64_MAX},
        {TSM_TRANSFORM_KAUFMANS_EFFICIENCY_RATIO, INT64_MAX},
        {TSM_TRANSFORM_CHANDE_MOMENTUM_OSCILLATOR, INT64_MAX},
        {TSM_TRANSFORM_HOLT_WINTERS, INT64_MAX},
    };
    for (size_t i = 0; i < sizeof big / sizeof *big; i++) {
        struct tsm_transform_spec spec = {
            .kind = big[i].kind, .n = big[i].n, .interval = 1, .ascending = true};
        spec.memory = 4096;
        spec.warmup = TSM_WARMUP_NONE;
        spec.hold = -1;
        struct tsm_transform *t = tsm_transform_new(&spec);
        struct points out = {.type = TSM_VEC_FLOAT};
        int code = TSM_OK;
        for (int p = 0; p < 10000 && !code; p++)
            code = tsm_transform_add(t, p, (union tsm_num){.f = p}, 0, 100000, take, &out, &err);
        assert_int_equal(code, TSM_ELIMIT);
        tsm_transform_begin(t);
        for (int p = 0; p < 3; p++)
            assert_int_equal(tsm_transform_add(t, p, (union tsm_num){.f = p}, 0, 100000, take, &out, &err),
                             TSM_OK);
        code = tsm_transform_end(t, take, &out, &err);
        assert_int_equal(code, big[i].kind == TSM_TRANSFORM_HOLT_WINTERS ? TSM_ELIMIT : TSM_OK);
        tsm_free(out.p);
        tsm_transform_free(t);
    }
}

static void test_killed(void **state)
{
    (void)state;
    struct tsm_query_control control = {.end = TSM_END_KILLED};
    struct tsm_transform_spec spec = {
        .kind = TSM_TRANSFORM_HOLT_WINTERS, .n = 10, .interval = 1, .ascending = true};
    spec.control = &control;
    struct tsm_transform *t = tsm_transform_new(&spec);
    struct points out = {.type = TSM_VEC_FLOAT};
    struct tsm_err err = {0};
    for (int i = 0; i < 100000; i++)
        assert_int_equal(tsm_transform_add(t, i, (union tsm_num){.f = i % 7}, 0, 1, take, &out, &err),
                         TSM_OK);
    assert_int_equal(tsm_transform_end(t, take, &out, &err), TSM_EQUERY);
    assert_string_equal(err.msg, "query interrupted");
    assert_int_equal(out.n, 0);
    tsm_transform_free(t);
}

/* ---- all ----------------------------------------------------------------------------------------- */

static void load_cases(void)
{
    FILE *f = fopen(cases_path, "r");
    if (!f) {
        perror(cases_path);
        exit(1);
    }
    struct tsm_buf b = {0};
    size_t n;
    do {
        n = fread(tsm_buf_room(&b, 65536), 1, 65536, f);
        b.len += n;
    } while (n);
    fclose(f);
    text = tsm_strndup((const char *)b.data, b.len);
    tsm_buf_release(&b);
    char *rest = text;
    while (*rest == '#')
        rest = strchr(rest, '\n') + 1;
    for (size_t i = 0; i < sizeof newer / sizeof *newer; i++) {
        TSM_GROW(cases, ncases + 1, capcases);
        cases[ncases++] = (struct a_case){newer[i][0], newer[i][1], newer[i][2]};
    }
    while (rest && *rest) {
        struct a_case c;
        c.spec = strsep(&rest, "\n");
        c.in = strsep(&rest, "\n");
        c.out = strsep(&rest, "\n");
        strsep(&rest, "\n");
        TSM_GROW(cases, ncases + 1, capcases);
        cases[ncases++] = c;
    }
}

int main(void)
{
    load_cases();
    struct CMUnitTest *tests = tsm_calloc(ncases + 3, sizeof *tests);
    for (size_t i = 0; i < ncases; i++) {
        tests[i].name = cases[i].spec;
        tests[i].test_func = test_case;
        tests[i].initial_state = &cases[i];
    }
    tests[ncases] = (struct CMUnitTest)cmocka_unit_test(test_sample);
    tests[ncases + 1] = (struct CMUnitTest)cmocka_unit_test(test_limits);
    tests[ncases + 2] = (struct CMUnitTest)cmocka_unit_test(test_killed);
    int failed = _cmocka_run_group_tests("transform", tests, ncases + 3, NULL, NULL);
    tsm_free(tests);
    tsm_free(cases);
    tsm_free(text);
    return failed;
}
