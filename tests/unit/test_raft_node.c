/* A raft node of one: what is committed comes out in order, once and again after a restart; snapshots cut the log. */
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "cluster/raft_node.h"
#include "temp_dir.h"
#include "base/banned.h"

/* The machine is a list of numbers; a snapshot is how many there are. */
struct machine {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uint64_t *numbers;
    size_t n, cap, own, failed, snapshots, lost_snapshots;
    uint64_t restored; /* numbers that a snapshot stood for */
    uint64_t last_index;
    bool fail_snapshots, hold_snapshots, in_snapshot;
    char log[4096];
};

struct number {
    struct tsm_raft_proposal proposal;
    struct machine *machine;
};

static void on_committed(void *ctx, uint64_t index, const uint8_t *p, size_t len,
                         struct tsm_raft_proposal *own)
{
    struct machine *m = ctx;
    assert_true(len >= 16 && len % TSM_RAFT_ALIGN == 0 && p[0] == 1);
    pthread_mutex_lock(&m->mutex);
    assert_true(index > m->last_index);
    m->last_index = index;
    TSM_GROW(m->numbers, m->n + 1, m->cap);
    m->numbers[m->n++] = tsm_get_be64(p + 8);
    m->own += own != NULL;
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->mutex);
    tsm_free(own);
}

static void on_failed(struct tsm_raft_proposal *p, int code, const char *message)
{
    struct machine *m = ((struct number *)p)->machine;
    assert_int_equal(code, TSM_EAGAIN);
    assert_non_null(message);
    pthread_mutex_lock(&m->mutex);
    m->failed++;
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->mutex);
    tsm_free(p->bytes);
    tsm_free(p);
}

static void *on_begin(void *ctx, uint64_t index)
{
    struct machine *m = ctx;
    uint64_t *count = tsm_alloc(sizeof *count);
    pthread_mutex_lock(&m->mutex);
    assert_true(index >= m->last_index);
    *count = m->restored + m->n;
    pthread_mutex_unlock(&m->mutex);
    return count;
}

static int on_take(void *ctx, void *snapshot, struct tsm_buf *out, struct tsm_err *err)
{
    struct machine *m = ctx;
    pthread_mutex_lock(&m->mutex);
    m->in_snapshot = true;
    pthread_cond_broadcast(&m->changed);
    while (m->hold_snapshots)
        pthread_cond_wait(&m->changed, &m->mutex);
    bool fail = m->fail_snapshots;
    m->in_snapshot = false;
    pthread_mutex_unlock(&m->mutex);
    if (fail)
        return tsm_err_set(err, TSM_EIO, "as told");
    tsm_put_be64(tsm_buf_room(out, 8), *(uint64_t *)snapshot);
    out->len += 8;
    return TSM_OK;
}

static void on_end(void *ctx, void *snapshot, bool stored)
{
    struct machine *m = ctx;
    pthread_mutex_lock(&m->mutex);
    m->snapshots += stored;
    m->lost_snapshots += !stored;
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->mutex);
    tsm_free(snapshot);
}

static int on_restore(void *ctx, const uint8_t *p, size_t len, struct tsm_err *err)
{
    struct machine *m = ctx;
    (void)err;
    assert_int_equal(len, 8);
    m->restored = tsm_get_be64(p);
    return TSM_OK;
}

static void on_log(void *ctx, const char *message)
{
    struct machine *m = ctx;
    pthread_mutex_lock(&m->mutex);
    size_t n = strlen(m->log);
    snprintf(m->log + n, sizeof m->log - n, "%s\n", message);
    pthread_mutex_unlock(&m->mutex);
}

struct fixture {
    char *path;
    struct machine m;
    struct tsm_raft_node *node;
    size_t snapshot_bytes, log_bytes;
};

static int open_node(struct fixture *f, struct tsm_err *err)
{
    struct tsm_raft_options opt = {
        .fs = &tsm_fs_posix,
        .dir = f->path,
        .id = 1,
        .address = "127.0.0.1:1",
        .snapshot_bytes = f->snapshot_bytes ? f->snapshot_bytes : 1 << 20,
        .log_bytes = f->log_bytes ? f->log_bytes : 2 << 20,
        .machine = {&f->m, on_committed, NULL, on_begin, on_take, on_end, on_restore, on_log},
    };
    tsm_free(f->m.numbers);
    f->m = (struct machine){.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    return tsm_raft_open(&opt, &f->node, err);
}

static void start(struct fixture *f)
{
    struct tsm_err err = {0};
    int rc = open_node(f, &err);
    if (rc != TSM_OK)
        print_error("%s\n", err.msg);
    assert_int_equal(rc, TSM_OK);
}

static int setup(void **state)
{
    struct fixture *f = tsm_calloc(1, sizeof *f);
    void *none;
    make_temp(&none);
    f->path = tsm_strdup(in_temp("raft"));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    tsm_raft_close(f->node);
    void *none;
    remove_temp(&none);
    tsm_free(f->path);
    tsm_free(f->m.numbers);
    tsm_free(f);
    return 0;
}

static int propose(struct fixture *f, uint64_t number, size_t len)
{
    struct number *p = tsm_calloc(1, sizeof *p);
    p->machine = &f->m;
    p->proposal.failed = on_failed;
    p->proposal.len = len;
    p->proposal.bytes = tsm_calloc(1, len);
    p->proposal.bytes[0] = 1;
    tsm_put_be64(p->proposal.bytes + 8, number);
    int rc = tsm_raft_propose(f->node, &p->proposal, NULL);
    if (rc != TSM_OK) {
        tsm_free(p->proposal.bytes);
        tsm_free(p);
    }
    return rc;
}

static void wait_for(struct fixture *f, size_t n)
{
    pthread_mutex_lock(&f->m.mutex);
    while (f->m.n + f->m.failed < n)
        pthread_cond_wait(&f->m.changed, &f->m.mutex);
    pthread_mutex_unlock(&f->m.mutex);
}

static void propose_many(struct fixture *f, uint64_t from, uint64_t to, size_t len)
{
    size_t before = f->m.n + f->m.failed;
    for (uint64_t i = from; i < to; i++)
        assert_int_equal(propose(f, i, len), TSM_OK);
    wait_for(f, before + (size_t)(to - from));
}

static void check_numbers(const struct fixture *f, uint64_t from, uint64_t to)
{
    assert_int_equal(f->m.n, to - from);
    for (size_t i = 0; i < f->m.n; i++)
        assert_int_equal(f->m.numbers[i], from + i);
}

static void restart(struct fixture *f)
{
    tsm_raft_close(f->node);
    f->node = NULL;
    start(f);
}

static void what_is_committed_comes_again_after_a_restart(void **state)
{
    struct fixture *f = *state;
    start(f);
    propose_many(f, 0, 500, 64);
    check_numbers(f, 0, 500);
    assert_int_equal(f->m.own, 500);
    assert_int_equal(f->m.failed, 0);
    restart(f);
    check_numbers(f, 0, 500);
    assert_int_equal(f->m.own, 0);
    propose_many(f, 500, 510, 64);
    check_numbers(f, 0, 510);
    restart(f);
    check_numbers(f, 0, 510);
}

static void proposals_share_writes(void **state)
{
    struct fixture *f = *state;
    struct tsm_raft_stats st;
    start(f);
    propose_many(f, 0, 5000, 64);
    tsm_raft_stats(f->node, &st);
    assert_int_equal(st.entries, 5000);
    assert_true(st.writes < 2500);
    assert_true(st.writable);
}

static void a_snapshot_takes_the_place_of_the_log(void **state)
{
    struct fixture *f = *state;
    struct tsm_err err = {0};
    struct tsm_raft_stats st;
    start(f);
    assert_int_equal(tsm_raft_snapshot(f->node, true, &err), TSM_OK); /* of nothing */
    assert_int_equal(f->m.snapshots, 0);
    propose_many(f, 0, 100, 64);
    assert_int_equal(tsm_raft_snapshot(f->node, true, &err), TSM_OK);
    assert_int_equal(f->m.snapshots, 1);
    assert_int_equal(tsm_raft_snapshot(f->node, true, &err), TSM_OK); /* nothing new */
    assert_int_equal(f->m.snapshots, 1);
    tsm_raft_stats(f->node, &st);
    assert_true(st.log_bytes <= TSM_RAFT_ALIGN);
    propose_many(f, 100, 130, 64);
    restart(f);
    assert_int_equal(f->m.restored, 100);
    check_numbers(f, 100, 130);
}

static void the_log_is_cut_by_its_size(void **state)
{
    struct fixture *f = *state;
    struct tsm_raft_stats st;
    f->snapshot_bytes = 64 << 10;
    f->log_bytes = 128 << 10;
    start(f);
    for (uint64_t i = 0; i < 40; i++) {
        propose_many(f, i * 100, (i + 1) * 100, 1024);
        tsm_raft_stats(f->node, &st);
        assert_true(st.log_bytes <= f->log_bytes + 1024);
    }
    check_numbers(f, 0, 4000);
    assert_true(f->m.snapshots >= 20);
    assert_true(f->m.snapshots <= 80);
    restart(f);
    assert_true(f->m.restored >= 4000 - 256);
    assert_int_equal(f->m.restored + f->m.n, 4000);
}

/* While a snapshot takes long proposals wait as soon as the log is full, and go on after it. */
static void a_full_log_waits_for_a_snapshot(void **state)
{
    struct fixture *f = *state;
    struct tsm_raft_stats st;
    f->snapshot_bytes = 16 << 10;
    f->log_bytes = 32 << 10;
    start(f);
    pthread_mutex_lock(&f->m.mutex);
    f->m.hold_snapshots = true;
    pthread_mutex_unlock(&f->m.mutex);
    for (uint64_t i = 0; i < 100; i++)
        assert_int_equal(propose(f, i, 1024), TSM_OK);
    wait_for(f, 31);
    pthread_mutex_lock(&f->m.mutex);
    while (!f->m.in_snapshot)
        pthread_cond_wait(&f->m.changed, &f->m.mutex);
    assert_true(f->m.n <= 32);
    f->m.hold_snapshots = false;
    pthread_cond_broadcast(&f->m.changed);
    pthread_mutex_unlock(&f->m.mutex);
    wait_for(f, 100);
    check_numbers(f, 0, 100);
    tsm_raft_stats(f->node, &st);
    assert_true(st.log_bytes <= f->log_bytes);
}

static void a_snapshot_that_fails_is_told_and_tried_again(void **state)
{
    struct fixture *f = *state;
    struct tsm_err err = {0};
    start(f);
    f->m.fail_snapshots = true;
    propose_many(f, 0, 10, 64);
    assert_int_equal(tsm_raft_snapshot(f->node, true, &err), TSM_EIO);
    assert_non_null(strstr(f->m.log, "as told"));
    pthread_mutex_lock(&f->m.mutex);
    f->m.fail_snapshots = false;
    pthread_mutex_unlock(&f->m.mutex);
    assert_int_equal(tsm_raft_snapshot(f->node, true, &err), TSM_OK);
    restart(f);
    assert_int_equal(f->m.restored, 10);
}

static void a_log_that_was_not_begun_completely_is_begun_again(void **state)
{
    struct fixture *f = *state;
    struct tsm_buf b = {0};
    tsm_buf_printf(&b, "%s.tmp", f->path);
    assert_int_equal(mkdir(tsm_buf_cstr(&b), 0777), 0);
    tsm_buf_printf(&b, "/metadata1");
    FILE *file = fopen(tsm_buf_cstr(&b), "w");
    assert_non_null(file);
    fclose(file);
    tsm_buf_release(&b);
    start(f);
    propose_many(f, 0, 3, 64);
    restart(f);
    check_numbers(f, 0, 3);
}

/* Flips a byte of the open segment behind this offset; the node is not running. */
static void damage_open_segment(struct fixture *f, long at)
{
    struct tsm_buf b = {0};
    tsm_buf_printf(&b, "%s/open-1", f->path);
    FILE *file = fopen(tsm_buf_cstr(&b), "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    int c = fgetc(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    fputc(c ^ 1, file);
    assert_int_equal(fclose(file), 0);
    tsm_buf_release(&b);
}

/* Batches of one entry: 8 bytes of checksums, 24 of head, 64 of data. */
static void damage_before_sound_entries_is_no_torn_write(void **state)
{
    struct fixture *f = *state;
    struct tsm_err err = {0};
    pid_t pid = fork();
    if (pid == 0) {
        start(f);
        for (uint64_t i = 0; i < 5; i++)
            propose_many(f, i, i + 1, 64);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    long second = 8 + 96 + 40;
    damage_open_segment(f, second);
    assert_int_equal(open_node(f, &err), TSM_ECORRUPT);
    assert_non_null(strstr(err.msg, "open-1: damage at offset 104: the entries at offset 200 are sound"));
    damage_open_segment(f, second);
    /* The last one may have been cut. */
    damage_open_segment(f, 8 + 4 * 96 + 40);
    start(f);
    check_numbers(f, 0, 4);
    propose_many(f, 4, 6, 64);
    restart(f);
    check_numbers(f, 0, 6);
}

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A disk that takes no more: what was on its way fails, nothing else is taken in, and it goes on by itself. */
static void a_log_that_cannot_be_written_fails_and_goes_on(void **state)
{
    struct fixture *f = *state;
    struct tsm_err err = {0};
    struct tsm_raft_stats st;
    uint64_t number = 0;
    signal(SIGXFSZ, SIG_IGN);
    start(f);
    propose_many(f, 0, 10, 64 << 10);
    for (number = 10; number < 12; number++) {
        limit_files(1 << 20);
        int rc = TSM_OK;
        for (int i = 0; i < 200 && rc == TSM_OK && f->m.failed == 0; i++) {
            size_t before = f->m.n + f->m.failed;
            rc = propose(f, number, 64 << 10);
            if (rc == TSM_OK)
                wait_for(f, before + 1);
        }
        assert_true(f->m.failed > 0);
        assert_int_equal(propose(f, number, 64), TSM_EAGAIN);
        assert_int_equal(tsm_raft_health(f->node, &err), TSM_EAGAIN);
        assert_non_null(strstr(f->m.log, "the log cannot be written: "));
        limit_files(RLIM_INFINITY);
        while (tsm_raft_health(f->node, NULL) != TSM_OK)
            usleep(10000);
        assert_non_null(strstr(f->m.log, "the log can be written again"));
        f->m.failed = 0;
        f->m.log[0] = '\0';
    }
    tsm_raft_stats(f->node, &st);
    assert_int_equal(st.failures, 2);
    propose_many(f, 1000, 1010, 64);
    /* What it gave before and after is what a restart gives. */
    size_t n = f->m.n;
    uint64_t *numbers = tsm_alloc(n * sizeof *numbers);
    memcpy(numbers, f->m.numbers, n * sizeof *numbers);
    tsm_raft_close(f->node);
    f->node = NULL;
    f->snapshot_bytes = f->log_bytes = 1 << 30;
    start(f);
    assert_int_equal(f->m.restored + f->m.n, n);
    assert_memory_equal(f->m.numbers, numbers + f->m.restored, f->m.n * sizeof *numbers);
    tsm_free(numbers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_committed_comes_again_after_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(proposals_share_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_snapshot_takes_the_place_of_the_log, setup, teardown),
        cmocka_unit_test_setup_teardown(the_log_is_cut_by_its_size, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_log_waits_for_a_snapshot, setup, teardown),
        cmocka_unit_test_setup_teardown(a_snapshot_that_fails_is_told_and_tried_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_log_that_cannot_be_written_fails_and_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_before_sound_entries_is_no_torn_write, setup, teardown),
        cmocka_unit_test_setup_teardown(a_log_that_was_not_begun_completely_is_begun_again, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
