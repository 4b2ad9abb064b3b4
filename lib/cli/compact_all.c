/* cli/compact_all.c: tsm-compact and tsm-compact --plan: every shard, planned, and run until nothing is left to do. */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/time.h"
#include "cli/compact.h"
#include "store/data_dir.h"
#include "base/banned.h"

/* Files that a plan is made around: those that turned out to be damaged, or in whose compaction something failed. */
struct avoided {
    struct tsm_file_name *names;
    size_t n, cap;
};

static void avoid(struct avoided *a, struct tsm_file_name name)
{
    TSM_GROW(a->names, a->n + 1, a->cap);
    a->names[a->n++] = name;
}

/* The inputs that the message names, or all of them. */
static void avoid_inputs(struct avoided *a, const struct tsm_compaction *item, int code,
                         const struct tsm_err *err)
{
    size_t before = a->n;
    for (size_t i = 0; i < item->ninputs && code == TSM_ECORRUPT; i++) {
        char name[TSM_NAME_MAX];
        tsm_file_name_format(name, item->inputs[i], ".");
        if (strstr(err->msg, name))
            avoid(a, item->inputs[i]);
    }
    for (size_t i = 0; i < item->ninputs && a->n == before; i++)
        avoid(a, item->inputs[i]);
}

static int plan_shard(struct tsm_compact *c, const struct tsm_source *source,
                      const struct tsm_plan_options *opt, const struct tsm_damage *damage,
                      struct tsm_compactions *plan, struct tsm_err *err)
{
    return tsm_compaction_plan(c->fs, source->path, source->db, source->rp, source->id, opt, damage, plan,
                               err);
}

static struct tsm_plan_options plan_options(const struct tsm_compact *c)
{
    return (struct tsm_plan_options){.now = tsm_now(), .cold = c->cold, .max_level = (uint32_t)c->level};
}

/* ---- planning alone ---------------------------------------------------------------------------- */

static int print_item(struct tsm_compact *c, const struct tsm_compaction *item, struct tsm_err *err)
{
    if (c->plan) {
        tsm_compaction_print(&c->out.buf, item);
    } else {
        tsm_compact_describe(&c->out.buf, item);
        if (item->action == TSM_COMPACTION_MERGE)
            tsm_buf_printf(&c->out.buf,
                           ": about %" PRIu64 " blocks to copy, %" PRIu64 " to join, %" PRIu64 " to merge",
                           item->copy, item->join, item->merge);
        tsm_buf_byte(&c->out.buf, '\n');
    }
    int rc = tsm_output_check(&c->out, err);
    c->output_failed |= rc != TSM_OK;
    return rc;
}

static int print_shard(struct tsm_compact *c, const struct tsm_source *source, struct tsm_err *err)
{
    struct tsm_compactions plan;
    struct tsm_plan_options opt = plan_options(c);
    int rc = plan_shard(c, source, &opt, &c->damage, &plan, err);
    for (size_t i = 0; i < plan.n && rc == TSM_OK; i++)
        rc = print_item(c, &plan.items[i], err);
    tsm_compactions_release(&plan);
    if (rc == TSM_OK) { /* whoever runs the lines need not wait for the other shards */
        rc = tsm_output_flush(&c->out, err);
        c->output_failed |= rc != TSM_OK;
    }
    return rc;
}

static int print_expired(struct tsm_compact *c, const struct tsm_expired_shard *s, struct tsm_err *err)
{
    struct tsm_compaction item = {
        .action = TSM_COMPACTION_EXPIRE,
        .db = s->db,
        .rp = s->rp,
        .shard = s->shard,
        .bytes = s->bytes,
    };
    return print_item(c, &item, err);
}

/* ---- running ----------------------------------------------------------------------------------- */

/* Runs what is planned; *any tells whether something has been done. The error is one that ends everything. */
static int run_plan(struct tsm_compact_shard *s, const struct tsm_compactions *plan, struct avoided *avoided,
                    bool *any, struct tsm_err *err)
{
    struct tsm_compact *c = s->c;
    char text[TSM_SHARD_TEXT_MAX];
    tsm_compact_shard_text(text, s->db, s->rp, s->id);
    for (size_t i = 0; i < plan->n && !tsm_compact_is_over(c); i++) {
        struct tsm_err cause = {0};
        int rc = tsm_compact_execute(s, &plan->items[i], &cause);
        if (rc == TSM_OK) {
            *any = true;
            continue;
        }
        if (rc == TSM_ESTOP)
            return tsm_err_set(err, rc, "%s", cause.msg);
        tsm_compact_note(c, text, rc, &cause);
        avoid_inputs(avoided, &plan->items[i], rc, &cause);
    }
    return TSM_OK;
}

/* Plans and runs until nothing is left. Damage is reported by the first plan. */
static int compact_shard(struct tsm_compact_shard *s, const struct tsm_source *source, struct tsm_err *err)
{
    struct tsm_compact *c = s->c;
    struct avoided avoided = {0};
    struct tsm_plan_options opt = plan_options(c);
    int rc = TSM_OK;
    bool any = true;
    for (bool first = true; any && rc == TSM_OK && !tsm_compact_is_over(c); first = false) {
        struct tsm_compactions plan;
        size_t before = avoided.n;
        opt.avoid = avoided.names;
        opt.navoid = avoided.n;
        rc = plan_shard(c, source, &opt, first ? &c->damage : NULL, &plan, err);
        any = false;
        if (rc == TSM_OK) {
            if (plan.cold)
                opt.cold = 0; /* what is written now makes it no warmer */
            rc = run_plan(s, &plan, &avoided, &any, err);
            any |= avoided.n > before; /* once more, around those */
        }
        tsm_compactions_release(&plan);
    }
    tsm_free(avoided.names);
    return rc;
}

static bool has_tsm(const struct tsm_compact *c, const char *dir)
{
    struct tsm_names names;
    bool has = false;
    if (tsm_fs_list(c->fs, dir, &names, NULL) != TSM_OK)
        return true; /* then it is tried, and the failure reported */
    for (size_t i = 0; i < names.n && !has; i++) {
        struct tsm_file_name name;
        struct tsm_str text = tsm_str_of(names.names[i]);
        has = tsm_file_name_parse(text, ".tsm", &name) || tsm_file_name_parse(text, ".tsm.tmp", &name) ||
              tsm_file_name_parse(text, ".tsm.index.tmp", &name) ||
              tsm_file_name_parse(text, ".tombstone", &name);
    }
    tsm_names_release(&names);
    return has;
}

static void run_shard(struct tsm_compact *c, const struct tsm_source *source)
{
    char text[TSM_SHARD_TEXT_MAX];
    struct tsm_compact_shard s;
    struct tsm_err err = {0};
    tsm_compact_shard_text(text, source->db, source->rp, source->id);
    int rc = tsm_compact_open(c, source->db, source->rp, source->id, &s, &err);
    if (rc == TSM_OK) {
        rc = compact_shard(&s, source, &err);
        tsm_compact_close(&s);
    }
    tsm_compact_note(c, text, rc, &err);
}

/* ---- all shards -------------------------------------------------------------------------------- */

static bool is_expired(const struct tsm_expired_shards *l, const struct tsm_source *source)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->items[i].shard == source->id && tsm_str_eq(l->items[i].db, source->db) &&
            tsm_str_eq(l->items[i].rp, source->rp))
            return true;
    return false;
}

/* The expired shards that are wanted. A meta.db that cannot be read is said, and keeps nothing else from being done. */
static void find_expired(struct tsm_compact *c, struct tsm_expired_shards *l)
{
    struct tsm_err err;
    int rc = tsm_retention_find(c->fs, c->common.data, tsm_str_of(c->common.database),
                                tsm_str_of(c->common.rp), tsm_now(), l, &err);
    if (rc != TSM_OK)
        tsm_compact_note(c, "retention", rc == TSM_ENOTFOUND ? TSM_EIO : rc, &err);
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++)
        if (c->shard == 0 || l->items[i].shard == c->shard)
            l->items[n++] = l->items[i];
    l->n = n;
}

static int look_at_all(struct tsm_compact *c, bool print, struct tsm_err *err)
{
    struct tsm_sources sources;
    struct tsm_expired_shards expired;
    int rc = tsm_compact_sources(c, &sources, err);
    if (rc != TSM_OK)
        return rc;
    find_expired(c, &expired);
    for (size_t i = 0; i < expired.n && print && rc == TSM_OK; i++)
        rc = print_expired(c, &expired.items[i], err);
    if (!print && (expired.n || expired.prunable)) {
        struct tsm_err cause;
        int e = tsm_compact_expire(c, expired.items, expired.n, &cause);
        tsm_compact_note(c, "retention", e, &cause);
    }
    for (size_t i = 0; i < sources.n && rc == TSM_OK && !tsm_compact_is_over(c); i++) {
        const struct tsm_source *source = &sources.items[i];
        if (is_expired(&expired, source) || !tsm_fs_exists(c->fs, source->path) || !has_tsm(c, source->path))
            continue;
        c->totals.shards++;
        if (!print) {
            run_shard(c, source);
            continue;
        }
        struct tsm_err cause;
        int e = print_shard(c, source, &cause);
        if (c->output_failed)
            rc = tsm_err_set(err, e, "%s", cause.msg);
        else
            tsm_compact_note(c, source->path, e, &cause);
    }
    tsm_expired_shards_release(&expired);
    tsm_sources_release(&sources);
    return rc;
}

int tsm_compact_plan(struct tsm_compact *c, struct tsm_err *err)
{
    return look_at_all(c, true, err);
}

int tsm_compact_all(struct tsm_compact *c, struct tsm_err *err)
{
    return look_at_all(c, false, err);
}
