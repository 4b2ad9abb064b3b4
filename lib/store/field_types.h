/*
 * store/field_types.h: which type each field of each measurement has in one shard.
 *
 * As in InfluxDB, a field has one type per measurement and shard, whatever the series.
 */
#ifndef TSM_STORE_FIELD_TYPES_H
#define TSM_STORE_FIELD_TYPES_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/map.h"
#include "codec/values.h"

struct tsm_field_def {
    struct tsm_str name;
    enum tsm_type type;
    uint32_t column; /* where a series had it last: a hint, see find_column() in memtable.c */
};

/* A zeroed struct is empty. Definitions stay in place until the release. */
struct tsm_field_types {
    atomic_uint shares; /* of one that was made by tsm_field_types_new() */
    struct tsm_map map;
    struct tsm_field_def **defs;
    size_t n, cap;
    struct tsm_arena arena;
    struct tsm_buf key; /* scratch */
};

/* measurement is as escaped in the series key. NULL: not known. */
struct tsm_field_def *tsm_field_types_find(struct tsm_field_types *t, struct tsm_str measurement,
                                           struct tsm_str field);
/* The one that is known already, or a new one of this type. */
struct tsm_field_def *tsm_field_types_add(struct tsm_field_types *t, struct tsm_str measurement,
                                          struct tsm_str field, enum tsm_type type);
size_t tsm_field_types_bytes(const struct tsm_field_types *t);
void tsm_field_types_release(struct tsm_field_types *t);

/* On the heap, counting those who refer to its definitions: the last one who gives it up frees it. */
struct tsm_field_types *tsm_field_types_new(void);
struct tsm_field_types *tsm_field_types_share(struct tsm_field_types *t);
void tsm_field_types_free(struct tsm_field_types *t); /* NULL is allowed */

/* The measurement of a series key, as escaped there. */
struct tsm_str tsm_key_measurement(struct tsm_str series_key);

#endif
