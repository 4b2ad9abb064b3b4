/*
 * cluster/raft_node.h: a member of a raft group: libraft and its libuv loop on a thread of its own.
 *
 * Bytes go in from any thread (proposals), and come out, committed and in order, on the node's thread. What has been proposed
 * while the log was being written goes to it with the next write, so proposals share an fsync. The log is in DIR, as libraft
 * lays it out; the first start makes a group of one there, completely or not at all.
 *
 * The log is also in memory, until a snapshot takes the place of its beginning: when `snapshot_bytes` have come since the last one
 * the node takes one, and beyond `log_bytes` proposals wait for that. While the log cannot be written (a full disk, an error of it)
 * nothing is taken in, what was on its way fails, and the node opens the log anew until that succeeds; what was committed before
 * is not given a second time.
 */
#ifndef TSM_CLUSTER_RAFT_NODE_H
#define TSM_CLUSTER_RAFT_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "sys/fs.h"

struct tsm_raft_node;

/* Embedded by whoever proposes; it stays in place until it has come out as committed, or failed. */
struct tsm_raft_proposal {
    struct tsm_raft_proposal *next;
    uint8_t *bytes; /* of tsm_alloc(); the node's once it is proposed */
    size_t len;     /* a multiple of TSM_RAFT_ALIGN */
    /* It is not committed as far as this node knows (it may be, after a restart). By the node's thread. */
    void (*failed)(struct tsm_raft_proposal *p, int code, const char *message);
};

enum { TSM_RAFT_ALIGN = 8 };

/* All but log are called by the node's thread (by the one that opens the node, until that returns), unless it says otherwise. */
struct tsm_raft_machine {
    void *ctx;
    /* An entry is committed; own: the proposal of this node that it is, or NULL. The bytes stay in place until a snapshot
     * of this index or a later one has ended, or settle() has returned. They do not begin with a zero. */
    void (*committed)(void *ctx, uint64_t index, const uint8_t *p, size_t len, struct tsm_raft_proposal *own);
    /* The log is to be opened anew, which takes the bytes of its entries away: waits until nobody reads them any more. */
    void (*settle)(void *ctx);
    /* A snapshot of everything up to this index begins; the result is given to the next two. */
    void *(*snapshot_begin)(void *ctx, uint64_t index);
    /* Makes it, on a thread of its own: it may take long. */
    int (*snapshot_take)(void *ctx, void *snapshot, struct tsm_buf *out, struct tsm_err *err);
    void (*snapshot_end)(void *ctx, void *snapshot, bool stored);
    /* The snapshot that the log begins with. */
    int (*restore)(void *ctx, const uint8_t *p, size_t len, struct tsm_err *err);
    /* Something the administrator should know. By any thread. */
    void (*log)(void *ctx, const char *message);
};

struct tsm_raft_options {
    const struct tsm_fs *fs; /* for what libraft does not do itself */
    const char *dir;         /* DIR/raft; its parent exists */
    uint64_t id;             /* of this node, from 1 */
    const char *address;     /* of this node, for its peers; kept by the first start */
    size_t snapshot_bytes, log_bytes;
    struct tsm_raft_machine machine;
};

/* Opens the log and gives all that is committed after its snapshot. TSM_ECORRUPT, TSM_EIO, TSM_ENOSPC. */
int tsm_raft_open(const struct tsm_raft_options *opt, struct tsm_raft_node **n, struct tsm_err *err);

/* Any thread. TSM_EAGAIN and others: it was not taken, and is the caller's as before. */
int tsm_raft_propose(struct tsm_raft_node *n, struct tsm_raft_proposal *p, struct tsm_err *err);

/* Takes a snapshot when there is something that the last one does not have, and waits for it when asked to. Any thread but the
 * node's. */
int tsm_raft_snapshot(struct tsm_raft_node *n, bool wait, struct tsm_err *err);

struct tsm_raft_stats {
    bool writable;                      /* false: the log could not be written */
    uint64_t term, committed, snapshot; /* indexes */
    uint64_t entries, bytes, writes;    /* committed; times the log was written */
    uint64_t snapshots, failures;       /* stored; times the log had to be opened anew */
    uint64_t log_bytes;                 /* in memory now */
};
void tsm_raft_stats(struct tsm_raft_node *n, struct tsm_raft_stats *st); /* any thread */
/* TSM_OK, or why nothing can be proposed. Any thread. */
int tsm_raft_health(struct tsm_raft_node *n, struct tsm_err *err);

/* Ends it: what has not been written fails. Waits for a snapshot that is being taken. Bytes of entries are gone afterwards. */
void tsm_raft_close(struct tsm_raft_node *n);

#endif
