/*
 * format/tombstone_writer.h: adding deletes to the tombstone file of a TSM file.
 *
 * Version 4 of the format is a list of gzip members, one or more for each delete. So what the file holds is copied as it is,
 * new members follow, and the whole takes the old one's place at once (sys/fs.h). Members are packed one by one, so several
 * threads may pack them.
 */
#ifndef TSM_FORMAT_TOMBSTONE_WRITER_H
#define TSM_FORMAT_TOMBSTONE_WRITER_H

#include "format/tombstone.h"

enum { TSM_TOMBSTONE_MEMBER = 1 << 20 }; /* bytes of entries that make a good member */

/* Appends an entry to the plain bytes of a member. */
void tsm_tombstone_entry(struct tsm_buf *plain, struct tsm_str key, int64_t tmin, int64_t tmax);
/* Appends the member that holds these entries. */
int tsm_tombstone_pack(struct tsm_str plain, struct tsm_buf *member, struct tsm_err *err);

struct tsm_tombstone_writer {
    struct tsm_file file; /* under a temporary name */
    char *path;
};

/* path: of the tombstone file, which may be missing; old: what it holds, as it was read. Entries that a later one made needless are
 * left out once there are many of them. TSM_ELIMIT when there is not room for `more` entries. */
int tsm_tombstone_writer_open(const struct tsm_fs *fs, const char *path, const struct tsm_tombstones *old,
                              size_t more, struct tsm_tombstone_writer *w, struct tsm_err *err);
/* The same without what the file holds. */
int tsm_tombstone_writer_create(const struct tsm_fs *fs, const char *path, struct tsm_tombstone_writer *w,
                                struct tsm_err *err);
int tsm_tombstone_writer_add(struct tsm_tombstone_writer *w, const struct tsm_buf *member,
                             struct tsm_err *err);
/* Packs and adds a whole list. */
int tsm_tombstone_writer_list(struct tsm_tombstone_writer *w, const struct tsm_tombstones *t,
                              struct tsm_err *err);
/* fsync, but still under the temporary name, which is given (tsm_free): renaming it to path remains to be done. Releases w, also on
 * failure. */
int tsm_tombstone_writer_finish(struct tsm_tombstone_writer *w, char **tmp, struct tsm_err *err);
/* fsync, rename, fsync of the directory. Releases w, also on failure. */
int tsm_tombstone_writer_install(struct tsm_tombstone_writer *w, struct tsm_err *err);
void tsm_tombstone_writer_abandon(struct tsm_tombstone_writer *w); /* accepts a zeroed or released one */

#endif
