/*
 * store/shard_cache.h: shards that are kept open between queries, those that were asked for longest ago given up first.
 */
#ifndef TSM_STORE_SHARD_CACHE_H
#define TSM_STORE_SHARD_CACHE_H

#include <pthread.h>

#include "base/map.h"
#include "store/live.h"
#include "store/open_files.h"

/* Keys that memory has and no file, in the order of their finding; the texts are shared by tables. */
struct tsm_extra_texts {
    _Atomic unsigned shares;
    struct tsm_arena arena;
};

/* The keys of a shard in files and memory, numbered: immutable, shared by counting. */
struct tsm_key_table {
    _Atomic unsigned shares;
    struct tsm_open_files *files;
    struct tsm_extra_texts *texts;
    struct tsm_extra_key *extras; /* ascending */
    size_t nextras;
    size_t nkeys;
    struct tsm_place *places; /* as in struct tsm_shard; those of the files when there are no extras */
    uint32_t *first;
};

/* How far the list of columns that series got has been read in a memtable. */
struct tsm_table_read {
    uint64_t table; /* number of the memtable */
    uint64_t generation;
    size_t n;
};

/* A shard in the cache. */
struct tsm_cached_shard {
    struct tsm_cached_shard *chain;         /* of the hash */
    struct tsm_cached_shard *newer, *older; /* asked for */
    char *dir;
    uint64_t hash;
    size_t users;
    size_t bytes;
    bool dropped; /* not in the cache any more */

    pthread_mutex_t mutex; /* of what follows */
    struct tsm_key_table *table;
    struct tsm_extra_texts *texts;
    struct tsm_map extra_map; /* of their keys */
    struct tsm_table_read *read;
    size_t nread;
    struct tsm_open_files *next; /* what a flush has made of the folder; NULL: nothing new */
    uint64_t looked;             /* when the folder was looked at: the last memtable that was in files then */
    struct tsm_open_files *kept; /* a delete works on the folder: until it is done, these are its files */
};

struct tsm_shard_cache;

struct tsm_shard_cache *tsm_shard_cache_new(const struct tsm_fs *fs, size_t limit);
void tsm_shard_cache_free(struct tsm_shard_cache *c); /* NULL is allowed; nobody uses a shard any more */

/* The shard in folder dir, for a while; given back it may be given up. Any thread. */
struct tsm_cached_shard *tsm_shard_cache_take(struct tsm_shard_cache *c, const char *dir);
/* The same, or NULL when it is not in the cache. */
struct tsm_cached_shard *tsm_shard_cache_find(struct tsm_shard_cache *c, const char *dir);
void tsm_shard_cache_give(struct tsm_shard_cache *c, struct tsm_cached_shard *s);
/* Gives up those in dir and below it. */
void tsm_shard_cache_drop(struct tsm_shard_cache *c, const char *dir);
/* Gives up those whose folder has changed, which would keep files on the disk that others have removed. */
void tsm_shard_cache_sweep(struct tsm_shard_cache *c);

/* The keys that the files have, and the extras (fresh ones among them, in any order; texts are those of `texts`, which is shared). */
struct tsm_key_table *tsm_key_table_new(struct tsm_open_files *files, struct tsm_extra_texts *texts,
                                        const struct tsm_key_table *old, struct tsm_extra_key *fresh,
                                        size_t nfresh);
struct tsm_key_table *tsm_key_table_share(struct tsm_key_table *t);
void tsm_key_table_free(struct tsm_key_table *t); /* gives it up; NULL is allowed */
struct tsm_extra_texts *tsm_extra_texts_new(void);
void tsm_extra_texts_free(struct tsm_extra_texts *t);

#endif
