/*
 * format/tsm_reader.h: reading one TSM file through a mapping.
 *
 * Opening checks header, footer, seal and the whole index (order, bounds, sizes), so later index access
 * cannot fail; a block's CRC and content are checked when it is read. A reader is immutable and may be used
 * by several threads.
 */
#ifndef TSM_FORMAT_TSM_READER_H
#define TSM_FORMAT_TSM_READER_H

#include "codec/values.h"
#include "format/tombstone.h"
#include "format/tsm_file.h"
#include "sys/fs.h"

struct tsm_entry {
    int64_t tmin, tmax; /* inclusive */
    uint64_t offset;    /* of the CRC */
    uint32_t size;      /* CRC and block */
};

struct tsm_reader {
    char *path;
    struct tsm_map_file map;
    const uint64_t *keys; /* per key: offset of its index record in the file */
    size_t nkeys;
    uint64_t index_offset;
    uint64_t index_size;
    int64_t tmin, tmax; /* over all entries; tmin > tmax when there are no keys */
    bool sealed;
    struct tsm_origin *origins; /* what it was made from */
    size_t norigins;
    struct tsm_tombstones tombstones; /* of the keys of this file, which they share */
};

/* Also loads the tombstone file beside it. TSM_ECORRUPT: "PATH: offset N: cause"; TSM_ENOTFOUND: the file is
 * gone. */
int tsm_reader_open(const struct tsm_fs *fs, const char *path, struct tsm_reader **r, struct tsm_err *err);
/* The same without the tombstone file: for tools that look at the two apart. */
int tsm_reader_open_bare(const struct tsm_fs *fs, const char *path, struct tsm_reader **r,
                         struct tsm_err *err);
void tsm_reader_close(struct tsm_reader *r); /* NULL is allowed */

/* When the indexes of several files together are larger than this (bytes), what has been gone through of them is forgotten. */
enum { TSM_INDEXES_KEPT = 64 << 20 };

/* The index up to key `to` has been read, or with `blocks` the blocks, too, as whoever goes through the keys in their order does:
 * it need not count as memory (tsm_map_forget) any more. to may be nkeys. */
void tsm_reader_forget(const struct tsm_reader *r, size_t from, size_t to, bool blocks);

struct tsm_str tsm_reader_key(const struct tsm_reader *r, size_t i); /* points into the mapping */
enum tsm_type tsm_reader_type(const struct tsm_reader *r, size_t i);
size_t tsm_reader_entries(const struct tsm_reader *r, size_t i); /* number of entries of key i, at least 1 */
struct tsm_entry tsm_reader_entry(const struct tsm_reader *r, size_t i, size_t entry);
/* The first of the entries of key i, from `from` on, that ends at or after t; their number when none does. */
size_t tsm_reader_entry_at(const struct tsm_reader *r, size_t i, size_t from, int64_t t);
/* Index of the first key >= key (nkeys when none); *found when it is equal. */
size_t tsm_reader_seek(const struct tsm_reader *r, struct tsm_str key, bool *found);

/* Whether tombstones (ascending, some or all of those of key i) leave nothing of it: each of its blocks is within one of them. */
bool tsm_reader_is_deleted(const struct tsm_reader *r, size_t i, const struct tsm_tombstone *t, size_t n);
/* The same for all tombstones of the file. */
bool tsm_reader_key_is_deleted(const struct tsm_reader *r, size_t i);

/* The XXH3-64 of everything from the index to the end: the file's own digest in the origins of another. */
uint64_t tsm_reader_digest(const struct tsm_reader *r);

/* The encoded block of an entry, after its CRC was checked. */
int tsm_reader_block(const struct tsm_reader *r, const struct tsm_entry *e, const uint8_t **p, size_t *len,
                     struct tsm_err *err);
/* The number of values in a block, by its header: its CRC is not checked. */
int tsm_reader_count(const struct tsm_reader *r, const struct tsm_entry *e, size_t *n, struct tsm_err *err);
/* Checked and decoded, and compared with the entry (type, first and last time). Tombstones are not
 * applied. */
int tsm_reader_decode(const struct tsm_reader *r, size_t key, const struct tsm_entry *e,
                      struct tsm_values *out, struct tsm_err *err);

#endif
