/* query/show_tags.c: SHOW TAG KEYS and SHOW TAG VALUES. */
#include "base/alloc.h"
#include "base/sort.h"
#include "query/show_impl.h"
#include "query/tag_filter.h"

#include "base/banned.h"

static int compare_strings(const void *a, const void *b)
{
    const struct tsm_str *x = a, *y = b;
    return tsm_str_cmp(*x, *y);
}

/* The values of one tag key among the chosen series (one byte for each), sorted, each once. */
static size_t tag_values(const struct tsm_listed_measurement *m, const uint8_t *chosen, struct tsm_str key,
                         struct tsm_str *values)
{
    size_t n = 0, kept = 0;
    for (size_t i = 0; i < m->nseries; i++)
        for (uint32_t k = 0; k < m->series[i].ntags && chosen[i]; k++)
            if (tsm_str_eq(m->series[i].tags[k].key, key) &&
                (n == 0 || !tsm_str_eq(values[n - 1], m->series[i].tags[k].value)))
                values[n++] = m->series[i].tags[k].value;
    tsm_sort(values, n, sizeof *values, compare_strings);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || !tsm_str_eq(values[kept - 1], values[i]))
            values[kept++] = values[i];
    return kept;
}

static int choose_series(struct tsm_shower *s, const struct tsm_expr *filter,
                         const struct tsm_listed_measurement *m, uint8_t *chosen)
{
    int rc = TSM_OK;
    for (size_t i = 0; i < m->nseries && rc >= 0; i++) {
        rc = tsm_filter_series(filter, m->name, &m->series[i], s->err);
        chosen[i] = rc > 0;
    }
    return rc < 0 ? rc : TSM_OK;
}

/* The rows of one measurement: the wanted keys that have a value among the chosen series, with the values or
 * without. */
static int list_tags(struct tsm_shower *s, const struct tsm_expr *filter,
                     const struct tsm_listed_measurement *m, const uint8_t *wanted, bool with_values,
                     struct tsm_show_rows *out)
{
    uint8_t *chosen = tsm_alloc(m->nseries);
    struct tsm_str *values = tsm_alloc((m->nseries + 1) * sizeof *values);
    int rc = choose_series(s, filter, m, chosen);
    tsm_show_rows_series(out, m->name, s->show);
    for (size_t i = 0; i < m->ntag_keys && rc == TSM_OK; i++) {
        size_t n = wanted[i] ? tag_values(m, chosen, m->tag_keys[i], values) : 0;
        if (n && !with_values)
            n = 1;
        for (size_t k = 0; k < n && rc == TSM_OK; k++)
            rc = tsm_show_rows_add(out, m->tag_keys[i], values[k], s->err);
        /* The batch borrows from values only their texts, which the catalogue owns. */
    }
    if (rc == TSM_OK)
        rc = tsm_show_rows_end(out, s->err);
    tsm_free(chosen);
    tsm_free(values);
    return rc;
}

/* keys: the condition on tag keys, NULL for all. */
static int list_measurements_tags(struct tsm_shower *s, const struct tsm_expr *condition,
                                  const struct tsm_expr *keys, bool with_values)
{
    const struct tsm_expr *names = tsm_filter_only_names(&s->arena, condition);
    const struct tsm_expr *filter = tsm_filter_only_tags(&s->arena, condition);
    struct tsm_show_rows *out = tsm_show_rows_new(s->sink, with_values ? "key" : "tagKey",
                                                  with_values ? "value" : NULL);
    int rc = tsm_filter_measurement(names, NULL, s->err);
    for (size_t i = 0; i < s->catalogue.n && rc >= 0; i++) {
        const struct tsm_listed_measurement *m = &s->catalogue.measurements[i];
        rc = tsm_filter_measurement(names, m, s->err);
        if (rc <= 0)
            continue;
        uint8_t *wanted = tsm_alloc(m->ntag_keys);
        rc = tsm_filter_tag_keys(keys, m, wanted, s->err);
        if (rc == TSM_OK)
            rc = list_tags(s, filter, m, wanted, with_values, out);
        tsm_free(wanted);
    }
    tsm_free(out);
    return rc < 0 ? rc : TSM_OK;
}

int tsm_show_tags(struct tsm_shower *s, bool with_values)
{
    struct tsm_expr *condition = s->show->condition;
    bool any = false;
    if (with_values) {
        struct tsm_expr *keys = tsm_shower_keys(s);
        condition = condition ? tsm_expr_binary(&s->arena, TSM_TOK_AND, condition, keys) : keys;
    }
    int rc = tsm_shower_condition(s, tsm_shower_names(s, condition));
    if (rc == TSM_OK)
        rc = tsm_shower_any_shard(s, &any);
    if (rc == TSM_OK && !any && with_values) /* influxd looks at the condition all the same */
        rc = tsm_filter_measurement(tsm_filter_only_names(&s->arena, s->condition), NULL, s->err);
    if (rc < 0 || !any)
        return rc < 0 ? rc : TSM_OK;
    rc = tsm_shower_catalogue(s, false);
    return rc == TSM_OK
               ? list_measurements_tags(s, s->condition, with_values ? s->condition : NULL, with_values)
               : rc;
}
