/* query/compile_impl.h: what the parts of the compiler share. */
#ifndef TSM_QUERY_COMPILE_IMPL_H
#define TSM_QUERY_COMPILE_IMPL_H

#include "query/compile.h"

struct tsm_compiler {
    struct tsm_compiled *c;
    struct tsm_err *err;
    int64_t now;
    bool only_selectors, has_distinct, has_auxiliary;
    bool allow_wildcard;       /* in the field that is being compiled */
    const char *top_or_bottom; /* the name of such a call; NULL: none yet */
    int64_t extra_intervals;   /* that are read beyond the time range */
};

#define TSM_COMPILE_FAIL(k, ...) tsm_err_set((k)->err, TSM_EQUERY, __VA_ARGS__)

/* e as influxql prints it. */
const char *tsm_compile_text(struct tsm_compiler *k, const struct tsm_expr *e);

/* compile.c: an expression of the select list. */
int tsm_compile_expr(struct tsm_compiler *k, struct tsm_expr *e);
/* compile_call.c: a call in it; DISTINCT x becomes distinct(x), in place. */
int tsm_compile_call(struct tsm_compiler *k, struct tsm_expr *e);
/* A condition, which may have mathematical calls only. */
int tsm_compile_condition(struct tsm_compiler *k, const struct tsm_expr *e);

#endif
