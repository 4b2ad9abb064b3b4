/* query/shape.c: from the select list to columns. The rules, with their oddities, are influxql's
 * RewriteFields and ColumnNames, and influxd's valueMapper. */
#include "query/shape_impl.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/sort.h"
#include "base/banned.h"

static int compare_aux(const void *x, const void *y)
{
    const struct tsm_aux *a = x, *b = y;
    int c = tsm_str_cmp(a->name, b->name);
    return c ? c : (a->type > b->type) - (a->type < b->type);
}

/* ---- wildcards --------------------------------------------------------------------------------- */

/* index: whether it is a tag of the source, and no column: a subquery may have both of one name, which a wildcard then gives
 * twice. */
static void add_name(struct tsm_shaper *k, size_t *cap, struct tsm_str name, enum tsm_data_type type,
                     bool dimension)
{
    for (size_t i = 0; i < k->nnames; i++) {
        struct tsm_aux *known = &k->names[i];
        if (!tsm_str_eq(known->name, name) || known->index != dimension)
            continue;
        if (tsm_data_type_less(known->type, type))
            known->type = type;
        return;
    }
    TSM_GROW(k->names, k->nnames + 1, *cap);
    k->names[k->nnames++] = (struct tsm_aux){.name = name, .type = type, .index = dimension};
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
static void collect_names(struct tsm_shaper *k)
{
    bool wildcard = false;
    for (size_t i = 0; i < k->c->ndimensions; i++)
        wildcard = wildcard || k->c->dimensions[i]->kind != TSM_EXPR_VAR;
    size_t cap = 0;
    for (size_t u = 0; u < k->p->nunits; u++) {
        const struct tsm_unit *unit = &k->p->units[u];
        for (size_t i = 0; i < unit->nfields; i++)
            if (!unit->fields[i].hidden)
                add_name(k, &cap, unit->fields[i].name, unit->fields[i].wildcard, false);
        for (size_t i = 0; i < unit->ntags && !wildcard; i++)
            if (!is_dimension(k->c, unit->tags[i]))
                add_name(k, &cap, unit->tags[i], TSM_DATA_TAG, true);
    }
    tsm_sort(k->names, k->nnames, sizeof *k->names, compare_aux);
}

static void add_field(struct tsm_shaper *k, struct tsm_expr *e, struct tsm_str alias)
{
    TSM_GROW(k->fields, k->n + 1, k->cap);
    k->fields[k->n++] = (struct tsm_select_field){e, alias};
}

static struct tsm_expr *make_var(struct tsm_shaper *k, const struct tsm_aux *name)
{
    struct tsm_expr *e = tsm_expr_new(k->a, TSM_EXPR_VAR);
    e->u.var.name = name->name;
    e->u.var.type = name->type;
    return e;
}

/* Which types a wildcard in this function stands for. */
static bool function_takes(struct tsm_str fn, enum tsm_data_type type)
{
    enum tsm_function f = tsm_function_find(fn);
    if (f == TSM_FUNCTIONS)
        return type == TSM_DATA_FLOAT || type == TSM_DATA_INTEGER || type == TSM_DATA_UNSIGNED;
    return tsm_function_row_takes(tsm_function_row(f), type);
}

static int expand_call(struct tsm_shaper *k, const struct tsm_select_field *f)
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

static int expand_fields(struct tsm_shaper *k)
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

/* How many columns behind its own a field has because it is top() or bottom() of tags. */
static size_t tags_of_top(const struct tsm_shaper *k, const struct tsm_expr *e)
{
    enum tsm_function fn = e->kind == TSM_EXPR_CALL ? tsm_function_find(e->u.call.name) : TSM_FUNCTIONS;
    return (fn == TSM_FN_TOP || fn == TSM_FN_BOTTOM) && !k->c->stmt->target ? e->u.call.nargs - 2 : 0;
}

/* The tags of a top() or bottom() that stands on its own get columns, too, unless it is written somewhere. */
static void add_top_columns(struct tsm_shaper *k)
{
    struct tsm_select_field *all = k->fields;
    size_t n = k->n;
    k->fields = NULL;
    k->n = k->cap = 0;
    for (size_t i = 0; i < n; i++) {
        const struct tsm_expr *e = all[i].expr;
        add_field(k, all[i].expr, all[i].alias);
        for (size_t t = 0; t < tags_of_top(k, e); t++)
            add_field(k, e->u.call.args[t + 1], (struct tsm_str){0});
    }
    tsm_free(all);
}

static int compare_names(const void *x, const void *y)
{
    const struct tsm_str *a = x, *b = y;
    return tsm_str_cmp(*a, *b);
}

static int expand_dimensions(struct tsm_shaper *k)
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

static void add_aux(struct tsm_shaper *k, const struct tsm_expr *e)
{
    for (size_t i = 0; i < k->s->naux; i++)
        if (k->s->aux[i].type == e->u.var.type && tsm_str_eq(k->s->aux[i].name, e->u.var.name))
            return;
    TSM_GROW(k->s->aux, k->s->naux + 1, k->capaux);
    enum tsm_vec_type vec = tsm_vec_type_of(e->u.var.type);
    if (vec == TSM_VEC_NIL && k->c->fill == TSM_FILL_NUMBER) /* it is that number in every row */
        vec = k->c->stmt->fill_value->kind == TSM_EXPR_INTEGER ? TSM_VEC_INTEGER : TSM_VEC_FLOAT;
    k->s->aux[k->s->naux++] = (struct tsm_aux){
        .name = e->u.var.name, .type = e->u.var.type, .vec = vec, .index = SIZE_MAX};
}

struct noting {
    struct tsm_shaper *k;
    int code;
};

static bool note_input(void *ctx, const struct tsm_expr *e)
{
    struct noting *n = ctx;
    if (e->kind == TSM_EXPR_VAR)
        add_aux(n->k, e);
    if (e->kind != TSM_EXPR_CALL || tsm_expr_is_math(e))
        return n->code == TSM_OK;
    if (!n->code)
        n->code = tsm_shape_add_call(n->k, e);
    return false;
}

static size_t input_of(void *ctx, const struct tsm_expr *e, enum tsm_vec_type *type)
{
    struct tsm_shaper *k = ctx;
    if (e->kind == TSM_EXPR_CALL) {
        size_t i = tsm_shape_find_call(k, e);
        if (i == SIZE_MAX) {
            *type = TSM_VEC_NIL;
            return 0;
        }
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

/* Functions take tags of a subquery as strings. */
static bool reads_subquery(const struct tsm_plan *p)
{
    for (size_t i = 0; i < p->nunits; i++)
        if (p->units[i].level)
            return true;
    return false;
}

static int register_inputs(struct tsm_shaper *k)
{
    struct tsm_shape *s = k->s;
    struct noting n = {k, TSM_OK};
    for (size_t i = 0; i < k->n; i++)
        tsm_expr_walk(k->fields[i].expr, note_input, &n);
    if (n.code)
        return n.code;
    tsm_sort(s->aux, s->naux, sizeof *s->aux, compare_aux);
    for (size_t i = 0; i < s->naux; i++) {
        if (s->aux[i].type == TSM_DATA_TAG)
            s->aux[i].index = tsm_plan_tag(k->p, s->aux[i].name);
        else if (tsm_shape_is_field(s->aux[i].type))
            s->aux[i].index = tsm_plan_field(k->p, s->aux[i].name, s->aux[i].type);
    }
    for (size_t i = 0; i < s->ncalls; i++)
        if (tsm_shape_is_field(s->calls[i].arg) || (s->calls[i].arg == TSM_DATA_TAG && reads_subquery(k->p)))
            s->calls[i].index = tsm_plan_field(k->p, s->calls[i].field, s->calls[i].arg);
    s->selector = s->ncalls == 1 && tsm_function_selects(s->calls[0].outer);
    return TSM_OK;
}

/* The tags that top() and bottom() name make series of their own, as far as they are not in GROUP BY. */
static void add_top_dimensions(struct tsm_shaper *k)
{
    struct tsm_shape *s = k->s;
    struct tsm_plan *p = k->p;
    const struct tsm_call *top = s->ncalls ? &s->calls[0] : NULL;
    size_t most = p->ndimensions + (top ? top->ntags : 0);
    struct tsm_str *all = tsm_arena_alloc(k->a, most * sizeof *all);
    if (!top || top->ntags == 0)
        return;
    size_t n = 0;
    for (size_t i = 0; i < p->ndimensions; i++)
        all[n++] = p->dimensions[i];
    for (size_t i = 0; i < top->ntags; i++)
        all[n++] = top->tags[i];
    tsm_sort(all, n, sizeof *all, compare_names);
    size_t distinct = 0;
    for (size_t i = 0; i < n; i++)
        if (i == 0 || !tsm_str_eq(all[i], all[distinct - 1]))
            all[distinct++] = all[i];
    p->grouped = tsm_arena_calloc(k->a, distinct * sizeof *p->grouped);
    for (size_t i = 0; i < distinct; i++)
        for (size_t d = 0; d < p->ndimensions; d++)
            p->grouped[i] = p->grouped[i] || tsm_str_eq(all[i], p->dimensions[d]);
    p->dimensions = all;
    p->ndimensions = distinct;
}

/* ---- columns ----------------------------------------------------------------------------------- */

/* For each name that is taken: the number to try next behind it. */
static void take_name(struct tsm_map *taken, struct tsm_str name, uint32_t **next, size_t *n, size_t *cap)
{
    uint64_t hash = tsm_hash(name);
    if (tsm_map_get(taken, name, hash) != TSM_MAP_NONE)
        return;
    TSM_GROW(*next, *n + 1, *cap);
    tsm_map_put(taken, name, hash, (uint32_t)*n);
    (*next)[(*n)++] = 1;
}

/* Aliases first, then the names of the others, made different by _1, _2 …; the time column does not count. */
static void name_columns(struct tsm_shaper *k)
{
    struct tsm_column_head *heads = k->s->heads + 1;
    struct tsm_map taken = {0};
    uint32_t *next = NULL, at;
    size_t n = 0, cap = 0;
    for (size_t i = 0; i < k->n; i++) {
        heads[i].name = k->fields[i].alias;
        if (heads[i].name.n)
            take_name(&taken, heads[i].name, &next, &n, &cap);
    }
    for (size_t i = 0; i < k->n; i++) {
        if (heads[i].name.n)
            continue;
        struct tsm_str name = tsm_field_name(k->a, &k->fields[i]), free_name = name;
        uint32_t first = tsm_map_get(&taken, name, tsm_hash(name));
        for (at = first; at != TSM_MAP_NONE; at = tsm_map_get(&taken, free_name, tsm_hash(free_name)))
            free_name = tsm_str_of(tsm_arena_printf(k->a, "%.*s_%u", (int)name.n, name.p, next[first]++));
        heads[i].name = free_name;
        take_name(&taken, free_name, &next, &n, &cap);
    }
    tsm_map_release(&taken);
    tsm_free(next);
}

static int make_columns(struct tsm_shaper *k)
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
        col->name = tsm_field_name(k->a, &k->fields[i]);
        int code = tsm_shape_check_type(k, k->fields[i].expr, &col->data);
        if (code)
            return code;
        for (size_t t = 0; t < tags_of_top(k, e); t++)
            s->columns[i + 2 + t].extra = true;
        if (e->kind == TSM_EXPR_VAR || (e->kind == TSM_EXPR_CALL && !tsm_expr_is_math(e))) {
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
    return TSM_OK;
}

static void *into_arena(struct tsm_arena *a, void *items, size_t n, size_t size)
{
    void *p = tsm_arena_alloc(a, n * size);
    if (n)
        memcpy(p, items, n * size);
    tsm_free(items);
    return p;
}

int tsm_shape_make(struct tsm_shape *s, struct tsm_plan *p, const struct tsm_compiled *c, bool inner,
                   struct tsm_err *err)
{
    *s = (struct tsm_shape){0};
    struct tsm_shaper k = {.s = s, .p = p, .a = &p->arena, .c = c, .err = err, .inner = inner};
    if (c->condition) {
        s->condition = tsm_expr_copy(k.a, c->condition);
        tsm_shape_set_types(&k, s->condition);
    }
    collect_names(&k);
    int code = expand_fields(&k);
    for (size_t i = 0; i < k.n && !code; i++) {
        enum tsm_data_type type;
        k.fields[i].expr = tsm_expr_copy(k.a, k.fields[i].expr);
        tsm_shape_set_types(&k, k.fields[i].expr);
        code = tsm_shape_check_type(&k, k.fields[i].expr, &type);
    }
    add_top_columns(&k);
    if (!code)
        code = expand_dimensions(&k);
    if (!code)
        code = register_inputs(&k);
    if (!code) {
        add_top_dimensions(&k);
        code = make_columns(&k);
    }
    s->aux = into_arena(k.a, s->aux, s->naux, sizeof *s->aux);
    s->calls = into_arena(k.a, s->calls, s->ncalls, sizeof *s->calls);
    tsm_free(k.names);
    tsm_free(k.fields);
    return code;
}
