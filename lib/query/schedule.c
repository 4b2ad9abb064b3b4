/* query/schedule.c: when continuous queries run. */
#include "query/schedule.h"

#include "base/banned.h"

int tsm_schedule_of(const struct tsm_continuous_clauses *c, struct tsm_schedule *s, struct tsm_err *err)
{
    *s = (struct tsm_schedule){.every = c->every, .range = c->range, .zone = c->select->location};
    const char *fault = tsm_select_interval(c->select, &s->interval);
    if (fault)
        return tsm_err_set(err, TSM_EQUERY, "%s", fault);
    if (s->interval <= 0)
        return TSM_OK;
    if (c->select->raw)
        return tsm_err_set(err, TSM_EQUERY, "continuous queries must be aggregate queries");
    for (size_t i = 0; i < c->select->ndimensions; i++) {
        const struct tsm_expr *d = c->select->dimensions[i];
        if (d->kind != TSM_EXPR_CALL || !tsm_str_eq(d->u.call.name, TSM_STR("time")))
            continue;
        if (d->u.call.nargs < 2)
            break;
        const struct tsm_expr *offset = d->u.call.args[1];
        if (offset->kind != TSM_EXPR_DURATION) {
            struct tsm_buf text = {0};
            tsm_expr_print(&text, offset);
            int rc = tsm_err_set(err, TSM_EQUERY, "invalid time dimension offset: %s", tsm_buf_cstr(&text));
            tsm_buf_release(&text);
            return rc;
        }
        s->offset = offset->u.integer % s->interval;
        break;
    }
    return TSM_OK;
}

static int64_t offset_at(const struct tsm_schedule *s, int64_t t)
{
    return s->zone ? tsm_zone_offset(s->zone, t) : 0;
}

/* Durations may be as long as an int64 is; the sums wrap around as in Go. */
static int64_t add(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

static int64_t sub(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a - (uint64_t)b);
}

static int64_t magnitude(int64_t v)
{
    return v < 0 ? -v : v;
}

/* t back to a multiple of d in local time, counted from 1970. Where the clock is changed in between, local time counts. */
static int64_t floor_to(const struct tsm_schedule *s, int64_t t, int64_t d)
{
    int64_t offset = offset_at(s, t), over = add(t, offset) % d;
    if (over < 0)
        over += d;
    t = sub(t, over);
    int64_t change = offset - offset_at(s, t);
    return change && magnitude(change) < d ? t + change : t;
}

static int64_t next_run(const struct tsm_schedule *s, int64_t last, int64_t every)
{
    int64_t next = add(last, every), change = offset_at(s, sub(last, 1)) - offset_at(s, sub(next, 1));
    return change && magnitude(change) < every ? next + change : next;
}

struct tsm_schedule_run tsm_schedule_at(const struct tsm_schedule *s, const int64_t *last, int64_t now)
{
    struct tsm_schedule_run run = {0};
    int64_t every = s->every ? s->every : s->interval;
    int64_t next = last ? next_run(s, *last, every) : now;
    if (next > now)
        return run;
    run.due = true;
    run.last = add(floor_to(s, sub(now, s->offset), every), s->offset);
    int64_t range = s->range ? s->range : s->interval < every ? every : s->interval;
    if (s->interval < every)
        every = s->interval;
    int64_t first = sub(sub(add(next, s->interval), range), add(s->offset, 1));
    int64_t after = sub(sub(add(now, s->interval), every), s->offset);
    run.start = add(floor_to(s, first, s->interval), s->offset);
    run.end = add(floor_to(s, after, s->interval), s->offset);
    return run;
}

int64_t tsm_schedule_before(const struct tsm_schedule *s, int64_t now)
{
    int64_t every = s->every ? s->every : s->interval;
    int64_t last = add(floor_to(s, sub(now, s->offset), every), s->offset);
    return add(floor_to(s, sub(sub(last, s->offset), 1), every), s->offset);
}
