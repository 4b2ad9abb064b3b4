/*
 * cluster/raft_segment.h: what libraft does not tell when it reads its log: whether something sound comes behind what does not
 * check.
 *
 * libraft ends an open segment at the first batch that does not check, as a kill leaves a batch that was cut. But that is the last
 * one always: when a sound batch follows, what is before it is damage, and what libraft would leave out was acknowledged.
 */
#ifndef TSM_CLUSTER_RAFT_SEGMENT_H
#define TSM_CLUSTER_RAFT_SEGMENT_H

#include "sys/fs.h"

/* Looks at the open segments in dir. TSM_ECORRUPT names segment and offset. */
int tsm_raft_check_segments(const struct tsm_fs *fs, const char *dir, struct tsm_err *err);

/* The same for the bytes of one. */
int tsm_raft_check_segment(const uint8_t *p, size_t len, struct tsm_err *err);

#endif
