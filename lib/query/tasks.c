/* query/tasks.c: the table of running queries, ascending by id. */
#include "query/tasks.h"

#include <inttypes.h>
#include <pthread.h>

#include "base/alloc.h"
#include "base/time.h"

#include "base/banned.h"

struct task {
    uint64_t id;
    char *query, *database;
    size_t query_len, database_len;
    int64_t started;
    struct tsm_query_control *control;
};

struct tsm_tasks {
    pthread_mutex_t mutex;
    struct task *tasks;
    size_t n, cap;
    uint64_t max, last;
    bool shutdown;
};

struct tsm_tasks *tsm_tasks_new(uint64_t max)
{
    struct tsm_tasks *t = tsm_calloc(1, sizeof *t);
    pthread_mutex_init(&t->mutex, NULL);
    t->max = max;
    return t;
}

void tsm_tasks_free(struct tsm_tasks *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n; i++) {
        tsm_free(t->tasks[i].query);
        tsm_free(t->tasks[i].database);
    }
    tsm_free(t->tasks);
    pthread_mutex_destroy(&t->mutex);
    tsm_free(t);
}

/* With the mutex held. */
static int refuse(const struct tsm_tasks *t, struct tsm_err *err)
{
    if (t->shutdown)
        return tsm_err_set(err, TSM_EQUERY, "query engine shutdown");
    if (t->max && t->n >= t->max)
        return tsm_err_set(err, TSM_EQUERY, "max-concurrent-queries limit exceeded(%zu, %" PRIu64 ")", t->n,
                           t->max);
    return TSM_OK;
}

int tsm_tasks_add(struct tsm_tasks *t, struct tsm_str query, struct tsm_str database,
                  struct tsm_query_control *control, uint64_t *id, struct tsm_err *err)
{
    struct task task = {
        .query = tsm_strndup(query.p, query.n),
        .query_len = query.n,
        .database = tsm_strndup(database.p, database.n),
        .database_len = database.n,
        .started = tsm_monotonic(),
        .control = control,
    };
    pthread_mutex_lock(&t->mutex);
    int rc = refuse(t, err);
    if (rc == TSM_OK) {
        task.id = *id = ++t->last;
        TSM_GROW(t->tasks, t->n + 1, t->cap);
        t->tasks[t->n++] = task;
    }
    pthread_mutex_unlock(&t->mutex);
    if (rc != TSM_OK) {
        tsm_free(task.query);
        tsm_free(task.database);
    }
    return rc;
}

/* t->n when there is none. With the mutex held. */
static size_t find(const struct tsm_tasks *t, uint64_t id)
{
    size_t i = 0;
    while (i < t->n && t->tasks[i].id != id)
        i++;
    return i;
}

void tsm_tasks_remove(struct tsm_tasks *t, uint64_t id)
{
    struct task removed = {0};
    pthread_mutex_lock(&t->mutex);
    size_t i = find(t, id);
    if (i < t->n) {
        removed = t->tasks[i];
        memmove(t->tasks + i, t->tasks + i + 1, (--t->n - i) * sizeof *t->tasks);
    }
    pthread_mutex_unlock(&t->mutex);
    tsm_free(removed.query);
    tsm_free(removed.database);
}

/* Whether it was this that ended the query. */
static bool end(struct tsm_query_control *control, enum tsm_query_end how)
{
    int none = TSM_END_NONE;
    return atomic_compare_exchange_strong(&control->end, &none, how);
}

int tsm_tasks_kill(struct tsm_tasks *t, uint64_t id, struct tsm_err *err)
{
    int rc = TSM_OK;
    pthread_mutex_lock(&t->mutex);
    size_t i = find(t, id);
    if (i == t->n)
        rc = tsm_err_set(err, TSM_EQUERY, "no such query id: %" PRIu64, id);
    else if (!end(t->tasks[i].control, TSM_END_KILLED))
        rc = tsm_err_set(err, TSM_EQUERY, "already killed");
    pthread_mutex_unlock(&t->mutex);
    return rc;
}

void tsm_tasks_each(struct tsm_tasks *t, void (*each)(void *ctx, const struct tsm_task_view *v), void *ctx)
{
    pthread_mutex_lock(&t->mutex);
    for (size_t i = 0; i < t->n; i++) {
        const struct task *task = &t->tasks[i];
        struct tsm_task_view view = {
            .id = task->id,
            .query = tsm_str(task->query, task->query_len),
            .database = tsm_str(task->database, task->database_len),
            .started = task->started,
            .killed = atomic_load(&task->control->end) != TSM_END_NONE,
        };
        each(ctx, &view);
    }
    pthread_mutex_unlock(&t->mutex);
}

uint64_t tsm_tasks_count(struct tsm_tasks *t)
{
    pthread_mutex_lock(&t->mutex);
    uint64_t n = t->n;
    pthread_mutex_unlock(&t->mutex);
    return n;
}

void tsm_tasks_kill_all(struct tsm_tasks *t)
{
    pthread_mutex_lock(&t->mutex);
    t->shutdown = true;
    for (size_t i = 0; i < t->n; i++)
        (void)end(t->tasks[i].control, TSM_END_SHUTDOWN);
    pthread_mutex_unlock(&t->mutex);
}
