/*
 * store/turn.h: a lock that nobody can hold on to by taking it again and again: who comes while it is held has it next.
 *
 * A plain mutex goes back to a thread that gives it up and asks at once, as a writer does for every few points; a reader would
 * sleep and find it taken, many times over. Here the second one who wants it holds the door, so that the first has to queue.
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

static inline void tsm_turn_take(struct tsm_turn *t)
{
    pthread_mutex_lock(&t->door);
    pthread_mutex_lock(&t->inside);
    pthread_mutex_unlock(&t->door);
}

static inline void tsm_turn_give(struct tsm_turn *t)
{
    pthread_mutex_unlock(&t->inside);
}

#endif
