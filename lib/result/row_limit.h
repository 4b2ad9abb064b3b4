/*
 * result/row_limit.h: where influxd's max-row-limit cuts an answer, and what it says of that.
 *
 * influxd puts an answer together from pieces of one series and at most 10000 rows, and stops behind the piece that reaches the
 * limit, cutting it. The series is "partial" when rows of it are missing. The statement is "partial" when it goes on behind that
 * piece, and the piece was not its first: influxd clears that mark, but in the wrong place.
 */
#ifndef TSM_RESULT_ROW_LIMIT_H
#define TSM_RESULT_ROW_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

enum { TSM_LIMIT_PIECE = 10000 };

struct tsm_row_limit {
    uint64_t limit; /* 0: none */
    uint64_t rows;  /* written */
    uint64_t piece; /* rows of the present piece */
    bool pieces;    /* of the statement: its answer is in pieces (SELECT) */
    bool later;     /* the present piece is not the first */
    bool any;       /* there is a piece */
};

enum tsm_limit_says {
    TSM_LIMIT_WRITE,
    TSM_LIMIT_SKIP, /* the row is cut off; how the piece ends is still of interest */
    TSM_LIMIT_STOP,
    TSM_LIMIT_STOP_PARTIAL, /* and the statement is marked */
};

static inline bool tsm_limit_reached(const struct tsm_row_limit *l)
{
    return l->limit && l->rows >= l->limit;
}

static inline void tsm_limit_statement(struct tsm_row_limit *l, bool pieces)
{
    l->pieces = pieces;
    l->later = l->any = false;
    l->piece = 0;
}

static inline enum tsm_limit_says tsm_limit_stop(const struct tsm_row_limit *l)
{
    return l->pieces && l->later ? TSM_LIMIT_STOP_PARTIAL : TSM_LIMIT_STOP;
}

static inline enum tsm_limit_says tsm_limit_series(struct tsm_row_limit *l)
{
    if (tsm_limit_reached(l))
        return tsm_limit_stop(l);
    l->later = l->any;
    l->any = true;
    l->piece = 0;
    return TSM_LIMIT_WRITE;
}

static inline enum tsm_limit_says tsm_limit_row(struct tsm_row_limit *l)
{
    if (l->piece == TSM_LIMIT_PIECE) {
        if (tsm_limit_reached(l))
            return tsm_limit_stop(l);
        l->later = true;
        l->piece = 0;
    }
    l->piece++;
    if (tsm_limit_reached(l))
        return l->pieces && l->later ? TSM_LIMIT_SKIP : TSM_LIMIT_STOP;
    l->rows++;
    return TSM_LIMIT_WRITE;
}

#endif
