/*
 * query/context.h: what the statements of one query share: the options, meta.db and the shards that have been
 * opened. Used by one thread; the shards it gives may be read by any number.
 */
#ifndef TSM_QUERY_CONTEXT_H
#define TSM_QUERY_CONTEXT_H

#include "format/meta_db.h"
#include "query/query.h"

struct tsm_query_ctx {
    const struct tsm_query_options *opt;
    const struct tsm_backend *backend; /* NULL over loose files */
    struct tsm_directory *directory;   /* the backend is over one of our own, or NULL */
    struct tsm_meta meta;
    bool meta_loaded;
    bool loose;              /* over opt->files: the one database is "", its one policy "" */
    struct tsm_shard **open; /* every shard opened so far */
    size_t nopen, capopen;
    int64_t
        planned; /* monotonic: when the first SELECT since this was 0 knew what to read; for EXPLAIN ANALYZE */
};

void tsm_query_ctx_init(struct tsm_query_ctx *q, const struct tsm_query_options *opt);
/* Takes what was written to files. */
int tsm_query_ctx_release(struct tsm_query_ctx *q, struct tsm_err *err);

/* Reads meta.db when it has not been read yet (not over loose files). */
int tsm_query_ctx_meta(struct tsm_query_ctx *q, struct tsm_err *err);
/* A statement changes things: closes all shards, and meta.db is read again. */
void tsm_query_ctx_forget(struct tsm_query_ctx *q);

/* The database to use: name when not empty, else the query's. TSM_EQUERY with influxd's text ("database name
 * required") when there is none. Whether it exists is not checked. */
int tsm_query_ctx_database(struct tsm_query_ctx *q, struct tsm_str name, struct tsm_str *database,
                           struct tsm_err *err);

/* The policy to use: rp when not empty, else the query's, else the database's default. TSM_EQUERY: "database
 * not found: x", "retention policy not found: x", "default retention policy not set for: x". *found is NULL
 * over loose files. */
int tsm_query_ctx_rp(struct tsm_query_ctx *q, struct tsm_str database, struct tsm_str rp,
                     const struct tsm_database **db, const struct tsm_rp **found, struct tsm_err *err);

/*
 * The shards of a database's retention policy (as above) that may hold times in [tmin, tmax], ascending by
 * start; a shard that has no directory is left out. The array is the caller's (tsm_free), the shards stay
 * open until the context is released.
 */
int tsm_query_ctx_shards(struct tsm_query_ctx *q, struct tsm_str database, struct tsm_str rp, int64_t tmin,
                         int64_t tmax, struct tsm_shard ***shards, size_t *n, struct tsm_err *err);

/* As above for all policies of the database (SHOW), each in turn. */
int tsm_query_ctx_all_shards(struct tsm_query_ctx *q, struct tsm_str database, int64_t tmin, int64_t tmax,
                             struct tsm_shard ***shards, size_t *n, struct tsm_err *err);

#endif
