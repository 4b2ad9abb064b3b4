/* query/show_measurements.c: SHOW MEASUREMENTS. */
#include "base/alloc.h"
#include "query/show_impl.h"
#include "query/tag_filter.h"

#include "base/banned.h"

static int list_measurements(struct tsm_shower *s, const struct tsm_expr *condition,
                             struct tsm_show_rows *out)
{
    int rc = tsm_filter_measurement(condition, NULL, s->err);
    tsm_show_rows_series(out, TSM_STR("measurements"), s->show);
    for (size_t i = 0; i < s->catalogue.n && rc >= 0; i++) {
        const struct tsm_listed_measurement *m = &s->catalogue.measurements[i];
        rc = tsm_filter_measurement(condition, m, s->err);
        if (rc > 0)
            rc = tsm_show_rows_add(out, m->name, tsm_str("", 0), s->err);
    }
    return rc < 0 ? rc : tsm_show_rows_end(out, s->err);
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
    if (rc == TSM_OK && any)
        rc = tsm_shower_catalogue(s, !s->show->condition);
    if (rc != TSM_OK || !any)
        return rc;
    struct tsm_show_rows *out = tsm_show_rows_new(s->sink, "name", NULL);
    rc = list_measurements(s, tsm_shower_names(s, s->show->condition), out);
    tsm_free(out);
    return rc;
}
