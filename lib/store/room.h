/*
 * store/room.h: room on the disk that a writer writes to: a reserve that it leaves free, and the wait while there is
 * none.
 *
 * The reserve is what keeps a promise: all that is in memory can be written out although others have filled the disk. So
 * a writer takes in more only while the disk has the reserve and what memory holds besides. It may go into the
 * reserve itself to write that out.
 */
#ifndef TSM_STORE_ROOM_H
#define TSM_STORE_ROOM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "sys/fs.h"

/* The lesser of the two. */
struct tsm_reserve {
    uint64_t bytes;
    unsigned percent; /* of the disk */
};
#define TSM_RESERVE_DEFAULT ((struct tsm_reserve){256 << 20, 5})

/* From "1G" or "10%", of which one alone counts then; false: it is neither. */
bool tsm_reserve_parse(struct tsm_str text, struct tsm_reserve *r);
/* In bytes, of a disk that has so many. */
uint64_t tsm_reserve_bytes(struct tsm_reserve r, uint64_t total);

enum { TSM_ROOM_WAIT_MS = 200 };

enum tsm_room_event {
    TSM_ROOM_NONE,  /* the wait begins; the message says why */
    TSM_ROOM_STILL, /* it goes on */
    TSM_ROOM_AGAIN, /* it has ended */
};

/* Called by any thread. For NONE and STILL it lets some time pass, about TSM_ROOM_WAIT_MS, and returns true to look
 * again, or false to give up. message is NULL for STILL. */
typedef bool tsm_room_fn(void *ctx, enum tsm_room_event event, const char *message);

struct tsm_room {
    const struct tsm_fs *fs;
    const char *dir;
    uint64_t reserve;  /* bytes */
    tsm_room_fn *wait; /* NULL: nobody waits, there always seems to be room */
    void *ctx;
    atomic_bool waiting; /* it was told */
    atomic_int tries;    /* in vain, one after the other */
    /* Of the writer alone: what the disk said last. */
    uint64_t free, unflushed; /* bytes, and the ones that memory held then */
    int64_t asked;            /* monotonic, nanoseconds; 0: never */
};

/* dir exists and stays in place. */
void tsm_room_init(struct tsm_room *r, const struct tsm_fs *fs, const char *dir, struct tsm_reserve reserve,
                   tsm_room_fn *wait, void *ctx);

/* Whether a writer whose memory holds so many bytes may take in more. The disk is asked now and then only. */
bool tsm_room_enough(struct tsm_room *r, uint64_t unflushed);
/* Waits a moment because there is not enough. False: give up, and *err is filled. */
bool tsm_room_wait(struct tsm_room *r, struct tsm_err *err);
/* Something failed for want of room, err says what. Waits until it is worth another try: more is free than at first, or, as
 * there are quotas, some time has passed. False at once when nobody waits, false to give up. */
bool tsm_room_wait_after(struct tsm_room *r, const struct tsm_err *err);
/* The wait, if there was one, is over. */
void tsm_room_found(struct tsm_room *r);

#endif
