/* base/parallel.c: ordered parallel tasks over plain threads. */
#include "base/parallel.h"

#include <pthread.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/banned.h"

struct run {
    const struct tsm_parallel *p;
    pthread_mutex_t lock;
    pthread_cond_t moved; /* next_emit advanced, or stop was set */
    size_t next_task;
    size_t next_emit;
    size_t ahead;
    bool emitting;
    struct slot {
        void *data;
        bool done;
    } * slots; /* ring of `ahead` tasks */
    int code;
    struct tsm_err err;
};

struct thread {
    struct run *run;
    unsigned number;
};

static void fail(struct run *r, int code, const struct tsm_err *err)
{
    if (r->code)
        return;
    r->code = code;
    r->err = *err;
    pthread_cond_broadcast(&r->moved);
}

/* Emits every task that is ready and next; called and returns with the lock held. */
static void emit_ready(struct run *r)
{
    if (r->emitting)
        return;
    r->emitting = true;
    while (!r->code && r->next_emit < r->next_task && r->slots[r->next_emit % r->ahead].done) {
        size_t task = r->next_emit;
        void *data = r->slots[task % r->ahead].data;
        r->slots[task % r->ahead] = (struct slot){0};
        if (r->p->emit) {
            struct tsm_err err = {0};
            pthread_mutex_unlock(&r->lock);
            int code = r->p->emit(r->p->ctx, task, data, &err);
            pthread_mutex_lock(&r->lock);
            if (code)
                fail(r, code, &err);
        }
        r->next_emit = task + 1;
        pthread_cond_broadcast(&r->moved);
    }
    r->emitting = false;
}

static void *thread_main(void *arg)
{
    struct thread *t = arg;
    struct run *r = t->run;
    pthread_mutex_lock(&r->lock);
    while (!r->code && r->next_task < r->p->tasks) {
        if (r->next_task - r->next_emit >= r->ahead) {
            pthread_cond_wait(&r->moved, &r->lock);
            continue;
        }
        size_t task = r->next_task++;
        struct tsm_err err = {0};
        void *data = NULL;
        pthread_mutex_unlock(&r->lock);
        int code = r->p->work(r->p->ctx, task, t->number, &data, &err);
        pthread_mutex_lock(&r->lock);
        r->slots[task % r->ahead] = (struct slot){data, true};
        if (code)
            fail(r, code, &err);
        emit_ready(r);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

int tsm_parallel_run(const struct tsm_parallel *p, struct tsm_err *err)
{
    unsigned jobs = p->jobs ? p->jobs : 1;
    if (jobs > p->tasks)
        jobs = p->tasks ? (unsigned)p->tasks : 1;
    struct run r = {.p = p, .ahead = p->ahead ? p->ahead : (size_t)jobs * 4};
    r.slots = tsm_calloc(r.ahead, sizeof *r.slots);
    pthread_mutex_init(&r.lock, NULL);
    pthread_cond_init(&r.moved, NULL);

    struct thread *threads = tsm_calloc(jobs, sizeof *threads);
    pthread_t *ids = tsm_calloc(jobs, sizeof *ids);
    unsigned started = 1;
    threads[0] = (struct thread){&r, 0};
    for (; started < jobs; started++) {
        threads[started] = (struct thread){&r, started};
        if (pthread_create(&ids[started], NULL, thread_main, &threads[started]) != 0)
            break; /* fewer threads do the same work */
    }
    thread_main(&threads[0]);
    for (unsigned i = 1; i < started; i++)
        pthread_join(ids[i], NULL);

    for (size_t i = 0; i < r.ahead; i++)
        if (r.slots[i].done && p->drop)
            p->drop(p->ctx, r.slots[i].data);
    if (r.code && err)
        *err = r.err;
    tsm_free(ids);
    tsm_free(threads);
    tsm_free(r.slots);
    pthread_cond_destroy(&r.moved);
    pthread_mutex_destroy(&r.lock);
    return r.code;
}

unsigned tsm_cpu_count(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (unsigned)n : 1;
}
