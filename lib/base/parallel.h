/*
 * base/parallel.h: running a list of tasks on several threads, with the results taken in order.
 *
 * work() runs on any thread, for several tasks at once; emit() runs for one task at a time, in the
 * order of the task numbers, also on any thread. A task is not started when it is more than `ahead` tasks
 * in front of the next one to emit, so memory stays bounded. The first non-zero result of work or
 * emit stops the rest (each started task still ends) and is returned, with the message of that call.
 */
#ifndef TSM_BASE_PARALLEL_H
#define TSM_BASE_PARALLEL_H

#include <stddef.h>

#include "base/err.h"

struct tsm_parallel {
    unsigned jobs; /* threads; 1 runs everything in the caller's thread */
    size_t tasks;  /* number of tasks */
    size_t ahead;  /* 0: four per thread */
    void *ctx;
    /* *slot is this task's own pointer, NULL at first, handed from work to emit; emit frees it. When a task
     * was worked but never emitted (an error stopped the run), drop gets it. thread is 0 … jobs-1. */
    int (*work)(void *ctx, size_t task, unsigned thread, void **slot, struct tsm_err *err);
    int (*emit)(void *ctx, size_t task, void *slot, struct tsm_err *err); /* may be NULL */
    void (*drop)(void *ctx, void *slot);                                  /* may be NULL */
};

int tsm_parallel_run(const struct tsm_parallel *p, struct tsm_err *err);

/* Online CPUs, at least 1. */
unsigned tsm_cpu_count(void);

#endif
