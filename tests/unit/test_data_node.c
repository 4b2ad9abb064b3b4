/* A data node: what was answered is there, now, after a stop, and after a kill; refusals are told as influxd tells them. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/time.h"
#include "cluster/data_node.h"
#include "store/data_dir.h"
#include "temp_dir.h"
#include "base/banned.h"

static struct tsm_data_node *node;
static struct tsm_service *service;
static size_t entry_max, pending, log_memory;
static int64_t retention_interval, flush_interval;
static char told[8192];
static pthread_mutex_t telling = PTHREAD_MUTEX_INITIALIZER;

static void on_log(void *ctx, const char *message)
{
    (void)ctx;
    pthread_mutex_lock(&telling);
    size_t n = strlen(told);
    snprintf(told + n, sizeof told - n, "%s\n", message);
    pthread_mutex_unlock(&telling);
}

static int open_node(struct tsm_err *err)
{
    struct tsm_data_node_options opt = {
        .fs = &tsm_fs_posix,
        .dir = temp_dir,
        .memory = 32 << 20,
        .log_memory = log_memory,
        .pending = pending,
        .entry_max = entry_max,
        .retention_interval = retention_interval,
        .flush_interval = flush_interval,
        .jobs = 1,
        .log = on_log,
    };
    told[0] = '\0';
    int rc = tsm_data_node_open(&opt, &node, err);
    service = rc == TSM_OK ? tsm_data_node_service(node) : NULL;
    return rc;
}

static void start(void)
{
    struct tsm_err err = {0};
    if (open_node(&err) != TSM_OK)
        fail_msg("%s", err.msg);
}

static void stop(void)
{
    struct tsm_err err = {0};
    int rc = tsm_data_node_close(node, &err);
    node = NULL;
    if (rc != TSM_OK)
        fail_msg("%s", err.msg);
}

static int setup(void **state)
{
    entry_max = pending = log_memory = 0;
    retention_interval = flush_interval = 0;
    return make_temp(state);
}

static int teardown(void **state)
{
    if (node)
        tsm_data_node_close(node, NULL);
    node = NULL;
    return remove_temp(state);
}

/* ---- asking ---- */

static int change(const char *text, struct tsm_err *err)
{
    struct tsm_change c = {.text = tsm_str_of(text), .now = tsm_now()};
    return service->backend->change(service->backend->ctx, &c, err);
}

static void do_change(const char *text)
{
    struct tsm_err err = {0};
    if (change(text, &err) != TSM_OK)
        fail_msg("%s: %s", text, err.msg);
}

struct answer {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    unsigned n; /* answers */
    int code;
    uint64_t rejected;
    bool expired;
    char message[300], cause[300];
};

#define ANSWER                                                                  \
    {                                                                           \
        .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER \
    }

static void on_written(void *ctx, const struct tsm_write_result *r)
{
    struct answer *a = ctx;
    pthread_mutex_lock(&a->mutex);
    a->n++;
    if (a->code == TSM_OK)
        a->code = r->code;
    a->rejected += r->rejected;
    a->expired = r->expired;
    snprintf(a->message, sizeof a->message, "%s", r->message ? r->message : "");
    snprintf(a->cause, sizeof a->cause, "%s", r->first_cause ? r->first_cause : "");
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->mutex);
}

static void on_bad_line(void *ctx, uint32_t line, struct tsm_str text, const char *cause)
{
    (void)ctx;
    fail_msg("line %u: %.*s: %s", line, (int)text.n, text.p, cause);
}

static void send_lines(const char *db, const char *rp, const char *lines, struct answer *a)
{
    struct tsm_points points = {0};
    struct tsm_buf text = {0};
    struct tsm_line_options opt = {.unit = 1, .now = 1};
    tsm_buf_puts(&text, lines);
    tsm_line_parse(tsm_buf_view(&text), &opt, &points, on_bad_line, NULL);
    service->write(service->ctx, tsm_str_of(db), tsm_str_of(rp), &points, &text, on_written, a);
}

static void await(struct answer *a, unsigned n)
{
    pthread_mutex_lock(&a->mutex);
    while (a->n < n)
        pthread_cond_wait(&a->changed, &a->mutex);
    pthread_mutex_unlock(&a->mutex);
}

static struct answer write_lines(const char *db, const char *rp, const char *lines)
{
    struct answer a = ANSWER;
    send_lines(db, rp, lines, &a);
    await(&a, 1);
    return a;
}

static void do_write(const char *db, const char *lines)
{
    struct answer a = write_lines(db, "", lines);
    if (a.code != TSM_OK || a.rejected)
        fail_msg("%s %s", a.message, a.cause);
}

/* How many values a database holds in all of its shards: what a query would see. */
static size_t count_keys(const char *name)
{
    struct tsm_meta m;
    struct tsm_err err = {0};
    size_t n = 0;
    assert_int_equal(service->backend->meta(service->backend->ctx, &m, &err), TSM_OK);
    struct tsm_database *db = tsm_meta_database(&m, tsm_str_of(name));
    for (size_t i = 0; db && i < db->nrps; i++) {
        for (size_t j = 0; j < db->rps[i].ngroups; j++) {
            struct tsm_shard *s;
            if (db->rps[i].groups[j].nshards == 0)
                continue;
            int rc = service->backend->open_shard(service->backend->ctx, db->name, db->rps[i].name,
                                                  db->rps[i].groups[j].shards[0], NULL, &s, &err);
            if (rc == TSM_ENOTFOUND)
                continue;
            if (rc != TSM_OK)
                fail_msg("%s", err.msg);
            n += s->nkeys;
            service->backend->close_shard(service->backend->ctx, s);
        }
    }
    tsm_meta_release(&m);
    return n;
}

/* ---- tests ---- */

static void a_write_is_seen_at_once_and_after_a_stop(void **state)
{
    (void)state;
    start();
    do_change("CREATE DATABASE db");
    do_write("db", "m,t=a f=1 1000\nm,t=b f=1,g=2i 1000\n");
    assert_int_equal(count_keys("db"), 3);
    stop();
    assert_int_equal(tsm_data_unflushed(&tsm_fs_posix, temp_dir, NULL), TSM_OK);
    start();
    assert_int_equal(count_keys("db"), 3);
    assert_int_equal(tsm_data_unflushed(&tsm_fs_posix, temp_dir, NULL), TSM_EAGAIN);
    stop();
}

/* A child writes and dies without a word. */
static void what_was_answered_is_there_after_a_kill(void **state)
{
    (void)state;
    for (int round = 0; round < 4; round++) {
        pid_t pid = fork();
        if (pid == 0) {
            start();
            do_change("CREATE DATABASE db");
            for (int i = 0; i < 20; i++) {
                char line[64];
                snprintf(line, sizeof line, "m,t=r%d-%d f=%d %d", round, i, i, 1000 + i);
                do_write("db", line);
                if (i == 10 && round % 2 && tsm_data_node_flush(node, NULL) != TSM_OK)
                    _exit(1);
            }
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        struct tsm_err err = {0};
        assert_int_equal(tsm_data_unflushed(&tsm_fs_posix, temp_dir, &err), TSM_EAGAIN);
        assert_non_null(strstr(err.msg, "tsm-raftd --flush"));
        start();
        assert_int_equal(count_keys("db"), (size_t)(round + 1) * 20);
        if (round == 2)
            stop();
        else
            tsm_data_node_close(node, NULL);
        node = NULL;
    }
}

static void a_conflict_is_told_with_the_points_that_it_drops(void **state)
{
    (void)state;
    start();
    do_change("CREATE DATABASE db");
    do_write("db", "m f=1 1000");
    struct answer a = write_lines("db", "", "m f=1i 2000\nm f=2 3000\nm f=\"x\" 4000\n");
    assert_int_equal(a.code, TSM_OK);
    assert_int_equal(a.rejected, 2);
    assert_false(a.expired);
    assert_string_equal(a.cause,
                        "field type conflict: input field \"f\" on measurement \"m\" is type integer, "
                        "already exists as type float");
    stop();
}

static void count_rejects(void *ctx, uint32_t line, struct tsm_str text, const char *cause)
{
    (void)line, (void)text;
    assert_non_null(cause);
    ++*(int *)ctx;
}

/* As SELECT INTO writes: the points stay the caller's. */
static void points_that_no_entry_holds_are_rejected_alone(void **state)
{
    (void)state;
    struct tsm_field fields[] = {
        {TSM_STR("f"), TSM_FLOAT, {.f = 1}}, {TSM_STR("f"), TSM_FLOAT, {.f = NAN}},
        {TSM_STR("f"), TSM_FLOAT, {.f = 3}}, {TSM_STR(""), TSM_FLOAT, {.f = 4}},
        {TSM_STR("g"), TSM_FLOAT, {.f = 5}},
    };
    struct tsm_point points[5];
    for (uint32_t i = 0; i < 5; i++)
        points[i] = (struct tsm_point){.raw_key = TSM_STR("m"),
                                       .hash = tsm_hash(TSM_STR("m")),
                                       .time = 1000 + i,
                                       .first_field = i,
                                       .nfields = 1,
                                       .line = i + 1,
                                       .text = TSM_STR("m")};
    const struct tsm_points batch = {.points = points, .n = 5, .fields = fields, .nfields = 5};
    struct tsm_err err = {0};
    int rejects = 0;
    start();
    do_change("CREATE DATABASE db");
    assert_int_equal(service->backend->write(service->backend->ctx, TSM_STR("db"), TSM_STR(""), &batch,
                                             count_rejects, &rejects, &err),
                     TSM_OK);
    assert_int_equal(rejects, 2);
    assert_int_equal(batch.n, 5);
    assert_int_equal(count_keys("db"), 2);
    stop();
}

static void an_unknown_policy_is_refused(void **state)
{
    (void)state;
    start();
    do_change("CREATE DATABASE db");
    struct answer a = write_lines("db", "nosuch", "m f=1 1000");
    assert_int_equal(a.code, TSM_EQUERY);
    assert_non_null(strstr(a.message, "nosuch"));
    struct tsm_err err = {0};
    assert_int_equal(change("CREATE RETENTION POLICY a ON nosuch DURATION 1h REPLICATION 1", &err),
                     TSM_EQUERY);
    assert_string_equal(err.msg, "database not found: nosuch");
    do_write("db", "m f=1 1000");
    stop();
}

static void a_large_write_becomes_several_entries_and_one_answer(void **state)
{
    (void)state;
    entry_max = 4096;
    start();
    do_change("CREATE DATABASE db");
    struct tsm_buf lines = {0};
    for (int i = 0; i < 2000; i++)
        tsm_buf_printf(&lines, "m,t=%d f=%d,g=\"some text %d\" %d\n", i, i, i, 1000 + i);
    tsm_buf_puts(&lines, "m,t=1 f=1i 5000");
    struct answer a = write_lines("db", "", tsm_buf_cstr(&lines));
    tsm_buf_release(&lines);
    assert_int_equal(a.n, 1);
    assert_int_equal(a.code, TSM_OK);
    assert_int_equal(a.rejected, 1);
    assert_int_equal(count_keys("db"), 4000);
    struct tsm_buf metrics = {0};
    service->metrics(service->ctx, &metrics);
    const char *entries = strstr(tsm_buf_cstr(&metrics), "\ntsmkit_raft_entries_total ");
    assert_non_null(entries);
    assert_true(strtol(entries + strlen("\ntsmkit_raft_entries_total "), NULL, 10) > 10);
    tsm_buf_release(&metrics);
    stop();
}

static void too_much_at_once_is_refused_and_the_rest_is_answered(void **state)
{
    (void)state;
    enum { WRITES = 200 };
    pending = 16 << 10;
    start();
    do_change("CREATE DATABASE db");
    struct tsm_buf lines = {0};
    for (int i = 0; i < 50; i++)
        tsm_buf_printf(&lines, "m,t=%d f=%d %d\n", i, i, 1000 + i);
    struct answer answers[WRITES];
    for (int i = 0; i < WRITES; i++) {
        answers[i] = (struct answer)ANSWER;
        send_lines("db", "", tsm_buf_cstr(&lines), &answers[i]);
    }
    int refused = 0, taken = 0;
    for (int i = 0; i < WRITES; i++) {
        await(&answers[i], 1);
        assert_int_equal(answers[i].n, 1);
        if (answers[i].code == TSM_EAGAIN)
            refused++;
        else
            taken += answers[i].code == TSM_OK;
    }
    assert_int_equal(refused + taken, WRITES);
    assert_true(taken > 0);
    assert_true(refused > 0);
    assert_int_equal(count_keys("db"), 50);
    tsm_buf_release(&lines);
    stop();
}

static void the_log_stays_within_its_memory(void **state)
{
    (void)state;
    log_memory = 256 << 10;
    start();
    do_change("CREATE DATABASE db");
    for (int i = 0; i < 200; i++) {
        struct tsm_buf lines = {0};
        for (int j = 0; j < 200; j++)
            tsm_buf_printf(&lines, "m,t=%d f=%d,g=%d.%d %d\n", j, i * j * 7919, j * i, i, 1000 + i);
        do_write("db", tsm_buf_cstr(&lines));
        tsm_buf_release(&lines);
    }
    assert_int_equal(count_keys("db"), 400);
    struct tsm_buf metrics = {0};
    service->metrics(service->ctx, &metrics);
    const char *held = strstr(tsm_buf_cstr(&metrics), "\ntsmkit_raft_log_memory_bytes ");
    assert_true(strtol(held + strlen("\ntsmkit_raft_log_memory_bytes "), NULL, 10) <= 256 << 10);
    const char *snapshots = strstr(tsm_buf_cstr(&metrics), "\ntsmkit_raft_snapshots_total ");
    assert_true(strtol(snapshots + strlen("\ntsmkit_raft_snapshots_total "), NULL, 10) > 2);
    tsm_buf_release(&metrics);
    stop();
    start();
    assert_int_equal(count_keys("db"), 400);
    stop();
}

static void a_second_node_finds_the_directory_locked(void **state)
{
    (void)state;
    struct tsm_data_node *second;
    struct tsm_err err = {0};
    start();
    struct tsm_data_node_options opt = {.fs = &tsm_fs_posix, .dir = temp_dir, .memory = 32 << 20, .jobs = 1};
    assert_int_equal(tsm_data_node_open(&opt, &second, &err), TSM_ELOCKED);
    assert_non_null(strstr(err.msg, "tsm-raftd"));
    stop();
}

static void a_drop_is_done_again_after_a_kill(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        start();
        do_change("CREATE DATABASE db");
        do_write("db", "m f=1 1000\nn f=1 1000");
        do_change("DROP DATABASE db");
        do_change("CREATE DATABASE db");
        do_write("db", "m f=2 1000");
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    start();
    assert_int_equal(count_keys("db"), 1);
    stop();
}

/* For at most a minute. */
static void wait_for_keys(size_t n)
{
    for (int i = 0; i < 600 && count_keys("db") != n; i++)
        usleep(100000);
    assert_int_equal(count_keys("db"), n);
}

static void expired_shards_are_removed(void **state)
{
    (void)state;
    retention_interval = 1;
    start();
    do_change("CREATE DATABASE db");
    do_change("CREATE RETENTION POLICY other ON db DURATION INF REPLICATION 1");
    char line[100];
    snprintf(line, sizeof line, "m,t=new f=1 %lld\nm,t=old f=1 1000\nn f=1 1000", (long long)tsm_now());
    do_write("db", line);
    struct answer a = write_lines("db", "other", "m,t=old f=1 1000");
    assert_int_equal(a.code, TSM_OK);
    assert_int_equal(count_keys("db"), 4);
    do_change("ALTER RETENTION POLICY autogen ON db DURATION 2w");
    wait_for_keys(2);
    a = write_lines("db", "", "m f=1 1000\nm f=1 2000");
    assert_int_equal(a.code, TSM_OK);
    assert_int_equal(a.rejected, 2);
    assert_true(a.expired);
    assert_string_equal(a.cause, "points beyond retention policy");
    stop();
    start();
    assert_int_equal(count_keys("db"), 2);
    stop();
}

static void points_go_to_files_after_a_while(void **state)
{
    (void)state;
    flush_interval = 1;
    start();
    do_change("CREATE DATABASE db");
    do_write("db", "m f=1 1000");
    char *path = tsm_path_shard(temp_dir, TSM_STR("db"), TSM_STR("autogen"), 1);
    struct tsm_names names = {0};
    size_t files = 0;
    for (int i = 0; i < 600 && files == 0; i++) {
        usleep(100000);
        if (tsm_fs_list(&tsm_fs_posix, path, &names, NULL) != TSM_OK)
            continue;
        for (size_t j = 0; j < names.n; j++)
            files += strstr(names.names[j], ".tsm") && !strstr(names.names[j], ".tmp");
        tsm_names_release(&names);
    }
    assert_true(files > 0);
    tsm_free(path);
    stop();
}

static void nothing_is_taken_in_while_it_closes(void **state)
{
    (void)state;
    start();
    do_change("CREATE DATABASE db");
    struct answer answers[50];
    for (int i = 0; i < 50; i++) {
        answers[i] = (struct answer)ANSWER;
        char line[40];
        snprintf(line, sizeof line, "m,t=%d f=1 1000", i);
        send_lines("db", "", line, &answers[i]);
    }
    stop();
    size_t taken = 0;
    for (int i = 0; i < 50; i++) {
        assert_int_equal(answers[i].n, 1);
        taken += answers[i].code == TSM_OK;
    }
    start();
    assert_int_equal(count_keys("db"), taken);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_write_is_seen_at_once_and_after_a_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_answered_is_there_after_a_kill, setup, teardown),
        cmocka_unit_test_setup_teardown(a_conflict_is_told_with_the_points_that_it_drops, setup, teardown),
        cmocka_unit_test_setup_teardown(points_that_no_entry_holds_are_rejected_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(an_unknown_policy_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_large_write_becomes_several_entries_and_one_answer, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(too_much_at_once_is_refused_and_the_rest_is_answered, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_log_stays_within_its_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(a_second_node_finds_the_directory_locked, setup, teardown),
        cmocka_unit_test_setup_teardown(a_drop_is_done_again_after_a_kill, setup, teardown),
        cmocka_unit_test_setup_teardown(expired_shards_are_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(points_go_to_files_after_a_while, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_taken_in_while_it_closes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
