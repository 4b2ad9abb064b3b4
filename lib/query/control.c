/* query/control.c: ends a running query from outside, or when it has used up what it may. */
#include "query/control.h"

#include <inttypes.h>

#include "base/time.h"

#include "base/banned.h"

static const char *text_of(enum tsm_query_end end)
{
    switch (end) {
    case TSM_END_TIMEOUT:
        return "query-timeout limit exceeded";
    case TSM_END_SHUTDOWN:
        return "query engine shutdown";
    default:
        return "query interrupted";
    }
}

int tsm_control_check(struct tsm_query_control *c, uint64_t n, struct tsm_err *err)
{
    if (!c)
        return TSM_OK;
    int end = atomic_load_explicit(&c->end, memory_order_relaxed);
    if (end == TSM_END_NONE && c->deadline && tsm_monotonic() >= c->deadline &&
        atomic_compare_exchange_strong(&c->end, &end, TSM_END_TIMEOUT))
        end = TSM_END_TIMEOUT;
    if (end != TSM_END_NONE)
        return tsm_err_set(err, TSM_EQUERY, "%s", text_of((enum tsm_query_end)end));
    if (!c->max_points)
        return TSM_OK;
    uint64_t points = atomic_fetch_add_explicit(&c->points, n, memory_order_relaxed) + n;
    return points <= c->max_points
               ? TSM_OK
               : tsm_err_set(err, TSM_EQUERY, "max-select-point limit exceeed: (%" PRIu64 "/%" PRIu64 ")",
                             points, c->max_points);
}

bool tsm_control_ended(struct tsm_query_control *c)
{
    return tsm_control_check(c, 0, NULL) != TSM_OK;
}

int tsm_control_series(const struct tsm_query_control *c, uint64_t series, struct tsm_err *err)
{
    if (!c || !c->max_series || series <= c->max_series)
        return TSM_OK;
    return tsm_err_set(err, TSM_EQUERY, "max-select-series limit exceeded: (%" PRIu64 "/%" PRIu64 ")", series,
                       c->max_series);
}

int tsm_control_buckets(const struct tsm_query_control *c, uint64_t buckets, struct tsm_err *err)
{
    if (!c || !c->max_buckets || buckets <= c->max_buckets)
        return TSM_OK;
    return tsm_err_set(err, TSM_EQUERY, "max-select-buckets limit exceeded: (%" PRIu64 "/%" PRIu64 ")",
                       buckets, c->max_buckets);
}
