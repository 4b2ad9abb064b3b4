/*
 * query/process_stats.h: what SHOW STATS and SHOW DIAGNOSTICS say of any process, in influxd's shape: "runtime" (memory and
 * threads, in the columns of influxd's that mean the same here), and "build", "network", "runtime" and "system". What else a
 * daemon has to say is its own (tsm_query_options.stats).
 */
#ifndef TSM_QUERY_PROCESS_STATS_H
#define TSM_QUERY_PROCESS_STATS_H

#include "query/sink.h"

/* module empty: all. */
int tsm_process_stats(struct tsm_str module, struct tsm_sink *sink, struct tsm_err *err);
int tsm_process_diagnostics(struct tsm_str module, struct tsm_sink *sink, struct tsm_err *err);

/* A series of one row. */
int tsm_stats_row(struct tsm_sink *sink, const struct tsm_series_head *head, const struct tsm_cells *cells,
                  struct tsm_err *err);

#endif
