/*
 * cluster/raft_node.c: libraft on a thread of its own.
 *
 * Invariants:
 * - At most one batch of proposals is given to libraft at a time; the next one goes when it has been applied. The disk takes one write at a
 *   time anyway, and a write that fails then takes nothing with it but itself: libraft's log in memory and on disk agree afterwards.
 * - After a write that failed the instance is closed and opened anew from the disk. Whether the disk has the batch shows then.
 * - libraft decides on a snapshot only when it has applied something, by a number of entries. That number is set to 1 when one is
 *   wanted, and to the largest there is otherwise; when nothing else comes an entry without content is proposed.
 */
#include "cluster/raft_node.h"

#include <limits.h>
#include <pthread.h>
#include <raft.h>
#include <raft/uv.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/alloc.h"
#include "cluster/raft_group.h"
#include "cluster/raft_segment.h"
#include "base/banned.h"

enum {
    BATCH_ENTRIES = 1024,
    BATCH_BYTES = 4 << 20,
    SEGMENT_BYTES = 8 << 20,
    REOPEN_MS = 500,
    SNAPSHOT_RETRY_MS = 1000,
    /* Nobody waits for a leader in a group of one. */
    HEARTBEAT_MS = 500,
    ELECTION_MS = 5000,
};

struct batch {
    struct raft_apply apply;
    struct tsm_raft_proposal **proposals; /* NULL: an entry without content */
    size_t n, done, cap;
    size_t bytes;
    bool running;
};

struct tsm_raft_node {
    const struct tsm_fs *fs;
    char *dir, *address;
    uint64_t id;
    size_t snapshot_bytes, log_bytes;
    struct tsm_raft_machine machine;

    uv_loop_t loop;
    uv_async_t wake;
    uv_timer_t timer;
    pthread_t thread;

    /* Of the node's thread. */
    struct raft_uv_transport transport;
    struct raft_io io;
    struct raft_fsm fsm;
    struct raft raft;
    enum { DOWN, OPEN, CLOSING } state;
    bool broken;   /* it is to be opened anew */
    bool told;     /* the administrator, of that */
    bool probing;  /* opened anew, and nothing written yet */
    bool reopened; /* the machine has what the log begins with */
    bool leaving;  /* it is to end */
    struct batch batch;
    struct raft_buffer *buffers;
    uint64_t applied; /* given to the machine */
    uint64_t applied_bytes, snapshot_begin_bytes,
        snapshot_end_bytes; /* as counted since the log was opened */
    bool hold_snapshots;    /* for a moment, as the last one failed */
    void *snapshot;         /* the machine's, while one is taken */
    uint64_t snapshot_index;

    /* Shared. */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct tsm_raft_proposal *first, **last;
    bool writable, closing;
    bool want_snapshot, snapshot_running;
    uint64_t last_entry;     /* index of the last one with content that was committed */
    uint64_t snapshot_tries; /* that have ended */
    char cause[1020];        /* why it is not writable */
    struct tsm_raft_stats stats;
};

static int code_of(int rv)
{
    switch (rv) {
    case RAFT_NOSPACE:
        return TSM_ENOSPC;
    case RAFT_CORRUPT:
    case RAFT_MALFORMED:
        return TSM_ECORRUPT;
    case RAFT_NOTLEADER:
    case RAFT_LEADERSHIPLOST:
    case RAFT_SHUTDOWN:
    case RAFT_CANCELED:
        return TSM_EAGAIN;
    default:
        return TSM_EIO;
    }
}

static void say(struct tsm_raft_node *n, const char *message)
{
    if (n->machine.log)
        n->machine.log(n->machine.ctx, message);
}

/* ---- proposals ---- */

static void fail_list(struct tsm_raft_proposal *p, const char *cause)
{
    char text[1100];
    snprintf(text, sizeof text, "the log cannot be written: %s", cause);
    while (p) {
        struct tsm_raft_proposal *next = p->next;
        p->failed(p, TSM_EAGAIN, text);
        p = next;
    }
}

/* Nothing can be proposed any more, and what waits fails. */
static void fail_waiting(struct tsm_raft_node *n, const char *cause)
{
    pthread_mutex_lock(&n->mutex);
    n->writable = n->stats.writable = false;
    snprintf(n->cause, sizeof n->cause, "%s", cause);
    struct tsm_raft_proposal *p = n->first;
    n->first = NULL;
    n->last = &n->first;
    pthread_cond_broadcast(&n->changed);
    pthread_mutex_unlock(&n->mutex);
    fail_list(p, cause);
}

/* What libraft had has failed. */
static void fail_batch(struct tsm_raft_node *n, const char *cause)
{
    struct batch *b = &n->batch;
    char text[1100];
    snprintf(text, sizeof text, "the log cannot be written: %s", cause);
    size_t from = b->done, to = b->n;
    b->running = false;
    b->n = b->done = b->bytes = 0;
    for (size_t i = from; i < to; i++)
        if (b->proposals[i])
            b->proposals[i]->failed(b->proposals[i], TSM_EAGAIN, text);
}

static void set_broken(struct tsm_raft_node *n, int rv)
{
    char cause[RAFT_ERRMSG_BUF_SIZE + 64], text[RAFT_ERRMSG_BUF_SIZE + 160];
    const char *message = raft_errmsg(&n->raft);
    snprintf(cause, sizeof cause, "%s", message && *message ? message : raft_strerror(rv));
    n->broken = true;
    if (!n->told && !n->leaving) {
        snprintf(text, sizeof text, "the log cannot be written: %s; writes are refused until it can", cause);
        say(n, text);
    }
    n->told = true;
    fail_waiting(n, cause);
    fail_batch(n, cause);
    uv_async_send(&n->wake);
}

static void on_applied(struct raft_apply *req, int status, void *result)
{
    struct tsm_raft_node *n = req->data;
    (void)result;
    if (status == 0) /* said by on_commit() */
        return;
    if (code_of(status) == TSM_EAGAIN) {
        fail_batch(n, raft_strerror(status));
        uv_async_send(&n->wake);
    } else {
        set_broken(n, status);
    }
}

static bool is_empty(const struct raft_buffer *b)
{
    return b->len == 0 || *(const uint8_t *)b->base == 0;
}

static uint64_t held_bytes(const struct tsm_raft_node *n)
{
    return n->applied_bytes - n->snapshot_end_bytes + n->batch.bytes;
}

/* Takes from the queue what goes into the next batch. The log's bound waits for a snapshot. */
static void take_waiting(struct tsm_raft_node *n)
{
    struct batch *b = &n->batch;
    uint64_t held = held_bytes(n);
    pthread_mutex_lock(&n->mutex);
    while (n->first && b->n < BATCH_ENTRIES) {
        struct tsm_raft_proposal *p = n->first;
        if (b->n && b->bytes + p->len > BATCH_BYTES)
            break;
        if (held + b->bytes + p->len > n->log_bytes && (held || b->n)) {
            n->want_snapshot = true;
            break;
        }
        n->first = p->next;
        if (!n->first)
            n->last = &n->first;
        TSM_GROW(b->proposals, b->n + 1, b->cap);
        b->proposals[b->n++] = p;
        b->bytes += p->len;
    }
    bool wanted = n->want_snapshot && !n->snapshot && !n->hold_snapshots &&
                  n->last_entry > n->raft.log.snapshot.last_index;
    if (!wanted && !n->snapshot && n->want_snapshot && n->last_entry <= n->raft.log.snapshot.last_index)
        n->want_snapshot = false; /* there is nothing that it would have */
    pthread_mutex_unlock(&n->mutex);
    if (wanted)
        raft_set_snapshot_threshold(&n->raft, 1);
    if (b->n == 0 && (wanted || n->probing)) {
        TSM_GROW(b->proposals, 1, b->cap);
        b->proposals[b->n++] = NULL;
    }
}

static void submit(struct tsm_raft_node *n)
{
    struct batch *b = &n->batch;
    n->buffers = tsm_realloc_array(n->buffers, b->n, sizeof *n->buffers);
    for (size_t i = 0; i < b->n; i++) {
        struct tsm_raft_proposal *p = b->proposals[i];
        n->buffers[i] = (struct raft_buffer){p ? p->bytes : tsm_calloc(1, TSM_RAFT_ALIGN),
                                             p ? p->len : TSM_RAFT_ALIGN};
    }
    b->running = true;
    b->done = 0;
    b->apply.data = n;
    int rv = raft_apply(&n->raft, &b->apply, n->buffers, (unsigned)b->n, on_applied);
    if (rv == 0) {
        for (size_t i = 0; i < b->n; i++)
            if (b->proposals[i])
                b->proposals[i]->bytes = NULL; /* libraft's */
        return;
    }
    for (size_t i = 0; i < b->n; i++)
        if (!b->proposals[i])
            tsm_free(n->buffers[i].base);
    if (code_of(rv) == TSM_EAGAIN)
        fail_batch(n, raft_strerror(rv));
    else
        set_broken(n, rv);
}

/* ---- libraft's side ---- */

static void note_commit(struct tsm_raft_node *n, uint64_t index, const struct raft_buffer *buf)
{
    pthread_mutex_lock(&n->mutex);
    if (!is_empty(buf)) {
        n->last_entry = index;
        n->stats.entries++;
        n->stats.bytes += buf->len;
    }
    n->stats.committed = index;
    n->stats.term = n->raft.current_term;
    bool enough = n->applied_bytes - n->snapshot_end_bytes >= n->snapshot_bytes && !n->snapshot &&
                  !n->hold_snapshots;
    n->want_snapshot |= enough;
    pthread_mutex_unlock(&n->mutex);
    if (enough)
        raft_set_snapshot_threshold(&n->raft, 1);
}

/* The index is not given, but follows from what has been applied. */
static int on_commit(struct raft_fsm *fsm, const struct raft_buffer *buf, void **result)
{
    struct tsm_raft_node *n = fsm->data;
    struct batch *b = &n->batch;
    uint64_t index = n->raft.last_applied + 1;
    *result = NULL;
    n->applied_bytes += buf->len;
    struct tsm_raft_proposal *own = NULL;
    bool last = false;
    if (b->running && index >= b->apply.index && index - b->apply.index < b->n) {
        own = b->proposals[index - b->apply.index];
        b->done = index - b->apply.index + 1;
        b->bytes -= buf->len < b->bytes ? buf->len : b->bytes;
        last = b->done == b->n;
    }
    if (index > n->applied) {
        n->applied = index;
        note_commit(n, index, buf);
        if (!is_empty(buf))
            n->machine.committed(n->machine.ctx, index, buf->base, buf->len, own);
    }
    if (last) {
        b->running = false;
        b->n = b->done = b->bytes = 0;
        pthread_mutex_lock(&n->mutex);
        n->stats.writes++;
        n->stats.log_bytes = held_bytes(n);
        n->writable = n->stats.writable = true;
        pthread_mutex_unlock(&n->mutex);
        if (n->probing)
            say(n, "the log can be written again");
        n->probing = n->told = false;
        uv_async_send(&n->wake);
    }
    return 0;
}

static int on_snapshot(struct raft_fsm *fsm, struct raft_buffer *bufs[], unsigned *n_bufs)
{
    struct tsm_raft_node *n = fsm->data;
    *bufs = NULL;
    *n_bufs = 0;
    raft_set_snapshot_threshold(&n->raft, UINT_MAX);
    n->snapshot_begin_bytes = n->applied_bytes;
    n->snapshot_index = n->raft.last_applied;
    n->snapshot = n->machine.snapshot_begin(n->machine.ctx, n->snapshot_index);
    pthread_mutex_lock(&n->mutex);
    n->want_snapshot = false;
    n->snapshot_running = true;
    pthread_mutex_unlock(&n->mutex);
    return 0;
}

static int on_snapshot_async(struct raft_fsm *fsm, struct raft_buffer *bufs[], unsigned *n_bufs)
{
    struct tsm_raft_node *n = fsm->data;
    struct tsm_buf out = {0};
    struct tsm_err err = {0};
    if (n->machine.snapshot_take(n->machine.ctx, n->snapshot, &out, &err) != TSM_OK) {
        char text[sizeof err.msg + 32];
        snprintf(text, sizeof text, "snapshot: %s", err.msg);
        say(n, text);
        tsm_buf_release(&out);
        return RAFT_IOERR;
    }
    *bufs = raft_malloc(sizeof **bufs);
    if (!*bufs) {
        tsm_buf_release(&out);
        return RAFT_NOMEM;
    }
    (*bufs)[0] = (struct raft_buffer){out.data, out.len};
    *n_bufs = 1;
    return 0;
}

static void try_snapshots(uv_timer_t *timer)
{
    struct tsm_raft_node *n = timer->data;
    n->hold_snapshots = false;
    uv_async_send(&n->wake);
}

/* The snapshot is in the log, or it is not. */
static int on_snapshot_end(struct raft_fsm *fsm, struct raft_buffer *bufs[], unsigned *n_bufs)
{
    struct tsm_raft_node *n = fsm->data;
    bool stored = n->raft.log.snapshot.last_index >= n->snapshot_index;
    for (unsigned i = 0; i < *n_bufs; i++)
        raft_free((*bufs)[i].base);
    raft_free(*bufs);
    *bufs = NULL;
    *n_bufs = 0;
    n->machine.snapshot_end(n->machine.ctx, n->snapshot, stored);
    n->snapshot = NULL;
    if (stored)
        n->snapshot_end_bytes = n->snapshot_begin_bytes;
    n->hold_snapshots = !stored && n->state == OPEN;
    if (n->hold_snapshots)
        uv_timer_start(&n->timer, try_snapshots, SNAPSHOT_RETRY_MS, 0);
    pthread_mutex_lock(&n->mutex);
    if (stored) {
        n->stats.snapshots++;
        n->stats.snapshot = n->snapshot_index;
    }
    n->stats.log_bytes = held_bytes(n);
    n->snapshot_tries++;
    n->snapshot_running = false;
    pthread_cond_broadcast(&n->changed);
    pthread_mutex_unlock(&n->mutex);
    uv_async_send(&n->wake);
    return 0;
}

static int on_restore(struct raft_fsm *fsm, struct raft_buffer *buf)
{
    struct tsm_raft_node *n = fsm->data;
    struct tsm_err err = {0};
    /* When the log is opened anew the machine is further already. */
    int rc = n->reopened ? TSM_OK : n->machine.restore(n->machine.ctx, buf->base, buf->len, &err);
    if (rc != TSM_OK) {
        say(n, err.msg);
        return rc == TSM_ECORRUPT ? RAFT_CORRUPT : RAFT_IOERR;
    }
    raft_free(buf->base);
    return 0;
}

/* ---- opening and closing ---- */

static int start(struct tsm_raft_node *n, struct tsm_err *err)
{
    tsm_raft_no_peers(&n->transport);
    n->fsm = (struct raft_fsm){
        .version = 3,
        .data = n,
        .apply = on_commit,
        .snapshot = on_snapshot,
        .restore = on_restore,
        .snapshot_finalize = on_snapshot_end,
        .snapshot_async = on_snapshot_async,
    };
    n->applied_bytes = n->snapshot_begin_bytes = n->snapshot_end_bytes = 0;
    memset(&n->io, 0, sizeof n->io);
    int rv = raft_uv_init(&n->io, &n->loop, n->dir, &n->transport);
    if (rv != 0)
        return tsm_err_set(err, code_of(rv), "%s: %s", n->dir, raft_strerror(rv));
    n->io.version = 2; /* it has async_work(), but says 1 */
    raft_uv_set_segment_size(&n->io, SEGMENT_BYTES);
    raft_uv_set_auto_recovery(&n->io, false);
    memset(&n->raft, 0, sizeof n->raft);
    rv = raft_init(&n->raft, &n->io, &n->fsm, n->id, n->address);
    if (rv != 0) {
        tsm_err_set(err, code_of(rv), "%s: %s", n->dir, n->io.errmsg[0] ? n->io.errmsg : raft_strerror(rv));
        raft_uv_close(&n->io);
        return code_of(rv);
    }
    raft_set_heartbeat_timeout(&n->raft, HEARTBEAT_MS);
    raft_set_election_timeout(&n->raft, ELECTION_MS);
    raft_set_snapshot_threshold(&n->raft, UINT_MAX);
    raft_set_snapshot_trailing(&n->raft, 1); /* 0 means something else; peers will want some more */
    n->state = OPEN;
    rv = raft_start(&n->raft);
    if (rv != 0)
        return tsm_err_set(err, code_of(rv), "%s: %s", n->dir,
                           n->raft.errmsg[0] ? n->raft.errmsg : raft_strerror(rv));
    if (raft_state(&n->raft) != RAFT_LEADER)
        return tsm_err_set(err, TSM_EAGAIN, "%s: this node is not a member of its group", n->dir);
    pthread_mutex_lock(&n->mutex);
    n->stats.term = n->raft.current_term;
    n->stats.snapshot = n->raft.log.snapshot.last_index;
    n->stats.committed = n->raft.commit_index;
    n->stats.log_bytes = held_bytes(n);
    pthread_mutex_unlock(&n->mutex);
    return TSM_OK;
}

static void close_handles(struct tsm_raft_node *n)
{
    uv_close((uv_handle_t *)&n->wake, NULL);
    uv_close((uv_handle_t *)&n->timer, NULL);
}

static void on_timer(uv_timer_t *timer);

static void on_closed(struct raft *r)
{
    struct tsm_raft_node *n = r->data;
    raft_uv_close(&n->io);
    n->state = DOWN;
    if (n->leaving)
        close_handles(n);
    else
        uv_timer_start(&n->timer, on_timer, REOPEN_MS, 0);
}

static void close_raft(struct tsm_raft_node *n)
{
    if (n->machine.settle)
        n->machine.settle(n->machine.ctx);
    n->state = CLOSING;
    n->raft.data = n;
    raft_close(&n->raft, on_closed);
}

/* Opens the log anew, a while after it could not be written. */
static void on_timer(uv_timer_t *timer)
{
    struct tsm_raft_node *n = timer->data;
    struct tsm_err err = {0};
    if (n->leaving)
        return;
    n->broken = n->hold_snapshots = false;
    if (start(n, &err) == TSM_OK) {
        n->probing = true;
        pthread_mutex_lock(&n->mutex);
        n->stats.failures++;
        pthread_mutex_unlock(&n->mutex);
        uv_async_send(&n->wake);
        return;
    }
    fail_waiting(n, err.msg);
    if (n->state == OPEN)
        close_raft(n);
    else
        uv_timer_start(&n->timer, on_timer, REOPEN_MS, 0);
}

static void on_wake(uv_async_t *wake)
{
    struct tsm_raft_node *n = wake->data;
    pthread_mutex_lock(&n->mutex);
    bool closing = n->closing;
    pthread_mutex_unlock(&n->mutex);
    if (closing && !n->leaving) {
        n->leaving = true;
        fail_waiting(n, "shutting down");
        if (n->state == OPEN)
            close_raft(n);
        else if (n->state == DOWN)
            close_handles(n);
    }
    if (n->leaving || n->state != OPEN)
        return;
    if (n->broken || raft_state(&n->raft) == RAFT_UNAVAILABLE) {
        close_raft(n);
        return;
    }
    if (n->batch.running)
        return;
    take_waiting(n);
    if (n->batch.n)
        submit(n);
}

static void *node_main(void *arg)
{
    struct tsm_raft_node *n = arg;
    uv_run(&n->loop, UV_RUN_DEFAULT);
    return NULL;
}

static void node_free(struct tsm_raft_node *n)
{
    uv_loop_close(&n->loop);
    pthread_cond_destroy(&n->changed);
    pthread_mutex_destroy(&n->mutex);
    tsm_free(n->batch.proposals);
    tsm_free(n->buffers);
    tsm_free(n->dir);
    tsm_free(n->address);
    tsm_free(n);
}

static struct tsm_raft_node *node_new(const struct tsm_raft_options *opt)
{
    struct tsm_raft_node *n = tsm_calloc(1, sizeof *n);
    n->fs = opt->fs;
    n->dir = tsm_strdup(opt->dir);
    n->address = tsm_strdup(opt->address);
    n->id = opt->id;
    n->snapshot_bytes = opt->snapshot_bytes;
    n->log_bytes = opt->log_bytes;
    n->machine = opt->machine;
    n->last = &n->first;
    n->state = DOWN;
    pthread_mutex_init(&n->mutex, NULL);
    pthread_cond_init(&n->changed, NULL);
    uv_loop_init(&n->loop);
    uv_async_init(&n->loop, &n->wake, on_wake);
    uv_timer_init(&n->loop, &n->timer);
    n->wake.data = n->timer.data = n;
    return n;
}

int tsm_raft_open(const struct tsm_raft_options *opt, struct tsm_raft_node **out, struct tsm_err *err)
{
    *out = NULL;
    int rc = tsm_raft_bootstrap(opt->fs, opt->dir, opt->id, opt->address, err);
    if (rc == TSM_OK)
        rc = tsm_raft_check_segments(opt->fs, opt->dir, err);
    if (rc != TSM_OK)
        return rc;
    struct tsm_raft_node *n = node_new(opt);
    rc = start(n, err);
    if (rc == TSM_OK) {
        n->reopened = true;
        n->writable = n->stats.writable = true;
        if (pthread_create(&n->thread, NULL, node_main, n) != 0)
            rc = tsm_err_set(err, TSM_EIO, "cannot start a thread for the log");
    }
    if (rc != TSM_OK) {
        n->leaving = true;
        if (n->state == OPEN)
            close_raft(n);
        else
            close_handles(n);
        uv_run(&n->loop, UV_RUN_DEFAULT);
        node_free(n);
        return rc;
    }
    *out = n;
    return TSM_OK;
}

void tsm_raft_close(struct tsm_raft_node *n)
{
    if (!n)
        return;
    pthread_mutex_lock(&n->mutex);
    n->closing = true;
    pthread_mutex_unlock(&n->mutex);
    uv_async_send(&n->wake);
    pthread_join(n->thread, NULL);
    node_free(n);
}

/* ---- for any thread ---- */

static int not_writable(const struct tsm_raft_node *n, struct tsm_err *err)
{
    if (n->closing)
        return tsm_err_set(err, TSM_EAGAIN, "shutting down");
    if (!n->writable)
        return tsm_err_set(err, TSM_EAGAIN, "the log cannot be written: %s", n->cause);
    return TSM_OK;
}

int tsm_raft_propose(struct tsm_raft_node *n, struct tsm_raft_proposal *p, struct tsm_err *err)
{
    pthread_mutex_lock(&n->mutex);
    int rc = not_writable(n, err);
    bool wake = rc == TSM_OK && !n->first;
    if (rc == TSM_OK) {
        p->next = NULL;
        *n->last = p;
        n->last = &p->next;
    }
    pthread_mutex_unlock(&n->mutex);
    if (wake)
        uv_async_send(&n->wake);
    return rc;
}

int tsm_raft_snapshot(struct tsm_raft_node *n, bool wait, struct tsm_err *err)
{
    pthread_mutex_lock(&n->mutex);
    uint64_t target = n->last_entry;
    int rc = TSM_OK;
    while (n->stats.snapshot < target && rc == TSM_OK) {
        rc = not_writable(n, err);
        if (rc != TSM_OK)
            break;
        uint64_t tries = n->snapshot_tries;
        bool running = n->snapshot_running;
        n->want_snapshot = true;
        uv_async_send(&n->wake);
        if (!wait)
            break;
        while (n->snapshot_tries == tries && n->writable)
            pthread_cond_wait(&n->changed, &n->mutex);
        /* One that had begun before may not have all; one that began since has. */
        if (n->stats.snapshot < target && !running && n->writable)
            rc = tsm_err_set(err, TSM_EIO, "the snapshot could not be stored");
    }
    pthread_mutex_unlock(&n->mutex);
    return rc;
}

int tsm_raft_health(struct tsm_raft_node *n, struct tsm_err *err)
{
    pthread_mutex_lock(&n->mutex);
    int rc = not_writable(n, err);
    pthread_mutex_unlock(&n->mutex);
    return rc;
}

void tsm_raft_stats(struct tsm_raft_node *n, struct tsm_raft_stats *st)
{
    pthread_mutex_lock(&n->mutex);
    *st = n->stats;
    pthread_mutex_unlock(&n->mutex);
}
