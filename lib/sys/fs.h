/*
 * sys/fs.h: every system call that touches a disk, behind a table that tests replace.
 *
 * The members have the semantics of the calls they are named after, except that failures are returned as
 * negative errno values (-ENOSPC) instead of through errno. Short reads and writes and EINTR are
 * handled by the tsm_file_* functions below, not by the table. Code in lib/ takes a
 * `const struct tsm_fs *`; programs pass &tsm_fs_posix.
 */
#ifndef TSM_SYS_FS_H
#define TSM_SYS_FS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct tsm_fs_stat {
    uint64_t size;
    int64_t mtime; /* last change of the content, nanoseconds since 1970 */
    bool is_dir;
    bool is_special; /* neither a file nor a directory: a FIFO, a device */
};

struct tsm_fs {
    void *ctx;                                                        /* given to every call */
    int (*open)(void *ctx, const char *path, int flags, mode_t mode); /* a descriptor; O_CLOEXEC is added */
    int (*close)(void *ctx, int fd);
    ssize_t (*pread)(void *ctx, int fd, void *p, size_t n, off_t offset);
    ssize_t (*write)(void *ctx, int fd, const void *p, size_t n);
    int (*fsync)(void *ctx, int fd);
    int (*ftruncate)(void *ctx, int fd, off_t size);
    int (*fstat)(void *ctx, int fd, struct tsm_fs_stat *st);
    int (*stat)(void *ctx, const char *path, struct tsm_fs_stat *st);
    int (*rename)(void *ctx, const char *from, const char *to);
    int (*unlink)(void *ctx, const char *path);
    int (*rmdir)(void *ctx, const char *path);
    int (*mkdir)(void *ctx, const char *path, mode_t mode);
    /* Calls each(arg, name) for every entry but . and .., in no order; a non-zero result ends the
     * listing and is returned. */
    int (*list)(void *ctx, const char *path, int (*each)(void *arg, const char *name), void *arg);
    int (*mmap)(void *ctx, int fd, size_t size, const uint8_t **p); /* shared, read-only; size > 0 */
    int (*munmap)(void *ctx, const uint8_t *p, size_t size);
    /* Whole pages of a mapping that will hardly be read again: they stop counting as memory of this process, and come back
     * when they are read. NULL where this means nothing. */
    void (*forget)(void *ctx, const uint8_t *p, size_t size);
    /* Exclusive open-file-description lock; without waiting -EAGAIN when another has it. Closing unlocks. */
    int (*lock)(void *ctx, int fd, bool wait);
    int (*unlock)(void *ctx, int fd);
    /* Room on the disk that holds path: what an unprivileged user may still take, and all there is. */
    int (*space)(void *ctx, const char *path, uint64_t *free_bytes, uint64_t *total_bytes);
};

extern const struct tsm_fs tsm_fs_posix;

/* A file being written in order. Bytes are collected and written in large pieces. */
struct tsm_file {
    const struct tsm_fs *fs;
    int fd;       /* -1: not open */
    bool special; /* set after the creation when a user's path is a device or a pipe: no fsync, no unlink */
    char *path;
    uint64_t size;      /* bytes given so far, written or collected */
    size_t unsynced;    /* bytes written since the last fsync */
    struct tsm_buf buf; /* collected */
};

int tsm_file_create(const struct tsm_fs *fs, const char *path, struct tsm_file *f,
                    struct tsm_err *err); /* truncates */
/* The same behind what the file has, if there is one. */
int tsm_file_append(const struct tsm_fs *fs, const char *path, struct tsm_file *f, struct tsm_err *err);
int tsm_file_write(struct tsm_file *f, const void *p, size_t n, struct tsm_err *err);
/* Writes what is collected and fsyncs. */
int tsm_file_sync(struct tsm_file *f, struct tsm_err *err);
/* Writes what is collected, fsyncs and closes. After a failure the file stays with what it got. */
int tsm_file_finish(struct tsm_file *f, struct tsm_err *err);
/* As finish, then renames to path and fsyncs the directory: the atomic install. On failure the temporary
 * file is removed and nothing named path has changed; only when that last fsync fails, path is the new file
 * already, but perhaps not after a loss of power. */
int tsm_file_install(struct tsm_file *f, const char *path, struct tsm_err *err);
/* Closes and, unless it is special, unlinks; for error paths. Accepts a zeroed, finished or installed file
 * (does nothing then). */
void tsm_file_abandon(struct tsm_file *f);

/* A whole file mapped for reading. TSM_ECORRUPT when it is not a regular file. An empty file maps to data
 * NULL, size 0. A file must not be truncated in place while it is mapped; tsmkit never does. */
struct tsm_map_file {
    const struct tsm_fs *fs;
    const uint8_t *data;
    size_t size;
};

int tsm_map_open(const struct tsm_fs *fs, const char *path, struct tsm_map_file *m, struct tsm_err *err);
void tsm_map_close(struct tsm_map_file *m);
/* The bytes before `to` will hardly be read again, nor were those before `from`: the pages between need not count as memory of
 * this process. */
void tsm_map_forget(const struct tsm_map_file *m, uint64_t from, uint64_t to);

/* Reads a whole file of at most limit bytes (TSM_ELIMIT beyond) into out. TSM_ECORRUPT when it is not a
 * regular file. */
int tsm_fs_read_file(const struct tsm_fs *fs, const char *path, size_t limit, struct tsm_buf *out,
                     struct tsm_err *err);
/* Writes bytes to path + ".tmp", fsyncs, renames to path, fsyncs the directory. */
int tsm_fs_write_file(const struct tsm_fs *fs, const char *path, struct tsm_str bytes, struct tsm_err *err);
int tsm_fs_sync_dir(const struct tsm_fs *fs, const char *dir, struct tsm_err *err);
/* fsyncs the directory that holds path. */
int tsm_fs_sync_parent(const struct tsm_fs *fs, const char *path, struct tsm_err *err);
/* Unlinks path (absence is success); does not fsync the directory. */
int tsm_fs_remove(const struct tsm_fs *fs, const char *path, struct tsm_err *err);
/* Removes a directory and all below it; absence is success. */
int tsm_fs_remove_tree(const struct tsm_fs *fs, const char *path, struct tsm_err *err);
/* Creates path and its missing parents, fsyncing each parent directory that got an entry. */
int tsm_fs_make_dirs(const struct tsm_fs *fs, const char *path, struct tsm_err *err);
/* Makes the entries of all directories on the way to path durable, also of those that were there: whoever made them may have
 * been killed before the fsync. A parent that may not be opened, or cannot be synced, is passed over: others made it. */
int tsm_fs_sync_way(const struct tsm_fs *fs, const char *path, struct tsm_err *err);
bool tsm_fs_exists(const struct tsm_fs *fs, const char *path);
/* Names in dir, sorted bytewise, each terminated and owned by the list. A missing directory gives
 * TSM_ENOTFOUND. The directory is listed until two listings agree: a single one, made while a file is renamed or another one takes
 * the place of several, may show neither the old names nor the new one. */
struct tsm_names {
    char **names;
    size_t n, cap;
};
int tsm_fs_list(const struct tsm_fs *fs, const char *dir, struct tsm_names *out, struct tsm_err *err);
void tsm_names_release(struct tsm_names *l);

/* A lock that processes share: a file that is locked while it is held, and never removed. It holds the name of its
 * holder for others to read. */
struct tsm_lock {
    const struct tsm_fs *fs;
    int fd;
};

/* holder: "tsm-ingest, process 4711". TSM_ELOCKED names the present holder in the message. */
int tsm_lock_take(const struct tsm_fs *fs, const char *path, const char *holder, struct tsm_lock *lock,
                  struct tsm_err *err);
void tsm_lock_release(struct tsm_lock *lock); /* accepts a zeroed lock */

/* The same for a lock that is taken very often: open once (creating the file; its directory exists), then
 * acquire, waiting for whoever has it, and drop. Nameless. tsm_lock_release() closes. */
int tsm_lock_open(const struct tsm_fs *fs, const char *path, struct tsm_lock *lock, struct tsm_err *err);
int tsm_lock_acquire(struct tsm_lock *lock, struct tsm_err *err);
void tsm_lock_drop(struct tsm_lock *lock);

#endif
