/* query/show_queries.c: SHOW QUERIES and KILL QUERY, by the table of the process (query/tasks.h). */
#include "base/alloc.h"
#include "base/time.h"
#include "query/show_impl.h"

#include "base/banned.h"

struct task {
    uint64_t id;
    struct tsm_str query, database, duration;
    bool killed;
};

struct list { /* a copy, so that a slow reader does not hold up the table */
    struct tsm_arena arena;
    struct task *tasks;
    size_t n, cap;
    int64_t now;
};

/* As influxd rounds it: to whole seconds, milliseconds or microseconds. */
static struct tsm_str print_duration(struct tsm_arena *a, int64_t d)
{
    char text[TSM_TIME_TEXT_MAX];
    d = d < 0 ? 0 : d;
    d -= d % (d >= TSM_SEC ? TSM_SEC : d >= TSM_MSEC ? TSM_MSEC : d >= TSM_USEC ? TSM_USEC : 1);
    return tsm_arena_str(a, tsm_str(text, tsm_format_duration_go(text, d)));
}

static void copy(void *ctx, const struct tsm_task_view *v)
{
    struct list *l = ctx;
    TSM_GROW(l->tasks, l->n + 1, l->cap);
    l->tasks[l->n++] = (struct task){.id = v->id,
                                     .query = tsm_arena_str(&l->arena, v->query),
                                     .database = tsm_arena_str(&l->arena, v->database),
                                     .duration = print_duration(&l->arena, l->now - v->started),
                                     .killed = v->killed};
}

static int give(struct tsm_sink *sink, const struct task *t, struct tsm_err *err)
{
    struct tsm_str status = t->killed ? TSM_STR("killed") : TSM_STR("running");
    struct tsm_cells cells[] = {
        {.type = TSM_CELL_UNSIGNED, .v.u = &t->id},     {.type = TSM_CELL_STRING, .v.s = &t->query},
        {.type = TSM_CELL_STRING, .v.s = &t->database}, {.type = TSM_CELL_STRING, .v.s = &t->duration},
        {.type = TSM_CELL_STRING, .v.s = &status},
    };
    return sink->rows(sink, &(struct tsm_rows){1, cells}, err);
}

int tsm_show_queries(struct tsm_query_ctx *q, struct tsm_sink *sink, struct tsm_err *err)
{
    static const struct tsm_column_head columns[] = {
        {{"qid", 3}, TSM_ROLE_OTHER},      {{"query", 5}, TSM_ROLE_OTHER},  {{"database", 8}, TSM_ROLE_OTHER},
        {{"duration", 8}, TSM_ROLE_OTHER}, {{"status", 6}, TSM_ROLE_OTHER},
    };
    struct tsm_series_head head = {.columns = columns, .ncolumns = sizeof columns / sizeof *columns};
    struct list l = {.now = tsm_monotonic()};
    if (q->opt->tasks)
        tsm_tasks_each(q->opt->tasks, copy, &l);
    int rc = sink->series_begin(sink, &head, err);
    for (size_t i = 0; i < l.n && rc == TSM_OK; i++)
        rc = give(sink, &l.tasks[i], err);
    tsm_free(l.tasks);
    tsm_arena_release(&l.arena);
    return rc == TSM_OK ? sink->series_end(sink, err) : rc;
}

int tsm_kill_query(struct tsm_query_ctx *q, uint64_t id, struct tsm_err *err)
{
    if (q->opt->tasks)
        return tsm_tasks_kill(q->opt->tasks, id, err);
    return tsm_err_set(err, TSM_EQUERY, "no such query id: %llu", (unsigned long long)id);
}
