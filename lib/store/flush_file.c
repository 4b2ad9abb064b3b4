/* store/flush_file.c: one file after the other, each closed before a limit of the format is reached. */
#include "store/flush_file.h"

#include "base/alloc.h"
#include "base/banned.h"

enum {
    LEVEL = 1,
    LAST_GENERATION = 999999999, /* nine digits: names are in the order of their numbers */
    ENTRY_ROOM = 64,             /* what a block takes in the index besides its key, and more */
};

static int start(struct tsm_flush_file *f, struct tsm_err *err)
{
    uint32_t *next = f->late ? &f->files->next_late : &f->files->next_ordered;
    if (*next > (f->late ? LAST_GENERATION : TSM_FIRST_LATE_GENERATION - 1))
        return tsm_err_set(err, TSM_ELIMIT, "%s: no free generation for a file", f->files->dir);
    f->name = (struct tsm_file_name){*next, LEVEL};
    char *path = tsm_shard_files_path(f->files, f->name);
    int rc = tsm_writer_open(f->fs, path, &f->writer, err);
    tsm_free(path);
    if (rc != TSM_OK)
        return rc;
    tsm_writer_limit_memory(f->writer, f->index_memory);
    ++*next;
    tsm_buf_reset(&f->first);
    tsm_buf_reset(&f->last);
    f->entries = 0;
    f->tmin = INT64_MAX;
    f->tmax = INT64_MIN;
    return TSM_OK;
}

int tsm_flush_file_block(struct tsm_flush_file *f, struct tsm_str key, enum tsm_type type, int64_t tmin,
                         int64_t tmax, const uint8_t *block, size_t len, struct tsm_err *err)
{
    bool same = f->writer && tsm_str_eq(key, tsm_buf_view(&f->last));
    if (f->writer && ((same && f->entries == TSM_MAX_ENTRIES) ||
                      tsm_writer_size(f->writer) + len + key.n + ENTRY_ROOM > TSM_MAX_FILE_SIZE)) {
        int rc = tsm_flush_file_finish(f, err);
        if (rc != TSM_OK)
            return rc;
        same = false;
    }
    if (!f->writer) {
        int rc = start(f, err);
        if (rc != TSM_OK)
            return rc;
        tsm_buf_str(&f->first, key);
    }
    if (!same) {
        tsm_buf_reset(&f->last);
        tsm_buf_str(&f->last, key);
        f->entries = 0;
    }
    f->entries++;
    if (tmin < f->tmin)
        f->tmin = tmin;
    if (tmax > f->tmax)
        f->tmax = tmax;
    return tsm_writer_block(f->writer, key, type, tmin, tmax, block, len, err);
}

int tsm_flush_file_finish(struct tsm_flush_file *f, struct tsm_err *err)
{
    if (!f->writer)
        return TSM_OK;
    uint64_t size = tsm_writer_size(f->writer);
    int rc = tsm_writer_install(f->writer, err);
    f->writer = NULL;
    if (rc != TSM_OK)
        return rc;
    tsm_shard_files_add(f->files, f->name, f->tmin, f->tmax, tsm_buf_view(&f->first), tsm_buf_view(&f->last));
    f->count++;
    f->bytes += size;
    return TSM_OK;
}

void tsm_flush_file_release(struct tsm_flush_file *f)
{
    tsm_writer_abandon(f->writer);
    f->writer = NULL;
    tsm_buf_release(&f->first);
    tsm_buf_release(&f->last);
}
