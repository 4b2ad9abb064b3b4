/*
 * store/file_set.h: the files of a shard as a compaction sees them: names, sizes, times, what is unreadable; and readers of
 * those that it has to look into.
 */
#ifndef TSM_STORE_FILE_SET_H
#define TSM_STORE_FILE_SET_H

#include "format/tsm_file.h"
#include "format/tsm_reader.h"
#include "store/damage.h"
#include "sys/fs.h"

struct tsm_set_file {
    struct tsm_file_name name;
    struct tsm_reader *reader; /* NULL: not opened, or unreadable */
    bool
        unreadable; /* does not check, or has a name with fewer digits than usual, which no compaction can call */
    bool tombstones; /* a tombstone file is beside it */
    uint64_t size;
    int64_t mtime;
};

struct tsm_file_set {
    const struct tsm_fs *fs;
    char *dir;
    struct tsm_set_file *files; /* ascending by name */
    size_t n, cap;
    size_t nordered;             /* the first so many are ordered, the others out of order */
    struct tsm_file_name *taken; /* names of TSM files and of tombstones without one, ascending */
    size_t ntaken, captaken;
};

/* Lists the folder (copied); a missing one is empty. */
int tsm_file_set_list(const struct tsm_fs *fs, const char *dir, struct tsm_file_set *s, struct tsm_err *err);
/* Opens file i, unless it is open or unreadable. One that does not check becomes unreadable and is reported to damage
 * (may be NULL), whatever its skip says; *err has the cause then, too. TSM_ENOTFOUND: it is gone since the listing. */
int tsm_file_set_open(struct tsm_file_set *s, size_t i, const struct tsm_damage *damage, struct tsm_err *err);
/* The number of a file; s->n when there is no such file. */
size_t tsm_file_set_find(const struct tsm_file_set *s, struct tsm_file_name name);
/* Whether something has this name, or, with level 0, this generation. */
bool tsm_file_set_taken(const struct tsm_file_set *s, struct tsm_file_name name);
/* Forgets the files from number n on; their names stay taken. */
void tsm_file_set_trim(struct tsm_file_set *s, size_t n);
void tsm_file_set_release(struct tsm_file_set *s);

/* Whether text, one of the names in a folder, is a tombstone file that has lost its TSM file, and would hit another one of that
 * name. One that was set aside (.tsm.bad) still has a use for it. */
bool tsm_is_orphan_tombstone(const struct tsm_names *names, const char *text);

#endif
