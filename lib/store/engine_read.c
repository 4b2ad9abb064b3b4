/*
 * store/engine_read.c: shards as they are now, for readers beside the writer.
 *
 * A reader takes the memtables first and looks at the files then, so that nothing is missed that is on its way from one to
 * the other; what it finds in both is the same. When the active memtable has been frozen in between it begins anew: files may
 * have come of it by then, with rows that are newer than what the reader sees of it. While a memtable is being written out readers
 * go on with the files there were before; the flush opens the new ones itself, so that nobody has to wait for that.
 *
 * The keys of a shard are those of its files and what memory has besides. Each memtable notes which columns series got, so that
 * only those are looked at that are new since the last reader.
 */
#include "store/engine_impl.h"

#include <stdatomic.h>

#include "base/alloc.h"
#include "store/data_dir.h"
#include "store/shard_cache.h"
#include "base/banned.h"

enum {
    MAX_TRIES = 10, /* when memtables are frozen all the time */
    TURN = 4096,    /* columns whose names are taken in one turn */
    MANY =
        32, /* keys: with so many times less of them than the files have they are searched for one by one */
};

/* A shard that was given out. */
struct given {
    struct tsm_shard shard; /* the first member */
    struct tsm_live live;
    struct tsm_key_table *table;
};

struct table {
    struct tsm_memtable *memtable; /* shared */
    uint64_t number;
    uint64_t generation; /* of the list of columns that series got */
    size_t read, n;      /* of that: so many are known, and so many it had at first */
    bool mixed;          /* some are of a list that is gone */
};

struct reading {
    struct tsm_engine *e;
    struct tsm_cached_shard *cached;
    struct tsm_open_files *files;
    bool known; /* the engine has the shard open */
    uint32_t shard;
    uint64_t flushed; /* number of the last memtable that is in files */
    bool flushing;
    uint64_t active; /* number of the memtable that took points when these were taken */
    struct table *tables;
    size_t ntables, captables;
    struct tsm_made_column *made; /* taken in one turn */
    size_t nmade;
    struct tsm_extra_key *fresh;
    size_t nfresh, capfresh;
    struct tsm_buf key;
};

/* ---- memtables and files ---- */

static void add_table(struct reading *r, struct tsm_memtable *m, uint64_t number)
{
    struct table t = {.number = number};
    tsm_memtable_made(m, r->shard, &t.n, &t.generation);
    if (t.n == 0)
        return;
    TSM_GROW(r->tables, r->ntables + 1, r->captables);
    t.memtable = tsm_memtable_share(m);
    r->tables[r->ntables++] = t;
}

static void drop_tables(struct reading *r)
{
    for (size_t i = 0; i < r->ntables; i++)
        tsm_memtable_free(r->tables[i].memtable);
    r->ntables = 0;
}

static void take_tables(struct reading *r, uint64_t id)
{
    struct tsm_engine *e = r->e;
    tsm_turn_take(&e->turn);
    const struct tsm_engine_shard *s = tsm_engine_known_shard(e, id);
    r->active = e->number;
    r->flushed = e->flushed_number;
    r->flushing = e->frozen;
    r->known = s;
    if (s) {
        r->shard = s->table.index;
        for (const struct tsm_engine_frozen *z = e->frozen; z; z = z->next)
            add_table(r, z->table, z->number);
        add_table(r, e->active, e->number);
    }
    tsm_turn_give(&e->turn);
}

/* With the shard's mutex. */
static int look_at_files(struct tsm_engine *e, struct tsm_cached_shard *c, struct tsm_open_files **files,
                         struct tsm_err *err)
{
    struct tsm_open_files *old = c->next ? c->next : c->table ? c->table->files : NULL;
    *files = NULL;
    if (c->kept) {
        *files = tsm_open_files_share(c->kept);
        return TSM_OK;
    }
    int rc = tsm_open_files_look(e->fs, c->dir, old, files, err);
    if (rc == TSM_OK) {
        tsm_open_files_close(c->next);
        c->next = NULL;
    }
    return rc;
}

/* Opens the new files of a shard, if somebody may ask for it. */
static void prepare_shard(struct tsm_engine *e, const char *dir, size_t ncolumns)
{
    struct tsm_cached_shard *c = tsm_shard_cache_find(e->cache, dir);
    if (!c)
        return;
    pthread_mutex_lock(&c->mutex);
    struct tsm_open_files *old = c->table ? tsm_open_files_share(c->table->files) : NULL, *now = NULL;
    pthread_mutex_unlock(&c->mutex);
    if (old)
        tsm_open_files_open(e->fs, dir, old, &now, NULL); /* a failure is for the next reader to tell */
    if (now && ncolumns > now->nkeys / MANY)
        tsm_open_files_index(now);
    pthread_mutex_lock(&c->mutex);
    if (now) {
        tsm_open_files_close(c->next);
        c->next = now;
    }
    pthread_mutex_unlock(&c->mutex);
    tsm_open_files_close(old);
    tsm_shard_cache_give(e->cache, c);
}

void tsm_engine_prepare_files(struct tsm_engine *e, const struct tsm_engine_frozen *z)
{
    for (uint32_t i = 0; i < z->nshards; i++) {
        size_t n;
        uint64_t generation;
        tsm_memtable_made(z->table, i, &n, &generation);
        if (n && z->shards[i] && !z->shards[i]->dropped)
            prepare_shard(e, z->shards[i]->files->dir, n);
    }
}

struct tsm_cached_shard *tsm_engine_keep_files(struct tsm_engine *e, const char *dir)
{
    struct tsm_cached_shard *c = tsm_shard_cache_take(e->cache, dir);
    pthread_mutex_lock(&c->mutex);
    look_at_files(e, c, &c->kept, NULL); /* when it fails readers fail, too, or see some of the delete */
    pthread_mutex_unlock(&c->mutex);
    return c;
}

void tsm_engine_renew_files(struct tsm_engine *e, struct tsm_cached_shard *c)
{
    pthread_mutex_lock(&c->mutex);
    tsm_open_files_close(c->kept);
    c->kept = NULL;
    c->looked = UINT64_MAX;
    pthread_mutex_unlock(&c->mutex);
    tsm_shard_cache_give(e->cache, c);
}

static int take_all(struct reading *r, uint64_t id, struct tsm_err *err)
{
    struct tsm_cached_shard *c = r->cached;
    for (int i = 0;; i++) {
        take_tables(r, id);
        if (c->table && !c->kept && r->flushing &&
            c->looked == r->flushed) { /* memory has all that came since */
            r->files = tsm_open_files_share(c->table->files);
            return TSM_OK;
        }
        int rc = look_at_files(r->e, c, &r->files, err);
        if (rc != TSM_OK || i == MAX_TRIES || atomic_load(&r->e->number) == r->active)
            return rc;
        tsm_open_files_close(r->files);
        r->files = NULL;
        drop_tables(r);
    }
}

/* ---- the keys ---- */

/* Whether what is known of the keys in memory still is. */
static bool is_valid(const struct reading *r)
{
    const struct tsm_cached_shard *c = r->cached;
    if (!c->table || c->table->files != r->files)
        return false;
    for (size_t i = 0; i < c->nread; i++) { /* a memtable that is in files now takes its keys with it */
        bool found = false;
        for (size_t k = 0; k < r->ntables && !found; k++)
            found = r->tables[k].number == c->read[i].table &&
                    r->tables[k].generation == c->read[i].generation;
        if (!found)
            return false;
    }
    return true;
}

static void forget_keys(struct tsm_cached_shard *c)
{
    tsm_key_table_free(c->table);
    c->table = NULL;
    tsm_extra_texts_free(c->texts);
    c->texts = tsm_extra_texts_new();
    tsm_map_release(&c->extra_map);
    c->nread = 0;
}

static void find_start(struct reading *r)
{
    const struct tsm_cached_shard *c = r->cached;
    size_t fresh = 0;
    for (size_t i = 0; i < r->ntables; i++) {
        struct table *t = &r->tables[i];
        for (size_t k = 0; k < c->nread; k++)
            if (c->read[k].table == t->number)
                t->read = c->read[k].n;
        fresh += t->n - t->read;
    }
    if (fresh > r->files->nkeys / MANY)
        tsm_open_files_index(r->files);
}

static void add_key(struct reading *r, const struct tsm_made_column *m)
{
    struct tsm_cached_shard *c = r->cached;
    tsm_buf_reset(&r->key);
    tsm_buf_str(&r->key, tsm_mem_series_key(m->series));
    tsm_buf_str(&r->key, TSM_FIELD_SEPARATOR);
    tsm_buf_str(&r->key, m->field->name);
    struct tsm_str key = tsm_buf_view(&r->key);
    if (tsm_open_files_has(r->files, key))
        return;
    uint64_t hash = tsm_hash(key);
    if (tsm_map_get(&c->extra_map, key, hash) != TSM_MAP_NONE)
        return;
    struct tsm_extra_key extra = {tsm_arena_str(&c->texts->arena, key), m->field->type};
    tsm_map_put(&c->extra_map, extra.key, hash, 0);
    TSM_GROW(r->fresh, r->nfresh + 1, r->capfresh);
    r->fresh[r->nfresh++] = extra;
}

/* With the turn. True when nothing is left to be taken. After a delete there may be another list: that is read from its beginning. */
static bool take_some(struct reading *r)
{
    r->nmade = 0;
    for (size_t i = 0; i < r->ntables; i++) {
        struct table *t = &r->tables[i];
        size_t n;
        uint64_t generation;
        const struct tsm_made_column *made = tsm_memtable_made(t->memtable, r->shard, &n, &generation);
        if (generation !=
            t->generation) { /* what has been read of the old one is not valid for the next reader */
            t->mixed |= t->read > 0;
            t->generation = generation;
            t->read = 0;
        }
        for (; t->read < n && r->nmade < TURN; t->read++)
            r->made[r->nmade++] = made[t->read];
        if (t->read < n)
            return false;
    }
    return true;
}

static void hold_tables(struct reading *r, struct tsm_live *l)
{
    l->ntables = r->ntables;
    l->tables = tsm_calloc(r->ntables, sizeof *l->tables);
    for (size_t i = 0; i < r->ntables; i++) {
        struct tsm_memtable *m = r->tables[i].memtable;
        l->tables[i] = (struct tsm_live_table){m, r->tables[i].number, tsm_memtable_hold(m),
                                               tsm_memtable_columns(m)};
    }
}

/* In the turn in which the last key is found the memtables are held: all of what is seen of them has its key. */
static void find_keys(struct reading *r, struct tsm_live *l)
{
    bool done;
    r->made = tsm_realloc_array(r->made, TURN, sizeof *r->made);
    do {
        tsm_turn_take(&r->e->turn);
        done = take_some(r);
        if (done)
            hold_tables(r, l);
        tsm_turn_give(&r->e->turn);
        for (size_t i = 0; i < r->nmade; i++)
            add_key(r, &r->made[i]);
    } while (!done);
}

static void note_read(struct reading *r)
{
    struct tsm_cached_shard *c = r->cached;
    c->read = tsm_realloc_array(c->read, r->ntables, sizeof *c->read);
    c->nread = r->ntables;
    for (size_t i = 0; i < r->ntables; i++)
        c->read[i] = (struct tsm_table_read){r->tables[i].number,
                                             r->tables[i].mixed ? UINT64_MAX : r->tables[i].generation,
                                             r->tables[i].read};
    c->looked = c->kept ? UINT64_MAX : r->flushed;
}

/* Brings the table of keys up to date; the memtables are held by l then. */
static void update_keys(struct reading *r, struct tsm_live *l)
{
    struct tsm_cached_shard *c = r->cached;
    if (!is_valid(r))
        forget_keys(c);
    find_start(r);
    if (r->ntables)
        find_keys(r, l);
    note_read(r);
    if (c->table && r->nfresh == 0)
        return;
    struct tsm_key_table *old = c->table;
    c->table = tsm_key_table_new(r->files, c->texts, old, r->fresh, r->nfresh);
    tsm_key_table_free(old);
}

/* ---- giving out ---- */

static struct given *give(struct reading *r, uint64_t id, const struct tsm_damage *damage, struct tsm_live *l)
{
    struct given *g = tsm_calloc(1, sizeof *g);
    struct tsm_key_table *t = g->table = tsm_key_table_share(r->cached->table);
    g->shard = (struct tsm_shard){
        .id = id,
        .start = INT64_MIN,
        .end = INT64_MAX,
        .files = t->files->files,
        .nfiles = t->files->nfiles,
        .nkeys = t->nkeys,
        .places = t->places,
        .first = t->first,
        .damage = damage,
        .reported = tsm_reported_new(),
    };
    if (l->ntables == 0)
        return g;
    g->live = *l;
    g->live.turn = &r->e->turn;
    g->live.shard = r->shard;
    g->live.extras = t->extras;
    g->live.views = tsm_calloc(t->nkeys, sizeof *g->live.views);
    pthread_mutex_init(&g->live.mutex, NULL);
    g->shard.live = &g->live;
    tsm_turn_take(&r->e->turn);
    g->live.behind = r->e->lives;
    if (r->e->lives)
        r->e->lives->before = &g->live;
    r->e->lives = &g->live;
    tsm_turn_give(&r->e->turn);
    return g;
}

static void release_live(struct tsm_engine *e, struct tsm_live *l)
{
    tsm_turn_take(l->turn);
    *(l->before ? &l->before->behind : &e->lives) = l->behind;
    if (l->behind)
        l->behind->before = l->before;
    for (size_t i = 0; i < l->ntables; i++)
        tsm_memtable_unhold(l->tables[i].memtable, l->tables[i].epoch);
    tsm_turn_give(l->turn);
    for (size_t i = 0; i < l->ntables; i++)
        tsm_memtable_free(l->tables[i].memtable);
    tsm_free(l->tables);
    tsm_free((void *)l->views);
    tsm_arena_release(&l->arena);
    pthread_mutex_destroy(&l->mutex);
}

void tsm_engine_release_shard(struct tsm_engine *e, struct tsm_shard *s)
{
    struct given *g = (struct given *)s;
    if (!s)
        return;
    if (s->live)
        release_live(e, s->live);
    tsm_key_table_free(g->table);
    tsm_reported_free(s->reported);
    tsm_free(g);
}

/* Memtables that only readers have. */
struct kept {
    const struct tsm_memtable *memtables[64];
    size_t n, bytes;
    uint64_t oldest; /* number */
};

static void add_kept(struct kept *k, const struct tsm_live_table *t)
{
    for (size_t i = 0; i < k->n; i++)
        if (k->memtables[i] == t->memtable)
            return;
    if (k->n < sizeof k->memtables / sizeof *k->memtables)
        k->memtables[k->n++] = t->memtable;
    k->bytes += tsm_memtable_bytes(t->memtable, 0);
    if (t->number < k->oldest)
        k->oldest = t->number;
}

static struct kept count_kept(const struct tsm_engine *e)
{
    struct kept k = {.oldest = UINT64_MAX};
    for (struct tsm_live *l = e->lives; l; l = l->behind)
        for (size_t i = 0; i < l->ntables && l->tables[i].number <= e->flushed_number; i++)
            if (!atomic_load(&l->outdated))
                add_kept(&k, &l->tables[i]);
    return k;
}

void tsm_engine_limit_readers(struct tsm_engine *e)
{
    for (struct kept k; (k = count_kept(e)).bytes > e->memory;)
        for (struct tsm_live *l = e->lives; l; l = l->behind)
            if (l->tables[0].number == k.oldest)
                atomic_store(&l->outdated, true);
}

static int read_shard(struct reading *r, uint64_t id, const struct tsm_damage *damage, struct tsm_shard **s,
                      struct tsm_err *err)
{
    struct tsm_live l = {0};
    int rc = take_all(r, id, err);
    if (rc == TSM_OK)
        rc = tsm_open_files_pass(r->files, damage, err);
    if (rc != TSM_OK) {
        drop_tables(r);
        return rc;
    }
    update_keys(r, &l);
    if (r->files->missing && r->cached->table->nkeys == 0)
        rc = tsm_err_set(err, TSM_ENOTFOUND, "open %s: No such file or directory", r->cached->dir);
    struct given *g = give(r, id, damage, &l);
    *s = &g->shard;
    if (rc == TSM_OK)
        return TSM_OK;
    tsm_engine_release_shard(r->e, *s);
    *s = NULL;
    return rc;
}

int tsm_engine_read_shard(struct tsm_engine *e, struct tsm_str db, struct tsm_str rp, uint64_t shard,
                          const struct tsm_damage *damage, struct tsm_shard **s, struct tsm_err *err)
{
    char *dir = tsm_path_shard(e->dir, db, rp, shard);
    struct reading r = {.e = e, .cached = tsm_shard_cache_take(e->cache, dir)};
    *s = NULL;
    pthread_mutex_lock(&r.cached->mutex);
    int rc = read_shard(&r, shard, damage, s, err);
    pthread_mutex_unlock(&r.cached->mutex);
    tsm_open_files_close(r.files);
    tsm_free(r.tables);
    tsm_free(r.made);
    tsm_free(r.fresh);
    tsm_buf_release(&r.key);
    tsm_shard_cache_give(e->cache, r.cached);
    tsm_free(dir);
    return rc;
}
