/*
 * query/reduce.h: folding of constant expressions, and the split of a WHERE clause into a time range and the
 * rest, as influxql does them (influxql v1.1, ast.go: Reduce, ConditionExpr).
 */
#ifndef TSM_QUERY_REDUCE_H
#define TSM_QUERY_REDUCE_H

#include "query/ast.h"

struct tsm_time_range {
    int64_t min, max; /* inclusive */
    bool has_min, has_max;
};

/* now gives now() its value; NULL leaves it a call. The result is a new tree in the arena. */
struct tsm_expr *tsm_reduce(struct tsm_arena *a, const struct tsm_expr *e, const int64_t *now);

/*
 * The part of a condition that is not about time, reduced (*rest, NULL when nothing is left), and the time
 * range: the intersection of all comparisons with time, wherever in the tree they are, as in influxd.
 * Times in quotes without an offset are in the zone (NULL: UTC). TSM_EQUERY with influxd's text.
 */
int tsm_condition_split(struct tsm_arena *a, const struct tsm_expr *condition, int64_t now,
                        const struct tsm_zone *zone, struct tsm_expr **rest, struct tsm_time_range *range,
                        struct tsm_err *err);

/* A string that influxql takes for a time: it starts as a date. */
bool tsm_looks_like_time(struct tsm_str s);
bool tsm_expr_is_literal(const struct tsm_expr *e);
/* The type of a node in Go, which some messages of influxd name. */
const char *tsm_expr_go_type(const struct tsm_expr *e);

#endif
