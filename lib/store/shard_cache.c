/* store/shard_cache.c: shards that are kept open between queries. */
#include "store/shard_cache.h"

#include <string.h>

#include "base/alloc.h"
#include "base/banned.h"

enum { CHAINS = 1 << 12 };

struct tsm_shard_cache {
    const struct tsm_fs *fs;
    size_t limit;
    pthread_mutex_t mutex; /* of what follows */
    struct tsm_cached_shard *chains[CHAINS];
    struct tsm_cached_shard *newest, *oldest;
    size_t bytes;
};

struct tsm_shard_cache *tsm_shard_cache_new(const struct tsm_fs *fs, size_t limit)
{
    struct tsm_shard_cache *c = tsm_calloc(1, sizeof *c);
    c->fs = fs;
    c->limit = limit;
    pthread_mutex_init(&c->mutex, NULL);
    return c;
}

static void unlink_shard(struct tsm_shard_cache *c, struct tsm_cached_shard *s)
{
    *(s->newer ? &s->newer->older : &c->newest) = s->older;
    *(s->older ? &s->older->newer : &c->oldest) = s->newer;
    s->newer = s->older = NULL;
}

static void link_newest(struct tsm_shard_cache *c, struct tsm_cached_shard *s)
{
    s->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = s;
    c->newest = s;
}

static void free_shard(struct tsm_cached_shard *s)
{
    tsm_key_table_free(s->table);
    tsm_open_files_close(s->next);
    tsm_open_files_close(s->kept);
    tsm_extra_texts_free(s->texts);
    tsm_map_release(&s->extra_map);
    tsm_free(s->read);
    pthread_mutex_destroy(&s->mutex);
    tsm_free(s->dir);
    tsm_free(s);
}

/* Takes a shard out of the cache; the last one who uses it frees it. */
static void take_out(struct tsm_shard_cache *c, struct tsm_cached_shard *s)
{
    struct tsm_cached_shard **at = &c->chains[s->hash % CHAINS];
    while (*at != s)
        at = &(*at)->chain;
    *at = s->chain;
    unlink_shard(c, s);
    c->bytes -= s->bytes;
    s->dropped = true;
    if (s->users == 0)
        free_shard(s);
}

void tsm_shard_cache_free(struct tsm_shard_cache *c)
{
    if (!c)
        return;
    while (c->newest)
        take_out(c, c->newest);
    pthread_mutex_destroy(&c->mutex);
    tsm_free(c);
}

static struct tsm_cached_shard *new_shard(struct tsm_shard_cache *c, const char *dir, uint64_t hash)
{
    struct tsm_cached_shard *s = tsm_calloc(1, sizeof *s);
    s->dir = tsm_strdup(dir);
    s->hash = hash;
    s->looked = UINT64_MAX;
    s->chain = c->chains[hash % CHAINS];
    c->chains[hash % CHAINS] = s;
    pthread_mutex_init(&s->mutex, NULL);
    link_newest(c, s);
    return s;
}

static struct tsm_cached_shard *take(struct tsm_shard_cache *c, const char *dir, bool add)
{
    uint64_t hash = tsm_hash(tsm_str_of(dir));
    pthread_mutex_lock(&c->mutex);
    struct tsm_cached_shard *s = c->chains[hash % CHAINS];
    while (s && strcmp(s->dir, dir) != 0)
        s = s->chain;
    if (!s && add)
        s = new_shard(c, dir, hash);
    if (s && add) { /* by a reader */
        unlink_shard(c, s);
        link_newest(c, s);
    }
    if (s)
        s->users++;
    pthread_mutex_unlock(&c->mutex);
    return s;
}

struct tsm_cached_shard *tsm_shard_cache_take(struct tsm_shard_cache *c, const char *dir)
{
    return take(c, dir, true);
}

struct tsm_cached_shard *tsm_shard_cache_find(struct tsm_shard_cache *c, const char *dir)
{
    return take(c, dir, false);
}

/* What it holds on to, roughly. The caller still uses it. */
static size_t count_bytes(struct tsm_cached_shard *s)
{
    size_t bytes = sizeof *s + 2 * strlen(s->dir);
    pthread_mutex_lock(&s->mutex);
    const struct tsm_key_table *t = s->table;
    if (t)
        bytes += t->files->bytes + t->nextras * (2 * sizeof *t->places + sizeof *t->extras);
    if (t && t->nextras)
        bytes += t->nkeys * sizeof *t->first + t->first[t->nkeys] * sizeof *t->places;
    if (s->texts)
        bytes += s->texts->arena.bytes;
    pthread_mutex_unlock(&s->mutex);
    return bytes;
}

void tsm_shard_cache_give(struct tsm_shard_cache *c, struct tsm_cached_shard *s)
{
    size_t bytes = count_bytes(s);
    pthread_mutex_lock(&c->mutex);
    s->users--;
    if (s->dropped) {
        if (s->users == 0)
            free_shard(s);
    } else {
        c->bytes += bytes - s->bytes;
        s->bytes = bytes;
    }
    for (struct tsm_cached_shard *old = c->oldest, *newer; old && c->bytes > c->limit; old = newer) {
        newer = old->newer;
        if (old->users == 0)
            take_out(c, old);
    }
    pthread_mutex_unlock(&c->mutex);
}

static bool is_below(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

void tsm_shard_cache_drop(struct tsm_shard_cache *c, const char *dir)
{
    pthread_mutex_lock(&c->mutex);
    for (struct tsm_cached_shard *s = c->newest, *older; s; s = older) {
        older = s->older;
        if (is_below(s->dir, dir))
            take_out(c, s);
    }
    pthread_mutex_unlock(&c->mutex);
}

void tsm_shard_cache_sweep(struct tsm_shard_cache *c)
{
    pthread_mutex_lock(&c->mutex);
    for (struct tsm_cached_shard *s = c->oldest, *newer; s; s = newer) {
        newer = s->newer; /* nobody uses it: nobody changes it, either */
        if (s->users == 0 && (!s->table || !tsm_open_files_current(c->fs, s->dir, s->table->files)))
            take_out(c, s);
    }
    pthread_mutex_unlock(&c->mutex);
}
