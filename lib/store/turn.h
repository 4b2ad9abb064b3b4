/*
 * store/turn.h: a lock that nobody can hold on to by taking it again and again: who comes while it is held has it next.
 *
 * A plain mutex goes back to a thread that gives it up and asks at once, as a writer does for every few points; a reader would
 * sleep and find it taken, many times over. Here the second one who wants it holds the door, so that the first has to queue.
 * As it is held for microseconds, who wants it does not sleep at once.
 */
#ifndef TSM_STORE_TURN_H
#define TSM_STORE_TURN_H

#include <pthread.h>

struct tsm_turn {
    pthread_mutex_t door, inside;
};

static inline void tsm_turn_init(struct tsm_turn *t)
{
    pthread_mutex_init(&t->door, NULL);
    pthread_mutex_init(&t->inside, NULL);
}

static inline void tsm_turn_destroy(struct tsm_turn *t)
{
    pthread_mutex_destroy(&t->door);
    pthread_mutex_destroy(&t->inside);
}

static inline void tsm_turn_lock(pthread_mutex_t *m)
{
    enum { LOOKS = 400 };
    for (int i = 0; i < LOOKS; i++) {
        if (pthread_mutex_trylock(m) == 0)
            return;
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
    }
    pthread_mutex_lock(m);
}

static inline void tsm_turn_take(struct tsm_turn *t)
{
    tsm_turn_lock(&t->door);
    tsm_turn_lock(&t->inside);
    pthread_mutex_unlock(&t->door);
}

static inline void tsm_turn_give(struct tsm_turn *t)
{
    pthread_mutex_unlock(&t->inside);
}

#endif
