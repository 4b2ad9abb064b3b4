/*
 * store/compaction_run.c: running one compaction, and cleaning up behind one that was killed.
 *
 * Invariant: an input is removed only when the output that holds its values is durable under its final name, or when none of
 * its values is left; and only when no input before it is there any more.
 */
#include "store/compaction_run.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "store/compaction_merge.h"
#include "store/data_dir.h"
#include "store/scan.h"
#include "base/banned.h"

/* ---- files of the shard ---- */

/* A file's path by its name, as it is written in the listing; NULL: there is none. */
static char *find_file(const char *dir, const struct tsm_names *names, struct tsm_file_name name)
{
    for (size_t i = 0; i < names->n; i++) {
        struct tsm_file_name n;
        if (tsm_file_name_parse(tsm_str_of(names->names[i]), ".tsm", &n) &&
            tsm_file_name_compare(n, name) == 0)
            return tsm_path_join(dir, names->names[i]);
    }
    return NULL;
}

static int remove_beside(const struct tsm_fs *fs, const char *path, struct tsm_err *err)
{
    char *beside = tsm_tombstone_path(path);
    int rc = tsm_fs_remove(fs, beside, err);
    tsm_free(beside);
    return rc;
}

/* Removes files and, when they are durably gone, their tombstones. They go in the order given, each durably before the next, unless
 * they are disjoint: none has a value for a time of a key that another one has, so it does not matter which are left by a crash. */
static int remove_files(const struct tsm_fs *fs, const char *dir, char *const *paths, size_t n, bool disjoint,
                        struct tsm_err *err)
{
    int rc = TSM_OK;
    for (size_t from = 0, to; from < n && rc == TSM_OK; from = to) {
        to = disjoint ? n : from + 1;
        for (size_t i = from; i < to && rc == TSM_OK; i++)
            rc = tsm_fs_remove(fs, paths[i], err);
        if (rc == TSM_OK)
            rc = tsm_fs_sync_dir(fs, dir, err);
        for (size_t i = from; i < to && rc == TSM_OK; i++)
            rc = remove_beside(fs, paths[i], err);
    }
    return rc == TSM_OK ? tsm_fs_sync_dir(fs, dir, err) : rc;
}

/* ---- cleaning ---- */

/* What a compaction was writing. The temporary files of a flush are the writer's. */
static bool is_unfinished(const char *text)
{
    struct tsm_file_name name;
    struct tsm_str s = tsm_str_of(text);
    return (tsm_file_name_parse(s, ".tsm.tmp", &name) || tsm_file_name_parse(s, ".tsm.index.tmp", &name)) &&
           name.level >= 2;
}

/* Sets *is when the file at path is the one that `origin` of the output is about: it has the same size and the same index, and it
 * is not newer than the output. Any other file of that name is *doubtful: it may be damaged, or what was saved of it, and may have
 * values that those behind it have overwritten. So these have to stay, too. */
static int is_origin(const struct tsm_fs *fs, const char *path, const struct tsm_origin *origin,
                     int64_t output_mtime, bool *is, bool *doubtful, struct tsm_err *err)
{
    struct tsm_fs_stat st;
    struct tsm_reader *r;
    *is = *doubtful = false;
    int s = fs->stat(fs->ctx, path, &st);
    if (s < 0 && s != -ENOENT)
        return tsm_err_sys(err, -s, "stat %s", path);
    if (s < 0)
        return TSM_OK;
    *doubtful = true;
    if (st.size != origin->size || st.mtime > output_mtime)
        return TSM_OK;
    int rc = tsm_reader_open_bare(fs, path, &r, err);
    if (rc == TSM_ENOTFOUND)
        *doubtful = false;
    if (rc != TSM_OK)
        return rc == TSM_ECORRUPT || rc == TSM_ENOTFOUND ? TSM_OK : rc;
    *is = tsm_reader_digest(r) == origin->digest;
    *doubtful = !*is;
    tsm_reader_close(r);
    return TSM_OK;
}

/* Removes what is left of the files that `output` was made from. */
static int remove_origins(struct tsm_compaction_run *run, const struct tsm_names *names,
                          const struct tsm_reader *output, struct tsm_err *err)
{
    struct tsm_fs_stat st;
    int s = run->fs->stat(run->fs->ctx, output->path, &st);
    if (s < 0)
        return tsm_err_sys(err, -s, "stat %s", output->path);
    int rc = TSM_OK;
    bool doubtful = false;
    for (size_t i = 0; i < output->norigins && rc == TSM_OK && !doubtful; i++) {
        bool is;
        char *path = find_file(run->dir, names, output->origins[i].name);
        if (path) {
            rc = is_origin(run->fs, path, &output->origins[i], st.mtime, &is, &doubtful, err);
            if (rc == TSM_OK && is)
                rc = remove_files(run->fs, run->dir, &path, 1, false, err);
        }
        tsm_free(path);
    }
    return rc;
}

/* An output, unless it is none: only what a compaction wrote has origins. */
static int clean_behind(struct tsm_compaction_run *run, const struct tsm_names *names, const char *text,
                        struct tsm_err *err)
{
    struct tsm_file_name name;
    struct tsm_reader *r;
    if (!tsm_file_name_parse(tsm_str_of(text), ".tsm", &name) || name.level < 2)
        return TSM_OK;
    char *path = tsm_path_join(run->dir, text);
    int rc = tsm_reader_open_bare(run->fs, path, &r, err);
    tsm_free(path);
    if (rc != TSM_OK) /* a damaged one is no proof of anything; one that has been removed here neither */
        return rc == TSM_ECORRUPT || rc == TSM_ENOTFOUND ? TSM_OK : rc;
    if (r->norigins)
        rc = remove_origins(run, names, r, err);
    tsm_reader_close(r);
    return rc;
}

int tsm_compaction_clean(struct tsm_compaction_run *run, struct tsm_err *err)
{
    struct tsm_names names;
    struct tsm_err local;
    if (!err)
        err = &local;
    int rc = tsm_fs_list(run->fs, run->dir, &names, err);
    /* Whoever was killed may have got no further than to make its last change visible. */
    if (rc == TSM_OK)
        rc = tsm_fs_sync_dir(run->fs, run->dir, err);
    for (size_t i = 0; i < names.n && rc == TSM_OK; i++) {
        if (!is_unfinished(names.names[i]) && !tsm_is_orphan_tombstone(&names, names.names[i]))
            continue;
        char *path = tsm_path_join(run->dir, names.names[i]);
        rc = tsm_fs_remove(run->fs, path, err);
        tsm_free(path);
    }
    for (size_t i = 0; i < names.n && rc == TSM_OK; i++)
        rc = clean_behind(run, &names, names.names[i], err);
    tsm_names_release(&names);
    return rc;
}

/* ---- what a compaction works on ---- */

struct job {
    struct tsm_compaction_run *run;
    const struct tsm_compaction *c;
    struct tsm_names names;
    char **paths; /* of the inputs */
    uint64_t bytes;
    struct tsm_shard *inputs;
    struct tsm_fences fences;
    struct tsm_merge merge;
    uint64_t written; /* size of the output */
};

static void release_job(struct job *j)
{
    for (size_t i = 0; j->paths && i < j->c->ninputs; i++)
        tsm_free(j->paths[i]);
    tsm_free(j->paths);
    tsm_shard_close(j->inputs);
    tsm_merge_release(&j->merge);
    tsm_fences_release(&j->fences);
    tsm_names_release(&j->names);
}

/* Finds the inputs in the folder, and what they take. */
static int find_inputs(struct job *j, struct tsm_err *err)
{
    const struct tsm_fs *fs = j->run->fs;
    int rc = tsm_fs_list(fs, j->run->dir, &j->names, err);
    j->paths = tsm_calloc(j->c->ninputs, sizeof(char *));
    for (size_t i = 0; i < j->c->ninputs && rc == TSM_OK; i++) {
        struct tsm_fs_stat st;
        char text[TSM_NAME_MAX];
        j->paths[i] = find_file(j->run->dir, &j->names, j->c->inputs[i]);
        if (!j->paths[i]) {
            tsm_file_name_format(text, j->c->inputs[i], ".tsm");
            return tsm_err_set(err, TSM_ENOTFOUND, "%s/%s: no such file", j->run->dir, text);
        }
        int s = fs->stat(fs->ctx, j->paths[i], &st);
        if (s < 0)
            rc = tsm_err_sys(err, -s, "stat %s", j->paths[i]);
        else
            j->bytes += st.size;
    }
    return rc;
}

/* The output may be as large as the inputs, which are there until it is finished. */
static int check_space(const struct job *j, struct tsm_err *err)
{
    const struct tsm_fs *fs = j->run->fs;
    uint64_t room, total;
    int s = fs->space(fs->ctx, j->run->dir, &room, &total);
    if (s < 0)
        return tsm_err_sys(err, -s, "room on the disk of %s", j->run->dir);
    uint64_t reserve = tsm_reserve_bytes(j->run->reserve, total);
    if (room >= reserve && room - reserve >= j->bytes)
        return TSM_OK;
    return tsm_err_set(err, TSM_ENOSPC,
                       "%s: no room for an output of up to %" PRIu64 " bytes: %" PRIu64 " are free, %" PRIu64
                       " of them are the reserve",
                       j->run->dir, j->bytes, room, reserve);
}

static bool is_input(const struct tsm_compaction *c, struct tsm_file_name name)
{
    for (size_t i = 0; i < c->ninputs; i++)
        if (tsm_file_name_compare(c->inputs[i], name) == 0)
            return true;
    return false;
}

/* Opens the ordered files that are no inputs and have some time in common with them. */
static int open_fences(struct job *j, struct tsm_err *err)
{
    int64_t tmin = INT64_MAX, tmax = INT64_MIN;
    for (size_t i = 0; i < j->inputs->nfiles; i++) {
        const struct tsm_reader *r = j->inputs->files[i];
        tmin = r->tmin < tmin ? r->tmin : tmin;
        tmax = r->tmax > tmax ? r->tmax : tmax;
    }
    int rc = TSM_OK;
    for (size_t i = 0; i < j->names.n && rc == TSM_OK; i++) {
        struct tsm_file_name name;
        struct tsm_reader *r;
        if (!tsm_file_name_parse(tsm_str_of(j->names.names[i]), ".tsm", &name) || tsm_file_name_late(name) ||
            is_input(j->c, name))
            continue;
        char *path = tsm_path_join(j->run->dir, j->names.names[i]);
        rc = tsm_reader_open_bare(j->run->fs, path, &r, err);
        tsm_free(path);
        if (rc ==
            TSM_ECORRUPT) { /* where its blocks are cannot be known; the values are right all the same */
            rc = TSM_OK;
        } else if (rc == TSM_OK && r->tmin <= tmax && r->tmax >= tmin) {
            TSM_GROW(j->fences.files, j->fences.n + 1, j->fences.cap);
            j->fences.files[j->fences.n++] = r;
        } else if (rc == TSM_OK) {
            tsm_reader_close(r);
        }
    }
    return rc;
}

/* ---- merge ---- */

static void set_origins(const struct job *j, struct tsm_writer *w)
{
    size_t n = j->c->ninputs;
    struct tsm_origin *origins = tsm_calloc(n, sizeof *origins);
    for (size_t i = 0; i < n; i++)
        origins[i] = (struct tsm_origin){
            .name = j->c->inputs[i],
            .size = j->inputs->files[i]->map.size,
            .digest = tsm_reader_digest(j->inputs->files[i]),
        };
    tsm_writer_origins(w, origins, n);
    tsm_free(origins);
}

/* Writes the output and checks it; *w is left open under its temporary name, or NULL when there is nothing to write. */
static int write_output(struct job *j, const char *path, struct tsm_writer **w, struct tsm_err *err)
{
    const char *tmp;
    int rc = tsm_writer_open(j->run->fs, path, w, err);
    if (rc != TSM_OK)
        return rc;
    set_origins(j, *w);
    rc = tsm_merge_write(&j->merge, *w, err);
    if (rc == TSM_OK && !tsm_writer_empty(*w)) {
        j->written = tsm_writer_size(*w);
        rc = tsm_writer_finish(*w, &tmp, err);
        if (rc == TSM_OK)
            rc = tsm_merge_verify(&j->merge, tmp, err);
        if (rc == TSM_OK)
            return rc;
    }
    tsm_writer_abandon(*w);
    *w = NULL;
    return rc;
}

static void add_figures(struct job *j)
{
    struct tsm_compaction_figures *to = &j->run->figures;
    const struct tsm_compaction_figures *from = &j->merge.figures;
    to->compactions++;
    to->inputs += j->c->ninputs;
    to->outputs += j->written > 0;
    to->copied += from->copied;
    to->joined += from->joined;
    to->merged += from->merged;
    to->copied_bytes += from->copied_bytes;
    to->joined_bytes += from->joined_bytes;
    to->merged_bytes += from->merged_bytes;
    to->read_bytes += j->bytes;
    to->written_bytes += j->written;
    to->points += from->points;
    to->overwritten += from->overwritten;
    to->deleted += from->deleted;
}

static int run_merge(struct job *j, struct tsm_err *err)
{
    const struct tsm_compaction_run *run = j->run;
    int rc = check_space(j, err);
    if (rc == TSM_OK)
        rc = tsm_shard_open_files(run->fs, j->paths, j->c->ninputs, NULL, &j->inputs, err);
    if (rc == TSM_OK)
        rc = open_fences(j, err);
    if (rc != TSM_OK)
        return rc;
    j->merge = (struct tsm_merge){
        .run = run,
        .inputs = j->inputs,
        .fences = &j->fences,
        .ordered = !tsm_file_name_late(j->c->output),
    };
    char text[TSM_NAME_MAX];
    tsm_file_name_format(text, j->c->output, ".tsm");
    char *path = tsm_path_join(run->dir, text);
    struct tsm_writer *w = NULL;
    char *there = find_file(run->dir, &j->names, j->c->output);
    if (there)
        rc = tsm_err_set(err, TSM_EEXISTS, "%s: the output exists", there);
    tsm_free(there);
    if (rc == TSM_OK)
        rc = write_output(j, path, &w, err);
    if (rc == TSM_OK && w)
        rc = tsm_writer_install(w, err);
    tsm_free(path);
    if (rc == TSM_OK)
        rc = remove_files(run->fs, run->dir, j->paths, j->c->ninputs, j->merge.figures.merged == 0, err);
    if (rc == TSM_OK)
        add_figures(j);
    return rc;
}

/* ---- move and drop ---- */

/* The rules have been checked. A rename takes the place of whatever is there, so this looks once more. */
static int run_move(struct job *j, struct tsm_err *err)
{
    const struct tsm_fs *fs = j->run->fs;
    char text[TSM_NAME_MAX];
    tsm_file_name_format(text, j->c->output, ".tsm");
    char *to = tsm_path_join(j->run->dir, text), *beside = tsm_tombstone_path(to);
    int rc = TSM_OK;
    if (tsm_fs_exists(fs, to) || tsm_fs_exists(fs, beside)) {
        rc = tsm_err_set(err, TSM_EEXISTS, "%s: the name is taken", to);
    } else {
        int m = fs->rename(fs->ctx, j->paths[0], to);
        rc = m < 0 ? tsm_err_sys(err, -m, "rename %s to %s", j->paths[0], to)
                   : tsm_fs_sync_dir(fs, j->run->dir, err);
    }
    tsm_free(beside);
    tsm_free(to);
    if (rc == TSM_OK) {
        j->run->figures.compactions++;
        j->run->figures.moved++;
    }
    return rc;
}

/* No value of the file is left under its own tombstones; *points is what they delete. */
static int check_dead(const struct job *j, const char *path, uint64_t *points, struct tsm_err *err)
{
    struct tsm_shard *s;
    char *paths[] = {(char *)(uintptr_t)path};
    int rc = tsm_shard_open_files(j->run->fs, paths, 1, NULL, &s, err);
    if (rc != TSM_OK)
        return rc;
    struct tsm_scan *scan = tsm_scan_new();
    for (size_t key = 0; key < s->nkeys && rc == TSM_OK; key++) {
        uint64_t n;
        rc = tsm_scan_count(scan, s, key, INT64_MIN, INT64_MAX, &n, err);
        if (rc == TSM_OK && n)
            rc = tsm_err_set(err, TSM_EPARSE, "%s: not everything in it is deleted", path);
    }
    const struct tsm_reader *r = s->files[0];
    for (size_t key = 0; key < r->nkeys && rc == TSM_OK; key++) {
        size_t n = tsm_reader_entries(r, key), count;
        for (size_t i = 0; i < n && rc == TSM_OK; i++) {
            struct tsm_entry e = tsm_reader_entry(r, key, i);
            rc = tsm_reader_count(r, &e, &count, err);
            *points += rc == TSM_OK ? count : 0;
        }
    }
    tsm_scan_free(scan);
    tsm_shard_close(s);
    return rc;
}

static int run_drop(struct job *j, struct tsm_err *err)
{
    int rc = TSM_OK;
    uint64_t points = 0;
    for (size_t i = 0; i < j->c->ninputs && rc == TSM_OK; i++)
        rc = check_dead(j, j->paths[i], &points, err);
    if (rc == TSM_OK)
        rc = remove_files(j->run->fs, j->run->dir, j->paths, j->c->ninputs, true, err);
    if (rc == TSM_OK) {
        j->run->figures.compactions++;
        j->run->figures.dropped += j->c->ninputs;
        j->run->figures.deleted += points;
    }
    return rc;
}

int tsm_compaction_execute(struct tsm_compaction_run *run, const struct tsm_compaction *c,
                           struct tsm_err *err)
{
    struct job j = {.run = run, .c = c};
    struct tsm_err local;
    if (!err)
        err = &local;
    if (c->ninputs == 0 || c->action == TSM_COMPACTION_EXPIRE)
        return tsm_err_set(err, TSM_EUSAGE, "%s: a compaction without inputs", run->dir);
    int rc = tsm_compaction_check(run->fs, run->dir, c, err);
    if (rc == TSM_OK)
        rc = find_inputs(&j, err);
    if (rc == TSM_OK)
        rc = c->action == TSM_COMPACTION_MERGE  ? run_merge(&j, err)
             : c->action == TSM_COMPACTION_MOVE ? run_move(&j, err)
                                                : run_drop(&j, err);
    release_job(&j);
    return rc;
}
