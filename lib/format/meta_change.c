/*
 * format/meta_change.c: looking things up in the metadata and changing them, by influxd's rules and with its
 * texts.
 *
 * A change that fails leaves everything as it was.
 */
#include "format/meta_rules.h"

#include "base/time.h"
#include "base/utf8.h"
#include "base/banned.h"

enum { MAX_NAME = 255 }; /* bytes */

static const int64_t MIN_DURATION = TSM_HOUR;

/* ---- rules ------------------------------------------------------------------------------------- */

bool tsm_meta_name_is_path(struct tsm_str name)
{
    return name.n > 0 && !tsm_str_eq(name, TSM_STR(".")) && !tsm_str_eq(name, TSM_STR("..")) &&
           !memchr(name.p, '/', name.n) && !memchr(name.p, '\0', name.n);
}

/* Decodes one character of UTF-8 at p; a byte that is not part of one counts as U+FFFD, as in Go. */
static size_t next_rune(const uint8_t *p, size_t n, uint32_t *rune)
{
    size_t len = tsm_utf8_length(p, n);
    *rune = len == 0 ? 0xFFFD : len == 1 ? p[0] : p[0] & (0x7Fu >> len);
    for (size_t i = 1; i < len; i++)
        *rune = *rune << 6 | (p[i] & 0x3F);
    return len ? len : 1;
}

/* Controls, format characters, separators other than the space, and private use: what Go does not call
 * printable. (Code points without a meaning are let through.) */
static bool is_printable(uint32_t r)
{
    static const uint32_t not_printable[][2] = {
        {0x0000, 0x001F},   {0x007F, 0x00A0},   {0x00AD, 0x00AD},    {0x0600, 0x0605},   {0x061C, 0x061C},
        {0x06DD, 0x06DD},   {0x070F, 0x070F},   {0x08E2, 0x08E2},    {0x1680, 0x1680},   {0x180E, 0x180E},
        {0x2000, 0x200F},   {0x2028, 0x202F},   {0x205F, 0x206F},    {0x3000, 0x3000},   {0xE000, 0xF8FF},
        {0xFEFF, 0xFEFF},   {0xFFF9, 0xFFFB},   {0xFFFE, 0xFFFF},    {0x110BD, 0x110BD}, {0x1BCA0, 0x1BCA3},
        {0x1D173, 0x1D17A}, {0xE0000, 0xE00FF}, {0xF0000, 0x10FFFF},
    };
    for (size_t i = 0; i < sizeof not_printable / sizeof *not_printable; i++)
        if (r >= not_printable[i][0] && r <= not_printable[i][1])
            return false;
    return true;
}

/* Names that influxd lets a user give to a database or a policy. */
static bool name_is_valid(struct tsm_str name)
{
    if (!tsm_meta_name_is_path(name) || memchr(name.p, '\\', name.n))
        return false;
    for (size_t i = 0; i < name.n;) {
        uint32_t rune;
        i += next_rune((const uint8_t *)name.p + i, name.n - i, &rune);
        if (!is_printable(rune))
            return false;
    }
    return true;
}

static int check_name(struct tsm_str name, struct tsm_err *err)
{
    return name_is_valid(name) ? TSM_OK : tsm_err_set(err, TSM_EQUERY, "invalid name");
}

static int check_length(struct tsm_str name, struct tsm_err *err)
{
    return name.n <= MAX_NAME ? TSM_OK : tsm_err_set(err, TSM_EQUERY, "name too long");
}

int64_t tsm_meta_shard_duration(int64_t given, int64_t policy)
{
    if (given == 0 && (policy == 0 || policy >= 180 * TSM_DAY))
        return TSM_WEEK;
    if (given == 0 && policy >= 2 * TSM_DAY)
        return TSM_DAY;
    return given < MIN_DURATION ? MIN_DURATION : given;
}

void *tsm_meta_grow(struct tsm_arena *a, const void *p, size_t used, size_t size)
{
    void *q = tsm_arena_alloc(a, size);
    if (used)
        memcpy(q, p, used);
    return q;
}

/* ---- looking up -------------------------------------------------------------------------------- */

struct tsm_database *tsm_meta_database(const struct tsm_meta *m, struct tsm_str name)
{
    for (size_t i = 0; i < m->ndatabases; i++)
        if (tsm_str_eq(m->databases[i].name, name))
            return &m->databases[i];
    return NULL;
}

struct tsm_rp *tsm_meta_rp(const struct tsm_database *db, struct tsm_str name)
{
    if (name.n == 0)
        name = db->default_rp;
    for (size_t i = 0; i < db->nrps && name.n; i++)
        if (tsm_str_eq(db->rps[i].name, name))
            return &db->rps[i];
    return NULL;
}

static int need_database(const struct tsm_meta *m, struct tsm_str name, struct tsm_database **db,
                         struct tsm_err *err)
{
    *db = tsm_meta_database(m, name);
    return *db ? TSM_OK : tsm_err_set(err, TSM_EQUERY, "database not found: %.*s", (int)name.n, name.p);
}

/* ---- databases and policies -------------------------------------------------------------------- */

static int check_duration(const int64_t *duration, struct tsm_err *err)
{
    if (duration && *duration < MIN_DURATION && *duration != 0)
        return tsm_err_set(err, TSM_EQUERY, "retention policy duration must be at least 1h0m0s");
    return TSM_OK;
}

/* The policy that a specification describes; texts still the caller's. */
static struct tsm_rp rp_of_spec(const struct tsm_rp_spec *spec)
{
    struct tsm_rp rp = {
        .name = spec->name.n ? spec->name : TSM_STR("autogen"),
        .duration = spec->duration ? *spec->duration : 0,
        .replica_n = spec->replica_n ? *spec->replica_n : 1,
    };
    rp.shard_group_duration = tsm_meta_shard_duration(
        spec->shard_group_duration ? *spec->shard_group_duration : 0, rp.duration);
    return rp;
}

static int check_rp(const struct tsm_rp *rp, struct tsm_err *err)
{
    int rc = check_length(rp->name, err);
    if (rc)
        return rc;
    if (rp->replica_n < 1)
        return tsm_err_set(err, TSM_EQUERY, "replication factor must be greater than 0");
    if (rp->duration > 0 && rp->duration < rp->shard_group_duration)
        return tsm_err_set(err, TSM_EQUERY,
                           "retention policy duration must be greater than the shard duration");
    return TSM_OK;
}

/* Adds a checked policy to db, or finds the very same there. */
static int add_rp(struct tsm_meta *m, struct tsm_database *db, struct tsm_rp rp, bool make_default,
                  struct tsm_err *err)
{
    const struct tsm_rp *old = tsm_meta_rp(db, rp.name);
    if (old) {
        if (old->replica_n != rp.replica_n || old->duration != rp.duration ||
            old->shard_group_duration != rp.shard_group_duration)
            return tsm_err_set(err, TSM_EQUERY, "retention policy already exists");
        if (make_default && !tsm_str_eq(db->default_rp, rp.name))
            return tsm_err_set(err, TSM_EQUERY, "retention policy conflicts with an existing policy");
        return TSM_OK;
    }
    rp.name = tsm_arena_str(&m->arena, rp.name);
    TSM_META_ROOM(&m->arena, db->rps, db->nrps, db->caprps);
    db->rps[db->nrps++] = rp;
    if (make_default)
        db->default_rp = rp.name;
    return TSM_OK;
}

/* Whether an existing database has this policy, and as its default. An unknown policy is a conflict too. */
static int match_rp(const struct tsm_database *db, const struct tsm_rp_spec *spec, struct tsm_err *err)
{
    struct tsm_rp want = rp_of_spec(spec);
    const struct tsm_rp *rp = tsm_meta_rp(db, want.name);
    bool same = rp && tsm_str_eq(db->default_rp, want.name) &&
                (!spec->duration || *spec->duration == rp->duration) &&
                (!spec->replica_n || *spec->replica_n == rp->replica_n);
    if (same) {
        int64_t given = spec->shard_group_duration ? *spec->shard_group_duration : 0;
        same = tsm_meta_shard_duration(given, rp->duration) == rp->shard_group_duration;
    }
    return same ? TSM_OK : tsm_err_set(err, TSM_EQUERY, "retention policy conflicts with an existing policy");
}

int tsm_meta_create_database(struct tsm_meta *m, struct tsm_str name, const struct tsm_rp_spec *spec,
                             struct tsm_err *err)
{
    static const struct tsm_rp_spec autogen = {0};
    struct tsm_database *old = tsm_meta_database(m, name);
    struct tsm_rp rp = rp_of_spec(spec ? spec : &autogen);
    int rc = old ? TSM_OK : check_name(name, err);
    if (rc == TSM_OK && spec)
        rc = check_name(rp.name, err);
    if (rc == TSM_OK && spec)
        rc = check_duration(spec->duration, err);
    if (rc || (old && !spec))
        return rc;
    if (old && old->nrps)
        return match_rp(old, spec, err);
    rc = old ? TSM_OK : check_length(name, err);
    if (rc == TSM_OK)
        rc = check_rp(&rp, err);
    if (rc)
        return rc;
    if (!old) {
        TSM_META_ROOM(&m->arena, m->databases, m->ndatabases, m->capdatabases);
        old = &m->databases[m->ndatabases++];
        *old = (struct tsm_database){.name = tsm_arena_str(&m->arena, name)};
    }
    return add_rp(m, old, rp, true, err);
}

int tsm_meta_drop_database(struct tsm_meta *m, struct tsm_str name)
{
    struct tsm_database *db = tsm_meta_database(m, name);
    if (!db)
        return TSM_ENOTFOUND;
    for (size_t i = 0; i < m->nusers; i++) {
        struct tsm_user *u = &m->users[i];
        size_t kept = 0;
        for (size_t j = 0; j < u->nprivileges; j++)
            if (!tsm_str_eq(u->privileges[j].database, name))
                u->privileges[kept++] = u->privileges[j];
        u->nprivileges = kept;
    }
    m->ndatabases--;
    memmove(db, db + 1, (size_t)(m->databases + m->ndatabases - db) * sizeof *db);
    return TSM_OK;
}

int tsm_meta_create_rp(struct tsm_meta *m, struct tsm_str database, const struct tsm_rp_spec *spec,
                       struct tsm_err *err)
{
    struct tsm_rp rp = rp_of_spec(spec);
    struct tsm_database *db;
    int rc = check_name(spec->name, err);
    if (rc == TSM_OK)
        rc = check_duration(spec->duration, err);
    if (rc == TSM_OK)
        rc = check_rp(&rp, err);
    if (rc == TSM_OK)
        rc = need_database(m, database, &db, err);
    return rc ? rc : add_rp(m, db, rp, spec->make_default, err);
}

int tsm_meta_alter_rp(struct tsm_meta *m, struct tsm_str database, const struct tsm_rp_spec *spec,
                      struct tsm_err *err)
{
    struct tsm_database *db;
    int rc = need_database(m, database, &db, err);
    if (rc)
        return rc;
    struct tsm_rp *rp = tsm_meta_rp(db, spec->name);
    if (!rp)
        return tsm_err_set(err, TSM_EQUERY, "retention policy not found: %.*s", (int)spec->name.n,
                           spec->name.p);
    rc = check_duration(spec->duration, err);
    if (rc)
        return rc;
    int64_t duration = spec->duration ? *spec->duration : rp->duration;
    int64_t shard = spec->shard_group_duration ? *spec->shard_group_duration : rp->shard_group_duration;
    bool changed = spec->duration || spec->shard_group_duration;
    if (changed && duration > 0 && duration < shard)
        return tsm_err_set(err, TSM_EQUERY,
                           "retention policy duration must be greater than the shard duration");
    rp->duration = duration;
    if (spec->shard_group_duration)
        rp->shard_group_duration = tsm_meta_shard_duration(shard, duration);
    if (spec->replica_n)
        rp->replica_n = *spec->replica_n;
    if (spec->make_default)
        db->default_rp = rp->name;
    return TSM_OK;
}

int tsm_meta_drop_rp(struct tsm_meta *m, struct tsm_str database, struct tsm_str name)
{
    struct tsm_database *db = tsm_meta_database(m, database);
    struct tsm_rp *rp = db && name.n ? tsm_meta_rp(db, name) : NULL;
    if (!rp)
        return TSM_ENOTFOUND;
    db->nrps--;
    memmove(rp, rp + 1, (size_t)(db->rps + db->nrps - rp) * sizeof *rp);
    return TSM_OK;
}

/* ---- shard groups ------------------------------------------------------------------------------ */

bool tsm_meta_find_shard(const struct tsm_meta *m, uint64_t shard, struct tsm_database **db,
                         struct tsm_rp **rp, struct tsm_shard_group **group)
{
    for (size_t i = 0; i < m->ndatabases; i++) {
        *db = &m->databases[i];
        for (size_t j = 0; j < (*db)->nrps; j++) {
            *rp = &(*db)->rps[j];
            for (size_t k = 0; k < (*rp)->ngroups; k++) {
                *group = &(*rp)->groups[k];
                for (size_t l = 0; l < (*group)->nshards; l++)
                    if ((*group)->shards[l] == shard)
                        return true;
            }
        }
    }
    return false;
}

int tsm_meta_drop_shard(struct tsm_meta *m, uint64_t shard, int64_t now)
{
    struct tsm_database *db;
    struct tsm_rp *rp;
    struct tsm_shard_group *g;
    if (!tsm_meta_find_shard(m, shard, &db, &rp, &g))
        return TSM_ENOTFOUND;
    size_t at = 0;
    while (g->shards[at] != shard)
        at++;
    g->nshards--;
    memmove(g->shards + at, g->shards + at + 1, (g->nshards - at) * sizeof *g->shards);
    memmove(g->shard_bytes + at, g->shard_bytes + at + 1, (g->nshards - at) * sizeof *g->shard_bytes);
    if (g->nshards == 0)
        g->deleted_at = now;
    return TSM_OK;
}

struct tsm_shard_group *tsm_rp_group_at(const struct tsm_rp *rp, int64_t t)
{
    for (size_t i = 0; i < rp->ngroups; i++) {
        struct tsm_shard_group *g = &rp->groups[i];
        if (g->start <= t && t < g->end && !g->deleted_at && (!g->truncated_at || t < g->truncated_at))
            return g;
    }
    return NULL;
}

/* InfluxDB's order of groups: by their end, or where they were truncated, then by their start. */
static bool group_before(const struct tsm_shard_group *a, const struct tsm_shard_group *b)
{
    int64_t end_a = a->truncated_at ? a->truncated_at : a->end;
    int64_t end_b = b->truncated_at ? b->truncated_at : b->end;
    return end_a != end_b ? end_a < end_b : a->start < b->start;
}

/* Where the group that begins at start ends; start is the aligned time at or before t. */
static int64_t group_end(int64_t start, int64_t t, int64_t duration)
{
    int64_t end;
    if (start == INT64_MIN) /* perhaps cut off: count from t instead, which is in the first group */
        end = tsm_time_truncate(t + duration, duration);
    else if (__builtin_add_overflow(start, duration, &end))
        return INT64_MAX;
    return end > TSM_TIME_MAX ? INT64_MAX : end;
}

struct tsm_shard_group *tsm_meta_group_for(struct tsm_meta *m, struct tsm_rp *rp, int64_t t, bool *created)
{
    struct tsm_shard_group *g = tsm_rp_group_at(rp, t);
    *created = !g;
    if (g)
        return g;
    struct tsm_shard_group new = {
        .id = ++m->max_shard_group_id,
        .start = tsm_time_truncate(t, rp->shard_group_duration),
        .nshards = 1,
        .shards = tsm_arena_alloc(&m->arena, sizeof *new.shards),
        .shard_bytes = tsm_arena_calloc(&m->arena, sizeof *new.shard_bytes),
    };
    new.end = group_end(new.start, t, rp->shard_group_duration);
    new.shards[0] = ++m->max_shard_id;
    TSM_META_ROOM(&m->arena, rp->groups, rp->ngroups, rp->capgroups);
    size_t at = rp->ngroups++;
    for (; at > 0 && group_before(&new, &rp->groups[at - 1]); at--)
        rp->groups[at] = rp->groups[at - 1];
    rp->groups[at] = new;
    return &rp->groups[at];
}
