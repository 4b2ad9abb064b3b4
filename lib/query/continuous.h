/*
 * query/continuous.h: running the continuous queries that are due, as InfluxDB's service does, but that what could not be written
 * (a lock, a full disk) is tried again.
 *
 * A query is due when the last run is an interval (RESAMPLE EVERY) ago; it computes the intervals that have ended since, and with
 * RESAMPLE FOR those before. Doing it twice gives the same points, so it never hurts to have forgotten when it was last.
 */
#ifndef TSM_QUERY_CONTINUOUS_H
#define TSM_QUERY_CONTINUOUS_H

#include "query/query.h"

/* When each query has run. By one thread at a time. */
struct tsm_continuous_runs;
struct tsm_continuous_runs *tsm_continuous_runs_new(void);
void tsm_continuous_runs_free(struct tsm_continuous_runs *r); /* NULL is allowed */

/*
 * The same kept in DIR/continuous_runs, for cron. The file is derived: when it is missing or damaged nothing is known, and each
 * query computes the interval that has ended last. *r is new. Queries that are gone are forgotten by the next
 * tsm_continuous_run().
 */
int tsm_continuous_runs_load(const struct tsm_fs *fs, const char *dir, struct tsm_continuous_runs **r,
                             struct tsm_err *err);
int tsm_continuous_runs_save(const struct tsm_fs *fs, const char *dir, const struct tsm_continuous_runs *r,
                             struct tsm_err *err);

/* One query that was due. */
struct tsm_continuous_report {
    struct tsm_str database, name;
    int64_t start, end; /* [start, end): the intervals */
    int64_t written;    /* points; -1: not known */
    int64_t took;       /* nanoseconds */
    const char *error;  /* NULL: done */
};

struct tsm_continuous_options {
    const struct tsm_query_options *query; /* database: of these queries alone, empty: all; now is not used */
    bool
        at_once; /* a query that has never run computes the interval that has ended last; else, as in influxd, it waits for the
                   * next to end */
    void (*report)(void *ctx, const struct tsm_continuous_report *r); /* may be NULL */
    void *ctx;
    bool (*stop)(void *ctx); /* looked at before each query; may be NULL */
};

/* Runs what is due at `now`, one after the other. The first error of a query that could not run to its end is returned, after the
 * others have had their turn; or that of meta.db. */
int tsm_continuous_run(const struct tsm_continuous_options *opt, int64_t now, struct tsm_continuous_runs *r,
                       struct tsm_err *err);

#endif
