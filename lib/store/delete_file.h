/* store/delete_file.h: a delete in one TSM file of a shard; for delete.c alone. */
#ifndef TSM_STORE_DELETE_FILE_H
#define TSM_STORE_DELETE_FILE_H

#include "store/delete.h"

/* What a file gets: decided and written while writers go on, done in a moment when they wait. */
struct tsm_delete_step {
    char *path;    /* of the TSM file */
    char *tmp;     /* its new tombstones, under a temporary name; NULL: none */
    bool remove;   /* nothing of it is left */
    uint64_t keys; /* that get a tombstone */
};

/* The shard's lock is held from here to the commit: nobody else changes tombstones. path is copied. step is to be released
 * also after an error. */
int tsm_delete_prepare(struct tsm_delete *d, const char *path, struct tsm_delete_step *step,
                       struct tsm_err *err);
/* Durable when it returns. */
int tsm_delete_commit(struct tsm_delete *d, struct tsm_delete_step *step, struct tsm_err *err);
/* Removes what was prepared and not committed. */
void tsm_delete_step_release(const struct tsm_delete *d, struct tsm_delete_step *step);

#endif
