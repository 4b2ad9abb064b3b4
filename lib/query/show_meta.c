/* query/show_meta.c: SHOW statements about what is in meta.db. */
#include "base/time.h"
#include "query/show_impl.h"

#include "base/banned.h"

int tsm_show_databases(struct tsm_query_ctx *q, struct tsm_sink *sink, struct tsm_err *err)
{
    struct tsm_column_head column = {TSM_STR("name"), TSM_ROLE_OTHER};
    struct tsm_series_head head = {.name = TSM_STR("databases"), .columns = &column, .ncolumns = 1};
    int rc = tsm_query_ctx_meta(q, err);
    if (rc == TSM_OK)
        rc = sink->series_begin(sink, &head, err);
    for (size_t i = 0; i < q->meta.ndatabases && rc == TSM_OK; i++) {
        struct tsm_cells cell = {.type = TSM_CELL_STRING, .v.s = &q->meta.databases[i].name};
        struct tsm_rows row = {1, &cell};
        rc = sink->rows(sink, &row, err);
    }
    return rc == TSM_OK ? sink->series_end(sink, err) : rc;
}

static int give_policy(struct tsm_sink *sink, const struct tsm_database *db, const struct tsm_rp *rp,
                       struct tsm_err *err)
{
    char texts[2][TSM_TIME_TEXT_MAX];
    struct tsm_str duration = {texts[0], tsm_format_duration_go(texts[0], rp->duration)};
    struct tsm_str shards = {texts[1], tsm_format_duration_go(texts[1], rp->shard_group_duration)};
    int64_t replicas = rp->replica_n;
    uint8_t is_default = tsm_str_eq(rp->name, db->default_rp);
    struct tsm_cells cells[] = {
        {.type = TSM_CELL_STRING, .v.s = &rp->name},    {.type = TSM_CELL_STRING, .v.s = &duration},
        {.type = TSM_CELL_STRING, .v.s = &shards},      {.type = TSM_CELL_INTEGER, .v.i = &replicas},
        {.type = TSM_CELL_BOOLEAN, .v.b = &is_default},
    };
    struct tsm_rows row = {1, cells};
    return sink->rows(sink, &row, err);
}

int tsm_show_policies(struct tsm_query_ctx *q, struct tsm_str database, struct tsm_sink *sink,
                      struct tsm_err *err)
{
    static const struct tsm_column_head columns[] = {
        {{"name", 4}, TSM_ROLE_OTHER},
        {{"duration", 8}, TSM_ROLE_OTHER},
        {{"shardGroupDuration", 18}, TSM_ROLE_OTHER},
        {{"replicaN", 8}, TSM_ROLE_OTHER},
        {{"default", 7}, TSM_ROLE_OTHER},
    };
    struct tsm_series_head head = {.columns = columns, .ncolumns = sizeof columns / sizeof *columns};
    int rc = tsm_query_ctx_meta(q, err);
    if (rc != TSM_OK)
        return rc;
    const struct tsm_database *db = q->loose ? NULL : tsm_meta_database(&q->meta, database);
    if (!db)
        return tsm_err_set(err, TSM_EQUERY, "database not found: %.*s", (int)database.n, database.p);
    rc = sink->series_begin(sink, &head, err);
    for (size_t i = 0; i < db->nrps && rc == TSM_OK; i++)
        rc = give_policy(sink, db, &db->rps[i], err);
    return rc == TSM_OK ? sink->series_end(sink, err) : rc;
}
