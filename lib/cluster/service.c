/*
 * cluster/service.c: what HTTP asks of a data node: writes, changes, shards to read, its health.
 *
 * A write is encoded by the thread that brings it, in parts of at most `entry_max` bytes of its text, and answered when its last
 * part has been applied. The part that is left for who proposes keeps it in place until all are on their way.
 */
#include "base/alloc.h"
#include "base/time.h"
#include "cluster/data_node_impl.h"
#include "base/banned.h"

/* A segment of the log holds so much, and an entry is in one. */
enum { ENTRY_MOST = 7 << 20 };

/* ---- waiting ---- */

static void waiter_init(struct tsm_waiter *w)
{
    *w = (struct tsm_waiter){0};
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->changed, NULL);
}

void tsm_waiter_done(struct tsm_waiter *w, int code, const char *message)
{
    pthread_mutex_lock(&w->mutex);
    w->done = true;
    w->code = code;
    if (code != TSM_OK)
        tsm_err_set(&w->err, code, "%s", message);
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->mutex);
}

static int waiter_wait(struct tsm_waiter *w, struct tsm_err *err)
{
    pthread_mutex_lock(&w->mutex);
    while (!w->done)
        pthread_cond_wait(&w->changed, &w->mutex);
    int rc = w->code;
    if (rc != TSM_OK && err)
        *err = w->err;
    pthread_mutex_unlock(&w->mutex);
    pthread_mutex_destroy(&w->mutex);
    pthread_cond_destroy(&w->changed);
    return rc;
}

/* ---- proposing ---- */

static void on_failed(struct tsm_raft_proposal *p, int code, const char *message)
{
    struct tsm_own *own = (struct tsm_own *)p;
    struct tsm_write *w = own->write;
    struct tsm_waiter *waiter = own->waiter;
    tsm_free(p->bytes);
    tsm_free(own);
    if (w)
        tsm_write_part_done(w, code, message);
    else
        tsm_waiter_done(waiter, code, message);
}

static int propose(struct tsm_own *own, struct tsm_err *err)
{
    own->proposal.failed = on_failed;
    own->item.own = own;
    int rc = tsm_raft_propose(own->node->raft, &own->proposal, err);
    if (rc != TSM_OK) {
        tsm_free(own->proposal.bytes);
        tsm_free(own);
    }
    return rc;
}

int tsm_node_change(void *node, const struct tsm_change *c, struct tsm_err *err)
{
    struct tsm_data_node *n = node;
    struct tsm_waiter waiter;
    int rc = tsm_node_failure(n, err);
    if (rc != TSM_OK)
        return rc;
    waiter_init(&waiter);
    struct tsm_own *own = tsm_calloc(1, sizeof *own);
    own->node = n;
    own->waiter = &waiter;
    own->proposal.bytes = tsm_entry_change(c, &own->proposal.len);
    rc = propose(own, err);
    if (rc != TSM_OK)
        tsm_waiter_done(&waiter, rc, "");
    int waited = waiter_wait(&waiter, rc == TSM_OK ? err : NULL);
    return rc == TSM_OK ? waited : rc;
}

/* ---- writes ---- */

static struct tsm_entry_encoder *take_encoder(struct tsm_data_node *n)
{
    pthread_mutex_lock(&n->flow);
    struct tsm_entry_encoder *e = n->nencoders ? n->encoders[--n->nencoders] : NULL;
    pthread_mutex_unlock(&n->flow);
    return e ? e : tsm_entry_encoder_new();
}

static void give_encoder(struct tsm_data_node *n, struct tsm_entry_encoder *e)
{
    pthread_mutex_lock(&n->flow);
    if (n->nencoders < sizeof n->encoders / sizeof *n->encoders) {
        n->encoders[n->nencoders++] = e;
        e = NULL;
    }
    pthread_mutex_unlock(&n->flow);
    tsm_entry_encoder_free(e);
}

static void finish_write(struct tsm_write *w)
{
    struct tsm_data_node *n = w->node;
    struct tsm_write_result r = {
        .code = w->code,
        .message = w->message,
        .rejected = w->rejected ? w->rejected : w->expired,
        .first_cause = w->rejected  ? w->cause
                       : w->expired ? "points beyond retention policy"
                                    : NULL,
        .expired = w->expired && !w->rejected,
    };
    atomic_fetch_add(&n->counts.rejected, w->rejected + w->expired);
    if (w->code != TSM_OK)
        atomic_fetch_add(&n->counts.failed, 1);
    w->done(w->done_ctx, &r);
    tsm_points_release(&w->owned);
    tsm_buf_release(&w->text);
    pthread_mutex_lock(&n->flow);
    n->pending -= w->bytes;
    if (n->waiting || n->closing)
        pthread_cond_broadcast(&n->flowed);
    pthread_mutex_unlock(&n->flow);
    pthread_mutex_destroy(&w->mutex);
    tsm_free(w->message);
    tsm_free(w->cause);
    tsm_free(w->kept);
    tsm_free((char *)w->db.p);
    tsm_free(w);
}

void tsm_write_part_done(struct tsm_write *w, int code, const char *message)
{
    if (code != TSM_OK) {
        pthread_mutex_lock(&w->mutex);
        if (w->code == TSM_OK) {
            w->code = code;
            w->message = tsm_strdup(message);
        }
        pthread_mutex_unlock(&w->mutex);
    }
    if (atomic_fetch_sub(&w->left, 1) == 1)
        finish_write(w);
}

static void reject_point(struct tsm_write *w, const struct tsm_point *p, const char *why)
{
    w->rejected++;
    if (!w->cause)
        w->cause = tsm_strdup(why);
    if (w->reject)
        w->reject(w->reject_ctx, p->line, p->text, why);
}

/* Points that no entry can hold are rejected here, before the others are numbered: the state machine sees them nowhere. */
static void leave_out(struct tsm_write *w)
{
    const struct tsm_points *all = w->points;
    struct tsm_buf why = {0};
    for (size_t i = 0; i < all->n; i++) {
        const struct tsm_point *p = &all->points[i];
        if (tsm_entry_can_hold(all, p, &why)) {
            if (w->kept)
                w->view.points[w->view.n++] = *p;
            continue;
        }
        if (!w->kept) {
            w->kept = tsm_realloc_array(NULL, all->n, sizeof *w->kept);
            memcpy(w->kept, all->points, i * sizeof *w->kept);
            w->view = *all;
            w->view.points = w->kept;
            w->view.n = i;
        }
        reject_point(w, p, tsm_buf_cstr(&why));
        tsm_buf_reset(&why);
    }
    if (w->kept)
        w->points = &w->view;
    tsm_buf_release(&why);
}

static bool propose_part(struct tsm_write *w, struct tsm_entry_encoder *e, size_t from, size_t to)
{
    struct tsm_err err = {0};
    struct tsm_own *own = tsm_calloc(1, sizeof *own);
    own->node = w->node;
    own->write = w;
    own->from = from;
    own->to = to;
    own->proposal.bytes = tsm_entry_batch(e, w->db, w->rp, w->points, from, to, &own->proposal.len);
    atomic_fetch_add(&w->left, 1);
    int rc;
    if (own->proposal.len <= ENTRY_MOST) {
        rc = propose(own, &err);
    } else {
        rc = tsm_err_set(&err, TSM_ELIMIT, "a point of %zu bytes is too large", own->proposal.len);
        tsm_free(own->proposal.bytes);
        tsm_free(own);
    }
    if (rc != TSM_OK)
        tsm_write_part_done(w, rc, err.msg);
    return rc == TSM_OK;
}

static void propose_write(struct tsm_write *w)
{
    struct tsm_data_node *n = w->node;
    leave_out(w);
    size_t npoints = w->points->n;
    const struct tsm_point *points = w->points->points;
    struct tsm_entry_encoder *e = npoints ? take_encoder(n) : NULL;
    for (size_t from = 0, to; from < npoints; from = to) {
        size_t bytes = points[from].text.n;
        for (to = from + 1; to < npoints && bytes + points[to].text.n <= n->entry_max; to++)
            bytes += points[to].text.n;
        if (!propose_part(w, e, from, to))
            break;
    }
    if (e)
        give_encoder(n, e);
    tsm_write_part_done(w, TSM_OK, NULL);
}

static size_t memory_of(const struct tsm_points *points, size_t text)
{
    return text + points->n * sizeof *points->points + points->nfields * sizeof *points->fields +
           points->arena.bytes;
}

static int find_room(struct tsm_data_node *n, struct tsm_err *err)
{
    struct tsm_raft_stats raft;
    tsm_raft_stats(n->raft, &raft);
    /* What the log holds comes to the disk once more as files, of about its size. */
    if (tsm_room_enough(&n->room, raft.log_bytes + n->pending)) {
        tsm_room_found(&n->room);
        return TSM_OK;
    }
    tsm_room_wait(&n->room, err);
    return tsm_err_set(err, TSM_EAGAIN, "%s", "no room on the disk: its reserve has been reached");
}

/* Counts a write as pending. With wait it waits for what is before it, instead of being refused. */
static int admit(struct tsm_data_node *n, size_t bytes, bool wait, struct tsm_err *err)
{
    int rc = tsm_node_failure(n, err);
    if (rc != TSM_OK)
        return rc;
    pthread_mutex_lock(&n->flow);
    while (wait && n->pending && n->pending + bytes > n->pending_max && !n->closing) {
        n->waiting++;
        pthread_cond_wait(&n->flowed, &n->flow);
        n->waiting--;
    }
    if (n->closing)
        rc = tsm_err_set(err, TSM_EAGAIN, "shutting down");
    else if (n->pending && n->pending + bytes > n->pending_max)
        rc = tsm_err_set(err, TSM_EAGAIN, "too many writes at once, try again");
    else
        rc = find_room(n, err);
    if (rc == TSM_OK)
        n->pending += bytes;
    else
        atomic_fetch_add(&n->counts.refused, 1);
    pthread_mutex_unlock(&n->flow);
    return rc;
}

static struct tsm_write *new_write(struct tsm_data_node *n, struct tsm_str db, struct tsm_str rp,
                                   size_t bytes)
{
    struct tsm_write *w = tsm_calloc(1, sizeof *w);
    w->node = n;
    char *names = tsm_alloc(db.n + rp.n);
    memcpy(names, db.p, db.n);
    if (rp.n)
        memcpy(names + db.n, rp.p, rp.n);
    w->db = tsm_str(names, db.n);
    w->rp = tsm_str(names + db.n, rp.n);
    w->bytes = bytes;
    atomic_init(&w->left, 1);
    pthread_mutex_init(&w->mutex, NULL);
    return w;
}

static void service_write(void *node, struct tsm_str db, struct tsm_str rp, struct tsm_points *points,
                          struct tsm_buf *text, tsm_written_fn *done, void *done_ctx)
{
    struct tsm_data_node *n = node;
    struct tsm_err err = {0};
    size_t bytes = memory_of(points, text->cap);
    int rc = admit(n, bytes, false, &err);
    if (rc != TSM_OK) {
        struct tsm_write_result r = {.code = rc, .message = err.msg};
        done(done_ctx, &r);
        tsm_points_release(points);
        tsm_buf_release(text);
        return;
    }
    atomic_fetch_add(&n->counts.writes, 1);
    atomic_fetch_add(&n->counts.rows, points->n);
    atomic_fetch_add(&n->counts.values, points->nfields);
    struct tsm_write *w = new_write(n, db, rp, bytes);
    w->owned = *points;
    w->points = &w->owned;
    w->text = *text;
    w->done = done;
    w->done_ctx = done_ctx;
    *points = (struct tsm_points){0};
    *text = (struct tsm_buf){0};
    propose_write(w);
}

static void on_written(void *ctx, const struct tsm_write_result *r)
{
    tsm_waiter_done(ctx, r->code, r->message);
}

/* SELECT INTO: waits for its answer. */
static int backend_write(void *node, struct tsm_str db, struct tsm_str rp, const struct tsm_points *points,
                         tsm_reject_fn *reject, void *reject_ctx, struct tsm_err *err)
{
    struct tsm_data_node *n = node;
    struct tsm_waiter waiter;
    size_t bytes = memory_of(points, 0);
    int rc = admit(n, bytes, true, err);
    if (rc != TSM_OK)
        return rc;
    waiter_init(&waiter);
    struct tsm_write *w = new_write(n, db, rp, bytes);
    w->points = points;
    w->reject = reject;
    w->reject_ctx = reject_ctx;
    w->done = on_written;
    w->done_ctx = &waiter;
    propose_write(w);
    return waiter_wait(&waiter, err);
}

/* ---- reading ---- */

static int backend_meta(void *node, struct tsm_meta *m, struct tsm_err *err)
{
    return tsm_engine_meta(((struct tsm_data_node *)node)->engine, m, err);
}

static int backend_open_shard(void *node, struct tsm_str db, struct tsm_str rp, uint64_t id,
                              const struct tsm_damage *damage, struct tsm_shard **s, struct tsm_err *err)
{
    return tsm_engine_read_shard(((struct tsm_data_node *)node)->engine, db, rp, id, damage, s, err);
}

static void backend_close_shard(void *node, struct tsm_shard *s)
{
    tsm_engine_release_shard(((struct tsm_data_node *)node)->engine, s);
}

/* ---- health ---- */

static int service_health(void *node, struct tsm_err *err)
{
    struct tsm_data_node *n = node;
    int rc = tsm_node_failure(n, err);
    return rc == TSM_OK ? tsm_raft_health(n->raft, err) : rc;
}

static uint64_t service_meta_version(void *node)
{
    return atomic_load(&((struct tsm_data_node *)node)->meta_version);
}

void tsm_node_service_init(struct tsm_data_node *n, struct tsm_tasks *tasks)
{
    n->backend = (struct tsm_backend){
        .ctx = n,
        .meta = backend_meta,
        .open_shard = backend_open_shard,
        .close_shard = backend_close_shard,
        .change = tsm_node_change,
        .write = backend_write,
    };
    n->service = (struct tsm_service){
        .ctx = n,
        .backend = &n->backend,
        .tasks = tasks,
        .write = service_write,
        .health = service_health,
        .metrics = tsm_node_metrics,
        .vars = tsm_node_vars,
        .stats = tsm_node_stats,
        .meta_version = service_meta_version,
    };
}
