/* store/file_set.c: the files of a shard as a compaction sees them. */
#include "store/file_set.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/sort.h"
#include "store/compaction.h"
#include "store/data_dir.h"
#include "base/banned.h"

enum {
    MAX_LISTINGS = 20,      /* a delete or another compaction does not take files away so often */
    LAST_LEVEL = 999999999, /* nothing can be merged any further */
};

static int compare_files(const void *a, const void *b)
{
    return tsm_file_name_compare(((const struct tsm_set_file *)a)->name,
                                 ((const struct tsm_set_file *)b)->name);
}

static int compare_names(const void *a, const void *b)
{
    return tsm_file_name_compare(*(const struct tsm_file_name *)a, *(const struct tsm_file_name *)b);
}

/* Whether text is how the name is written in general. */
static bool is_usual(const char *text, struct tsm_file_name name, const char *suffix)
{
    char again[TSM_NAME_MAX];
    tsm_file_name_format(again, name, suffix);
    return strcmp(text, again) == 0;
}

static void add_taken(struct tsm_file_set *s, struct tsm_file_name name)
{
    TSM_GROW(s->taken, s->ntaken + 1, s->captaken);
    s->taken[s->ntaken++] = name;
}

/* Adds an entry of the folder. TSM_ENOTFOUND: it is gone. */
static int add_entry(struct tsm_file_set *s, const char *text, struct tsm_err *err)
{
    struct tsm_file_name name;
    if (tsm_file_name_parse(tsm_str_of(text), ".tombstone", &name))
        add_taken(s, name);
    if (!tsm_file_name_parse(tsm_str_of(text), ".tsm", &name))
        return TSM_OK;
    struct tsm_fs_stat st;
    char *path = tsm_path_join(s->dir, text);
    int e = s->fs->stat(s->fs->ctx, path, &st);
    int rc = e < 0 ? tsm_err_sys(err, -e, "open %s", path) : TSM_OK;
    tsm_free(path);
    if (rc != TSM_OK)
        return rc;
    add_taken(s, name);
    TSM_GROW(s->files, s->n + 1, s->cap);
    s->files[s->n++] = (struct tsm_set_file){
        .name = name,
        .unreadable = !is_usual(text, name, ".tsm") || name.level >= LAST_LEVEL,
        .size = st.size,
        .mtime = st.mtime,
    };
    return TSM_OK;
}

void tsm_file_set_trim(struct tsm_file_set *s, size_t n)
{
    for (; s->n > n; s->n--)
        tsm_reader_close(s->files[s->n - 1].reader);
    if (s->nordered > s->n)
        s->nordered = s->n;
}

static void empty(struct tsm_file_set *s)
{
    tsm_file_set_trim(s, 0);
    s->ntaken = 0;
}

static int list_once(struct tsm_file_set *s, struct tsm_err *err)
{
    struct tsm_names names;
    int rc = tsm_fs_list(s->fs, s->dir, &names, err);
    if (rc != TSM_OK)
        return rc == TSM_ENOTFOUND ? TSM_OK : rc;
    for (size_t i = 0; i < names.n && rc == TSM_OK; i++)
        rc = add_entry(s, names.names[i], err);
    for (size_t i = 0; i < names.n && rc == TSM_OK; i++) {
        struct tsm_file_name name;
        if (!tsm_file_name_parse(tsm_str_of(names.names[i]), ".tombstone", &name))
            continue;
        for (size_t j = 0; j < s->n; j++)
            s->files[j].tombstones |= tsm_file_name_compare(s->files[j].name, name) == 0;
    }
    tsm_names_release(&names);
    return rc;
}

int tsm_file_set_list(const struct tsm_fs *fs, const char *dir, struct tsm_file_set *s, struct tsm_err *err)
{
    *s = (struct tsm_file_set){.fs = fs, .dir = tsm_strdup(dir)};
    int rc = TSM_ENOTFOUND;
    for (int i = 0; i < MAX_LISTINGS && rc == TSM_ENOTFOUND; i++) {
        empty(s);
        rc = list_once(s, err);
    }
    if (rc != TSM_OK) {
        tsm_file_set_release(s);
        if (rc == TSM_ENOTFOUND && err)
            err->code = TSM_EIO; /* a link to nothing */
        return rc == TSM_ENOTFOUND ? TSM_EIO : rc;
    }
    tsm_sort(s->files, s->n, sizeof *s->files, compare_files);
    tsm_sort(s->taken, s->ntaken, sizeof *s->taken, compare_names);
    while (s->nordered < s->n && !tsm_file_name_late(s->files[s->nordered].name))
        s->nordered++;
    return TSM_OK;
}

int tsm_file_set_open(struct tsm_file_set *s, size_t i, const struct tsm_damage *damage, struct tsm_err *err)
{
    struct tsm_set_file *f = &s->files[i];
    if (f->reader || f->unreadable)
        return TSM_OK;
    struct tsm_err local;
    if (!err)
        err = &local;
    char text[TSM_NAME_MAX];
    tsm_file_name_format(text, f->name, ".tsm");
    char *path = tsm_path_join(s->dir, text);
    int rc = tsm_reader_open(s->fs, path, &f->reader, err);
    if (rc == TSM_OK && f->reader->index_size > TSM_INDEXES_KEPT / 64) /* checked from end to end */
        tsm_reader_forget(f->reader, 0, f->reader->nkeys, false);
    tsm_free(path);
    if (rc == TSM_ECORRUPT) {
        f->unreadable = true;
        if (damage && damage->report)
            damage->report(damage->ctx, err->msg);
        return TSM_OK;
    }
    return rc;
}

size_t tsm_file_set_find(const struct tsm_file_set *s, struct tsm_file_name name)
{
    size_t from = 0, to = s->n;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (tsm_file_name_compare(s->files[middle].name, name) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from < s->n && tsm_file_name_compare(s->files[from].name, name) == 0 ? from : s->n;
}

bool tsm_file_set_taken(const struct tsm_file_set *s, struct tsm_file_name name)
{
    size_t from = 0, to = s->ntaken;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (tsm_file_name_compare(s->taken[middle], name) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    if (from == s->ntaken)
        return false;
    return name.level ? tsm_file_name_compare(s->taken[from], name) == 0
                      : s->taken[from].generation == name.generation;
}

void tsm_file_set_release(struct tsm_file_set *s)
{
    empty(s);
    tsm_free(s->files);
    tsm_free(s->taken);
    tsm_free(s->dir);
    *s = (struct tsm_file_set){0};
}

bool tsm_is_orphan_tombstone(const struct tsm_names *names, const char *text)
{
    struct tsm_file_name name;
    if (!tsm_file_name_parse(tsm_str_of(text), ".tombstone", &name))
        return false;
    size_t n = (size_t)(strchr(text, '.') - text);
    for (size_t i = 0; i < names->n; i++)
        if (strncmp(names->names[i], text, n) == 0 && strncmp(names->names[i] + n, ".tsm", 4) == 0 &&
            strcmp(names->names[i] + n, ".tsm.tmp") != 0)
            return false;
    return true;
}
