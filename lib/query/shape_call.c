/* query/shape_call.c: a call of the select list: what makes points of a field's values, and the transforms above
 * that. */
#include "query/shape_impl.h"

#include "base/alloc.h"
#include "base/time.h"
#include "base/banned.h"

static struct tsm_str printed(struct tsm_shaper *k, const struct tsm_expr *e)
{
    struct tsm_buf text = {0};
    tsm_expr_print(&text, e);
    struct tsm_str out = tsm_arena_str(k->a, tsm_buf_view(&text));
    tsm_buf_release(&text);
    return out;
}

static size_t find_text(const struct tsm_shape *s, struct tsm_str text)
{
    for (size_t i = 0; i < s->ncalls; i++)
        if (tsm_str_eq(s->calls[i].text, text))
            return i;
    return SIZE_MAX;
}

size_t tsm_shape_find_call(struct tsm_shaper *k, const struct tsm_expr *e)
{
    return find_text(k->s, printed(k, e));
}

static bool is_transform(enum tsm_function fn)
{
    return fn != TSM_FUNCTIONS && tsm_function_row(fn)->kind == TSM_KIND_TRANSFORM;
}

static int64_t integer_arg(const struct tsm_expr *e, size_t i, int64_t otherwise)
{
    return e->u.call.nargs > i ? e->u.call.args[i]->u.integer : otherwise;
}

static enum tsm_warmup warmup_arg(const struct tsm_expr *e, enum tsm_warmup otherwise)
{
    if (e->u.call.nargs < 4)
        return otherwise;
    struct tsm_str s = e->u.call.args[3]->u.string;
    return tsm_str_eq(s, TSM_STR("none"))     ? TSM_WARMUP_NONE
           : tsm_str_eq(s, TSM_STR("simple")) ? TSM_WARMUP_SIMPLE
                                              : TSM_WARMUP_EXPONENTIAL;
}

/* The transform that e is, of points of the type. */
static struct tsm_call_step make_step(struct tsm_shaper *k, const struct tsm_expr *e, enum tsm_vec_type in)
{
    struct tsm_call_step s = {.fn = tsm_function_find(e->u.call.name)};
    const struct tsm_function_row *row = tsm_function_row(s.fn);
    struct tsm_transform_spec *t = &s.spec;
    int64_t interval = k->c->interval;
    *t = (struct tsm_transform_spec){.kind = (enum tsm_transform_kind)row->transform,
                                     .in = in,
                                     .ascending = !k->c->descending,
                                     .hold = -1,
                                     .interval = interval,
                                     .offset = k->c->offset};
    switch (row->args) {
    case TSM_ARGS_STREAM_UNIT:
        t->unit = integer_arg(e, 1, s.fn == TSM_FN_ELAPSED ? 1 : interval ? interval : TSM_SEC);
        break;
    case TSM_ARGS_INTEGRAL:
        t->unit = integer_arg(e, 1, TSM_SEC);
        break;
    case TSM_ARGS_SEASON:
        t->n = integer_arg(e, 1, 0);
        t->season = integer_arg(e, 2, 0);
        break;
    case TSM_ARGS_STREAM:
        break;
    default:
        t->n = integer_arg(e, 1, 0);
        t->hold = integer_arg(e, 2, -1);
        t->warmup = warmup_arg(e, row->args == TSM_ARGS_STREAM_WARMUP_NONE ? TSM_WARMUP_NONE
                                                                           : TSM_WARMUP_EXPONENTIAL);
        break;
    }
    return s;
}

/* The type of what a function gives of points, or of values, of a type. */
static enum tsm_vec_type result_type(enum tsm_function fn, enum tsm_vec_type in)
{
    switch (tsm_function_row(fn)->result) {
    case TSM_RESULT_FLOAT:
        return TSM_VEC_FLOAT;
    case TSM_RESULT_INTEGER:
        return TSM_VEC_INTEGER;
    default:
        return in;
    }
}

/* What makes the points: the innermost call, or a field as it is. */
static void make_points(struct tsm_shaper *k, struct tsm_call *c, const struct tsm_expr *e)
{
    c->fn = TSM_FN_RAW;
    if (e->kind == TSM_EXPR_CALL) {
        c->fn = tsm_function_find(e->u.call.name);
        const struct tsm_expr *second = e->u.call.nargs > 1 ? e->u.call.args[1] : NULL;
        if (c->fn == TSM_FN_PERCENTILE)
            c->percentile = second->kind == TSM_EXPR_INTEGER ? (double)second->u.integer : second->u.number;
        if (c->fn == TSM_FN_TOP || c->fn == TSM_FN_BOTTOM) {
            c->n = e->u.call.args[e->u.call.nargs - 1]->u.integer;
            c->ntags = e->u.call.nargs - 2;
            c->tags = tsm_arena_alloc(k->a, c->ntags * sizeof *c->tags);
            for (size_t i = 0; i < c->ntags; i++)
                c->tags[i] = e->u.call.args[i + 1]->u.var.name;
        }
        e = e->u.call.args[0];
        if (e->kind == TSM_EXPR_CALL) {
            c->count_distinct = true;
            e = e->u.call.args[0];
        }
    }
    if (e->kind == TSM_EXPR_VAR) { /* else a wildcard that stands for nothing */
        c->field = e->u.var.name;
        c->arg = e->u.var.type;
    }
    c->points = result_type(c->fn, tsm_vec_type_of(c->arg));
}

int tsm_shape_add_call(struct tsm_shaper *k, const struct tsm_expr *e)
{
    enum tsm_data_type type;
    struct tsm_call c = {
        .text = printed(k, e), .outer = tsm_function_find(e->u.call.name), .index = SIZE_MAX};
    if (find_text(k->s, c.text) != SIZE_MAX)
        return TSM_OK;
    int code = tsm_shape_check_type(k, e, &type);
    if (code)
        return code;
    c.known = type != TSM_DATA_UNKNOWN;
    c.out = tsm_vec_type_of(type);

    const struct tsm_expr *inner = e;
    while (inner->kind == TSM_EXPR_CALL && is_transform(tsm_function_find(inner->u.call.name))) {
        c.nsteps++;
        inner = inner->u.call.args[0];
    }
    if (c.known && tsm_expr_is_math(inner))
        return tsm_err_set(k->err, TSM_EQUERY, "unsupported call: %.*s", (int)inner->u.call.name.n,
                           inner->u.call.name.p);
    if (tsm_expr_is_math(inner))
        return TSM_OK; /* nobody ever asks for its values */
    make_points(k, &c, inner);
    c.steps = tsm_arena_alloc(k->a, c.nsteps * sizeof *c.steps);
    enum tsm_vec_type in = c.points;
    for (size_t i = 0; i < c.nsteps; i++) {
        const struct tsm_expr *at = e;
        for (size_t up = c.nsteps - 1 - i; up > 0; up--)
            at = at->u.call.args[0];
        c.steps[i] = make_step(k, at, in);
        in = result_type(c.steps[i].fn, in);
        c.before += tsm_function_row(c.steps[i].fn)->before;
    }
    TSM_GROW(k->s->calls, k->s->ncalls + 1, k->capcalls);
    k->s->calls[k->s->ncalls++] = c;
    return TSM_OK;
}
