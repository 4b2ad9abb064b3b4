/*
 * query/tag_filter.h: WHERE clauses of SHOW statements, as influxd's index answers them (influxdb v1.6
 * tsdb/index.go, with the in-memory index). The names _name and _tagKey stand for the measurement and for tag
 * keys.
 */
#ifndef TSM_QUERY_TAG_FILTER_H
#define TSM_QUERY_TAG_FILTER_H

#include "format/series_key.h"
#include "query/ast.h"

struct tsm_listed_series {
    struct tsm_str key;         /* as in the shard */
    const struct tsm_tag *tags; /* ascending by key, texts unescaped */
    uint32_t ntags;
};

struct tsm_listed_measurement {
    struct tsm_str name;
    const struct tsm_str *series; /* keys of them all; needed where a condition asks for tags */
    size_t nseries;
    const struct tsm_str *tag_keys; /* for tsm_filter_tag_keys() */
    size_t ntag_keys;
};

/* Each gives 1 for yes, 0 for no, or an error (TSM_EQUERY with influxd's text). e NULL: yes. */

/* Is there a tag value, or the name, that satisfies e? m NULL checks the expression alone. */
int tsm_filter_measurement(const struct tsm_expr *e, const struct tsm_listed_measurement *m,
                           struct tsm_err *err);
int tsm_filter_series(const struct tsm_expr *e, struct tsm_str measurement, const struct tsm_listed_series *s,
                      struct tsm_err *err);
/* The same as DELETE asks it: is_field tells whether a name is a field of the measurement, in the shard at hand. *rows is set when the
 * answer is yes and depends on the values of each row. */
struct tsm_filter_fields {
    bool (*is_field)(void *ctx, struct tsm_str name);
    void *ctx;
};
int tsm_filter_delete(const struct tsm_expr *e, struct tsm_str measurement, const struct tsm_listed_series *s,
                      const struct tsm_filter_fields *fields, bool *rows, struct tsm_err *err);
/* Whether it may depend on them for some series. */
bool tsm_filter_asks_rows(const struct tsm_expr *e, const struct tsm_filter_fields *fields);
/* Marks in wanted (one byte for each of m's tag keys) the keys that the comparisons with _tagKey in e ask
 * for. */
int tsm_filter_tag_keys(const struct tsm_expr *e, const struct tsm_listed_measurement *m, uint8_t *wanted,
                        struct tsm_err *err);

/* e without the comparisons that are not with _name, or that are with a system name (or with no name at all);
 * may be NULL. What is left of an AND or OR that loses one side is the other side. */
struct tsm_expr *tsm_filter_only_names(struct tsm_arena *a, const struct tsm_expr *e);
struct tsm_expr *tsm_filter_only_tags(struct tsm_arena *a, const struct tsm_expr *e);

/* TSM_EQUERY when e has operators that the index does not know. */
int tsm_filter_check_operators(const struct tsm_expr *e, struct tsm_err *err);

#endif
