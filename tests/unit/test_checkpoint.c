/* tests/unit/test_checkpoint.c: what a checkpoint keeps, when it says that something is durable, and files that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "faulty_fs.h"
#include "store/checkpoint.h"
#include "temp_dir.h"

static const struct tsm_checkpoint_target target = {{"/a\tb", 4}, {"d\\b", 3}, {"r\np", 3}};

static struct tsm_checkpoint *open_it(void)
{
    struct tsm_checkpoint *c;
    struct tsm_err err;
    if (tsm_checkpoint_open(&tsm_fs_posix, in_temp("cp"), &target, &c, &err) != TSM_OK)
        fail_msg("%s", err.msg);
    return c;
}

static struct tsm_checkpoint_place begin(struct tsm_checkpoint *c, const char *path, bool first)
{
    struct tsm_checkpoint_place p;
    assert_int_equal(tsm_checkpoint_begin(c, tsm_str_of(path), &p), first);
    return p;
}

static void note(struct tsm_checkpoint *c, const char *path, uint64_t offset, uint64_t mark)
{
    struct tsm_checkpoint_place p = {offset, offset % 5, offset / 10, 2 * offset,
                                     offset * 0x9e3779b97f4a7c15u};
    tsm_checkpoint_note(c, tsm_str_of(path), &p, mark);
}

static void check(struct tsm_checkpoint *c, const char *path, uint64_t offset)
{
    struct tsm_checkpoint_place p = begin(c, path, true);
    assert_int_equal(p.offset, offset);
    assert_int_equal(p.open, offset % 5);
    assert_int_equal(p.lines, offset / 10);
    assert_int_equal(p.size, 2 * offset);
    assert_int_equal(p.digest, offset * 0x9e3779b97f4a7c15u);
}

static void test_keeps(void **state)
{
    (void)state;
    enum { INPUTS = 100 };
    char path[40];
    struct tsm_checkpoint *c = open_it();
    assert_true(tsm_checkpoint_empty(c));
    for (int i = 0; i < INPUTS; i++) {
        snprintf(path, sizeof path, "/in\tput\n%d\\\r", i);
        assert_int_equal(begin(c, path, true).offset, 0);
        begin(c, path, false);
        note(c, path, 1000 + (uint64_t)i, (uint64_t)i);
    }
    begin(c, "/nothing", true);
    assert_true(tsm_checkpoint_advance(c, INPUTS));
    assert_int_equal(tsm_checkpoint_save(c, NULL), TSM_OK);
    assert_false(tsm_checkpoint_advance(c, INPUTS));
    tsm_checkpoint_free(c);
    c = open_it();
    for (int i = 0; i < INPUTS; i++) {
        snprintf(path, sizeof path, "/in\tput\n%d\\\r", i);
        check(c, path, 1000 + (uint64_t)i);
    }
    assert_int_equal(begin(c, "/nothing", true).offset, 0);
    tsm_checkpoint_clear(c);
    assert_true(tsm_checkpoint_empty(c));
    assert_int_equal(begin(c, path, true).offset, 0);
    tsm_checkpoint_free(c);
}

#define MIB ((uint64_t)1 << 20)

/* It never says more than what is durable, and no less than some megabytes before. */
static void test_marks(void **state)
{
    (void)state;
    for (uint64_t durable = 0; durable <= 61; durable++) {
        struct tsm_checkpoint *c = open_it();
        assert_true(tsm_checkpoint_empty(c));
        begin(c, "/a", true);
        begin(c, "/b", true);
        for (uint64_t i = 1; i <= 60; i++)
            note(c, i <= 30 ? "/a" : "/b", (i <= 30 ? i : i - 30) * MIB, i);
        bool changed = tsm_checkpoint_advance(c, durable / 2);
        changed |= tsm_checkpoint_advance(c, durable);
        assert_true(changed || durable < 4);
        assert_int_equal(tsm_checkpoint_save(c, NULL), TSM_OK);
        tsm_checkpoint_free(c);
        c = open_it();
        uint64_t a = begin(c, "/a", true).offset, b = begin(c, "/b", true).offset;
        uint64_t want_a = durable < 30 ? durable : 30, want_b = durable - want_a < 30 ? durable - want_a : 30;
        assert_true(a <= want_a * MIB && a + 4 * MIB > want_a * MIB);
        assert_true(b <= want_b * MIB && b + 4 * MIB > want_b * MIB);
        if (durable >= 30)
            assert_int_equal(a, 30 * MIB);
        tsm_checkpoint_free(c);
        assert_int_equal(tsm_fs_remove(&tsm_fs_posix, in_temp("cp"), NULL), TSM_OK);
    }
}

static int open_text(const char *text, size_t n, struct tsm_err *err)
{
    struct tsm_checkpoint *c = NULL;
    assert_int_equal(tsm_fs_write_file(&tsm_fs_posix, in_temp("cp"), tsm_str(text, n), NULL), TSM_OK);
    int rc = tsm_checkpoint_open(&tsm_fs_posix, in_temp("cp"), &target, &c, err);
    assert_int_equal(c != NULL, rc == TSM_OK);
    tsm_checkpoint_free(c);
    return rc;
}

#define HEAD "tsmkit checkpoint 1\t/a\\tb\td\\\\b\tr\\np\n"

static void test_refuses(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "1\t0\t1\t1\t0123456789abcdef\t/a",      /* no end */
        "1\t0\t1\t1\t0123456789abcdef\n",        /* no path */
        "1\t0\t1\t1\t0123456789abcdef\t\n",      /* an empty one */
        "1\t0\t1\t1\t0123456789abcdef\t/a\tb\n", /* a column too many */
        "1\t0\t1\t1\t0123456789abcdef\t/a\\x\n", /* not an escape */
        "1\t0\t1\t1\t0123456789abcdef\t/a\\\n",  /* half of one */
        "1\t0\t1\t1\t0123456789abcde\t/a\n",     /* not a digest */
        "1\t0\t1\t1\t0123456789ABCDEF\t/a\n",
        "-1\t0\t0\t1\t0123456789abcdef\t/a\n",                                  /* not a number */
        "1\t18446744073709551615\t1\t1\t0123456789abcdef\t/a\n",                /* too large together */
        "1\t0\t2\t1\t0123456789abcdef\t/a\n",                                   /* more lines than bytes */
        "1\t0\t1\t1\t0123456789abcdef\t/a\n1\t0\t1\t1\t0123456789abcdef\t/a\n", /* twice */
        "\n",
    };
    struct tsm_err err;
    assert_int_equal(open_text(HEAD, strlen(HEAD), &err), TSM_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[300];
        snprintf(text, sizeof text, "%s%s", HEAD, bad[i]);
        assert_int_equal(open_text(text, strlen(text), &err), TSM_EPARSE);
        assert_non_null(strstr(err.msg, "not a line of a checkpoint"));
    }
    assert_int_equal(open_text("", 0, &err), TSM_EPARSE);
    assert_int_equal(open_text("m f=1\n", 6, &err), TSM_EPARSE);
    static const char other[] = "tsmkit checkpoint 1\t/a\tb\tc\n";
    assert_int_equal(open_text(other, strlen(other), &err), TSM_EUSAGE);
    static const char good[] = HEAD "10\t1\t3\t9\t0123456789abcdef\t/a\\\\\n";
    for (size_t n = strlen(HEAD); n <= strlen(good); n++) /* cut off anywhere */
        assert_int_equal(open_text(good, n, &err),
                         n == strlen(HEAD) || n == strlen(good) ? TSM_OK : TSM_EPARSE);
}

/* The old one stays until the new one is there. */
static void test_failing_disk(void **state)
{
    (void)state;
    struct faulty_fs f;
    bool failed = true;
    for (long at = 1; failed; at++) {
        struct tsm_checkpoint *c = open_it();
        begin(c, "/a", true);
        note(c, "/a", 10, 1);
        tsm_checkpoint_advance(c, 1);
        assert_int_equal(tsm_checkpoint_save(c, NULL), TSM_OK);
        tsm_checkpoint_free(c);
        faulty_fs_init(&f);
        int rc = tsm_checkpoint_open(&f.fs, in_temp("cp"), &target, &c, NULL);
        assert_int_equal(rc, TSM_OK);
        f.calls = 0;
        f.fail_at = at;
        begin(c, "/a", true);
        note(c, "/a", 20, 1);
        assert_true(tsm_checkpoint_advance(c, 1));
        rc = tsm_checkpoint_save(c, NULL);
        failed = f.calls >= at;
        if (rc != TSM_OK) { /* it is still to be saved */
            assert_true(failed && tsm_checkpoint_advance(c, 1));
        }
        tsm_checkpoint_free(c);
        c = open_it();
        uint64_t offset = begin(c, "/a", true).offset;
        assert_true(offset == 20 || (rc != TSM_OK && offset == 10));
        tsm_checkpoint_free(c);
        assert_true(at < 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_keeps, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_marks, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_refuses, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_failing_disk, make_temp, remove_temp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
