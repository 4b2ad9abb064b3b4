/*
 * tests/unit/power_run.c: a data directory on a disk that loses its power, again and again, against an oracle.
 *
 * Everything random comes from the seed. The engine flushes in a thread of its own, so that the order of calls may differ
 * between two runs of one seed; mostly it does not.
 */
#include "power_run.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "power_compact.h"
#include "power_oracle.h"
#include "store/data_dir.h"
#include "store/engine.h"

#define DIR "/data"

enum { MARKS = 64 };

struct run {
    const struct power_run_options *opt;
    struct power_run_figures *figures;
    struct power_disk *disk;
    const struct tsm_fs *fs;
    struct oracle *oracle;
    struct tsm_engine *engine; /* NULL: none is open */
    int lives;                 /* begun */
    bool killed;               /* the last one ended so */
    bool brief;                /* this one: a few calls, none of which fails, and a cut */
    bool wal;                  /* what is written is to be seen at once */
    bool served;               /* there is no log, and others ask the engine, as they do a daemon's */
    bool sync_always;
    bool full;             /* the disk is, now and then: whoever waits gets room in the end */
    bool has_failed_write; /* is in the writer's memory, not in the log: a delete does not see it */
    struct {
        uint64_t mark;
        int32_t last;
    } marks[MARKS]; /* writes that are not durable yet */
    size_t nmarks;
    /* A thread that compacts beside the writer. */
    bool beside;
    pthread_t thread;
    atomic_bool stop;
    uint64_t beside_random;
    unsigned long beside_compactions;
    atomic_long waits, wants; /* for room; what failed for want of it */
    uint64_t random;
    char *message;
    size_t size;
    pthread_mutex_t mutex; /* of the next */
    bool bad;
    oracle_found found;
};

static int below(struct run *r, int n)
{
    return (int)power_below(&r->random, (uint64_t)n);
}

static void say(struct run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct run *r, const char *format, ...)
{
    if (!r->opt->log)
        return;
    va_list args;
    va_start(args, format);
    char text[512];
    vsnprintf(text, sizeof text, format, args);
    power_disk_note(r->disk, text);
    fprintf(r->opt->log, "%6ld %6ld %s\n", power_disk_changes(r->disk), power_disk_calls(r->disk), text);
    va_end(args);
}

static void complain(struct run *r, const char *what, const char *cause)
{
    pthread_mutex_lock(&r->mutex);
    if (!r->bad)
        snprintf(r->message, r->size, "%s: %.900s", what, cause);
    r->bad = true;
    pthread_mutex_unlock(&r->mutex);
}

static bool is_bad(struct run *r)
{
    pthread_mutex_lock(&r->mutex);
    bool bad = r->bad;
    pthread_mutex_unlock(&r->mutex);
    return bad;
}

/* The disk does not work, on purpose: an error is no surprise. */
static bool is_down(const struct run *r)
{
    return power_disk_is_off(r->disk) || power_disk_has_failed(r->disk);
}

/* True when the call succeeded; what may not fail and did is noted. */
static bool went_well(struct run *r, const char *what, int rc, const struct tsm_err *err)
{
    if (rc == TSM_OK)
        return true;
    say(r, "%s: %s", what, err->msg);
    if (!is_down(r))
        complain(r, what, err->msg);
    return false;
}

/* The same for those who do not wait for room. */
static bool went_well_or_full(struct run *r, const char *what, int rc, const struct tsm_err *err)
{
    if (rc != TSM_ENOSPC || !r->full)
        return went_well(r, what, rc, err);
    say(r, "%s: %s", what, err->msg);
    atomic_fetch_add(&r->wants, 1);
    return true;
}

/* Somebody makes room, sooner or later, mostly not much. */
static bool on_room(void *ctx, enum tsm_room_event event, const char *message)
{
    struct run *r = ctx;
    if (event == TSM_ROOM_AGAIN)
        return true;
    if (message)
        say(r, "%s", message);
    atomic_fetch_add(&r->waits, 1);
    uint64_t seed = (uint64_t)atomic_load(&r->waits) + r->opt->seed;
    if (power_below(&seed, 3) == 0)
        power_disk_limit(r->disk, power_disk_used(r->disk) + power_below(&seed, 40000));
    return !power_disk_is_off(r->disk);
}

/* ---- reading ---- */

static void check(struct run *r, const char *when, enum oracle_strictness strictness)
{
    char why[512] = "";
    r->figures->reads++;
    bool ok = oracle_read(r->fs, DIR, r->served ? r->engine : NULL, r->found, why, sizeof why);
    if (!ok && is_down(r))
        return;
    if (is_down(r))
        strictness = ORACLE_ANY; /* what failed is not there */
    if (!ok || !oracle_check(r->oracle, r->found, strictness, why, sizeof why))
        complain(r, when, why);
}

/* ---- the work of a life ---- */

static void on_reject(void *ctx, uint32_t line, struct tsm_str text, const char *cause)
{
    (void)line;
    (void)text;
    complain(ctx, "rejected", cause);
}

static int create_database(void *ctx, struct tsm_meta *m, struct tsm_err *err)
{
    (void)ctx;
    return tsm_meta_create_database(m, ORACLE_DB, NULL, err);
}

static bool open_engine(struct run *r)
{
    struct tsm_err err;
    static const int64_t intervals[] = {0, 0, 1, TSM_HOUR};
    struct tsm_engine_options opt = {
        .dir = DIR, .database = ORACLE_DB, .holder = "test", .memory = 1 << 20, .jobs = 1};
    r->nmarks = 0;
    r->has_failed_write = false;
    r->wal = opt.wal = below(r, 3) != 0;
    r->served = !r->wal && below(r, 2);
    if (r->served)
        opt.database = TSM_STR("");
    opt.sync_interval = intervals[below(r, 4)];
    r->sync_always = r->wal && opt.sync_interval == 0;
    opt.flush_interval = below(r, 3) ? 0 : 1;
    if (r->full) {
        opt.room = on_room;
        opt.room_ctx = r;
        opt.reserve = (struct tsm_reserve){(uint64_t)below(r, 10000), 50};
    }
    r->figures->opens++;
    int rc = tsm_engine_open(r->fs, &opt, &r->engine, &err);
    say(r, "open, log %d, served %d, sync after %lld, flush after %lld: %d", opt.wal, r->served,
        (long long)opt.sync_interval, (long long)opt.flush_interval, rc);
    if (rc == TSM_OK && r->served)
        rc = tsm_engine_change_meta(r->engine, create_database, NULL, &err);
    if (rc == TSM_OK && !is_down(r))
        check(r, "after a writer was opened", ORACLE_ANY);
    return went_well_or_full(r, "open the writer", rc, &err) && rc == TSM_OK;
}

/* Lines in one of several orders. */
static void make_lines(struct run *r, struct tsm_buf *text)
{
    int order = below(r, 5), at = below(r, ORACLE_TIMES), s = below(r, ORACLE_SERIES);
    int n = below(r, 8) ? 1 + below(r, 40) : 1 + below(r, 1500);
    for (int i = 0; i < n; i++) {
        switch (order) {
        case 0: /* series by series */
            if (++at >= ORACLE_TIMES) {
                at = 0;
                s = (s + 1) % ORACLE_SERIES;
            }
            break;
        case 1: /* in time order */
        case 2:
            s = (s + 1) % ORACLE_SERIES;
            at = (at + (s == 0)) % ORACLE_TIMES;
            break;
        case 3: /* near each other */
            s = below(r, ORACLE_SERIES);
            at = (at + below(r, 9) + ORACLE_TIMES - 4) % ORACLE_TIMES;
            break;
        default:
            s = below(r, ORACLE_SERIES);
            at = below(r, ORACLE_TIMES);
        }
        oracle_write(r->oracle, text, s, at, (unsigned)(1 + below(r, (1 << ORACLE_FIELDS) - 1)));
    }
    r->figures->points += (unsigned long)n;
}

/* What the writer says is durable has to be. */
static void note_durable(struct run *r)
{
    uint64_t durable = tsm_engine_durable(r->engine);
    size_t n = 0;
    while (n < r->nmarks && r->marks[n].mark <= durable)
        n++;
    if (n == 0)
        return;
    oracle_acknowledge(r->oracle, r->marks[n - 1].last);
    say(r, "durable up to %d", r->marks[n - 1].last);
    r->nmarks -= n;
    memmove(r->marks, r->marks + n, r->nmarks * sizeof *r->marks);
}

static bool write_batch(struct run *r)
{
    struct tsm_buf text = {0};
    struct tsm_points points = {0};
    struct tsm_line_options opt = {.unit = 1};
    struct tsm_err err;
    make_lines(r, &text);
    tsm_line_parse(tsm_buf_view(&text), &opt, &points, on_reject, r);
    say(r, "write %zu points", points.n);
    struct tsm_engine_policy *policy;
    int rc = r->served ? tsm_engine_policy(r->engine, ORACLE_DB, TSM_STR(""), &policy, &err) : TSM_OK;
    if (rc == TSM_OK)
        rc = r->served ? tsm_engine_write_to(r->engine, policy, &points, on_reject, r, &err)
                       : tsm_engine_write(r->engine, &points, on_reject, r, &err);
    r->figures->writes++;
    tsm_points_release(&points);
    tsm_buf_release(&text);
    if (rc == TSM_OK && r->nmarks < MARKS) {
        r->marks[r->nmarks].mark = tsm_engine_mark(r->engine);
        r->marks[r->nmarks++].last = r->oracle->last;
    }
    note_durable(r);
    if (rc == TSM_OK && r->sync_always && r->nmarks)
        complain(r, "write", "not durable, although the log is synced always");
    if (rc != TSM_OK) { /* none of it, some or all may be there */
        oracle_forsake(r->oracle);
        r->nmarks = 0;
        r->has_failed_write = true;
    }
    return went_well(r, "write", rc, &err);
}

static bool flush(struct run *r)
{
    struct tsm_err err;
    int rc = r->served && below(r, 2) ? tsm_engine_flush(r->engine, &err) : tsm_engine_sync(r->engine, &err);
    if (rc == TSM_OK && r->served)
        rc = tsm_engine_wait_flushed(r->engine, tsm_engine_mark(r->engine), &err);
    say(r, "sync: %d", rc);
    r->figures->flushes++;
    if (rc == TSM_OK) {
        oracle_acknowledge(r->oracle, r->oracle->last);
        r->nmarks = 0;
    }
    return went_well(r, "sync", rc, &err);
}

static bool reopen(struct run *r)
{
    if (below(r, 2) && !flush(r))
        return false;
    say(r, "close");
    tsm_engine_close(r->engine); /* what it did not sync may be lost, as when it is killed */
    r->engine = NULL;
    oracle_forsake(r->oracle);
    check(r, "after the writer was closed", ORACLE_ANY);
    return !is_bad(r) && open_engine(r);
}

static bool compact(struct run *r)
{
    struct tsm_err err;
    int rc = power_compact(r->fs, DIR, power_disk_time(r->disk), &r->random, &r->figures->compactions, &err);
    say(r, "compact: %d", rc);
    if (rc == TSM_ELOCKED && r->beside)
        return true;
    if (rc == TSM_OK)
        check(r, "after a compaction", r->wal || r->served ? ORACLE_NEWEST : ORACLE_ANY);
    return went_well_or_full(r, "compact", rc, &err);
}

static bool delete (struct run *r)
{
    struct tsm_err err;
    if (r->has_failed_write)
        return true;
    if (!r->wal && !r->served && !flush(r)) /* nobody but the writer knows what is in its memory */
        return false;
    int series = below(r, ORACLE_SERIES + 1) - 1, from = below(r, ORACLE_TIMES);
    int n = below(r, 3) ? below(r, 50) : below(r, ORACLE_TIMES);
    int to = from + n < ORACLE_TIMES ? from + n : ORACLE_TIMES - 1;
    int32_t number = oracle_delete(r->oracle, series, from, to);
    int rc = power_delete(r->fs, DIR, r->served ? r->engine : NULL, series, oracle_time(from),
                          oracle_time(to), &err);
    say(r, "delete %d of h%d, times %d to %d: %d", number, series, from, to, rc);
    r->figures->deletes++;
    if (rc == TSM_OK) {
        oracle_acknowledge_delete(r->oracle, number);
        check(r, "after a delete", r->wal || r->served ? ORACLE_NEWEST : ORACLE_ANY);
    }
    if (rc == TSM_ELOCKED && r->beside)
        return true;
    return went_well_or_full(r, "delete", rc, &err);
}

/* ---- another process beside the writer ---- */

static void *beside_main(void *arg)
{
    struct run *r = arg;
    while (!atomic_load(&r->stop) && !power_disk_is_off(r->disk)) {
        struct tsm_err err;
        int rc = power_compact(r->fs, DIR, power_disk_time(r->disk), &r->beside_random,
                               &r->beside_compactions, &err);
        if (rc != TSM_OK && rc != TSM_ELOCKED)
            went_well_or_full(r, "compact beside the writer", rc, &err);
        if (is_bad(r))
            break;
        /* Only when the writer has done something is there something to do. */
        long seen = power_disk_changes(r->disk);
        for (int i = 0; i < 1000 && power_disk_changes(r->disk) == seen && !atomic_load(&r->stop); i++)
            sched_yield();
    }
    return NULL;
}

static void start_beside(struct run *r)
{
    r->beside_random = power_random(&r->random);
    r->beside_compactions = 0;
    atomic_store(&r->stop, false);
    r->beside = pthread_create(&r->thread, NULL, beside_main, r) == 0;
}

static void stop_beside(struct run *r)
{
    if (!r->beside)
        return;
    atomic_store(&r->stop, true);
    pthread_join(r->thread, NULL);
    r->figures->compactions += r->beside_compactions;
    r->beside = false;
}

/* Works until the power goes, or it is done. After a failure, which is the end of a writer, it may be asked for more. */
static void work(struct run *r)
{
    if (!open_engine(r))
        return;
    for (int i = r->brief ? 1 + below(r, 3) : 4 + below(r, 20);
         i > 0 && !is_bad(r) && !power_disk_is_off(r->disk); i--) {
        int what = below(r, r->brief ? 85 : 100);
        bool ok = true;
        if (what < 45)
            ok = write_batch(r);
        else if (what < 60)
            ok = flush(r);
        else if (what < 75)
            ok = compact(r);
        else if (what < 85)
            ok = delete (r);
        else if (what < 95)
            check(r, "while the writer works", r->wal || r->served ? ORACLE_NEWEST : ORACLE_ANY);
        else
            ok = reopen(r);
        if (!ok && (!r->engine || below(r, 2)))
            return;
    }
}

static void live(struct run *r)
{
    bool faults = r->opt->error != 0 && !(r->opt->fail_at && r->lives > 0);
    r->lives++;
    /* What a killed process left visible and not durable is most easily lost soon after. */
    r->brief = r->killed && below(r, 3);
    static const int ranges[] = {10, 40, 100, 300};
    long at = 1 + below(r, ranges[below(r, 4)]);
    if (faults)
        power_disk_plan_failure(r->disk, r->opt->fail_at ? r->opt->fail_at : at, r->opt->error,
                                r->opt->for_good);
    else if (!r->brief)
        power_disk_plan_cut(r->disk, at);
    r->full = !faults && below(r, 4) == 0;
    if (r->full)
        power_disk_limit(r->disk, power_disk_used(r->disk) + (uint64_t)below(r, 20000));
    if (below(r, 3) == 0 && !r->opt->fail_at)
        start_beside(r);
    work(r);
    stop_beside(r);
    power_disk_limit(r->disk, 0);
    r->figures->waits += (unsigned long)atomic_exchange(&r->waits, 0);
    r->figures->full += (unsigned long)atomic_exchange(&r->wants, 0);
    say(r, "down: %d", is_down(r));
    bool came = is_down(r);
    r->figures->late_cuts += !came;
    tsm_engine_close(r->engine);
    r->engine = NULL;
    if (r->bad)
        return;
    if (faults) { /* it works again, and nothing that the process knew is left */
        power_disk_plan_failure(r->disk, 0, 0, false);
        r->figures->faults += came;
    }
    oracle_forsake(r->oracle);
    bool cut = r->brief || below(r, 2);
    r->killed = !cut;
    if (cut) {
        power_disk_cut(r->disk, power_random(&r->random));
        r->figures->cuts++;
    } else {
        power_disk_kill(r->disk);
        r->figures->kills++;
    }
    say(r, cut ? "cut" : "kill");
    check(r, faults ? "after a failure" : cut ? "after a cut" : "after a kill", ORACLE_ANY);
    if (!r->bad && cut)
        oracle_settle(r->oracle, r->found, &r->figures->kept_pending, &r->figures->lost_pending);
}

bool power_run(const struct power_run_options *opt, struct power_run_figures *figures, char *message,
               size_t size)
{
    struct run *r = tsm_calloc(1, sizeof *r);
    *r = (struct run){.opt = opt, .figures = figures, .message = message, .size = size, .random = opt->seed};
    pthread_mutex_init(&r->mutex, NULL);
    r->disk = power_disk_new();
    r->fs = power_disk_fs(r->disk);
    r->oracle = oracle_new();
    if (opt->lie)
        power_disk_lie(r->disk);
    for (int i = 0; i < opt->lives && !r->bad; i++)
        live(r);
    if (r->bad && opt->log) {
        power_disk_print_trace(r->disk, opt->log);
        power_disk_print_tree(r->disk, opt->log);
    }
    if (r->bad && opt->keep && !power_disk_export(r->disk, opt->keep))
        fprintf(stderr, "%s: cannot be written\n", opt->keep);
    bool ok = !r->bad;
    oracle_free(r->oracle);
    power_disk_free(r->disk);
    pthread_mutex_destroy(&r->mutex);
    tsm_free(r);
    return ok;
}

void power_run_add(struct power_run_figures *sum, const struct power_run_figures *more)
{
    unsigned long *to = (unsigned long *)sum;
    const unsigned long *from = (const unsigned long *)more;
    for (size_t i = 0; i < sizeof *sum / sizeof *to; i++)
        to[i] += from[i];
}

void power_run_describe(const struct power_run_figures *f, char *text, size_t size)
{
    snprintf(
        text, size,
        "%lu cuts, %lu kills (%lu between two calls), %lu failures, %lu waits for room, %lu failures for "
        "want of it; %lu writes of %lu points, %lu flushes, "
        "%lu compactions, %lu deletes, %lu reads; of values not acknowledged before a cut %lu were kept, %lu "
        "lost",
        f->cuts, f->kills, f->late_cuts, f->faults, f->waits, f->full, f->writes, f->points, f->flushes,
        f->compactions, f->deletes, f->reads, f->kept_pending, f->lost_pending);
}
