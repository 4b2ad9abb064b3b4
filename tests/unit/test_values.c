/* test_values.c: columns of values: adding, merging, sorting, deleting; against simple models. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/values.h"

static uint64_t random_state = 88172645463325252u;

static uint64_t random_below(uint64_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % n;
}

/* Every value of a test is made from a number, so that it can be recognised. */
static union tsm_value value_of(enum tsm_type type, uint64_t number, char text[32])
{
    switch (type) {
    case TSM_FLOAT:
        return (union tsm_value){.f = (double)number / 8};
    case TSM_BOOLEAN:
        return (union tsm_value){.b = number % 2 != 0};
    case TSM_STRING:
        return (union tsm_value){
            .s = tsm_str(text,
                         number % 5 ? (size_t)snprintf(text, 32, "<%llu>", (unsigned long long)number) : 0)};
    default:
        return (union tsm_value){.u = number};
    }
}

static void add(struct tsm_values *c, int64_t t, uint64_t number)
{
    char text[32];
    tsm_values_add(c, t, value_of(c->type, number, text));
    memset(text, '#', sizeof text); /* the column has a copy */
}

static void assert_at(const struct tsm_values *c, size_t i, int64_t t, uint64_t number)
{
    char text[32];
    union tsm_value want = value_of(c->type, number, text), have = tsm_values_get(c, i);
    assert_int_equal(c->t[i], t);
    if (c->type == TSM_STRING)
        assert_true(tsm_str_eq(have.s, want.s));
    else if (c->type == TSM_BOOLEAN)
        assert_int_equal(have.b, want.b);
    else
        assert_int_equal(have.u, want.u);
}

#define EACH_TYPE(type) (enum tsm_type type = TSM_FLOAT; type < TSM_TYPES; type = (enum tsm_type)(type + 1))

static void types_have_influxdb_names(void **state)
{
    (void)state;
    assert_string_equal(tsm_type_name(TSM_FLOAT), "float");
    assert_string_equal(tsm_type_name(TSM_INTEGER), "integer");
    assert_string_equal(tsm_type_name(TSM_BOOLEAN), "boolean");
    assert_string_equal(tsm_type_name(TSM_STRING), "string");
    assert_string_equal(tsm_type_name(TSM_UNSIGNED), "unsigned");
    assert_string_equal(tsm_type_name((enum tsm_type)9), "unknown");
}

/* One column serves types of different sizes in turn, as a reader of many blocks does. */
static void a_column_is_reused_for_other_types(void **state)
{
    (void)state;
    struct tsm_values c = {0};
    for (int round = 0; round < 50; round++) {
        enum tsm_type type = (enum tsm_type)random_below(TSM_TYPES);
        size_t n = random_below(300);
        tsm_values_reset(&c, type, random_below(200));
        assert_int_equal(c.n, 0);
        for (size_t i = 0; i < n; i++)
            add(&c, (int64_t)i, i);
        assert_int_equal(c.n, n);
        for (size_t i = 0; i < n; i++)
            assert_at(&c, i, (int64_t)i, i);
    }
    tsm_values_release(&c);
    assert_null(c.t);
    tsm_values_release(&c);
}

static void strings_stay_where_they_are(void **state)
{
    (void)state;
    struct tsm_values c = {0}, copy = {0};
    tsm_values_reset(&c, TSM_STRING, 0);
    tsm_values_reset(&copy, TSM_STRING, 0);
    for (size_t i = 0; i < 20000; i++)
        add(&c, (int64_t)i, i);
    char *large = malloc(3 << 20);
    memset(large, 'x', 3 << 20);
    tsm_values_add(&c, 20000, (union tsm_value){.s = tsm_str(large, 3 << 20)});
    add(&c, 20001, 20001);
    for (size_t i = 0; i < 20000; i++)
        assert_at(&c, i, (int64_t)i, i);
    assert_int_equal(c.v.s[20000].n, 3 << 20);
    assert_memory_equal(c.v.s[20000].p, large, 3 << 20);
    assert_at(&c, 20001, 20001, 20001);
    tsm_values_append(&copy, &c, 10, 10);
    assert_int_equal(copy.n, 0);
    tsm_values_append(&copy, &c, 0, 5000);
    tsm_values_append(&copy, &c, 5000, 20000);
    tsm_values_release(&c);
    for (size_t i = 0; i < 20000; i++)
        assert_at(&copy, i, (int64_t)i, i);
    tsm_values_release(&copy);
    free(large);
}

static void lower_bound_is_the_first_not_before(void **state)
{
    (void)state;
    struct tsm_values c = {0};
    assert_int_equal(tsm_values_lower_bound(&c, 5), 0);
    for (size_t n = 1; n < 40; n++) {
        tsm_values_reset(&c, TSM_INTEGER, n);
        for (size_t i = 0; i < n; i++)
            add(&c, 10 * (int64_t)i, i);
        for (int64_t t = -5; t < 10 * (int64_t)n + 5; t++) {
            size_t want = t <= 0 ? 0 : (size_t)(t + 9) / 10;
            assert_int_equal(tsm_values_lower_bound(&c, t), want < n ? want : n);
        }
    }
    tsm_values_release(&c);
}

enum { TIMES = 200 };

/* numbers[t] is the last number given for time t, 0 when none. */
static void assert_model(const struct tsm_values *c, const uint64_t *numbers)
{
    size_t i = 0;
    for (int64_t t = 0; t < TIMES; t++)
        if (numbers[t])
            assert_at(c, i++, t, numbers[t]);
    assert_int_equal(c->n, i);
}

static void sorting_keeps_the_last_of_equal_times(void **state)
{
    (void)state;
    struct tsm_values c = {0};
    for
        EACH_TYPE(type)
    for (int round = 0; round < 100; round++) {
        uint64_t numbers[TIMES] = {0};
        size_t n = random_below(300);
        tsm_values_reset(&c, type, 0);
        for (size_t i = 0; i < n; i++) {
            /* nearly in order, in reverse, or in no order at all */
            int64_t t = round % 3 == 0   ? (int64_t)(i * TIMES / (n + 1) + random_below(3)) % TIMES
                        : round % 3 == 1 ? TIMES - 1 - (int64_t)(i * TIMES / (n + 1))
                                         : (int64_t)random_below(TIMES);
            numbers[t] = i + 1;
            add(&c, t, i + 1);
        }
        tsm_values_sort_dedup(&c);
        assert_model(&c, numbers);
        tsm_values_sort_dedup(&c);
        assert_model(&c, numbers);
        add(&c, TIMES, 1); /* still room for cap values */
    }
    tsm_values_release(&c);
}

static void merging_lets_the_newer_win(void **state)
{
    (void)state;
    struct tsm_values older = {0}, newer = {0}, out = {0};
    for
        EACH_TYPE(type)
    for (int round = 0; round < 200; round++) {
        uint64_t numbers[TIMES] = {0};
        uint64_t often = 1 + random_below(6), seldom = 1 + random_below(60);
        tsm_values_reset(&older, type, 0);
        tsm_values_reset(&newer, type, 0);
        for (int64_t t = 0; t < TIMES; t++) {
            if (random_below(often) == 0)
                add(&older, t, numbers[t] = 1 + random_below(1000));
            if (random_below(seldom) == 0)
                add(&newer, t, numbers[t] = 1 + random_below(1000));
        }
        tsm_values_merge(&out, &older, &newer);
        tsm_values_reset(&older, type, 0);
        tsm_values_reset(&newer, type, 0);
        assert_model(&out, numbers);
    }
    tsm_values_release(&older);
    tsm_values_release(&newer);
    tsm_values_release(&out);
}

static void a_range_of_times_is_deleted(void **state)
{
    (void)state;
    struct tsm_values c = {0};
    for
        EACH_TYPE(type)
    for (int round = 0; round < 200; round++) {
        uint64_t numbers[TIMES] = {0};
        int64_t tmin = (int64_t)random_below(TIMES + 40) - 20, tmax = (int64_t)random_below(TIMES + 40) - 20;
        if (round % 10 == 0)
            tmin = INT64_MIN;
        if (round % 10 == 1)
            tmax = INT64_MAX;
        tsm_values_reset(&c, type, 0);
        for (int64_t t = 0; t < TIMES; t++)
            if (random_below(2)) {
                uint64_t number = 1 + random_below(1000);
                add(&c, t, number);
                numbers[t] = t < tmin || t > tmax ? number : 0;
            }
        tsm_values_delete(&c, tmin, tmax);
        assert_model(&c, numbers);
    }
    tsm_values_delete(&c, INT64_MIN, INT64_MAX);
    assert_int_equal(c.n, 0);
    tsm_values_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_have_influxdb_names),
        cmocka_unit_test(a_column_is_reused_for_other_types),
        cmocka_unit_test(strings_stay_where_they_are),
        cmocka_unit_test(lower_bound_is_the_first_not_before),
        cmocka_unit_test(sorting_keeps_the_last_of_equal_times),
        cmocka_unit_test(merging_lets_the_newer_win),
        cmocka_unit_test(a_range_of_times_is_deleted),
    };
    return cmocka_run_group_tests_name("values", tests, NULL, NULL);
}
