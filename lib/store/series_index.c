/* store/series_index.c: series in memory by name. */
#include "store/series_index.h"

#include "base/alloc.h"
#include "base/banned.h"

enum { FIRST_SLOTS = 1 << 10 };

void tsm_series_index_init(struct tsm_series_index *x)
{
    *x = (struct tsm_series_index){tsm_calloc(FIRST_SLOTS, sizeof *x->slots), FIRST_SLOTS - 1, 0};
}

void tsm_series_index_release(struct tsm_series_index *x)
{
    tsm_free(x->slots);
    *x = (struct tsm_series_index){0};
}

static void place(struct tsm_series_index *x, struct tsm_series_slot slot)
{
    size_t i = slot.hash & x->mask;
    while (x->slots[i].entry)
        i = (i + 1) & x->mask;
    x->slots[i] = slot;
}

void tsm_series_index_insert(struct tsm_series_index *x, struct tsm_series_name *entry, uint64_t hash)
{
    if (x->used * 4 >= (x->mask + 1) * 3) {
        struct tsm_series_slot *old = x->slots;
        size_t n = x->mask + 1;
        x->slots = tsm_calloc(n * 2, sizeof *x->slots);
        x->mask = n * 2 - 1;
        for (size_t i = 0; i < n; i++)
            if (old[i].entry)
                place(x, old[i]);
        tsm_free(old);
    }
    place(x, (struct tsm_series_slot){hash, entry});
    x->used++;
}

size_t tsm_series_index_bytes(const struct tsm_series_index *x)
{
    return (x->mask + 1) * sizeof *x->slots;
}
