/*
 * store/open_files.h: the TSM files of a shard, open, with the union of their keys: what readers share and keep between queries.
 *
 * Immutable, but for what only their owner looks at; shared by counting.
 */
#ifndef TSM_STORE_OPEN_FILES_H
#define TSM_STORE_OPEN_FILES_H

#include "store/shard.h"

struct tsm_open_file;

struct tsm_open_files {
    _Atomic unsigned shares;
    struct tsm_open_file **opened; /* ascending by name, also those that could not be read */
    size_t nopened;
    struct tsm_reader **files; /* as in struct tsm_shard */
    size_t nfiles;
    size_t nkeys;
    struct tsm_place *places;
    uint32_t *first;
    struct tsm_buf faults; /* what is left out: messages, each terminated */
    bool missing;          /* there is no folder */
    size_t bytes;          /* memory, roughly */

    /* of the owner */
    int64_t mtime, listed; /* of the folder, and when it was looked at (wall clock) */
    uint32_t *slots;       /* the numbers of the keys by their hash, + 1; NULL: not made */
    size_t mask;
};

/* The files that are in folder dir now: `old` once more when they are the same; else what they have in common is shared. A folder
 * that has not changed by its mtime is not listed. The caller is the owner of old (which may be NULL) and keeps it. */
int tsm_open_files_look(const struct tsm_fs *fs, const char *dir, struct tsm_open_files *old,
                        struct tsm_open_files **now, struct tsm_err *err);
/* The same for those who are not the owner of old (not NULL) and share it: *now is NULL when nothing has changed. */
int tsm_open_files_open(const struct tsm_fs *fs, const char *dir, const struct tsm_open_files *old,
                        struct tsm_open_files **now, struct tsm_err *err);
struct tsm_open_files *tsm_open_files_share(struct tsm_open_files *o);
void tsm_open_files_close(struct tsm_open_files *o); /* gives it up; NULL is allowed */
/* Whether the folder has certainly not changed since it was listed. */
bool tsm_open_files_current(const struct tsm_fs *fs, const char *dir, const struct tsm_open_files *o);

/* TSM_OK when damage passes over what was left out, after reporting that. */
int tsm_open_files_pass(const struct tsm_open_files *o, const struct tsm_damage *damage, struct tsm_err *err);

/* Whether a file has the key. The owner alone; many: it will be asked often. */
void tsm_open_files_index(struct tsm_open_files *o);
bool tsm_open_files_has(const struct tsm_open_files *o, struct tsm_str key);

#endif
