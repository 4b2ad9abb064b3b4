/* query/complete.c: complete names of measurements. */
#include "query/complete.h"

#include "base/banned.h"

struct completion {
    const struct tsm_meta *m;
    struct tsm_str database, rp; /* of names without; rp empty: the database's default */
    struct tsm_arena *arena;
    struct tsm_err *err;
};

static int complete_name(const struct completion *c, struct tsm_source *s, bool target)
{
    if (!target && !s->name.n && !s->regex)
        return tsm_err_set(c->err, TSM_EQUERY, "invalid measurement");
    if (!s->database.n)
        s->database = c->database;
    if (!s->database.n)
        return tsm_err_set(c->err, TSM_EQUERY, "database name required");
    const struct tsm_database *db = tsm_meta_database(c->m, s->database);
    if (!db)
        return tsm_err_set(c->err, TSM_EQUERY, "database not found: %.*s", (int)s->database.n, s->database.p);
    if (!s->rp.n)
        s->rp = c->rp.n ? c->rp : db->default_rp;
    if (!s->rp.n)
        return tsm_err_set(c->err, TSM_EQUERY, "default retention policy not set for: %.*s", (int)db->name.n,
                           db->name.p);
    return TSM_OK;
}

/* A copy with complete names; what has none is shared. */
static int complete(const struct completion *c, const struct tsm_select *s, struct tsm_select **out)
{
    struct tsm_select *copy = tsm_arena_alloc(c->arena, sizeof *copy);
    *copy = *s;
    *out = copy;
    int rc = TSM_OK;
    if (s->target) {
        copy->target = tsm_arena_alloc(c->arena, sizeof *copy->target);
        *copy->target = *s->target;
        rc = complete_name(c, copy->target, true);
    }
    copy->sources = tsm_arena_alloc(c->arena, s->nsources * sizeof *copy->sources);
    memcpy(copy->sources, s->sources, s->nsources * sizeof *copy->sources);
    for (size_t i = 0; i < s->nsources && rc == TSM_OK; i++)
        rc = s->sources[i].subquery ? complete(c, s->sources[i].subquery, &copy->sources[i].subquery)
                                    : complete_name(c, &copy->sources[i], false);
    return rc;
}

int tsm_select_complete(const struct tsm_meta *m, struct tsm_str database, struct tsm_str rp,
                        struct tsm_arena *a, const struct tsm_select *s, struct tsm_select **out,
                        struct tsm_err *err)
{
    struct completion names = {m, database, rp, a, err};
    return complete(&names, s, out);
}
