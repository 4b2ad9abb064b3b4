/* query/show_series.c: SHOW SERIES. */
#include "base/alloc.h"
#include "base/map.h"
#include "query/show_impl.h"
#include "query/tag_filter.h"
#include "store/scan.h"

#include "base/banned.h"

/* alive: the series to give, NULL for all. */
static int list_series(struct tsm_shower *s, const struct tsm_expr *condition, const struct tsm_map *alive,
                       struct tsm_show_rows *out)
{
    int rc = TSM_OK;
    tsm_show_rows_series(out, tsm_str("", 0), s->show);
    for (size_t i = 0; i < s->catalogue.n && rc >= 0; i++) {
        const struct tsm_listed_measurement *m = &s->catalogue.measurements[i];
        for (size_t k = 0; k < m->nseries && rc >= 0; k++) {
            if (alive && tsm_map_get(alive, m->series[k].key, tsm_hash(m->series[k].key)) == TSM_MAP_NONE)
                continue;
            rc = tsm_filter_series(condition, m->name, &m->series[k], s->err);
            if (rc > 0)
                rc = tsm_show_rows_add(out, m->series[k].key, tsm_str("", 0), s->err);
        }
    }
    return rc < 0 ? rc : tsm_show_rows_end(out, s->err);
}

/* Puts the series that have values in the time range into alive. */
static int find_alive(struct tsm_shower *s, const struct tsm_shard *shard, struct tsm_scan *scan,
                      struct tsm_map *alive)
{
    for (size_t i = 0; i < shard->nkeys; i++) {
        struct tsm_str series, field;
        int64_t tmin, tmax;
        uint64_t count;
        if (!tsm_key_split(tsm_shard_key(shard, i), &series, &field))
            continue;
        tsm_key_range(shard, i, &tmin, &tmax);
        uint64_t hash = tsm_hash(series);
        if (tmin > s->range.max || tmax < s->range.min || tsm_map_get(alive, series, hash) != TSM_MAP_NONE)
            continue;
        int rc = tsm_scan_count(scan, shard, i, s->range.min, s->range.max, &count, s->err);
        if (rc != TSM_OK)
            return rc;
        if (count)
            tsm_map_put(alive, series, hash, 0);
    }
    return TSM_OK;
}

/* Can the condition be decided by tags and the name alone? Only comparisons of one that is not a field with a
 * string or a regular expression can. */
static bool is_about_tags(const struct tsm_shower *s, const struct tsm_expr *e)
{
    if (!e || e->kind == TSM_EXPR_BOOLEAN)
        return true;
    if (e->kind == TSM_EXPR_PAREN)
        return is_about_tags(s, e->u.paren);
    if (e->kind != TSM_EXPR_BINARY)
        return false;
    const struct tsm_expr *lhs = e->u.binary.lhs, *rhs = e->u.binary.rhs;
    if (e->u.binary.op == TSM_TOK_AND || e->u.binary.op == TSM_TOK_OR)
        return is_about_tags(s, lhs) && is_about_tags(s, rhs);
    if (lhs->kind != TSM_EXPR_VAR || (rhs->kind != TSM_EXPR_STRING && rhs->kind != TSM_EXPR_REGEX) ||
        (lhs->u.var.type != TSM_DATA_UNKNOWN && lhs->u.var.type != TSM_DATA_TAG))
        return false;
    for (size_t i = 0; i < s->nshards; i++)
        for (size_t k = 0; k < s->shards[i]->nkeys; k++) {
            struct tsm_str series, field;
            if (tsm_key_split(tsm_shard_key(s->shards[i], k), &series, &field) &&
                tsm_str_eq(field, lhs->u.var.name))
                return false;
        }
    return true;
}

static int show_series_in_time(struct tsm_shower *s, const struct tsm_expr *condition,
                               struct tsm_show_rows *out)
{
    struct tsm_map alive = {0};
    if (!is_about_tags(s, s->condition) || tsm_filter_check_operators(condition, NULL) != TSM_OK)
        return tsm_err_set(s->err, TSM_EQUERY,
                           "SHOW SERIES with time and field values in WHERE is not supported yet");
    int rc = tsm_catalogue_make(s->shards, s->nshards, false, s->q->opt->memory, &s->catalogue, s->err);
    struct tsm_scan *scan = tsm_scan_new();
    for (size_t i = 0; i < s->nshards && rc == TSM_OK; i++)
        rc = find_alive(s, s->shards[i], scan, &alive);
    tsm_scan_free(scan);
    if (rc == TSM_OK)
        rc = list_series(s, condition, &alive, out);
    tsm_map_release(&alive);
    return rc;
}

static int show_series_in_index(struct tsm_shower *s, const struct tsm_expr *condition,
                                struct tsm_show_rows *out)
{
    int rc = tsm_filter_check_operators(condition, s->err);
    if (rc == TSM_OK)
        rc = tsm_shower_catalogue(s, false);
    return rc == TSM_OK ? list_series(s, condition, NULL, out) : rc;
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
    if (!tsm_has_time(s->show->condition))
        forget_any_field(s->condition);
    const struct tsm_expr *condition = tsm_shower_names(s, s->condition);
    struct tsm_show_rows *out = tsm_show_rows_new(s->sink, "key", NULL);
    rc = tsm_has_time(s->show->condition) ? show_series_in_time(s, condition, out)
                                          : show_series_in_index(s, condition, out);
    tsm_free(out);
    return rc;
}
