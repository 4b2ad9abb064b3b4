/* query/show.c: SHOW statements: which is which, and what they share. */
#include "query/show.h"

#include "base/alloc.h"
#include "base/time.h"
#include "query/process_stats.h"
#include "query/show_impl.h"

#include "base/banned.h"

/* ---- rows of strings -------------------------------------------------------------------------- */

struct tsm_show_rows *tsm_show_rows_new(struct tsm_sink *sink, const char *first, const char *second)
{
    struct tsm_show_rows *s = tsm_calloc(1, sizeof *s);
    s->sink = sink;
    s->columns[0].name = tsm_str_of(first);
    s->columns[1].name = tsm_str_of(second);
    s->head.columns = s->columns;
    s->head.ncolumns = second ? 2 : 1;
    return s;
}

void tsm_show_rows_series(struct tsm_show_rows *s, struct tsm_str name, const struct tsm_show *show)
{
    s->head.name = name;
    s->skip = show->offset;
    s->left = show->limit > 0 ? show->limit : -1;
    s->begun = false;
    s->n = 0;
}

static int flush(struct tsm_show_rows *s, struct tsm_err *err)
{
    struct tsm_cells cells[2] = {
        {.type = TSM_CELL_STRING, .v.s = s->cells[0]},
        {.type = TSM_CELL_STRING, .v.s = s->cells[1]},
    };
    struct tsm_rows rows = {s->n, cells};
    s->n = 0;
    return rows.n ? s->sink->rows(s->sink, &rows, err) : TSM_OK;
}

int tsm_show_rows_add(struct tsm_show_rows *s, struct tsm_str first, struct tsm_str second,
                      struct tsm_err *err)
{
    int rc = TSM_OK;
    if (s->skip > 0) {
        s->skip--;
        return TSM_OK;
    }
    if (s->left == 0)
        return TSM_OK;
    if (s->left > 0)
        s->left--;
    if (!s->begun) {
        s->begun = true;
        rc = s->sink->series_begin(s->sink, &s->head, err);
    }
    if (rc == TSM_OK && s->n == TSM_SHOW_BATCH)
        rc = flush(s, err);
    s->cells[0][s->n] = first;
    s->cells[1][s->n++] = second;
    return rc;
}

int tsm_show_rows_end(struct tsm_show_rows *s, struct tsm_err *err)
{
    if (!s->begun)
        return TSM_OK;
    int rc = flush(s, err);
    s->begun = false;
    return rc == TSM_OK ? s->sink->series_end(s->sink, err) : rc;
}

/* ---- what is in the shards -------------------------------------------------------------------- */

static bool is_time(const struct tsm_expr *e)
{
    return e->kind == TSM_EXPR_VAR && e->u.var.name.n == 4 && strncasecmp(e->u.var.name.p, "time", 4) == 0;
}

bool tsm_has_time(const struct tsm_expr *e)
{
    if (!e)
        return false;
    if (e->kind == TSM_EXPR_PAREN)
        return tsm_has_time(e->u.paren);
    if (e->kind != TSM_EXPR_BINARY)
        return false;
    if (e->u.binary.op == TSM_TOK_AND || e->u.binary.op == TSM_TOK_OR)
        return tsm_has_time(e->u.binary.lhs) || tsm_has_time(e->u.binary.rhs);
    return is_time(e->u.binary.lhs);
}

int tsm_shower_condition(struct tsm_shower *s, const struct tsm_expr *condition)
{
    s->range = (struct tsm_time_range){.min = TSM_TIME_MIN, .max = TSM_TIME_MAX};
    if (!condition)
        return TSM_OK;
    int rc = tsm_condition_split(&s->arena, condition, s->q->opt->now, NULL, &s->condition, &s->range,
                                 s->err);
    if (!s->range.has_min)
        s->range.min = TSM_TIME_MIN;
    if (!s->range.has_max)
        s->range.max = TSM_TIME_MAX;
    return rc;
}

struct tsm_expr *tsm_shower_sources(struct tsm_shower *s, struct tsm_expr *condition)
{
    struct tsm_expr *names = NULL;
    for (size_t i = 0; i < s->show->nsources; i++) {
        const struct tsm_source *source = &s->show->sources[i];
        struct tsm_expr *var = tsm_expr_new(&s->arena, TSM_EXPR_VAR), *value = source->regex;
        var->u.var.name = TSM_STR("_name");
        if (!value) {
            value = tsm_expr_new(&s->arena, TSM_EXPR_STRING);
            value->u.string = source->name;
        }
        struct tsm_expr *e = tsm_expr_binary(&s->arena, source->regex ? TSM_TOK_EQREGEX : TSM_TOK_EQ, var,
                                             value);
        names = names ? tsm_expr_binary(&s->arena, TSM_TOK_OR, names, e) : e;
    }
    if (!names || !condition)
        return names ? names : condition;
    return tsm_expr_binary(&s->arena, TSM_TOK_AND, names, condition);
}

struct tsm_expr *tsm_shower_keys(struct tsm_shower *s)
{
    struct tsm_expr *var = tsm_expr_new(&s->arena, TSM_EXPR_VAR), *all = NULL;
    var->u.var.name = TSM_STR("_tagKey");
    if (s->show->key_op != TSM_TOK_IN)
        return tsm_expr_binary(&s->arena, s->show->key_op, var, s->show->key);
    for (size_t i = 0; i < s->show->key->u.list.n; i++) {
        struct tsm_expr *key = tsm_expr_new(&s->arena, TSM_EXPR_STRING);
        key->u.string = s->show->key->u.list.items[i];
        struct tsm_expr *e = tsm_expr_binary(&s->arena, TSM_TOK_EQ, var, key);
        all = all ? tsm_expr_binary(&s->arena, TSM_TOK_OR, all, e) : e;
    }
    return all;
}

static void add_shards(struct tsm_shower *s, struct tsm_shard **more, size_t n)
{
    s->shards = tsm_realloc_array(s->shards, s->nshards + n, sizeof *s->shards);
    for (size_t i = 0; i < n; i++) {
        bool known = false;
        for (size_t k = 0; k < s->nshards && !known; k++)
            known = s->shards[k] == more[i];
        if (!known)
            s->shards[s->nshards++] = more[i];
    }
    tsm_free(more);
}

int tsm_shower_source_shards(struct tsm_shower *s)
{
    size_t n = s->show->nsources ? s->show->nsources : 1;
    for (size_t i = 0; i < n; i++) {
        struct tsm_str database, rp = {"", 0}, name = s->show->database;
        if (s->show->nsources) {
            rp = s->show->sources[i].rp;
            if (s->show->sources[i].database.n)
                name = s->show->sources[i].database;
        }
        struct tsm_shard **shards;
        size_t nshards;
        int rc = tsm_query_ctx_database(s->q, name, &database, s->err);
        if (rc == TSM_OK)
            rc = tsm_query_ctx_shards(s->q, database, rp, s->range.min, s->range.max, &shards, &nshards,
                                      s->err);
        if (rc != TSM_OK)
            return rc;
        s->database = database;
        add_shards(s, shards, nshards);
    }
    return TSM_OK;
}

int tsm_shower_names(struct tsm_shower *s, struct tsm_shard ***all, size_t *n, struct tsm_str_list *names)
{
    *names = (struct tsm_str_list){0};
    int rc = tsm_query_ctx_all_shards(s->q, s->database, TSM_TIME_MIN, TSM_TIME_MAX, all, n, s->err);
    if (rc != TSM_OK) {
        *all = NULL;
        return rc;
    }
    return tsm_catalogue_names(*all, *n, s->q->opt->control, &s->arena, names, s->err);
}

int tsm_shower_is_source(const struct tsm_shower *s, struct tsm_str name)
{
    for (size_t i = 0; i < s->show->nsources; i++) {
        const struct tsm_source *source = &s->show->sources[i];
        int rc = source->regex ? tsm_regex_match(source->regex->u.regex.re, name, s->err)
                               : tsm_str_eq(source->name, name);
        if (rc != 0)
            return rc;
    }
    return s->show->nsources == 0;
}

int tsm_shower_any_shard(struct tsm_shower *s, bool *any)
{
    struct tsm_shard **shards;
    size_t n;
    int rc = tsm_query_ctx_all_shards(s->q, s->database, s->range.min, s->range.max, &shards, &n, s->err);
    if (rc != TSM_OK)
        return rc;
    *any = n > 0;
    tsm_free(shards);
    return TSM_OK;
}

/* ---- dispatch --------------------------------------------------------------------------------- */

static int show_from_shards(struct tsm_shower *s, enum tsm_statement_kind kind)
{
    switch (kind) {
    case TSM_STATEMENT_SHOW_MEASUREMENTS:
        return tsm_show_measurements(s);
    case TSM_STATEMENT_SHOW_SERIES:
        return tsm_show_series(s);
    case TSM_STATEMENT_SHOW_TAG_KEYS:
        return tsm_show_tags(s, false);
    case TSM_STATEMENT_SHOW_TAG_VALUES:
        return tsm_show_tags(s, true);
    case TSM_STATEMENT_SHOW_CARDINALITY:
        return tsm_show_cardinality(s);
    default:
        return tsm_show_field_keys(s);
    }
}

/* Statements with the clauses of struct tsm_show. */
static int show_of_database(struct tsm_query_ctx *q, const struct tsm_statement *st, struct tsm_sink *sink,
                            struct tsm_err *err)
{
    struct tsm_shower s = {.q = q, .show = &st->u.show, .sink = sink, .err = err};
    bool sources_decide = st->kind == TSM_STATEMENT_SHOW_SERIES ||
                          st->kind == TSM_STATEMENT_SHOW_FIELD_KEYS ||
                          st->kind == TSM_STATEMENT_SHOW_CARDINALITY;
    int rc = TSM_OK;
    if (!sources_decide) /* the database may be given by the source */
        rc = tsm_query_ctx_database(q, s.show->database, &s.database, err);
    if (rc != TSM_OK)
        return rc;
    if (st->kind == TSM_STATEMENT_SHOW_RETENTION_POLICIES)
        return tsm_show_policies(q, s.database, sink, err);
    rc = show_from_shards(&s, st->kind);
    tsm_free(s.shards);
    tsm_arena_release(&s.arena);
    return rc;
}

static int show_stats(struct tsm_query_ctx *q, const struct tsm_statement *st, struct tsm_sink *sink,
                      struct tsm_err *err)
{
    bool diagnostics = st->kind == TSM_STATEMENT_SHOW_DIAGNOSTICS;
    if (q->opt->stats)
        return q->opt->stats(q->opt->stats_ctx, st->u.module, diagnostics, sink, err);
    return diagnostics ? tsm_process_diagnostics(st->u.module, sink, err)
                       : tsm_process_stats(st->u.module, sink, err);
}

int tsm_show_run(struct tsm_query_ctx *q, const struct tsm_statement *st, struct tsm_sink *sink,
                 struct tsm_err *err)
{
    switch (st->kind) {
    case TSM_STATEMENT_SHOW_STATS:
    case TSM_STATEMENT_SHOW_DIAGNOSTICS:
        return show_stats(q, st, sink, err);
    case TSM_STATEMENT_SHOW_QUERIES:
        return tsm_show_queries(q, sink, err);
    case TSM_STATEMENT_KILL_QUERY:
        return tsm_kill_query(q, st->u.kill.id, err);
    default:
        break;
    }
    int rc = tsm_query_ctx_meta(q, err);
    if (rc != TSM_OK)
        return rc;
    switch (st->kind) {
    case TSM_STATEMENT_SHOW_DATABASES:
        return tsm_show_databases(q, sink, err);
    case TSM_STATEMENT_SHOW_SHARDS:
        return tsm_show_shards(q, sink, err);
    case TSM_STATEMENT_SHOW_SHARD_GROUPS:
        return tsm_show_shard_groups(q, sink, err);
    case TSM_STATEMENT_SHOW_USERS:
        return tsm_show_users(q, sink, err);
    case TSM_STATEMENT_SHOW_GRANTS:
        return tsm_show_grants(q, st->u.user.name, sink, err);
    case TSM_STATEMENT_SHOW_CONTINUOUS_QUERIES:
        return tsm_show_continuous_queries(q, sink, err);
    case TSM_STATEMENT_SHOW_SUBSCRIPTIONS:
        return tsm_show_subscriptions(q, sink, err);
    default:
        return show_of_database(q, st, sink, err);
    }
}
