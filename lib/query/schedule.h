/*
 * query/schedule.h: when a continuous query is due, and which intervals it computes then: InfluxDB's rules (influxdb v1.8
 * services/continuous_querier/service.go). Times and durations are nanoseconds.
 */
#ifndef TSM_QUERY_SCHEDULE_H
#define TSM_QUERY_SCHEDULE_H

#include "base/zone.h"
#include "query/ast.h"

struct tsm_schedule {
    int64_t interval, offset;    /* GROUP BY time(interval, offset) */
    int64_t every, range;        /* RESAMPLE EVERY and FOR; 0: not given */
    const struct tsm_zone *zone; /* tz(), NULL: UTC */
};

/* From a CREATE CONTINUOUS QUERY, which has the zone. interval is 0 for one that never runs. TSM_EQUERY with influxd's text. */
int tsm_schedule_of(const struct tsm_continuous_clauses *c, struct tsm_schedule *s, struct tsm_err *err);

struct tsm_schedule_run {
    bool due;
    int64_t last;       /* due: what to give as the last run next time */
    int64_t start, end; /* due: compute [start, end), nothing when it is empty */
};

/* last: of the last run, NULL: it has never run. */
struct tsm_schedule_run tsm_schedule_at(const struct tsm_schedule *s, const int64_t *last, int64_t now);
/* The last run that a query would have had if it had been in time, without the one that ends at or before now: with it the latest
 * complete interval is due. */
int64_t tsm_schedule_before(const struct tsm_schedule *s, int64_t now);

#endif
