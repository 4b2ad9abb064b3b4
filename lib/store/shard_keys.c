/*
 * store/shard_keys.c: the union of the keys of a shard's files and its log, by a merge of their sorted
 * indexes.
 *
 * The sources of the merge are kept in a list that is sorted by their next keys. All sources with the first
 * key are taken, moved on and put back. A source is put back next to the one before it, if it belongs there:
 * so files with the same keys cost one comparison per key, and files with keys of their own one per key as
 * well.
 */
#include "store/shard_keys.h"

#include "base/alloc.h"
#include "format/series_key.h"
#include "store/live.h"
#include "store/log.h"
#include "base/banned.h"

struct source {
    struct tsm_str key; /* the next one */
    uint32_t file, position, n;
    size_t dead;        /* the first tombstone whose key is not before `key` */
    uint32_t forgotten; /* keys */
};

struct merge {
    struct tsm_shard *s;
    struct source **order; /* ascending by key */
    size_t n;
    struct source **taken; /* those with the first key, ascending by file */
    size_t nplaces, capplaces, capfirst;
};

static struct tsm_str key_at(const struct tsm_shard *s, uint32_t file, uint32_t position)
{
    if (file < s->nfiles)
        return tsm_reader_key(s->files[file], position);
    return s->live ? s->live->extras[position].key : s->log->items[position].key;
}

static enum tsm_type type_at(const struct tsm_shard *s, uint32_t file, uint32_t position)
{
    if (file < s->nfiles)
        return tsm_reader_type(s->files[file], position);
    return s->live ? s->live->extras[position].type : s->log->items[position].values.type;
}

/* Whether tombstones leave nothing of the source's key. Keys come in ascending order. */
static bool is_dead(const struct tsm_reader *r, struct source *src)
{
    const struct tsm_tombstones *t = &r->tombstones;
    while (src->dead < t->n && tsm_str_cmp(t->items[src->dead].key, src->key) < 0)
        src->dead++;
    size_t n = 0;
    while (src->dead + n < t->n && tsm_str_eq(t->items[src->dead + n].key, src->key))
        n++;
    return n > 0 && tsm_reader_is_deleted(r, src->position, t->items + src->dead, n);
}

/* Loads the key at src->position, or the first one behind it that is not dead; false at the end. */
static bool load(const struct tsm_shard *s, struct source *src)
{
    for (; src->position < src->n; src->position++) {
        src->key = key_at(s, src->file, src->position);
        if (src->file == s->nfiles || s->files[src->file]->tombstones.n == 0 ||
            !is_dead(s->files[src->file], src))
            return true;
    }
    return false;
}

/* Puts src into the order; hint is where a source with a key just before it may be. Returns its place. */
static size_t put(struct merge *m, struct source *src, size_t hint)
{
    size_t from = 0, to = m->n;
    if (hint < m->n) {
        int c = tsm_str_cmp(src->key, m->order[hint]->key);
        if (c >= 0) {
            from = hint + 1;
            /* Look near first: double the steps. */
            for (size_t step = 1; c && from < m->n; step *= 2) {
                size_t next = from + step - 1 < m->n ? from + step - 1 : m->n - 1;
                if (tsm_str_cmp(src->key, m->order[next]->key) <= 0) {
                    to = next;
                    break;
                }
                from = next + 1;
            }
            if (c == 0)
                to = from;
        } else {
            to = hint;
        }
    }
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (tsm_str_cmp(src->key, m->order[middle]->key) <= 0)
            to = middle;
        else
            from = middle + 1;
    }
    memmove(m->order + from + 1, m->order + from, (m->n - from) * sizeof *m->order);
    m->order[from] = src;
    m->n++;
    return from;
}

/* Takes the sources with the first key off the order; returns their number. */
static size_t take(struct merge *m)
{
    size_t n = 1;
    while (n < m->n && tsm_str_eq(m->order[n]->key, m->order[0]->key))
        n++;
    for (size_t i = 0; i < n; i++) {
        size_t at = i;
        for (; at > 0 && m->taken[at - 1]->file > m->order[i]->file; at--)
            m->taken[at] = m->taken[at - 1];
        m->taken[at] = m->order[i];
    }
    m->n -= n;
    memmove(m->order, m->order + n, m->n * sizeof *m->order);
    return n;
}

static int report_type(struct merge *m, const struct source *src, enum tsm_type newest, struct tsm_err *err)
{
    const struct tsm_shard *s = m->s;
    tsm_err_set(err, TSM_ECORRUPT, "%s: key '%.*s' has type %s here, and type %s in a newer file",
                s->files[src->file]->path, (int)src->key.n, src->key.p,
                tsm_type_name(type_at(s, src->file, src->position)), tsm_type_name(newest));
    return tsm_damage_pass(s->damage, err);
}

/* Adds the key of the taken sources. Where types differ the newest one counts. */
static int add_key(struct merge *m, size_t n, struct tsm_err *err)
{
    struct tsm_shard *s = m->s;
    TSM_GROW(s->first, s->nkeys + 2, m->capfirst);
    TSM_GROW(s->places, m->nplaces + n, m->capplaces);
    s->first[s->nkeys++] = (uint32_t)m->nplaces;
    enum tsm_type type = n > 1 ? type_at(s, m->taken[n - 1]->file, m->taken[n - 1]->position) : 0;
    for (size_t i = 0; i < n; i++) {
        const struct source *src = m->taken[i];
        if (i + 1 < n && type_at(s, src->file, src->position) != type) {
            int rc = report_type(m, src, type, err);
            if (rc)
                return rc;
            continue;
        }
        s->places[m->nplaces++] = (struct tsm_place){src->file, src->position};
    }
    s->first[s->nkeys] = (uint32_t)m->nplaces;
    return TSM_OK;
}

/* Now and then, when there is much of it: what has been read of the indexes need not stay in memory. */
static void forget(struct merge *m, struct source *sources)
{
    for (size_t i = 0; i < m->s->nfiles; i++) {
        struct source *src = &sources[i];
        tsm_reader_forget(m->s->files[i], src->forgotten, src->position, false);
        src->forgotten = src->position;
    }
}

static int merge_keys(struct merge *m, struct source *sources, struct tsm_err *err)
{
    enum { NOW_AND_THEN = 1 << 16 };
    uint64_t indexes = 0;
    for (size_t i = 0; i < m->s->nfiles; i++)
        indexes += m->s->files[i]->index_size;
    while (m->n > 0) {
        if (m->s->nkeys % NOW_AND_THEN == NOW_AND_THEN - 1 && indexes > TSM_INDEXES_KEPT)
            forget(m, sources);
        size_t n = take(m);
        int rc = add_key(m, n, err);
        if (rc)
            return rc;
        size_t hint = 0;
        for (size_t i = 0; i < n; i++) {
            struct source *src = m->taken[i];
            src->position++;
            if (load(m->s, src))
                hint = put(m, src, hint);
        }
    }
    return TSM_OK;
}

int tsm_shard_unite_keys(struct tsm_shard *s, struct tsm_err *err)
{
    if (s->nfiles == 1 && !s->log && s->files[0]->tombstones.n == 0) {
        s->nkeys = s->files[0]->nkeys;
        return TSM_OK;
    }
    size_t nsources = s->nfiles + (s->log ? 1 : 0);
    struct source *sources = tsm_calloc(nsources + 1, sizeof *sources);
    struct merge m = {
        .s = s,
        .order = tsm_calloc(nsources + 1, sizeof *m.order),
        .taken = tsm_calloc(nsources + 1, sizeof *m.taken),
    };
    for (size_t i = 0; i < nsources; i++) {
        struct source *src = &sources[i];
        src->file = (uint32_t)i;
        src->n = (uint32_t)(i == s->nfiles ? s->log->n : s->files[i]->nkeys);
        if (load(s, src))
            put(&m, src, 0);
    }
    int rc = merge_keys(&m, sources, err);
    tsm_free(m.order);
    tsm_free(m.taken);
    tsm_free(sources);
    return rc;
}

/* ---- access ------------------------------------------------------------------------------------ */

struct tsm_str tsm_shard_key(const struct tsm_shard *s, size_t i)
{
    if (!s->places)
        return tsm_reader_key(s->files[0], i);
    const struct tsm_place *p = &s->places[s->first[i]];
    return key_at(s, p->file, p->position);
}

enum tsm_type tsm_shard_key_type(const struct tsm_shard *s, size_t i)
{
    if (!s->places)
        return tsm_reader_type(s->files[0], i);
    const struct tsm_place *p = &s->places[s->first[i + 1] - 1];
    return type_at(s, p->file, p->position);
}

size_t tsm_shard_seek(const struct tsm_shard *s, struct tsm_str key, bool *found)
{
    size_t from = 0, to = s->nkeys;
    *found = false;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int c = tsm_str_cmp(tsm_shard_key(s, middle), key);
        if (c < 0) {
            from = middle + 1;
        } else {
            *found |= c == 0;
            to = middle;
        }
    }
    return from;
}

void tsm_shard_measurement(const struct tsm_shard *s, struct tsm_str measurement, size_t *from, size_t *to)
{
    struct tsm_buf bound = {0};
    bool found;
    tsm_escape_measurement(&bound, measurement);
    size_t n = bound.len;
    /* Without tags the field separator follows the measurement, with tags a comma, which comes later. */
    tsm_buf_str(&bound, TSM_FIELD_SEPARATOR);
    *from = tsm_shard_seek(s, tsm_buf_view(&bound), &found);
    bound.len = n;
    tsm_buf_byte(&bound, ',' + 1);
    *to = tsm_shard_seek(s, tsm_buf_view(&bound), &found);
    tsm_buf_release(&bound);
}
