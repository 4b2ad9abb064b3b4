/*
 * query/change.h: a statement that changes something (databases, policies, users, continuous queries, subscriptions; DELETE and
 * the DROPs), taken apart so that it has the same effect wherever and however often it is carried out: the clock and the salt
 * of a password are in it, and the names of measurements are complete. It is what stands in a raft entry.
 */
#ifndef TSM_QUERY_CHANGE_H
#define TSM_QUERY_CHANGE_H

#include "base/buf.h"
#include "base/err.h"
#include "format/meta_db.h"
#include "query/ast.h"

struct tsm_change {
    struct tsm_str text;     /* one statement of InfluxQL; a password in it is '[REDACTED]' */
    struct tsm_str database; /* the query's, for statements without one */
    int64_t now;
    struct tsm_str hash; /* bcrypt of the password of CREATE USER and SET PASSWORD; else empty */
    /* DROP SHARD: the policy that has it, and where it begins; empty: there is no such shard. When the change is carried out
     * again, what had been in the shard may have been written again, into a new one at the same place. */
    struct tsm_str shard_db, shard_rp;
    int64_t shard_start;
};

/* Whether the statement is a change: everything but SELECT (also with INTO), SHOW, EXPLAIN and KILL QUERY. */
bool tsm_statement_changes(const struct tsm_statement *st);

/*
 * Makes a change of such a statement. database and rp are the query's and may be empty; m is needed for the names in a
 * continuous query, whose policies have to exist, for a user that exists, and for DROP SHARD. Texts are in the arena, or the caller's. A password is hashed, which takes
 * 50 ms and more. TSM_EQUERY with influxd's text.
 */
int tsm_change_of(const struct tsm_statement *st, const struct tsm_meta *m, struct tsm_str database,
                  struct tsm_str rp, int64_t now, struct tsm_arena *a, struct tsm_change *c,
                  struct tsm_err *err);

/* The change as bytes, and back (texts borrow from p). TSM_ECORRUPT. */
void tsm_change_encode(const struct tsm_change *c, struct tsm_buf *out);
int tsm_change_decode(const uint8_t *p, size_t len, struct tsm_change *c, struct tsm_err *err);

struct tsm_engine;

/* Carries a change out on an open engine (store/engine.h), by the thread that writes to it: changes its meta.db durably, then
 * removes files and what is in memory. Done again, also on a state that is newer, it and the changes behind it
 * lead to the same state, but for the order of names in SHOW and the numbers of shards. TSM_EQUERY with influxd's text when the
 * statement is refused: then nothing has changed, and it is refused again when it is done again on the same state. */
int tsm_change_apply(struct tsm_engine *e, const struct tsm_change *c, struct tsm_err *err);

#endif
