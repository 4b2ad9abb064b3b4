/* store/damage.c: reporting damage, each place once. */
#include "store/damage.h"

#include <pthread.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/bytes.h"
#include "base/map.h"
#include "base/banned.h"

enum { PLACE_SIZE = 12 };

struct tsm_reported {
    pthread_mutex_t mutex; /* guards what follows */
    struct tsm_map places; /* file and offset, as bytes in the arena */
    struct tsm_arena arena;
};

int tsm_damage_pass(const struct tsm_damage *damage, const struct tsm_err *err)
{
    if (!damage || !damage->skip || err->code != TSM_ECORRUPT)
        return err->code;
    if (damage->report)
        damage->report(damage->ctx, err->msg);
    return TSM_OK;
}

struct tsm_reported *tsm_reported_new(void)
{
    struct tsm_reported *r = tsm_calloc(1, sizeof *r);
    pthread_mutex_init(&r->mutex, NULL);
    return r;
}

static bool is_first(struct tsm_reported *r, uint32_t file, uint64_t offset)
{
    uint8_t place[PLACE_SIZE];
    tsm_put_be32(place, file);
    tsm_put_be64(place + 4, offset);
    struct tsm_str key = tsm_str((const char *)place, sizeof place);
    uint64_t hash = tsm_hash(key);
    pthread_mutex_lock(&r->mutex);
    bool first = tsm_map_get(&r->places, key, hash) == TSM_MAP_NONE;
    if (first)
        tsm_map_put(&r->places, tsm_arena_str(&r->arena, key), hash, 0);
    pthread_mutex_unlock(&r->mutex);
    return first;
}

int tsm_reported_pass(struct tsm_reported *r, uint32_t file, uint64_t offset, const struct tsm_damage *damage,
                      const struct tsm_err *err)
{
    if (damage && damage->skip && err->code == TSM_ECORRUPT && !is_first(r, file, offset))
        return TSM_OK;
    return tsm_damage_pass(damage, err);
}

void tsm_reported_free(struct tsm_reported *r)
{
    if (!r)
        return;
    pthread_mutex_destroy(&r->mutex);
    tsm_map_release(&r->places);
    tsm_arena_release(&r->arena);
    tsm_free(r);
}
