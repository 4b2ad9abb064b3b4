/* query/raw_fill.h: fill() without an aggregate: columns of rows as they are. Private to the executor. */
#ifndef TSM_QUERY_RAW_FILL_H
#define TSM_QUERY_RAW_FILL_H

#include "query/run.h"

struct tsm_raw_last { /* the last value of an input, for fill(previous) */
    bool known;
    union tsm_value v;
    struct tsm_buf
        text[2]; /* of a string; the other one is that of the rows before, which may not be out yet */
    unsigned current;
};

void tsm_raw_last_release(struct tsm_raw_last *l);

/* Puts the number where v, which is the caller's to change, has none. Where v is of another kind the result tells which rows are
 * to show it; it is the caller's (tsm_free). */
uint8_t *tsm_raw_fill_number(const struct tsm_expr *value, struct tsm_vec *v, size_t n);
/* The same with the last value that there was; nulls has room for n. */
void tsm_raw_fill_previous(struct tsm_raw_last *last, struct tsm_vec *v, uint8_t *nulls, size_t n);

#endif
