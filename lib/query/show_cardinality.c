/*
 * query/show_cardinality.c: SHOW … CARDINALITY.
 *
 * influxd has an estimate of all series and measurements of a database, and counts everything else, and what is asked for
 * with clauses, as count(distinct(…)) over the shards of the sources' policies. The estimate is exact here.
 */
#include "base/alloc.h"
#include "base/map.h"
#include "base/sort.h"
#include "base/time.h"
#include "query/plan_tags.h"
#include "query/show_impl.h"
#include "query/system_select.h"

#include "base/banned.h"

/* ---- the estimate ------------------------------------------------------------------------------ */

/* The distinct series of a measurement. One shard has each only once. */
static int count_series(struct tsm_shower *s, struct tsm_shard *const *shards, size_t n, struct tsm_str name,
                        int64_t *count)
{
    struct tsm_series_walk w = {0};
    struct tsm_map seen = {0};
    unsigned rounds = 0;
    int rc = TSM_OK;
    for (size_t i = 0; i < n && rc == TSM_OK; i++) {
        tsm_series_walk_start(&w, shards[i], name);
        while (rc == TSM_OK && tsm_series_walk_next(&w)) {
            uint64_t hash = n > 1 ? tsm_hash(w.series) : 0;
            bool known = n > 1 && tsm_map_get(&seen, w.series, hash) != TSM_MAP_NONE;
            if (n > 1 && !known)
                tsm_map_put(&seen, w.series, hash, 0);
            *count += !known;
            rc = tsm_control_round(s->q->opt->control, &rounds, s->err);
            if (rc == TSM_OK && tsm_map_bytes(&seen) > s->q->opt->memory)
                rc = tsm_err_set(s->err, TSM_ELIMIT,
                                 "the count of series needs more than the memory limit of %zu bytes",
                                 s->q->opt->memory);
        }
    }
    tsm_series_walk_release(&w);
    tsm_map_release(&seen);
    return rc;
}

static int count_all(struct tsm_shower *s, bool series, int64_t *count)
{
    struct tsm_shard **shards;
    struct tsm_str_list names;
    size_t n;
    int rc = tsm_shower_names(s, &shards, &n, &names);
    if (!series)
        *count = (int64_t)names.n;
    for (size_t i = 0; series && i < names.n && rc == TSM_OK; i++)
        rc = count_series(s, shards, n, names.items[i], count);
    tsm_str_list_release(&names);
    tsm_free(shards);
    return rc;
}

static int give_estimate(struct tsm_shower *s, bool series)
{
    int64_t count = 0;
    int rc = TSM_OK;
    if (s->q->loose || tsm_meta_database(&s->q->meta, s->database))
        rc = count_all(s, series, &count);
    if (rc != TSM_OK)
        return rc;
    struct tsm_column_head column = {TSM_STR("cardinality estimation"), TSM_ROLE_OTHER};
    struct tsm_series_head head = {.columns = &column, .ncolumns = 1};
    struct tsm_cells cell = {.type = TSM_CELL_INTEGER, .v.i = &count};
    struct tsm_rows row = {1, &cell};
    rc = s->sink->series_begin(s->sink, &head, s->err);
    if (rc == TSM_OK)
        rc = s->sink->rows(s->sink, &row, s->err);
    return rc == TSM_OK ? s->sink->series_end(s->sink, s->err) : rc;
}

/* ---- WITH KEY ---------------------------------------------------------------------------------- */

struct
    value { /* of a part of a condition, as influxql's Eval() gives it for one tag; a string, a boolean or something else */
    enum { VALUE_NONE, VALUE_BOOLEAN, VALUE_STRING } kind;
    bool b;
    struct tsm_str s;
};

static struct value boolean(bool b)
{
    return (struct value){.kind = VALUE_BOOLEAN, .b = b};
}

struct tag_values {
    const struct tsm_tag_list *tags;
    struct tsm_str key; /* _tagKey */
    struct tsm_err *err;
    int rc;
};

static struct value evaluate(struct tag_values *t, const struct tsm_expr *e);

static struct value variable(const struct tag_values *t, struct tsm_str name)
{
    if (tsm_str_eq(name, TSM_STR("_tagKey")))
        return (struct value){.kind = VALUE_STRING, .s = t->key};
    for (size_t i = 0; i < t->tags->n; i++)
        if (tsm_str_eq(t->tags->items[i].key, name))
            return (struct value){.kind = VALUE_STRING, .s = t->tags->items[i].value};
    return (struct value){0};
}

static struct value match(struct tag_values *t, const struct tsm_expr *e)
{
    struct value text = evaluate(t, e->u.binary.lhs);
    if (text.kind != VALUE_STRING || e->u.binary.rhs->kind != TSM_EXPR_REGEX)
        return boolean(false);
    int m = tsm_regex_match(e->u.binary.rhs->u.regex.re, text.s, t->err);
    if (m < 0)
        t->rc = m;
    return boolean((m > 0) == (e->u.binary.op == TSM_TOK_EQREGEX));
}

static struct value compare(struct tag_values *t, const struct tsm_expr *e)
{
    enum tsm_token op = e->u.binary.op;
    if (op == TSM_TOK_EQREGEX || op == TSM_TOK_NEQREGEX)
        return match(t, e);
    struct value x = evaluate(t, e->u.binary.lhs), y = evaluate(t, e->u.binary.rhs);
    if (x.kind != y.kind || x.kind == VALUE_NONE)
        return boolean(false);
    bool strings = x.kind == VALUE_STRING;
    switch (op) {
    case TSM_TOK_AND:
        return boolean(!strings && x.b && y.b);
    case TSM_TOK_OR:
        return boolean(!strings && (x.b || y.b));
    case TSM_TOK_EQ:
        return boolean(strings ? tsm_str_eq(x.s, y.s) : x.b == y.b);
    case TSM_TOK_NEQ:
        return boolean(strings ? !tsm_str_eq(x.s, y.s) : x.b != y.b);
    default:
        return boolean(false);
    }
}

static struct value evaluate(struct tag_values *t, const struct tsm_expr *e)
{
    switch (e->kind) {
    case TSM_EXPR_PAREN:
        return evaluate(t, e->u.paren);
    case TSM_EXPR_BINARY:
        return compare(t, e);
    case TSM_EXPR_BOOLEAN:
        return boolean(e->u.boolean);
    case TSM_EXPR_STRING:
        return (struct value){.kind = VALUE_STRING, .s = e->u.string};
    case TSM_EXPR_VAR:
        return variable(t, e->u.var.name);
    default:
        return (struct value){0};
    }
}

/* ---- counting ---------------------------------------------------------------------------------- */

struct counter {
    struct tsm_shower *s;
    struct tsm_system_select x;
    struct tsm_expr *condition; /* SHOW TAG VALUES: of each tag */
    bool keys_only;             /* that is about nothing but the key: decided once for each */
    struct tsm_map key_answers;
    struct tsm_tag_list tags;
    struct tsm_map seen;
    struct counted { /* what has been counted, group by group */
        const struct tsm_plan_group *group;
        int64_t n;
    } * items;
    size_t n;
};

static bool add(struct counter *c, struct tsm_str item)
{
    uint64_t hash = tsm_hash(item);
    if (tsm_map_get(&c->seen, item, hash) != TSM_MAP_NONE)
        return false;
    tsm_map_put(&c->seen, item, hash, 0);
    return true;
}

/* Does the condition want the value of this tag? */
static bool wants_tag(struct counter *c, struct tsm_str key, int *rc)
{
    struct tag_values t = {.tags = &c->tags, .key = key, .err = c->s->err};
    uint64_t hash = c->keys_only ? tsm_hash(key) : 0;
    uint32_t known = c->keys_only ? tsm_map_get(&c->key_answers, key, hash) : TSM_MAP_NONE;
    if (known != TSM_MAP_NONE)
        return known;
    struct value v = evaluate(&t, c->condition);
    bool wanted = v.kind == VALUE_BOOLEAN && v.b;
    if (t.rc != TSM_OK)
        *rc = t.rc;
    else if (c->keys_only)
        tsm_map_put(&c->key_answers, key, hash, wanted);
    return wanted;
}

static int add_tags(struct counter *c, const struct tsm_unit *u, size_t s, bool values)
{
    int rc = tsm_tag_list_parse(&c->tags, tsm_plan_series_key(u, &u->series[s]), &c->x.plan.arena, c->s->err);
    for (size_t i = 0; i < c->tags.n && rc == TSM_OK; i++) {
        if (!values)
            add(c, c->tags.items[i].key);
        else if (wants_tag(c, c->tags.items[i].key, &rc))
            add(c, c->tags.items[i].value);
    }
    return rc;
}

/* Counts what is in one set; what is not of each series, once. */
static int add_set(struct counter *c, const struct tsm_unit *u, const struct tsm_plan_set *set)
{
    enum tsm_cardinality_of subject = c->s->show->subject;
    bool any = false;
    int rc = 0;
    for (size_t s = set->from; s < set->to && rc >= 0; s++) {
        rc = tsm_system_select_passes(&c->x, u, s, c->s->err);
        if (rc <= 0)
            continue;
        any = true;
        if (subject == TSM_CARDINALITY_SERIES)
            add(c, tsm_plan_series_key(u, &u->series[s]));
        else if (subject == TSM_CARDINALITY_TAG_KEY || subject == TSM_CARDINALITY_TAG_VALUES)
            rc = add_tags(c, u, s, subject == TSM_CARDINALITY_TAG_VALUES);
    }
    for (size_t f = 0; any && subject == TSM_CARDINALITY_FIELD_KEY && f < u->nfields; f++)
        add(c, u->fields[f].name);
    if (any && subject == TSM_CARDINALITY_MEASUREMENT)
        add(c, u->name);
    if (rc >= 0 && tsm_plan_bytes(&c->x.plan) + tsm_map_bytes(&c->seen) > c->s->q->opt->memory)
        return tsm_err_set(c->s->err, TSM_ELIMIT, "the count needs more than the memory limit of %zu bytes",
                           c->s->q->opt->memory);
    return rc < 0 ? rc : TSM_OK;
}

static int count_group(struct counter *c, const struct tsm_plan_group *g)
{
    const struct tsm_plan *p = &c->x.plan;
    int rc = TSM_OK;
    for (size_t i = g->first_set; i < g->first_set + g->nsets && rc == TSM_OK; i++) {
        const struct tsm_unit *u = &p->units[p->members[i].unit];
        rc = add_set(c, u, &u->sets[p->members[i].set]);
    }
    if (c->seen.used)
        c->items[c->n++] = (struct counted){g, c->seen.used};
    tsm_map_release(&c->seen);
    return rc;
}

/* ---- the answer -------------------------------------------------------------------------------- */

/* One row; or, with GROUP BY time(), one for each interval since 1970, as the items stand in the first of them. */
static int give_rows(struct counter *c, int64_t n)
{
    const struct tsm_compiled *k = &c->x.compiled;
    const struct tsm_show *show = c->s->show;
    int64_t batch[TSM_SHOW_BATCH], intervals = 1;
    unsigned rounds = 0;
    int rc = TSM_OK;
    if (k->interval)
        intervals = (k->tmax - k->offset % k->interval) / k->interval + 1;
    if (k->interval)
        rc = tsm_control_buckets(c->s->q->opt->control, (uint64_t)intervals, c->s->err);
    int64_t end = show->limit > 0 && show->limit < intervals - show->offset ? show->offset + show->limit
                                                                            : intervals;
    for (int64_t at = show->offset; at < end && rc == TSM_OK;) {
        size_t many = end - at < TSM_SHOW_BATCH ? (size_t)(end - at) : TSM_SHOW_BATCH;
        for (size_t i = 0; i < many; i++)
            batch[i] = at + (int64_t)i == 0 ? n : 0;
        struct tsm_cells cell = {.type = TSM_CELL_INTEGER, .v.i = batch};
        struct tsm_rows rows = {many, &cell};
        rc = c->s->sink->rows(c->s->sink, &rows, c->s->err);
        if (rc == TSM_OK)
            rc = tsm_control_round(c->s->q->opt->control, &rounds, c->s->err);
        at += (int64_t)many;
    }
    return rc;
}

static int compare_tags(const struct counted *x, const struct counted *y, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int c = tsm_str_cmp(x->group->tags[i].value, y->group->tags[i].value);
        if (c)
            return c;
    }
    return 0;
}

static int compare_counted(const void *x, const void *y, void *ndimensions)
{
    return compare_tags(x, y, *(const size_t *)ndimensions);
}

/* Measurements are counted without their names: groups of the same tags are one. */
static void merge_names(struct counter *c)
{
    size_t ndimensions = c->x.plan.ndimensions, n = 0;
    if (c->n)
        qsort_r(c->items, c->n, sizeof *c->items, compare_counted, &ndimensions);
    for (size_t i = 0; i < c->n; i++) {
        if (n && compare_tags(&c->items[n - 1], &c->items[i], ndimensions) == 0)
            c->items[n - 1].n += c->items[i].n;
        else
            c->items[n++] = c->items[i];
    }
    c->n = n;
}

static int give(struct counter *c)
{
    struct tsm_column_head column = {TSM_STR("count"), TSM_ROLE_OTHER};
    bool strip = c->s->show->subject == TSM_CARDINALITY_MEASUREMENT;
    int rc = TSM_OK;
    if (strip)
        merge_names(c);
    if (c->s->show->offset > 0 && !c->x.compiled.interval)
        return TSM_OK;
    for (size_t i = 0; i < c->n && rc == TSM_OK; i++) {
        const struct tsm_plan_group *g = c->items[i].group;
        struct tsm_series_head head = {.name = strip ? tsm_str("", 0) : g->name,
                                       .tags = g->tags,
                                       .ntags = c->x.plan.ndimensions,
                                       .columns = &column,
                                       .ncolumns = 1};
        rc = c->s->sink->series_begin(c->s->sink, &head, c->s->err);
        if (rc == TSM_OK)
            rc = give_rows(c, c->items[i].n);
        if (rc == TSM_OK)
            rc = c->s->sink->series_end(c->s->sink, c->s->err);
    }
    return rc;
}

/* ---- the statement ----------------------------------------------------------------------------- */

static int refuse_time(struct tsm_shower *s)
{
    static const char *const names[] = {
        [TSM_CARDINALITY_SERIES] = "SHOW SERIES EXACT CARDINALITY",
        [TSM_CARDINALITY_MEASUREMENT] = "SHOW MEASUREMENT EXACT CARDINALITY",
        [TSM_CARDINALITY_TAG_KEY] = "SHOW TAG KEY EXACT CARDINALITY",
        [TSM_CARDINALITY_FIELD_KEY] = "SHOW FIELD KEY CARDINALITY",
    };
    if (s->show->subject == TSM_CARDINALITY_TAG_VALUES || !tsm_has_time(s->show->condition))
        return TSM_OK;
    return tsm_err_set(s->err, TSM_EQUERY, "%s doesn't support time in WHERE clause",
                       names[s->show->subject]);
}

static int count_groups(struct counter *c)
{
    struct tsm_shower *s = c->s;
    const struct tsm_expr *condition = s->show->condition;
    if (s->show->subject == TSM_CARDINALITY_TAG_VALUES) {
        struct tsm_expr *keys = tsm_shower_keys(s);
        condition = condition
                        ? tsm_expr_binary(&s->arena, TSM_TOK_AND, tsm_expr_copy(&s->arena, condition), keys)
                        : keys;
    }
    int rc = tsm_system_select_open(&c->x, s->q, s->show, condition, true, s->err);
    if (rc != TSM_OK || !c->x.visible)
        return rc;
    c->condition = c->x.compiled.condition;
    c->keys_only = !s->show->condition;
    c->items = tsm_alloc((c->x.plan.ngroups + 1) * sizeof *c->items);
    for (size_t i = 0; i < c->x.plan.ngroups && rc == TSM_OK; i++)
        rc = count_group(c, &c->x.plan.groups[i]);
    return rc == TSM_OK ? give(c) : rc;
}

int tsm_show_cardinality(struct tsm_shower *s)
{
    const struct tsm_show *show = s->show;
    bool bare = !show->exact && !show->nsources && !show->condition && !show->ndimensions && !show->limit &&
                !show->offset;
    if (bare && (show->subject == TSM_CARDINALITY_SERIES || show->subject == TSM_CARDINALITY_MEASUREMENT)) {
        int rc = tsm_query_ctx_database(s->q, show->database, &s->database, s->err);
        return rc == TSM_OK ? give_estimate(s, show->subject == TSM_CARDINALITY_SERIES) : rc;
    }
    int rc = refuse_time(s);
    if (rc != TSM_OK)
        return rc;
    struct counter *c = tsm_calloc(1, sizeof *c);
    c->s = s;
    rc = count_groups(c);
    tsm_system_select_release(&c->x);
    tsm_tag_list_release(&c->tags);
    tsm_map_release(&c->key_answers);
    tsm_map_release(&c->seen);
    tsm_free(c->items);
    tsm_free(c);
    return rc;
}
