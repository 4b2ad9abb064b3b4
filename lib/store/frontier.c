/* store/frontier.c: tables of the newest times that have been flushed. Open addressing, at most 3/4 full. */
#include "store/frontier.h"

#include "base/alloc.h"
#include "base/banned.h"

enum { LEAST_SLOTS = 64 };

static void unlink_table(struct tsm_frontier *f)
{
    struct tsm_frontiers *all = f->all;
    *(f->before ? &f->before->behind : &all->first) = f->behind;
    *(f->behind ? &f->behind->before : &all->last) = f->before;
    f->before = f->behind = NULL;
}

static void link_first(struct tsm_frontier *f)
{
    struct tsm_frontiers *all = f->all;
    f->behind = all->first;
    *(all->first ? &all->first->before : &all->last) = f;
    all->first = f;
}

void tsm_frontier_touch(struct tsm_frontier *f)
{
    if (!f->slots || f->all->first == f)
        return;
    unlink_table(f);
    link_first(f);
}

static size_t table_bytes(const struct tsm_frontier *f)
{
    return f->slots ? (f->mask + 1) * sizeof *f->slots : 0;
}

void tsm_frontier_drop(struct tsm_frontier *f)
{
    if (!f->slots)
        return;
    unlink_table(f);
    atomic_fetch_sub(&f->all->bytes, table_bytes(f));
    tsm_free(f->slots);
    *f = (struct tsm_frontier){.all = f->all};
}

int64_t *tsm_frontier_find(const struct tsm_frontier *f, uint64_t hash)
{
    if (!f->slots)
        return NULL;
    for (size_t i = hash & f->mask;; i = (i + 1) & f->mask) {
        struct tsm_frontier_slot *s = &f->slots[i];
        if (s->newest == INT64_MIN)
            return NULL;
        if (s->hash == hash)
            return &s->newest;
    }
}

static void put(struct tsm_frontier *f, uint64_t hash, int64_t newest)
{
    size_t i = hash & f->mask;
    while (f->slots[i].newest != INT64_MIN)
        i = (i + 1) & f->mask;
    f->slots[i] = (struct tsm_frontier_slot){hash, newest};
}

/* While the table grows there are two of it, and both count. */
static bool grow(struct tsm_frontier *f)
{
    size_t old = f->slots ? f->mask + 1 : 0, slots = old ? old * 2 : LEAST_SLOTS;
    size_t bytes = slots * sizeof *f->slots;
    while (f->all->bytes + bytes > f->all->limit && f->all->last && f->all->last != f)
        tsm_frontier_drop(f->all->last);
    if (f->all->bytes + bytes > f->all->limit)
        return false;
    struct tsm_frontier larger = {.all = f->all, .mask = slots - 1, .used = f->used};
    larger.slots = tsm_realloc_array(NULL, slots, sizeof *larger.slots);
    for (size_t i = 0; i < slots; i++)
        larger.slots[i].newest = INT64_MIN;
    for (size_t i = 0; i < old; i++)
        if (f->slots[i].newest != INT64_MIN)
            put(&larger, f->slots[i].hash, f->slots[i].newest);
    tsm_frontier_drop(f);
    *f = larger;
    atomic_fetch_add(&f->all->bytes, bytes);
    link_first(f);
    return true;
}

bool tsm_frontier_raise(struct tsm_frontier *f, uint64_t hash, int64_t newest)
{
    int64_t *known = tsm_frontier_find(f, hash);
    if (known) {
        if (newest > *known)
            *known = newest;
        return true;
    }
    if (newest == INT64_MIN) /* the mark of a free slot: stays unknown */
        return true;
    if (!f->all)
        return false;
    if ((!f->slots || (f->used + 1) * 4 > (f->mask + 1) * 3) && !grow(f)) {
        tsm_frontier_drop(f);
        return false;
    }
    put(f, hash, newest);
    f->used++;
    return true;
}
