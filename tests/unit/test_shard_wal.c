/* tests/unit/test_shard_wal.c: the log of a shard from the side of those who write: order, deletes of another process
 * beside a writer, flushes, what was left unfinished, and a disk that is full or fails. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "faulty_fs.h"
#include "store/data_dir.h"
#include "store/shard_wal.h"
#include "temp_dir.h"

static char dir[200];

static int make_dir(void **state)
{
    int rc = make_temp(state);
    snprintf(dir, sizeof dir, "%s/wal/db/rp/1", temp_dir);
    return rc;
}

#define check(call)                              \
    do {                                         \
        struct tsm_err err_ = {0};               \
        struct tsm_err *err = &err_;             \
        if ((call) != TSM_OK)                    \
            fail_msg("%s: %s", #call, err_.msg); \
    } while (0)

/* ---- what the callbacks have been told ---- */

static char told[1000];

static int on_remove(void *ctx, struct tsm_str key, int64_t tmin, int64_t tmax, struct tsm_err *err)
{
    (void)ctx;
    (void)err;
    size_t n = strlen(told);
    snprintf(told + n, sizeof told - n, "%.*s:%d-%d ", (int)key.n, key.p, (int)tmin, (int)tmax);
    return TSM_OK;
}

#define assert_told(text)                \
    do {                                 \
        assert_string_equal(told, text); \
        told[0] = '\0';                  \
    } while (0)

static void append(struct tsm_shard_wal *w, const char *text)
{
    check(tsm_shard_wal_append(w, tsm_str_of(text), on_remove, NULL, err));
}

/* As another process does. */
static int delete_key(const struct tsm_fs *fs, const char *key, int tmin, int tmax, struct tsm_err *err)
{
    struct tsm_wal_guard g;
    struct tsm_buf payload = {0};
    int rc = tsm_wal_guard_take(fs, dir, &g, err);
    if (rc != TSM_OK)
        return rc;
    tsm_wal_delete_begin(&payload, tmin, tmax);
    tsm_wal_delete_key(&payload, tsm_str_of(key));
    rc = tsm_wal_guard_delete(&g, tsm_buf_view(&payload), err);
    tsm_buf_release(&payload);
    tsm_wal_guard_release(&g);
    return rc;
}

/* ---- what is on disk ---- */

/* "1: a b -k 2: c": segments with their records; '?' for damage, '~' for an unfinished end. Sequences have to ascend. */
static const char *content(void)
{
    static char text[4000];
    uint32_t *numbers;
    size_t n;
    uint64_t sequence = 0;
    text[0] = '\0';
    check(tsm_wal_list(&tsm_fs_posix, dir, &numbers, &n, err));
    for (size_t i = 0; i < n; i++) {
        char name[TSM_WAL_NAME_MAX];
        struct tsm_buf bytes = {0};
        tsm_wal_name_format(name, numbers[i]);
        char *path = tsm_path_join(dir, name);
        check(tsm_fs_read_file(&tsm_fs_posix, path, SIZE_MAX, &bytes, err));
        tsm_free(path);
        size_t at = strlen(text);
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%u:", i ? " " : "", numbers[i]);
        struct tsm_wal_reader r = {.p = bytes.data, .len = bytes.len};
        struct tsm_wal_record record;
        int rc;
        while ((rc = tsm_wal_next(&r, &record, NULL)) != TSM_ENOTFOUND) {
            if (rc == TSM_OK) {
                assert_true(record.sequence > sequence);
                sequence = record.sequence;
            }
            const char *p = record.payload.p;
            size_t len = record.payload.n;
            if (rc == TSM_OK && record.kind == TSM_WAL_DELETE) {
                p += 20;
                len -= 20;
            }
            at += (size_t)snprintf(text + at, sizeof text - at, " %s%.*s",
                                   rc != TSM_OK                    ? "?"
                                   : record.kind == TSM_WAL_DELETE ? "-"
                                                                   : "",
                                   rc == TSM_OK ? (int)len : 0, p);
        }
        if (r.torn)
            snprintf(text + at, sizeof text - at, " ~");
        tsm_wal_reader_release(&r);
        tsm_buf_release(&bytes);
    }
    tsm_free(numbers);
    return text;
}

/* Adds bytes to a segment, as somebody does who is killed while writing. */
static void add_bytes(const char *name, const void *p, size_t n)
{
    char *path = tsm_path_join(dir, name);
    int fd = open(path, O_WRONLY | O_APPEND);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, p, n), (ssize_t)n);
    close(fd);
    tsm_free(path);
}

/* A record of which the end is missing. */
static void add_torn_record(const char *name, size_t missing)
{
    struct tsm_buf record = {0};
    tsm_wal_encode(&record, TSM_WAL_POINTS, 99, TSM_STR("unfinished"));
    add_bytes(name, record.data, record.len - missing);
    tsm_buf_release(&record);
}

/* ---- one writer ---- */

static void test_segments(void **state)
{
    (void)state;
    struct tsm_shard_wal *w;
    uint32_t covered;
    uint64_t sequence;
    check(tsm_shard_wal_open(&tsm_fs_posix, dir, &w, err));
    assert_string_equal(content(), "");
    append(w, "a");
    append(w, "b");
    assert_string_equal(content(), "1: a b");
    assert_true(!tsm_shard_wal_synced(w));
    check(tsm_shard_wal_sync(w, err));
    assert_true(tsm_shard_wal_synced(w));

    check(tsm_shard_wal_freeze(w, &covered, &sequence, on_remove, NULL, err));
    assert_int_equal(covered, 1);
    assert_int_equal(sequence, 2);
    append(w, "c");
    assert_string_equal(content(), "1: a b 2: c");
    check(tsm_shard_wal_flush_begin(w, sequence, on_remove, NULL, err));
    append(w, "d"); /* a flush does not keep the writer from appending */
    check(tsm_shard_wal_flush_end(w, covered, true, err));
    assert_string_equal(content(), "2: c d");

    /* A flush that fails leaves everything. */
    check(tsm_shard_wal_freeze(w, &covered, &sequence, on_remove, NULL, err));
    check(tsm_shard_wal_flush_begin(w, sequence, on_remove, NULL, err));
    check(tsm_shard_wal_flush_end(w, covered, false, err));
    append(w, "e");
    assert_string_equal(content(), "2: c d 3: e");
    check(tsm_shard_wal_flush_begin(w, sequence, on_remove, NULL, err));
    check(tsm_shard_wal_flush_end(w, covered, true, err));
    assert_string_equal(content(), "3: e");

    /* Nothing was appended since: nothing to remove but that. */
    check(tsm_shard_wal_freeze(w, &covered, &sequence, on_remove, NULL, err));
    check(tsm_shard_wal_flush_begin(w, sequence, on_remove, NULL, err));
    check(tsm_shard_wal_flush_end(w, covered, true, err));
    assert_string_equal(content(), "");
    check(tsm_shard_wal_freeze(w, &covered, &sequence, on_remove, NULL, err));
    check(tsm_shard_wal_flush_begin(w, sequence, on_remove, NULL, err));
    check(tsm_shard_wal_flush_end(w, covered, true, err));
    append(w, "f");
    assert_string_equal(content(), "4: f");
    tsm_shard_wal_close(w);

    /* Another run goes on behind what is left. */
    check(tsm_shard_wal_open(&tsm_fs_posix, dir, &w, err));
    append(w, "g");
    assert_string_equal(content(), "4: f 5: g");
    tsm_shard_wal_close(w);
    assert_told("");
}

/* A memtable with several segments. */
static void test_large_segments(void **state)
{
    (void)state;
    enum { RECORD = 9 << 20, RECORDS = 9 };
    struct tsm_shard_wal *w;
    uint32_t covered, *numbers;
    uint64_t sequence, x = 1;
    size_t n;
    struct tsm_buf payload = {0};
    for (tsm_buf_room(&payload, RECORD); payload.len < RECORD;
         payload.len += 8) { /* nothing that LZ4 makes smaller */
        x = x * 6364136223846793005u + 1442695040888963407u;
        memcpy(payload.data + payload.len, &x, 8);
    }
    check(tsm_shard_wal_open(&tsm_fs_posix, dir, &w, err));
    for (int i = 0; i < RECORDS; i++) {
        check(tsm_shard_wal_append(w, tsm_buf_view(&payload), on_remove, NULL, err));
        if (i == 5)
            check(delete_key(&tsm_fs_posix, "k", 1, 2, err));
    }
    assert_told("k:1-2 ");
    assert_true(!tsm_shard_wal_synced(w));
    check(tsm_shard_wal_sync(w, err));
    check(tsm_shard_wal_freeze(w, &covered, &sequence, on_remove, NULL, err));
    assert_int_equal(covered, 3);
    assert_int_equal(sequence, RECORDS + 1);
    append(w, "a");
    check(tsm_shard_wal_flush_begin(w, sequence, on_remove, NULL, err));
    check(tsm_wal_list(&tsm_fs_posix, dir, &numbers, &n, err));
    assert_int_equal(n, 4);
    tsm_free(numbers);
    check(tsm_shard_wal_flush_end(w, covered, true, err));
    assert_string_equal(content(), "4: a");
    tsm_shard_wal_close(w);
    tsm_buf_release(&payload);
}

/* A failed fsync, of the segment or of the folder that names it, is never forgotten: what it was for is not durable. */
static void test_failed_sync(void **state)
{
    (void)state;
    for (long which = 1; which <= 2; which++) {
        struct tsm_shard_wal *w;
        struct faulty_fs f;
        struct tsm_err failure;
        faulty_fs_init(&f);
        f.kinds = FAULTY_FSYNC;
        check(tsm_shard_wal_open(&f.fs, dir, &w, err));
        append(w, "a");
        f.calls = 0;
        f.fail_at = which;
        assert_int_equal(tsm_shard_wal_sync(w, &failure), TSM_EIO);
        for (int again = 0; again < 3; again++) {
            assert_false(tsm_shard_wal_synced(w));
            assert_int_equal(tsm_shard_wal_sync(w, &failure), TSM_EIO);
        }
        tsm_shard_wal_close(w);
    }
}

/* A segment is durable before the memtable it belongs to gets into files. */
static void test_sync_of_frozen_segments(void **state)
{
    (void)state;
    struct tsm_shard_wal *w;
    struct faulty_fs f;
    uint32_t covered;
    uint64_t sequence;
    faulty_fs_init(&f);
    f.kinds = FAULTY_FSYNC;
    check(tsm_shard_wal_open(&f.fs, dir, &w, err));
    append(w, "a");
    f.calls = 0;
    check(tsm_shard_wal_freeze(w, &covered, &sequence, on_remove, NULL, err));
    assert_int_equal(f.calls, 2); /* the segment, and the folder that names it */
    append(w, "b");
    check(tsm_shard_wal_sync(w, err));
    assert_int_equal(f.calls, 4);
    check(tsm_shard_wal_sync(w, err));
    assert_int_equal(f.calls, 4);
    append(w, "c");
    check(tsm_shard_wal_sync(w, err));
    assert_int_equal(f.calls, 5);
    /* One that was flushed need not be fsynced any more. */
    append(w, "d");
    check(tsm_shard_wal_freeze(w, &covered, &sequence, on_remove, NULL, err));
    append(w, "e");
    check(tsm_shard_wal_flush_begin(w, sequence, on_remove, NULL, err));
    check(tsm_shard_wal_flush_end(w, covered, true, err));
    f.calls = 0;
    check(tsm_shard_wal_sync(w, err));
    assert_int_equal(f.calls, 2);
    tsm_shard_wal_close(w);
}

/* ---- deletes of another process ---- */

static void test_deletes_beside_a_writer(void **state)
{
    (void)state;
    struct tsm_shard_wal *w;
    uint32_t covered;
    uint64_t sequence;
    check(delete_key(&tsm_fs_posix, "k", 1, 2, err)); /* there is no log at all */
    check(tsm_shard_wal_open(&tsm_fs_posix, dir, &w, err));
    check(delete_key(&tsm_fs_posix, "k", 1, 2, err)); /* nor anything in it */
    assert_string_equal(content(), "");
    append(w, "a");
    check(delete_key(&tsm_fs_posix, "k", 3, 4, err));
    check(delete_key(&tsm_fs_posix, "l", 5, 6, err));
    assert_told("");
    append(w, "b");
    assert_told("k:3-4 l:5-6 ");
    append(w, "c");
    assert_told("");
    assert_string_equal(content(), "1: a -k -l b c");

    /* One that comes before the freeze is told then, and not to the flush. */
    check(delete_key(&tsm_fs_posix, "m", 7, 8, err));
    check(tsm_shard_wal_freeze(w, &covered, &sequence, on_remove, NULL, err));
    assert_told("m:7-8 ");
    check(tsm_shard_wal_flush_begin(w, sequence, on_remove, NULL, err));
    assert_told("");
    check(tsm_shard_wal_flush_end(w, covered, true, err));
    assert_string_equal(content(), "");
    append(w, "d");
    assert_told("");
    tsm_shard_wal_close(w);
}

/* Behind the freeze both memtables have to hear of it, whichever comes first. */
static void test_deletes_between_freeze_and_flush(void **state)
{
    (void)state;
    struct tsm_shard_wal *w;
    uint32_t covered;
    uint64_t sequence;
    check(tsm_shard_wal_open(&tsm_fs_posix, dir, &w, err));
    for (int round = 0; round < 2; round++) {
        append(w, "a");
        check(tsm_shard_wal_freeze(w, &covered, &sequence, on_remove, NULL, err));
        check(delete_key(&tsm_fs_posix, "k", 1, 1, err)); /* in the segment of the frozen memtable */
        if (round)
            append(w, "b");
        assert_told(round ? "k:1-1 " : "");
        check(delete_key(&tsm_fs_posix, "l", 2, 2, err));
        check(tsm_shard_wal_flush_begin(w, sequence, on_remove, NULL, err));
        assert_told("k:1-1 l:2-2 ");
        check(tsm_shard_wal_flush_end(w, covered, false, err));
        /* The flush was in vain: it hears of everything again. */
        check(delete_key(&tsm_fs_posix, "m", 3, 3, err));
        if (round)
            append(w, "c");
        assert_told(round ? "l:2-2 m:3-3 " : "");
        check(tsm_shard_wal_flush_begin(w, sequence, on_remove, NULL, err));
        assert_told("k:1-1 l:2-2 m:3-3 ");
        check(tsm_shard_wal_flush_end(w, covered, true, err));
        append(w, "d");
        assert_told(round ? "" : "k:1-1 l:2-2 m:3-3 ");
        assert_string_equal(content(), round ? "4: b -l -m c d" : "2: d");
        check(tsm_shard_wal_freeze(w, &covered, &sequence, on_remove, NULL, err));
        check(tsm_shard_wal_flush_begin(w, sequence, on_remove, NULL, err));
        check(tsm_shard_wal_flush_end(w, covered, true, err));
        assert_told("");
    }
    tsm_shard_wal_close(w);
}

/* ---- unfinished records ---- */

static void test_torn_record_of_another(void **state)
{
    (void)state;
    struct tsm_shard_wal *w;
    check(tsm_shard_wal_open(&tsm_fs_posix, dir, &w, err));
    append(w, "a");
    for (size_t missing = 1; missing < TSM_WAL_HEADER + 8; missing += 5) {
        add_torn_record("000000001.log", missing);
        append(w, "b");
        assert_null(strpbrk(content(), "~?"));
        /* A deleter does the same. */
        add_torn_record("000000001.log", missing);
        check(delete_key(&tsm_fs_posix, "k", 1, 2, err));
        assert_null(strpbrk(content(), "~?"));
        append(w, "c");
        assert_told("k:1-2 ");
    }
    tsm_shard_wal_close(w);
    /* What a killed writer has left, found by the next one and by a delete. */
    add_torn_record("000000001.log", 3);
    check(delete_key(&tsm_fs_posix, "k", 1, 2, err));
    add_torn_record("000000001.log", 3);
    check(tsm_shard_wal_open(&tsm_fs_posix, dir, &w, err));
    append(w, "d");
    tsm_shard_wal_close(w);
    const char *text = content();
    assert_null(strpbrk(text, "~?"));
    assert_non_null(strstr(text, "-k 2: d"));
    assert_told("");
}

/* ---- a disk that is full, or fails ---- */

static void test_full_disk(void **state)
{
    (void)state;
    struct tsm_shard_wal *w;
    struct tsm_err cause;
    struct faulty_fs f;
    faulty_fs_init(&f);
    f.kinds = FAULTY_WRITE; /* ftruncate, too */
    f.error = ENOSPC;
    f.short_write = 20;
    check(tsm_shard_wal_open(&f.fs, dir, &w, err));
    append(w, "a");
    for (long at = 1; at <= 2; at++) { /* the writes of a record */
        for (int for_good = 0; for_good < 2; for_good++) {
            f.calls = 0;
            f.fail_at = at;
            f.for_good = for_good;
            assert_int_equal(tsm_shard_wal_append(w, TSM_STR("lost"), on_remove, NULL, &cause), TSM_ENOSPC);
            assert_non_null(strstr(cause.msg, "000000001.log: No space left on device"));
            f.fail_at = 0;
            if (!for_good || at == 1)
                assert_null(strpbrk(content(), "~?"));
            append(w, "b"); /* room again: also what could not be cut off is gone */
            assert_null(strpbrk(content(), "~?"));
        }
    }
    assert_null(strstr(content(), "lost"));
    tsm_shard_wal_close(w);
}

/* What a flush could not remove is the first to go when it is tried again: an old segment must not outlive a newer one. */
static void test_failed_removal_is_repeated(void **state)
{
    (void)state;
    struct tsm_shard_wal *w;
    struct tsm_err cause;
    struct faulty_fs f;
    uint32_t covered;
    uint64_t sequence;
    faulty_fs_init(&f);
    f.kinds = FAULTY_UNLINK;
    f.error = ENOSPC;
    check(tsm_shard_wal_open(&f.fs, dir, &w, err));
    append(w, "a");
    check(tsm_shard_wal_freeze(w, &covered, &sequence, on_remove, NULL, err));
    append(w, "b");
    check(tsm_shard_wal_flush_begin(w, sequence, on_remove, NULL, err));
    f.calls = 0;
    f.fail_at = 1;
    assert_int_equal(tsm_shard_wal_flush_end(w, covered, true, &cause), TSM_ENOSPC);
    assert_string_equal(content(), "1: a 2: b");
    check(tsm_shard_wal_flush_begin(w, sequence, on_remove, NULL, err));
    check(tsm_shard_wal_flush_end(w, covered, true, err));
    assert_string_equal(content(), "2: b");
    tsm_shard_wal_close(w);
}

static void test_failed_fsync_is_not_forgotten(void **state)
{
    (void)state;
    struct tsm_shard_wal *w;
    struct tsm_err cause;
    struct faulty_fs f;
    faulty_fs_init(&f);
    f.kinds = FAULTY_FSYNC;
    check(tsm_shard_wal_open(&f.fs, dir, &w, err));
    append(w, "a");
    f.calls = 0;
    f.fail_at = 1;
    assert_int_equal(tsm_shard_wal_sync(w, &cause), TSM_EIO);
    assert_int_equal(tsm_shard_wal_sync(w, &cause), TSM_EIO);
    tsm_shard_wal_close(w);
}

/* A whole life on a disk of which one call fails: what was fsynced is there, in order, and the next life works. */
static int live(const struct tsm_fs *fs, int *synced, struct tsm_err *err)
{
    struct tsm_shard_wal *w;
    uint32_t covered;
    uint64_t sequence;
    *synced = 0;
    int rc = tsm_shard_wal_open(fs, dir, &w, err);
    if (rc != TSM_OK)
        return rc;
    if (rc == TSM_OK)
        rc = tsm_shard_wal_append(w, TSM_STR("a"), on_remove, NULL, err);
    if (rc == TSM_OK)
        rc = tsm_shard_wal_sync(w, err);
    *synced += rc == TSM_OK;
    if (rc == TSM_OK)
        rc = tsm_shard_wal_freeze(w, &covered, &sequence, on_remove, NULL, err);
    if (rc == TSM_OK)
        rc = tsm_shard_wal_append(w, TSM_STR("b"), on_remove, NULL, err);
    if (rc == TSM_OK)
        rc = tsm_shard_wal_sync(w, err);
    *synced += rc == TSM_OK;
    if (rc == TSM_OK)
        rc = delete_key(fs, "k", 1, 2, err);
    *synced += rc == TSM_OK;
    if (rc == TSM_OK)
        rc = tsm_shard_wal_flush_begin(w, sequence, on_remove, NULL, err);
    if (rc == TSM_OK)
        rc = tsm_shard_wal_flush_end(w, covered, true, err);
    *synced += rc == TSM_OK;
    tsm_shard_wal_close(w);
    return rc;
}

static void test_every_call_fails_once(void **state)
{
    (void)state;
    struct faulty_fs f;
    struct tsm_err cause;
    int synced;
    faulty_fs_init(&f);
    for (int for_good = 0; for_good < 2; for_good++) {
        bool failed = true;
        for (long at = 1; failed; at++) {
            assert_true(at < 500);
            assert_int_equal(tsm_fs_remove_tree(&tsm_fs_posix, temp_dir, NULL), TSM_OK);
            f.calls = 0;
            f.fail_at = at;
            f.for_good = for_good;
            cause.msg[0] = '\0';
            int rc = live(&f.fs, &synced, &cause);
            failed = f.calls >= at;
            if (rc != TSM_OK)
                assert_true(failed && cause.msg[0]);
            if (!tsm_fs_exists(&tsm_fs_posix, dir))
                continue;
            const char *text = content();
            assert_null(strchr(text, '?'));
            if (synced == 4)
                assert_string_equal(text, "2: b -k");
            if (synced >= 1 && synced < 3)
                assert_non_null(strstr(text, "1: a"));
            if (synced >= 2)
                assert_non_null(strstr(text, "2: b"));
            if (synced >= 3)
                assert_non_null(strstr(text, "-k"));
            told[0] = '\0';
            check(live(&tsm_fs_posix, &synced, err));
            assert_null(strpbrk(content(), "?~"));
            told[0] = '\0';
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_segments, make_dir, remove_temp),
        cmocka_unit_test_setup_teardown(test_large_segments, make_dir, remove_temp),
        cmocka_unit_test_setup_teardown(test_failed_sync, make_dir, remove_temp),
        cmocka_unit_test_setup_teardown(test_sync_of_frozen_segments, make_dir, remove_temp),
        cmocka_unit_test_setup_teardown(test_deletes_beside_a_writer, make_dir, remove_temp),
        cmocka_unit_test_setup_teardown(test_deletes_between_freeze_and_flush, make_dir, remove_temp),
        cmocka_unit_test_setup_teardown(test_torn_record_of_another, make_dir, remove_temp),
        cmocka_unit_test_setup_teardown(test_full_disk, make_dir, remove_temp),
        cmocka_unit_test_setup_teardown(test_failed_removal_is_repeated, make_dir, remove_temp),
        cmocka_unit_test_setup_teardown(test_failed_fsync_is_not_forgotten, make_dir, remove_temp),
        cmocka_unit_test_setup_teardown(test_every_call_fails_once, make_dir, remove_temp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
