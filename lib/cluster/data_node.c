/*
 * cluster/data_node.c: opening and closing a data node, and the machine that its raft node drives.
 *
 * The raft thread hands committed entries to the apply thread and goes on; entries stay in place in libraft's log until a snapshot
 * that contains them has ended, and a snapshot waits for the apply thread.
 */
#include "cluster/data_node.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "base/alloc.h"
#include "base/time.h"
#include "cluster/data_node_impl.h"
#include "cluster/raft_group.h"
#include "store/data_dir.h"
#include "base/banned.h"

enum {
    DEFAULT_LOG_MB = 64,
    DEFAULT_PENDING_MB = 64,
    DEFAULT_ENTRY_MB = 1,
    DEFAULT_QUERY_MB = 512,
    DIGEST_MB =
        64, /* of files that were there before, read for each snapshot at most: a snapshot must not take long */
};

void tsm_node_say(struct tsm_data_node *n, const char *fmt, ...)
{
    char text[1100];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n->log)
        n->log(n->log_ctx, text);
}

/* ---- the machine ---- */

static void on_committed(void *ctx, uint64_t index, const uint8_t *p, size_t len,
                         struct tsm_raft_proposal *proposal)
{
    struct tsm_data_node *n = ctx;
    struct tsm_own *own = (struct tsm_own *)proposal;
    struct tsm_item *item = own ? &own->item : tsm_calloc(1, sizeof *item);
    item->index = index;
    item->p = p;
    item->len = len;
    tsm_node_push(n, item);
}

static void on_settle(void *ctx)
{
    tsm_node_drain(ctx);
}

static void *on_snapshot_begin(void *ctx, uint64_t index)
{
    struct tsm_item *item = tsm_calloc(1, sizeof *item);
    item->taking = tsm_calloc(1, sizeof *item->taking);
    item->taking->index = index;
    struct tsm_taking *taking = item->taking;
    tsm_node_push(ctx, item);
    return taking;
}

static int on_snapshot_take(void *ctx, void *snapshot, struct tsm_buf *out, struct tsm_err *err)
{
    struct tsm_data_node *n = ctx;
    struct tsm_taking *t = snapshot;
    pthread_mutex_lock(&n->mutex);
    while (!t->marked)
        pthread_cond_wait(&n->idle, &n->mutex);
    pthread_mutex_unlock(&n->mutex);
    int rc = t->code;
    if (rc != TSM_OK) {
        if (err)
            *err = t->err;
        return rc;
    }
    rc = tsm_engine_wait_flushed(n->engine, t->mark, err);
    if (rc != TSM_OK)
        return rc;
    struct tsm_buf meta = {0};
    tsm_meta_encode(&t->meta, &meta);
    t->list.index = t->index;
    t->list.meta = tsm_arena_str(&t->list.arena, tsm_buf_view(&meta));
    tsm_buf_release(&meta);
    rc = tsm_snapshot_list(n->fs, n->dir, &t->meta, &n->known, (uint64_t)DIGEST_MB << 20, &t->list, err);
    if (rc == TSM_OK)
        tsm_snapshot_encode(&t->list, out);
    return rc;
}

static void on_snapshot_end(void *ctx, void *snapshot, bool stored)
{
    struct tsm_data_node *n = ctx;
    struct tsm_taking *t = snapshot;
    /* The snapshot is given up when the log fails meanwhile, but the apply thread has it still. */
    pthread_mutex_lock(&n->mutex);
    while (!t->marked)
        pthread_cond_wait(&n->idle, &n->mutex);
    pthread_mutex_unlock(&n->mutex);
    if (stored) {
        tsm_snapshot_release(&n->known);
        n->known = t->list;
    } else {
        tsm_snapshot_release(&t->list);
    }
    tsm_meta_release(&t->meta);
    tsm_free(t);
}

static int take_newer_meta(void *ctx, struct tsm_meta *m, struct tsm_err *err)
{
    const struct tsm_snapshot *s = ctx;
    struct tsm_meta newer = {0};
    int rc = tsm_meta_decode((const uint8_t *)s->meta.p, s->meta.n, &newer, err);
    if (rc != TSM_OK || newer.index <= m->index) {
        tsm_meta_release(&newer);
        return rc;
    }
    tsm_meta_release(m);
    *m = newer;
    return TSM_OK;
}

/* meta.db on the disk is at least as new as that of the snapshot, unless somebody has taken it away. */
static int on_restore(void *ctx, const uint8_t *p, size_t len, struct tsm_err *err)
{
    struct tsm_data_node *n = ctx;
    struct tsm_snapshot s;
    struct tsm_meta here, there = {0};
    int rc = tsm_snapshot_decode(p, len, &s, err);
    if (rc != TSM_OK)
        return rc;
    rc = tsm_meta_decode((const uint8_t *)s.meta.p, s.meta.n, &there, err);
    if (rc == TSM_OK)
        rc = tsm_engine_meta(n->engine, &here, err);
    if (rc == TSM_OK) {
        if (there.index > here.index) {
            tsm_node_say(n, "meta.db is older than the snapshot in the log: that one's is taken");
            rc = tsm_engine_change_meta(n->engine, take_newer_meta, &s, err);
        }
        tsm_meta_release(&here);
    }
    tsm_meta_release(&there);
    /* Its texts borrow from p. */
    for (size_t i = 0; i < s.n; i++) {
        s.shards[i].db = tsm_arena_str(&s.arena, s.shards[i].db);
        s.shards[i].rp = tsm_arena_str(&s.arena, s.shards[i].rp);
        for (size_t j = 0; j < s.shards[i].n; j++)
            s.shards[i].files[j].name = tsm_arena_str(&s.arena, s.shards[i].files[j].name);
    }
    s.meta = tsm_str(NULL, 0);
    n->known = s;
    return rc;
}

static void on_log(void *ctx, const char *message)
{
    tsm_node_say(ctx, "%s", message);
}

/* ---- room on the disk ---- */

static void warn(void *ctx, const char *message)
{
    tsm_node_say(ctx, "warning: %s", message);
}

bool tsm_node_is_closing(struct tsm_data_node *n)
{
    pthread_mutex_lock(&n->flow);
    bool closing = n->closing;
    pthread_mutex_unlock(&n->flow);
    return closing;
}

/* The engine waits for what is in memory already, until the node closes. */
static bool engine_room(void *ctx, enum tsm_room_event event, const char *message)
{
    static const struct timespec moment = {.tv_nsec = TSM_ROOM_WAIT_MS * 1000000l};
    struct tsm_data_node *n = ctx;
    if (event == TSM_ROOM_NONE)
        tsm_node_say(n, "%s; waiting", message);
    if (event == TSM_ROOM_AGAIN) {
        tsm_node_say(n, "%s; going on", message);
        return true;
    }
    nanosleep(&moment, NULL);
    return !tsm_node_is_closing(n);
}

/* New writes do not wait, they are refused. */
static bool write_room(void *ctx, enum tsm_room_event event, const char *message)
{
    if (event == TSM_ROOM_NONE)
        tsm_node_say(ctx, "%s; writes are refused", message);
    if (event == TSM_ROOM_AGAIN)
        tsm_node_say(ctx, "%s; writes are taken in", message);
    return event == TSM_ROOM_AGAIN;
}

/* ---- opening ---- */

static int open_engine(struct tsm_data_node *n, const struct tsm_data_node_options *opt, struct tsm_err *err)
{
    struct tsm_engine_options engine = {
        .dir = opt->dir,
        .holder = "tsm-raftd",
        .memory = opt->memory,
        .jobs = opt->jobs,
        .warn = warn,
        .warn_ctx = n,
        .room = engine_room,
        .room_ctx = n,
        /* Statements that free room go through the same thread, so it may use all there is; the reserve is for new writes. */
        .reserve = {0, 0},
    };
    int rc = tsm_engine_open(n->fs, &engine, &n->engine, err);
    if (rc == TSM_OK)
        tsm_room_init(&n->room, n->fs, n->dir, opt->reserve, write_room, n);
    return rc;
}

static int open_log(struct tsm_data_node *n, const struct tsm_data_node_options *opt, struct tsm_err *err)
{
    size_t log_bytes = opt->log_memory ? opt->log_memory : (size_t)DEFAULT_LOG_MB << 20;
    const char *address = opt->address ? opt->address : "127.0.0.1:8088";
    char *dir = tsm_path_raft(n->dir);
    int rc = tsm_raft_bootstrap(n->fs, dir, 1, address, err);
    if (rc == TSM_OK)
        rc = tsm_data_mark_unflushed(n->fs, n->dir, err);
    struct tsm_raft_options raft = {
        .fs = n->fs,
        .dir = dir,
        .id = 1,
        .address = address,
        .snapshot_bytes = log_bytes / 2,
        .log_bytes = log_bytes,
        .machine = {n, on_committed, on_settle, on_snapshot_begin, on_snapshot_take, on_snapshot_end,
                    on_restore, on_log},
    };
    if (rc == TSM_OK)
        rc = tsm_raft_open(&raft, &n->raft, err);
    tsm_free(dir);
    return rc;
}

static struct tsm_data_node *new_node(const struct tsm_data_node_options *opt)
{
    struct tsm_data_node *n = tsm_calloc(1, sizeof *n);
    n->fs = opt->fs;
    n->dir = tsm_strdup(opt->dir);
    n->log = opt->log;
    n->log_ctx = opt->log_ctx;
    n->pending_max = opt->pending ? opt->pending : (size_t)DEFAULT_PENDING_MB << 20;
    n->entry_max = opt->entry_max ? opt->entry_max : (size_t)DEFAULT_ENTRY_MB << 20;
    n->flush_interval = opt->flush_interval;
    n->retention_interval = opt->retention_interval;
    n->continuous_interval = opt->continuous_interval;
    n->query_memory = opt->query_memory ? opt->query_memory : (size_t)DEFAULT_QUERY_MB << 20;
    n->jobs = opt->jobs ? opt->jobs : 1;
    n->last = &n->first;
    pthread_mutex_init(&n->mutex, NULL);
    pthread_mutex_init(&n->flow, NULL);
    pthread_cond_init(&n->work, NULL);
    pthread_cond_init(&n->idle, NULL);
    pthread_cond_init(&n->flowed, NULL);
    pthread_cond_init(&n->leave, NULL);
    tsm_node_service_init(n, opt->tasks);
    return n;
}

static void stop_applying(struct tsm_data_node *n)
{
    if (!n->applying)
        return;
    pthread_mutex_lock(&n->mutex);
    n->stop = true;
    pthread_cond_broadcast(&n->work);
    pthread_mutex_unlock(&n->mutex);
    pthread_join(n->apply_thread, NULL);
    n->applying = false;
}

static void release(struct tsm_data_node *n)
{
    if (n->applying)
        tsm_node_drain(n);
    tsm_raft_close(n->raft);
    stop_applying(n);
    tsm_engine_close(n->engine);
    tsm_snapshot_release(&n->known);
    for (unsigned i = 0; i < n->nencoders; i++)
        tsm_entry_encoder_free(n->encoders[i]);
    pthread_mutex_destroy(&n->mutex);
    pthread_mutex_destroy(&n->flow);
    pthread_cond_destroy(&n->work);
    pthread_cond_destroy(&n->idle);
    pthread_cond_destroy(&n->flowed);
    pthread_cond_destroy(&n->leave);
    tsm_free(n->dir);
    tsm_free(n);
}

static int start_keeping(struct tsm_data_node *n, struct tsm_err *err)
{
    n->keeping = pthread_create(&n->keeper_thread, NULL, tsm_node_keeper_main, n) == 0;
    if (n->keeping && n->continuous_interval > 0)
        n->computing = pthread_create(&n->continuous_thread, NULL, tsm_node_continuous_main, n) == 0;
    bool all = n->keeping && (n->computing || n->continuous_interval <= 0);
    return all ? TSM_OK : tsm_err_set(err, TSM_EIO, "cannot start a thread");
}

static void stop_keeping(struct tsm_data_node *n)
{
    pthread_mutex_lock(&n->flow);
    n->closing = true;
    atomic_store(&n->continuous.end, TSM_END_SHUTDOWN);
    pthread_cond_broadcast(&n->leave);
    pthread_cond_broadcast(&n->flowed);
    pthread_mutex_unlock(&n->flow);
    if (n->keeping)
        pthread_join(n->keeper_thread, NULL);
    if (n->computing)
        pthread_join(n->continuous_thread, NULL);
    n->keeping = n->computing = false;
}

int tsm_data_node_open(const struct tsm_data_node_options *opt, struct tsm_data_node **out,
                       struct tsm_err *err)
{
    *out = NULL;
    struct tsm_data_node *n = new_node(opt);
    int rc = open_engine(n, opt, err);
    if (rc == TSM_OK) {
        n->applying = pthread_create(&n->apply_thread, NULL, tsm_node_apply_main, n) == 0;
        if (!n->applying)
            rc = tsm_err_set(err, TSM_EIO, "cannot start a thread");
    }
    if (rc == TSM_OK)
        rc = open_log(n, opt, err);
    if (rc == TSM_OK) {
        tsm_node_drain(n);
        rc = tsm_node_failure(n, err);
    }
    if (rc == TSM_OK)
        rc = start_keeping(n, err);
    if (rc != TSM_OK) {
        stop_keeping(n);
        release(n);
        return rc;
    }
    *out = n;
    return TSM_OK;
}

struct tsm_service *tsm_data_node_service(struct tsm_data_node *n)
{
    return &n->service;
}

int tsm_data_node_flush(struct tsm_data_node *n, struct tsm_err *err)
{
    return tsm_raft_snapshot(n->raft, true, err);
}

/* ---- closing ---- */

static void wait_for_writes(struct tsm_data_node *n)
{
    pthread_mutex_lock(&n->flow);
    while (n->pending || n->waiting)
        pthread_cond_wait(&n->flowed, &n->flow);
    pthread_mutex_unlock(&n->flow);
}

int tsm_data_node_close(struct tsm_data_node *n, struct tsm_err *err)
{
    stop_keeping(n);
    wait_for_writes(n);
    tsm_node_drain(n);
    int rc = tsm_node_failure(n, err);
    if (rc == TSM_OK)
        rc = tsm_data_node_flush(n, err);
    /* The log is closed first: its entries are the apply thread's as long as there are snapshots. */
    tsm_raft_close(n->raft);
    n->raft = NULL;
    stop_applying(n);
    if (rc == TSM_OK)
        rc = tsm_data_clear_unflushed(n->fs, n->dir, err);
    release(n);
    return rc;
}
