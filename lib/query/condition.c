/* query/condition.c: conditions against tags. What remains for the rows depends only on the answers of the
 * comparisons with tags, so it is built once for each combination of answers. */
#include "query/condition.h"

#include "base/alloc.h"
#include "base/banned.h"

enum kind { KIND_AND, KIND_OR, KIND_ALL, KIND_NONE, KIND_TAG, KIND_ROWS };

struct node {
    enum kind kind;
    struct node *lhs, *rhs; /* AND, OR */
    struct tsm_expr *expr;  /* the comparison */
    enum tsm_token op;      /* KIND_TAG: EQ, NEQ, EQREGEX, NEQREGEX, or another that no series answers */
    size_t tag, other;      /* KIND_TAG: index of the tag; of the one it is compared with, or SIZE_MAX */
    bool is_name;           /* KIND_TAG: _name, the measurement */
    struct tsm_str text;
    const struct tsm_regex *re;
    size_t number; /* KIND_TAG: its bit in the answers */
};

struct known { /* the remains for a combination of answers */
    uint64_t answers;
    bool in;
    uint32_t filter;
};

struct tsm_condition {
    struct node *root;
    struct node **tags;
    size_t ntags, captags;
    struct known *known;
    size_t nknown, capknown;
};

static bool is_field(const struct tsm_expr *e)
{
    enum tsm_data_type t = e->u.var.type;
    return !tsm_str_eq(e->u.var.name, TSM_STR("_name")) && t != TSM_DATA_TAG && t != TSM_DATA_UNKNOWN;
}

static void *grow_in_arena(struct tsm_arena *a, void *old, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return old;
    size_t want = *cap ? 2 * *cap : 8;
    void *p = tsm_arena_calloc(a, want * size);
    if (n)
        memcpy(p, old, n * size);
    *cap = want;
    return p;
}

/* Fields and tags that are asked row by row. */
static bool note_vars(void *ctx, const struct tsm_expr *e)
{
    struct tsm_plan *p = ctx;
    if (e->kind != TSM_EXPR_VAR)
        return true;
    if (is_field(e))
        tsm_plan_field(p, e->u.var.name, e->u.var.type);
    else
        tsm_plan_tag(p, e->u.var.name);
    return true;
}

static struct node *rows_node(struct tsm_plan *p, struct node *n)
{
    n->kind = KIND_ROWS;
    tsm_expr_walk(n->expr, note_vars, p);
    return n;
}

static struct node *comparison(struct tsm_condition *c, struct tsm_plan *p, struct node *n)
{
    const struct tsm_expr *e = n->expr, *name = e->u.binary.lhs, *value = e->u.binary.rhs;
    if (name->kind == TSM_EXPR_BINARY || value->kind == TSM_EXPR_BINARY)
        return rows_node(p, n);
    if (name->kind != TSM_EXPR_VAR) {
        const struct tsm_expr *t = name;
        name = value;
        value = t;
    }
    if (name->kind != TSM_EXPR_VAR || is_field(name) || (value->kind == TSM_EXPR_VAR && is_field(value)))
        return rows_node(p, n);

    n->other = SIZE_MAX;
    if (value->kind == TSM_EXPR_STRING)
        n->text = value->u.string;
    else if (value->kind == TSM_EXPR_REGEX)
        n->re = value->u.regex.re;
    else if (value->kind == TSM_EXPR_VAR)
        n->other = tsm_plan_tag(p, value->u.var.name);
    else
        return rows_node(p, n);
    n->kind = KIND_TAG;
    n->op = e->u.binary.op;
    n->is_name = tsm_str_eq(name->u.var.name, TSM_STR("_name"));
    n->tag = tsm_plan_tag(p, name->u.var.name);
    n->number = c->ntags;
    c->tags = grow_in_arena(&p->arena, c->tags, c->ntags, &c->captags, sizeof *c->tags);
    c->tags[c->ntags++] = n;
    return n;
}

static struct node *build(struct tsm_condition *c, struct tsm_plan *p, const struct tsm_expr *e)
{
    while (e->kind == TSM_EXPR_PAREN)
        e = e->u.paren;
    struct node *n = tsm_arena_calloc(&p->arena, sizeof *n);
    n->expr = (struct tsm_expr *)e;
    if (e->kind == TSM_EXPR_BOOLEAN) {
        n->kind = e->u.boolean ? KIND_ALL : KIND_NONE;
        return n;
    }
    if (e->kind != TSM_EXPR_BINARY) {
        n->kind = KIND_NONE;
        return n;
    }
    enum tsm_token op = e->u.binary.op;
    if (op == TSM_TOK_AND || op == TSM_TOK_OR) {
        n->kind = op == TSM_TOK_AND ? KIND_AND : KIND_OR;
        n->lhs = build(c, p, e->u.binary.lhs);
        n->rhs = build(c, p, e->u.binary.rhs);
        return n;
    }
    if (op >= TSM_TOK_EQ && op <= TSM_TOK_GTE)
        return comparison(c, p, n);
    n->kind = KIND_ALL; /* arithmetic alone filters nothing */
    return n;
}

struct tsm_condition *tsm_condition_new(struct tsm_plan *p, const struct tsm_expr *e)
{
    struct tsm_condition *c = tsm_arena_calloc(&p->arena, sizeof *c);
    c->root = build(c, p, e);
    return c;
}

/* 1 or 0: the answer of one comparison; a negative code. */
static int answer(const struct node *n, struct tsm_str measurement, const struct tsm_str *values,
                  struct tsm_err *err)
{
    struct tsm_str v = n->is_name ? measurement : values[n->tag];
    bool equal;
    if (n->re) {
        int m = tsm_regex_match(n->re, v, err);
        if (m < 0)
            return m;
        return n->op == TSM_TOK_EQREGEX ? m : n->op == TSM_TOK_NEQREGEX ? !m : 0;
    }
    if (n->other != SIZE_MAX)
        equal = v.n && tsm_str_eq(v, values[n->other]);
    else
        equal = tsm_str_eq(v, n->text);
    return n->op == TSM_TOK_EQ ? equal : n->op == TSM_TOK_NEQ ? !equal : 0;
}

/* What remains of n: *in, and the filter (NULL: none). */
static struct tsm_expr *remains(struct tsm_arena *a, const struct node *n, const bool *answers, bool *in)
{
    bool l_in, r_in;
    struct tsm_expr *l, *r;
    switch (n->kind) {
    case KIND_ALL:
        *in = true;
        return NULL;
    case KIND_NONE:
        *in = false;
        return NULL;
    case KIND_TAG:
        *in = answers[n->number];
        return NULL;
    case KIND_ROWS:
        *in = true;
        return n->expr;
    default:
        break;
    }
    l = remains(a, n->lhs, answers, &l_in);
    r = remains(a, n->rhs, answers, &r_in);
    if (n->kind == KIND_AND) {
        *in = l_in && r_in;
        if (!*in)
            return NULL;
        return l && r ? tsm_expr_binary(a, TSM_TOK_AND, l, r) : l ? l : r;
    }
    *in = l_in || r_in;
    if (!l_in || !r_in)
        return l_in ? l : r_in ? r : NULL;
    return l && r ? tsm_expr_binary(a, TSM_TOK_OR, l, r) : NULL;
}

static uint32_t add_filter(struct tsm_plan *p, struct tsm_expr *e)
{
    if (!e)
        return TSM_NO_FILTER;
    p->filters = grow_in_arena(&p->arena, p->filters, p->nfilters, &p->capfilters, sizeof *p->filters);
    p->filters[p->nfilters] = e;
    return (uint32_t)p->nfilters++;
}

int tsm_condition_ask(struct tsm_condition *c, struct tsm_plan *p, struct tsm_str measurement,
                      const struct tsm_str *values, bool *in, uint32_t *filter, struct tsm_err *err)
{
    bool few[64], *answers = c->ntags > 64 ? tsm_alloc(c->ntags) : few;
    uint64_t bits = 0;
    int code = TSM_OK;
    for (size_t i = 0; i < c->ntags && !code; i++) {
        int yes = answer(c->tags[i], measurement, values, err);
        if (yes < 0)
            code = yes;
        answers[i] = yes > 0;
        bits |= (uint64_t)(yes > 0) << (i & 63);
    }
    if (code)
        goto out;
    if (c->ntags <= 64) {
        for (size_t i = 0; i < c->nknown; i++) {
            if (c->known[i].answers == bits) {
                *in = c->known[i].in;
                *filter = c->known[i].filter;
                goto out;
            }
        }
    }
    *filter = add_filter(p, remains(&p->arena, c->root, answers, in));
    if (c->ntags <= 64 && c->nknown < 256) {
        c->known = grow_in_arena(&p->arena, c->known, c->nknown, &c->capknown, sizeof *c->known);
        c->known[c->nknown++] = (struct known){bits, *in, *filter};
    }
out:
    if (answers != few)
        tsm_free(answers);
    return code;
}
