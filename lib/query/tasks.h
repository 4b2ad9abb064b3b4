/*
 * query/tasks.h: the queries that are running, for SHOW QUERIES and KILL QUERY, and the limit on how many there may be.
 * Thread-safe. A program without a table (tsm-query) has none: SHOW QUERIES is empty there.
 */
#ifndef TSM_QUERY_TASKS_H
#define TSM_QUERY_TASKS_H

#include <stdbool.h>

#include "query/control.h"

struct tsm_tasks;

/* max: queries at a time, 0: any number. */
struct tsm_tasks *tsm_tasks_new(uint64_t max);
void tsm_tasks_free(struct tsm_tasks *t);

struct tsm_task_view {
    uint64_t id;
    struct tsm_str query, database;
    int64_t started; /* monotonic nanoseconds */
    bool killed;
};

/* Adds a query (texts are copied), *id from 1 on. TSM_EQUERY "max-concurrent-queries limit exceeded(%d, %d)". "query engine
 * shutdown" after tsm_tasks_kill_all(). control stays in place until tsm_tasks_remove(). */
int tsm_tasks_add(struct tsm_tasks *t, struct tsm_str query, struct tsm_str database,
                  struct tsm_query_control *control, uint64_t *id, struct tsm_err *err);
void tsm_tasks_remove(struct tsm_tasks *t, uint64_t id);
/* TSM_EQUERY "no such query id: %d", "already killed". */
int tsm_tasks_kill(struct tsm_tasks *t, uint64_t id, struct tsm_err *err);
/* Calls each for every task, ascending by id, with the table locked. */
void tsm_tasks_each(struct tsm_tasks *t, void (*each)(void *ctx, const struct tsm_task_view *v), void *ctx);
uint64_t tsm_tasks_count(struct tsm_tasks *t);
/* SIGTERM: all queries end, and none begins. */
void tsm_tasks_kill_all(struct tsm_tasks *t);

#endif
