/*
 * query/show_impl.h: what the SHOW statements share. Private to show*.c.
 *
 * Most of them answer what influxd answers with its in-memory index, which is one for all shards and policies of a database: a
 * time range or a policy decides whether there is an answer at all, not which series are in it.
 */
#ifndef TSM_QUERY_SHOW_IMPL_H
#define TSM_QUERY_SHOW_IMPL_H

#include "query/ast.h"
#include "query/catalogue.h"
#include "query/context.h"
#include "query/reduce.h"
#include "query/sink.h"

/* ---- rows of one or two strings --------------------------------------------------------------- */

enum { TSM_SHOW_BATCH = 1000 };

struct tsm_show_rows {
    struct tsm_sink *sink;
    struct tsm_series_head head;
    struct tsm_column_head columns[2];
    struct tsm_str cells[2][TSM_SHOW_BATCH];
    size_t n;
    bool begun;
    int64_t skip, left; /* OFFSET; LIMIT, -1: no limit */
};

struct tsm_show_rows *tsm_show_rows_new(struct tsm_sink *sink, const char *first, const char *second);
/* A series; it is only given when a row follows. */
void tsm_show_rows_series(struct tsm_show_rows *s, struct tsm_str name, const struct tsm_show *show);
int tsm_show_rows_add(struct tsm_show_rows *s, struct tsm_str first, struct tsm_str second,
                      struct tsm_err *err);
int tsm_show_rows_end(struct tsm_show_rows *s, struct tsm_err *err);
/* LIMIT is reached: nothing that is added now will be given. */
static inline bool tsm_show_rows_full(const struct tsm_show_rows *s)
{
    return s->left == 0;
}

/* ---- a statement about what is in the shards -------------------------------------------------- */

struct tsm_shower {
    struct tsm_query_ctx *q;
    const struct tsm_show *show;
    struct tsm_str database;
    struct tsm_sink *sink;
    struct tsm_err *err;
    struct tsm_arena arena;
    struct tsm_expr *condition; /* without time */
    struct tsm_time_range range;
    struct tsm_shard **shards; /* of the sources' policies, or of all, in the time range */
    size_t nshards;
};

/* Does a condition compare with time? As influxql's HasTimeExpr(). */
bool tsm_has_time(const struct tsm_expr *e);
/* Takes the time range out of a condition. */
int tsm_shower_condition(struct tsm_shower *s, const struct tsm_expr *condition);
/* Adds "_name is one of the sources" to a condition, as influxd does. */
struct tsm_expr *tsm_shower_sources(struct tsm_shower *s, struct tsm_expr *condition);
/* Whether a measurement is one of the sources: 1, 0 or an error; yes without any. */
int tsm_shower_is_source(const struct tsm_shower *s, struct tsm_str name);
/* WITH KEY as a comparison with _tagKey. */
struct tsm_expr *tsm_shower_keys(struct tsm_shower *s);
/* The shards of each source's policy; without sources, of the default policy. */
int tsm_shower_source_shards(struct tsm_shower *s);
/* All shards of the database, and its measurements. The caller frees *all and the names. */
int tsm_shower_names(struct tsm_shower *s, struct tsm_shard ***all, size_t *n, struct tsm_str_list *names);
/* Is there any shard of the database in the time range? */
int tsm_shower_any_shard(struct tsm_shower *s, bool *any);

/* ---- the statements --------------------------------------------------------------------------- */

int tsm_show_measurements(struct tsm_shower *s);           /* show_measurements.c */
int tsm_show_series(struct tsm_shower *s);                 /* show_series.c */
int tsm_show_tags(struct tsm_shower *s, bool with_values); /* show_tags.c */
int tsm_show_field_keys(struct tsm_shower *s);             /* show_fields.c */
int tsm_show_cardinality(struct tsm_shower *s);            /* show_cardinality.c */
/* show_meta.c */
int tsm_show_databases(struct tsm_query_ctx *q, struct tsm_sink *sink, struct tsm_err *err);
int tsm_show_shards(struct tsm_query_ctx *q, struct tsm_sink *sink, struct tsm_err *err);
int tsm_show_shard_groups(struct tsm_query_ctx *q, struct tsm_sink *sink, struct tsm_err *err);
int tsm_show_users(struct tsm_query_ctx *q, struct tsm_sink *sink, struct tsm_err *err);
int tsm_show_grants(struct tsm_query_ctx *q, struct tsm_str user, struct tsm_sink *sink, struct tsm_err *err);
int tsm_show_continuous_queries(struct tsm_query_ctx *q, struct tsm_sink *sink, struct tsm_err *err);
int tsm_show_subscriptions(struct tsm_query_ctx *q, struct tsm_sink *sink, struct tsm_err *err);
int tsm_show_policies(struct tsm_query_ctx *q, struct tsm_str database, struct tsm_sink *sink,
                      struct tsm_err *err);
/* show_queries.c */
int tsm_show_queries(struct tsm_query_ctx *q, struct tsm_sink *sink, struct tsm_err *err);
int tsm_kill_query(struct tsm_query_ctx *q, uint64_t id, struct tsm_err *err);

#endif
