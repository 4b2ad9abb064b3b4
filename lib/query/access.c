/*
 * query/access.c: users, their privileges, and their passwords.
 *
 * bcrypt has names for its versions that differ in how old programs went wrong. InfluxDB writes $2a$ and means what libcrypt
 * calls $2b$ (libcrypt's own $2a$ guards against one of those programs, and so gives other hashes for a few passwords): the name
 * is changed on the way in and out.
 */
#include "query/access.h"

#include <crypt.h>

#include "base/alloc.h"

#include "base/banned.h"

/* ---- passwords --------------------------------------------------------------------------------- */

enum { VERSION_AT = 2, PASSWORD_MAX = 72 }; /* bytes of a password that bcrypt looks at */

/* The hash of a password by a setting, or by an older hash; false: the setting is none of bcrypt's. */
static bool hash_by(struct tsm_str password, const char *setting, char out[CRYPT_OUTPUT_SIZE])
{
    struct crypt_data *work = tsm_calloc(1, sizeof *work);
    char text[PASSWORD_MAX + 1] = {0};
    memcpy(text, password.p ? password.p : "", password.n < PASSWORD_MAX ? password.n : PASSWORD_MAX);
    const char *hash = crypt_rn(text, setting, work, (int)sizeof *work);
    bool done = hash && hash[0] == '$' && strlen(hash) < CRYPT_OUTPUT_SIZE;
    if (done)
        memcpy(out, hash, strlen(hash) + 1);
    explicit_bzero(text, sizeof text);
    explicit_bzero(work, sizeof *work);
    tsm_free(work);
    return done;
}

/* libcrypt takes a password up to its first NUL. */
static bool has_nul(struct tsm_str password)
{
    return password.n && memchr(password.p, 0, password.n);
}

int tsm_password_hash(struct tsm_str password, unsigned cost, struct tsm_buf *hash, struct tsm_err *err)
{
    char setting[CRYPT_GENSALT_OUTPUT_SIZE], out[CRYPT_OUTPUT_SIZE];
    if (has_nul(password))
        return tsm_err_set(err, TSM_EQUERY, "a password cannot hold a NUL byte");
    if (!crypt_gensalt_rn("$2b$", cost, NULL, 0, setting, (int)sizeof setting) ||
        !hash_by(password, setting, out))
        return tsm_err_set(err, TSM_EIO, "the password cannot be hashed");
    out[VERSION_AT] = 'a';
    tsm_buf_puts(hash, out);
    return TSM_OK;
}

static bool same_bytes(const char *a, const char *b, size_t n)
{
    unsigned char differ = 0;
    for (size_t i = 0; i < n; i++)
        differ |= (unsigned char)(a[i] ^ b[i]);
    return differ == 0;
}

bool tsm_password_check(struct tsm_str password, struct tsm_str hash)
{
    char setting[CRYPT_OUTPUT_SIZE], out[CRYPT_OUTPUT_SIZE];
    if (hash.n < 7 || hash.n >= sizeof setting || memcmp(hash.p, "$2", 2) != 0 || has_nul(password) ||
        memchr(hash.p, 0, hash.n))
        return false;
    memcpy(setting, hash.p, hash.n);
    setting[hash.n] = 0;
    setting[VERSION_AT] = 'b';
    return hash_by(password, setting, out) && strlen(out) == hash.n && same_bytes(out, setting, hash.n);
}

/* ---- privileges -------------------------------------------------------------------------------- */

bool tsm_access_has_admin(const struct tsm_meta *m)
{
    return tsm_meta_has_admin(m);
}

static bool may(const struct tsm_user *u, int32_t privilege, struct tsm_str database)
{
    if (u->admin || privilege == TSM_PRIVILEGE_NONE)
        return true;
    int32_t has = tsm_user_privilege(u, database);
    return has == privilege || has == TSM_PRIVILEGE_ALL;
}

bool tsm_access_database(const struct tsm_meta *m, struct tsm_str user, int32_t privilege,
                         struct tsm_str database)
{
    const struct tsm_user *u = user.n ? tsm_meta_user(m, user) : NULL;
    return u && may(u, privilege, database);
}

struct question {
    const struct tsm_user *user;
    const struct tsm_statement *st;
    struct tsm_str database; /* the query's */
    struct tsm_err *err;
};

static int refuse(const struct question *q, const char *tail)
{
    struct tsm_buf text = {0};
    tsm_statement_print(&text, q->st);
    int rc = tsm_err_set(q->err, TSM_EACCESS, "%.*s not authorized to execute statement '%.*s', requires %s",
                         (int)q->user->name.n, q->user->name.p, text.len < 700 ? (int)text.len : 700,
                         (const char *)text.data, tail);
    tsm_buf_release(&text);
    return rc;
}

static int need_admin(const struct question *q)
{
    return refuse(q, "admin privilege");
}

static int need(const struct question *q, int32_t privilege, struct tsm_str database)
{
    if (database.n == 0)
        database = q->database;
    if (may(q->user, privilege, database))
        return TSM_OK;
    struct tsm_buf tail = {0};
    tsm_buf_printf(&tail, "%s on %.*s", tsm_privilege_name(privilege), (int)database.n, database.p);
    int rc = refuse(q, tsm_buf_cstr(&tail));
    tsm_buf_release(&tail);
    return rc;
}

static int need_select(const struct question *q, const struct tsm_select *s);

static int need_sources(const struct question *q, const struct tsm_source *sources, size_t n)
{
    int rc = TSM_OK;
    for (size_t i = 0; i < n && rc == TSM_OK; i++)
        rc = sources[i].subquery ? need_select(q, sources[i].subquery)
                                 : need(q, TSM_PRIVILEGE_READ, sources[i].database);
    return rc;
}

static int need_select(const struct question *q, const struct tsm_select *s)
{
    int rc = need_sources(q, s->sources, s->nsources);
    if (rc == TSM_OK && s->target)
        rc = need(q, TSM_PRIVILEGE_WRITE, s->target->database);
    return rc;
}

/* Estimates of series and measurements ask for the database, all others for the sources, of which there may be none. */
static int need_cardinality(const struct question *q)
{
    const struct tsm_show *s = &q->st->u.show;
    bool whole = !s->exact &&
                 (s->subject == TSM_CARDINALITY_SERIES || s->subject == TSM_CARDINALITY_MEASUREMENT);
    return whole ? need(q, TSM_PRIVILEGE_READ, s->database) : need_sources(q, s->sources, s->nsources);
}

static int need_continuous(const struct question *q)
{
    const struct tsm_continuous_clauses *c = &q->st->u.continuous;
    int rc = need(q, TSM_PRIVILEGE_READ, c->database);
    if (rc == TSM_OK && c->select->target->database.n)
        rc = need(q, TSM_PRIVILEGE_WRITE, c->select->target->database);
    return rc;
}

static int check(const struct question *q)
{
    static const struct tsm_str none = {"", 0};
    switch (q->st->kind) {
    case TSM_STATEMENT_SELECT:
    case TSM_STATEMENT_EXPLAIN:
        return need_select(q, q->st->u.select);
    case TSM_STATEMENT_DELETE:
    case TSM_STATEMENT_DROP_SERIES:
        return need(q, TSM_PRIVILEGE_WRITE, none);
    case TSM_STATEMENT_SHOW_DATABASES: /* shows what the user may see */
        return TSM_OK;
    case TSM_STATEMENT_SHOW_QUERIES:
    case TSM_STATEMENT_SHOW_CONTINUOUS_QUERIES:
        return need(q, TSM_PRIVILEGE_READ, none);
    case TSM_STATEMENT_SHOW_RETENTION_POLICIES:
    case TSM_STATEMENT_SHOW_MEASUREMENTS:
    case TSM_STATEMENT_SHOW_SERIES:
    case TSM_STATEMENT_SHOW_TAG_KEYS:
    case TSM_STATEMENT_SHOW_TAG_VALUES:
    case TSM_STATEMENT_SHOW_FIELD_KEYS:
        return need(q, TSM_PRIVILEGE_READ, q->st->u.show.database);
    case TSM_STATEMENT_SHOW_CARDINALITY:
        return need_cardinality(q);
    case TSM_STATEMENT_DROP_RETENTION_POLICY:
        return need(q, TSM_PRIVILEGE_WRITE, q->st->u.ddl.database);
    case TSM_STATEMENT_CREATE_CONTINUOUS_QUERY:
        return need_continuous(q);
    case TSM_STATEMENT_DROP_CONTINUOUS_QUERY:
        return need(q, TSM_PRIVILEGE_WRITE, q->st->u.continuous.database);
    default:
        return need_admin(q);
    }
}

int tsm_access_query(const struct tsm_meta *m, struct tsm_str user, const struct tsm_ast *ast,
                     struct tsm_str database, struct tsm_err *err)
{
    if (m->nusers == 0) {
        const struct tsm_statement *first = ast->nstatements ? &ast->statements[0] : NULL;
        if (first && first->kind == TSM_STATEMENT_CREATE_USER && first->u.user.admin)
            return TSM_OK;
        return tsm_err_set(err, TSM_EACCESS, "create admin user first or disable authentication");
    }
    struct question q = {.user = user.n ? tsm_meta_user(m, user) : NULL, .database = database, .err = err};
    if (!q.user)
        return tsm_err_set(err, TSM_EACCESS, "no user provided");
    int rc = TSM_OK;
    for (size_t i = 0; i < ast->nstatements && !q.user->admin && rc == TSM_OK; i++) {
        q.st = &ast->statements[i];
        rc = check(&q);
    }
    return rc;
}

int tsm_access_write(const struct tsm_meta *m, struct tsm_str user, struct tsm_str database,
                     struct tsm_err *err)
{
    if (tsm_access_database(m, user, TSM_PRIVILEGE_WRITE, database))
        return TSM_OK;
    return tsm_err_set(err, TSM_EACCESS, "\"%.*s\" user is not authorized to write to database \"%.*s\"",
                       (int)user.n, user.p, (int)database.n, database.p);
}
