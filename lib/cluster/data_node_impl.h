/* cluster/data_node_impl.h: the inside of a data node, shared by data_node.c, apply.c, service.c and keeper.c alone. */
#ifndef TSM_CLUSTER_DATA_NODE_IMPL_H
#define TSM_CLUSTER_DATA_NODE_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "cluster/data_node.h"
#include "cluster/entry.h"
#include "cluster/raft_node.h"
#include "cluster/snapshot.h"

struct tsm_own;

/* A snapshot that is being taken. */
struct tsm_taking {
    bool marked; /* the apply thread has come to its index */
    int code;    /* of that */
    struct tsm_err err;
    uint64_t index, mark;
    struct tsm_meta meta;
    struct tsm_snapshot list;
};

/* What the apply thread has to do, in order. */
struct tsm_item {
    struct tsm_item *next;
    uint64_t index;
    const uint8_t *p; /* an entry; of the log */
    size_t len;
    struct tsm_own *own;       /* this node's, or NULL: the item is of its own */
    struct tsm_taking *taking; /* a snapshot instead */
};

/* A write from its arrival to its answer; made of one entry or several. */
struct tsm_write {
    struct tsm_data_node *node;
    struct tsm_str db, rp;
    const struct tsm_points *points;
    struct tsm_points owned; /* points is this, or the caller's who waits, or without some of them: */
    struct tsm_points view;  /* shares all but the array of points with one of these */
    struct tsm_point *kept;  /* that array, or NULL */
    struct tsm_buf text;
    size_t bytes; /* counted as pending */
    tsm_written_fn *done;
    void *done_ctx;
    tsm_reject_fn *reject; /* or NULL */
    void *reject_ctx;
    atomic_uint
        left; /* entries that have not been applied and have not failed, and one for who proposes them */

    pthread_mutex_t mutex; /* entries fail on one thread and are applied on another */
    int code;
    char *message;
    uint64_t rejected, expired;
    char *cause; /* of the first rejected point that had not expired */
};

/* An entry that this node has proposed. */
struct tsm_own {
    struct tsm_raft_proposal proposal; /* first */
    struct tsm_item item;
    struct tsm_data_node *node;
    struct tsm_write *write; /* a part of one: */
    size_t from, to;
    struct tsm_waiter *waiter; /* or a change */
};

/* Somebody who waits for a change, or for a write that is not HTTP's. */
struct tsm_waiter {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool done;
    int code;
    struct tsm_err err;
};

struct tsm_node_counts {
    atomic_ullong writes, rows, values, rejected, refused, failed, changes;
    atomic_ullong replayed; /* entries */
};

struct tsm_data_node {
    const struct tsm_fs *fs;
    char *dir;
    struct tsm_engine *engine;
    struct tsm_raft_node *raft;
    struct tsm_service service;
    struct tsm_backend backend;
    size_t pending_max, entry_max;
    int64_t flush_interval, retention_interval, continuous_interval;
    size_t query_memory;
    unsigned jobs;
    void (*log)(void *ctx, const char *message);
    void *log_ctx;
    struct tsm_node_counts counts;
    atomic_ullong meta_version; /* counts changes of meta.db */

    pthread_t apply_thread;
    bool applying; /* that thread runs */
    pthread_mutex_t mutex;
    pthread_cond_t work, idle; /* for the apply thread; for who waits for it */
    struct tsm_item *first, **last;
    bool busy, stop;
    struct tsm_engine_stats stats; /* the engine's, as of late */
    int code;                      /* nothing can be applied any more, because of: */
    struct tsm_err err;

    pthread_mutex_t flow;
    pthread_cond_t flowed; /* something pending is done */
    unsigned waiting;      /* for that */
    size_t pending;
    bool closing;
    struct tsm_room room;
    struct tsm_entry_encoder *encoders[8]; /* not in use */
    unsigned nencoders;

    atomic_llong dirty_since;  /* monotonic: the oldest point that may not be in a file; 0: none */
    struct tsm_snapshot known; /* the last one, for its digests; of the snapshots' thread */

    pthread_t keeper_thread, continuous_thread;
    struct tsm_query_control continuous; /* of the continuous query that runs */
    pthread_cond_t leave;                /* under flow */
    bool keeping, computing;
};

void tsm_node_say(struct tsm_data_node *n, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool tsm_node_is_closing(struct tsm_data_node *n);

/* ---- apply.c ---- */

void *tsm_node_apply_main(void *node);
void tsm_node_push(struct tsm_data_node *n, struct tsm_item *item);
/* Waits until everything that has been pushed is applied. */
void tsm_node_drain(struct tsm_data_node *n);
/* The failure after which nothing is applied any more, if there was one. */
int tsm_node_failure(struct tsm_data_node *n, struct tsm_err *err);

/* ---- service.c ---- */

void tsm_node_service_init(struct tsm_data_node *n, struct tsm_tasks *tasks);
/* A part of a write has been applied or has failed. */
void tsm_write_part_done(struct tsm_write *w, int code, const char *message);
void tsm_waiter_done(struct tsm_waiter *w, int code, const char *message);
int tsm_node_change(void *node, const struct tsm_change *c, struct tsm_err *err);

/* ---- figures.c: as struct tsm_service wants them ---- */

void tsm_node_metrics(void *node, struct tsm_buf *out);
void tsm_node_vars(void *node, struct tsm_buf *out);
int tsm_node_stats(void *node, struct tsm_str module, bool diagnostics, struct tsm_sink *sink,
                   struct tsm_err *err);

/* ---- keeper.c: threads ---- */

void *tsm_node_keeper_main(void *node);
void *tsm_node_continuous_main(void *node);

#endif
