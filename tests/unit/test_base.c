/* tests/unit/test_base.c: errors, buffers, arenas, varints, the hash table and ordered parallel tasks. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/map.h"
#include "base/parallel.h"

static void errors_are_wrapped_outward(void **state)
{
    (void)state;
    struct tsm_err err = {0};
    assert_int_equal(tsm_err_sys(&err, ENOSPC, "write %s", "a.tsm"), TSM_ENOSPC);
    assert_string_equal(err.msg, "write a.tsm: No space left on device");
    assert_int_equal(tsm_err_wrap(&err, TSM_ENOSPC, "flush %d", 7), TSM_ENOSPC);
    assert_string_equal(err.msg, "flush 7: write a.tsm: No space left on device");
    assert_int_equal(tsm_err_set(NULL, TSM_EPARSE, "x"), TSM_EPARSE);
    assert_int_equal(tsm_err_sys(&err, ENOENT, "open"), TSM_ENOTFOUND);
    assert_int_equal(tsm_err_sys(&err, EPIPE, "write"), TSM_EPIPE);
}

static void long_messages_are_cut_not_overrun(void **state)
{
    (void)state;
    struct tsm_err err;
    char text[4000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    tsm_err_set(&err, TSM_EIO, "%s", text);
    assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
    tsm_err_wrap(&err, TSM_EIO, "outer");
    assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
    assert_memory_equal(err.msg, "outer: xxx", 10);
    tsm_err_wrap(&err, TSM_EIO, "%s", text);
    assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
}

static void buffers_grow_and_detach(void **state)
{
    (void)state;
    struct tsm_buf b = {0};
    for (int i = 0; i < 1000; i++)
        tsm_buf_printf(&b, "%d,", i);
    assert_int_equal(b.len, 3890);
    char long_text[1000];
    memset(long_text, 'y', sizeof long_text);
    long_text[999] = '\0';
    tsm_buf_reset(&b);
    tsm_buf_printf(&b, "<%s>", long_text);
    assert_int_equal(b.len, 1001);
    assert_int_equal(b.data[1000], '>');
    size_t n;
    char *p = tsm_buf_detach(&b, &n);
    assert_int_equal(n, 1001);
    assert_int_equal(strlen(p), 1001);
    assert_null(b.data);
    tsm_free(p);
    tsm_buf_release(&b);
}

static void arenas_keep_what_they_give(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    static uint8_t *blocks[COUNT];
    static size_t sizes[COUNT];
    struct tsm_arena a = {0};
    for (size_t i = 0; i < COUNT; i++) {
        sizes[i] = (i * 7919) % (i % 100 == 0 ? 300000 : 300);
        blocks[i] = tsm_arena_alloc(&a, sizes[i]);
        assert_int_equal((uintptr_t)blocks[i] % 16, 0);
        memset(blocks[i], (int)i, sizes[i]);
    }
    for (size_t i = 0; i < COUNT; i++)
        for (size_t k = 0; k < sizes[i]; k++)
            if (blocks[i][k] != (uint8_t)i)
                fail_msg("block %zu byte %zu", i, k);
    assert_string_equal(tsm_arena_str(&a, TSM_STR("abc")).p, "abc");
    assert_string_equal(tsm_arena_printf(&a, "%d-%s", 5, "z"), "5-z");
    assert_true(a.bytes > 0);
    tsm_arena_release(&a);
    assert_int_equal(a.bytes, 0);
}

static void varints_round_trip_and_reject_overlong(void **state)
{
    (void)state;
    uint8_t p[TSM_VARINT_MAX];
    uint64_t values[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, (uint64_t)1 << 63, UINT64_MAX}, v;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        size_t n = tsm_put_uvarint(p, values[i]);
        assert_int_equal(tsm_get_uvarint(p, n, &v), n);
        assert_true(v == values[i]);
        for (size_t cut = 0; cut < n; cut++)
            assert_int_equal(tsm_get_uvarint(p, cut, &v), 0);
    }
    uint8_t overlong[11];
    memset(overlong, 0xff, sizeof overlong);
    assert_int_equal(tsm_get_uvarint(overlong, sizeof overlong, &v), 0);
    overlong[9] = 2; /* bit 64 */
    assert_int_equal(tsm_get_uvarint(overlong, sizeof overlong, &v), 0);
    int64_t signs[] = {0, -1, 1, INT64_MIN, INT64_MAX};
    for (size_t i = 0; i < 5; i++)
        assert_true(tsm_unzigzag(tsm_zigzag(signs[i])) == signs[i]);
    assert_int_equal(tsm_zigzag(-1), 1);
    assert_int_equal(tsm_zigzag(1), 2);
}

static void the_map_finds_what_was_put(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    static struct tsm_str keys[COUNT];
    struct tsm_map m = {0};
    struct tsm_arena a = {0};
    assert_true(tsm_map_get(&m, TSM_STR("x"), tsm_hash(TSM_STR("x"))) == TSM_MAP_NONE);
    for (uint32_t i = 0; i < COUNT; i++) {
        keys[i] = i ? tsm_str_of(tsm_arena_printf(&a, "key-%u", i)) : tsm_str(NULL, 0);
        assert_true(tsm_map_get(&m, keys[i], tsm_hash(keys[i])) == TSM_MAP_NONE);
        tsm_map_put(&m, keys[i], tsm_hash(keys[i]), i);
    }
    for (uint32_t i = 0; i < COUNT; i++)
        assert_int_equal(tsm_map_get(&m, keys[i], tsm_hash(keys[i])), i);
    /* Equal hashes, different keys: the bytes decide. */
    tsm_map_put(&m, TSM_STR("one"), 42, 1);
    tsm_map_put(&m, TSM_STR("two"), 42, 2);
    assert_int_equal(tsm_map_get(&m, TSM_STR("two"), 42), 2);
    assert_true(tsm_map_get(&m, TSM_STR("six"), 42) == TSM_MAP_NONE);
    tsm_map_release(&m);
    tsm_arena_release(&a);
}

struct order {
    size_t next, in_flight, most, live;
    size_t fail_at, emit_fail_at;
};

static int square(void *ctx, size_t task, unsigned thread, void **slot, struct tsm_err *err)
{
    (void)thread;
    struct order *o = ctx;
    size_t now = __atomic_add_fetch(&o->in_flight, 1, __ATOMIC_SEQ_CST);
    size_t most = __atomic_load_n(&o->most, __ATOMIC_SEQ_CST);
    while (now > most &&
           !__atomic_compare_exchange_n(&o->most, &most, now, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        ;
    size_t *v = tsm_alloc(sizeof *v);
    *v = task * task;
    *slot = v;
    __atomic_add_fetch(&o->live, 1, __ATOMIC_SEQ_CST);
    return task == o->fail_at ? tsm_err_set(err, TSM_ECORRUPT, "task %zu", task) : TSM_OK;
}

static void drop(void *ctx, void *slot)
{
    struct order *o = ctx;
    __atomic_sub_fetch(&o->live, 1, __ATOMIC_SEQ_CST);
    tsm_free(slot);
}

static int in_order(void *ctx, size_t task, void *slot, struct tsm_err *err)
{
    struct order *o = ctx;
    bool right = task == o->next && *(size_t *)slot == task * task;
    o->next++;
    __atomic_sub_fetch(&o->in_flight, 1, __ATOMIC_SEQ_CST);
    drop(o, slot);
    if (!right)
        return tsm_err_set(err, TSM_EIO, "task %zu out of order", task);
    return task == o->emit_fail_at ? tsm_err_set(err, TSM_EPIPE, "emit %zu", task) : TSM_OK;
}

static void parallel_tasks_are_emitted_in_order(void **state)
{
    (void)state;
    for (unsigned jobs = 0; jobs <= 5; jobs++) {
        struct order o = {.fail_at = SIZE_MAX, .emit_fail_at = SIZE_MAX};
        struct tsm_parallel p = {.jobs = jobs,
                                 .tasks = 3000,
                                 .ahead = 7,
                                 .ctx = &o,
                                 .work = square,
                                 .emit = in_order,
                                 .drop = drop};
        assert_int_equal(tsm_parallel_run(&p, NULL), TSM_OK);
        assert_int_equal(o.next, 3000);
        assert_true(o.most <= 7);
        assert_int_equal(o.live, 0);
    }
}

static void parallel_failures_stop_and_free(void **state)
{
    (void)state;
    for (unsigned jobs = 1; jobs <= 4; jobs++) {
        struct tsm_err err = {0};
        struct order o = {.fail_at = 50, .emit_fail_at = SIZE_MAX};
        struct tsm_parallel p = {
            .jobs = jobs, .tasks = 100000, .ctx = &o, .work = square, .emit = in_order, .drop = drop};
        assert_int_equal(tsm_parallel_run(&p, &err), TSM_ECORRUPT);
        assert_string_equal(err.msg, "task 50");
        assert_true(o.next <= 50);
        assert_int_equal(o.live, 0);

        o = (struct order){.fail_at = SIZE_MAX, .emit_fail_at = 9};
        assert_int_equal(tsm_parallel_run(&p, &err), TSM_EPIPE);
        assert_int_equal(o.next, 10);
        assert_int_equal(o.live, 0);
    }
    struct tsm_parallel none = {.jobs = 4, .tasks = 0, .work = square};
    assert_int_equal(tsm_parallel_run(&none, NULL), TSM_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_wrapped_outward),
        cmocka_unit_test(long_messages_are_cut_not_overrun),
        cmocka_unit_test(buffers_grow_and_detach),
        cmocka_unit_test(arenas_keep_what_they_give),
        cmocka_unit_test(varints_round_trip_and_reject_overlong),
        cmocka_unit_test(the_map_finds_what_was_put),
        cmocka_unit_test(parallel_tasks_are_emitted_in_order),
        cmocka_unit_test(parallel_failures_stop_and_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
