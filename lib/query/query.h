/*
 * query/query.h: running InfluxQL over a data directory or loose TSM files.
 *
 *   text -> lexer.h -> parser.h -> ast.h -> plan.h -> exec.h (select), show.h, ddl.h -> sink.h
 */
#ifndef TSM_QUERY_QUERY_H
#define TSM_QUERY_QUERY_H

#include "query/backend.h"
#include "query/binding.h"
#include "query/control.h"
#include "query/sink.h"
#include "query/tasks.h"
#include "sys/fs.h"

struct tsm_query_options {
    const struct tsm_fs *fs;
    const char *dir;                   /* data directory; NULL with files or a backend */
    const struct tsm_backend *backend; /* NULL: the directory's, or the files */
    char *const *files;                /* loose TSM files, queried as one shard of database "" */
    size_t nfiles;
    struct tsm_str database;             /* may be empty */
    struct tsm_str rp;                   /* empty: the default */
    const struct tsm_bindings *bindings; /* values of $name in the text; may be NULL */
    int64_t now;
    unsigned jobs;
    size_t memory; /* limit in bytes; a query that needs more fails with TSM_ELIMIT */
    struct tsm_damage damage;
    struct tsm_query_control *control; /* NULL: no limits */
    struct tsm_tasks *tasks;           /* NULL: SHOW QUERIES is empty */
    uint64_t task;                     /* the query's own number there */
    bool authenticate;                 /* statements are allowed by the privileges of: */
    struct tsm_str user;               /* who has logged in; empty: nobody */
    bool chunked;   /* the answer goes out in chunks: a statement may be told twice (query.c) */
    bool read_only; /* GET: statements that change something give influxd's warning too, as a message */
    /* SHOW STATS and SHOW DIAGNOSTICS of a daemon: gives series to the sink. NULL: those of a process without one. */
    int (*stats)(void *ctx, struct tsm_str module, bool diagnostics, struct tsm_sink *sink,
                 struct tsm_err *err);
    void *stats_ctx;
};

/*
 * Runs all statements of text (white space around it is ignored) in order. A statement that fails reports
 * influxd's error through statement_end and ends the query; see query.c for what influxd says of the others.
 * A syntax error fails the whole query: TSM_EPARSE with "error parsing query: …" and no call of the sink; so does a statement
 * that the user may not run: TSM_EACCESS with "error authorizing query: …". The
 * result is TSM_OK when all statements succeeded, TSM_EQUERY when one failed (its message in err), or what
 * the sink or the disk returned. *rows (may be NULL) is the number of result rows.
 */
int tsm_query_run(const struct tsm_query_options *opt, struct tsm_str text, struct tsm_sink *sink,
                  uint64_t *rows, struct tsm_err *err);

#endif
