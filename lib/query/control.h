/*
 * query/control.h: a query that is running: who asked, what it may use up, and the way to end it from outside.
 *
 * One is made per query by whoever runs it (tsm_query_options.control) and read by the executor's threads. The limits are
 * influxd's [coordinator] settings, with its error texts.
 */
#ifndef TSM_QUERY_CONTROL_H
#define TSM_QUERY_CONTROL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum tsm_query_end {
    TSM_END_NONE,
    TSM_END_KILLED,
    TSM_END_TIMEOUT,
    TSM_END_GONE,     /* the client */
    TSM_END_SHUTDOWN, /* the daemon stops */
};

struct tsm_query_control {
    atomic_int end;       /* enum tsm_query_end: as soon as it is not 0 the query fails */
    int64_t deadline;     /* monotonic nanoseconds; 0: none */
    uint64_t max_points;  /* values that a SELECT may read; 0: all (max-select-point) */
    uint64_t max_series;  /* max-select-series */
    uint64_t max_buckets; /* intervals of GROUP BY time(): max-select-buckets */
    atomic_ullong points; /* read so far */
};

/* Called by the executor every few thousand values; n more have been read. TSM_EQUERY with influxd's text ("query interrupted",
 * "query-timeout limit exceeded", "query engine shutdown", "max-select-point limit exceeed: (%d/%d)", which is how influxd spells it)
 * when the query is to end. NULL is allowed. Any thread. */
int tsm_control_check(struct tsm_query_control *c, uint64_t n, struct tsm_err *err);

/* Whether it is to end, for what computes in memory for long and cannot fail: it stops then with any result, and who called it
 * looks with tsm_control_check(). */
bool tsm_control_ended(struct tsm_query_control *c);

/* In a loop that may be long: *count is a counter of the caller's, from 0 on, and the query is looked at once in this many rounds. */
enum { TSM_CONTROL_EVERY = 4096 };
static inline int tsm_control_round(struct tsm_query_control *c, unsigned *count, struct tsm_err *err)
{
    return ++*count % TSM_CONTROL_EVERY ? TSM_OK : tsm_control_check(c, 0, err);
}

/* TSM_EQUERY "max-select-series limit exceeded: (%d/%d)", "max-select-buckets limit exceeded: (%d/%d)". */
int tsm_control_series(const struct tsm_query_control *c, uint64_t series, struct tsm_err *err);
int tsm_control_buckets(const struct tsm_query_control *c, uint64_t buckets, struct tsm_err *err);

#endif
