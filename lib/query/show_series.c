/* query/show_series.c: SHOW SERIES. */
#include "base/alloc.h"
#include "base/map.h"
#include "query/show_impl.h"
#include "query/tag_filter.h"
#include "query/system_select.h"

#include "base/banned.h"

static int list_one(struct tsm_shower *s, const struct tsm_expr *condition, const struct tsm_map *alive,
                    const struct tsm_listed_measurement *m, const struct tsm_listed_series *series,
                    struct tsm_show_rows *out)
{
    if (alive && tsm_map_get(alive, series->key, tsm_hash(series->key)) == TSM_MAP_NONE)
        return TSM_OK;
    int rc = tsm_filter_series(condition, m->name, series, s->err);
    return rc > 0 ? tsm_show_rows_add(out, series->key, tsm_str("", 0), s->err) : rc;
}

/* alive: the series to give, NULL for all. */
static int list_series(struct tsm_shower *s, const struct tsm_expr *condition, const struct tsm_map *alive,
                       bool descending, struct tsm_show_rows *out)
{
    const struct tsm_catalogue *c = &s->catalogue;
    unsigned rounds = 0;
    int rc = TSM_OK;
    tsm_show_rows_series(out, tsm_str("", 0), s->show);
    for (size_t i = 0; i < c->n && rc >= 0; i++) {
        const struct tsm_listed_measurement *m = &c->measurements[descending ? c->n - 1 - i : i];
        for (size_t k = 0; k < m->nseries && rc >= 0; k++) {
            rc = tsm_control_round(s->q->opt->control, &rounds, s->err);
            if (rc == TSM_OK)
                rc = list_one(s, condition, alive, m, &m->series[descending ? m->nseries - 1 - k : k], out);
        }
    }
    return rc < 0 ? rc : tsm_show_rows_end(out, s->err);
}

/* With a time range influxd selects _seriesKey from the shards that it touches, and gives all their series. */
static int show_series_in_time(struct tsm_shower *s, struct tsm_show_rows *out)
{
    struct tsm_map alive = {0};
    struct tsm_system_select x;
    int rc = tsm_system_select_open(&x, s->q, s->show, s->show->condition, false, s->err);
    for (size_t i = 0; rc >= 0 && x.visible && i < x.plan.nunits; i++) {
        const struct tsm_unit *u = &x.plan.units[i];
        for (size_t k = 0; k < u->nseries && rc >= 0; k++) {
            struct tsm_str key = tsm_plan_series_key(u, &u->series[k]);
            uint64_t hash = tsm_hash(key);
            rc = tsm_system_select_passes(&x, u, k, s->err);
            if (rc > 0 && tsm_map_get(&alive, key, hash) == TSM_MAP_NONE)
                tsm_map_put(&alive, key, hash, 0);
        }
    }
    bool any = alive.used > 0;
    if (rc >= 0 && any)
        rc = tsm_catalogue_make(s->shards, s->nshards, false, s->q->opt->memory, &s->catalogue, s->err);
    if (rc >= 0 && any)
        rc = list_series(s, NULL, &alive, s->show->descending, out);
    tsm_system_select_release(&x);
    tsm_map_release(&alive);
    return rc < 0 ? rc : TSM_OK;
}

static int show_series_in_index(struct tsm_shower *s, const struct tsm_expr *condition,
                                struct tsm_show_rows *out)
{
    int rc = tsm_filter_check_operators(condition, s->err);
    if (rc == TSM_OK)
        rc = tsm_shower_catalogue(s, false);
    return rc == TSM_OK ? list_series(s, condition, NULL, false, out) : rc;
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
    rc = tsm_has_time(s->show->condition) ? show_series_in_time(s, out)
                                          : show_series_in_index(s, tsm_shower_names(s, s->condition), out);
    tsm_free(out);
    return rc;
}
