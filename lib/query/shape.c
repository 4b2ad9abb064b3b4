/* query/shape.c: from the select list to columns. The rules, with their oddities, are influxql's
 * RewriteFields and ColumnNames, and influxd's valueMapper. */
#include "query/shape.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/sort.h"
#include "base/banned.h"

struct shaper {
    struct tsm_shape *s;
    struct tsm_plan *p;
    struct tsm_arena *a;
    const struct tsm_compiled *c;
    struct tsm_err *err;
    struct tsm_select_field *fields; /* the select list, expanded */
    size_t n, cap;
    struct tsm_aux *names; /* what wildcards stand for: fields and tags, ascending by name and type */
    size_t nnames;
    size_t capaux, capcalls;
};

static int compare_aux(const void *x, const void *y)
{
    const struct tsm_aux *a = x, *b = y;
    int c = tsm_str_cmp(a->name, b->name);
    return c ? c : (a->type > b->type) - (a->type < b->type);
}

/* ---- types ------------------------------------------------------------------------------------- */

/* Gives every variable of e, a copy, its type. */
static void set_types(struct shaper *k, struct tsm_expr *e)
{
    switch (e->kind) {
    case TSM_EXPR_BINARY:
        set_types(k, e->u.binary.lhs);
        set_types(k, e->u.binary.rhs);
        break;
    case TSM_EXPR_PAREN:
        set_types(k, e->u.paren);
        break;
    case TSM_EXPR_CALL:
        for (size_t i = 0; i < e->u.call.nargs; i++)
            set_types(k, e->u.call.args[i]);
        break;
    case TSM_EXPR_VAR:
        if (e->u.var.type == TSM_DATA_UNKNOWN || e->u.var.type == TSM_DATA_ANY_FIELD) {
            enum tsm_data_type t = tsm_plan_type(k->p, e->u.var.name);
            if (t != TSM_DATA_TAG || e->u.var.type != TSM_DATA_ANY_FIELD)
                e->u.var.type = t;
        }
        break;
    default:
        break;
    }
}

static enum tsm_data_type call_type(enum tsm_function fn, enum tsm_data_type arg)
{
    switch (fn) {
    case TSM_FN_MEAN:
    case TSM_FN_MEDIAN:
    case TSM_FN_STDDEV:
        return TSM_DATA_FLOAT;
    case TSM_FN_COUNT:
        return TSM_DATA_INTEGER;
    default:
        return arg;
    }
}

static bool is_number(enum tsm_data_type t)
{
    return t == TSM_DATA_FLOAT || t == TSM_DATA_INTEGER || t == TSM_DATA_UNSIGNED;
}

/* The type of x op y by influxql's evaluator; unknown when there is no result. */
static enum tsm_data_type result_type(enum tsm_token op, enum tsm_data_type x, enum tsm_data_type y)
{
    bool bits = op == TSM_TOK_BITWISE_AND || op == TSM_TOK_BITWISE_OR || op == TSM_TOK_BITWISE_XOR;
    bool compares = op == TSM_TOK_EQ || op == TSM_TOK_NEQ || op == TSM_TOK_LT || op == TSM_TOK_LTE ||
                    op == TSM_TOK_GT || op == TSM_TOK_GTE;
    if (compares)
        return TSM_DATA_BOOLEAN;
    if (x == TSM_DATA_BOOLEAN && y == TSM_DATA_BOOLEAN)
        return bits || op == TSM_TOK_AND || op == TSM_TOK_OR ? TSM_DATA_BOOLEAN : TSM_DATA_UNKNOWN;
    if (!is_number(x) || !is_number(y) || op < TSM_TOK_ADD || op > TSM_TOK_BITWISE_XOR)
        return TSM_DATA_UNKNOWN;
    if (x == TSM_DATA_FLOAT || y == TSM_DATA_FLOAT)
        return bits ? TSM_DATA_UNKNOWN : TSM_DATA_FLOAT;
    return x == y ? x : TSM_DATA_UNSIGNED;
}

static int type_error(struct shaper *k, const struct tsm_expr *e, const char *fmt, const char *x,
                      const char *y)
{
    struct tsm_buf text = {0}, why = {0};
    tsm_expr_print(&text, e);
    tsm_buf_printf(&why, fmt, x, y);
    int code = tsm_err_set(k->err, TSM_EQUERY, "type error: %s: %s", tsm_buf_cstr(&text), tsm_buf_cstr(&why));
    tsm_buf_release(&text);
    tsm_buf_release(&why);
    return code;
}

static bool is_literal_number(const struct tsm_expr *e)
{
    return e->kind == TSM_EXPR_INTEGER || e->kind == TSM_EXPR_UNSIGNED;
}

static int check_type(struct shaper *k, const struct tsm_expr *e, enum tsm_data_type *type);

static int check_binary(struct shaper *k, const struct tsm_expr *e, enum tsm_data_type *type)
{
    enum tsm_data_type x, y;
    int code = check_type(k, e->u.binary.lhs, &x);
    if (!code)
        code = check_type(k, e->u.binary.rhs, &y);
    if (code)
        return code;
    const char *op = tsm_token_text(e->u.binary.op);
    if ((x == TSM_DATA_UNSIGNED && y == TSM_DATA_INTEGER) ||
        (x == TSM_DATA_INTEGER && y == TSM_DATA_UNSIGNED)) {
        const struct tsm_expr *u = x == TSM_DATA_UNSIGNED ? e->u.binary.lhs : e->u.binary.rhs;
        const struct tsm_expr *i = x == TSM_DATA_UNSIGNED ? e->u.binary.rhs : e->u.binary.lhs;
        if (is_literal_number(u))
            return type_error(k, e, "cannot use %s with an integer and unsigned literal%s", op, "");
        if (!is_literal_number(i))
            return type_error(k, e,
                              "cannot use %s between an integer and unsigned, an explicit cast is required%s",
                              op, "");
    }
    if (x == TSM_DATA_UNKNOWN || y == TSM_DATA_UNKNOWN) {
        *type = x == TSM_DATA_UNKNOWN ? y : x;
        return TSM_OK;
    }
    *type = result_type(e->u.binary.op, x, y);
    if (*type == TSM_DATA_UNKNOWN)
        return type_error(k, e, "incompatible types: %s and %s", tsm_data_type_name(x),
                          tsm_data_type_name(y));
    return TSM_OK;
}

static int check_type(struct shaper *k, const struct tsm_expr *e, enum tsm_data_type *type)
{
    int code;
    switch (e->kind) {
    case TSM_EXPR_VAR:
        *type = e->u.var.type == TSM_DATA_ANY_FIELD ? TSM_DATA_UNKNOWN : e->u.var.type;
        return TSM_OK;
    case TSM_EXPR_CALL:
        *type = TSM_DATA_UNKNOWN;
        code = e->u.call.nargs ? check_type(k, e->u.call.args[0], type) : TSM_OK;
        *type = call_type(tsm_function_find(e->u.call.name), *type);
        return code;
    case TSM_EXPR_BINARY:
        return check_binary(k, e, type);
    case TSM_EXPR_PAREN:
        return check_type(k, e->u.paren, type);
    case TSM_EXPR_NUMBER:
        *type = TSM_DATA_FLOAT;
        return TSM_OK;
    case TSM_EXPR_INTEGER:
        *type = TSM_DATA_INTEGER;
        return TSM_OK;
    case TSM_EXPR_UNSIGNED:
        *type = TSM_DATA_UNSIGNED;
        return TSM_OK;
    case TSM_EXPR_STRING:
        *type = TSM_DATA_STRING;
        return TSM_OK;
    case TSM_EXPR_BOOLEAN:
        *type = TSM_DATA_BOOLEAN;
        return TSM_OK;
    default:
        *type = TSM_DATA_UNKNOWN;
        return TSM_OK;
    }
}

/* ---- wildcards --------------------------------------------------------------------------------- */

static void add_name(struct shaper *k, size_t *cap, struct tsm_str name, enum tsm_data_type type)
{
    for (size_t i = 0; i < k->nnames; i++) {
        struct tsm_aux *known = &k->names[i];
        if (!tsm_str_eq(known->name, name) || (known->type == TSM_DATA_TAG) != (type == TSM_DATA_TAG))
            continue;
        if (tsm_data_type_less(known->type, type))
            known->type = type;
        return;
    }
    TSM_GROW(k->names, k->nnames + 1, *cap);
    k->names[k->nnames++] = (struct tsm_aux){.name = name, .type = type};
}

static bool is_dimension(const struct tsm_compiled *c, struct tsm_str name)
{
    for (size_t i = 0; i < c->ndimensions; i++)
        if (c->dimensions[i]->kind == TSM_EXPR_VAR && tsm_str_eq(c->dimensions[i]->u.var.name, name))
            return true;
    return false;
}

/* Collects what a wildcard in the select list stands for. Tags do not count when a wildcard groups by them.
 */
static void collect_names(struct shaper *k)
{
    bool wildcard = false;
    for (size_t i = 0; i < k->c->ndimensions; i++)
        wildcard = wildcard || k->c->dimensions[i]->kind != TSM_EXPR_VAR;
    size_t cap = 0;
    for (size_t u = 0; u < k->p->nunits; u++) {
        const struct tsm_unit *unit = &k->p->units[u];
        for (size_t i = 0; i < unit->nfields; i++)
            add_name(k, &cap, unit->fields[i].name, tsm_data_type_of(unit->fields[i].type));
        for (size_t i = 0; i < unit->ntags && !wildcard; i++)
            if (!is_dimension(k->c, unit->tags[i]))
                add_name(k, &cap, unit->tags[i], TSM_DATA_TAG);
    }
    tsm_sort(k->names, k->nnames, sizeof *k->names, compare_aux);
}

static void add_field(struct shaper *k, struct tsm_expr *e, struct tsm_str alias)
{
    TSM_GROW(k->fields, k->n + 1, k->cap);
    k->fields[k->n++] = (struct tsm_select_field){e, alias};
}

static struct tsm_expr *make_var(struct shaper *k, const struct tsm_aux *name)
{
    struct tsm_expr *e = tsm_expr_new(k->a, TSM_EXPR_VAR);
    e->u.var.name = name->name;
    e->u.var.type = name->type;
    return e;
}

/* Which types a wildcard in this function stands for. */
static bool function_takes(struct tsm_str fn, enum tsm_data_type type)
{
    switch (type) {
    case TSM_DATA_FLOAT:
    case TSM_DATA_INTEGER:
    case TSM_DATA_UNSIGNED:
        return true;
    case TSM_DATA_STRING:
    case TSM_DATA_BOOLEAN:
        switch (tsm_function_find(fn)) {
        case TSM_FN_COUNT:
        case TSM_FN_FIRST:
        case TSM_FN_LAST:
        case TSM_FN_DISTINCT:
        case TSM_FN_MODE:
            return true;
        case TSM_FN_MIN:
        case TSM_FN_MAX:
            return type == TSM_DATA_BOOLEAN;
        default:
            return false;
        }
    default:
        return false;
    }
}

static int expand_call(struct shaper *k, const struct tsm_select_field *f)
{
    const struct tsm_expr *call = f->expr;
    while (call->u.call.nargs && call->u.call.args[0]->kind == TSM_EXPR_CALL)
        call = call->u.call.args[0];
    const struct tsm_expr *arg = call->u.call.nargs ? call->u.call.args[0] : NULL;
    if (!arg || (arg->kind != TSM_EXPR_WILDCARD && arg->kind != TSM_EXPR_REGEX)) {
        add_field(k, f->expr, f->alias);
        return TSM_OK;
    }
    struct tsm_str fn = call->u.call.name;
    if (arg->kind == TSM_EXPR_WILDCARD && arg->u.wildcard == TSM_DATA_TAG)
        return tsm_err_set(k->err, TSM_EQUERY, "unable to use tag wildcard in %.*s()", (int)fn.n, fn.p);
    struct tsm_str name = tsm_field_name(k->a, f);
    for (size_t i = 0; i < k->nnames; i++) {
        const struct tsm_aux *n = &k->names[i];
        if (!function_takes(fn, n->type))
            continue;
        if (arg->kind == TSM_EXPR_REGEX) {
            int m = tsm_regex_match(arg->u.regex.re, n->name, k->err);
            if (m < 0)
                return m;
            if (!m)
                continue;
        }
        struct tsm_expr *copy = tsm_expr_copy(k->a, f->expr), *inner = copy;
        while (inner->u.call.args[0]->kind == TSM_EXPR_CALL)
            inner = inner->u.call.args[0];
        inner->u.call.args[0] = make_var(k, n);
        if (f->alias.n)
            name = f->alias;
        char *alias = tsm_arena_printf(k->a, "%.*s_%.*s", (int)name.n, name.p, (int)n->name.n, n->name.p);
        add_field(k, copy, tsm_str_of(alias));
    }
    return TSM_OK;
}

static int expand_fields(struct shaper *k)
{
    for (size_t i = 0; i < k->c->nfields; i++) {
        const struct tsm_select_field *f = &k->c->fields[i];
        const struct tsm_expr *e = f->expr;
        if (e->kind == TSM_EXPR_CALL) {
            int code = expand_call(k, f);
            if (code)
                return code;
            continue;
        }
        if (e->kind != TSM_EXPR_WILDCARD && e->kind != TSM_EXPR_REGEX) {
            add_field(k, f->expr, f->alias);
            continue;
        }
        for (size_t n = 0; n < k->nnames; n++) {
            bool tag = k->names[n].type == TSM_DATA_TAG;
            if (e->kind == TSM_EXPR_WILDCARD) {
                if ((e->u.wildcard == TSM_DATA_TAG && !tag) || (e->u.wildcard == TSM_DATA_ANY_FIELD && tag))
                    continue;
            } else {
                int m = tsm_regex_match(e->u.regex.re, k->names[n].name, k->err);
                if (m < 0)
                    return m;
                if (!m)
                    continue;
            }
            add_field(k, make_var(k, &k->names[n]), (struct tsm_str){0});
        }
    }
    return TSM_OK;
}

static int compare_names(const void *x, const void *y)
{
    const struct tsm_str *a = x, *b = y;
    return tsm_str_cmp(*a, *b);
}

static int expand_dimensions(struct shaper *k)
{
    size_t most = 1;
    for (size_t u = 0; u < k->p->nunits; u++)
        most += k->p->units[u].ntags;
    most += k->c->ndimensions;
    struct tsm_str *all = tsm_arena_alloc(k->a, most * (k->c->ndimensions + 1) * sizeof *all);
    size_t n = 0;
    for (size_t d = 0; d < k->c->ndimensions; d++) {
        const struct tsm_expr *e = k->c->dimensions[d];
        if (e->kind == TSM_EXPR_VAR) {
            all[n++] = e->u.var.name;
            continue;
        }
        for (size_t u = 0; u < k->p->nunits; u++) {
            for (size_t i = 0; i < k->p->units[u].ntags; i++) {
                struct tsm_str tag = k->p->units[u].tags[i];
                int m = e->kind == TSM_EXPR_REGEX ? tsm_regex_match(e->u.regex.re, tag, k->err) : 1;
                if (m < 0)
                    return m;
                if (m)
                    all[n++] = tag;
            }
        }
    }
    tsm_sort(all, n, sizeof *all, compare_names);
    k->p->dimensions = all;
    for (size_t i = 0; i < n; i++)
        if (i == 0 || !tsm_str_eq(all[i], all[k->p->ndimensions - 1]))
            all[k->p->ndimensions++] = all[i];
    return TSM_OK;
}

/* ---- inputs ------------------------------------------------------------------------------------ */

static void add_aux(struct shaper *k, const struct tsm_expr *e)
{
    for (size_t i = 0; i < k->s->naux; i++)
        if (k->s->aux[i].type == e->u.var.type && tsm_str_eq(k->s->aux[i].name, e->u.var.name))
            return;
    TSM_GROW(k->s->aux, k->s->naux + 1, k->capaux);
    enum tsm_vec_type vec = tsm_vec_type_of(e->u.var.type);
    if (vec == TSM_VEC_NIL && k->c->stmt->fill == TSM_FILL_NUMBER) /* it is that number in every row */
        vec = k->c->stmt->fill_value->kind == TSM_EXPR_INTEGER ? TSM_VEC_INTEGER : TSM_VEC_FLOAT;
    k->s->aux[k->s->naux++] = (struct tsm_aux){
        .name = e->u.var.name, .type = e->u.var.type, .vec = vec, .index = SIZE_MAX};
}

static struct tsm_str printed(struct shaper *k, const struct tsm_expr *e)
{
    struct tsm_buf text = {0};
    tsm_expr_print(&text, e);
    struct tsm_str out = tsm_arena_str(k->a, tsm_buf_view(&text));
    tsm_buf_release(&text);
    return out;
}

static size_t find_call(struct shaper *k, struct tsm_str text)
{
    for (size_t i = 0; i < k->s->ncalls; i++)
        if (tsm_str_eq(k->s->calls[i].text, text))
            return i;
    return SIZE_MAX;
}

static void add_call(struct shaper *k, const struct tsm_expr *e)
{
    struct tsm_str text = printed(k, e);
    if (find_call(k, text) != SIZE_MAX)
        return;
    struct tsm_call c = {.text = text, .fn = tsm_function_find(e->u.call.name), .index = SIZE_MAX};
    const struct tsm_expr *arg = e->u.call.args[0];
    if (arg->kind == TSM_EXPR_CALL) {
        c.count_distinct = true;
        arg = arg->u.call.args[0];
    }
    if (c.fn == TSM_FN_PERCENTILE) {
        const struct tsm_expr *p = e->u.call.args[1];
        c.percentile = p->kind == TSM_EXPR_INTEGER ? (double)p->u.integer : p->u.number;
    }
    c.field = arg->u.var.name;
    c.arg = arg->u.var.type;
    enum tsm_data_type out = call_type(c.fn, c.arg);
    c.known = out != TSM_DATA_UNKNOWN;
    c.out = tsm_vec_type_of(out);
    TSM_GROW(k->s->calls, k->s->ncalls + 1, k->capcalls);
    k->s->calls[k->s->ncalls++] = c;
}

static bool note_input(void *ctx, const struct tsm_expr *e)
{
    struct shaper *k = ctx;
    if (e->kind == TSM_EXPR_VAR)
        add_aux(k, e);
    else if (e->kind == TSM_EXPR_CALL)
        add_call(k, e);
    return e->kind != TSM_EXPR_CALL;
}

static size_t input_of(void *ctx, const struct tsm_expr *e, enum tsm_vec_type *type)
{
    struct shaper *k = ctx;
    if (e->kind == TSM_EXPR_CALL) {
        size_t i = find_call(k, printed(k, e));
        *type = k->s->calls[i].out;
        return k->s->naux + i;
    }
    for (size_t i = 0; i < k->s->naux; i++) {
        if (k->s->aux[i].type == e->u.var.type && tsm_str_eq(k->s->aux[i].name, e->u.var.name)) {
            *type = k->s->aux[i].vec;
            return i;
        }
    }
    *type = TSM_VEC_NIL;
    return 0;
}

static bool is_field_type(enum tsm_data_type t)
{
    return is_number(t) || t == TSM_DATA_STRING || t == TSM_DATA_BOOLEAN;
}

static void register_inputs(struct shaper *k)
{
    struct tsm_shape *s = k->s;
    for (size_t i = 0; i < k->n; i++)
        tsm_expr_walk(k->fields[i].expr, note_input, k);
    tsm_sort(s->aux, s->naux, sizeof *s->aux, compare_aux);
    for (size_t i = 0; i < s->naux; i++) {
        if (s->aux[i].type == TSM_DATA_TAG)
            s->aux[i].index = tsm_plan_tag(k->p, s->aux[i].name);
        else if (is_field_type(s->aux[i].type))
            s->aux[i].index = tsm_plan_field(k->p, s->aux[i].name, s->aux[i].type);
    }
    for (size_t i = 0; i < s->ncalls; i++)
        if (is_field_type(s->calls[i].arg))
            s->calls[i].index = tsm_plan_field(k->p, s->calls[i].field, s->calls[i].arg);
    s->selector = s->ncalls == 1 && tsm_function_selects(s->calls[0].fn);
}

/* ---- columns ----------------------------------------------------------------------------------- */

static bool name_taken(const struct tsm_column_head *heads, const bool *set, size_t n, struct tsm_str name)
{
    for (size_t i = 0; i < n; i++)
        if (set[i] && tsm_str_eq(heads[i].name, name))
            return true;
    return false;
}

/* Aliases first, then the names of the others, made different by _1, _2 …; the time column does not count. */
static void name_columns(struct shaper *k)
{
    struct tsm_column_head *heads = k->s->heads + 1;
    bool *set = tsm_calloc(k->n + 1, 1);
    for (size_t i = 0; i < k->n; i++) {
        if (k->fields[i].alias.n) {
            heads[i].name = k->fields[i].alias;
            set[i] = true;
        }
    }
    for (size_t i = 0; i < k->n; i++) {
        if (set[i])
            continue;
        struct tsm_str name = tsm_field_name(k->a, &k->fields[i]);
        struct tsm_str free_name = name;
        for (unsigned count = 1; name_taken(heads, set, k->n, free_name); count++)
            free_name = tsm_str_of(tsm_arena_printf(k->a, "%.*s_%u", (int)name.n, name.p, count));
        heads[i].name = free_name;
        set[i] = true;
    }
    tsm_free(set);
}

static void make_columns(struct shaper *k)
{
    struct tsm_shape *s = k->s;
    s->ncolumns = k->n + 1;
    s->columns = tsm_arena_calloc(k->a, s->ncolumns * sizeof *s->columns);
    s->heads = tsm_arena_calloc(k->a, s->ncolumns * sizeof *s->heads);
    s->heads[0] = (struct tsm_column_head){k->c->time_name, TSM_ROLE_TIME};
    name_columns(k);
    for (size_t i = 0; i < k->n; i++) {
        struct tsm_out_column *col = &s->columns[i + 1];
        const struct tsm_expr *e = tsm_expr_bare(k->fields[i].expr);
        col->input = SIZE_MAX;
        if (e->kind == TSM_EXPR_VAR || e->kind == TSM_EXPR_CALL) {
            col->input = input_of(k, e, &col->type);
            if (e->kind == TSM_EXPR_VAR)
                s->heads[i + 1].role = e->u.var.type == TSM_DATA_TAG ? TSM_ROLE_TAG : TSM_ROLE_FIELD;
        } else {
            col->program = tsm_program_new(k->a, e, true, input_of, k);
            col->type = tsm_program_type(col->program);
        }
    }
    for (size_t i = 0; i < s->ncolumns; i++)
        s->columns[i].head = s->heads[i];
}

static void *into_arena(struct tsm_arena *a, void *items, size_t n, size_t size)
{
    void *p = tsm_arena_alloc(a, n * size);
    if (n)
        memcpy(p, items, n * size);
    tsm_free(items);
    return p;
}

int tsm_shape_make(struct tsm_shape *s, struct tsm_plan *p, const struct tsm_compiled *c, struct tsm_err *err)
{
    *s = (struct tsm_shape){0};
    struct shaper k = {.s = s, .p = p, .a = &p->arena, .c = c, .err = err};
    if (c->condition) {
        s->condition = tsm_expr_copy(k.a, c->condition);
        set_types(&k, s->condition);
    }
    collect_names(&k);
    int code = expand_fields(&k);
    for (size_t i = 0; i < k.n && !code; i++) {
        enum tsm_data_type type;
        k.fields[i].expr = tsm_expr_copy(k.a, k.fields[i].expr);
        set_types(&k, k.fields[i].expr);
        code = check_type(&k, k.fields[i].expr, &type);
    }
    if (!code)
        code = expand_dimensions(&k);
    if (!code) {
        register_inputs(&k);
        make_columns(&k);
    }
    s->aux = into_arena(k.a, s->aux, s->naux, sizeof *s->aux);
    s->calls = into_arena(k.a, s->calls, s->ncalls, sizeof *s->calls);
    tsm_free(k.names);
    tsm_free(k.fields);
    return code;
}
