/*
 * format/tsm_writer.h: writing one TSM file.
 *
 * Keys are given in ascending order, each key's blocks in ascending time. The file is written under a
 * temporary name and gets its final one in tsm_writer_install(), after fsync. The index is kept in memory
 * until then, and beyond a limit in a second temporary file.
 */
#ifndef TSM_FORMAT_TSM_WRITER_H
#define TSM_FORMAT_TSM_WRITER_H

#include "codec/values.h"
#include "format/tsm_file.h"
#include "sys/fs.h"

struct tsm_writer;

/* path: the final name; the temporary one is path + ".tmp". */
int tsm_writer_open(const struct tsm_fs *fs, const char *path, struct tsm_writer **w, struct tsm_err *err);
/* Appends an already encoded block (without CRC); its CRC is computed here. */
int tsm_writer_block(struct tsm_writer *w, struct tsm_str key, enum tsm_type type, int64_t tmin, int64_t tmax,
                     const uint8_t *block, size_t len, struct tsm_err *err);
/* As above for `len` bytes that start with their CRC (block copy). */
int tsm_writer_copy(struct tsm_writer *w, struct tsm_str key, enum tsm_type type, int64_t tmin, int64_t tmax,
                    const uint8_t *crc_and_block, size_t len, struct tsm_err *err);
/* The index may take so many bytes of memory; what is more goes to path + ".index.tmp". SIZE_MAX, which is the default, keeps all
 * in memory. */
void tsm_writer_limit_memory(struct tsm_writer *w, size_t bytes);
/* The files this one is made from; copied. */
void tsm_writer_origins(struct tsm_writer *w, const struct tsm_origin *origins, size_t n);
uint64_t tsm_writer_size(const struct tsm_writer *w); /* of the file if it were finished now */
size_t tsm_writer_memory(const struct tsm_writer *w); /* held for the index */
bool tsm_writer_empty(const struct tsm_writer *w);
/* Index, seal, footer and fsync, under the temporary name, which is also at *tmp (valid until w is freed): for looking at
 * the file before it is installed. Then only tsm_writer_install() or tsm_writer_abandon() may follow. */
int tsm_writer_finish(struct tsm_writer *w, const char **tmp, struct tsm_err *err);
/* Index, seal, footer, fsync (unless finished), rename, fsync of the directory. Frees w, also on failure. An empty writer
 * installs nothing: use tsm_writer_abandon(). */
int tsm_writer_install(struct tsm_writer *w, struct tsm_err *err);
void tsm_writer_abandon(struct tsm_writer *w); /* removes the temporary file and frees w; NULL is allowed */

#endif
