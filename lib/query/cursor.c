/* query/cursor.c: a scan, with conversions between the number types. */
#include "query/cursor.h"

#include "base/alloc.h"
#include "base/banned.h"

void tsm_cursor_init(struct tsm_cursor *c)
{
    *c = (struct tsm_cursor){.scan = tsm_scan_new()};
}

void tsm_cursor_release(struct tsm_cursor *c)
{
    tsm_scan_free(c->scan);
    tsm_free(c->converted);
    *c = (struct tsm_cursor){0};
}

void tsm_cursor_none(struct tsm_cursor *c)
{
    c->n = c->pos = 0;
}

static enum tsm_vec_type vec_of(enum tsm_type type)
{
    switch (type) {
    case TSM_FLOAT:
        return TSM_VEC_FLOAT;
    case TSM_INTEGER:
        return TSM_VEC_INTEGER;
    case TSM_BOOLEAN:
        return TSM_VEC_BOOLEAN;
    case TSM_STRING:
        return TSM_VEC_STRING;
    default:
        return TSM_VEC_UNSIGNED;
    }
}

/* What Go's conversions give on amd64, out of range too. */
int64_t tsm_float_to_int(double v)
{
    return v >= -9223372036854775808.0 && v < 9223372036854775808.0 ? (int64_t)v : INT64_MIN;
}

uint64_t tsm_float_to_unsigned(double v)
{
    if (v < 9223372036854775808.0)
        return (uint64_t)tsm_float_to_int(v);
    return (uint64_t)tsm_float_to_int(v - 9223372036854775808.0) ^ ((uint64_t)1 << 63);
}

/* False when the types do not convert. */
static bool convert(struct tsm_cursor *c, const struct tsm_values *b)
{
    enum tsm_vec_type have = vec_of(b->type);
    c->v.p = b->v.p;
    if (have == c->want)
        return true;
    if (have > TSM_VEC_UNSIGNED || c->want > TSM_VEC_UNSIGNED)
        return false;
    if (have != TSM_VEC_FLOAT && c->want != TSM_VEC_FLOAT)
        return true; /* the same bits */
    if (b->n > c->cap) {
        tsm_free(c->converted);
        c->cap = b->n;
        c->converted = tsm_alloc(c->cap * 8);
    }
    c->v.p = c->converted;
    double *f = c->converted;
    int64_t *s = c->converted;
    uint64_t *u = c->converted;
    for (size_t i = 0; i < b->n; i++) {
        if (c->want == TSM_VEC_INTEGER)
            s[i] = tsm_float_to_int(b->v.f[i]);
        else if (c->want == TSM_VEC_UNSIGNED)
            u[i] = tsm_float_to_unsigned(b->v.f[i]);
        else
            f[i] = have == TSM_VEC_INTEGER ? (double)b->v.i[i] : (double)b->v.u[i];
    }
    return true;
}

/* Reading a batch of n values, or none, has been work. */
static int go_on(struct tsm_cursor *c, size_t n, struct tsm_err *err)
{
    enum { START = 64, MUCH = 1 << 14 };
    if (!c->control)
        return TSM_OK;
    c->work += n + START;
    if (c->work < MUCH && !c->control->max_points)
        return TSM_OK;
    c->work = 0;
    return tsm_control_check(c->control, n, err);
}

int tsm_cursor_next(struct tsm_cursor *c, struct tsm_err *err)
{
    const struct tsm_values *b;
    do {
        int code = tsm_scan_next(c->scan, &b, err);
        if (!code)
            code = go_on(c, b ? b->n : 0, err);
        if (code || !b) {
            tsm_cursor_none(c);
            return code;
        }
    } while (!convert(c, b));
    c->t = b->t;
    c->n = b->n;
    c->pos = 0;
    return TSM_OK;
}

int tsm_cursor_start(struct tsm_cursor *c, const struct tsm_shard *shard, size_t key, enum tsm_vec_type want,
                     int64_t tmin, int64_t tmax, struct tsm_err *err)
{
    c->want = want;
    int code = tsm_scan_start(c->scan, shard, key, tmin, tmax, err);
    return code ? code : tsm_cursor_next(c, err);
}
