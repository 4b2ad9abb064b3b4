/* store/verify.c: walking a directory for everything that can be verified. */
#include "store/verify.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/num.h"
#include "base/time.h"
#include "format/influx_wal.h"
#include "format/meta_db.h"
#include "format/wal.h"
#include "store/data_dir.h"
#include "store/sources.h"
#include "store/verify_log.h"
#include "store/verify_tsm.h"
#include "base/banned.h"

enum {
    MAX_DEPTH = 16,           /* of directories; also ends a loop of links */
    MAX_META_SIZE = 64 << 20, /* of meta.db */
    MAX_TRIES = 10,           /* of listing a directory whose files are being replaced */
};

#define SERIES_DIR "_series" /* beside the policies of a database: influxd's series file */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool ends_with(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);
    return n > m && strcmp(name + n - m, suffix) == 0;
}

static bool is_segment(const char *name)
{
    uint32_t id;
    return tsm_influx_wal_name(tsm_str_of(name), &id);
}

static bool is_own_segment(const char *name)
{
    return tsm_wal_name_parse(tsm_str_of(name), NULL);
}

/* A segment whose damage the writer has found: "000000001.log.bad". */
static bool was_set_aside(const char *name)
{
    const char *bad = strstr(name, ".log.bad");
    return bad && tsm_wal_name_parse(tsm_str(name, (size_t)(bad - name) + 4), NULL);
}

/* ---- single files ------------------------------------------------------------------------------------- */

static int verify_tombstone(struct tsm_verify *v, const char *path, struct tsm_err *err)
{
    struct tsm_tombstones t;
    struct tsm_err failure;
    v->stats.tombstones++;
    if (tsm_tombstones_read(v->fs, path, &t, &failure) != TSM_OK)
        return tsm_verify_failure(v, &failure, err);
    tsm_tombstones_release(&t);
    return TSM_OK;
}

static int ignore_write(void *ctx, struct tsm_str key, const struct tsm_values *values, struct tsm_err *err)
{
    (void)ctx, (void)key, (void)values, (void)err;
    return TSM_OK;
}

static int ignore_remove(void *ctx, struct tsm_str key, int64_t tmin, int64_t tmax, struct tsm_err *err)
{
    (void)ctx, (void)key, (void)tmin, (void)tmax, (void)err;
    return TSM_OK;
}

/* A damaged record does not end the segment: the ones behind it are checked too. */
struct segment {
    struct tsm_verify *v;
    bool stopped; /* by the report callback */
};

static int segment_damage(void *ctx, struct tsm_err *err)
{
    struct segment *s = ctx;
    struct tsm_err failure = *err;
    int r = tsm_verify_failure(s->v, &failure, err);
    s->stopped = r != TSM_OK;
    return r;
}

static int verify_segment(struct tsm_verify *v, const char *path, struct tsm_err *err)
{
    struct segment s = {.v = v};
    const struct tsm_wal_visitor visitor = {&s, ignore_write, ignore_remove, segment_damage};
    struct tsm_err failure = {0};
    uint64_t torn = 0;
    v->stats.segments++;
    int r = tsm_influx_wal_read(v->fs, path, &visitor, &torn, &failure);
    if (s.stopped)
        return tsm_err_set(err, r, "%s", failure.msg);
    if (r != TSM_OK)
        return tsm_verify_failure(v, &failure, err);
    if (torn)
        return tsm_verify_report(v, TSM_FINDING_NOTE, err,
                                 "%s: the last record is cut short, %" PRIu64 " bytes are lost", path, torn);
    return TSM_OK;
}

static int verify_meta(struct tsm_verify *v, const char *path, struct tsm_err *err)
{
    struct tsm_meta m = {0};
    struct tsm_buf bytes = {0};
    struct tsm_err failure;
    v->stats.metas++;
    int r = tsm_fs_read_file(v->fs, path, MAX_META_SIZE, &bytes, &failure);
    if (r == TSM_OK) {
        r = tsm_meta_decode(bytes.data, bytes.len, &m, &failure);
        if (r != TSM_OK)
            tsm_err_wrap(&failure, r, "%s", path);
    }
    tsm_buf_release(&bytes);
    tsm_meta_release(&m);
    return r == TSM_OK ? TSM_OK : tsm_verify_failure(v, &failure, err);
}

/* ---- the TSM files of one directory ------------------------------------------------------------------- */

/* What a directory belongs to in a data directory; all zero elsewhere. */
struct owner {
    const struct tsm_shard_group *group;
};

static int check_times(struct tsm_verify *v, const struct tsm_reader *r, const struct owner *o,
                       struct tsm_err *err)
{
    if (!o->group || (r->tmin >= o->group->start && r->tmax < o->group->end))
        return TSM_OK;
    char first[TSM_TIME_TEXT_MAX], last[TSM_TIME_TEXT_MAX];
    int n = (int)tsm_format_rfc3339(first, r->tmin), m = (int)tsm_format_rfc3339(last, r->tmax);
    return tsm_verify_report(v, TSM_FINDING_NOTE, err,
                             "%s: its times, %.*s to %.*s, go beyond its shard group", r->path, n, first, m,
                             last);
}

/* The TSM files of one directory, or a single one: open, or why not. */
struct file_set {
    struct tsm_reader **files;
    size_t nfiles;
    struct tsm_err *failures;
    size_t nfailures, capfailures;
    bool vanished; /* a listed file is gone: a compaction replaced it */
};

static void release_set(struct file_set *s)
{
    for (size_t i = 0; i < s->nfiles; i++)
        tsm_reader_close(s->files[i]);
    tsm_free(s->files);
    tsm_free(s->failures);
    *s = (struct file_set){0};
}

static void open_file(struct tsm_verify *v, const char *path, struct file_set *s)
{
    struct tsm_err failure;
    int r = tsm_reader_open_bare(v->fs, path, &s->files[s->nfiles], &failure);
    if (r == TSM_OK) {
        s->nfiles++;
        return;
    }
    s->vanished |= r == TSM_ENOTFOUND;
    TSM_GROW(s->failures, s->nfailures + 1, s->capfailures);
    s->failures[s->nfailures++] = failure;
}

static void open_all(struct tsm_verify *v, const char *dir, const struct tsm_names *l, struct file_set *s)
{
    s->files = tsm_calloc(l->n + 1, sizeof(struct tsm_reader *));
    for (size_t i = 0; i < l->n; i++) {
        if (!ends_with(l->names[i], ".tsm"))
            continue;
        char *path = tsm_path_join(dir, l->names[i]);
        open_file(v, path, s);
        tsm_free(path);
    }
}

/* All checks of what was opened. together: the files are those of one shard. */
static int verify_set(struct tsm_verify *v, const struct file_set *s, bool together, const struct owner *o,
                      struct tsm_err *err)
{
    int r = TSM_OK;
    v->stats.files += s->nfiles + s->nfailures;
    for (size_t i = 0; i < s->nfailures && r == TSM_OK; i++)
        r = tsm_verify_failure(v, &s->failures[i], err);
    for (size_t i = 0; i < s->nfiles && r == TSM_OK; i++)
        r = check_times(v, s->files[i], o, err);
    if (r == TSM_OK)
        r = tsm_verify_blocks(v, s->files, s->nfiles, err);
    if (r == TSM_OK && together)
        r = tsm_verify_overlap(v, s->files, s->nfiles, err);
    return r;
}

static bool has_name(const struct tsm_names *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->names[i], name) == 0)
            return true;
    return false;
}

/* A tombstone whose TSM file is gone deletes nothing. */
static int check_owner_of_tombstone(struct tsm_verify *v, const struct tsm_names *l, const char *path,
                                    struct tsm_err *err)
{
    const char *name = base_name(path);
    struct tsm_buf owner = {0};
    tsm_buf_printf(&owner, "%.*s.tsm", (int)(strlen(name) - strlen(".tombstone")), name);
    bool orphan = !has_name(l, tsm_buf_cstr(&owner));
    tsm_buf_release(&owner);
    return orphan ? tsm_verify_report(v, TSM_FINDING_NOTE, err,
                                      "%s: the TSM file that it belongs to is not there", path)
                  : TSM_OK;
}

/* Readers take what has such a name for a file of that kind, be it a directory. */
static bool is_file_name(const char *name)
{
    return ends_with(name, ".tombstone") || is_segment(name) || is_own_segment(name) ||
           strcmp(name, "meta.db") == 0;
}

/* Everything in one directory but the TSM files and the directories below it. */
static int verify_other(struct tsm_verify *v, const struct tsm_names *l, const char *path,
                        struct tsm_err *err)
{
    const char *name = base_name(path);
    if (ends_with(name, ".tombstone")) {
        int r = check_owner_of_tombstone(v, l, path, err);
        return r != TSM_OK ? r : verify_tombstone(v, path, err);
    }
    if (is_segment(name))
        return verify_segment(v, path, err);
    if (strcmp(name, "meta.db") == 0)
        return verify_meta(v, path, err);
    if (ends_with(name, ".tmp"))
        return tsm_verify_report(v, TSM_FINDING_NOTE, err, "%s: unfinished output, ignored by readers", path);
    if (was_set_aside(name))
        return tsm_verify_report(v, TSM_FINDING_NOTE, err, "%s: a damaged segment that was set aside", path);
    return TSM_OK;
}

static int verify_dir(struct tsm_verify *v, const char *dir, const struct owner *o, unsigned depth,
                      struct tsm_err *err)
{
    struct tsm_names l = {0};
    struct file_set set = {0};
    struct tsm_err failure;
    if (depth == MAX_DEPTH)
        return tsm_verify_report(v, TSM_FINDING_UNREADABLE, err, "%s: too many directories deep", dir);
    for (int tries = 0; tries == 0 || (set.vanished && tries < MAX_TRIES); tries++) {
        release_set(&set);
        tsm_names_release(&l);
        if (tsm_fs_list(v->fs, dir, &l, &failure) != TSM_OK)
            return tsm_verify_failure(v, &failure, err);
        open_all(v, dir, &l, &set);
    }
    int r = verify_set(v, &set, true, o, err);
    bool has_log = false;
    release_set(&set);
    for (size_t i = 0; i < l.n && r == TSM_OK; i++) {
        if (ends_with(l.names[i], ".tsm"))
            continue;
        if (is_own_segment(l.names[i])) {
            has_log = true;
            continue;
        }
        bool is;
        char *path = tsm_path_join(dir, l.names[i]);
        if (tsm_is_dir(v->fs, path, &is, &failure) != TSM_OK)
            r = tsm_verify_failure(v, &failure, err);
        else if (is && !is_file_name(l.names[i]))
            r = verify_dir(v, path, &(struct owner){0}, depth + 1, err);
        else
            r = verify_other(v, &l, path, err);
        tsm_free(path);
    }
    tsm_names_release(&l);
    return r == TSM_OK && has_log ? tsm_verify_log(v, dir, err) : r;
}

/* ---- a data directory ---------------------------------------------------------------------------------- */

static const struct tsm_shard_group *find_shard(const struct tsm_meta *m, const char *db, const char *rp,
                                                uint64_t id)
{
    const struct tsm_database *d = tsm_meta_database(m, tsm_str_of(db));
    const struct tsm_rp *p = d ? tsm_meta_rp(d, tsm_str_of(rp)) : NULL;
    for (size_t i = 0; p && i < p->ngroups; i++)
        for (size_t j = 0; j < p->groups[i].nshards; j++)
            if (p->groups[i].shards[j] == id && !p->groups[i].deleted_at)
                return &p->groups[i];
    return NULL;
}

struct data_dir {
    struct tsm_verify *v;
    const struct tsm_meta *meta; /* NULL when it is damaged or not there */
};

/* One directory of DIR/data/DB/RP: a shard when its name is a number. */
static int verify_shard(const struct data_dir *d, const char *db, const char *rp, const char *path,
                        struct tsm_err *err)
{
    uint64_t id;
    struct owner o = {0};
    if (d->meta && tsm_parse_uint(tsm_str_of(base_name(path)), &id)) {
        o.group = find_shard(d->meta, db, rp, id);
        if (!o.group) {
            int r = tsm_verify_report(d->v, TSM_FINDING_NOTE, err,
                                      "%s: a shard without an entry in meta.db, queries do not see it", path);
            if (r != TSM_OK)
                return r;
        }
    }
    return verify_dir(d->v, path, &o, 0, err);
}

/* Names of databases at depth 0, of policies at 1. */
static bool is_wanted(const struct tsm_verify *v, unsigned depth, const char *name)
{
    struct tsm_str only = depth == 0 ? v->db : depth == 1 ? v->rp : tsm_str(NULL, 0);
    if (depth == 1 && strcmp(name, SERIES_DIR) == 0)
        return false;
    return only.n == 0 || tsm_str_eq(tsm_str_of(name), only);
}

/* Calls each() for every directory in path, with its name put into level[depth]. */
static int walk_levels(const struct data_dir *d, const char *path, const char *level[2], unsigned depth,
                       struct tsm_err *err)
{
    struct tsm_verify *v = d->v;
    struct tsm_names l;
    struct tsm_err failure;
    int r = tsm_fs_list(v->fs, path, &l, &failure);
    if (r != TSM_OK)
        return r == TSM_ENOTFOUND ? TSM_OK : tsm_verify_failure(v, &failure, err);
    r = TSM_OK;
    for (size_t i = 0; i < l.n && r == TSM_OK; i++) {
        char *child = tsm_path_join(path, l.names[i]);
        bool is;
        if (!is_wanted(v, depth, l.names[i])) {
            tsm_free(child);
            continue;
        }
        uint64_t id;
        if (tsm_is_dir(v->fs, child, &is, &failure) != TSM_OK) {
            r = tsm_verify_failure(v, &failure, err);
        } else if (!is && depth == 2 && tsm_parse_uint(tsm_str_of(l.names[i]), &id)) {
            r = tsm_verify_report(v, TSM_FINDING_FAULT, err, "%s: not a directory", child);
        } else if (is && depth == 2) {
            r = verify_shard(d, level[0], level[1], child, err);
        } else if (is) {
            level[depth] = l.names[i];
            r = walk_levels(d, child, level, depth + 1, err);
        }
        tsm_free(child);
    }
    tsm_names_release(&l);
    return r;
}

/* A database or policy that was asked for has to be there. */
static int check_choice(const struct tsm_verify *v, const char *dir, struct tsm_err *err)
{
    struct tsm_sources s = {0};
    int r = v->db.n + v->rp.n ? tsm_sources_add(v->fs, dir, v->db, v->rp, &s, err) : TSM_OK;
    tsm_sources_release(&s);
    return r;
}

static int verify_data_dir(struct tsm_verify *v, const char *dir, struct tsm_err *err)
{
    struct tsm_meta meta = {0};
    struct data_dir d = {.v = v};
    int r = check_choice(v, dir, err);
    if (r != TSM_OK)
        return r;
    struct tsm_err failure;
    struct tsm_fs_stat st;
    char *path = tsm_path_meta(dir);
    bool missing = v->fs->stat(v->fs->ctx, path, &st) == -ENOENT;
    v->stats.metas += !missing;
    if (tsm_meta_load(v->fs, dir, &meta, &failure) != TSM_OK)
        r = tsm_verify_failure(v, &failure, err);
    else if (missing)
        r = tsm_verify_report(v, TSM_FINDING_NOTE, err, "%s: not there, no database is known", path);
    else
        d.meta = &meta;
    tsm_free(path);
    const char *level[2];
    path = tsm_path_join(dir, "data");
    if (r == TSM_OK)
        r = walk_levels(&d, path, level, 0, err);
    tsm_free(path);
    d.meta = NULL; /* its shards have been matched; the logs have the same directories */
    path = tsm_path_join(dir, "wal");
    if (r == TSM_OK)
        r = walk_levels(&d, path, level, 0, err);
    tsm_free(path);
    tsm_meta_release(&meta);
    return r;
}

static int verify_file(struct tsm_verify *v, const char *path, struct tsm_err *err)
{
    const char *name = base_name(path);
    if (ends_with(name, ".tombstone"))
        return verify_tombstone(v, path, err);
    if (is_segment(name))
        return verify_segment(v, path, err);
    if (is_own_segment(name))
        return tsm_verify_log_segment(v, path, err);
    if (strcmp(name, "meta.db") == 0)
        return verify_meta(v, path, err);
    struct file_set set = {.files = tsm_calloc(1, sizeof(struct tsm_reader *))};
    open_file(v, path, &set);
    int r = verify_set(v, &set, false, &(struct owner){0}, err);
    release_set(&set);
    char *beside = tsm_tombstone_path(path);
    if (r == TSM_OK && tsm_fs_exists(v->fs, beside))
        r = verify_tombstone(v, beside, err);
    tsm_free(beside);
    return r;
}

int tsm_verify_path(struct tsm_verify *v, const char *path, struct tsm_err *err)
{
    struct tsm_fs_stat st;
    int e = v->fs->stat(v->fs->ctx, path, &st);
    if (e < 0)
        return tsm_err_sys(err, -e, "open %s", path);
    if (st.is_dir && tsm_is_data_dir(v->fs, path))
        return verify_data_dir(v, path, err);
    if (v->db.n + v->rp.n)
        return tsm_err_set(err, TSM_EUSAGE, "%s: not a data directory, so there is no database to choose",
                           path);
    if (!st.is_dir)
        return verify_file(v, path, err);
    const struct tsm_verify_stats *s = &v->stats;
    uint64_t before = s->files + s->tombstones + s->segments + s->metas;
    int r = verify_dir(v, path, &(struct owner){0}, 0, err);
    if (r == TSM_OK && s->files + s->tombstones + s->segments + s->metas == before && s->unreadable == 0)
        return tsm_err_set(err, TSM_ENOTFOUND, "%s: neither a data directory nor one with TSM files", path);
    return r;
}
