/*
 * store/open_files_unite.c: the union of keys when few files have come, or gone: a merge of the one there was with the new ones.
 *
 * Places keep their order, as files do; those in files that are gone are left out, and so are keys that have no other.
 */
#include "store/open_files_impl.h"

#include "base/alloc.h"
#include "base/banned.h"

enum {
    MANY_NEW = 8, /* files: then all are merged */
    GONE = UINT32_MAX,
};

/* A new file at its next key. */
struct fresh {
    const struct tsm_reader *r;
    uint32_t file, position;
    struct tsm_str key;
};

struct merge {
    const struct tsm_open_files *old;
    struct tsm_open_files *now;
    uint32_t *file; /* by file of the old: its number now */
    struct fresh fresh[MANY_NEW];
    size_t nfresh;
    struct tsm_place *places;
    uint32_t *first;
    size_t nkeys, nplaces, capplaces, capfirst;
    struct tsm_place single;
};

/* Moves on to a key that is not deleted as a whole; false at the end. */
static bool load(struct fresh *f)
{
    while (f->position < f->r->nkeys && f->r->tombstones.n && tsm_reader_key_is_deleted(f->r, f->position))
        f->position++;
    if (f->position == f->r->nkeys)
        return false;
    f->key = tsm_reader_key(f->r, f->position);
    return true;
}

static void add_fresh(struct merge *m, uint32_t file)
{
    struct fresh *f = &m->fresh[m->nfresh];
    *f = (struct fresh){.r = m->now->files[file], .file = file};
    m->nfresh += load(f);
}

/* False: too many are new. */
static bool compare_files(struct merge *m)
{
    const struct tsm_open_files *old = m->old, *now = m->now;
    m->file = tsm_realloc_array(NULL, old->nfiles + 1, sizeof *m->file);
    size_t i = 0, added = 0;
    for (size_t k = 0; k < old->nfiles; k++)
        m->file[k] = GONE;
    for (uint32_t f = 0; f < now->nfiles; f++) {
        for (i = 0; i < old->nfiles && old->files[i] != now->files[f]; i++)
            ;
        if (i < old->nfiles) {
            m->file[i] = f;
        } else {
            if (added++ == MANY_NEW)
                return false;
            add_fresh(m, f);
        }
    }
    return true;
}

static const struct tsm_place *old_places(struct merge *m, size_t key, size_t *n)
{
    const struct tsm_open_files *o = m->old;
    if (o->places) {
        *n = o->first[key + 1] - o->first[key];
        return &o->places[o->first[key]];
    }
    m->single = (struct tsm_place){0, (uint32_t)key};
    *n = 1;
    return &m->single;
}

static void put(struct merge *m, size_t from, struct tsm_place p)
{
    TSM_GROW(m->places, m->nplaces + 1, m->capplaces);
    size_t at = m->nplaces++;
    for (; at > from && m->places[at - 1].file > p.file; at--)
        m->places[at] = m->places[at - 1];
    m->places[at] = p;
}

/* Adds a key: of the old union (key < nkeys), of new files (those marked), or both. False: types differ, which is for others to tell. */
static bool add_key(struct merge *m, size_t key, const bool *taken)
{
    size_t from = m->nplaces, n = 0;
    const struct tsm_place *p = key < m->old->nkeys ? old_places(m, key, &n) : NULL;
    for (size_t i = 0; i < n; i++)
        if (m->file[p[i].file] != GONE)
            put(m, from, (struct tsm_place){m->file[p[i].file], p[i].position});
    for (size_t i = 0; i < m->nfresh; i++)
        if (taken[i])
            put(m, from, (struct tsm_place){m->fresh[i].file, m->fresh[i].position});
    if (m->nplaces == from)
        return true;
    const struct tsm_place *last = &m->places[m->nplaces - 1];
    enum tsm_type type = tsm_reader_type(m->now->files[last->file], last->position);
    for (size_t i = from; i + 1 < m->nplaces; i++)
        if (tsm_reader_type(m->now->files[m->places[i].file], m->places[i].position) != type)
            return false;
    TSM_GROW(m->first, m->nkeys + 2, m->capfirst);
    m->first[m->nkeys++] = (uint32_t)from;
    return true;
}

static struct tsm_str old_key(struct merge *m, size_t key)
{
    size_t n;
    const struct tsm_place *p = old_places(m, key, &n);
    return tsm_reader_key(m->old->files[p->file], p->position);
}

/* Moves on those that were taken; the others keep their order. */
static void move_on(struct merge *m, const bool *taken)
{
    size_t n = 0;
    for (size_t i = 0; i < m->nfresh; i++) {
        struct fresh f = m->fresh[i];
        bool more = true;
        if (taken[i]) {
            f.position++;
            more = load(&f);
        }
        if (more)
            m->fresh[n++] = f;
    }
    m->nfresh = n;
}

static bool merge_keys(struct merge *m)
{
    size_t key = 0;
    while (key < m->old->nkeys || m->nfresh > 0) {
        bool taken[MANY_NEW] = {false}, old = key < m->old->nkeys;
        struct tsm_str least = old ? old_key(m, key) : m->fresh[0].key;
        for (size_t i = 0; i < m->nfresh; i++) {
            int c = tsm_str_cmp(m->fresh[i].key, least);
            if (c < 0) {
                for (size_t k = 0; k < i; k++)
                    taken[k] = false;
                old = false;
                least = m->fresh[i].key;
            }
            taken[i] = c <= 0;
        }
        if (!add_key(m, old ? key : m->old->nkeys, taken))
            return false;
        key += old;
        move_on(m, taken);
    }
    return true;
}

bool tsm_open_files_unite_over(const struct tsm_open_files *old, struct tsm_open_files *now)
{
    struct merge m = {.old = old, .now = now};
    if (old->faults.len || now->faults.len || old->nkeys == 0 || now->nfiles < 2)
        return false;
    bool ok = compare_files(&m) && merge_keys(&m);
    tsm_free(m.file);
    if (!ok || m.nkeys == 0) {
        tsm_free(m.places);
        tsm_free(m.first);
        return false;
    }
    m.first[m.nkeys] = (uint32_t)m.nplaces;
    now->places = m.places;
    now->first = m.first;
    now->nkeys = m.nkeys;
    return true;
}
