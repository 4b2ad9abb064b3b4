/* net/pool.c: threads that take requests from a bounded queue, in order. */
#include "base/alloc.h"
#include "net/server_impl.h"

#include "base/banned.h"

struct tsm_pool {
    pthread_mutex_t mutex;
    pthread_cond_t work;
    struct tsm_request *first, *last; /* by next */
    size_t queued, queue_max;
    pthread_t *threads;
    unsigned nthreads, max, idle;
    bool stopping;
};

struct tsm_pool *tsm_pool_new(unsigned threads, size_t queue)
{
    struct tsm_pool *p = tsm_calloc(1, sizeof *p);
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->work, NULL);
    p->max = threads;
    p->queue_max = queue;
    p->threads = tsm_calloc(threads, sizeof *p->threads);
    return p;
}

static void *run_thread(void *arg)
{
    struct tsm_pool *p = arg;
    pthread_mutex_lock(&p->mutex);
    for (;;) {
        while (!p->first && !p->stopping) {
            p->idle++;
            pthread_cond_wait(&p->work, &p->mutex);
            p->idle--;
        }
        struct tsm_request *r = p->first;
        if (!r)
            break;
        p->first = r->next;
        if (!p->first)
            p->last = NULL;
        p->queued--;
        pthread_mutex_unlock(&p->mutex);
        r->work(r);
        pthread_mutex_lock(&p->mutex);
    }
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

bool tsm_pool_run(struct tsm_pool *p, struct tsm_request *r, void (*work)(struct tsm_request *r))
{
    pthread_mutex_lock(&p->mutex);
    bool fits = !p->stopping && p->queued < p->queue_max;
    if (fits && p->queued >= p->idle && p->nthreads < p->max &&
        pthread_create(&p->threads[p->nthreads], NULL, run_thread, p) == 0)
        p->nthreads++;
    fits = fits && p->nthreads;
    if (fits) {
        r->work = work;
        r->next = NULL;
        if (p->last)
            p->last->next = r;
        else
            p->first = r;
        p->last = r;
        p->queued++;
        pthread_cond_signal(&p->work);
    }
    pthread_mutex_unlock(&p->mutex);
    return fits;
}

void tsm_pool_free(struct tsm_pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->mutex);
    p->stopping = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->mutex);
    for (unsigned i = 0; i < p->nthreads; i++)
        pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->mutex);
    tsm_free(p->threads);
    tsm_free(p);
}
