/*
 * cluster/apply.c: the thread that applies committed entries to the engine.
 *
 * It alone writes to the engine. A write of this node comes with its parsed points; others, and what is replayed, are decoded. After a
 * failure of the engine nothing is applied any more, and everything is answered with that failure: the log has it all, and the
 * next start takes it from there.
 */
#include "base/alloc.h"
#include "base/time.h"
#include "cluster/data_node_impl.h"
#include "base/banned.h"

static const char EXPIRED[] = "points beyond retention policy";

struct applying {
    struct tsm_data_node *node;
    struct tsm_buf unpacked;
    struct tsm_points points;
};

/* ---- points ---- */

static void on_reject(void *ctx, uint32_t line, struct tsm_str text, const char *cause)
{
    struct tsm_write *w = ctx;
    pthread_mutex_lock(&w->mutex);
    if (strcmp(cause, EXPIRED) == 0) {
        w->expired++;
    } else {
        w->rejected++;
        if (!w->cause)
            w->cause = tsm_strdup(cause);
    }
    pthread_mutex_unlock(&w->mutex);
    if (w->reject)
        w->reject(w->reject_ctx, line, text, cause);
}

static int write_points(struct tsm_data_node *n, struct tsm_str db, struct tsm_str rp,
                        const struct tsm_points *points, struct tsm_write *w, struct tsm_err *err)
{
    struct tsm_engine_policy *policy;
    int rc = tsm_engine_policy(n->engine, db, rp, &policy, err);
    if (rc == TSM_OK)
        rc = tsm_engine_write_to(n->engine, policy, points, w ? on_reject : NULL, w, err);
    return rc;
}

static int apply_own(struct tsm_own *own, struct tsm_err *err)
{
    struct tsm_write *w = own->write;
    struct tsm_points part = *w->points;
    part.points += own->from;
    part.n = part.cap = own->to - own->from;
    return write_points(own->node, w->db, w->rp, &part, w, err);
}

static int apply_decoded(struct applying *a, const struct tsm_raft_entry *entry, struct tsm_err *err)
{
    tsm_points_reset(&a->points);
    int rc = tsm_entry_points(entry, &a->unpacked, &a->points, err);
    if (rc == TSM_OK)
        rc = write_points(a->node, entry->db, entry->rp, &a->points, NULL, err);
    if (rc == TSM_OK)
        atomic_fetch_add(&a->node->counts.replayed, 1);
    return rc;
}

/* ---- entries ---- */

/* Statements and writes may be refused, each for itself: the same on every node, and whenever it is done again. */
static bool is_refusal(int rc)
{
    return rc == TSM_OK || rc == TSM_EQUERY || rc == TSM_EACCESS || rc == TSM_ECONFLICT || rc == TSM_EPARSE ||
           rc == TSM_ENOTFOUND || rc == TSM_ELIMIT;
}

/* A delete that finds a compaction at work waits for it: it is in the log, so it cannot be refused any more. */
static int apply_change(struct tsm_data_node *n, const struct tsm_change *c, struct tsm_err *err)
{
    int rc = tsm_change_apply(n->engine, c, err);
    if (rc == TSM_ELOCKED)
        tsm_node_say(n, "%s; waiting for it, writes wait as well", err->msg);
    while (rc == TSM_ELOCKED && !tsm_node_is_closing(n))
        rc = tsm_change_apply(n->engine, c, err);
    return rc;
}

static int apply_entry(struct applying *a, const struct tsm_item *item, struct tsm_err *err)
{
    struct tsm_raft_entry entry;
    if (item->own && item->own->write)
        return apply_own(item->own, err);
    int rc = tsm_entry_decode(item->p, item->len, &entry, err);
    if (rc != TSM_OK)
        return rc;
    if (entry.kind == TSM_ENTRY_BATCH)
        return apply_decoded(a, &entry, err);
    atomic_fetch_add(&a->node->counts.changes, 1);
    rc = apply_change(a->node, &entry.change, err);
    atomic_fetch_add(&a->node->meta_version, 1);
    return rc;
}

static void fail_node(struct tsm_data_node *n, int rc, const struct tsm_err *err)
{
    pthread_mutex_lock(&n->mutex);
    bool first = n->code == TSM_OK;
    if (first) {
        n->code = rc;
        n->err = *err;
    }
    pthread_mutex_unlock(&n->mutex);
    if (first)
        tsm_node_say(n, "%s: nothing is taken in any more; everything acknowledged is in the log, restart",
                     err->msg);
}

static void answer(struct tsm_own *own, int rc, const struct tsm_err *err)
{
    struct tsm_write *w = own->write;
    struct tsm_waiter *waiter = own->waiter;
    tsm_free(own);
    if (w)
        tsm_write_part_done(w, rc, err->msg);
    else
        tsm_waiter_done(waiter, rc, err->msg);
}

static void do_entry(struct applying *a, struct tsm_item *item)
{
    struct tsm_data_node *n = a->node;
    struct tsm_err err = {0};
    int rc = tsm_node_failure(n, &err);
    if (rc == TSM_OK) {
        if (!atomic_load_explicit(&n->dirty_since, memory_order_relaxed))
            atomic_store(&n->dirty_since, tsm_monotonic());
        rc = apply_entry(a, item, &err);
        if (!is_refusal(rc))
            fail_node(n, rc, &err);
    }
    if (item->own)
        answer(item->own, rc, &err);
    else
        tsm_free(item);
}

/* ---- snapshots ---- */

/* Everything before is to go to files: begins that, and says what there is to wait for. */
static void do_mark(struct tsm_data_node *n, struct tsm_item *item)
{
    struct tsm_taking *t = item->taking;
    int rc = tsm_node_failure(n, &t->err);
    if (rc == TSM_OK)
        rc = tsm_engine_flush(n->engine, &t->err);
    if (rc == TSM_OK)
        rc = tsm_engine_meta(n->engine, &t->meta, &t->err);
    if (rc == TSM_OK)
        atomic_store(&n->dirty_since, 0);
    t->mark = tsm_engine_mark(n->engine);
    pthread_mutex_lock(&n->mutex);
    t->code = rc;
    t->marked = true;
    pthread_cond_broadcast(&n->idle);
    pthread_mutex_unlock(&n->mutex);
    tsm_free(item);
}

/* ---- the thread ---- */

int tsm_node_failure(struct tsm_data_node *n, struct tsm_err *err)
{
    pthread_mutex_lock(&n->mutex);
    int rc = n->code;
    if (rc != TSM_OK && err)
        *err = n->err;
    pthread_mutex_unlock(&n->mutex);
    return rc;
}

void tsm_node_push(struct tsm_data_node *n, struct tsm_item *item)
{
    item->next = NULL;
    pthread_mutex_lock(&n->mutex);
    bool wake = !n->first && !n->busy;
    *n->last = item;
    n->last = &item->next;
    if (wake)
        pthread_cond_signal(&n->work);
    pthread_mutex_unlock(&n->mutex);
}

void tsm_node_drain(struct tsm_data_node *n)
{
    pthread_mutex_lock(&n->mutex);
    while (n->first || n->busy)
        pthread_cond_wait(&n->idle, &n->mutex);
    pthread_mutex_unlock(&n->mutex);
}

void *tsm_node_apply_main(void *arg)
{
    struct tsm_data_node *n = arg;
    struct applying a = {.node = n};
    pthread_mutex_lock(&n->mutex);
    for (;;) {
        while (!n->first && !n->stop)
            pthread_cond_wait(&n->work, &n->mutex);
        if (!n->first)
            break;
        struct tsm_item *item = n->first;
        n->first = NULL;
        n->last = &n->first;
        n->busy = true;
        pthread_mutex_unlock(&n->mutex);
        for (struct tsm_item *next; item; item = next) {
            next = item->next;
            if (item->taking)
                do_mark(n, item);
            else
                do_entry(&a, item);
        }
        struct tsm_engine_stats stats;
        tsm_engine_stats(n->engine, &stats);
        pthread_mutex_lock(&n->mutex);
        n->stats = stats;
        n->busy = false;
        pthread_cond_broadcast(&n->idle);
    }
    pthread_mutex_unlock(&n->mutex);
    tsm_points_release(&a.points);
    tsm_buf_release(&a.unpacked);
    return NULL;
}
