/*
 * format/meta_admin.c: users and their privileges, continuous queries and subscriptions, changed in memory by influxd's rules and
 * with its texts. A change that fails leaves everything as it was.
 */
#include <strings.h>

#include "format/meta_rules.h"

#include "base/banned.h"

/* ---- users ------------------------------------------------------------------------------------- */

struct tsm_user *tsm_meta_user(const struct tsm_meta *m, struct tsm_str name)
{
    for (size_t i = 0; i < m->nusers; i++)
        if (tsm_str_eq(m->users[i].name, name))
            return &m->users[i];
    return NULL;
}

bool tsm_meta_has_admin(const struct tsm_meta *m)
{
    for (size_t i = 0; i < m->nusers; i++)
        if (m->users[i].admin)
            return true;
    return false;
}

static struct tsm_privilege *find_privilege(const struct tsm_user *u, struct tsm_str database)
{
    for (size_t i = 0; i < u->nprivileges; i++)
        if (tsm_str_eq(u->privileges[i].database, database))
            return &u->privileges[i];
    return NULL;
}

int32_t tsm_user_privilege(const struct tsm_user *u, struct tsm_str database)
{
    const struct tsm_privilege *p = find_privilege(u, database);
    return p ? p->privilege : 0;
}

static int need_user(const struct tsm_meta *m, struct tsm_str name, struct tsm_user **u, struct tsm_err *err)
{
    *u = tsm_meta_user(m, name);
    return *u ? TSM_OK : tsm_err_set(err, TSM_EQUERY, "user not found");
}

int tsm_meta_create_user(struct tsm_meta *m, struct tsm_str name, struct tsm_str hash, bool admin,
                         struct tsm_err *err)
{
    const struct tsm_user *old = tsm_meta_user(m, name);
    if (old && old->admin == admin && tsm_str_eq(old->hash, hash))
        return TSM_OK;
    if (old)
        return tsm_err_set(err, TSM_EQUERY, "user already exists");
    if (name.n == 0)
        return tsm_err_set(err, TSM_EQUERY, "username required");
    TSM_META_ROOM(&m->arena, m->users, m->nusers, m->capusers);
    m->users[m->nusers++] = (struct tsm_user){
        .name = tsm_arena_str(&m->arena, name), .hash = tsm_arena_str(&m->arena, hash), .admin = admin};
    return TSM_OK;
}

int tsm_meta_drop_user(struct tsm_meta *m, struct tsm_str name, struct tsm_err *err)
{
    struct tsm_user *u;
    int rc = need_user(m, name, &u, err);
    if (rc)
        return rc;
    m->nusers--;
    memmove(u, u + 1, (size_t)(m->users + m->nusers - u) * sizeof *u);
    return TSM_OK;
}

int tsm_meta_set_password(struct tsm_meta *m, struct tsm_str name, struct tsm_str hash, struct tsm_err *err)
{
    struct tsm_user *u;
    int rc = need_user(m, name, &u, err);
    if (rc == TSM_OK)
        u->hash = tsm_arena_str(&m->arena, hash);
    return rc;
}

int tsm_meta_set_admin(struct tsm_meta *m, struct tsm_str name, bool admin, struct tsm_err *err)
{
    struct tsm_user *u;
    int rc = need_user(m, name, &u, err);
    if (rc == TSM_OK)
        u->admin = admin;
    return rc;
}

int tsm_meta_set_privilege(struct tsm_meta *m, struct tsm_str user, struct tsm_str database,
                           int32_t privilege, struct tsm_err *err)
{
    struct tsm_user *u;
    int rc = need_user(m, user, &u, err);
    if (rc)
        return rc;
    if (!tsm_meta_database(m, database))
        return tsm_err_set(err, TSM_EQUERY, "database not found: %.*s", (int)database.n, database.p);
    struct tsm_privilege *p = find_privilege(u, database);
    if (!p) {
        TSM_META_ROOM(&m->arena, u->privileges, u->nprivileges, u->capprivileges);
        p = &u->privileges[u->nprivileges++];
        p->database = tsm_arena_str(&m->arena, database);
    }
    p->privilege = privilege;
    return TSM_OK;
}

/* ---- continuous queries ------------------------------------------------------------------------ */

static struct tsm_continuous *find_continuous(const struct tsm_database *db, struct tsm_str name)
{
    for (size_t i = 0; i < db->ncontinuous; i++)
        if (tsm_str_eq(db->continuous[i].name, name))
            return &db->continuous[i];
    return NULL;
}

int tsm_meta_create_continuous(struct tsm_meta *m, struct tsm_str database, struct tsm_str name,
                               struct tsm_str query, struct tsm_err *err)
{
    struct tsm_database *db = tsm_meta_database(m, database);
    if (!db)
        return tsm_err_set(err, TSM_EQUERY, "database not found: %.*s", (int)database.n, database.p);
    const struct tsm_continuous *old = find_continuous(db, name);
    if (old && old->query.n == query.n && strncasecmp(old->query.p, query.p, query.n) == 0)
        return TSM_OK;
    if (old)
        return tsm_err_set(err, TSM_EQUERY, "continuous query already exists");
    TSM_META_ROOM(&m->arena, db->continuous, db->ncontinuous, db->capcontinuous);
    db->continuous[db->ncontinuous++] = (struct tsm_continuous){.name = tsm_arena_str(&m->arena, name),
                                                                .query = tsm_arena_str(&m->arena, query)};
    return TSM_OK;
}

int tsm_meta_drop_continuous(struct tsm_meta *m, struct tsm_str database, struct tsm_str name)
{
    struct tsm_database *db = tsm_meta_database(m, database);
    struct tsm_continuous *c = db ? find_continuous(db, name) : NULL;
    if (!c)
        return TSM_ENOTFOUND;
    db->ncontinuous--;
    memmove(c, c + 1, (size_t)(db->continuous + db->ncontinuous - c) * sizeof *c);
    return TSM_OK;
}

/* ---- subscriptions ----------------------------------------------------------------------------- */

/* The piece of s up to the first of these characters; *rest is what follows, with that character. */
static struct tsm_str cut_at(struct tsm_str s, const char *stops, struct tsm_str *rest)
{
    size_t n = 0;
    while (n < s.n && !strchr(stops, s.p[n]))
        n++;
    *rest = tsm_str(s.p + n, s.n - n);
    return tsm_str(s.p, n);
}

static bool is_scheme(struct tsm_str s)
{
    static const char *const known[] = {"udp", "http", "https"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i]) == s.n && strncasecmp(known[i], s.p, s.n) == 0)
            return true;
    return false;
}

/* host:port, [address]:port; nothing that Go's net/url refuses in a host. */
static bool has_port(struct tsm_str authority)
{
    size_t at = authority.n;
    while (at > 0 && authority.p[at - 1] != '@') /* credentials come first */
        at--;
    struct tsm_str host = tsm_str(authority.p + at, authority.n - at), port;
    if (host.n && host.p[0] == '[') {
        host = cut_at(host, "]", &port);
        if (port.n == 0)
            return false;
        port = tsm_str(port.p + 1, port.n - 1);
    } else {
        host = cut_at(host, ":", &port);
    }
    if (port.n < 2 || port.p[0] != ':')
        return false;
    for (size_t i = 1; i < port.n; i++)
        if (port.p[i] < '0' || port.p[i] > '9')
            return false;
    for (size_t i = 0; i < host.n; i++)
        if ((unsigned char)host.p[i] <= ' ' || host.p[i] == 0x7F || strchr("\"\\^`{|}<>", host.p[i]))
            return false;
    return true;
}

static bool url_is_valid(struct tsm_str url)
{
    struct tsm_str rest;
    for (size_t i = 0; i < url.n; i++)
        if ((unsigned char)url.p[i] < ' ' || url.p[i] == 0x7F)
            return false;
    struct tsm_str scheme = cut_at(url, ":", &rest);
    return is_scheme(scheme) && tsm_str_starts(rest, TSM_STR("://")) &&
           has_port(cut_at(tsm_str(rest.p + 3, rest.n - 3), "/?#", &rest));
}

static int need_policy(const struct tsm_meta *m, struct tsm_str database, struct tsm_str name,
                       struct tsm_rp **rp, struct tsm_err *err)
{
    struct tsm_database *db = tsm_meta_database(m, database);
    if (!db)
        return tsm_err_set(err, TSM_EQUERY, "database not found: %.*s", (int)database.n, database.p);
    *rp = name.n ? tsm_meta_rp(db, name) : NULL;
    return *rp ? TSM_OK
               : tsm_err_set(err, TSM_EQUERY, "retention policy not found: %.*s", (int)name.n, name.p);
}

static struct tsm_subscription *find_subscription(const struct tsm_rp *rp, struct tsm_str name)
{
    for (size_t i = 0; i < rp->nsubscriptions; i++)
        if (tsm_str_eq(rp->subscriptions[i].name, name))
            return &rp->subscriptions[i];
    return NULL;
}

int tsm_meta_create_subscription(struct tsm_meta *m, struct tsm_str database, struct tsm_str policy,
                                 const struct tsm_subscription *s, struct tsm_err *err)
{
    struct tsm_rp *rp;
    for (size_t i = 0; i < s->ndestinations; i++)
        if (!url_is_valid(s->destinations[i]))
            return tsm_err_set(err, TSM_EQUERY, "invalid subscription URL: %.*s", (int)s->destinations[i].n,
                               s->destinations[i].p);
    int rc = need_policy(m, database, policy, &rp, err);
    if (rc)
        return rc;
    if (find_subscription(rp, s->name))
        return tsm_err_set(err, TSM_EQUERY, "subscription already exists");
    struct tsm_subscription new = {
        .name = tsm_arena_str(&m->arena, s->name),
        .mode = tsm_arena_str(&m->arena, s->mode),
        .destinations = tsm_arena_alloc(&m->arena, s->ndestinations * sizeof *new.destinations),
        .ndestinations = s->ndestinations,
    };
    for (size_t i = 0; i < s->ndestinations; i++)
        new.destinations[i] = tsm_arena_str(&m->arena, s->destinations[i]);
    TSM_META_ROOM(&m->arena, rp->subscriptions, rp->nsubscriptions, rp->capsubscriptions);
    rp->subscriptions[rp->nsubscriptions++] = new;
    return TSM_OK;
}

int tsm_meta_drop_subscription(struct tsm_meta *m, struct tsm_str database, struct tsm_str policy,
                               struct tsm_str name, struct tsm_err *err)
{
    struct tsm_rp *rp;
    int rc = need_policy(m, database, policy, &rp, err);
    if (rc)
        return rc;
    struct tsm_subscription *s = find_subscription(rp, name);
    if (!s)
        return tsm_err_set(err, TSM_EQUERY, "subscription not found");
    rp->nsubscriptions--;
    memmove(s, s + 1, (size_t)(rp->subscriptions + rp->nsubscriptions - s) * sizeof *s);
    return TSM_OK;
}
