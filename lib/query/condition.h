/*
 * query/condition.h: a WHERE clause against the tags of one series: the series is out, is in, or is in with
 * what remains of the condition to be asked of each row. As influxdb v1.6 tsdb/index/inmem/meta.go does it.
 */
#ifndef TSM_QUERY_CONDITION_H
#define TSM_QUERY_CONDITION_H

#include "query/plan.h"

struct tsm_condition;

/* Also tells the plan which fields and tags the condition reads. Lives in the plan's arena. */
struct tsm_condition *tsm_condition_new(struct tsm_plan *p, const struct tsm_expr *e);

/* values: of the plan's tags. *in tells whether the series is in; *filter is the index of its filter in
 * p->filters. */
int tsm_condition_ask(struct tsm_condition *c, struct tsm_plan *p, struct tsm_str measurement,
                      const struct tsm_str *values, bool *in, uint32_t *filter, struct tsm_err *err);

#endif
