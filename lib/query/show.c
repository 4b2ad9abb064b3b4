/*
 * query/show.c: SHOW statements.
 *
 * They answer what influxd answers with its in-memory index, which is one for all shards and policies of a
 * database: a time range or a policy decides whether there is an answer at all, not which series are in it.
 * Field keys are those of the policy's own shards.
 */
#include "query/show.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/sort.h"
#include "base/time.h"
#include "query/catalogue.h"
#include "query/reduce.h"
#include "query/tag_filter.h"
#include "store/scan.h"

#include "base/banned.h"

/* ---- rows of strings -------------------------------------------------------------------------- */

enum { BATCH = 1000 };

struct strings {
    struct tsm_sink *sink;
    struct tsm_series_head head;
    struct tsm_column_head columns[2];
    struct tsm_str cells[2][BATCH];
    size_t n;
    bool begun;
    int64_t skip, left; /* OFFSET; LIMIT, -1: no limit */
};

static struct strings *strings_new(struct tsm_sink *sink, const char *first, const char *second)
{
    struct strings *s = tsm_calloc(1, sizeof *s);
    s->sink = sink;
    s->columns[0].name = tsm_str_of(first);
    s->columns[1].name = tsm_str_of(second);
    s->head.columns = s->columns;
    s->head.ncolumns = second ? 2 : 1;
    return s;
}

/* A series; it is only given when a row follows. */
static void strings_series(struct strings *s, struct tsm_str name, const struct tsm_show *show)
{
    s->head.name = name;
    s->skip = show->offset;
    s->left = show->limit > 0 ? show->limit : -1;
    s->begun = false;
    s->n = 0;
}

static int strings_flush(struct strings *s, struct tsm_err *err)
{
    struct tsm_cells cells[2] = {
        {.type = TSM_CELL_STRING, .v.s = s->cells[0]},
        {.type = TSM_CELL_STRING, .v.s = s->cells[1]},
    };
    struct tsm_rows rows = {s->n, cells};
    s->n = 0;
    return rows.n ? s->sink->rows(s->sink, &rows, err) : TSM_OK;
}

static int strings_add(struct strings *s, struct tsm_str first, struct tsm_str second, struct tsm_err *err)
{
    int rc = TSM_OK;
    if (s->skip > 0) {
        s->skip--;
        return TSM_OK;
    }
    if (s->left == 0)
        return TSM_OK;
    if (s->left > 0)
        s->left--;
    if (!s->begun) {
        s->begun = true;
        rc = s->sink->series_begin(s->sink, &s->head, err);
    }
    if (rc == TSM_OK && s->n == BATCH)
        rc = strings_flush(s, err);
    s->cells[0][s->n] = first;
    s->cells[1][s->n++] = second;
    return rc;
}

static int strings_end(struct strings *s, struct tsm_err *err)
{
    if (!s->begun)
        return TSM_OK;
    int rc = strings_flush(s, err);
    s->begun = false;
    return rc == TSM_OK ? s->sink->series_end(s->sink, err) : rc;
}

/* ---- databases and policies ------------------------------------------------------------------- */

static int show_databases(struct tsm_query_ctx *q, struct tsm_sink *sink, struct tsm_err *err)
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

static int show_policies(struct tsm_query_ctx *q, struct tsm_str database, struct tsm_sink *sink,
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

/* ---- what the other statements share ---------------------------------------------------------- */

struct shower {
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
    struct tsm_catalogue catalogue;
};

static bool is_time(const struct tsm_expr *e)
{
    return e->kind == TSM_EXPR_VAR && e->u.var.name.n == 4 && strncasecmp(e->u.var.name.p, "time", 4) == 0;
}

static bool has_time(const struct tsm_expr *e)
{
    if (!e)
        return false;
    if (e->kind == TSM_EXPR_PAREN)
        return has_time(e->u.paren);
    if (e->kind != TSM_EXPR_BINARY)
        return false;
    const struct tsm_expr *lhs = e->u.binary.lhs, *rhs = e->u.binary.rhs;
    if (e->u.binary.op == TSM_TOK_AND || e->u.binary.op == TSM_TOK_OR)
        return has_time(lhs) || has_time(rhs);
    return is_time(lhs) || is_time(rhs);
}

/* Takes the time range out of a condition. */
static int split_condition(struct shower *s, const struct tsm_expr *condition)
{
    s->range = (struct tsm_time_range){.min = TSM_TIME_MIN, .max = TSM_TIME_MAX};
    if (!condition)
        return TSM_OK;
    int rc = tsm_condition_split(&s->arena, condition, s->q->opt->now, &s->condition, &s->range, s->err);
    if (!s->range.has_min)
        s->range.min = TSM_TIME_MIN;
    if (!s->range.has_max)
        s->range.max = TSM_TIME_MAX;
    return rc;
}

/* Adds "_name is one of the sources" to a condition, as influxd does. */
static struct tsm_expr *with_sources(struct shower *s, struct tsm_expr *condition)
{
    struct tsm_expr *names = NULL;
    for (size_t i = 0; i < s->show->nsources; i++) {
        const struct tsm_source *source = &s->show->sources[i];
        struct tsm_expr *var = tsm_expr_new(&s->arena, TSM_EXPR_VAR), *value = source->regex;
        var->u.var.name = TSM_STR("_name");
        if (!value) {
            value = tsm_expr_new(&s->arena, TSM_EXPR_STRING);
            value->u.string = source->name;
        }
        struct tsm_expr *e = tsm_expr_binary(&s->arena, source->regex ? TSM_TOK_EQREGEX : TSM_TOK_EQ, var,
                                             value);
        names = names ? tsm_expr_binary(&s->arena, TSM_TOK_OR, names, e) : e;
    }
    if (!names || !condition)
        return names ? names : condition;
    return tsm_expr_binary(&s->arena, TSM_TOK_AND, names, condition);
}

static void add_shards(struct shower *s, struct tsm_shard **more, size_t n)
{
    s->shards = tsm_realloc_array(s->shards, s->nshards + n, sizeof *s->shards);
    for (size_t i = 0; i < n; i++) {
        bool known = false;
        for (size_t k = 0; k < s->nshards && !known; k++)
            known = s->shards[k] == more[i];
        if (!known)
            s->shards[s->nshards++] = more[i];
    }
    tsm_free(more);
}

/* The shards of each source's policy; without sources, of the default policy. */
static int source_shards(struct shower *s)
{
    size_t n = s->show->nsources ? s->show->nsources : 1;
    for (size_t i = 0; i < n; i++) {
        struct tsm_str database, rp = {"", 0}, name = s->show->database;
        if (s->show->nsources) {
            rp = s->show->sources[i].rp;
            if (s->show->sources[i].database.n)
                name = s->show->sources[i].database;
        }
        struct tsm_shard **shards;
        size_t nshards;
        int rc = tsm_query_ctx_database(s->q, name, &database, s->err);
        if (rc == TSM_OK)
            rc = tsm_query_ctx_shards(s->q, database, rp, s->range.min, s->range.max, &shards, &nshards,
                                      s->err);
        if (rc != TSM_OK)
            return rc;
        s->database = database;
        add_shards(s, shards, nshards);
    }
    return TSM_OK;
}

/* All measurements and series of the database. */
static int make_catalogue(struct shower *s, bool names_only)
{
    struct tsm_shard **all;
    size_t n;
    int rc = tsm_query_ctx_all_shards(s->q, s->database, TSM_TIME_MIN, TSM_TIME_MAX, &all, &n, s->err);
    if (rc != TSM_OK)
        return rc;
    rc = tsm_catalogue_make(all, n, names_only, s->q->opt->memory, &s->catalogue, s->err);
    tsm_free(all);
    return rc;
}

/* Is there any shard of the database in the time range? */
static int any_shard(struct shower *s, bool *any)
{
    struct tsm_shard **shards;
    size_t n;
    int rc = tsm_query_ctx_all_shards(s->q, s->database, s->range.min, s->range.max, &shards, &n, s->err);
    if (rc != TSM_OK)
        return rc;
    *any = n > 0;
    tsm_free(shards);
    return TSM_OK;
}

/* ---- SHOW MEASUREMENTS ------------------------------------------------------------------------ */

static int list_measurements(struct shower *s, const struct tsm_expr *condition, struct strings *out)
{
    int rc = tsm_filter_measurement(condition, NULL, s->err);
    strings_series(out, TSM_STR("measurements"), s->show);
    for (size_t i = 0; i < s->catalogue.n && rc >= 0; i++) {
        const struct tsm_listed_measurement *m = &s->catalogue.measurements[i];
        rc = tsm_filter_measurement(condition, m, s->err);
        if (rc > 0)
            rc = strings_add(out, m->name, tsm_str("", 0), s->err);
    }
    return rc < 0 ? rc : strings_end(out, s->err);
}

static int show_measurements(struct shower *s)
{
    bool any = false;
    if (has_time(s->show->condition))
        return tsm_err_set(s->err, TSM_EQUERY, "SHOW MEASUREMENTS doesn't support time in WHERE clause");
    if (!s->q->loose && !tsm_meta_database(&s->q->meta, s->database))
        return TSM_OK;
    int rc = split_condition(s, NULL);
    if (rc == TSM_OK)
        rc = any_shard(s, &any);
    if (rc == TSM_OK && any)
        rc = make_catalogue(s, !s->show->condition);
    if (rc != TSM_OK || !any)
        return rc;
    struct strings *out = strings_new(s->sink, "name", NULL);
    rc = list_measurements(s, with_sources(s, s->show->condition), out);
    tsm_free(out);
    return rc;
}

/* ---- SHOW SERIES ------------------------------------------------------------------------------ */

/* alive: the series to give, NULL for all. */
static int list_series(struct shower *s, const struct tsm_expr *condition, const struct tsm_map *alive,
                       struct strings *out)
{
    int rc = TSM_OK;
    strings_series(out, tsm_str("", 0), s->show);
    for (size_t i = 0; i < s->catalogue.n && rc >= 0; i++) {
        const struct tsm_listed_measurement *m = &s->catalogue.measurements[i];
        for (size_t k = 0; k < m->nseries && rc >= 0; k++) {
            if (alive && tsm_map_get(alive, m->series[k].key, tsm_hash(m->series[k].key)) == TSM_MAP_NONE)
                continue;
            rc = tsm_filter_series(condition, m->name, &m->series[k], s->err);
            if (rc > 0)
                rc = strings_add(out, m->series[k].key, tsm_str("", 0), s->err);
        }
    }
    return rc < 0 ? rc : strings_end(out, s->err);
}

/* Puts the series that have values in the time range into alive. */
static int find_alive(struct shower *s, const struct tsm_shard *shard, struct tsm_scan *scan,
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
static bool is_about_tags(const struct shower *s, const struct tsm_expr *e)
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

static int show_series_in_time(struct shower *s, const struct tsm_expr *condition, struct strings *out)
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

static int show_series_in_index(struct shower *s, const struct tsm_expr *condition, struct strings *out)
{
    int rc = tsm_filter_check_operators(condition, s->err);
    if (rc == TSM_OK)
        rc = make_catalogue(s, false);
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

static int show_series(struct shower *s)
{
    int rc = split_condition(s, s->show->condition);
    if (rc == TSM_OK)
        rc = source_shards(s);
    if (rc != TSM_OK || s->nshards == 0)
        return rc;
    s->condition = tsm_expr_copy(&s->arena, s->condition);
    if (!has_time(s->show->condition))
        forget_any_field(s->condition);
    const struct tsm_expr *condition = with_sources(s, s->condition);
    struct strings *out = strings_new(s->sink, "key", NULL);
    rc = has_time(s->show->condition) ? show_series_in_time(s, condition, out)
                                      : show_series_in_index(s, condition, out);
    tsm_free(out);
    return rc;
}

/* ---- SHOW TAG KEYS, SHOW TAG VALUES ----------------------------------------------------------- */

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

static int choose_series(struct shower *s, const struct tsm_expr *filter,
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
static int list_tags(struct shower *s, const struct tsm_expr *filter, const struct tsm_listed_measurement *m,
                     const uint8_t *wanted, bool with_values, struct strings *out)
{
    uint8_t *chosen = tsm_alloc(m->nseries);
    struct tsm_str *values = tsm_alloc((m->nseries + 1) * sizeof *values);
    int rc = choose_series(s, filter, m, chosen);
    strings_series(out, m->name, s->show);
    for (size_t i = 0; i < m->ntag_keys && rc == TSM_OK; i++) {
        size_t n = wanted[i] ? tag_values(m, chosen, m->tag_keys[i], values) : 0;
        if (n && !with_values)
            n = 1;
        for (size_t k = 0; k < n && rc == TSM_OK; k++)
            rc = strings_add(out, m->tag_keys[i], values[k], s->err);
        /* The batch borrows from values only their texts, which the catalogue owns. */
    }
    if (rc == TSM_OK)
        rc = strings_end(out, s->err);
    tsm_free(chosen);
    tsm_free(values);
    return rc;
}

/* keys: the condition on tag keys, NULL for all. */
static int list_measurements_tags(struct shower *s, const struct tsm_expr *condition,
                                  const struct tsm_expr *keys, bool with_values)
{
    const struct tsm_expr *names = tsm_filter_only_names(&s->arena, condition);
    const struct tsm_expr *filter = tsm_filter_only_tags(&s->arena, condition);
    struct strings *out = strings_new(s->sink, with_values ? "key" : "tagKey", with_values ? "value" : NULL);
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

/* WITH KEY as a comparison with _tagKey. */
static struct tsm_expr *key_condition(struct shower *s)
{
    struct tsm_expr *var = tsm_expr_new(&s->arena, TSM_EXPR_VAR), *all = NULL;
    var->u.var.name = TSM_STR("_tagKey");
    if (s->show->key_op != TSM_TOK_IN)
        return tsm_expr_binary(&s->arena, s->show->key_op, var, s->show->key);
    for (size_t i = 0; i < s->show->key->u.list.n; i++) {
        struct tsm_expr *key = tsm_expr_new(&s->arena, TSM_EXPR_STRING);
        key->u.string = s->show->key->u.list.items[i];
        struct tsm_expr *e = tsm_expr_binary(&s->arena, TSM_TOK_EQ, var, key);
        all = all ? tsm_expr_binary(&s->arena, TSM_TOK_OR, all, e) : e;
    }
    return all;
}

static int show_tags(struct shower *s, bool with_values)
{
    struct tsm_expr *condition = s->show->condition;
    bool any = false;
    if (with_values) {
        struct tsm_expr *keys = key_condition(s);
        condition = condition ? tsm_expr_binary(&s->arena, TSM_TOK_AND, condition, keys) : keys;
    }
    int rc = split_condition(s, with_sources(s, condition));
    if (rc == TSM_OK)
        rc = any_shard(s, &any);
    if (rc == TSM_OK && !any && with_values) /* influxd looks at the condition all the same */
        rc = tsm_filter_measurement(tsm_filter_only_names(&s->arena, s->condition), NULL, s->err);
    if (rc < 0 || !any)
        return rc < 0 ? rc : TSM_OK;
    rc = make_catalogue(s, false);
    return rc == TSM_OK
               ? list_measurements_tags(s, s->condition, with_values ? s->condition : NULL, with_values)
               : rc;
}

/* ---- SHOW FIELD KEYS -------------------------------------------------------------------------- */

struct listed_field {
    struct tsm_str measurement, field, type;
};

struct fields {
    struct listed_field *items;
    size_t n, cap;
    struct tsm_map known; /* raw measurement, field and type */
    struct tsm_buf key;
};

static int add_field(struct shower *s, struct fields *f, struct tsm_str series, struct tsm_str field,
                     enum tsm_type type)
{
    struct tsm_str raw = tsm_raw_measurement(series);
    f->key.len = 0;
    tsm_buf_str(&f->key, raw);
    tsm_buf_byte(&f->key, 0);
    tsm_buf_str(&f->key, field);
    tsm_buf_byte(&f->key, (uint8_t)type);
    uint64_t hash = tsm_hash(tsm_buf_view(&f->key));
    if (tsm_map_get(&f->known, tsm_buf_view(&f->key), hash) != TSM_MAP_NONE)
        return TSM_OK;
    tsm_map_put(&f->known, tsm_arena_str(&s->arena, tsm_buf_view(&f->key)), hash, 0);
    struct tsm_series parsed;
    int rc = tsm_series_parse(raw, &s->arena, &parsed, s->err);
    if (rc != TSM_OK)
        return rc;
    TSM_GROW(f->items, f->n + 1, f->cap);
    f->items[f->n++] = (struct listed_field){parsed.measurement, field, tsm_str_of(tsm_type_name(type))};
    return TSM_OK;
}

static int compare_fields(const void *a, const void *b)
{
    const struct listed_field *x = a, *y = b;
    int c = tsm_str_cmp(x->measurement, y->measurement);
    if (c == 0)
        c = tsm_str_cmp(x->field, y->field);
    return c ? c : tsm_str_cmp(x->type, y->type);
}

static int list_fields(struct shower *s, const struct fields *f)
{
    const struct tsm_expr *condition = with_sources(s, NULL);
    struct strings *out = strings_new(s->sink, "fieldKey", "fieldType");
    int rc = TSM_OK;
    for (size_t i = 0; i < f->n && rc >= 0;) {
        struct tsm_listed_measurement m = {.name = f->items[i].measurement};
        rc = tsm_filter_measurement(condition, &m, s->err);
        bool wanted = rc > 0;
        strings_series(out, m.name, s->show);
        for (; i < f->n && tsm_str_eq(f->items[i].measurement, m.name) && rc >= 0; i++)
            if (wanted)
                rc = strings_add(out, f->items[i].field, f->items[i].type, s->err);
        if (rc >= 0)
            rc = strings_end(out, s->err);
    }
    tsm_free(out);
    return rc < 0 ? rc : TSM_OK;
}

static int gather_fields(struct shower *s, struct fields *f)
{
    for (size_t i = 0; i < s->nshards; i++)
        for (size_t k = 0; k < s->shards[i]->nkeys; k++) {
            struct tsm_str series, field;
            if (!tsm_key_split(tsm_shard_key(s->shards[i], k), &series, &field))
                continue;
            int rc = add_field(s, f, series, field, tsm_shard_key_type(s->shards[i], k));
            if (rc != TSM_OK)
                return rc;
        }
    return TSM_OK;
}

static int show_field_keys(struct shower *s)
{
    struct fields f = {0};
    int rc = split_condition(s, NULL);
    if (rc == TSM_OK)
        rc = source_shards(s);
    if (rc == TSM_OK)
        rc = gather_fields(s, &f);
    tsm_sort(f.items, f.n, sizeof *f.items, compare_fields);
    if (rc == TSM_OK)
        rc = list_fields(s, &f);
    tsm_free(f.items);
    tsm_map_release(&f.known);
    tsm_buf_release(&f.key);
    return rc;
}

/* ---- dispatch --------------------------------------------------------------------------------- */

static int show_from_shards(struct shower *s, enum tsm_statement_kind kind)
{
    switch (kind) {
    case TSM_STATEMENT_SHOW_MEASUREMENTS:
        return show_measurements(s);
    case TSM_STATEMENT_SHOW_SERIES:
        return show_series(s);
    case TSM_STATEMENT_SHOW_TAG_KEYS:
        return show_tags(s, false);
    case TSM_STATEMENT_SHOW_TAG_VALUES:
        return show_tags(s, true);
    default:
        return show_field_keys(s);
    }
}

int tsm_show_run(struct tsm_query_ctx *q, const struct tsm_statement *st, struct tsm_sink *sink,
                 struct tsm_err *err)
{
    struct shower s = {.q = q, .show = &st->u.show, .sink = sink, .err = err};
    bool sources_decide = st->kind == TSM_STATEMENT_SHOW_SERIES || st->kind == TSM_STATEMENT_SHOW_FIELD_KEYS;
    if (st->kind == TSM_STATEMENT_SHOW_DATABASES)
        return show_databases(q, sink, err);
    int rc = tsm_query_ctx_meta(q, err);
    if (rc == TSM_OK && !sources_decide) /* the database may be given by the source */
        rc = tsm_query_ctx_database(q, s.show->database, &s.database, err);
    if (rc != TSM_OK)
        return rc;
    if (st->kind == TSM_STATEMENT_SHOW_RETENTION_POLICIES)
        return show_policies(q, s.database, sink, err);
    rc = show_from_shards(&s, st->kind);
    tsm_catalogue_release(&s.catalogue);
    tsm_free(s.shards);
    tsm_arena_release(&s.arena);
    return rc;
}
