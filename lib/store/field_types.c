/* store/field_types.c: the types of the fields of one shard. The map's key is the length of the measurement,
 * the measurement and the field, so that no two pairs share one. */
#include "store/field_types.h"

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/banned.h"

struct tsm_str tsm_key_measurement(struct tsm_str series_key)
{
    size_t i = 0;
    while (i < series_key.n && !(series_key.p[i] == ',' && (i == 0 || series_key.p[i - 1] != '\\')))
        i++;
    return tsm_str(series_key.p, i);
}

static struct tsm_str make_key(struct tsm_field_types *t, struct tsm_str measurement, struct tsm_str field)
{
    tsm_buf_reset(&t->key);
    t->key.len = tsm_put_uvarint(tsm_buf_room(&t->key, TSM_VARINT_MAX), measurement.n);
    tsm_buf_str(&t->key, measurement);
    tsm_buf_str(&t->key, field);
    return tsm_buf_view(&t->key);
}

struct tsm_field_def *tsm_field_types_find(struct tsm_field_types *t, struct tsm_str measurement,
                                           struct tsm_str field)
{
    struct tsm_str key = make_key(t, measurement, field);
    uint32_t i = tsm_map_get(&t->map, key, tsm_hash(key));
    return i == TSM_MAP_NONE ? NULL : t->defs[i];
}

struct tsm_field_def *tsm_field_types_add(struct tsm_field_types *t, struct tsm_str measurement,
                                          struct tsm_str field, enum tsm_type type)
{
    struct tsm_str key = make_key(t, measurement, field);
    uint64_t hash = tsm_hash(key);
    uint32_t i = tsm_map_get(&t->map, key, hash);
    if (i != TSM_MAP_NONE)
        return t->defs[i];
    key = tsm_arena_str(&t->arena, key);
    struct tsm_field_def *def = tsm_arena_alloc(&t->arena, sizeof *def);
    *def = (struct tsm_field_def){tsm_str(key.p + key.n - field.n, field.n), type, 0};
    TSM_GROW(t->defs, t->n + 1, t->cap);
    t->defs[t->n] = def;
    tsm_map_put(&t->map, key, hash, (uint32_t)t->n);
    t->n++;
    return def;
}

size_t tsm_field_types_bytes(const struct tsm_field_types *t)
{
    return tsm_map_bytes(&t->map) + t->cap * sizeof *t->defs + t->arena.bytes + t->key.cap;
}

void tsm_field_types_release(struct tsm_field_types *t)
{
    tsm_map_release(&t->map);
    tsm_free(t->defs);
    tsm_arena_release(&t->arena);
    tsm_buf_release(&t->key);
    *t = (struct tsm_field_types){0};
}

struct tsm_field_types *tsm_field_types_new(void)
{
    struct tsm_field_types *t = tsm_calloc(1, sizeof *t);
    atomic_init(&t->shares, 1);
    return t;
}

struct tsm_field_types *tsm_field_types_share(struct tsm_field_types *t)
{
    atomic_fetch_add(&t->shares, 1);
    return t;
}

void tsm_field_types_free(struct tsm_field_types *t)
{
    if (!t || atomic_fetch_sub(&t->shares, 1) > 1)
        return;
    tsm_field_types_release(t);
    tsm_free(t);
}
