/*
 * cli/rowset.h: building the rows of a list cell by cell, for the lists that are not answers of a query.
 *
 * A cell is given for each column in turn, then tsm_rowset_next(). Texts are copied.
 */
#ifndef TSM_CLI_ROWSET_H
#define TSM_CLI_ROWSET_H

#include "base/arena.h"
#include "query/sink.h"

enum { TSM_ROWSET_COLUMNS = 16 };

struct tsm_rowset {
    struct tsm_sink *sink;
    struct tsm_series_head head;
    struct tsm_column_head names[TSM_ROWSET_COLUMNS];
    struct tsm_cells cells[TSM_ROWSET_COLUMNS];
    void *data[TSM_ROWSET_COLUMNS]; /* what cells point to */
    size_t n;                       /* rows collected */
    size_t column;                  /* where the next cell goes */
    struct tsm_arena arena;
};

/* columns: "key:s values:i bytes:f first:t": names, each with the type of its cells (string, integer, float,
 * time). several: there may be more lists of the same columns, told apart by name. */
int tsm_rowset_begin(struct tsm_rowset *r, struct tsm_sink *sink, struct tsm_str name, bool several,
                     const char *columns, struct tsm_err *err);
void tsm_rowset_text(struct tsm_rowset *r, struct tsm_str s);
void tsm_rowset_int(struct tsm_rowset *r, int64_t v);
void tsm_rowset_float(struct tsm_rowset *r, double v);
void tsm_rowset_time(struct tsm_rowset *r, int64_t t);
int tsm_rowset_next(struct tsm_rowset *r, struct tsm_err *err);
/* Hands the last rows on, ends the list and releases; also to be called after an error, with its code. */
int tsm_rowset_end(struct tsm_rowset *r, int code, struct tsm_err *err);

#endif
