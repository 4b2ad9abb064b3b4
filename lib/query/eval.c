/* query/eval.c: expressions over columns. Each node has its result type fixed when it is compiled, and its
 * own buffer in the space of a run. */
#include "query/eval.h"

#include <math.h>

#include "base/alloc.h"
#include "query/math_call.h"
#include "base/banned.h"

enum step {
    STEP_INPUT,
    STEP_CONSTANT,
    STEP_REGEX,
    STEP_CAST,
    STEP_ARITHMETIC,
    STEP_COMPARE,
    STEP_LOGIC,
    STEP_MATH,
    STEP_ABS, /* of integers */
    STEP_FIXED
};

struct tsm_program {
    enum step step;
    enum tsm_vec_type type;
    enum tsm_token op;
    struct tsm_program *lhs, *rhs;
    size_t number; /* of the buffer; of the input for STEP_INPUT */
    size_t nodes;  /* in the root: number of all */
    enum tsm_math math;
    const struct tsm_regex *re;
    union tsm_value value;
    bool mixed_sign; /* STEP_COMPARE of an integer (cast) and an unsigned: a negative one is below all */
    bool mixed_left; /* the integer is on the left */
    bool select;
};

struct buffer {
    void *data;
    size_t cap;
    uint8_t *nulls;
    size_t capnulls;
};

struct tsm_program_space {
    struct buffer *buffers;
    size_t n;
};

enum tsm_vec_type tsm_vec_type_of(enum tsm_data_type t)
{
    switch (t) {
    case TSM_DATA_FLOAT:
        return TSM_VEC_FLOAT;
    case TSM_DATA_INTEGER:
        return TSM_VEC_INTEGER;
    case TSM_DATA_UNSIGNED:
        return TSM_VEC_UNSIGNED;
    case TSM_DATA_BOOLEAN:
        return TSM_VEC_BOOLEAN;
    case TSM_DATA_STRING:
    case TSM_DATA_TAG:
        return TSM_VEC_STRING;
    default:
        return TSM_VEC_NIL;
    }
}

size_t tsm_vec_size(enum tsm_vec_type t)
{
    return t == TSM_VEC_STRING ? sizeof(struct tsm_str) : t == TSM_VEC_BOOLEAN ? 1 : 8;
}

struct tsm_program_space *tsm_program_space_new(void)
{
    return tsm_calloc(1, sizeof(struct tsm_program_space));
}

void tsm_program_space_free(struct tsm_program_space *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++) {
        tsm_free(s->buffers[i].data);
        tsm_free(s->buffers[i].nulls);
    }
    tsm_free(s->buffers);
    tsm_free(s);
}

/* ---- compiling --------------------------------------------------------------------------------- */

struct builder {
    struct tsm_arena *a;
    bool select;
    tsm_input_of *input_of;
    void *ctx;
    size_t nodes;
};

static struct tsm_program *node(struct builder *b, enum step step, enum tsm_vec_type type)
{
    struct tsm_program *p = tsm_arena_calloc(b->a, sizeof *p);
    p->step = step;
    p->type = type;
    p->number = b->nodes++;
    p->select = b->select;
    return p;
}

/* The same value in every row; NIL has none. */
static struct tsm_program *fixed(struct builder *b, enum tsm_vec_type type, bool value)
{
    struct tsm_program *p = node(b, STEP_FIXED, type);
    p->value.b = value;
    return p;
}

static bool is_number(enum tsm_vec_type t)
{
    return t == TSM_VEC_FLOAT || t == TSM_VEC_INTEGER || t == TSM_VEC_UNSIGNED;
}

static struct tsm_program *cast(struct builder *b, struct tsm_program *p, enum tsm_vec_type type)
{
    if (p->type == type)
        return p;
    struct tsm_program *c = node(b, STEP_CAST, type);
    c->lhs = p;
    return c;
}

static bool compares(enum tsm_token op)
{
    return op == TSM_TOK_EQ || op == TSM_TOK_NEQ || op == TSM_TOK_LT || op == TSM_TOK_LTE ||
           op == TSM_TOK_GT || op == TSM_TOK_GTE;
}

static struct tsm_program *mismatch(struct builder *b, enum tsm_token op)
{
    return compares(op) ? fixed(b, TSM_VEC_BOOLEAN, false) : fixed(b, TSM_VEC_NIL, false);
}

static struct tsm_program *numbers(struct builder *b, enum tsm_token op, struct tsm_program *l,
                                   struct tsm_program *r)
{
    enum tsm_vec_type type = l->type == r->type                                     ? l->type
                             : l->type == TSM_VEC_FLOAT || r->type == TSM_VEC_FLOAT ? TSM_VEC_FLOAT
                                                                                    : TSM_VEC_UNSIGNED;
    bool bits = op == TSM_TOK_BITWISE_AND || op == TSM_TOK_BITWISE_OR || op == TSM_TOK_BITWISE_XOR;
    if (bits && type == TSM_VEC_FLOAT)
        return mismatch(b, op);
    if (op == TSM_TOK_DIV && b->select && type == TSM_VEC_INTEGER)
        type = TSM_VEC_FLOAT;
    bool compare = compares(op);
    if (!compare && !bits && op != TSM_TOK_ADD && op != TSM_TOK_SUB && op != TSM_TOK_MUL &&
        op != TSM_TOK_DIV && op != TSM_TOK_MOD)
        return mismatch(b, op);
    bool left = l->type == TSM_VEC_INTEGER, right = r->type == TSM_VEC_INTEGER;
    struct tsm_program *x = cast(b, l, type), *y = cast(b, r, type);
    struct tsm_program *p = node(b, compare ? STEP_COMPARE : STEP_ARITHMETIC,
                                 compare ? TSM_VEC_BOOLEAN : type);
    p->op = op;
    p->lhs = x;
    p->rhs = y;
    p->mixed_sign = compare && type == TSM_VEC_UNSIGNED && (left || right);
    p->mixed_left = left;
    return p;
}

static struct tsm_program *build(struct builder *b, const struct tsm_expr *e);

static struct tsm_program *build_binary(struct builder *b, const struct tsm_expr *e)
{
    enum tsm_token op = e->u.binary.op;
    struct tsm_program *l = build(b, e->u.binary.lhs), *r = build(b, e->u.binary.rhs);
    /* What is no value counts as false beside a boolean. */
    if (l->type == TSM_VEC_NIL && r->type == TSM_VEC_BOOLEAN)
        l = fixed(b, TSM_VEC_BOOLEAN, false);
    else if (l->type == TSM_VEC_BOOLEAN && r->type == TSM_VEC_NIL)
        r = fixed(b, TSM_VEC_BOOLEAN, false);
    if (is_number(l->type) && is_number(r->type))
        return numbers(b, op, l, r);

    struct tsm_program *p = node(b, STEP_LOGIC, TSM_VEC_BOOLEAN);
    p->op = op;
    p->lhs = l;
    p->rhs = r;
    if (l->type == TSM_VEC_BOOLEAN && r->type == TSM_VEC_BOOLEAN) {
        switch (op) {
        case TSM_TOK_AND:
        case TSM_TOK_OR:
        case TSM_TOK_BITWISE_AND:
        case TSM_TOK_BITWISE_OR:
        case TSM_TOK_BITWISE_XOR:
        case TSM_TOK_EQ:
        case TSM_TOK_NEQ:
            return p;
        default:
            return mismatch(b, op);
        }
    }
    if (l->type == TSM_VEC_BOOLEAN && (op == TSM_TOK_AND || op == TSM_TOK_OR || op == TSM_TOK_BITWISE_AND ||
                                       op == TSM_TOK_BITWISE_OR || op == TSM_TOK_BITWISE_XOR))
        return fixed(b, TSM_VEC_BOOLEAN, false);
    if (l->type == TSM_VEC_STRING) {
        p->step = STEP_COMPARE;
        if (r->step == STEP_REGEX && (op == TSM_TOK_EQREGEX || op == TSM_TOK_NEQREGEX))
            return p;
        if (r->step != STEP_REGEX && r->type == TSM_VEC_STRING && (op == TSM_TOK_EQ || op == TSM_TOK_NEQ))
            return p;
        if (op == TSM_TOK_EQREGEX || op == TSM_TOK_NEQREGEX)
            return fixed(b, TSM_VEC_BOOLEAN, false);
    }
    return mismatch(b, op);
}

/* What is not a number gives nothing. */
static struct tsm_program *build_math(struct builder *b, enum tsm_math fn, const struct tsm_expr *e)
{
    struct tsm_program *args[2] = {NULL, NULL};
    size_t n = tsm_math_args(fn);
    if (e->u.call.nargs != n)
        return fixed(b, TSM_VEC_NIL, false);
    for (size_t i = 0; i < n; i++) {
        args[i] = build(b, e->u.call.args[i]);
        if (!is_number(args[i]->type))
            return fixed(b, TSM_VEC_NIL, false);
    }
    if (tsm_math_keeps_type(fn) && args[0]->type != TSM_VEC_FLOAT) {
        if (fn != TSM_MATH_ABS || args[0]->type == TSM_VEC_UNSIGNED)
            return args[0];
        struct tsm_program *p = node(b, STEP_ABS, TSM_VEC_INTEGER);
        p->lhs = args[0];
        return p;
    }
    struct tsm_program *x = cast(b, args[0], TSM_VEC_FLOAT);
    struct tsm_program *y = args[1] ? cast(b, args[1], TSM_VEC_FLOAT) : NULL;
    struct tsm_program *p = node(b, STEP_MATH, TSM_VEC_FLOAT);
    p->math = fn;
    p->lhs = x;
    p->rhs = y;
    return p;
}

static struct tsm_program *build(struct builder *b, const struct tsm_expr *e)
{
    struct tsm_program *p;
    enum tsm_vec_type type;
    size_t input;
    switch (e->kind) {
    case TSM_EXPR_PAREN:
        return build(b, e->u.paren);
    case TSM_EXPR_BINARY:
        return build_binary(b, e);
    case TSM_EXPR_CALL:
        if (tsm_math_find(e->u.call.name) != TSM_MATHS)
            return build_math(b, tsm_math_find(e->u.call.name), e);
        /* fallthrough */
    case TSM_EXPR_VAR:
        input = b->input_of(b->ctx, e, &type);
        if (type == TSM_VEC_NIL)
            return fixed(b, TSM_VEC_NIL, false);
        p = node(b, STEP_INPUT, type);
        p->number = input;
        return p;
    case TSM_EXPR_REGEX:
        p = node(b, STEP_REGEX, TSM_VEC_NIL);
        p->re = e->u.regex.re;
        return p;
    case TSM_EXPR_STRING:
        p = node(b, STEP_CONSTANT, TSM_VEC_STRING);
        p->value.s = e->u.string;
        return p;
    case TSM_EXPR_INTEGER:
        p = node(b, STEP_CONSTANT, TSM_VEC_INTEGER);
        p->value.i = e->u.integer;
        return p;
    case TSM_EXPR_UNSIGNED:
        p = node(b, STEP_CONSTANT, TSM_VEC_UNSIGNED);
        p->value.u = e->u.uinteger;
        return p;
    case TSM_EXPR_NUMBER:
        p = node(b, STEP_CONSTANT, TSM_VEC_FLOAT);
        p->value.f = e->u.number;
        return p;
    case TSM_EXPR_BOOLEAN:
        return fixed(b, TSM_VEC_BOOLEAN, e->u.boolean);
    default:
        return fixed(b, TSM_VEC_NIL, false);
    }
}

struct tsm_program *tsm_program_new(struct tsm_arena *a, const struct tsm_expr *e, bool select,
                                    tsm_input_of *input_of, void *ctx)
{
    struct builder b = {a, select, input_of, ctx, 0};
    struct tsm_program *p = build(&b, e);
    p->nodes = b.nodes;
    return p;
}

enum tsm_vec_type tsm_program_type(const struct tsm_program *p)
{
    return p->type;
}

/* ---- running ----------------------------------------------------------------------------------- */

struct run {
    struct tsm_program_space *s;
    const struct tsm_vec *inputs;
    size_t n;
    struct tsm_err *err;
};

static void *room(struct run *r, const struct tsm_program *p, size_t n)
{
    struct buffer *b = &r->s->buffers[p->number];
    size_t want = n * tsm_vec_size(p->type) + 1;
    if (want > b->cap) {
        tsm_free(b->data);
        b->data = tsm_alloc(want);
        b->cap = want;
    }
    return b->data;
}

static uint8_t *null_room(struct run *r, const struct tsm_program *p, size_t n)
{
    struct buffer *b = &r->s->buffers[p->number];
    if (n + 1 > b->capnulls) {
        tsm_free(b->nulls);
        b->nulls = tsm_alloc(n + 1);
        b->capnulls = n + 1;
    }
    return b->nulls;
}

/* Where either side is missing; NULL when nothing is. */
static const uint8_t *join_nulls(struct run *r, const struct tsm_program *p, const struct tsm_vec *x,
                                 const struct tsm_vec *y, size_t n)
{
    if (!x->nulls && !y->nulls)
        return NULL;
    uint8_t *out = null_room(r, p, n);
    size_t xs = !x->constant, ys = !y->constant;
    for (size_t i = 0; i < n; i++)
        out[i] = (x->nulls && x->nulls[i * xs]) || (y->nulls && y->nulls[i * ys]);
    return out;
}

/* out[i] = f(x, y) for the rows, with constants kept out of the loops' memory traffic. */
#define EACH(out, xv, yv, f)                                   \
    do {                                                       \
        if (y.constant && !x.constant) {                       \
            const __typeof__(*(yv)) c_ = *(yv);                \
            for (size_t i_ = 0; i_ < n; i_++)                  \
                (out)[i_] = f((xv)[i_], c_);                   \
        } else {                                               \
            size_t xs_ = !x.constant, ys_ = !y.constant;       \
            for (size_t i_ = 0; i_ < n; i_++)                  \
                (out)[i_] = f((xv)[i_ * xs_], (yv)[i_ * ys_]); \
        }                                                      \
    } while (0)

#define F_EQ(a, b) ((a) == (b))
#define F_NEQ(a, b) ((a) != (b))
#define F_LT(a, b) ((a) < (b))
#define F_LTE(a, b) ((a) <= (b))
#define F_GT(a, b) ((a) > (b))
#define F_GTE(a, b) ((a) >= (b))
#define F_AND(a, b) ((a) & (b))
#define F_OR(a, b) ((a) | (b))
#define F_XOR(a, b) ((a) ^ (b))
#define F_ADD(a, b) ((a) + (b))
#define F_SUB(a, b) ((a) - (b))
#define F_MUL(a, b) ((a) * (b))
#define F_FDIV(a, b) ((b) == 0 ? 0 : (a) / (b))
#define F_FMOD(a, b) fmod((a), (b))
#define F_IADD(a, b) ((int64_t)((uint64_t)(a) + (uint64_t)(b)))
#define F_ISUB(a, b) ((int64_t)((uint64_t)(a) - (uint64_t)(b)))
#define F_IMUL(a, b) ((int64_t)((uint64_t)(a) * (uint64_t)(b)))
#define F_IDIV(a, b) ((b) == 0 ? 0 : (b) == -1 ? F_ISUB(0, a) : (a) / (b))
#define F_IMOD(a, b) ((b) == 0 || (b) == -1 ? 0 : (a) % (b))
#define F_UDIV(a, b) ((b) == 0 ? 0 : (a) / (b))
#define F_UMOD(a, b) ((b) == 0 ? 0 : (a) % (b))

#define COMPARE(xv, yv)           \
    switch (p->op) {              \
    case TSM_TOK_EQ:              \
        EACH(out, xv, yv, F_EQ);  \
        break;                    \
    case TSM_TOK_NEQ:             \
        EACH(out, xv, yv, F_NEQ); \
        break;                    \
    case TSM_TOK_LT:              \
        EACH(out, xv, yv, F_LT);  \
        break;                    \
    case TSM_TOK_LTE:             \
        EACH(out, xv, yv, F_LTE); \
        break;                    \
    case TSM_TOK_GT:              \
        EACH(out, xv, yv, F_GT);  \
        break;                    \
    default:                      \
        EACH(out, xv, yv, F_GTE); \
        break;                    \
    }

static void compare_numbers(const struct tsm_program *p, struct tsm_vec x, struct tsm_vec y, size_t n,
                            uint8_t *out)
{
    switch (p->lhs->type) {
    case TSM_VEC_FLOAT:
        COMPARE(x.v.f, y.v.f);
        break;
    case TSM_VEC_INTEGER:
        COMPARE(x.v.i, y.v.i);
        break;
    default:
        COMPARE(x.v.u, y.v.u);
        break;
    }
    if (!p->mixed_sign || p->op == TSM_TOK_EQ || p->op == TSM_TOK_NEQ)
        return;
    struct tsm_vec s = p->mixed_left ? x : y; /* the side that was signed */
    bool below = p->op == TSM_TOK_LT || p->op == TSM_TOK_LTE;
    uint8_t value = below == p->mixed_left;
    for (size_t i = 0; i < n; i++)
        if ((int64_t)s.v.u[s.constant ? 0 : i] < 0)
            out[i] = value;
}

static int compare_strings(struct run *r, const struct tsm_program *p, struct tsm_vec x, struct tsm_vec y,
                           uint8_t *out)
{
    size_t n = r->n, xs = !x.constant, ys = !y.constant;
    if (p->rhs->step != STEP_REGEX) {
        bool want = p->op == TSM_TOK_EQ;
        for (size_t i = 0; i < n; i++)
            out[i] = tsm_str_eq(x.v.s[i * xs], y.v.s[i * ys]) == want;
        return TSM_OK;
    }
    bool want = p->op == TSM_TOK_EQREGEX;
    for (size_t i = 0; i < n; i++) {
        if (x.nulls && x.nulls[i * xs])
            continue;
        int m = tsm_regex_match(p->rhs->re, x.v.s[i * xs], r->err);
        if (m < 0)
            return m;
        out[i] = (m != 0) == want;
    }
    return TSM_OK;
}

static void logic(const struct tsm_program *p, struct tsm_vec x, struct tsm_vec y, size_t n, uint8_t *out)
{
    switch (p->op) {
    case TSM_TOK_AND:
    case TSM_TOK_BITWISE_AND:
        EACH(out, x.v.b, y.v.b, F_AND);
        break;
    case TSM_TOK_OR:
    case TSM_TOK_BITWISE_OR:
        EACH(out, x.v.b, y.v.b, F_OR);
        break;
    case TSM_TOK_EQ:
        EACH(out, x.v.b, y.v.b, F_EQ);
        break;
    default:
        EACH(out, x.v.b, y.v.b, F_XOR);
        break;
    }
}

#define ARITHMETIC(out, xv, yv, ADD, SUB, MUL, DIV, MOD) \
    switch (p->op) {                                     \
    case TSM_TOK_ADD:                                    \
        EACH(out, xv, yv, ADD);                          \
        break;                                           \
    case TSM_TOK_SUB:                                    \
        EACH(out, xv, yv, SUB);                          \
        break;                                           \
    case TSM_TOK_MUL:                                    \
        EACH(out, xv, yv, MUL);                          \
        break;                                           \
    case TSM_TOK_DIV:                                    \
        EACH(out, xv, yv, DIV);                          \
        break;                                           \
    default:                                             \
        EACH(out, xv, yv, MOD);                          \
        break;                                           \
    }

#define BITS(out, xv, yv)         \
    switch (p->op) {              \
    case TSM_TOK_BITWISE_AND:     \
        EACH(out, xv, yv, F_AND); \
        break;                    \
    case TSM_TOK_BITWISE_OR:      \
        EACH(out, xv, yv, F_OR);  \
        break;                    \
    default:                      \
        EACH(out, xv, yv, F_XOR); \
        break;                    \
    }

static void arithmetic(const struct tsm_program *p, struct tsm_vec x, struct tsm_vec y, size_t n, void *data)
{
    bool bits = p->op == TSM_TOK_BITWISE_AND || p->op == TSM_TOK_BITWISE_OR || p->op == TSM_TOK_BITWISE_XOR;
    double *f = data;
    int64_t *s = data;
    uint64_t *u = data;
    if (p->type == TSM_VEC_FLOAT) {
        ARITHMETIC(f, x.v.f, y.v.f, F_ADD, F_SUB, F_MUL, F_FDIV, F_FMOD);
    } else if (p->type == TSM_VEC_INTEGER) {
        if (bits) {
            BITS(s, x.v.i, y.v.i);
        } else {
            ARITHMETIC(s, x.v.i, y.v.i, F_IADD, F_ISUB, F_IMUL, F_IDIV, F_IMOD);
        }
    } else if (bits) {
        BITS(u, x.v.u, y.v.u);
    } else {
        ARITHMETIC(u, x.v.u, y.v.u, F_ADD, F_SUB, F_MUL, F_UDIV, F_UMOD);
    }
}

/* Integers to floats, or signed to unsigned (same bits). */
static void convert(const struct tsm_program *p, struct tsm_vec x, size_t n, void *data)
{
    if (p->type == TSM_VEC_UNSIGNED) {
        memcpy(data, x.v.p, n * 8);
        return;
    }
    double *out = data;
    if (p->lhs->type == TSM_VEC_INTEGER)
        for (size_t i = 0; i < n; i++)
            out[i] = (double)x.v.i[i];
    else
        for (size_t i = 0; i < n; i++)
            out[i] = (double)x.v.u[i];
}

static void absolute(const int64_t *x, size_t n, int64_t *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = x[i] < 0 ? F_ISUB(0, x[i]) : x[i];
}

static const uint8_t one_null = 1;

static int run(struct run *r, const struct tsm_program *p, struct tsm_vec *out)
{
    *out = (struct tsm_vec){.type = p->type};
    switch (p->step) {
    case STEP_INPUT:
        *out = r->inputs[p->number];
        return TSM_OK;
    case STEP_CONSTANT:
    case STEP_FIXED:
        out->constant = true;
        out->v.p = &p->value;
        if (p->type == TSM_VEC_NIL)
            out->nulls = &one_null;
        else if (p->type == TSM_VEC_BOOLEAN)
            out->v.b = (const uint8_t *)&p->value.b;
        return TSM_OK;
    case STEP_REGEX:
        out->constant = true;
        return TSM_OK;
    default:
        break;
    }

    struct tsm_vec x, y = {.constant = true};
    int code = run(r, p->lhs, &x);
    if (!code && p->rhs)
        code = run(r, p->rhs, &y);
    if (code)
        return code;
    size_t n = x.constant && y.constant && p->step != STEP_COMPARE && p->step != STEP_LOGIC ? 1 : r->n;
    out->constant = x.constant && y.constant;
    void *data = room(r, p, n);
    out->v.p = data;
    if (p->step == STEP_CAST) {
        convert(p, x, n, data);
        out->nulls = x.nulls;
        return TSM_OK;
    }
    const uint8_t *nulls = join_nulls(r, p, &x, &y, n);
    if (p->step == STEP_ARITHMETIC || p->step == STEP_MATH || p->step == STEP_ABS) {
        if (p->step == STEP_ARITHMETIC)
            arithmetic(p, x, y, n, data);
        else if (p->step == STEP_MATH)
            tsm_math_apply(p->math, x.v.f, x.constant, y.v.f, y.constant, n, data);
        else
            absolute(x.v.i, n, data);
        out->nulls = nulls;
        return TSM_OK;
    }
    uint8_t *result = data;
    out->constant = false;
    if (p->step == STEP_COMPARE && p->lhs->type == TSM_VEC_STRING)
        code = compare_strings(r, p, x, y, result);
    else if (p->step == STEP_COMPARE)
        compare_numbers(p, x, y, n, result);
    else
        logic(p, x, y, n, result);
    if (nulls)
        for (size_t i = 0; i < n; i++)
            result[i] &= !nulls[i];
    return code;
}

int tsm_program_run(const struct tsm_program *p, struct tsm_program_space *s, const struct tsm_vec *inputs,
                    size_t n, struct tsm_vec *out, struct tsm_err *err)
{
    if (p->nodes > s->n) {
        s->buffers = tsm_realloc_array(s->buffers, p->nodes, sizeof *s->buffers);
        memset(s->buffers + s->n, 0, (p->nodes - s->n) * sizeof *s->buffers);
        s->n = p->nodes;
    }
    struct run r = {s, inputs, n, err};
    return run(&r, p, out);
}

int tsm_program_filter(const struct tsm_program *p, struct tsm_program_space *s, const struct tsm_vec *inputs,
                       size_t n, uint8_t *mask, size_t *count, struct tsm_err *err)
{
    *count = 0;
    struct tsm_vec v;
    int code = tsm_program_run(p, s, inputs, n, &v, err);
    if (code)
        return code;
    if (v.type != TSM_VEC_BOOLEAN) {
        memset(mask, 0, n);
        return TSM_OK;
    }
    size_t step = !v.constant, total = 0;
    if (!v.constant && !v.nulls) {
        memcpy(mask, v.v.b, n);
        for (size_t i = 0; i < n; i++)
            total += mask[i];
        *count = total;
        return TSM_OK;
    }
    for (size_t i = 0; i < n; i++) {
        mask[i] = v.v.b[i * step] && !(v.nulls && v.nulls[i * step]);
        total += mask[i];
    }
    *count = total;
    return TSM_OK;
}
