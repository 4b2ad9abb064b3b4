/* tests/unit/power_compact.c: what another process does to a directory beside its writer. */
#include "power_compact.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "format/meta_db.h"
#include "power_oracle.h"
#include "store/compaction_plan.h"
#include "store/compaction_run.h"
#include "store/data_dir.h"
#include "store/delete.h"

/* Calls each for every shard that meta.db names. */
static int each_shard(const struct tsm_fs *fs, const char *dir, struct tsm_engine *e,
                      int (*each)(void *ctx, const char *path, uint64_t id, struct tsm_err *err), void *ctx,
                      struct tsm_err *err)
{
    struct tsm_meta meta;
    int rc = e ? tsm_engine_meta(e, &meta, err) : tsm_meta_load(fs, dir, &meta, err);
    struct tsm_database *db = rc == TSM_OK ? tsm_meta_database(&meta, ORACLE_DB) : NULL;
    struct tsm_rp *rp = db ? tsm_meta_rp(db, ORACLE_RP) : NULL;
    for (size_t i = 0; rp && i < rp->ngroups && rc == TSM_OK; i++) {
        char *path = tsm_path_shard(dir, ORACLE_DB, ORACLE_RP, rp->groups[i].shards[0]);
        rc = each(ctx, path, rp->groups[i].shards[0], err);
        tsm_free(path);
    }
    tsm_meta_release(&meta);
    return rc;
}

struct compacting {
    const struct tsm_fs *fs;
    int64_t now;
    uint64_t *random;
    unsigned long *n;
};

/* What the planner finds, some of it perhaps. */
static int run_plan(struct compacting *c, struct tsm_compaction_run *run, uint64_t id, struct tsm_err *err)
{
    struct tsm_plan_options opt = {.now = c->now};
    struct tsm_compactions plan = {0};
    opt.cold = power_below(c->random, 2) ? 0 : INT64_MAX / 2;
    opt.max_level = power_below(c->random, 3) ? 0 : 2;
    int rc = tsm_compaction_plan(c->fs, run->dir, ORACLE_DB, ORACLE_RP, id, &opt, NULL, &plan, err);
    for (size_t i = 0; i < plan.n && rc == TSM_OK && power_below(c->random, 10); i++) {
        rc = tsm_compaction_execute(run, &plan.items[i], err);
        *c->n += rc == TSM_OK;
    }
    tsm_compactions_release(&plan);
    return rc;
}

static int by_name(const void *a, const void *b)
{
    const struct tsm_file_name *x = a, *y = b;
    if (x->generation != y->generation)
        return x->generation < y->generation ? -1 : 1;
    return (x->level > y->level) - (x->level < y->level);
}

static int list_files(const struct tsm_fs *fs, const char *dir, struct tsm_file_name **files, size_t *n,
                      struct tsm_err *err)
{
    struct tsm_names names;
    *files = NULL;
    *n = 0;
    int rc = tsm_fs_list(fs, dir, &names, err);
    if (rc != TSM_OK)
        return rc == TSM_ENOTFOUND ? TSM_OK : rc;
    *files = tsm_calloc(names.n + 1, sizeof **files);
    for (size_t i = 0; i < names.n; i++)
        if (tsm_file_name_parse(tsm_str_of(names.names[i]), ".tsm", &(*files)[*n]))
            ++*n;
    tsm_names_release(&names);
    qsort(*files, *n, sizeof **files, by_name);
    return TSM_OK;
}

/* Some files, by chance: mostly what breaks a rule, which the check has to find. */
static void invent(struct compacting *c, const struct tsm_file_name *files, size_t n,
                   struct tsm_compaction *x)
{
    static const enum tsm_compaction_action actions[] = {TSM_COMPACTION_MERGE, TSM_COMPACTION_MERGE,
                                                         TSM_COMPACTION_MERGE, TSM_COMPACTION_MERGE,
                                                         TSM_COMPACTION_MOVE,  TSM_COMPACTION_DROP};
    size_t from = power_below(c->random, n), to = from + 1 + power_below(c->random, n - from);
    uint64_t chance = 1 + power_below(c->random, 4);
    x->action = actions[power_below(c->random, sizeof actions / sizeof *actions)];
    for (size_t i = from; i < to; i++) {
        if (power_below(c->random, 4) >= chance)
            continue;
        x->inputs[x->ninputs++] = files[i];
        x->output.level = files[i].level > x->output.level ? files[i].level : x->output.level;
    }
    if (x->ninputs == 0)
        x->inputs[x->ninputs++] = files[from];
    if (x->action != TSM_COMPACTION_MERGE)
        x->ninputs = 1;
    x->output.generation = x->inputs[0].generation;
    x->output.level++;
    if (x->action == TSM_COMPACTION_MOVE) {
        x->output.generation = 1 + (uint32_t)power_below(c->random, files[0].generation + n);
        x->output.level = x->inputs[0].level;
    }
}

static int run_invented(struct compacting *c, struct tsm_compaction_run *run, uint64_t id,
                        struct tsm_err *err)
{
    struct tsm_file_name *files;
    size_t n;
    int rc = list_files(c->fs, run->dir, &files, &n, err);
    struct tsm_compaction x = {.db = ORACLE_DB, .rp = ORACLE_RP, .shard = id};
    x.inputs = tsm_calloc(n + 1, sizeof *x.inputs);
    if (rc == TSM_OK && n > 0) {
        invent(c, files, n, &x);
        rc = tsm_compaction_execute(run, &x, err);
        *c->n += rc == TSM_OK;
        if (rc == TSM_EPARSE || rc == TSM_ENOTFOUND || rc == TSM_EEXISTS || rc == TSM_EUSAGE)
            rc = TSM_OK; /* against the rules */
    }
    tsm_free(x.inputs);
    tsm_free(files);
    return rc;
}

static int compact_locked(struct compacting *c, const char *path, uint64_t id, struct tsm_err *err)
{
    struct tsm_compaction_run run = {.fs = c->fs, .dir = path, .jobs = 1, .memory = 8 << 20};
    int rc = tsm_compaction_clean(&run, err);
    if (rc == TSM_OK && power_below(c->random, 2))
        return run_plan(c, &run, id, err);
    for (int i = 0; i < 5 && rc == TSM_OK; i++)
        rc = run_invented(c, &run, id, err);
    return rc;
}

static int compact_shard(void *ctx, const char *path, uint64_t id, struct tsm_err *err)
{
    struct compacting *c = ctx;
    struct tsm_lock lock = {0};
    if (power_below(c->random, 4) == 0 || !tsm_fs_exists(c->fs, path))
        return TSM_OK;
    char *name = tsm_path_shard_lock(path);
    int rc = tsm_lock_take(c->fs, name, "compaction", &lock, err);
    tsm_free(name);
    if (rc == TSM_OK)
        rc = compact_locked(c, path, id, err);
    tsm_lock_release(&lock);
    return rc;
}

int power_compact(const struct tsm_fs *fs, const char *dir, int64_t now, uint64_t *random, unsigned long *n,
                  struct tsm_err *err)
{
    struct compacting c = {fs, now, random, n};
    return each_shard(fs, dir, NULL, compact_shard, &c, err);
}

struct deleting {
    const struct tsm_fs *fs;
    const char *dir;
    struct tsm_engine *engine;
    int series;
    int64_t tmin, tmax;
};

static bool wanted(void *ctx, struct tsm_str key)
{
    const struct deleting *d = ctx;
    return d->series < 0 || (key.n > 8 && key.p[8] == '0' + d->series);
}

static int delete_in_shard(void *ctx, const char *path, uint64_t id, struct tsm_err *err)
{
    struct deleting *d = ctx;
    char *wal = tsm_path_wal(d->dir, ORACLE_DB, ORACLE_RP, id);
    struct tsm_delete del = {.fs = d->fs,
                             .dir = path,
                             .wal = wal,
                             .holder = "delete",
                             .tmin = d->tmin,
                             .tmax = d->tmax,
                             .wanted = wanted,
                             .ctx = d};
    int rc = d->engine ? tsm_engine_delete(d->engine, ORACLE_DB, ORACLE_RP, id, &del, err)
                       : tsm_delete_run(&del, err);
    tsm_free(wal);
    return rc;
}

int power_delete(const struct tsm_fs *fs, const char *dir, struct tsm_engine *e, int series, int64_t tmin,
                 int64_t tmax, struct tsm_err *err)
{
    struct deleting d = {fs, dir, e, series, tmin, tmax};
    return each_shard(fs, dir, e, delete_in_shard, &d, err);
}
