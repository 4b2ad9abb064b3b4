/* query/window.c: the intervals of GROUP BY time(), also in a time zone. */
#include "query/aggregate.h"

#include "base/time.h"
#include "base/banned.h"

/* A shift of the clock that is not shorter than the interval does not move its borders. */
static bool moves_borders(const struct tsm_compiled *c, int64_t shift)
{
    return shift != 0 && (shift < 0 ? -shift : shift) < c->interval;
}

static int64_t clamped(__int128 t)
{
    return t < TSM_TIME_MIN ? TSM_TIME_MIN : t > INT64_MAX ? INT64_MAX : (int64_t)t;
}

/* The interval begins and ends at a multiple of its length on the clocks of the zone, as influxd finds it: from the offset at t, and
 * then from those at the borders. */
static struct tsm_window own_window(const struct tsm_compiled *c, int64_t t)
{
    const struct tsm_zone *z = c->stmt->location;
    t = clamped((__int128)t - c->offset);
    int64_t zone = tsm_zone_offset(z, t), rest = (int64_t)(((__int128)t + zone) % c->interval);
    if (rest < 0)
        rest += c->interval;
    struct tsm_window w = {clamped((__int128)t - rest), clamped((__int128)t + (c->interval - rest))};
    int64_t shift = zone - tsm_zone_offset(z, w.start);
    if (moves_borders(c, shift))
        w.start = clamped((__int128)w.start + shift);
    int64_t later = tsm_zone_offset(z, w.end);
    shift = zone - later;
    if (moves_borders(c, shift)) {
        int64_t moved = clamped((__int128)w.end + shift);
        /* Put back: the interval is longer. Put forward: shorter, if the change is before its end. */
        if (shift > 0 || tsm_zone_offset(z, moved) == later)
            w.end = moved;
    }
    return (struct tsm_window){clamped((__int128)w.start + c->offset), clamped((__int128)w.end + c->offset)};
}

/*
 * Where the clock is put back or forward in the midst of an interval, the intervals of the points around it can overlap. influxd takes
 * all points of the interval that it began first, in the direction of the answer. We go from interval to interval in
 * that direction, as influxd does when there are points everywhere.
 */
static struct tsm_window window_near(const struct tsm_compiled *c, int64_t t, int64_t change)
{
    struct tsm_window w;
    int64_t p;
    if (!c->descending) {
        p = clamped((__int128)change - 2 * (__int128)c->interval);
        p = p < c->tmin ? c->tmin : p;
        for (w = own_window(c, p < t ? p : t); w.end <= t && w.end > w.start; w = own_window(c, w.end))
            ;
        return w;
    }
    p = clamped((__int128)change + 2 * (__int128)c->interval);
    p = p > c->tmax ? c->tmax : p;
    for (w = own_window(c, p > t ? p : t); w.start > t;) {
        struct tsm_window before = own_window(c, w.start - 1);
        if (before.start >= w.start)
            return own_window(c, t);
        before.end = before.end < w.start ? before.end : w.start;
        w = before;
    }
    return w;
}

static struct tsm_window window_in_zone(const struct tsm_compiled *c, int64_t t)
{
    if (c->interval < TSM_DAY) { /* longer ones begin when the clocks show midnight of some day */
        int64_t from, to, around = 2 * c->interval;
        tsm_zone_lookup(c->stmt->location, t / TSM_SEC, &from, &to);
        if (from > INT64_MIN / TSM_SEC && (__int128)t - from * TSM_SEC < around)
            return window_near(c, t, from * TSM_SEC);
        if (to < INT64_MAX / TSM_SEC && (__int128)to * TSM_SEC - t <= around)
            return window_near(c, t, to * TSM_SEC);
    }
    return own_window(c, t);
}

struct tsm_window tsm_window_at(const struct tsm_compiled *c, int64_t t)
{
    if (c->interval == 0)
        return (struct tsm_window){TSM_TIME_MIN, INT64_MAX};
    if (c->stmt->location)
        return window_in_zone(c, t);
    __int128 x = (__int128)t - c->offset, d = c->interval, rest = x % d;
    if (rest < 0)
        rest += d;
    __int128 start = x - rest + c->offset, end = start + d;
    return (struct tsm_window){start < TSM_TIME_MIN ? TSM_TIME_MIN : (int64_t)start,
                               end > INT64_MAX ? INT64_MAX : (int64_t)end};
}
