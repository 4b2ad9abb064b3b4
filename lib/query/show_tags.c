/* query/show_tags.c: SHOW TAG KEYS and SHOW TAG VALUES. */
#include "base/alloc.h"
#include "base/map.h"
#include "base/sort.h"
#include "query/plan_tags.h"
#include "query/show_impl.h"
#include "query/tag_filter.h"

#include "base/banned.h"

struct key { /* a tag key of the measurement */
    struct tsm_str name;
    bool wanted, used;   /* used: a chosen series has it */
    struct tsm_map seen; /* its values, each once */
    struct tsm_str_list values;
};

struct lister {
    struct tsm_shower *s;
    const struct tsm_expr *names, *filter; /* conditions on measurements and on tags */
    const struct tsm_expr *wanted;         /* on keys; NULL: all */
    bool with_values;
    struct tsm_shard **shards;
    size_t nshards;
    struct tsm_show_rows *out;
    struct tsm_tag_list tags;
    struct tsm_arena arena; /* of the measurement */
    struct key *keys;       /* of the measurement */
    size_t nkeys, capkeys, held;
    unsigned rounds;
};

static void forget_keys(struct lister *l)
{
    for (size_t i = 0; i < l->nkeys; i++) {
        tsm_map_release(&l->keys[i].seen);
        tsm_str_list_release(&l->keys[i].values);
    }
    l->nkeys = l->held = 0;
    tsm_arena_release(&l->arena);
}

/* The key's number; series of a measurement mostly have the same ones in the same order. */
static int find_key(struct lister *l, struct tsm_str name, size_t guess, size_t *at)
{
    *at = guess;
    if (guess < l->nkeys && tsm_str_eq(l->keys[guess].name, name))
        return TSM_OK;
    for (*at = 0; *at < l->nkeys; ++*at)
        if (tsm_str_eq(l->keys[*at].name, name))
            return TSM_OK;
    uint8_t wanted = 0;
    struct tsm_listed_measurement m = {.tag_keys = &name, .ntag_keys = 1};
    int rc = tsm_filter_tag_keys(l->wanted, &m, &wanted, l->s->err);
    TSM_GROW(l->keys, l->nkeys + 1, l->capkeys);
    l->keys[l->nkeys++] = (struct key){.name = name, .wanted = wanted};
    return rc;
}

static void add_value(struct lister *l, struct key *k, struct tsm_str value)
{
    struct tsm_str_list *v = &k->values;
    if (v->n && tsm_str_eq(v->items[v->n - 1], value))
        return;
    uint64_t hash = tsm_hash(value);
    if (tsm_map_get(&k->seen, value, hash) != TSM_MAP_NONE)
        return;
    l->held -= tsm_map_bytes(&k->seen) + v->cap * sizeof value;
    tsm_map_put(&k->seen, value, hash, 0);
    TSM_GROW(v->items, v->n + 1, v->cap);
    v->items[v->n++] = value;
    l->held += tsm_map_bytes(&k->seen) + v->cap * sizeof value;
}

static int add_series(struct lister *l, struct tsm_str measurement, struct tsm_str series)
{
    int rc = tsm_control_round(l->s->q->opt->control, &l->rounds, l->s->err);
    if (rc == TSM_OK)
        rc = tsm_tag_list_parse(&l->tags, series, &l->arena, l->s->err);
    if (rc != TSM_OK)
        return rc;
    struct tsm_listed_series listed = {series, l->tags.items, (uint32_t)l->tags.n};
    int chosen = tsm_filter_series(l->filter, measurement, &listed, l->s->err);
    if (chosen < 0)
        return chosen;
    for (size_t i = 0; i < l->tags.n && rc == TSM_OK; i++) {
        size_t at;
        rc = find_key(l, l->tags.items[i].key, i, &at);
        if (rc != TSM_OK || !chosen)
            continue;
        l->keys[at].used = true;
        if (l->with_values && l->keys[at].wanted)
            add_value(l, &l->keys[at], l->tags.items[i].value);
    }
    if (rc == TSM_OK && l->held + l->arena.bytes > l->s->q->opt->memory)
        rc = tsm_err_set(l->s->err, TSM_ELIMIT,
                         "the list of tag values needs more than the memory limit of %zu bytes",
                         l->s->q->opt->memory);
    return rc;
}

static int compare_keys(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    return tsm_str_cmp(x->name, y->name);
}

static int give(struct lister *l, struct tsm_str measurement)
{
    int rc = TSM_OK;
    tsm_sort(l->keys, l->nkeys, sizeof *l->keys, compare_keys);
    tsm_show_rows_series(l->out, measurement, l->s->show);
    for (size_t i = 0; i < l->nkeys && rc == TSM_OK; i++) {
        struct key *k = &l->keys[i];
        if (!k->wanted || !k->used)
            continue;
        if (!l->with_values) {
            rc = tsm_show_rows_add(l->out, k->name, tsm_str("", 0), l->s->err);
            continue;
        }
        tsm_str_list_sort(&k->values);
        for (size_t v = 0; v < k->values.n && rc == TSM_OK && !tsm_show_rows_full(l->out); v++)
            rc = tsm_show_rows_add(l->out, k->name, k->values.items[v], l->s->err);
    }
    return rc == TSM_OK ? tsm_show_rows_end(l->out, l->s->err) : rc;
}

static int list_measurement(struct lister *l, struct tsm_str name)
{
    struct tsm_listed_measurement m = {.name = name};
    int rc = tsm_filter_measurement(l->names, &m, l->s->err);
    if (rc <= 0)
        return rc;
    uint8_t none;
    rc = tsm_filter_tag_keys(l->wanted, &m, &none, l->s->err);
    struct tsm_series_walk w = {0};
    for (size_t i = 0; i < l->nshards && rc == TSM_OK; i++) {
        tsm_series_walk_start(&w, l->shards[i], name);
        while (rc == TSM_OK && tsm_series_walk_next(&w))
            rc = add_series(l, name, w.series);
    }
    if (rc == TSM_OK)
        rc = give(l, name);
    tsm_series_walk_release(&w);
    forget_keys(l);
    return rc;
}

static int list_all(struct lister *l)
{
    struct tsm_str_list names;
    int rc = tsm_shower_names(l->s, &l->shards, &l->nshards, &names);
    if (rc == TSM_OK)
        rc = tsm_filter_measurement(l->names, NULL, l->s->err);
    for (size_t i = 0; i < names.n && rc >= 0; i++)
        rc = list_measurement(l, names.items[i]);
    tsm_str_list_release(&names);
    tsm_tag_list_release(&l->tags);
    tsm_free(l->keys);
    tsm_free(l->shards);
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
    int rc = tsm_shower_condition(s, tsm_shower_sources(s, condition));
    if (rc == TSM_OK)
        rc = tsm_shower_any_shard(s, &any);
    struct lister l = {
        .s = s, .with_values = with_values, .names = tsm_filter_only_names(&s->arena, s->condition)};
    if (rc == TSM_OK && !any && with_values) /* influxd looks at the condition all the same */
        rc = tsm_filter_measurement(l.names, NULL, s->err);
    if (rc < 0 || !any)
        return rc < 0 ? rc : TSM_OK;
    l.filter = tsm_filter_only_tags(&s->arena, s->condition);
    l.wanted = with_values ? s->condition : NULL;
    l.out = tsm_show_rows_new(s->sink, with_values ? "key" : "tagKey", with_values ? "value" : NULL);
    rc = list_all(&l);
    tsm_free(l.out);
    return rc;
}
