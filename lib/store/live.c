/* store/live.c: copies of columns for those who read beside the writer. */
#include "store/live.h"

#include <stdatomic.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/banned.h"

enum { MOST_AHEAD = 32 }; /* series that are copied in one turn */

/* A copy need not have more of its field: what the writer has may be gone when it is read. */
static const struct tsm_field_def type_only[TSM_TYPES] = {
    [TSM_FLOAT] = {.type = TSM_FLOAT},       [TSM_INTEGER] = {.type = TSM_INTEGER},
    [TSM_BOOLEAN] = {.type = TSM_BOOLEAN},   [TSM_STRING] = {.type = TSM_STRING},
    [TSM_UNSIGNED] = {.type = TSM_UNSIGNED},
};

static const struct tsm_key_view nothing;

/* Some keys of a series. */
struct keys {
    struct tsm_str series;
    uint64_t hash;
    size_t from, to;
};

/* Where in the key the separator is that starts at or after `from`; key.n: there is none. */
static size_t find_separator(struct tsm_str key, size_t from)
{
    struct tsm_str separator = TSM_FIELD_SEPARATOR;
    const char *p = from < key.n ? memmem(key.p + from, key.n - from, separator.p, separator.n) : NULL;
    return p ? (size_t)(p - key.p) : key.n;
}

static struct tsm_str field_of(const struct tsm_shard *s, size_t key, struct tsm_str series)
{
    struct tsm_str k = tsm_shard_key(s, key), separator = TSM_FIELD_SEPARATOR;
    return tsm_str(k.p + series.n + separator.n, k.n - series.n - separator.n);
}

/* ---- copying ---- */

/* The key of a field, or k->to. */
static size_t find_key(const struct tsm_shard *s, const struct keys *k, struct tsm_str field)
{
    size_t from = k->from, to = k->to;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int c = tsm_str_cmp(field_of(s, middle, k->series), field);
        if (c == 0)
            return middle;
        if (c < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return k->to;
}

static const struct tsm_column *copy(struct tsm_live *l, const struct tsm_column *c)
{
    struct tsm_column *out = tsm_arena_alloc(&l->arena, sizeof *out);
    struct tsm_column_side *side = c->side ? tsm_arena_alloc(&l->arena, sizeof *side) : NULL;
    tsm_column_copy(c, &type_only[c->field->type], out, side);
    return out;
}

/* found: per key of k and table. */
static void copy_column(struct tsm_live *l, const struct tsm_shard *s, const struct keys *k, size_t table,
                        const struct tsm_column *c, const struct tsm_column **found)
{
    if (tsm_column_is_empty(c))
        return;
    size_t key = find_key(s, k, c->field->name);
    if (key < k->to && tsm_shard_key_type(s, key) == c->field->type)
        found[(key - k->from) * l->ntables + table] = copy(l, c);
}

/* With the turn. */
static void copy_series(struct tsm_live *l, const struct tsm_shard *s, const struct keys *k,
                        const struct tsm_column **found)
{
    for (size_t i = 0; i < l->ntables; i++) {
        const struct tsm_live_table *t = &l->tables[i];
        const struct tsm_mem_series *series = tsm_memtable_find(t->memtable, k->series, k->hash);
        if (!series)
            continue;
        const struct tsm_slice_before *before = tsm_memtable_before(series, l->shard, t->limit);
        for (uint32_t c = 0; before && c < before->ncolumns; c++)
            copy_column(l, s, k, i, &before->columns[c].column, found);
        if (before)
            continue;
        struct tsm_slice slice = tsm_memtable_slice(series, l->shard);
        bool later = false;
        for (uint32_t c = 0; c < slice.ncolumns; c++)
            later |= slice.columns[c].number >= t->limit;
        for (uint32_t c = 0; c < slice.ncolumns && !later; c++)
            copy_column(l, s, k, i, &slice.columns[c], found);
    }
}

static void set_views(struct tsm_live *l, const struct keys *k, const struct tsm_column *const *found)
{
    for (size_t key = k->from; key < k->to; key++, found += l->ntables) {
        size_t n = 0;
        for (size_t i = 0; i < l->ntables; i++)
            n += found[i] != NULL;
        const struct tsm_key_view *view = &nothing;
        if (n > 0) {
            struct tsm_key_view *v = tsm_arena_alloc(&l->arena, sizeof *v + n * sizeof *v->columns);
            v->n = 0;
            for (size_t i = 0; i < l->ntables; i++)
                if (found[i])
                    v->columns[v->n++] = found[i];
            view = v;
        }
        if (!atomic_load_explicit(&l->views[key], memory_order_relaxed))
            atomic_store_explicit(&l->views[key], view, memory_order_release);
    }
}

/* ---- which ones ---- */

static struct keys make_keys(struct tsm_str series, size_t from, size_t to)
{
    return (struct keys){series, tsm_hash(series), from, to};
}

static bool is_of_series(const struct tsm_shard *s, size_t key, struct tsm_str series)
{
    struct tsm_str k = tsm_shard_key(s, key);
    size_t at = find_separator(k, 0);
    return at == series.n && memcmp(k.p, series.p, at) == 0 && find_separator(k, at + 1) == k.n;
}

/* The keys of the same series around a key whose one separator is at `at`. Where there are several in a key it may be of one series or another, so it
 * stands alone. */
static struct keys find_series(const struct tsm_shard *s, size_t key, size_t at)
{
    struct tsm_str series = tsm_str(tsm_shard_key(s, key).p, at);
    size_t from = key, to = key + 1;
    while (from > 0 && is_of_series(s, from - 1, series))
        from--;
    while (to < s->nkeys && is_of_series(s, to, series))
        to++;
    return make_keys(series, from, to);
}

static void copy_all(struct tsm_live *l, const struct tsm_shard *s, const struct keys *keys, size_t n)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += keys[i].to - keys[i].from;
    const struct tsm_column **found = tsm_calloc(total * l->ntables, sizeof *found), **at = found;
    tsm_turn_take(l->turn);
    for (size_t i = 0; i < n; i++) {
        copy_series(l, s, &keys[i], at);
        at += (keys[i].to - keys[i].from) * l->ntables;
    }
    tsm_turn_give(l->turn);
    at = found;
    for (size_t i = 0; i < n; i++) {
        set_views(l, &keys[i], at);
        at += (keys[i].to - keys[i].from) * l->ntables;
    }
    tsm_free(found);
}

/* A key of whose separators any may be the one. */
static void copy_ambiguous(struct tsm_live *l, const struct tsm_shard *s, size_t key)
{
    struct tsm_str k = tsm_shard_key(s, key);
    const struct tsm_column **found = tsm_calloc(l->ntables, sizeof *found);
    struct keys keys = {{0}, 0, key, key + 1};
    tsm_turn_take(l->turn);
    for (size_t at = find_separator(k, 0); at < k.n; at = find_separator(k, at + 1)) {
        keys = make_keys(tsm_str(k.p, at), key, key + 1);
        copy_series(l, s, &keys, found);
    }
    tsm_turn_give(l->turn);
    set_views(l, &keys, found);
    tsm_free(found);
}

/* Copies the series of a key, and, when series are asked for one after the other, some of those behind it. */
static void copy_around(struct tsm_live *l, const struct tsm_shard *s, size_t key)
{
    struct keys keys[MOST_AHEAD];
    size_t n = 0, at = find_separator(tsm_shard_key(s, key), 0);
    if (find_separator(tsm_shard_key(s, key), at + 1) < tsm_shard_key(s, key).n) {
        copy_ambiguous(l, s, key);
        return;
    }
    l->ahead = key == l->next && l->ahead ? 2 * l->ahead : 1;
    if (l->ahead > MOST_AHEAD)
        l->ahead = MOST_AHEAD;
    size_t next = key;
    while (n < l->ahead && next < s->nkeys) {
        struct tsm_str k = tsm_shard_key(s, next);
        at = find_separator(k, 0);
        if (find_separator(k, at + 1) < k.n || atomic_load_explicit(&l->views[next], memory_order_relaxed))
            break;
        keys[n] = find_series(s, next, at);
        next = keys[n++].to;
    }
    copy_all(l, s, keys, n);
    l->next = next;
}

int tsm_live_check(const struct tsm_shard *s, struct tsm_err *err)
{
    if (!s->live || !atomic_load_explicit(&s->live->outdated, memory_order_relaxed))
        return TSM_OK;
    return tsm_err_set(
        err, TSM_ELIMIT,
        "the query took too long: memory is needed that holds what it reads, which is in files by now");
}

const struct tsm_key_view *tsm_live_view(const struct tsm_shard *s, size_t key)
{
    struct tsm_live *l = s->live;
    const struct tsm_key_view *v = atomic_load_explicit(&l->views[key], memory_order_acquire);
    if (v)
        return v;
    pthread_mutex_lock(&l->mutex);
    if (!atomic_load_explicit(&l->views[key], memory_order_relaxed))
        copy_around(l, s, key);
    pthread_mutex_unlock(&l->mutex);
    return atomic_load_explicit(&l->views[key], memory_order_acquire);
}
