/* cluster/raft_group.h: how a raft group begins, and how its members reach each other. */
#ifndef TSM_CLUSTER_RAFT_GROUP_H
#define TSM_CLUSTER_RAFT_GROUP_H

#include "sys/fs.h"

struct raft_uv_transport;

/* Makes the log of a group of one in dir, when there is none: completely or not at all. */
int tsm_raft_bootstrap(const struct tsm_fs *fs, const char *dir, uint64_t id, const char *address,
                       struct tsm_err *err);

/* The transport of a group of one: nobody listens, nobody is reached. */
void tsm_raft_no_peers(struct raft_uv_transport *t);

#endif
