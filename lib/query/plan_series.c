/* query/plan_series.c: which series of each unit are read, and in which groups. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/sort.h"
#include "query/condition.h"
#include "query/plan_tags.h"
#include "base/banned.h"

struct by_name { /* an index into an array of names, for walking beside names in order */
    struct tsm_str name;
    size_t index;
};

static int compare_by_name(const void *x, const void *y)
{
    const struct by_name *a = x, *b = y;
    int c = tsm_str_cmp(a->name, b->name);
    return c ? c : (a->index > b->index) - (a->index < b->index);
}

struct local_set {                /* a set of the unit while it is being found */
    const struct tsm_str *values; /* of the dimensions */
    uint32_t nseries;
    uint32_t renumbered;
    struct tsm_str limit_key; /* for SLIMIT */
};

struct listing {
    struct tsm_plan *p;
    struct tsm_condition *condition;
    struct by_name *tags, *fields; /* of the plan, by name */
    size_t *dimensions;            /* indexes into plan->tags */
    struct tsm_tag_list parsed;
    struct tsm_buf group_key;
    struct tsm_err *err;
};

static bool numeric(enum tsm_data_type t)
{
    return t == TSM_DATA_FLOAT || t == TSM_DATA_INTEGER || t == TSM_DATA_UNSIGNED;
}

static void find_readable(struct listing *l, struct tsm_unit *u)
{
    u->readable = tsm_arena_calloc(&l->p->arena, l->p->nfields + 1);
    for (size_t f = 0; f < l->p->nfields; f++) {
        const struct tsm_plan_field *want = &l->p->fields[f];
        for (size_t i = 0; i < u->nfields; i++) {
            if (!tsm_str_eq(u->fields[i].name, want->name))
                continue;
            enum tsm_data_type have = u->fields[i].type;
            u->readable[f] = have == want->type || (numeric(have) && numeric(want->type));
        }
    }
}

/* The values of the plan's tags in this series. */
static void pick_values(struct listing *l, struct tsm_str *values)
{
    size_t t = 0;
    for (size_t i = 0; i < l->p->ntags; i++) {
        const struct by_name *want = &l->tags[i];
        while (t < l->parsed.n && tsm_str_cmp(l->parsed.items[t].key, want->name) < 0)
            t++;
        bool found = t < l->parsed.n && tsm_str_eq(l->parsed.items[t].key, want->name);
        values[want->index] = found ? l->parsed.items[t].value : TSM_STR("");
    }
}

/* The keys of the plan's fields in this series. */
static void pick_keys(struct listing *l, const struct tsm_unit *u, const struct tsm_plan_series *s,
                      uint32_t *keys)
{
    size_t skip = s->key_len + TSM_FIELD_SEPARATOR.n;
    uint32_t at = 0;
    for (size_t i = 0; i < l->p->nfields; i++) {
        const struct by_name *want = &l->fields[i];
        int c = -1;
        while (at < s->nkeys) {
            struct tsm_str key = tsm_shard_key(u->shard, s->first + at);
            c = tsm_str_cmp(tsm_str(key.p + skip, key.n - skip), want->name);
            if (c >= 0)
                break;
            at++;
        }
        bool found = at < s->nkeys && c == 0 && u->readable[want->index];
        keys[want->index] = found ? s->first + at : TSM_NO_KEY;
    }
}

static bool same_group(const struct listing *l, const struct tsm_str *x, const struct tsm_str *y)
{
    for (size_t d = 0; d < l->p->ndimensions; d++)
        if (!tsm_str_eq(x[l->dimensions[d]], y[l->dimensions[d]]))
            return false;
    return true;
}

/* Whether only this query in others, or top() or bottom(), asks for the dimension: SLIMIT does not count by it. */
static bool is_ours(const struct tsm_plan *p, size_t d)
{
    return p->outer ? !p->outer[d] : p->grouped && !p->grouped[d];
}

/* influxd's key of a tag set, which SLIMIT goes by: a|b|value of a|value of b, of the tags that are there. */
static struct tsm_str make_limit_key(struct listing *l, const struct tsm_str *values)
{
    struct tsm_plan *p = l->p;
    struct tsm_buf key = {0};
    for (int part = 0; part < 2; part++) {
        for (size_t d = 0; d < p->ndimensions; d++) {
            struct tsm_str v = values[l->dimensions[d]];
            if (v.n == 0 || is_ours(p, d))
                continue;
            if (key.len)
                tsm_buf_byte(&key, '|');
            tsm_buf_str(&key, part == 0 ? p->dimensions[d] : v);
        }
    }
    struct tsm_str out = tsm_arena_str(&p->arena, tsm_buf_view(&key));
    tsm_buf_release(&key);
    return out;
}

struct set_list {
    struct local_set *items;
    size_t n, cap;
    struct tsm_map map;
    uint32_t *of; /* per series */
};

/* The number of the set that a series with these values belongs to. */
static uint32_t find_set(struct listing *l, struct set_list *sets, const struct tsm_str *values,
                         uint32_t guess)
{
    if (sets->n && same_group(l, sets->items[guess].values, values))
        return guess;
    tsm_buf_reset(&l->group_key);
    for (size_t d = 0; d < l->p->ndimensions; d++) {
        tsm_buf_str(&l->group_key, values[l->dimensions[d]]);
        tsm_buf_byte(&l->group_key, 0);
    }
    struct tsm_str key = tsm_buf_view(&l->group_key);
    uint64_t hash = tsm_hash(key);
    uint32_t at = tsm_map_get(&sets->map, key, hash);
    if (at != TSM_MAP_NONE)
        return at;
    at = (uint32_t)sets->n;
    TSM_GROW(sets->items, sets->n + 1, sets->cap);
    sets->items[sets->n++] = (struct local_set){.values = values};
    tsm_map_put(&sets->map, tsm_arena_str(&l->p->arena, key), hash, at);
    return at;
}

/* Lists the series that pass the condition, in the order of their keys, and finds their sets. */
static int select_series(struct listing *l, struct tsm_unit *u, struct set_list *sets)
{
    struct tsm_plan *p = l->p;
    size_t nt = p->ntags, nf = p->nfields;
    u->series = tsm_alloc(u->nall * sizeof *u->series);
    u->keys = tsm_realloc_array(NULL, u->nall * nf + 1, sizeof *u->keys);
    u->values = tsm_realloc_array(NULL, u->nall * nt + 1, sizeof *u->values);
    sets->of = tsm_realloc_array(NULL, u->nall, sizeof *sets->of);
    uint32_t set = 0;
    for (size_t i = 0; i < u->nall; i++) {
        struct tsm_plan_series s = u->all[i];
        struct tsm_str *values = u->values + u->nseries * nt;
        int stop = tsm_control_round(p->control, &p->rounds, l->err);
        if (stop)
            return stop;
        if (nt) {
            int code = tsm_tag_list_parse(&l->parsed, tsm_plan_series_key(u, &s), &p->arena, l->err);
            if (code)
                return code;
            pick_values(l, values);
        }
        if (l->condition) {
            bool in;
            int code = tsm_condition_ask(l->condition, p, u->name, values, &in, &s.filter, l->err);
            if (code)
                return code;
            if (!in)
                continue;
        }
        pick_keys(l, u, &s, u->keys + u->nseries * nf);
        set = find_set(l, sets, values, set);
        sets->items[set].nseries++;
        sets->of[u->nseries] = set;
        u->series[u->nseries++] = s;
        stop = tsm_control_series(p->control, u->nseries, l->err);
        if (stop)
            return stop;
    }
    return TSM_OK;
}

struct ordered_set {
    const struct listing *l;
    const struct tsm_str *values;
    struct tsm_str limit_key;
    uint32_t set;
};

static int compare_limit_keys(const void *x, const void *y)
{
    const struct ordered_set *a = x, *b = y;
    return tsm_str_cmp(a->limit_key, b->limit_key);
}

static int compare_values(const struct listing *l, const struct tsm_str *x, const struct tsm_str *y)
{
    for (size_t d = 0; d < l->p->ndimensions; d++) {
        int c = tsm_str_cmp(x[l->dimensions[d]], y[l->dimensions[d]]);
        if (c)
            return c;
    }
    return 0;
}

static int compare_sets(const void *x, const void *y)
{
    const struct ordered_set *a = x, *b = y;
    return compare_values(a->l, a->values, b->values);
}

/* SLIMIT and SOFFSET, which influxd applies in each shard. An offset without a limit leaves nothing, as
 * there. */
static void limit_sets(struct ordered_set *order, size_t *n, int64_t slimit, int64_t soffset)
{
    if (slimit == 0 && soffset == 0)
        return;
    tsm_sort(order, *n, sizeof *order, compare_limit_keys);
    int64_t number = -1; /* of the key: sets that top() or bottom() took apart have one */
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++) {
        number += i == 0 || !tsm_str_eq(order[i].limit_key, order[i - 1].limit_key);
        if (number >= soffset && number - soffset < slimit)
            order[kept++] = order[i];
    }
    *n = kept;
}

/* Puts the series set by set, the sets in the order of their values, and drops those that a limit left out.
 */
static void arrange(struct listing *l, struct tsm_unit *u, struct set_list *sets,
                    const struct ordered_set *order, size_t n)
{
    struct tsm_plan *p = l->p;
    size_t nt = p->ntags, nf = p->nfields;
    u->nsets = n;
    u->sets = tsm_arena_calloc(&p->arena, n * sizeof *u->sets);
    for (size_t i = 0; i < sets->n; i++)
        sets->items[i].renumbered = UINT32_MAX;
    uint32_t total = 0;
    for (size_t i = 0; i < n; i++) {
        sets->items[order[i].set].renumbered = (uint32_t)i;
        u->sets[i].from = u->sets[i].to = total;
        total += sets->items[order[i].set].nseries;
    }
    if (sets->n == 1 && n == 1) { /* in place already */
        u->sets[0].to = total;
        return;
    }
    struct tsm_plan_series *series = tsm_alloc(total * sizeof *series);
    uint32_t *keys = tsm_realloc_array(NULL, total * nf + 1, sizeof *keys);
    struct tsm_str *values = tsm_realloc_array(NULL, total * nt + 1, sizeof *values);
    for (size_t i = 0; i < u->nseries; i++) {
        uint32_t set = sets->items[sets->of[i]].renumbered;
        if (set == UINT32_MAX)
            continue;
        size_t to = u->sets[set].to++;
        series[to] = u->series[i];
        memcpy(keys + to * nf, u->keys + i * nf, nf * sizeof *keys);
        memcpy(values + to * nt, u->values + i * nt, nt * sizeof *values);
    }
    tsm_free(u->series);
    tsm_free(u->keys);
    tsm_free(u->values);
    u->series = series;
    u->keys = keys;
    u->values = values;
    u->nseries = total;
}

static int list_unit(struct listing *l, struct tsm_unit *u, int64_t slimit, int64_t soffset)
{
    struct set_list sets = {0};
    find_readable(l, u);
    int code = select_series(l, u, &sets);
    if (!code) {
        struct ordered_set *order = tsm_realloc_array(NULL, sets.n + 1, sizeof *order);
        size_t n = sets.n;
        bool sorted = true;
        for (size_t i = 0; i < n; i++) {
            order[i] = (struct ordered_set){l, sets.items[i].values, {0}, (uint32_t)i};
            if (slimit || soffset)
                order[i].limit_key = make_limit_key(l, sets.items[i].values);
            sorted = sorted && (i == 0 || compare_sets(&order[i - 1], &order[i]) < 0);
        }
        limit_sets(order, &n, slimit, soffset);
        if (!sorted || slimit || soffset)
            tsm_sort(order, n, sizeof *order, compare_sets);
        arrange(l, u, &sets, order, n);
        tsm_free(order);
    }
    tsm_free(u->all); /* u->series has taken its place */
    u->all = NULL;
    u->nall = 0;
    tsm_free(sets.items);
    tsm_free(sets.of);
    tsm_map_release(&sets.map);
    return code;
}

/* ---- groups ------------------------------------------------------------------------------------ */

struct ranked { /* a set on its way to its group */
    const struct listing *l;
    const struct tsm_unit *u;
    uint32_t unit, set;
};

static const struct tsm_str *set_values(const struct ranked *r)
{
    return r->u->values + (size_t)r->u->sets[r->set].from * r->l->p->ntags;
}

static int compare_groups(const struct ranked *a, const struct ranked *b)
{
    int c = tsm_str_cmp(a->u->name, b->u->name);
    return c ? c : compare_values(a->l, set_values(a), set_values(b));
}

static int compare_ranked(const void *x, const void *y)
{
    const struct ranked *a = x, *b = y;
    int c = compare_groups(a, b);
    return c ? c : (a->unit > b->unit) - (a->unit < b->unit);
}

static void make_groups(struct listing *l)
{
    struct tsm_plan *p = l->p;
    size_t total = 0;
    for (size_t u = 0; u < p->nunits; u++)
        total += p->units[u].nsets;
    struct ranked *all = tsm_realloc_array(NULL, total + 1, sizeof *all);
    bool sorted = true;
    size_t n = 0;
    for (size_t u = 0; u < p->nunits; u++) {
        for (size_t s = 0; s < p->units[u].nsets; s++) {
            all[n] = (struct ranked){l, &p->units[u], (uint32_t)u, (uint32_t)s};
            sorted = sorted && (n == 0 || compare_ranked(&all[n - 1], &all[n]) < 0);
            n++;
        }
    }
    if (!sorted)
        tsm_sort(all, n, sizeof *all, compare_ranked);

    p->groups = tsm_arena_calloc(&p->arena, (n + 1) * sizeof *p->groups);
    p->members = tsm_arena_alloc(&p->arena, (n + 1) * sizeof *p->members);
    p->nmembers = n;
    struct tsm_plan_group *g = NULL;
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || compare_groups(&all[i - 1], &all[i]) != 0) {
            g = &p->groups[p->ngroups++];
            g->name = all[i].u->name;
            g->first_set = i;
            g->tags = tsm_arena_alloc(&p->arena, p->ndimensions * sizeof *g->tags);
            for (size_t d = 0; d < p->ndimensions; d++)
                g->tags[d] = (struct tsm_tag){p->dimensions[d], set_values(&all[i])[l->dimensions[d]]};
        }
        g->nsets++;
        p->members[i] = (struct tsm_plan_member){all[i].unit, all[i].set};
        p->units[all[i].unit].sets[all[i].set].group = (uint32_t)(p->ngroups - 1);
    }
    tsm_free(all);
}

int tsm_plan_series(struct tsm_plan *p, const struct tsm_expr *condition, int64_t slimit, int64_t soffset,
                    struct tsm_err *err)
{
    struct listing l = {.p = p, .err = err};
    l.dimensions = tsm_arena_alloc(&p->arena, p->ndimensions * sizeof *l.dimensions);
    for (size_t d = 0; d < p->ndimensions; d++)
        l.dimensions[d] = tsm_plan_tag(p, p->dimensions[d]);
    if (condition)
        l.condition = tsm_condition_new(p, condition);

    l.tags = tsm_arena_alloc(&p->arena, p->ntags * sizeof *l.tags);
    for (size_t i = 0; i < p->ntags; i++)
        l.tags[i] = (struct by_name){p->tags[i], i};
    tsm_sort(l.tags, p->ntags, sizeof *l.tags, compare_by_name);
    l.fields = tsm_arena_alloc(&p->arena, p->nfields * sizeof *l.fields);
    for (size_t i = 0; i < p->nfields; i++)
        l.fields[i] = (struct by_name){p->fields[i].name, i};
    tsm_sort(l.fields, p->nfields, sizeof *l.fields, compare_by_name);

    int code = TSM_OK;
    for (size_t u = 0; u < p->nunits && !code; u++)
        code = list_unit(&l, &p->units[u], slimit, soffset);
    if (!code)
        make_groups(&l);
    tsm_tag_list_release(&l.parsed);
    tsm_buf_release(&l.group_key);
    return code;
}
