/* query/fill.c: filling in intervals. */
#include "query/fill.h"

#include "base/time.h"
#include "base/banned.h"

bool tsm_fill_number(const struct tsm_expr *value, enum tsm_vec_type type, union tsm_num *out)
{
    bool integer = !value || value->kind == TSM_EXPR_INTEGER;
    double f = !value ? 0 : integer ? (double)value->u.integer : value->u.number;
    switch (type) {
    case TSM_VEC_FLOAT:
        out->f = f;
        return true;
    case TSM_VEC_INTEGER:
    case TSM_VEC_UNSIGNED:
        if (!value)
            out->i = 0;
        else if (integer)
            out->i = value->u.integer;
        else
            out->i = f >= -9223372036854775808.0 && f < 9223372036854775808.0 ? (int64_t)f : INT64_MIN;
        return true;
    default:
        return false;
    }
}

/* Functions whose intervals without a point influxd does not fill in. */
static bool is_filled(enum tsm_function fn)
{
    return fn != TSM_FN_DISTINCT && fn != TSM_FN_TOP && fn != TSM_FN_BOTTOM && fn != TSM_FN_RAW;
}

void tsm_fill_begin_points(struct tsm_fill_stream *s, const struct tsm_run *r,
                           const struct tsm_agg_call *call, const struct tsm_agg_result *in)
{
    const struct tsm_compiled *c = r->c;
    enum tsm_function fn = call->call->fn;
    *s = (struct tsm_fill_stream){
        .r = r, .type = call->call->points, .in = in, .fill = c->fill, .value = c->stmt->fill_value};
    if (s->fill == TSM_FILL_NULL && fn == TSM_FN_COUNT) {
        s->fill = TSM_FILL_NUMBER;
        s->value = NULL;
    }
    s->filling = c->interval && s->fill != TSM_FILL_NONE && is_filled(fn) && in->n;
    if (!s->filling)
        return;
    s->gaps = in->skipped ? in->skipped[0] : 0;
    int64_t low = tsm_window_at(c, call->from).start, high = tsm_window_at(c, call->to).start;
    s->window = c->descending ? high : low;
    s->last = c->descending ? low : high;
    if (call->from == TSM_TIME_MIN) {
        if (!c->descending)
            s->window = in->t[0]; /* nothing before the first point */
        else
            s->last = TSM_TIME_MIN; /* nothing after the last one */
    }
    s->zone_offset = tsm_zone_offset(c->stmt->location, s->window);
}

void tsm_fill_begin(struct tsm_fill_stream *s, const struct tsm_run *r, const struct tsm_agg_call *call,
                    const struct tsm_agg_result *in)
{
    if (call->call->nsteps)
        *s = (struct tsm_fill_stream){.r = r, .type = call->call->out, .in = in};
    else
        tsm_fill_begin_points(s, r, call, in);
    s->limit = (uint64_t)r->c->stmt->limit;
    s->offset = (uint64_t)r->c->stmt->offset;
}

/* The value between the point before and the next one, by influxd's arithmetic in whole intervals. */
static union tsm_num linear(const struct tsm_fill_stream *s, int64_t next_t, union tsm_num next)
{
    int64_t d = s->r->c->interval;
    double dt = (double)(next_t / d - s->previous_t / d), x = (double)(s->window / d - s->previous_t / d);
    union tsm_num a = s->previous, out = {0};
    switch (s->type) {
    case TSM_VEC_FLOAT:
        out.f = (next.f - a.f) / dt * x + a.f;
        break;
    case TSM_VEC_INTEGER:
        out.i = (int64_t)((double)(int64_t)(next.u - a.u) / dt * x + (double)a.i);
        break;
    default:
        out.u = (uint64_t)((double)(next.u - a.u) / dt * x + (double)a.u);
        break;
    }
    return out;
}

/* The row for the expected interval, which has no point. */
static void fill_in(struct tsm_fill_stream *s, struct tsm_fill_row *row)
{
    bool gap = s->gaps > 0;
    s->gaps -= gap;
    enum tsm_vec_type type = s->type;
    *row = (struct tsm_fill_row){.t = s->window, .null = true};
    switch (s->fill) {
    case TSM_FILL_NUMBER:
        row->null = false;
        if (!tsm_fill_number(s->value, type, &row->v)) {
            static const struct tsm_str empty;
            row->v.u = 0;
            if (type == TSM_VEC_STRING)
                row->v.s = &empty;
        }
        break;
    case TSM_FILL_PREVIOUS:
        row->null = !s->has_previous;
        row->v = s->previous;
        break;
    case TSM_FILL_LINEAR:
        if (s->has_previous && gap && s->gaps) { /* influxd looks ahead, and finds nothing */
            s->gaps--;
            break;
        }
        if (s->has_previous && s->at < s->in->n && type <= TSM_VEC_UNSIGNED) {
            row->null = false;
            row->v = linear(s, s->in->t[s->at], s->in->v[s->at]);
        }
        break;
    default:
        break;
    }
}

/* On to the next expected interval. */
static void step(struct tsm_fill_stream *s)
{
    const struct tsm_compiled *c = s->r->c;
    if (__builtin_add_overflow(s->window, c->descending ? -c->interval : c->interval, &s->window))
        s->window = c->descending ? INT64_MIN : INT64_MAX;
    const struct tsm_zone *zone = c->stmt->location;
    if (!zone || s->window == INT64_MIN)
        return;
    int64_t offset = tsm_zone_offset(zone, s->window - 1), shift = s->zone_offset - offset;
    if (shift != 0 && (shift < 0 ? -shift : shift) < c->interval)
        s->window += shift;
    s->zone_offset = offset;
}

static bool next_filled(struct tsm_fill_stream *s, struct tsm_fill_row *row)
{
    bool down = s->r->c->descending, more = s->at < s->in->n;
    if (s->filling) {
        bool inside = down ? s->window >= s->last && s->last != TSM_TIME_MIN : s->window <= s->last;
        if (!more && !inside)
            return false;
        bool missing = !more || (down ? s->in->t[s->at] < s->window : s->in->t[s->at] > s->window);
        if (missing)
            fill_in(s, row);
        step(s);
        if (missing)
            return true;
    } else if (!more) {
        return false;
    }
    *row = (struct tsm_fill_row){.t = s->in->t[s->at], .v = s->in->v[s->at]};
    row->origin = s->in->origins ? &s->in->origins[s->at] : NULL;
    s->at++;
    s->gaps = s->in->skipped && s->at < s->in->n ? s->in->skipped[s->at] : 0;
    s->has_previous = true;
    s->previous = row->v;
    s->previous_t = row->t;
    return true;
}

bool tsm_fill_next(struct tsm_fill_stream *s, struct tsm_fill_row *row)
{
    while (!s->done) {
        if (s->limit && s->given >= s->offset + s->limit)
            break;
        if (!next_filled(s, row))
            break;
        if (s->given++ >= s->offset)
            return true;
    }
    s->done = true;
    return false;
}
