/*
 * query/shape.h: the columns of the answer: wildcards expanded against the plan's fields and tags, types
 * found, names made unique, and each column reduced to its inputs. Inputs are first the fields and tags that
 * stand on their own (aux), then the calls.
 */
#ifndef TSM_QUERY_SHAPE_H
#define TSM_QUERY_SHAPE_H

#include "query/eval.h"
#include "query/plan.h"
#include "query/sink.h"
#include "query/transform.h"

struct tsm_aux {
    struct tsm_str name;
    enum tsm_data_type type; /* TSM_DATA_TAG, a field's type, or unknown: there is no such field or tag */
    enum tsm_vec_type vec;
    size_t index; /* among the plan's fields or tags */
};

struct tsm_call_step { /* of the points to others */
    enum tsm_function fn;
    struct tsm_transform_spec spec;
};

/* A call is a chain: fn makes points of a field's values (TSM_FN_RAW: they are the points), the steps make other points of
 * those. moving_average(derivative(mean(x)), 3): fn is mean, the steps are derivative and moving_average. */
struct tsm_call {
    struct tsm_str text; /* as influxql prints it: equal calls are computed once */
    enum tsm_function fn;
    enum tsm_function outer; /* the outermost function: fn, or that of the last step */
    bool count_distinct;     /* count(distinct(x)); fn is TSM_FN_COUNT */
    struct tsm_str field;
    enum tsm_data_type arg;   /* type of the field; TSM_DATA_TAG or unknown: there is nothing to read */
    enum tsm_vec_type points; /* what fn makes */
    enum tsm_vec_type out;    /* what comes out of all */
    bool known;               /* false: not even its type is, so its column stays null whatever fill() says */
    size_t index;             /* among the plan's fields, when arg is a field's type */
    double percentile;
    int64_t n; /* top, bottom: how many */
    struct tsm_str
        *tags; /* top, bottom: one point for each set of their values; or of anything, which is no tag */
    size_t ntags;
    struct tsm_call_step *steps; /* the innermost first */
    size_t nsteps;
    unsigned before; /* intervals that are read before the first one of the answer */
};

struct tsm_out_column {
    struct tsm_column_head head;
    struct tsm_str
        name; /* by which a query around this one finds it: the head's, before it was made unique */
    enum tsm_data_type data; /* what influxql says that it is */
    bool extra;              /* a tag that top() or bottom() names */
    enum tsm_vec_type type;
    size_t input;                      /* SIZE_MAX: see program */
    const struct tsm_program *program; /* arithmetic, or NULL */
};

struct tsm_shape {
    struct tsm_aux *aux; /* ascending by name and type */
    size_t naux;
    struct tsm_call *calls;
    size_t ncalls;
    struct tsm_out_column *columns; /* [0] is the time */
    size_t ncolumns;
    struct tsm_column_head *heads; /* of the columns */
    struct tsm_expr *condition;    /* with types */
    bool selector;                 /* one call, and it gives a point */
};

/* Also registers with the plan what is read, and sets its dimensions. Everything is in the plan's arena. inner: the statement
 * is a subquery; influxd lets types stand there that do not go together, and their values are missing.
 * TSM_EQUERY: "type error: …", "unsupported call: …". */
int tsm_shape_make(struct tsm_shape *s, struct tsm_plan *p, const struct tsm_compiled *c, bool inner,
                   struct tsm_err *err);

#endif
