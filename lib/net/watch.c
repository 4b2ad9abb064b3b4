/*
 * net/watch.c: MHD does not look at a connection that is suspended, so nobody would notice that a client has given up and its query
 * computes for nothing. A thread with an epoll set of its own looks for the end of such connections.
 *
 * An event carries a number, not a pointer: what it meant may be gone by the time it is read.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "net/server_impl.h"

#include "base/banned.h"

struct watched {
    struct tsm_request *r; /* NULL: free */
    int fd;
    uint32_t generation;
};

struct tsm_watch {
    pthread_mutex_t mutex; /* also held while gone() runs */
    struct watched *slots;
    size_t n, cap;
    int epoll, stop;
    pthread_t thread;
    void (*gone)(struct tsm_request *r);
};

static void look_at(struct tsm_watch *w, uint64_t what)
{
    size_t i = (size_t)(what & UINT32_MAX);
    pthread_mutex_lock(&w->mutex);
    if (i < w->n && w->slots[i].r && w->slots[i].generation == what >> 32)
        w->gone(w->slots[i].r);
    pthread_mutex_unlock(&w->mutex);
}

static void *run_thread(void *arg)
{
    struct tsm_watch *w = arg;
    struct epoll_event events[64];
    for (;;) {
        int n = epoll_wait(w->epoll, events, 64, -1);
        if (n < 0 && errno != EINTR)
            return NULL;
        for (int i = 0; i < n; i++) {
            if (events[i].data.u64 == UINT64_MAX)
                return NULL;
            look_at(w, events[i].data.u64);
        }
    }
}

struct tsm_watch *tsm_watch_new(void (*gone)(struct tsm_request *r))
{
    struct tsm_watch *w = tsm_calloc(1, sizeof *w);
    pthread_mutex_init(&w->mutex, NULL);
    w->gone = gone;
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    w->stop = eventfd(0, EFD_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = UINT64_MAX};
    if (w->epoll >= 0 && w->stop >= 0 && epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->stop, &e) == 0 &&
        pthread_create(&w->thread, NULL, run_thread, w) == 0)
        return w;
    if (w->epoll >= 0)
        close(w->epoll);
    if (w->stop >= 0)
        close(w->stop);
    pthread_mutex_destroy(&w->mutex);
    tsm_free(w);
    return NULL;
}

void tsm_watch_add(struct tsm_watch *w, int fd, struct tsm_request *r)
{
    size_t i = 0;
    pthread_mutex_lock(&w->mutex);
    while (i < w->n && w->slots[i].r)
        i++;
    if (i == w->n) {
        TSM_GROW(w->slots, w->n + 1, w->cap);
        w->slots[w->n++] = (struct watched){0};
    }
    struct watched *slot = &w->slots[i];
    slot->generation = (slot->generation + 1) & INT32_MAX;
    struct epoll_event e = {.events = EPOLLRDHUP | EPOLLONESHOT,
                            .data.u64 = (uint64_t)slot->generation << 32 | i};
    if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &e) == 0) {
        slot->r = r;
        slot->fd = fd;
    }
    pthread_mutex_unlock(&w->mutex);
}

void tsm_watch_remove(struct tsm_watch *w, struct tsm_request *r)
{
    pthread_mutex_lock(&w->mutex);
    for (size_t i = 0; i < w->n; i++)
        if (w->slots[i].r == r) {
            (void)epoll_ctl(w->epoll, EPOLL_CTL_DEL, w->slots[i].fd, NULL);
            w->slots[i].r = NULL;
        }
    pthread_mutex_unlock(&w->mutex);
}

void tsm_watch_free(struct tsm_watch *w)
{
    uint64_t one = 1;
    if (!w)
        return;
    while (write(w->stop, &one, sizeof one) < 0 && errno == EINTR)
        ;
    pthread_join(w->thread, NULL);
    close(w->epoll);
    close(w->stop);
    pthread_mutex_destroy(&w->mutex);
    tsm_free(w->slots);
    tsm_free(w);
}
