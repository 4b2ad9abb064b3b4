/*
 * cluster/data_node.h: a data node: a raft group (of one, for now) whose state machine is an engine over a data directory.
 *
 *   raft_node.[ch]  libraft and its libuv loop on a thread of its own: bytes in, committed bytes out, snapshots
 *   raft_group.[ch] the beginning of a group; raft_segment.[ch]: whether libraft would pass over damage to its log
 *   entry.[ch]      what stands in a raft entry: a batch of points (format/batch.h, LZ4) for a database and policy, or a change
 *                   (query/change.h)
 *   data_node.c     opening and closing; the machine of raft_node.h
 *   snapshot.[ch]   a snapshot: meta.db and the list of files with sizes and digests
 *   apply.c         the thread that applies committed entries to the engine
 *   service.c       net/service.h: writes are parsed already, encoded here and proposed; queries read the engine
 *   keeper.c        what is done by the clock: flushes, retention, continuous queries
 *   figures.c       what there is to count
 *
 * Rules that hold it together:
 * - The raft log is the write-ahead log: an answer is given when the entry is committed (fsynced) and applied.
 * - Redo is idempotent: after kill -9 every entry since the last snapshot is applied again over whatever had been flushed, and
 *   ends in the same state. meta.db on disk is at least as new as the snapshot's copy: the one with the higher index is taken.
 * - A snapshot freezes the memtable at its index, waits (not on raft's thread) for the flush, and only then lists the files.
 * - Memory of the log is bounded by bytes, not by entries: the threshold for snapshots is set accordingly; what is on its way is
 *   bounded too, beyond that writes are refused with TSM_EAGAIN and nothing is lost.
 * - DIR/raft/unflushed exists from before the first entry until a clean stop: with it other tools know that the directory
 *   alone does not hold everything (store/data_dir.h: tsm_data_unflushed()).
 */
#ifndef TSM_CLUSTER_DATA_NODE_H
#define TSM_CLUSTER_DATA_NODE_H

#include "net/service.h"
#include "store/engine.h"

struct tsm_data_node_options {
    const struct tsm_fs *fs;
    const char *dir;
    size_t memory;               /* of the memtables */
    size_t log_memory;           /* of raft entries held: 0: 64 MiB */
    size_t pending;              /* bytes of writes on their way: 0: 64 MiB */
    size_t entry_max;            /* bytes of an entry: 0: 1 MiB; a larger write becomes several */
    int64_t flush_interval;      /* points go to files after so long at the latest; 0: by size alone */
    int64_t retention_interval;  /* what has fallen out of its policy is looked for so often; 0: never */
    int64_t continuous_interval; /* continuous queries are looked at so often; 0: never */
    size_t query_memory;         /* of one of them */
    const char *address;         /* of this node, for its peers; NULL: it has none */
    unsigned jobs;
    struct tsm_reserve reserve;
    struct tsm_tasks *tasks;
    void (*log)(void *ctx, const char *message);
    void *log_ctx;
};

struct tsm_data_node;

/* Takes the directory's lock, replays; ready for writes and queries when it returns. */
int tsm_data_node_open(const struct tsm_data_node_options *opt, struct tsm_data_node **n,
                       struct tsm_err *err);
struct tsm_service *tsm_data_node_service(struct tsm_data_node *n);
/* Takes what has been written into files, and waits for it. */
int tsm_data_node_flush(struct tsm_data_node *n, struct tsm_err *err);
/* A clean stop: refuses new writes, waits for those on their way, flushes, takes a snapshot. influxd could open the directory.
 * When it fails everything acknowledged is in the log, and the next start takes it from there. Frees in any case. */
int tsm_data_node_close(struct tsm_data_node *n, struct tsm_err *err);

#endif
