/* base/map.c: the hash table. A slot keeps the hash, so that a miss rarely touches a key. */
#include "base/map.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/alloc.h"
#include "base/banned.h"

struct tsm_map_slot {
    const char *key; /* NULL: free */
    uint64_t hash;
    uint32_t len;
    uint32_t value;
};

uint64_t tsm_hash(struct tsm_str key)
{
    return XXH3_64bits(key.p, key.n);
}

uint32_t tsm_map_get(const struct tsm_map *m, struct tsm_str key, uint64_t hash)
{
    if (!m->slots)
        return TSM_MAP_NONE;
    for (uint32_t i = (uint32_t)hash & m->mask;; i = (i + 1) & m->mask) {
        const struct tsm_map_slot *s = &m->slots[i];
        if (!s->key)
            return TSM_MAP_NONE;
        if (s->hash == hash && s->len == key.n && (key.n == 0 || memcmp(s->key, key.p, key.n) == 0))
            return s->value;
    }
}

static void place(struct tsm_map *m, struct tsm_map_slot slot)
{
    uint32_t i = (uint32_t)slot.hash & m->mask;
    while (m->slots[i].key)
        i = (i + 1) & m->mask;
    m->slots[i] = slot;
}

static void grow(struct tsm_map *m)
{
    struct tsm_map_slot *old = m->slots;
    uint32_t old_count = old ? m->mask + 1 : 0;
    uint32_t count = old_count ? old_count * 2 : 16;
    m->slots = tsm_calloc(count, sizeof *m->slots);
    m->mask = count - 1;
    for (uint32_t i = 0; i < old_count; i++)
        if (old[i].key)
            place(m, old[i]);
    tsm_free(old);
}

void tsm_map_put(struct tsm_map *m, struct tsm_str key, uint64_t hash, uint32_t value)
{
    if (!m->slots || (uint64_t)m->used * 4 >= ((uint64_t)m->mask + 1) * 3)
        grow(m);
    place(m, (struct tsm_map_slot){key.p ? key.p : "", hash, (uint32_t)key.n, value});
    m->used++;
}

size_t tsm_map_bytes(const struct tsm_map *m)
{
    return m->slots ? ((size_t)m->mask + 1) * sizeof *m->slots : 0;
}

void tsm_map_release(struct tsm_map *m)
{
    tsm_free(m->slots);
    *m = (struct tsm_map){0};
}
