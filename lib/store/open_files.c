/*
 * store/open_files.c: the TSM files of a shard, open, with the union of their keys.
 *
 * The mtime of a folder is only as fine as the kernel's clock, so that one which is hardly older than the listing proves nothing:
 * something may have changed after it in the same tick.
 */
#include "store/open_files.h"

#include <errno.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/sort.h"
#include "base/time.h"
#include "format/tombstone.h"
#include "store/compaction.h"
#include "store/data_dir.h"
#include "store/open_files_impl.h"
#include "store/shard_keys.h"
#include "base/banned.h"

enum { MAX_LISTINGS = 10 }; /* when compactions keep taking files away */
#define CLOCK_TICK 50000000 /* longer than any kernel's */

/* What a file was when it was opened. */
struct state {
    uint64_t size, tombstones; /* bytes; of tombstones 0: none */
    int64_t mtime, tombstones_mtime;
};

struct tsm_open_file {
    atomic_uint shares;
    struct tsm_file_name name;
    struct state state;
    struct tsm_reader *reader; /* NULL: it does not check */
    char *fault;               /* why not */
};

static void close_file(struct tsm_open_file *f)
{
    if (!f || atomic_fetch_sub(&f->shares, 1) > 1)
        return;
    tsm_reader_close(f->reader);
    tsm_free(f->fault);
    tsm_free(f);
}

struct tsm_open_files *tsm_open_files_share(struct tsm_open_files *o)
{
    atomic_fetch_add(&o->shares, 1);
    return o;
}

void tsm_open_files_close(struct tsm_open_files *o)
{
    if (!o || atomic_fetch_sub(&o->shares, 1) > 1)
        return;
    for (size_t i = 0; i < o->nopened; i++)
        close_file(o->opened[i]);
    tsm_free(o->opened);
    tsm_free(o->files);
    tsm_free(o->places);
    tsm_free(o->first);
    tsm_free(o->slots);
    tsm_buf_release(&o->faults);
    tsm_free(o);
}

/* ---- listing ---- */

struct listed {
    struct tsm_file_name name;
    const char *text;
};

static int by_name(const void *a, const void *b)
{
    return tsm_file_name_compare(((const struct listed *)a)->name, ((const struct listed *)b)->name);
}

/* TSM_ENOTFOUND: the file is gone. */
static int look_at(const struct tsm_fs *fs, const char *path, struct state *state, struct tsm_err *err)
{
    struct tsm_fs_stat st;
    int e = fs->stat(fs->ctx, path, &st);
    if (e < 0)
        return tsm_err_sys(err, -e, "open %s", path);
    *state = (struct state){.size = st.size, .mtime = st.mtime};
    char *beside = tsm_tombstone_path(path);
    e = fs->stat(fs->ctx, beside, &st);
    if (e == 0) {
        state->tombstones = st.size;
        state->tombstones_mtime = st.mtime;
    }
    int rc = e < 0 && e != -ENOENT ? tsm_err_sys(err, -e, "open %s", beside) : TSM_OK;
    tsm_free(beside);
    return rc;
}

static bool is_same(const struct state *a, const struct state *b)
{
    return a->size == b->size && a->mtime == b->mtime && a->tombstones == b->tombstones &&
           a->tombstones_mtime == b->tombstones_mtime;
}

static struct tsm_open_file *find_file(const struct tsm_open_files *old, struct tsm_file_name name)
{
    for (size_t i = 0; old && i < old->nopened; i++)
        if (tsm_file_name_compare(old->opened[i]->name, name) == 0)
            return old->opened[i];
    return NULL;
}

static int open_file(const struct tsm_fs *fs, const char *path, const struct listed *l,
                     const struct tsm_open_files *old, struct tsm_open_file **out, struct tsm_err *err)
{
    struct state state;
    int rc = look_at(fs, path, &state, err);
    if (rc != TSM_OK)
        return rc;
    struct tsm_open_file *f = find_file(old, l->name);
    if (f && is_same(&f->state, &state)) {
        atomic_fetch_add(&f->shares, 1);
        *out = f;
        return TSM_OK;
    }
    struct tsm_reader *r = NULL;
    rc = tsm_reader_open(fs, path, &r, err);
    if (rc != TSM_OK && rc != TSM_ECORRUPT)
        return rc;
    f = tsm_calloc(1, sizeof *f);
    atomic_init(&f->shares, 1);
    f->name = l->name;
    f->state = state;
    f->reader = r;
    f->fault = r ? NULL : tsm_strdup(err->msg);
    *out = f;
    return TSM_OK;
}

/* INT64_MAX when that cannot be told. */
static int64_t folder_mtime(const struct tsm_fs *fs, const char *dir)
{
    struct tsm_fs_stat st;
    return fs->stat(fs->ctx, dir, &st) == 0 ? st.mtime : INT64_MAX;
}

/* Lists the folder and opens its files, the newest first, as a delete works the other way: who sees it in a file sees it in all
 * older ones too. TSM_ENOTFOUND with *vanished: a file was gone before it could be opened. */
static int open_listed(const struct tsm_fs *fs, const char *dir, const struct tsm_open_files *old,
                       struct tsm_open_files *o, bool *vanished, struct tsm_err *err)
{
    struct tsm_names names;
    struct tsm_fs_stat st;
    *vanished = false;
    o->listed = tsm_now();
    int e = fs->stat(fs->ctx, dir, &st);
    if (e == 0 && !st.is_dir)
        return tsm_err_set(err, TSM_ECORRUPT, "%s: not a directory", dir);
    o->mtime = e == 0 ? st.mtime : INT64_MAX;
    int rc = tsm_fs_list(fs, dir, &names, err);
    if (rc != TSM_OK)
        return rc;
    struct listed *files = tsm_calloc(names.n, sizeof *files);
    for (size_t i = 0; i < names.n; i++)
        if (tsm_file_name_parse(tsm_str_of(names.names[i]), ".tsm", &files[o->nopened].name))
            files[o->nopened++].text = names.names[i];
    tsm_sort(files, o->nopened, sizeof *files, by_name);
    o->opened = tsm_calloc(o->nopened, sizeof(struct tsm_open_file *));
    for (size_t i = o->nopened; i-- > 0 && rc == TSM_OK;) {
        char *path = tsm_path_join(dir, files[i].text);
        rc = open_file(fs, path, &files[i], old, &o->opened[i], err);
        *vanished = rc == TSM_ENOTFOUND;
        tsm_free(path);
    }
    tsm_free(files);
    tsm_names_release(&names);
    return rc;
}

static struct tsm_open_files *new_files(void)
{
    struct tsm_open_files *o = tsm_calloc(1, sizeof *o);
    atomic_init(&o->shares, 1);
    return o;
}

static int open_folder(const struct tsm_fs *fs, const char *dir, const struct tsm_open_files *old,
                       struct tsm_open_files **out, struct tsm_err *err)
{
    bool vanished = true;
    int rc = TSM_OK;
    for (int i = 0; vanished && i < MAX_LISTINGS; i++) {
        *out = new_files();
        rc = open_listed(fs, dir, old, *out, &vanished, err);
        if (rc == TSM_ENOTFOUND && !vanished) {
            (*out)->missing = true;
            rc = TSM_OK;
        }
        if (rc == TSM_OK)
            return TSM_OK;
        tsm_open_files_close(*out);
        *out = NULL;
    }
    if (vanished)
        rc = err->code = TSM_EIO; /* a link to nothing: not to be taken for a folder that is not there */
    return rc;
}

static bool same_files(const struct tsm_open_files *a, const struct tsm_open_files *b)
{
    bool same = a->missing == b->missing && a->nopened == b->nopened;
    for (size_t i = 0; same && i < a->nopened; i++)
        same = a->opened[i] == b->opened[i];
    return same;
}

bool tsm_open_files_current(const struct tsm_fs *fs, const char *dir, const struct tsm_open_files *o)
{
    struct tsm_fs_stat st;
    int e = fs->stat(fs->ctx, dir, &st);
    if (o->missing)
        return e == -ENOENT;
    return e == 0 && st.mtime == o->mtime && o->mtime < o->listed - CLOCK_TICK;
}

/* ---- the union of their keys ---- */

static void keep_message(void *ctx, const char *message)
{
    tsm_buf_add(ctx, message, strlen(message) + 1);
}

static void take_readers(struct tsm_open_files *o)
{
    uint64_t indexes = 0;
    o->files = tsm_calloc(o->nopened, sizeof(struct tsm_reader *));
    for (size_t i = 0; i < o->nopened; i++) {
        if (!o->opened[i]->reader) {
            keep_message(&o->faults, o->opened[i]->fault);
            continue;
        }
        struct tsm_reader *r = o->files[o->nfiles++] = o->opened[i]->reader;
        indexes += r->index_size;
        o->bytes += sizeof *r + r->nkeys * sizeof *r->keys + r->tombstones.n * sizeof *r->tombstones.items;
        if (indexes > TSM_INDEXES_KEPT) /* they have been checked from end to end */
            tsm_reader_forget(r, 0, r->nkeys, false);
    }
}

static int unite(struct tsm_open_files *o, struct tsm_err *err)
{
    struct tsm_damage damage = {.skip = true, .report = keep_message, .ctx = &o->faults};
    struct tsm_shard s = {.files = o->files, .nfiles = o->nfiles, .damage = &damage};
    int rc = tsm_shard_unite_keys(&s, err);
    o->nkeys = s.nkeys;
    o->places = s.places;
    o->first = s.first;
    return rc;
}

static void count_bytes(struct tsm_open_files *o)
{
    if (o->first)
        o->bytes += o->nkeys * sizeof *o->first + o->first[o->nkeys] * sizeof *o->places;
}

int tsm_open_files_open(const struct tsm_fs *fs, const char *dir, const struct tsm_open_files *old,
                        struct tsm_open_files **now, struct tsm_err *err)
{
    struct tsm_err local;
    if (!err)
        err = &local;
    int rc = open_folder(fs, dir, old, now, err);
    if (rc != TSM_OK)
        return rc;
    if (old && same_files(old, *now)) {
        tsm_open_files_close(*now);
        *now = NULL;
        return TSM_OK;
    }
    take_readers(*now);
    if (!old || !tsm_open_files_unite_over(old, *now))
        rc = unite(*now, err);
    count_bytes(*now);
    if (rc != TSM_OK) {
        tsm_open_files_close(*now);
        *now = NULL;
    }
    return rc;
}

int tsm_open_files_look(const struct tsm_fs *fs, const char *dir, struct tsm_open_files *old,
                        struct tsm_open_files **now, struct tsm_err *err)
{
    if (old && tsm_open_files_current(fs, dir, old)) {
        *now = tsm_open_files_share(old);
        return TSM_OK;
    }
    int64_t listed = tsm_now(), mtime = folder_mtime(fs, dir);
    int rc = tsm_open_files_open(fs, dir, old, now, err);
    if (rc == TSM_OK && !*now) {
        old->listed = listed;
        old->mtime = mtime;
        *now = tsm_open_files_share(old);
    }
    return rc;
}

int tsm_open_files_pass(const struct tsm_open_files *o, const struct tsm_damage *damage, struct tsm_err *err)
{
    const char *text = (const char *)o->faults.data;
    for (size_t at = 0; at < o->faults.len; at += strlen(text + at) + 1) {
        struct tsm_err fault;
        tsm_err_set(&fault, TSM_ECORRUPT, "%s", text + at);
        int rc = tsm_damage_pass(damage, &fault);
        if (rc != TSM_OK) {
            if (err)
                *err = fault;
            return rc;
        }
    }
    return TSM_OK;
}

/* ---- finding many keys ---- */

static struct tsm_str key_of(const struct tsm_open_files *o, size_t i)
{
    if (!o->places)
        return tsm_reader_key(o->files[0], i);
    const struct tsm_place *p = &o->places[o->first[i]];
    return tsm_reader_key(o->files[p->file], p->position);
}

void tsm_open_files_index(struct tsm_open_files *o)
{
    if (o->slots)
        return;
    size_t n = 64;
    while (n < o->nkeys + o->nkeys / 2)
        n *= 2;
    o->slots = tsm_calloc(n, sizeof *o->slots);
    o->mask = n - 1;
    o->bytes += n * sizeof *o->slots;
    for (size_t i = 0; i < o->nkeys; i++) {
        size_t at = tsm_hash(key_of(o, i)) & o->mask;
        while (o->slots[at])
            at = (at + 1) & o->mask;
        o->slots[at] = (uint32_t)i + 1;
    }
}

bool tsm_open_files_has(const struct tsm_open_files *o, struct tsm_str key)
{
    if (o->slots) {
        for (size_t at = tsm_hash(key) & o->mask; o->slots[at]; at = (at + 1) & o->mask)
            if (tsm_str_eq(key_of(o, o->slots[at] - 1), key))
                return true;
        return false;
    }
    size_t from = 0, to = o->nkeys;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int c = tsm_str_cmp(key_of(o, middle), key);
        if (c == 0)
            return true;
        if (c < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return false;
}
