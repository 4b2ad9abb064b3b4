/*
 * store/column.h: the values of one series and field in a memtable.
 *
 * A column takes values in order of arrival and keeps them in two parts. The ordered part holds every value
 * that was newer than all before it: full blocks are encoded at once, and a tail of less than a block stays
 * raw. The late part holds the others, raw. So at equal times the late part wins over the ordered one, and
 * within the late part the one that came last: no value of the ordered part can have come after a
 * late one of its time.
 *
 * Timestamps of the tail are a run (first, step) as long as they are evenly spaced. Raw values stand in
 * chunks whose sizes follow from their position alone (column_chunk in column.c), so that a chunk needs no
 * fill mark.
 *
 * A column that has been copied for a reader goes on without changing anything that the copy shows: what it has is added to, never
 * changed in place, and given back only to a slab that is held.
 */
#ifndef TSM_STORE_COLUMN_H
#define TSM_STORE_COLUMN_H

#include "base/arena.h"
#include "codec/block.h"
#include "store/field_types.h"
#include "store/slab.h"

enum { TSM_BLOCK_TEXT = 256 << 10 }; /* a block of strings is closed when it holds so many bytes */

/* A raw value: eight bytes, whatever the type; of a string, the address of its length and bytes. */
union tsm_slot {
    double f;
    int64_t i;
    uint64_t u;
    const uint8_t *s;
};

struct tsm_chunk;
struct tsm_column_text;

/* Everything that few columns have. */
struct tsm_column_side {
    struct tsm_column_text *text;      /* of the tail */
    struct tsm_column_text *late_text; /* of the late part */
    struct tsm_chunk *late;
    size_t text_bytes; /* strings of the tail, those overwritten at the newest time included */
    size_t n;          /* late values */
    int64_t oldest;    /* of the late values */
};

/* An encoded block of the ordered part. */
struct tsm_encoded {
    struct tsm_encoded *older;
    int64_t tmin, tmax;
    uint32_t n, len;
    uint8_t bytes[];
};

/* One cache line. A zeroed struct with field set and newest INT64_MIN is an empty column. */
struct tsm_column {
    const struct tsm_field_def *field;
    int64_t first;              /* of the tail */
    uint64_t step;              /* of the tail, modulo 2^64; when it has two values or more */
    int64_t newest;             /* of the ordered part */
    struct tsm_chunk *tail;     /* its newest chunk */
    struct tsm_encoded *blocks; /* the newest */
    struct tsm_column_side *side;
    uint16_t n; /* values in the tail */
    bool irregular;
    uint32_t number; /* the memtable's, in the order of their making */
};

/* What the columns of a memtable live in. */
struct tsm_column_memory {
    struct tsm_slab slab;
    struct tsm_arena arena;   /* encoded blocks */
    struct tsm_values values; /* scratch */
    struct tsm_buf block;     /* scratch */
    uint64_t late;            /* values in late parts */
    uint64_t most_late;       /* in one column */
};

void tsm_column_add(struct tsm_column_memory *m, struct tsm_column *c, int64_t t, union tsm_value v);
/* Prefetches where the next value goes. */
void tsm_column_prefetch(const struct tsm_column *c);

static inline bool tsm_column_is_empty(const struct tsm_column *c)
{
    return c->n == 0 && !c->blocks && !c->side;
}

/* Makes *out a column that reads as c does now, also while c goes on, as long as the slab is held and field is there. Side is room for
 * what it may need. */
void tsm_column_copy(const struct tsm_column *c, const struct tsm_field_def *field, struct tsm_column *out,
                     struct tsm_column_side *side);

/* Bytes that are needed for a while to put the late parts in order, with so many columns at a time. */
size_t tsm_column_scratch(const struct tsm_column_memory *m, unsigned jobs);
size_t tsm_column_memory_bytes(const struct tsm_column_memory *m);
void tsm_column_memory_release(struct tsm_column_memory *m);

/* Reading, at a flush or of a copy. Strings in out point into the column. */
void tsm_column_tail(const struct tsm_column *c, struct tsm_values *out);
/* In ascending order, without duplicates. */
void tsm_column_late(const struct tsm_column *c, struct tsm_values *out);
/* The smallest time in the column, which is not empty. */
int64_t tsm_column_oldest(const struct tsm_column *c);

/* What the column holds raw, roughly. */
size_t tsm_column_raw_bytes(const struct tsm_column *c);

/* Where the block that starts with value `from` ends: after TSM_BLOCK_POINTS values, or TSM_BLOCK_TEXT. */
size_t tsm_block_cut(const struct tsm_values *c, size_t from);

#endif
