/* store/shard_keys.h: the union of a shard's keys; for shard.c alone. */
#ifndef TSM_STORE_SHARD_KEYS_H
#define TSM_STORE_SHARD_KEYS_H

#include "store/shard.h"

/* Fills nkeys, places and first from files and log. TSM_ECORRUPT when a key has different types. */
int tsm_shard_unite_keys(struct tsm_shard *s, struct tsm_err *err);

#endif
