/* test_tasks.c: the table of running queries, and what ends one of them. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/time.h"
#include "query/tasks.h"

static void ids_and_limit(void **state)
{
    (void)state;
    struct tsm_query_control a = {0}, b = {0};
    struct tsm_err err = {0};
    uint64_t id;
    struct tsm_tasks *t = tsm_tasks_new(2);
    assert_int_equal(tsm_tasks_add(t, TSM_STR("SELECT a"), TSM_STR("db"), &a, &id, &err), TSM_OK);
    assert_int_equal(id, 1);
    assert_int_equal(tsm_tasks_add(t, TSM_STR("SELECT b"), TSM_STR(""), &b, &id, &err), TSM_OK);
    assert_int_equal(id, 2);
    assert_int_equal(tsm_tasks_add(t, TSM_STR("SELECT c"), TSM_STR(""), &b, &id, &err), TSM_EQUERY);
    assert_string_equal(err.msg, "max-concurrent-queries limit exceeded(2, 2)");
    tsm_tasks_remove(t, 1);
    assert_int_equal(tsm_tasks_count(t), 1);
    assert_int_equal(tsm_tasks_add(t, TSM_STR("SELECT c"), TSM_STR(""), &a, &id, &err), TSM_OK);
    assert_int_equal(id, 3);
    tsm_tasks_remove(t, 99);
    assert_int_equal(tsm_tasks_count(t), 2);
    tsm_tasks_free(t);
    tsm_tasks_free(NULL);
}

struct seen {
    uint64_t ids[8];
    bool killed[8];
    struct tsm_str query, database;
    size_t n;
};

static void see(void *ctx, const struct tsm_task_view *v)
{
    struct seen *s = ctx;
    s->ids[s->n] = v->id;
    s->killed[s->n++] = v->killed;
    assert_true(tsm_str_eq(v->query, s->query));
    assert_true(tsm_str_eq(v->database, s->database));
    assert_in_range(tsm_monotonic() - v->started, 0, TSM_HOUR);
}

static void kill_and_list(void **state)
{
    (void)state;
    struct tsm_query_control c[3] = {0};
    struct tsm_err err = {0};
    uint64_t id;
    char query[] = "SELECT v FROM cpu", database[] = "telegraf";
    struct tsm_tasks *t = tsm_tasks_new(0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(tsm_tasks_add(t, tsm_str_of(query), tsm_str_of(database), &c[i], &id, &err), TSM_OK);
    query[0] = database[0] = 'x'; /* it has copies */
    tsm_tasks_remove(t, 1);
    assert_int_equal(tsm_tasks_kill(t, 3, &err), TSM_OK);
    struct seen s = {.query = TSM_STR("SELECT v FROM cpu"), .database = TSM_STR("telegraf")};
    tsm_tasks_each(t, see, &s);
    assert_int_equal(s.n, 2);
    assert_true(s.ids[0] == 2 && s.ids[1] == 3 && !s.killed[0] && s.killed[1]);
    assert_int_equal(tsm_control_check(&c[1], 1, &err), TSM_OK);
    assert_int_equal(tsm_control_check(&c[2], 0, &err), TSM_EQUERY);
    assert_string_equal(err.msg, "query interrupted");
    assert_int_equal(tsm_tasks_kill(t, 3, &err), TSM_EQUERY);
    assert_string_equal(err.msg, "already killed");
    assert_int_equal(tsm_tasks_kill(t, 1, &err), TSM_EQUERY);
    assert_string_equal(err.msg, "no such query id: 1");
    tsm_tasks_free(t);
}

static void shutdown(void **state)
{
    (void)state;
    struct tsm_query_control a = {0}, b = {0};
    struct tsm_err err = {0};
    uint64_t id;
    struct tsm_tasks *t = tsm_tasks_new(0);
    assert_int_equal(tsm_tasks_add(t, TSM_STR("a"), TSM_STR(""), &a, &id, &err), TSM_OK);
    assert_int_equal(tsm_tasks_add(t, TSM_STR("b"), TSM_STR(""), &b, &id, &err), TSM_OK);
    assert_int_equal(tsm_tasks_kill(t, 1, &err), TSM_OK);
    tsm_tasks_kill_all(t);
    assert_int_equal(tsm_control_check(&a, 0, &err), TSM_EQUERY);
    assert_string_equal(err.msg, "query interrupted"); /* what came first */
    assert_int_equal(tsm_control_check(&b, 0, &err), TSM_EQUERY);
    assert_string_equal(err.msg, "query engine shutdown");
    assert_int_equal(tsm_tasks_add(t, TSM_STR("c"), TSM_STR(""), &a, &id, &err), TSM_EQUERY);
    assert_string_equal(err.msg, "query engine shutdown");
    tsm_tasks_free(t);
}

static void limits(void **state)
{
    (void)state;
    struct tsm_err err = {0};
    assert_int_equal(tsm_control_check(NULL, UINT64_MAX, &err), TSM_OK);
    struct tsm_query_control c = {.max_points = 10, .max_series = 3, .max_buckets = 7};
    assert_int_equal(tsm_control_check(&c, 10, &err), TSM_OK);
    assert_int_equal(tsm_control_check(&c, 5, &err), TSM_EQUERY);
    assert_string_equal(err.msg, "max-select-point limit exceeed: (15/10)");
    assert_int_equal(tsm_control_check(&c, 0, &err), TSM_EQUERY); /* the other threads, too */
    assert_int_equal(tsm_control_series(&c, 3, &err), TSM_OK);
    assert_int_equal(tsm_control_series(&c, 4, &err), TSM_EQUERY);
    assert_string_equal(err.msg, "max-select-series limit exceeded: (4/3)");
    assert_int_equal(tsm_control_buckets(&c, 7, &err), TSM_OK);
    assert_int_equal(tsm_control_buckets(&c, 8, &err), TSM_EQUERY);
    assert_string_equal(err.msg, "max-select-buckets limit exceeded: (8/7)");
    struct tsm_query_control none = {0};
    assert_int_equal(tsm_control_check(&none, UINT64_MAX, &err), TSM_OK);
    assert_int_equal(tsm_control_series(&none, UINT64_MAX, &err), TSM_OK);
    assert_int_equal(tsm_control_buckets(NULL, UINT64_MAX, &err), TSM_OK);
}

static void deadline(void **state)
{
    (void)state;
    struct tsm_err err = {0};
    struct tsm_query_control late = {.deadline = 1}, early = {.deadline = tsm_monotonic() + TSM_HOUR};
    assert_int_equal(tsm_control_check(&early, 0, &err), TSM_OK);
    assert_int_equal(tsm_control_check(&late, 0, &err), TSM_EQUERY);
    assert_string_equal(err.msg, "query-timeout limit exceeded");
    assert_int_equal(atomic_load(&late.end), TSM_END_TIMEOUT);
}

static void rounds(void **state)
{
    (void)state;
    struct tsm_err err = {0};
    struct tsm_query_control c = {.end = TSM_END_GONE};
    unsigned count = 0, first = 0;
    while (tsm_control_round(&c, &count, &err) == TSM_OK)
        first++;
    assert_int_equal(first + 1, TSM_CONTROL_EVERY);
}

/* ---- several threads -------------------------------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 500 };

static void *come_and_go(void *ctx)
{
    struct tsm_tasks *t = ctx;
    struct tsm_err err;
    for (int i = 0; i < ROUNDS; i++) {
        struct tsm_query_control c = {0};
        uint64_t id;
        if (tsm_tasks_add(t, TSM_STR("q"), TSM_STR("d"), &c, &id, &err) != TSM_OK ||
            tsm_tasks_kill(t, id, &err) != TSM_OK || tsm_control_check(&c, 0, &err) != TSM_EQUERY)
            return ctx;
        tsm_tasks_remove(t, id);
    }
    return NULL;
}

static void threads(void **state)
{
    (void)state;
    pthread_t thread[THREADS];
    struct tsm_tasks *t = tsm_tasks_new(0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, come_and_go, t), 0);
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(thread[i], &result);
        assert_null(result);
    }
    struct tsm_query_control c = {0};
    uint64_t id;
    assert_int_equal(tsm_tasks_count(t), 0);
    assert_int_equal(tsm_tasks_add(t, TSM_STR("q"), TSM_STR("d"), &c, &id, NULL), TSM_OK);
    assert_int_equal(id, THREADS * ROUNDS + 1);
    tsm_tasks_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_and_limit), cmocka_unit_test(kill_and_list), cmocka_unit_test(shutdown),
        cmocka_unit_test(limits),        cmocka_unit_test(deadline),      cmocka_unit_test(rounds),
        cmocka_unit_test(threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
