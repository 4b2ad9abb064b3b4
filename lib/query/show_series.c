/* query/show_series.c: SHOW SERIES. */
#include "base/alloc.h"
#include "query/plan_tags.h"
#include "query/show_impl.h"
#include "query/system_select.h"
#include "query/tag_filter.h"

#include "base/banned.h"

/* ---- with a time range ------------------------------------------------------------------------ */

/* influxd selects _seriesKey from the shards that the range touches, and gives all their series. */
static int find_series(struct tsm_shower *s, struct tsm_system_select *x, struct tsm_str_list *found)
{
    int rc = tsm_system_select_open(x, s->q, s->show, s->show->condition, false, s->err);
    for (size_t i = 0; rc >= 0 && x->visible && i < x->plan.nunits; i++) {
        const struct tsm_unit *u = &x->plan.units[i];
        for (size_t k = 0; k < u->nseries && rc >= 0; k++) {
            rc = tsm_system_select_passes(x, u, k, s->err);
            if (rc <= 0)
                continue;
            TSM_GROW(found->items, found->n + 1, found->cap);
            found->items[found->n++] = tsm_plan_series_key(u, &u->series[k]);
        }
        if (rc >= 0 && tsm_plan_bytes(&x->plan) + found->cap * sizeof *found->items > s->q->opt->memory)
            rc = tsm_err_set(s->err, TSM_ELIMIT,
                             "the list of series needs more than the memory limit of %zu bytes",
                             s->q->opt->memory);
    }
    return rc < 0 ? rc : TSM_OK;
}

static int show_series_in_time(struct tsm_shower *s, struct tsm_show_rows *out)
{
    struct tsm_system_select x;
    struct tsm_str_list found = {0};
    int rc = find_series(s, &x, &found);
    tsm_str_list_sort(&found); /* by the keys' bytes, as of strings that were selected */
    tsm_show_rows_series(out, tsm_str("", 0), s->show);
    for (size_t i = 0; i < found.n && rc == TSM_OK && !tsm_show_rows_full(out); i++) {
        size_t at = s->show->descending ? found.n - 1 - i : i;
        if (at && tsm_str_eq(found.items[at - 1], found.items[at]))
            continue; /* of another shard, too */
        rc = tsm_show_rows_add(out, found.items[at], tsm_str("", 0), s->err);
    }
    if (rc == TSM_OK)
        rc = tsm_show_rows_end(out, s->err);
    tsm_str_list_release(&found);
    tsm_system_select_release(&x);
    return rc;
}

/* ---- from the index --------------------------------------------------------------------------- */

struct lister {
    struct tsm_shower *s;
    const struct tsm_expr *condition;
    struct tsm_shard **shards;
    size_t nshards;
    struct tsm_str_list names;
    struct tsm_tag_list tags;
    struct tsm_show_rows *out;
    unsigned rounds;
};

static int list_one(struct lister *l, struct tsm_str measurement, struct tsm_str key, struct tsm_arena *a)
{
    struct tsm_err *err = l->s->err;
    int rc = tsm_control_round(l->s->q->opt->control, &l->rounds, err);
    if (rc == TSM_OK && l->s->condition) {
        rc = tsm_tag_list_parse(&l->tags, key, a, err);
        struct tsm_listed_series series = {key, l->tags.items, (uint32_t)l->tags.n};
        if (rc == TSM_OK)
            rc = tsm_filter_series(l->condition, measurement, &series, err);
        if (rc <= 0)
            return rc;
    }
    return rc < 0 ? rc : tsm_show_rows_add(l->out, key, tsm_str("", 0), err);
}

/* The condition without the sources has been asked when it is NULL. */
static int list_measurement(struct lister *l, struct tsm_str name)
{
    struct tsm_str_list series = {0};
    struct tsm_arena a = {0};
    int rc = tsm_shower_is_source(l->s, name);
    if (rc <= 0)
        return rc;
    rc = tsm_catalogue_series(l->shards, l->nshards, name, l->s->q->opt->control, l->s->q->opt->memory,
                              &series, l->s->err);
    for (size_t i = 0; i < series.n && rc >= 0 && !tsm_show_rows_full(l->out); i++) {
        rc = list_one(l, name, series.items[i], &a);
        if (a.bytes > 1 << 20)
            tsm_arena_release(&a); /* names with escapes */
    }
    tsm_arena_release(&a);
    tsm_str_list_release(&series);
    return rc < 0 ? rc : TSM_OK;
}

static int show_series_in_index(struct tsm_shower *s, struct tsm_show_rows *out)
{
    struct lister l = {.s = s, .condition = tsm_shower_sources(s, s->condition), .out = out};
    int rc = tsm_filter_check_operators(l.condition, s->err);
    if (rc == TSM_OK)
        rc = tsm_shower_names(s, &l.shards, &l.nshards, &l.names);
    tsm_show_rows_series(out, tsm_str("", 0), s->show);
    for (size_t i = 0; i < l.names.n && rc == TSM_OK && !tsm_show_rows_full(out); i++)
        rc = list_measurement(&l, l.names.items[i]);
    if (rc == TSM_OK)
        rc = tsm_show_rows_end(out, s->err);
    tsm_str_list_release(&l.names);
    tsm_tag_list_release(&l.tags);
    tsm_free(l.shards);
    return rc;
}

/* influxd looks the type of a name::field up in an index that knows none, so ::field says nothing here. */
static void forget_any_field(struct tsm_expr *e)
{
    if (!e)
        return;
    if (e->kind == TSM_EXPR_VAR && e->u.var.type == TSM_DATA_ANY_FIELD) {
        e->u.var.type = TSM_DATA_UNKNOWN;
    } else if (e->kind == TSM_EXPR_PAREN) {
        forget_any_field(e->u.paren);
    } else if (e->kind == TSM_EXPR_BINARY) {
        forget_any_field(e->u.binary.lhs);
        forget_any_field(e->u.binary.rhs);
    }
}

int tsm_show_series(struct tsm_shower *s)
{
    int rc = tsm_shower_condition(s, s->show->condition);
    if (rc == TSM_OK)
        rc = tsm_shower_source_shards(s);
    if (rc != TSM_OK || s->nshards == 0)
        return rc;
    s->condition = tsm_expr_copy(&s->arena, s->condition);
    forget_any_field(s->condition);
    struct tsm_show_rows *out = tsm_show_rows_new(s->sink, "key", NULL);
    rc = tsm_has_time(s->show->condition) ? show_series_in_time(s, out) : show_series_in_index(s, out);
    tsm_free(out);
    return rc;
}
