/*
 * base/map.h: a hash table from byte strings to 32-bit numbers (indexes into an array of the caller's).
 * Keys are not copied: the caller keeps their bytes alive and in place. A zeroed struct is a valid
 * empty map. Open addressing, at most 3/4 full. Hashes are XXH3-64 of the key.
 */
#ifndef TSM_BASE_MAP_H
#define TSM_BASE_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct tsm_map_slot;

struct tsm_map {
    struct tsm_map_slot *slots;
    uint32_t mask; /* number of slots - 1 */
    uint32_t used;
};

#define TSM_MAP_NONE UINT32_MAX

uint64_t tsm_hash(struct tsm_str key);

/* The number stored for key, or TSM_MAP_NONE. hash must be tsm_hash(key). */
uint32_t tsm_map_get(const struct tsm_map *m, struct tsm_str key, uint64_t hash);

/* Stores value (not TSM_MAP_NONE) for key, which must not be in the map. */
void tsm_map_put(struct tsm_map *m, struct tsm_str key, uint64_t hash, uint32_t value);

size_t tsm_map_bytes(const struct tsm_map *m); /* memory held */
void tsm_map_release(struct tsm_map *m);

#endif
