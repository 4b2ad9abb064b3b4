/* store/distinct.c: counting distinct hashes by adaptive sampling. Slot value 0 is free; hash 0 is taken for
 * 1<<63. */
#include "store/distinct.h"

#include <stdbool.h>

#include "base/alloc.h"
#include "base/banned.h"

static bool sampled(const struct tsm_distinct *d, uint64_t hash)
{
    return (hash & ((1ull << d->skipped) - 1)) == 0;
}

/* The high bits choose the slot: the low ones decide what is kept. */
static bool put(struct tsm_distinct *d, uint64_t hash)
{
    size_t i = (size_t)(hash >> 20) & d->mask;
    for (; d->slots[i]; i = (i + 1) & d->mask)
        if (d->slots[i] == hash)
            return false;
    d->slots[i] = hash;
    return true;
}

/* Puts what is still sampled into a table of this many slots. */
static void rebuild(struct tsm_distinct *d, size_t slots)
{
    struct tsm_distinct old = *d;
    d->slots = tsm_calloc(slots, sizeof *d->slots);
    d->mask = slots - 1;
    d->used = 0;
    for (size_t i = 0; old.slots && i <= old.mask; i++)
        if (old.slots[i] && sampled(d, old.slots[i]))
            d->used += put(d, old.slots[i]);
    tsm_free(old.slots);
}

void tsm_distinct_add(struct tsm_distinct *d, uint64_t hash)
{
    if (!hash)
        hash = 1ull << 63;
    if (!sampled(d, hash))
        return;
    if (!d->slots)
        rebuild(d, 64);
    d->used += put(d, hash);
    while (d->used > d->limit && d->skipped < 40) {
        d->skipped++;
        rebuild(d, d->mask + 1);
    }
    if (d->used * 4 > d->mask * 3)
        rebuild(d, (d->mask + 1) * 2);
}

uint64_t tsm_distinct_count(const struct tsm_distinct *d)
{
    return (uint64_t)d->used << d->skipped;
}

size_t tsm_distinct_bytes(const struct tsm_distinct *d)
{
    return d->slots ? (d->mask + 1) * sizeof *d->slots : 0;
}

void tsm_distinct_release(struct tsm_distinct *d)
{
    tsm_free(d->slots);
    *d = (struct tsm_distinct){0};
}
