/* store/shard_files.c: the TSM files of a shard as its writer sees them. */
#include "store/shard_files.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "store/data_dir.h"
#include "base/banned.h"

/* A file that vanishes between listing and opening was compacted away: then the listing is made again. A
 * compactor does not get so far ahead so often. */
enum { MAX_LISTINGS = 20 };

char *tsm_shard_files_path(const struct tsm_shard_files *s, struct tsm_file_name name)
{
    char text[TSM_NAME_MAX];
    tsm_file_name_format(text, name, ".tsm");
    return tsm_path_join(s->dir, text);
}

static int compare(struct tsm_file_name a, struct tsm_file_name b)
{
    if (a.generation != b.generation)
        return a.generation < b.generation ? -1 : 1;
    return (a.level > b.level) - (a.level < b.level);
}

static void take_generation(struct tsm_shard_files *s, uint32_t generation)
{
    uint32_t *next = generation < TSM_FIRST_LATE_GENERATION ? &s->next_ordered : &s->next_late;
    if (generation >= *next)
        *next = generation < UINT32_MAX ? generation + 1 : UINT32_MAX;
}

void tsm_shard_files_add(struct tsm_shard_files *s, struct tsm_file_name name, int64_t tmin, int64_t tmax,
                         struct tsm_str first, struct tsm_str last)
{
    TSM_GROW(s->files, s->n + 1, s->cap);
    size_t at = s->n++;
    for (; at > 0 && compare(s->files[at - 1].name, name) > 0; at--)
        s->files[at] = s->files[at - 1];
    s->files[at] = (struct tsm_covered_file){
        .name = name,
        .tmin = tmin,
        .tmax = tmax,
        .first = tsm_strndup(first.p, first.n),
        .nfirst = first.n,
        .last = tsm_strndup(last.p, last.n),
        .nlast = last.n,
    };
    take_generation(s, name.generation);
}

static void forget(struct tsm_covered_file *f)
{
    tsm_free(f->first);
    tsm_free(f->last);
}

static bool known(const struct tsm_shard_files *s, struct tsm_file_name name)
{
    size_t from = 0, to = s->n;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int c = compare(s->files[middle].name, name);
        if (c == 0)
            return true;
        if (c < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return false;
}

/* Opens a file that is new to us. TSM_ENOTFOUND: it is gone. */
static int look_at(const struct tsm_fs *fs, struct tsm_shard_files *s, struct tsm_file_name name,
                   tsm_shard_file_fn *each, tsm_shard_damage_fn *damage, void *ctx, struct tsm_err *err)
{
    struct tsm_err cause;
    struct tsm_reader *r;
    char *path = tsm_shard_files_path(s, name);
    int rc = tsm_reader_open(fs, path, &r, &cause);
    tsm_free(path);
    take_generation(s, name.generation);
    if (rc == TSM_ECORRUPT) {
        if (damage)
            damage(ctx, cause.msg);
        s->damaged = true;
        tsm_shard_files_add(s, name, INT64_MIN, INT64_MAX, TSM_STR(""), TSM_STR("")); /* reported once */
        return TSM_OK;
    }
    if (rc != TSM_OK) {
        if (err)
            *err = cause;
        return rc;
    }
    if (r->nkeys > 0) {
        if (each)
            each(ctx, r);
        tsm_shard_files_add(s, name, r->tmin, r->tmax, tsm_reader_key(r, 0), tsm_reader_key(r, r->nkeys - 1));
    }
    /* A new file with the name of one that this was made from would look like what a killed compaction left. */
    for (size_t i = 0; i < r->norigins; i++)
        take_generation(s, r->origins[i].name.generation);
    tsm_reader_close(r);
    return TSM_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Drops what is no longer in names (sorted). */
static void drop_vanished(struct tsm_shard_files *s, const struct tsm_names *names)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->n; i++) {
        char text[TSM_NAME_MAX], *key = text;
        tsm_file_name_format(text, s->files[i].name, ".tsm");
        if (names->n && bsearch(&key, names->names, names->n, sizeof *names->names, compare_names))
            s->files[kept++] = s->files[i];
        else
            forget(&s->files[i]);
    }
    s->n = kept;
}

/* A TSM file's name, written as InfluxDB and tsmkit write it. */
static bool parse_name(const char *text, struct tsm_file_name *name)
{
    char again[TSM_NAME_MAX];
    if (!tsm_file_name_parse(tsm_str_of(text), ".tsm", name))
        return false;
    tsm_file_name_format(again, *name, ".tsm");
    return strcmp(text, again) == 0;
}

int tsm_shard_files_refresh(const struct tsm_fs *fs, struct tsm_shard_files *s, tsm_shard_file_fn *each,
                            tsm_shard_damage_fn *damage, void *ctx, struct tsm_err *err)
{
    for (int listing = 0; listing < MAX_LISTINGS; listing++) {
        struct tsm_names names;
        int rc = tsm_fs_list(fs, s->dir, &names, err);
        if (rc == TSM_ENOTFOUND) {
            drop_vanished(s, &names);
            return TSM_OK;
        }
        if (rc != TSM_OK)
            return rc;
        drop_vanished(s, &names);
        for (size_t i = 0; i < names.n && rc == TSM_OK; i++) {
            struct tsm_file_name name;
            if (parse_name(names.names[i], &name) && !known(s, name))
                rc = look_at(fs, s, name, each, damage, ctx, err);
            /* What a killed delete has left of a file would delete from the next one of that name. */
            else if (tsm_file_name_parse(tsm_str_of(names.names[i]), ".tombstone", &name))
                take_generation(s, name.generation);
        }
        tsm_names_release(&names);
        if (rc != TSM_ENOTFOUND)
            return rc;
    }
    if (err)
        err->code = TSM_EIO; /* and its message says which; a link to nothing, most likely */
    return TSM_EIO;
}

/* Unfinished flushes. What a compactor is writing has a higher level. */
static int remove_unfinished(const struct tsm_fs *fs, const char *dir, struct tsm_err *err)
{
    struct tsm_names names;
    int rc = tsm_fs_list(fs, dir, &names, err);
    if (rc != TSM_OK)
        return rc == TSM_ENOTFOUND ? TSM_OK : rc;
    for (size_t i = 0; i < names.n && rc == TSM_OK; i++) {
        struct tsm_file_name name;
        struct tsm_str text = tsm_str_of(names.names[i]);
        if (!tsm_file_name_parse(text, ".tsm.tmp", &name) &&
            !tsm_file_name_parse(text, ".tsm.index.tmp", &name))
            continue;
        if (name.level != 1)
            continue;
        char *path = tsm_path_join(dir, names.names[i]);
        rc = tsm_fs_remove(fs, path, err);
        tsm_free(path);
    }
    tsm_names_release(&names);
    return rc;
}

int tsm_shard_files_open(const struct tsm_fs *fs, const char *dir, tsm_shard_file_fn *each,
                         tsm_shard_damage_fn *damage, void *ctx, struct tsm_shard_files *s,
                         struct tsm_err *err)
{
    *s = (struct tsm_shard_files){
        .dir = tsm_strdup(dir),
        .next_ordered = 1,
        .next_late = TSM_FIRST_LATE_GENERATION,
    };
    int rc = remove_unfinished(fs, dir, err);
    if (rc == TSM_OK)
        rc = tsm_shard_files_refresh(fs, s, each, damage, ctx, err);
    if (rc != TSM_OK)
        tsm_shard_files_release(s);
    return rc;
}

void tsm_shard_files_release(struct tsm_shard_files *s)
{
    for (size_t i = 0; i < s->n; i++)
        forget(&s->files[i]);
    tsm_free(s->files);
    tsm_free(s->dir);
    *s = (struct tsm_shard_files){0};
}
