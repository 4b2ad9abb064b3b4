/* query/show_meta.c: SHOW statements about what is in meta.db. */
#include "base/protobuf.h"
#include "base/time.h"
#include "query/access.h"
#include "query/show_impl.h"

#include "base/banned.h"

#define STRING(x)                           \
    {                                       \
        .type = TSM_CELL_STRING, .v.s = (x) \
    }
#define UNSIGNED(x)                           \
    {                                         \
        .type = TSM_CELL_UNSIGNED, .v.u = (x) \
    }
#define BOOLEAN(x)                           \
    {                                        \
        .type = TSM_CELL_BOOLEAN, .v.b = (x) \
    }

enum { MOST_COLUMNS = 8 };

/* Begins a series whose columns have these names; *heads is theirs until it ends. */
static int begin(struct tsm_sink *sink, struct tsm_str name, const char *const *names, size_t n,
                 struct tsm_column_head *heads, struct tsm_series_head *head, struct tsm_err *err)
{
    for (size_t i = 0; i < n; i++)
        heads[i] = (struct tsm_column_head){tsm_str_of(names[i]), TSM_ROLE_OTHER};
    *head = (struct tsm_series_head){.name = name, .columns = heads, .ncolumns = n};
    return sink->series_begin(sink, head, err);
}

static int give(struct tsm_sink *sink, const struct tsm_cells *cells, struct tsm_err *err)
{
    return sink->rows(sink, &(struct tsm_rows){1, cells}, err);
}

/* ---- databases and policies ------------------------------------------------------------------- */

/* Who may read or write a database, sees it. */
static bool may_see(const struct tsm_query_ctx *q, struct tsm_str database)
{
    if (!q->opt->authenticate)
        return true;
    return tsm_access_database(&q->meta, q->opt->user, TSM_PRIVILEGE_READ, database) ||
           tsm_access_database(&q->meta, q->opt->user, TSM_PRIVILEGE_WRITE, database);
}

int tsm_show_databases(struct tsm_query_ctx *q, struct tsm_sink *sink, struct tsm_err *err)
{
    struct tsm_column_head column = {TSM_STR("name"), TSM_ROLE_OTHER};
    struct tsm_series_head head = {.name = TSM_STR("databases"), .columns = &column, .ncolumns = 1};
    int rc = tsm_query_ctx_meta(q, err);
    if (rc == TSM_OK)
        rc = sink->series_begin(sink, &head, err);
    for (size_t i = 0; i < q->meta.ndatabases && rc == TSM_OK; i++) {
        if (!may_see(q, q->meta.databases[i].name))
            continue;
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

/* ---- shards ----------------------------------------------------------------------------------- */

/* RFC 3339 without a fraction, of a time plus a duration. */
static struct tsm_str date(char *p, int64_t t, int64_t duration)
{
    __int128 sum = (__int128)t + duration;
    int64_t seconds = (int64_t)(sum / TSM_SEC) - (sum % TSM_SEC < 0);
    return tsm_str(p, tsm_format_rfc3339_seconds(p, seconds));
}

/* The numbers of the nodes in a shard's message, as a list with commas; a single influxd has none. */
static void owners(struct tsm_buf *out, struct tsm_str shard)
{
    enum { OWNERS = 3, NODE_ID = 1 };
    struct tsm_pb_reader r = {(const uint8_t *)shard.p, (const uint8_t *)shard.p + shard.n};
    struct tsm_pb_field f, id;
    while (shard.p && tsm_pb_next(&r, &f) > 0) {
        if (f.number != OWNERS || f.wire != TSM_PB_BYTES)
            continue;
        struct tsm_pb_reader owner = {(const uint8_t *)f.bytes.p, (const uint8_t *)f.bytes.p + f.bytes.n};
        while (tsm_pb_next(&owner, &id) > 0)
            if (id.number == NODE_ID && id.wire == TSM_PB_VARINT)
                tsm_buf_printf(out, "%s%llu", out->len ? "," : "", (unsigned long long)id.value);
    }
}

struct group_texts {
    char start[TSM_TIME_TEXT_MAX], end[TSM_TIME_TEXT_MAX], expiry[TSM_TIME_TEXT_MAX];
};

static int give_shards(struct tsm_sink *sink, const struct tsm_database *db, const struct tsm_rp *rp,
                       const struct tsm_shard_group *g, struct tsm_err *err)
{
    struct group_texts t;
    struct tsm_str start = date(t.start, g->start, 0), end = date(t.end, g->end, 0);
    struct tsm_str expiry = date(t.expiry, g->end, rp->duration);
    struct tsm_buf list = {0};
    int rc = TSM_OK;
    for (size_t i = 0; i < g->nshards && rc == TSM_OK; i++) {
        tsm_buf_reset(&list);
        owners(&list, g->shard_bytes[i]);
        struct tsm_str text = tsm_buf_view(&list);
        struct tsm_cells cells[] = {UNSIGNED(&g->shards[i]), STRING(&db->name), STRING(&rp->name),
                                    UNSIGNED(&g->id),        STRING(&start),    STRING(&end),
                                    STRING(&expiry),         STRING(&text)};
        rc = give(sink, cells, err);
    }
    tsm_buf_release(&list);
    return rc;
}

static int give_group(struct tsm_sink *sink, const struct tsm_database *db, const struct tsm_rp *rp,
                      const struct tsm_shard_group *g, struct tsm_err *err)
{
    struct group_texts t;
    struct tsm_str start = date(t.start, g->start, 0), end = date(t.end, g->end, 0);
    struct tsm_str expiry = date(t.expiry, g->end, rp->duration);
    struct tsm_cells cells[] = {UNSIGNED(&g->id), STRING(&db->name), STRING(&rp->name),
                                STRING(&start),   STRING(&end),      STRING(&expiry)};
    return give(sink, cells, err);
}

static int each_group(struct tsm_sink *sink, const struct tsm_database *db,
                      int (*give_one)(struct tsm_sink *sink, const struct tsm_database *db,
                                      const struct tsm_rp *rp, const struct tsm_shard_group *g,
                                      struct tsm_err *err),
                      struct tsm_err *err)
{
    int rc = TSM_OK;
    for (size_t i = 0; i < db->nrps; i++)
        for (size_t k = 0; k < db->rps[i].ngroups && rc == TSM_OK; k++)
            if (!db->rps[i].groups[k].deleted_at)
                rc = give_one(sink, db, &db->rps[i], &db->rps[i].groups[k], err);
    return rc;
}

int tsm_show_shards(struct tsm_query_ctx *q, struct tsm_sink *sink, struct tsm_err *err)
{
    static const char *const names[] = {"id",         "database", "retention_policy", "shard_group",
                                        "start_time", "end_time", "expiry_time",      "owners"};
    struct tsm_column_head heads[MOST_COLUMNS];
    struct tsm_series_head head;
    int rc = TSM_OK;
    for (size_t i = 0; i < q->meta.ndatabases && rc == TSM_OK; i++) {
        rc = begin(sink, q->meta.databases[i].name, names, 8, heads, &head, err);
        if (rc == TSM_OK)
            rc = each_group(sink, &q->meta.databases[i], give_shards, err);
        if (rc == TSM_OK)
            rc = sink->series_end(sink, err);
    }
    return rc;
}

int tsm_show_shard_groups(struct tsm_query_ctx *q, struct tsm_sink *sink, struct tsm_err *err)
{
    static const char *const names[] = {"id",         "database", "retention_policy",
                                        "start_time", "end_time", "expiry_time"};
    struct tsm_column_head heads[MOST_COLUMNS];
    struct tsm_series_head head;
    int rc = begin(sink, TSM_STR("shard groups"), names, 6, heads, &head, err);
    for (size_t i = 0; i < q->meta.ndatabases && rc == TSM_OK; i++)
        rc = each_group(sink, &q->meta.databases[i], give_group, err);
    return rc == TSM_OK ? sink->series_end(sink, err) : rc;
}

/* ---- users ------------------------------------------------------------------------------------ */

int tsm_show_users(struct tsm_query_ctx *q, struct tsm_sink *sink, struct tsm_err *err)
{
    static const char *const names[] = {"user", "admin"};
    struct tsm_column_head heads[MOST_COLUMNS];
    struct tsm_series_head head;
    int rc = begin(sink, tsm_str("", 0), names, 2, heads, &head, err);
    for (size_t i = 0; i < q->meta.nusers && rc == TSM_OK; i++) {
        uint8_t admin = q->meta.users[i].admin;
        struct tsm_cells cells[] = {STRING(&q->meta.users[i].name), BOOLEAN(&admin)};
        rc = give(sink, cells, err);
    }
    return rc == TSM_OK ? sink->series_end(sink, err) : rc;
}

int tsm_show_grants(struct tsm_query_ctx *q, struct tsm_str user, struct tsm_sink *sink, struct tsm_err *err)
{
    static const char *const names[] = {"database", "privilege"};
    struct tsm_column_head heads[MOST_COLUMNS];
    struct tsm_series_head head;
    size_t i = 0;
    while (i < q->meta.nusers && !tsm_str_eq(q->meta.users[i].name, user))
        i++;
    if (i == q->meta.nusers)
        return tsm_err_set(err, TSM_EQUERY, "user not found");
    const struct tsm_user *u = &q->meta.users[i];
    int rc = begin(sink, tsm_str("", 0), names, 2, heads, &head, err);
    for (size_t k = 0; k < u->nprivileges && rc == TSM_OK; k++) {
        struct tsm_str name = tsm_str_of(tsm_privilege_name(u->privileges[k].privilege));
        struct tsm_cells cells[] = {STRING(&u->privileges[k].database), STRING(&name)};
        rc = give(sink, cells, err);
    }
    return rc == TSM_OK ? sink->series_end(sink, err) : rc;
}

/* ---- continuous queries and subscriptions ----------------------------------------------------- */

int tsm_show_continuous_queries(struct tsm_query_ctx *q, struct tsm_sink *sink, struct tsm_err *err)
{
    static const char *const names[] = {"name", "query"};
    struct tsm_column_head heads[MOST_COLUMNS];
    struct tsm_series_head head;
    int rc = TSM_OK;
    for (size_t i = 0; i < q->meta.ndatabases && rc == TSM_OK; i++) {
        const struct tsm_database *db = &q->meta.databases[i];
        rc = begin(sink, db->name, names, 2, heads, &head, err);
        for (size_t k = 0; k < db->ncontinuous && rc == TSM_OK; k++) {
            struct tsm_cells cells[] = {STRING(&db->continuous[k].name), STRING(&db->continuous[k].query)};
            rc = give(sink, cells, err);
        }
        if (rc == TSM_OK)
            rc = sink->series_end(sink, err);
    }
    return rc;
}

/* A list of strings as JSON. */
static void print_list(struct tsm_buf *out, const struct tsm_str *items, size_t n)
{
    tsm_buf_byte(out, '[');
    for (size_t i = 0; i < n; i++) {
        tsm_buf_puts(out, i ? ",\"" : "\"");
        for (size_t k = 0; k < items[i].n; k++) {
            char c = items[i].p[k];
            if (c == '"' || c == '\\')
                tsm_buf_byte(out, '\\');
            if ((uint8_t)c < 0x20 || c == '<' || c == '>' || c == '&')
                tsm_buf_printf(out, "\\u%04x", c);
            else
                tsm_buf_byte(out, (uint8_t)c);
        }
        tsm_buf_byte(out, '"');
    }
    tsm_buf_byte(out, ']');
}

static int give_subscription(struct tsm_sink *sink, const struct tsm_rp *rp, const struct tsm_subscription *s,
                             struct tsm_err *err)
{
    struct tsm_buf list = {0};
    print_list(&list, s->destinations, s->ndestinations);
    struct tsm_str text = tsm_buf_view(&list);
    struct tsm_cells cells[] = {STRING(&rp->name), STRING(&s->name), STRING(&s->mode), STRING(&text)};
    int rc = give(sink, cells, err);
    tsm_buf_release(&list);
    return rc;
}

int tsm_show_subscriptions(struct tsm_query_ctx *q, struct tsm_sink *sink, struct tsm_err *err)
{
    static const struct tsm_column_head heads[] = {
        {{"retention_policy", 16}, TSM_ROLE_OTHER},
        {{"name", 4}, TSM_ROLE_OTHER},
        {{"mode", 4}, TSM_ROLE_OTHER},
        {{"destinations", 12}, TSM_ROLE_JSON},
    };
    int rc = TSM_OK;
    for (size_t i = 0; i < q->meta.ndatabases && rc == TSM_OK; i++) {
        const struct tsm_database *db = &q->meta.databases[i];
        struct tsm_series_head head = {.name = db->name, .columns = heads, .ncolumns = 4};
        bool begun = false;
        for (size_t p = 0; p < db->nrps; p++) {
            for (size_t k = 0; k < db->rps[p].nsubscriptions && rc == TSM_OK; k++) {
                if (!begun)
                    rc = sink->series_begin(sink, &head, err);
                begun = true;
                if (rc == TSM_OK)
                    rc = give_subscription(sink, &db->rps[p], &db->rps[p].subscriptions[k], err);
            }
        }
        if (begun && rc == TSM_OK)
            rc = sink->series_end(sink, err);
    }
    return rc;
}
