/* store/delete_file.h: a delete in one TSM file of a shard; for delete.c alone. */
#ifndef TSM_STORE_DELETE_FILE_H
#define TSM_STORE_DELETE_FILE_H

#include "store/delete.h"

/* Deletes from the file at path, durably: by tombstones, or by removing it when nothing is left. The shard's lock is held. */
int tsm_delete_file(struct tsm_delete *d, const char *path, struct tsm_err *err);

#endif
