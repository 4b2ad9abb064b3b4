/*
 * tests/unit/faulty_fs.h: a disk that fails on command: the real one, with the n-th call of chosen kinds
 * failing.
 *
 *   struct faulty_fs f;
 *   faulty_fs_init(&f);
 *   for (f.fail_at = 1;; f.fail_at++) {
 *       f.calls = 0;
 *       r = what_is_tested(&f.fs);
 *       if (f.calls < f.fail_at)
 *           break;              // it succeeded before the fault came: every call has failed once
 *   }
 *
 * May be used by several threads.
 */
#ifndef TESTS_FAULTY_FS_H
#define TESTS_FAULTY_FS_H

#include <stdatomic.h>

#include "sys/fs.h"

enum {
    FAULTY_OPEN = 1 << 0,
    FAULTY_CLOSE = 1 << 1, /* the descriptor is closed all the same */
    FAULTY_READ = 1 << 2,  /* pread, mmap, fstat, stat, list */
    FAULTY_WRITE = 1 << 3, /* write, ftruncate */
    FAULTY_FSYNC = 1 << 4,
    FAULTY_RENAME = 1 << 5,
    FAULTY_UNLINK = 1 << 6, /* unlink, rmdir */
    FAULTY_MKDIR = 1 << 7,
    FAULTY_LOCK = 1 << 8,
    FAULTY_ALL = (1 << 9) - 1,
};

struct faulty_fs {
    struct tsm_fs fs;   /* what the code under test gets; valid while this struct stays in place */
    unsigned kinds;     /* which calls are counted and may fail; FAULTY_ALL at first */
    int error;          /* errno value of the failure; EIO at first */
    long fail_at;       /* the number of the call that fails, from 1; 0: none */
    bool for_good;      /* every counted call from that one on fails, as on a full disk */
    size_t short_write; /* most bytes that one write takes; 0: no limit */
    atomic_long calls;  /* counted so far */
};

void faulty_fs_init(struct faulty_fs *f);

#endif
