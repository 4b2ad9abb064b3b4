/* query/plan.c: finding units, their fields and tags. The series of a unit come in plan_series.c. */
#include "query/plan.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/sort.h"
#include "query/plan_tags.h"
#include "base/banned.h"

void tsm_plan_release(struct tsm_plan *p)
{
    for (size_t i = 0; i < p->nunits; i++) {
        tsm_free(p->units[i].all);
        tsm_free(p->units[i].series);
        tsm_free(p->units[i].keys);
        tsm_free(p->units[i].values);
    }
    tsm_free(p->units);
    tsm_arena_release(&p->arena);
    *p = (struct tsm_plan){0};
}

size_t tsm_plan_bytes(const struct tsm_plan *p)
{
    size_t n = p->arena.bytes + p->capunits * sizeof *p->units;
    for (size_t i = 0; i < p->nunits; i++) {
        const struct tsm_unit *u = &p->units[i];
        n += u->nall * sizeof *u->all;
        n += u->nseries * (sizeof *u->series + p->nfields * sizeof *u->keys + p->ntags * sizeof *u->values);
    }
    return n;
}

/* ---- types ------------------------------------------------------------------------------------- */

enum tsm_data_type tsm_data_type_of(enum tsm_type type)
{
    switch (type) {
    case TSM_FLOAT:
        return TSM_DATA_FLOAT;
    case TSM_INTEGER:
        return TSM_DATA_INTEGER;
    case TSM_BOOLEAN:
        return TSM_DATA_BOOLEAN;
    case TSM_STRING:
        return TSM_DATA_STRING;
    case TSM_UNSIGNED:
        return TSM_DATA_UNSIGNED;
    default:
        return TSM_DATA_UNKNOWN;
    }
}

/* Float before integer before unsigned before string before boolean before tag; anything before unknown. */
bool tsm_data_type_less(enum tsm_data_type x, enum tsm_data_type y)
{
    if (x == TSM_DATA_UNKNOWN)
        return true;
    if (x == TSM_DATA_UNSIGNED)
        return y != TSM_DATA_UNKNOWN && y <= TSM_DATA_INTEGER;
    if (y == TSM_DATA_UNSIGNED)
        return x >= TSM_DATA_STRING;
    return y != TSM_DATA_UNKNOWN && y < x;
}

static const struct tsm_unit_field *find_field(const struct tsm_unit *u, struct tsm_str name)
{
    size_t lo = 0, hi = u->nfields;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int c = tsm_str_cmp(u->fields[mid].name, name);
        if (c == 0)
            return &u->fields[mid];
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

static bool has_tag(const struct tsm_unit *u, struct tsm_str name)
{
    for (size_t i = 0; i < u->ntags; i++)
        if (tsm_str_eq(u->tags[i], name))
            return true;
    return false;
}

enum tsm_data_type tsm_plan_type(const struct tsm_plan *p, struct tsm_str name)
{
    enum tsm_data_type type = TSM_DATA_UNKNOWN;
    for (size_t i = 0; i < p->nunits; i++) {
        const struct tsm_unit_field *f = find_field(&p->units[i], name);
        enum tsm_data_type t = f && f->type != TSM_DATA_UNKNOWN ? f->type
                               : has_tag(&p->units[i], name)    ? TSM_DATA_TAG
                                                                : TSM_DATA_UNKNOWN;
        if (tsm_data_type_less(type, t))
            type = t;
    }
    return type;
}

size_t tsm_plan_field(struct tsm_plan *p, struct tsm_str name, enum tsm_data_type type)
{
    for (size_t i = 0; i < p->nfields; i++)
        if (p->fields[i].type == type && tsm_str_eq(p->fields[i].name, name))
            return i;
    if (p->nfields == p->capfields) {
        p->capfields = p->capfields ? 2 * p->capfields : 8;
        struct tsm_plan_field *more = tsm_arena_calloc(&p->arena, p->capfields * sizeof *more);
        if (p->nfields)
            memcpy(more, p->fields, p->nfields * sizeof *more);
        p->fields = more;
    }
    p->fields[p->nfields] = (struct tsm_plan_field){name, type};
    return p->nfields++;
}

size_t tsm_plan_tag(struct tsm_plan *p, struct tsm_str name)
{
    for (size_t i = 0; i < p->ntags; i++)
        if (tsm_str_eq(p->tags[i], name))
            return i;
    if (p->ntags == p->captags) {
        p->captags = p->captags ? 2 * p->captags : 8;
        struct tsm_str *more = tsm_arena_calloc(&p->arena, p->captags * sizeof *more);
        if (p->ntags)
            memcpy(more, p->tags, p->ntags * sizeof *more);
        p->tags = more;
    }
    p->tags[p->ntags] = name;
    return p->ntags++;
}

/* ---- series, fields and tag names of a unit --------------------------------------------------------------
 */

struct names { /* a set of names; the next one is usually the one after the last one that was found */
    struct tsm_map map;
    struct tsm_str *items;
    size_t n, cap, guess;
};

static size_t names_find(struct names *s, struct tsm_str name, bool *added)
{
    *added = false;
    if (s->guess < s->n && tsm_str_eq(s->items[s->guess], name))
        return s->guess++;
    uint64_t hash = tsm_hash(name);
    uint32_t at = tsm_map_get(&s->map, name, hash);
    if (at == TSM_MAP_NONE) {
        at = (uint32_t)s->n;
        TSM_GROW(s->items, s->n + 1, s->cap);
        s->items[s->n++] = name;
        tsm_map_put(&s->map, name, hash, at);
        *added = true;
    }
    s->guess = at + 1;
    return at;
}

static void names_release(struct names *s)
{
    tsm_map_release(&s->map);
    tsm_free(s->items);
}

static int compare_fields(const void *x, const void *y)
{
    const struct tsm_unit_field *a = x, *b = y;
    return tsm_str_cmp(a->name, b->name);
}

static int compare_names(const void *x, const void *y)
{
    const struct tsm_str *a = x, *b = y;
    return tsm_str_cmp(*a, *b);
}

static int compare_series(const void *x, const void *y, void *shard)
{
    const struct tsm_plan_series *a = x, *b = y;
    return tsm_str_cmp(tsm_str(tsm_shard_key(shard, a->first).p, a->key_len),
                       tsm_str(tsm_shard_key(shard, b->first).p, b->key_len));
}

struct gather { /* what load_unit() finds */
    struct names fields, tags;
    struct tsm_unit_field *types; /* by number in fields */
    size_t captypes;
    struct tsm_plan_series *series;
    size_t n, cap;
    bool sorted;
};

static void gather_release(struct gather *g)
{
    names_release(&g->fields);
    names_release(&g->tags);
    tsm_free(g->types);
    tsm_free(g->series);
}

/* Fills in the unit from what was gathered. */
static void finish_unit(struct tsm_plan *p, struct tsm_unit *u, struct gather *g)
{
    u->nfields = g->fields.n;
    u->fields = tsm_arena_alloc(&p->arena, u->nfields * sizeof *u->fields);
    if (u->nfields)
        memcpy(u->fields, g->types, u->nfields * sizeof *u->fields);
    tsm_sort(u->fields, u->nfields, sizeof *u->fields, compare_fields);

    u->ntags = g->tags.n;
    u->tags = tsm_arena_alloc(&p->arena, u->ntags * sizeof *u->tags);
    for (size_t i = 0; i < u->ntags; i++)
        u->tags[i] = g->tags.items[i];
    tsm_sort(u->tags, u->ntags, sizeof *u->tags, compare_names);

    if (!g->sorted) /* the order of series keys is not quite that of the TSM keys */
        qsort_r(g->series, g->n, sizeof *g->series, compare_series, (void *)u->shard);
    u->all = g->series;
    u->nall = g->n;
    g->series = NULL;
}

/* Lists the series of the unit among the shard's keys [from, to), with the names of fields and tags. */
static int load_unit(struct tsm_plan *p, struct tsm_unit *u, size_t from, size_t to, struct tsm_err *err)
{
    struct tsm_buf escaped = {0};
    tsm_escape_measurement(&escaped, u->name);
    struct tsm_str measurement = tsm_buf_view(&escaped);
    struct gather g = {.sorted = true};
    struct tsm_tag_list tags = {0};
    struct tsm_str last = {0}; /* the series before, with the separator behind it */
    int code = TSM_OK;
    bool added;

    for (size_t i = from; i < to && !code; i++) {
        struct tsm_str key = tsm_shard_key(u->shard, i), series, field;
        code = tsm_control_round(p->control, &p->rounds, err);
        if (code)
            break;
        if (g.n && last.n && tsm_str_starts(key, last)) {
            g.series[g.n - 1].nkeys++;
        } else {
            if (!tsm_key_split(key, &series, &field) || !tsm_str_starts(series, measurement) ||
                (series.n > measurement.n && series.p[measurement.n] != ',')) {
                last.n = 0;
                continue;
            }
            TSM_GROW(g.series, g.n + 1, g.cap);
            g.series[g.n++] = (struct tsm_plan_series){(uint32_t)i, 1, (uint32_t)series.n, TSM_NO_FILTER};
            if (g.n > 1 && g.sorted)
                g.sorted = compare_series(&g.series[g.n - 2], &g.series[g.n - 1], (void *)u->shard) < 0;
            last = tsm_str(series.p, series.n + TSM_FIELD_SEPARATOR.n);
            code = tsm_tag_list_parse(&tags, series, &p->arena, err);
            g.tags.guess = 0;
            for (size_t t = 0; t < tags.n && !code; t++)
                names_find(&g.tags, tags.items[t].key, &added);
            g.fields.guess = 0;
        }
        field = tsm_str(key.p + last.n, key.n - last.n);
        size_t f = names_find(&g.fields, field, &added);
        if (added) {
            TSM_GROW(g.types, f + 1, g.captypes);
            enum tsm_data_type type = tsm_data_type_of(tsm_shard_key_type(u->shard, i));
            g.types[f] = (struct tsm_unit_field){.name = field, .type = type, .wildcard = type};
        }
    }
    if (!code)
        finish_unit(p, u, &g);
    gather_release(&g);
    tsm_tag_list_release(&tags);
    tsm_buf_release(&escaped);
    return code;
}

/* ---- units ------------------------------------------------------------------------------------- */

static int add_unit(struct tsm_plan *p, const struct tsm_shard *shard, unsigned source, struct tsm_str name,
                    struct tsm_err *err)
{
    size_t from, to;
    tsm_shard_measurement(shard, name, &from, &to);
    if (from >= to)
        return TSM_OK;
    TSM_GROW(p->units, p->nunits + 1, p->capunits);
    struct tsm_unit *u = &p->units[p->nunits];
    *u = (struct tsm_unit){.shard = shard, .name = name, .source = source};
    int code = load_unit(p, u, from, to, err);
    if (code || u->nall == 0) {
        tsm_free(u->all);
        return code;
    }
    p->nunits++;
    return TSM_OK;
}

/* The measurements of a shard that match. Between two of them the search jumps over all keys of the first. */
static int match_measurements(struct tsm_plan *p, const struct tsm_shard *shard, const struct tsm_regex *re,
                              struct names *found, struct tsm_err *err)
{
    struct tsm_buf jump = {0};
    int code = TSM_OK;
    for (size_t i = 0; i < shard->nkeys && !code;) {
        struct tsm_str series, field;
        struct tsm_series s;
        if (!tsm_key_split(tsm_shard_key(shard, i), &series, &field)) {
            i++;
            continue;
        }
        code = tsm_series_parse(series, &p->arena, &s, err);
        if (code)
            break;
        int m = tsm_regex_match(re, s.measurement, err);
        bool added;
        if (m < 0)
            code = m;
        else if (m)
            names_find(found, s.measurement, &added);
        tsm_buf_reset(&jump);
        tsm_escape_measurement(&jump, s.measurement);
        bool tagged = series.n > jump.len;
        tsm_buf_byte(&jump, tagged ? ',' + 1 : '#' + 1);
        size_t next = tsm_shard_seek(shard, tsm_buf_view(&jump), &added);
        i = next > i ? next : i + 1;
    }
    tsm_buf_release(&jump);
    return code;
}

static int add_matching(struct tsm_plan *p, struct tsm_shard *const *shards, size_t n, unsigned source,
                        const struct tsm_regex *re, struct tsm_err *err)
{
    struct names found = {0};
    int code = TSM_OK;
    for (size_t i = 0; i < n && !code; i++)
        code = match_measurements(p, shards[i], re, &found, err);
    tsm_sort(found.items, found.n, sizeof *found.items, compare_names);
    for (size_t m = 0; m < found.n && !code; m++)
        for (size_t i = 0; i < n && !code; i++)
            code = add_unit(p, shards[i], source, found.items[m], err);
    names_release(&found);
    return code;
}

int tsm_plan_open(struct tsm_plan *p, struct tsm_query_ctx *q, const struct tsm_compiled *c,
                  struct tsm_err *err)
{
    *p = (struct tsm_plan){.control = q->opt->control};
    p->capfilters = 8;
    p->filters = tsm_arena_calloc(&p->arena, p->capfilters * sizeof *p->filters);
    p->nfilters = 1; /* TSM_NO_FILTER */
    for (size_t i = 0; i < c->stmt->nsources; i++) {
        const struct tsm_source *s = &c->stmt->sources[i];
        struct tsm_str db;
        struct tsm_shard **shards;
        size_t n;
        if (s->subquery)
            continue;
        int code = tsm_query_ctx_database(q, s->database, &db, err);
        struct tsm_str rp = s->rp.n ? s->rp : q->opt->rp;
        if (!code)
            code = tsm_query_ctx_shards(q, db, rp, c->shard_tmin, c->shard_tmax, &shards, &n, err);
        if (code)
            return code;
        if (s->regex) {
            p->regex_source = true;
            code = add_matching(p, shards, n, (unsigned)i, s->regex->u.regex.re, err);
        } else {
            for (size_t k = 0; k < n && !code; k++)
                code = add_unit(p, shards[k], (unsigned)i, s->name, err);
        }
        tsm_free(shards);
        if (code)
            return code;
    }
    return TSM_OK;
}
