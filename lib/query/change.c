/* query/change.c: changes as bytes, and carrying them out. */
#include "query/change_place.h"

#include "base/protobuf.h"
#include "query/parser.h"

#include "base/banned.h"

bool tsm_statement_changes(const struct tsm_statement *st)
{
    switch (st->kind) {
    case TSM_STATEMENT_DELETE:
    case TSM_STATEMENT_DROP_SERIES:
    case TSM_STATEMENT_DROP_MEASUREMENT:
    case TSM_STATEMENT_DROP_SHARD:
    case TSM_STATEMENT_CREATE_DATABASE:
    case TSM_STATEMENT_DROP_DATABASE:
    case TSM_STATEMENT_CREATE_RETENTION_POLICY:
    case TSM_STATEMENT_ALTER_RETENTION_POLICY:
    case TSM_STATEMENT_DROP_RETENTION_POLICY:
    case TSM_STATEMENT_CREATE_USER:
    case TSM_STATEMENT_DROP_USER:
    case TSM_STATEMENT_SET_PASSWORD:
    case TSM_STATEMENT_GRANT:
    case TSM_STATEMENT_REVOKE:
    case TSM_STATEMENT_CREATE_CONTINUOUS_QUERY:
    case TSM_STATEMENT_DROP_CONTINUOUS_QUERY:
    case TSM_STATEMENT_CREATE_SUBSCRIPTION:
    case TSM_STATEMENT_DROP_SUBSCRIPTION:
        return true;
    default:
        return false;
    }
}

/* ---- bytes ------------------------------------------------------------------------------------- */

enum {
    CHANGE_TEXT = 1,
    CHANGE_DATABASE = 2,
    CHANGE_NOW = 3,
    CHANGE_HASH = 4,
    CHANGE_SHARD_DB = 5,
    CHANGE_SHARD_RP = 6,
    CHANGE_SHARD_START = 7,
};

void tsm_change_encode(const struct tsm_change *c, struct tsm_buf *out)
{
    tsm_pb_put_bytes(out, CHANGE_TEXT, c->text);
    if (c->database.n)
        tsm_pb_put_bytes(out, CHANGE_DATABASE, c->database);
    tsm_pb_put_varint(out, CHANGE_NOW, (uint64_t)c->now);
    if (c->hash.n)
        tsm_pb_put_bytes(out, CHANGE_HASH, c->hash);
    if (!c->shard_db.n)
        return;
    tsm_pb_put_bytes(out, CHANGE_SHARD_DB, c->shard_db);
    tsm_pb_put_bytes(out, CHANGE_SHARD_RP, c->shard_rp);
    tsm_pb_put_varint(out, CHANGE_SHARD_START, (uint64_t)c->shard_start);
}

int tsm_change_decode(const uint8_t *p, size_t len, struct tsm_change *c, struct tsm_err *err)
{
    struct tsm_pb_reader r = {p, p + len};
    struct tsm_pb_field f;
    struct tsm_str *texts[] = {[CHANGE_TEXT] = &c->text,
                               [CHANGE_DATABASE] = &c->database,
                               [CHANGE_HASH] = &c->hash,
                               [CHANGE_SHARD_DB] = &c->shard_db,
                               [CHANGE_SHARD_RP] = &c->shard_rp};
    int more;
    bool timed = false;
    *c = (struct tsm_change){0};
    while ((more = tsm_pb_next(&r, &f)) > 0) {
        if (f.number == CHANGE_NOW && f.wire == TSM_PB_VARINT) {
            c->now = (int64_t)f.value;
            timed = true;
        } else if (f.number == CHANGE_SHARD_START && f.wire == TSM_PB_VARINT) {
            c->shard_start = (int64_t)f.value;
        } else if (f.number < sizeof texts / sizeof *texts && texts[f.number] && f.wire == TSM_PB_BYTES) {
            *texts[f.number] = f.bytes;
        } else {
            more = -1;
            break;
        }
    }
    if (more < 0 || c->text.n == 0 || !timed)
        return tsm_err_set(err, TSM_ECORRUPT, "a change is malformed");
    return TSM_OK;
}

/* ---- carrying out ------------------------------------------------------------------------------ */

int tsm_change_carry_out(const struct tsm_change_place *place, const struct tsm_change *c,
                         struct tsm_err *err)
{
    struct tsm_ast ast;
    int rc = tsm_parse_query(c->text, &ast, err);
    if (rc != TSM_OK) {
        tsm_err_wrap(err, rc, "error parsing query");
    } else if (ast.nstatements != 1 || !tsm_statement_changes(&ast.statements[0])) {
        rc = tsm_err_set(err, TSM_EQUERY, "a change is one statement that changes something");
    } else {
        const struct tsm_statement *st = &ast.statements[0];
        bool deletes = st->kind == TSM_STATEMENT_DELETE || st->kind == TSM_STATEMENT_DROP_SERIES ||
                       st->kind == TSM_STATEMENT_DROP_MEASUREMENT;
        rc = deletes ? tsm_delete_statement(place, st, c, err) : tsm_ddl_run(place, st, c, err);
    }
    tsm_ast_release(&ast);
    return rc;
}
