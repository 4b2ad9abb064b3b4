/*
 * tests/unit/power_run.h: a data directory on a disk that loses its power, again and again, against an oracle.
 *
 * One run is several lives of one directory. A life opens a writer, which takes the log that it finds, and does random
 * work: batches in order, late and rewritten, flushes, compactions, deletes, readers. It ends with a cut at a random change
 * of the disk, or the processes are killed there. Then the directory is read: for each series, field and time there must be what was acknowledged last, or
 * what was begun after that and not acknowledged; what was acknowledged as deleted or overwritten must not be back; and
 * nothing may be there that was never written. What was found is what the next life has to keep.
 */
#ifndef TESTS_POWER_RUN_H
#define TESTS_POWER_RUN_H

#include "power_fs.h"

struct power_run_options {
    uint64_t seed;
    int lives;
    bool lie;         /* the disk forgets to sync: something must get lost */
    int error;        /* not 0: instead of a cut, one call fails with this errno value … */
    bool for_good;    /* … and all that follow */
    long fail_at;     /* the call that fails, in the first life alone; 0: a random one in each */
    FILE *log;        /* what is done, in words; may be NULL */
    const char *keep; /* where to copy the directory when something is wrong; may be NULL */
};

/* Added to by each run. All are counts. */
struct power_run_figures {
    unsigned long cuts, kills, faults, writes, points, flushes, reads, opens;
    unsigned long compactions, deletes;
    unsigned long waits, full;  /* for room; what failed for want of it */
    unsigned long late_cuts;    /* planned for a change that never came: the power went between two calls */
    unsigned long kept_pending; /* values that were not acknowledged before a cut and there behind it … */
    unsigned long lost_pending; /* … and not there */
};

enum {
    POWER_FAULT_SEEDS = 1000000
}; /* by custom, seeds from here on are of runs with failures instead of cuts */

/* False: message (of at most size bytes) says what is wrong. */
bool power_run(const struct power_run_options *opt, struct power_run_figures *figures, char *message,
               size_t size);

void power_run_add(struct power_run_figures *sum, const struct power_run_figures *more);
void power_run_describe(const struct power_run_figures *f, char *text, size_t size);

#endif
