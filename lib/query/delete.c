/*
 * query/delete.c: DELETE, DROP SERIES and DROP MEASUREMENT.
 *
 * A condition may ask for tags and time only. Whether a name is a field depends on shard and measurement, so all shards in the
 * time range are looked at before anything is deleted: influxd refuses as well, but deletes in other shards meanwhile.
 */
#include "query/change_place.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/sort.h"
#include "base/time.h"
#include "query/plan_tags.h"
#include "query/reduce.h"
#include "query/catalogue.h"
#include "query/tag_filter.h"

#include "base/banned.h"

enum { ARENA_MAX = 1 << 20 }; /* bytes of unescaped tags before they are thrown away */

/* A name of the condition that is a field. */
struct field {
    struct tsm_str measurement; /* as in series keys */
    struct tsm_str name;
};

struct target {
    uint64_t id;
    struct tsm_str rp;
    struct field *fields; /* in the order of measurements */
    size_t nfields, capfields;
};

struct deletion {
    const struct tsm_change_place *place;
    const struct tsm_change *change;
    struct tsm_meta meta;
    const struct tsm_source *sources;
    size_t nsources;
    struct tsm_expr *condition; /* on tags; NULL: none */
    int64_t tmin, tmax;
    struct tsm_str *names; /* that may be fields */
    size_t nnames, capnames;
    struct target *targets; /* ascending by id */
    size_t ntargets, captargets;
    struct tsm_arena arena; /* of the statement */

    /* the shard and the measurement that are being asked about */
    const struct target *target;
    struct tsm_buf measurement; /* as in series keys */
    bool selected;              /* the sources name it … */
    bool asks_rows;             /* … and the condition may need the values of its rows */
    struct tsm_str name;        /* unescaped */
    size_t first, end;          /* its fields, in the target's */
    struct tsm_arena texts;
    struct tsm_tag_list tags;
    struct tsm_err *err;
    int rc; /* of a callback that cannot return one */
};

/* ---- which series ------------------------------------------------------------------------------ */

static int selects(const struct deletion *d, struct tsm_str name, struct tsm_err *err)
{
    for (size_t i = 0; i < d->nsources; i++) {
        const struct tsm_source *s = &d->sources[i];
        int yes = s->regex ? tsm_regex_match(s->regex->u.regex.re, name, err) : tsm_str_eq(s->name, name);
        if (yes)
            return yes;
    }
    return d->nsources == 0;
}

static bool is_field(void *ctx, struct tsm_str name)
{
    const struct deletion *d = ctx;
    for (size_t i = d->first; i < d->end; i++)
        if (tsm_str_eq(d->target->fields[i].name, name))
            return true;
    return false;
}

/* Makes the measurement of a series the one at hand. */
static int enter_measurement(struct deletion *d, struct tsm_str raw)
{
    tsm_buf_reset(&d->measurement);
    tsm_buf_str(&d->measurement, raw);
    tsm_arena_release(&d->texts);
    raw = tsm_buf_view(&d->measurement);
    d->name = tsm_unescape(raw, TSM_MEASUREMENT_SPECIALS, &d->texts);
    if (d->name.p != raw.p) { /* the texts of tags come and go, this one stays */
        tsm_buf_byte(&d->measurement, 0);
        tsm_buf_str(&d->measurement, d->name);
        d->name = tsm_str((char *)d->measurement.data + raw.n + 1, d->name.n);
        d->measurement.len = raw.n;
    }
    int yes = selects(d, d->name, d->err);
    d->selected = yes > 0;
    size_t n = d->target->nfields;
    for (d->first = 0; d->first < n; d->first++)
        if (tsm_str_eq(d->target->fields[d->first].measurement, tsm_buf_view(&d->measurement)))
            break;
    for (d->end = d->first; d->end < n; d->end++)
        if (!tsm_str_eq(d->target->fields[d->end].measurement, tsm_buf_view(&d->measurement)))
            break;
    struct tsm_filter_fields fields = {is_field, d};
    d->asks_rows = d->selected && tsm_filter_asks_rows(d->condition, &fields);
    return yes < 0 ? yes : TSM_OK;
}

static int enter_series(struct deletion *d, struct tsm_str series)
{
    struct tsm_str raw = tsm_raw_measurement(series);
    if (d->measurement.data && tsm_str_eq(raw, tsm_buf_view(&d->measurement)))
        return TSM_OK;
    return enter_measurement(d, raw);
}

/* 1: the series, whose measurement is at hand, is meant, 0: it is not; *rows: the values of each row would have to be asked. */
static int asks(struct deletion *d, struct tsm_str series, bool *rows)
{
    *rows = false;
    if (!d->selected || !d->condition)
        return d->selected;
    if (d->texts.bytes > ARENA_MAX)
        tsm_arena_release(&d->texts);
    int rc = tsm_tag_list_parse(&d->tags, series, &d->texts, d->err);
    if (rc != TSM_OK)
        return rc;
    struct tsm_listed_series listed = {series, d->tags.items, (uint32_t)d->tags.n};
    struct tsm_filter_fields fields = {is_field, d};
    return tsm_filter_delete(d->condition, d->name, &listed, &fields, rows, d->err);
}

static void start_target(struct deletion *d, const struct target *t)
{
    d->target = t;
    tsm_buf_release(&d->measurement);
}

static bool wanted(void *ctx, struct tsm_str series)
{
    struct deletion *d = ctx;
    bool rows;
    if (d->rc != TSM_OK)
        return false;
    int rc = enter_series(d, series);
    int yes = rc == TSM_OK ? asks(d, series, &rows) : rc;
    if (yes < 0)
        d->rc = yes;
    return yes > 0 && !rows;
}

/* ---- fields in the condition ------------------------------------------------------------------- */

static bool note_name(void *ctx, const struct tsm_expr *e)
{
    struct deletion *d = ctx;
    if (e->kind != TSM_EXPR_VAR || e->u.var.type != TSM_DATA_UNKNOWN)
        return true;
    TSM_GROW(d->names, d->nnames + 1, d->capnames);
    d->names[d->nnames++] = e->u.var.name;
    return true;
}

static bool is_name(const struct deletion *d, struct tsm_str field)
{
    for (size_t i = 0; i < d->nnames; i++)
        if (tsm_str_eq(d->names[i], field))
            return true;
    return false;
}

static void add_field(struct deletion *d, struct target *t, struct tsm_str measurement, struct tsm_str field)
{
    for (size_t i = t->nfields; i-- > 0 && tsm_str_eq(t->fields[i].measurement, measurement);)
        if (tsm_str_eq(t->fields[i].name, field))
            return;
    TSM_GROW(t->fields, t->nfields + 1, t->capfields);
    t->fields[t->nfields++] = (struct field){tsm_arena_str(&d->arena, measurement),
                                             tsm_arena_str(&d->arena, field)};
}

static int compare_fields(const void *a, const void *b)
{
    const struct field *x = a, *y = b;
    int c = tsm_str_cmp(x->measurement, y->measurement);
    return c ? c : tsm_str_cmp(x->name, y->name);
}

/* Which names of the condition are fields in the shard. */
static void find_fields(struct deletion *d, struct target *t, const struct tsm_shard *s)
{
    struct tsm_str series, field;
    for (size_t i = 0; i < s->nkeys && d->nnames; i++)
        if (tsm_key_split(tsm_shard_key(s, i), &series, &field) && is_name(d, field))
            add_field(d, t, tsm_raw_measurement(series), field);
    /* cpu$ comes between cpu without tags and cpu with tags */
    tsm_sort(t->fields, t->nfields, sizeof *t->fields, compare_fields);
}

/* An error if a series of the shard would need its rows to be asked. */
static int check_series(struct deletion *d, const struct tsm_shard *s)
{
    struct tsm_str series, field, last = {0};
    for (size_t i = 0; i < s->nkeys; i++) {
        bool rows;
        if (!tsm_key_split(tsm_shard_key(s, i), &series, &field) || (last.p && tsm_str_eq(series, last)))
            continue;
        last = series;
        int yes = enter_series(d, series);
        if (yes == TSM_OK && d->asks_rows)
            yes = asks(d, series, &rows);
        if (yes < 0)
            return yes;
        if (yes && rows)
            return tsm_err_set(d->err, TSM_EQUERY,
                               "shard %" PRIu64 ": fields not supported in WHERE clause during deletion",
                               d->target->id);
    }
    return TSM_OK;
}

static int check_target(struct deletion *d, struct target *t)
{
    struct tsm_shard *s;
    const struct tsm_change_place *place = d->place;
    int rc = place->open_shard(place->ctx, d->change->database, t->rp, t->id, &s, d->err);
    if (rc != TSM_OK)
        return rc == TSM_ENOTFOUND ? TSM_OK : rc;
    find_fields(d, t, s);
    start_target(d, t);
    rc = check_series(d, s);
    place->close_shard(place->ctx, s);
    return rc;
}

/* ---- the statement ----------------------------------------------------------------------------- */

static int compare_targets(const void *a, const void *b)
{
    const struct target *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* The shards that may hold times in the range. */
static void find_targets(struct deletion *d, const struct tsm_database *db)
{
    for (size_t i = 0; i < db->nrps; i++) {
        const struct tsm_rp *rp = &db->rps[i];
        for (size_t k = 0; k < rp->ngroups; k++) {
            const struct tsm_shard_group *g = &rp->groups[k];
            if (g->deleted_at || g->start > d->tmax || g->end <= d->tmin)
                continue;
            for (size_t j = 0; j < g->nshards; j++) {
                TSM_GROW(d->targets, d->ntargets + 1, d->captargets);
                d->targets[d->ntargets++] = (struct target){.id = g->shards[j], .rp = rp->name};
            }
        }
    }
    tsm_sort(d->targets, d->ntargets, sizeof *d->targets, compare_targets);
}

static int delete_from(struct deletion *d, const struct target *t)
{
    struct tsm_delete run = {
        .holder = d->place->holder,
        .tmin = d->tmin,
        .tmax = d->tmax,
        .jobs = d->place->jobs,
        .damage = d->place->damage,
        .wanted = wanted,
        .ctx = d,
    };
    start_target(d, t);
    int rc = d->place->delete (d->place->ctx, d->change->database, t->rp, t->id, &run, d->err);
    return d->rc != TSM_OK ? d->rc : rc;
}

static bool has_time(const struct tsm_expr *e)
{
    if (!e)
        return false;
    if (e->kind == TSM_EXPR_PAREN)
        return has_time(e->u.paren);
    if (e->kind != TSM_EXPR_BINARY)
        return false;
    const struct tsm_expr *lhs = e->u.binary.lhs;
    if (e->u.binary.op == TSM_TOK_AND || e->u.binary.op == TSM_TOK_OR)
        return has_time(lhs) || has_time(e->u.binary.rhs);
    return lhs->kind == TSM_EXPR_VAR && lhs->u.var.name.n == 4 &&
           strncasecmp(lhs->u.var.name.p, "time", 4) == 0;
}

/* Sources, tags and times of the statement. */
static int prepare(struct deletion *d, const struct tsm_statement *st)
{
    struct tsm_time_range range = {0};
    const struct tsm_expr *condition = NULL;
    if (st->kind == TSM_STATEMENT_DROP_MEASUREMENT) {
        struct tsm_source *source = tsm_arena_calloc(&d->arena, sizeof *source);
        source->name = st->u.ddl.name;
        d->sources = source;
        d->nsources = 1;
    } else {
        d->sources = st->u.show.sources;
        d->nsources = st->u.show.nsources;
        condition = st->u.show.condition;
    }
    if (st->kind == TSM_STATEMENT_DROP_SERIES && has_time(condition))
        return tsm_err_set(d->err, TSM_EQUERY, "DROP SERIES doesn't support time in WHERE clause");
    if (condition) {
        int rc = tsm_condition_split(&d->arena, condition, d->change->now, NULL, &d->condition, &range,
                                     d->err);
        if (rc != TSM_OK)
            return rc;
        tsm_expr_walk(d->condition, note_name, d);
    }
    /* influxd's own limits stand for no limit. */
    d->tmin = range.has_min && range.min > TSM_TIME_MIN ? range.min : INT64_MIN;
    d->tmax = range.has_max && range.max < TSM_TIME_MAX ? range.max : INT64_MAX;
    return TSM_OK;
}

static int run(struct deletion *d, const struct tsm_statement *st)
{
    struct tsm_str name = d->change->database;
    int rc = d->place->meta(d->place->ctx, &d->meta, d->err);
    if (rc != TSM_OK)
        return rc;
    const struct tsm_database *db = tsm_meta_database(&d->meta, name);
    if (!db)
        return tsm_err_set(d->err, TSM_EQUERY, "database not found: %.*s", (int)name.n, name.p);
    rc = prepare(d, st);
    if (rc != TSM_OK)
        return rc;
    find_targets(d, db);
    for (size_t i = 0; i < d->ntargets && d->condition && rc == TSM_OK; i++)
        rc = check_target(d, &d->targets[i]);
    for (size_t i = 0; i < d->ntargets && d->tmin <= d->tmax && rc == TSM_OK; i++)
        rc = delete_from(d, &d->targets[i]);
    return rc;
}

int tsm_delete_statement(const struct tsm_change_place *place, const struct tsm_statement *st,
                         const struct tsm_change *c, struct tsm_err *err)
{
    struct tsm_err local = {0};
    struct deletion d = {.place = place, .change = c, .err = err ? err : &local};
    int rc = run(&d, st);
    for (size_t i = 0; i < d.ntargets; i++)
        tsm_free(d.targets[i].fields);
    tsm_free(d.targets);
    tsm_free(d.names);
    tsm_buf_release(&d.measurement);
    tsm_tag_list_release(&d.tags);
    tsm_arena_release(&d.texts);
    tsm_arena_release(&d.arena);
    tsm_meta_release(&d.meta);
    return rc;
}
