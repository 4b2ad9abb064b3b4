/* tests/unit/test_room.c: the reserve on a disk that says what the test wants, and the wait. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "store/room.h"

#define MIB ((uint64_t)1 << 20)

static uint64_t disk_free, disk_total;
static int disk_error, asked;

static int fake_space(void *ctx, const char *path, uint64_t *free_bytes, uint64_t *total_bytes)
{
    (void)ctx;
    assert_string_equal(path, "DIR");
    asked++;
    *free_bytes = disk_free;
    *total_bytes = disk_total;
    return disk_error;
}

static const struct tsm_fs disk = {.space = fake_space};

static int events[3], patience;
static uint64_t freed; /* with each wait */
static char told[300];

static bool on_event(void *ctx, enum tsm_room_event event, const char *message)
{
    assert_ptr_equal(ctx, &disk);
    events[event]++;
    assert_true(!message == (event == TSM_ROOM_STILL));
    if (message)
        snprintf(told, sizeof told, "%s", message);
    if (event == TSM_ROOM_AGAIN)
        return true;
    disk_free += freed;
    return patience-- > 0;
}

static struct tsm_room make(uint64_t free_bytes, uint64_t total, struct tsm_reserve reserve)
{
    struct tsm_room r;
    memset(events, 0, sizeof events);
    disk_free = free_bytes;
    disk_total = total;
    disk_error = 0;
    freed = 0;
    patience = 1000;
    tsm_room_init(&r, &disk, "DIR", reserve, on_event, (void *)&disk);
    asked = 0;
    return r;
}

static void test_reserve(void **state)
{
    (void)state;
    assert_int_equal(make(0, 100000 * MIB, TSM_RESERVE_DEFAULT).reserve, 256 * MIB);
    assert_int_equal(make(0, 1000 * MIB, TSM_RESERVE_DEFAULT).reserve, 50 * MIB);
    assert_int_equal(make(0, 1000 * MIB, (struct tsm_reserve){UINT64_MAX, 30}).reserve, 300 * MIB);
    assert_int_equal(make(0, 1000 * MIB, (struct tsm_reserve){70 * MIB, 100}).reserve, 70 * MIB);
    assert_int_equal(make(0, 1000 * MIB, (struct tsm_reserve){0, 100}).reserve, 0);
}

static void test_reserve_of_text(void **state)
{
    (void)state;
    struct tsm_reserve r = TSM_RESERVE_DEFAULT;
    assert_true(tsm_reserve_parse(TSM_STR("1G"), &r));
    assert_int_equal(tsm_reserve_bytes(r, 100000 * MIB), 1024 * MIB);
    assert_true(tsm_reserve_parse(TSM_STR("30%"), &r));
    assert_int_equal(tsm_reserve_bytes(r, 100000 * MIB), 30000 * MIB);
    assert_true(tsm_reserve_parse(TSM_STR("0"), &r));
    assert_int_equal(tsm_reserve_bytes(r, 100000 * MIB), 0);
    static const char *const wrong[] = {"", "%", "101%", "-1%", "1.5%", "much", "-1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (tsm_reserve_parse(tsm_str_of(wrong[i]), &r))
            fail_msg("'%s' is taken for a reserve", wrong[i]);
}

static void test_enough(void **state)
{
    (void)state;
    struct tsm_reserve reserve = {64 * MIB, 100};
    struct tsm_room r = make(100 * MIB, 1000 * MIB, reserve);
    assert_true(tsm_room_enough(&r, 36 * MIB));
    assert_false(tsm_room_enough(&r, 36 * MIB + 1));
    r = make(64 * MIB, 1000 * MIB, reserve);
    assert_true(tsm_room_enough(&r, 0));
    assert_false(tsm_room_enough(&r, 1));
    r = make(64 * MIB - 1, 1000 * MIB, reserve);
    assert_false(tsm_room_enough(&r, 0));
    r = make(5, 1000 * MIB, reserve);
    disk_error = -EIO; /* it does not say */
    assert_true(tsm_room_enough(&r, 1000 * MIB));
    tsm_room_init(&r, &disk, "DIR", reserve, NULL, NULL);
    disk_error = 0;
    assert_true(tsm_room_enough(&r, 1000 * MIB));
    r = make(72 * MIB, 1000 * MIB, reserve); /* little is left: the disk is asked before that is used */
    assert_true(tsm_room_enough(&r, 0));
    disk_free = 65 * MIB; /* the log has grown */
    assert_false(tsm_room_enough(&r, 3 * MIB));
    assert_int_equal(asked, 2);
}

/* Asked again once memory holds 16 MiB more or has been written out, not for every batch; and always when there was
 * not enough. */
static void test_asks_rarely(void **state)
{
    (void)state;
    struct tsm_room r = make(100 * MIB, 1000 * MIB, (struct tsm_reserve){10 * MIB, 100});
    for (uint64_t n = 0; n < 16 * MIB; n += MIB) {
        r.asked = r.asked ? r.asked + 3600000000000 : 0; /* long ago it is not, however slow this machine */
        assert_true(tsm_room_enough(&r, n));
    }
    assert_int_equal(asked, 1);
    assert_true(tsm_room_enough(&r, 16 * MIB));
    assert_int_equal(asked, 2);
    assert_true(tsm_room_enough(&r, 15 * MIB));
    assert_int_equal(asked, 3);
    assert_false(tsm_room_enough(&r, 95 * MIB));
    assert_false(tsm_room_enough(&r, 95 * MIB));
    assert_int_equal(asked, 5);
    assert_true(tsm_room_enough(&r, 0));
    r.asked -= 1000000000;
    disk_free = 0;
    assert_false(tsm_room_enough(&r, 1));
}

static void test_wait(void **state)
{
    (void)state;
    struct tsm_err err;
    struct tsm_room r = make(0, 1000 * MIB, (struct tsm_reserve){32 * MIB, 100});
    freed = MIB;
    while (!tsm_room_enough(&r, 0))
        assert_true(tsm_room_wait(&r, &err));
    assert_int_equal(disk_free, 34 * MIB); /* and some more, so as not to stop again at once */
    tsm_room_found(&r);
    tsm_room_found(&r);
    assert_int_equal(events[TSM_ROOM_NONE], 1);
    assert_int_equal(events[TSM_ROOM_STILL], 33);
    assert_int_equal(events[TSM_ROOM_AGAIN], 1);
    disk_free = 3 * MIB;
    freed = 0;
    patience = 2;
    assert_true(tsm_room_wait(&r, &err) && tsm_room_wait(&r, &err));
    assert_false(tsm_room_wait(&r, &err));
    assert_int_equal(err.code, TSM_ENOSPC);
    assert_non_null(strstr(err.msg, "32 MiB are to stay free"));
}

static void test_wait_after_failure(void **state)
{
    (void)state;
    struct tsm_err err = {TSM_ENOSPC, "write FILE: full"};
    struct tsm_room r = make(5 * MIB, 1000 * MIB, (struct tsm_reserve){0, 100});
    /* Nothing changes: tried again all the same, more and more rarely. */
    for (int i = 0, before = 0; i < 10; i++) {
        assert_true(tsm_room_wait_after(&r, &err));
        int waits = events[TSM_ROOM_NONE] + events[TSM_ROOM_STILL] - before;
        assert_int_equal(waits, i < 5 ? 1 << i : 25);
        before += waits;
    }
    assert_string_equal(told, "write FILE: full");
    freed = 1;
    assert_true(tsm_room_wait_after(&r, &err)); /* there is more: at once */
    assert_int_equal(events[TSM_ROOM_NONE] + events[TSM_ROOM_STILL], 31 + 5 * 25 + 1);
    patience = 0;
    assert_false(tsm_room_wait_after(&r, &err));
    tsm_room_init(&r, &disk, "DIR", (struct tsm_reserve){0, 100}, NULL, NULL);
    assert_false(tsm_room_wait_after(&r, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reserve), cmocka_unit_test(test_reserve_of_text),
        cmocka_unit_test(test_enough),  cmocka_unit_test(test_asks_rarely),
        cmocka_unit_test(test_wait),    cmocka_unit_test(test_wait_after_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
