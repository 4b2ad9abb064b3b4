/* query/show_measurements.c: SHOW MEASUREMENTS. */
#include "base/alloc.h"
#include "query/show_impl.h"
#include "query/tag_filter.h"

#include "base/banned.h"

/* A measurement's series are only looked for when a condition may ask for their tags. */
static int list_one(struct tsm_shower *s, const struct tsm_expr *condition, struct tsm_shard *const *shards,
                    size_t n, struct tsm_str name, struct tsm_show_rows *out)
{
    struct tsm_str_list series = {0};
    int rc = tsm_shower_is_source(s, name);
    if (rc <= 0)
        return rc;
    if (s->show->condition)
        rc = tsm_catalogue_series(shards, n, name, s->q->opt->control, s->q->opt->memory, &series, s->err);
    if (rc >= 0) {
        struct tsm_listed_measurement m = {.name = name, .series = series.items, .nseries = series.n};
        rc = tsm_filter_measurement(condition, &m, s->err);
    }
    if (rc > 0)
        rc = tsm_show_rows_add(out, name, tsm_str("", 0), s->err);
    tsm_str_list_release(&series);
    return rc;
}

static int list_measurements(struct tsm_shower *s, struct tsm_show_rows *out)
{
    const struct tsm_expr *condition = tsm_shower_sources(s, s->show->condition);
    struct tsm_shard **shards;
    struct tsm_str_list names;
    size_t n;
    int rc = tsm_shower_names(s, &shards, &n, &names);
    if (rc == TSM_OK)
        rc = tsm_filter_measurement(condition, NULL, s->err);
    tsm_show_rows_series(out, TSM_STR("measurements"), s->show);
    for (size_t i = 0; i < names.n && rc >= 0 && !tsm_show_rows_full(out); i++)
        rc = list_one(s, condition, shards, n, names.items[i], out);
    if (rc >= 0)
        rc = tsm_show_rows_end(out, s->err);
    tsm_str_list_release(&names);
    tsm_free(shards);
    return rc;
}

int tsm_show_measurements(struct tsm_shower *s)
{
    bool any = false;
    if (tsm_has_time(s->show->condition))
        return tsm_err_set(s->err, TSM_EQUERY, "SHOW MEASUREMENTS doesn't support time in WHERE clause");
    if (!s->q->loose && !tsm_meta_database(&s->q->meta, s->database))
        return TSM_OK;
    int rc = tsm_shower_condition(s, NULL);
    if (rc == TSM_OK)
        rc = tsm_shower_any_shard(s, &any);
    if (rc != TSM_OK || !any)
        return rc;
    struct tsm_show_rows *out = tsm_show_rows_new(s->sink, "name", NULL);
    rc = list_measurements(s, out);
    tsm_free(out);
    return rc;
}
