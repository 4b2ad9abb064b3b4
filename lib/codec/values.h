/*
 * codec/values.h: the five field types and a column of decoded values.
 */
#ifndef TSM_CODEC_VALUES_H
#define TSM_CODEC_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

/* The numbers are those of the block type byte in a TSM file. */
enum tsm_type {
    TSM_FLOAT = 0,
    TSM_INTEGER = 1,
    TSM_BOOLEAN = 2,
    TSM_STRING = 3,
    TSM_UNSIGNED = 4,
    TSM_TYPES = 5,
};

/* "float", "integer", "boolean", "string", "unsigned": InfluxDB's words. */
const char *tsm_type_name(enum tsm_type type);

union tsm_value {
    double f;
    int64_t i;
    uint64_t u;
    bool b;
    struct tsm_str s; /* borrowed */
};

/*
 * A column: n timestamps and n values of one type. A zeroed struct is a valid empty column. The arrays belong
 * to the column. Strings point into memory that the column also owns (text), so they stay valid until the
 * next decode into it, reset or release.
 */
struct tsm_values {
    enum tsm_type type;
    size_t n, cap;
    size_t vbytes; /* allocated for v: room for cap values of the type, or more */
    int64_t *t;
    union {
        double *f;
        int64_t *i;
        uint64_t *u;
        uint8_t *b; /* 0 or 1 */
        struct tsm_str *s;
        void *p;
    } v;
    struct tsm_buf *text; /* buffers that strings point into, each stable once filled */
    size_t ntext, captext;
};

size_t tsm_value_size(enum tsm_type type); /* bytes of one element of v */

/* Empties the column, sets its type and makes room for n values. Memory is kept for reuse. */
void tsm_values_reset(struct tsm_values *c, enum tsm_type type, size_t n);
/* Room for n values in all; keeps the content. */
void tsm_values_reserve(struct tsm_values *c, size_t n);
/* A fresh, empty text buffer of the column for the next strings; its bytes must not move once strings point
 * there. */
struct tsm_buf *tsm_values_text(struct tsm_values *c);
/* Appends one value; a string's bytes are copied. */
void tsm_values_add(struct tsm_values *c, int64_t t, union tsm_value v);
/* Appends values [from, to) of src, which has the same type; string bytes are copied. */
void tsm_values_append(struct tsm_values *c, const struct tsm_values *src, size_t from, size_t to);
union tsm_value tsm_values_get(const struct tsm_values *c, size_t i);
/* The first index whose time is >= t (n when none); times ascend. */
size_t tsm_values_lower_bound(const struct tsm_values *c, int64_t t);
/* Sorts by time, stably, and keeps the last of equal times. Does nothing when already strictly ascending. */
void tsm_values_sort_dedup(struct tsm_values *c);
/* Merges newer over older (both strictly ascending, same type) into out; at equal times newer wins. Strings
 * are copied. */
void tsm_values_merge(struct tsm_values *out, const struct tsm_values *older, const struct tsm_values *newer);
/* Removes the values with tmin <= t <= tmax. */
void tsm_values_delete(struct tsm_values *c, int64_t tmin, int64_t tmax);
void tsm_values_release(struct tsm_values *c);

#endif
