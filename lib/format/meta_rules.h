/* format/meta_rules.h: what meta_db.c and meta_change.c share: rules on names and durations, arrays in the
 * arena. */
#ifndef TSM_FORMAT_META_RULES_H
#define TSM_FORMAT_META_RULES_H

#include "format/meta_db.h"

/* True when name can be a folder's of its own: not empty, ".", "..", without '/' and NUL. */
bool tsm_meta_name_is_path(struct tsm_str name);

/* The shard group duration for a given one (0: not given) in a policy of this duration (0: infinite). */
int64_t tsm_meta_shard_duration(int64_t given, int64_t policy);

/* A copy of the first `used` bytes of p in a new piece of `size` bytes. */
void *tsm_meta_grow(struct tsm_arena *a, const void *p, size_t used, size_t size);

/* Room for one more element behind n of an array in the arena; the old copy stays there until release. */
#define TSM_META_ROOM(arena, array, n, cap)                                                            \
    do {                                                                                               \
        if ((n) == (cap)) {                                                                            \
            (cap) = (cap) ? 2 * (cap) : 4;                                                             \
            (array) = tsm_meta_grow((arena), (array), (n) * sizeof *(array), (cap) * sizeof *(array)); \
        }                                                                                              \
    } while (0)

#endif
