/* store/flush_file.h: the files of one shard that a flush writes to: an ordered or an out-of-order one at a
 * time. */
#ifndef TSM_STORE_FLUSH_FILE_H
#define TSM_STORE_FLUSH_FILE_H

#include "format/tsm_writer.h"
#include "store/shard_files.h"

/* A zeroed struct with fs, files and late set has no file open. */
struct tsm_flush_file {
    const struct tsm_fs *fs;
    struct tsm_shard_files *files;
    bool late;
    size_t index_memory; /* of the file that is open: what is more waits in a file beside */
    struct tsm_writer *writer;
    struct tsm_file_name name;
    struct tsm_buf first, last; /* keys */
    uint32_t entries;           /* of the last key */
    int64_t tmin, tmax;
    uint64_t count, bytes; /* files installed */
};

int tsm_flush_file_block(struct tsm_flush_file *f, struct tsm_str key, enum tsm_type type, int64_t tmin,
                         int64_t tmax, const uint8_t *block, size_t len, struct tsm_err *err);
/* Installs the file that is open, if any. */
int tsm_flush_file_finish(struct tsm_flush_file *f, struct tsm_err *err);
/* Abandons the file that is open, if any, and frees. */
void tsm_flush_file_release(struct tsm_flush_file *f);

#endif
