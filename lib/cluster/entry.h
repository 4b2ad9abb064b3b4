/*
 * cluster/entry.h: what stands in an entry of the raft log. libraft checks its bytes.
 *
 *   byte      version, 1
 *   byte      kind
 *   2 bytes   0
 *   4 bytes   length of what follows, big-endian; behind it zeros up to a multiple of 8
 *
 *   batch     uvarint length, database; uvarint length, retention policy (empty: the default);
 *             uvarint bytes of the points; the points (format/batch.h) as an LZ4 block
 *   change    query/change.h
 */
#ifndef TSM_CLUSTER_ENTRY_H
#define TSM_CLUSTER_ENTRY_H

#include "format/line.h"
#include "query/change.h"

enum tsm_entry_kind { TSM_ENTRY_BATCH = 1, TSM_ENTRY_CHANGE = 2 };

struct tsm_raft_entry {
    enum tsm_entry_kind kind;
    struct tsm_str db, rp;
    struct tsm_str packed; /* the points */
    size_t size;           /* of the points, unpacked */
    struct tsm_change change;
};

/* Working memory, reusable; by one thread at a time. */
struct tsm_entry_encoder;
struct tsm_entry_encoder *tsm_entry_encoder_new(void);
void tsm_entry_encoder_free(struct tsm_entry_encoder *e);

/* The points [from, to) as an entry, at bytes of tsm_alloc(). */
uint8_t *tsm_entry_batch(struct tsm_entry_encoder *e, struct tsm_str db, struct tsm_str rp,
                         const struct tsm_points *points, size_t from, size_t to, size_t *len);
uint8_t *tsm_entry_change(const struct tsm_change *c, size_t *len);

/* Texts borrow from p. Any bytes may be given: TSM_ECORRUPT. */
int tsm_entry_decode(const uint8_t *p, size_t len, struct tsm_raft_entry *entry, struct tsm_err *err);
/* The points of a batch, added to out; they borrow from *unpacked, which they replace. */
int tsm_entry_points(const struct tsm_raft_entry *entry, struct tsm_buf *unpacked, struct tsm_points *out,
                     struct tsm_err *err);

/* Whether an entry can hold the point. Those that it cannot would be rejected anyway: with this message, appended to why. */
bool tsm_entry_can_hold(const struct tsm_points *points, const struct tsm_point *p, struct tsm_buf *why);

#endif
