/*
 * query/sink.h: where the answer of a query goes, row batch by row batch: result writers implement it
 * (result/writer.h), the executor, SHOW and DDL fill it.
 *
 *   statement_begin (series_begin rows* series_end)* message* statement_end   for every statement, in order
 *
 * A head and its texts stay in place until series_end, rows until the call returns.
 * Every call returns TSM_OK or an error that stops the query (TSM_EPIPE when the reader has gone away).
 */
#ifndef TSM_QUERY_SINK_H
#define TSM_QUERY_SINK_H

#include "base/err.h"
#include "base/zone.h"
#include "codec/values.h"
#include "format/series_key.h"

enum tsm_cell_type { /* of a result column */
                     TSM_CELL_FLOAT = TSM_FLOAT,
                     TSM_CELL_INTEGER = TSM_INTEGER,
                     TSM_CELL_BOOLEAN = TSM_BOOLEAN,
                     TSM_CELL_STRING = TSM_STRING,
                     TSM_CELL_UNSIGNED = TSM_UNSIGNED,
                     TSM_CELL_TIME, /* int64 nanoseconds */
};

enum tsm_column_role {
    TSM_ROLE_OTHER, /* a computed value, a name in SHOW … */
    TSM_ROLE_TIME,
    TSM_ROLE_TAG,
    TSM_ROLE_FIELD,
    TSM_ROLE_JSON, /* strings that are JSON: a list of strings */
};

struct tsm_column_head {
    struct tsm_str name;
    enum tsm_column_role role;
};

struct tsm_series_head {
    struct tsm_str name;        /* measurement, or "databases" …; may be empty (then JSON has no name) */
    const struct tsm_tag *tags; /* GROUP BY tags, ascending by key */
    size_t ntags;
    const struct tsm_column_head *columns;
    size_t ncolumns;
    const struct tsm_zone *zone; /* that times are shown in; NULL: UTC */
    bool several; /* another series of the statement may have another name; set by tsm_query_run() */
};

/* One column of a batch: n values of one type; nulls may be NULL (no nulls) or has a byte per row, non-zero:
 * null. */
struct tsm_cells {
    enum tsm_cell_type type;
    union {
        const double *f;
        const int64_t *i; /* integer and time */
        const uint64_t *u;
        const uint8_t *b;
        const struct tsm_str *s;
    } v;
    const uint8_t *nulls;
};

struct tsm_rows {
    size_t n;
    const struct tsm_cells *columns; /* as many as in the head */
};

struct tsm_sink {
    int (*statement_begin)(struct tsm_sink *s, unsigned id, struct tsm_err *err);
    int (*series_begin)(struct tsm_sink *s, const struct tsm_series_head *head, struct tsm_err *err);
    int (*rows)(struct tsm_sink *s, const struct tsm_rows *rows, struct tsm_err *err);
    int (*series_end)(struct tsm_sink *s, struct tsm_err *err);
    /* error: influxd's text when the statement failed, else NULL. */
    int (*statement_end)(struct tsm_sink *s, const char *error, struct tsm_err *err);
    /* influxd's messages beside an answer; level: "warning". NULL: they are of no use there. */
    int (*message)(struct tsm_sink *s, const char *level, const char *text, struct tsm_err *err);
};

#endif
