/*
 * store/column.c: the values of one series and field in a memtable.
 *
 * Invariants: the ordered part (blocks, then the tail) ascends strictly, and newest is its last time; the
 * tail has less than TSM_BLOCK_POINTS values; a chunk has times exactly when its column is irregular, or it
 * is of a late part.
 */
#include "store/column.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/banned.h"

struct tsm_chunk {
    struct tsm_chunk *older;
    int64_t *times; /* as many as slots, or NULL */
    uint32_t class;
    union tsm_slot slots[];
};

/* Strings, one after the other: 4 bytes length, bytes. */
struct tsm_column_text {
    struct tsm_column_text *older;
    uint32_t class;
    uint32_t used; /* of the bytes behind the header */
    uint8_t bytes[];
};

enum {
    LARGEST_TEXT_CLASS = 6,
    SCRATCH_PER_VALUE = 72, /* of tsm_column_late(): a copy, two orders, and the values once more */
};

/* Where value number n of a chunk list goes: its place in a chunk of this class. */
struct place {
    unsigned class;
    unsigned slot; /* 0: a new chunk starts */
};

/* Chunks of 64, 128, 256, 512 bytes, then of 1 KiB. */
enum { SLOTS_0 = 5, SLOTS_1 = 13, SLOTS_2 = 29, SLOTS_3 = 61, SLOTS_4 = 125 };
_Static_assert(sizeof(struct tsm_chunk) == 24, "the numbers of slots count on it");

static inline struct place place_of(size_t n)
{
    enum { TO_1 = SLOTS_0, TO_2 = TO_1 + SLOTS_1, TO_3 = TO_2 + SLOTS_2, TO_4 = TO_3 + SLOTS_3 };
    if (n >= TO_4)
        return (struct place){4, (unsigned)((n - TO_4) % SLOTS_4)};
    if (n >= TO_3)
        return (struct place){3, (unsigned)n - TO_3};
    if (n >= TO_2)
        return (struct place){2, (unsigned)n - TO_2};
    if (n >= TO_1)
        return (struct place){1, (unsigned)n - TO_1};
    return (struct place){0, (unsigned)n};
}

static struct tsm_chunk *new_chunk(struct tsm_slab *slab, struct tsm_chunk *older, unsigned class, bool times)
{
    struct tsm_chunk *chunk = tsm_slab_alloc(slab, class);
    chunk->older = older;
    chunk->class = class;
    chunk->times = times ? tsm_slab_alloc(slab, class) : NULL;
    return chunk;
}

static void free_chunks(struct tsm_slab *slab, struct tsm_chunk *chunk)
{
    while (chunk) {
        struct tsm_chunk *older = chunk->older;
        if (chunk->times)
            tsm_slab_free(slab, chunk->times, chunk->class);
        tsm_slab_free(slab, chunk, chunk->class);
        chunk = older;
    }
}

static void free_text(struct tsm_slab *slab, struct tsm_column_text *text)
{
    while (text) {
        struct tsm_column_text *older = text->older;
        tsm_slab_free(slab, text, text->class);
        text = older;
    }
}

static const uint8_t *keep_string(struct tsm_slab *slab, struct tsm_column_text **list, struct tsm_str s)
{
    struct tsm_column_text *text = *list;
    size_t need = s.n + sizeof(uint32_t);
    if (!text || ((size_t)TSM_SLAB_MIN << text->class) - sizeof *text - text->used < need) {
        unsigned class = tsm_slab_class(sizeof *text + need);
        unsigned grown = text ? text->class + 1 : 0;
        if (grown > LARGEST_TEXT_CLASS)
            grown = LARGEST_TEXT_CLASS;
        if (class < grown)
            class = grown;
        text = tsm_slab_alloc(slab, class);
        *text = (struct tsm_column_text){.older = *list, .class = class};
        *list = text;
    }
    uint8_t *p = text->bytes + text->used;
    uint32_t n = (uint32_t)s.n;
    memcpy(p, &n, sizeof n);
    if (s.n)
        memcpy(p + sizeof n, s.p, s.n);
    text->used += (uint32_t)need;
    return p;
}

static struct tsm_column_side *side_of(struct tsm_column_memory *m, struct tsm_column *c)
{
    if (!c->side) {
        c->side = tsm_slab_alloc(&m->slab, tsm_slab_class(sizeof *c->side));
        *c->side = (struct tsm_column_side){.oldest = INT64_MAX};
    }
    return c->side;
}

static inline union tsm_slot make_slot(struct tsm_column_memory *m, struct tsm_column *c, union tsm_value v,
                                       bool late)
{
    if (__builtin_expect(c->field->type == TSM_STRING, 0)) {
        struct tsm_column_side *side = side_of(m, c);
        if (!late)
            side->text_bytes += v.s.n;
        return (union tsm_slot){.s = keep_string(&m->slab, late ? &side->late_text : &side->text, v.s)};
    }
    if (c->field->type == TSM_BOOLEAN)
        return (union tsm_slot){.u = v.b};
    return (union tsm_slot){.u = v.u};
}

static void add_late(struct tsm_column_memory *m, struct tsm_column *c, int64_t t, union tsm_value v)
{
    struct tsm_column_side *side = side_of(m, c);
    union tsm_slot slot = make_slot(m, c, v, true);
    struct place at = place_of(side->n);
    if (at.slot == 0)
        side->late = new_chunk(&m->slab, side->late, at.class, true);
    side->late->slots[at.slot] = slot;
    side->late->times[at.slot] = t;
    side->n++;
    if (t < side->oldest)
        side->oldest = t;
    m->late++;
    if (side->n > m->most_late)
        m->most_late = side->n;
}

/* Gives every chunk of the tail its times, which have been a run so far. */
static void make_irregular(struct tsm_column_memory *m, struct tsm_column *c)
{
    size_t end = c->n;
    for (struct tsm_chunk *chunk = c->tail; chunk; chunk = chunk->older) {
        size_t start = end - (place_of(end - 1).slot + 1);
        chunk->times = tsm_slab_alloc(&m->slab, chunk->class);
        for (size_t i = start; i < end; i++)
            chunk->times[i - start] = (int64_t)((uint64_t)c->first + i * c->step);
        end = start;
    }
    c->irregular = true;
}

/* Turns the tail into a block. */
static void encode_tail(struct tsm_column_memory *m, struct tsm_column *c)
{
    tsm_column_tail(c, &m->values);
    tsm_buf_reset(&m->block);
    if (tsm_block_encode(&m->block, &m->values, 0, m->values.n, NULL) != TSM_OK)
        abort(); /* the only values without an encoding, NaN and the infinities, are never added */
    struct tsm_encoded *block = tsm_arena_alloc(&m->arena, sizeof *block + m->block.len);
    *block = (struct tsm_encoded){.older = c->blocks,
                                  .tmin = m->values.t[0],
                                  .tmax = m->values.t[m->values.n - 1],
                                  .n = (uint32_t)m->values.n,
                                  .len = (uint32_t)m->block.len};
    memcpy(block->bytes, m->block.data, m->block.len);
    c->blocks = block;
    free_chunks(&m->slab, c->tail);
    c->tail = NULL;
    c->n = 0;
    c->irregular = false;
    if (c->side) {
        free_text(&m->slab, c->side->text);
        c->side->text = NULL;
        c->side->text_bytes = 0;
    }
}

/* Puts a copy in place of the newest chunk of the tail. */
static void renew_chunk(struct tsm_column_memory *m, struct tsm_column *c)
{
    struct tsm_chunk *old = c->tail;
    size_t size = (size_t)TSM_SLAB_MIN << old->class;
    c->tail = tsm_slab_alloc(&m->slab, old->class);
    memcpy(c->tail, old, size);
    if (old->times) {
        c->tail->times = tsm_slab_alloc(&m->slab, old->class);
        memcpy(c->tail->times, old->times, size);
        tsm_slab_free(&m->slab, old->times, old->class);
    }
    tsm_slab_free(&m->slab, old, old->class);
}

void tsm_column_add(struct tsm_column_memory *m, struct tsm_column *c, int64_t t, union tsm_value v)
{
    if (__builtin_expect(t <= c->newest, 0)) {
        if (t == c->newest && c->n > 0) {
            if (tsm_slab_is_held(&m->slab))
                renew_chunk(m, c);
            c->tail->slots[place_of(c->n - 1u).slot] = make_slot(m, c, v, false);
        } else {
            add_late(m, c, t, v);
        }
        return;
    }
    if (c->n == 0)
        c->first = t;
    else if (c->n == 1)
        c->step = (uint64_t)t - (uint64_t)c->newest;
    else if (__builtin_expect(!c->irregular && (uint64_t)t - (uint64_t)c->newest != c->step, 0))
        make_irregular(m, c);
    struct place at = place_of(c->n);
    if (at.slot == 0)
        c->tail = new_chunk(&m->slab, c->tail, at.class, c->irregular);
    c->tail->slots[at.slot] = make_slot(m, c, v, false);
    if (c->irregular)
        c->tail->times[at.slot] = t;
    c->newest = t;
    c->n++;
    if (c->n == TSM_BLOCK_POINTS || (c->side && c->side->text_bytes >= TSM_BLOCK_TEXT))
        encode_tail(m, c);
}

void tsm_column_prefetch(const struct tsm_column *c)
{
    if (c->tail)
        __builtin_prefetch(&c->tail->slots[place_of(c->n).slot], 1);
}

void tsm_column_copy(const struct tsm_column *c, const struct tsm_field_def *field, struct tsm_column *out,
                     struct tsm_column_side *side)
{
    *out = *c;
    out->field = field;
    if (!c->side)
        return;
    *side = *c->side;
    out->side = side;
}

size_t tsm_column_scratch(const struct tsm_column_memory *m, unsigned jobs)
{
    uint64_t n = m->most_late * jobs;
    return (size_t)(n < m->late ? n : m->late) * SCRATCH_PER_VALUE;
}

size_t tsm_column_memory_bytes(const struct tsm_column_memory *m)
{
    return m->slab.bytes + m->arena.bytes;
}

void tsm_column_memory_release(struct tsm_column_memory *m)
{
    tsm_slab_release(&m->slab);
    tsm_arena_release(&m->arena);
    tsm_values_release(&m->values);
    tsm_buf_release(&m->block);
    *m = (struct tsm_column_memory){0};
}

/* Copies slots into out's values from index `at` on. */
static void copy_slots(struct tsm_values *out, size_t at, const union tsm_slot *slots, size_t n)
{
    switch (out->type) {
    case TSM_BOOLEAN:
        for (size_t i = 0; i < n; i++)
            out->v.b[at + i] = slots[i].u != 0;
        break;
    case TSM_STRING:
        for (size_t i = 0; i < n; i++) {
            uint32_t len;
            memcpy(&len, slots[i].s, sizeof len);
            out->v.s[at + i] = tsm_str((const char *)slots[i].s + sizeof len, len);
        }
        break;
    default:
        memcpy(out->v.u + at, slots, n * sizeof *slots);
    }
}

/* Copies a list of n values, whose newest chunk is given, into out. The times of a column that has been copied may come later, so
 * they are not looked at without need. */
static void copy_chunks(const struct tsm_chunk *chunk, size_t n, bool times, struct tsm_values *out)
{
    size_t end = n;
    for (; chunk && end > 0; chunk = chunk->older) {
        size_t start = end - (place_of(end - 1).slot + 1);
        copy_slots(out, start, chunk->slots, end - start);
        if (times)
            memcpy(out->t + start, chunk->times, (end - start) * sizeof *out->t);
        end = start;
    }
    out->n = n;
}

void tsm_column_tail(const struct tsm_column *c, struct tsm_values *out)
{
    tsm_values_reset(out, c->field->type, TSM_BLOCK_POINTS);
    copy_chunks(c->tail, c->n, c->irregular, out);
    if (c->irregular)
        return;
    uint64_t t = (uint64_t)c->first;
    for (size_t i = 0; i < c->n; i++, t += c->step)
        out->t[i] = (int64_t)t;
}

void tsm_column_late(const struct tsm_column *c, struct tsm_values *out)
{
    size_t n = c->side ? c->side->n : 0;
    tsm_values_reset(out, c->field->type, n);
    if (n == 0)
        return;
    copy_chunks(c->side->late, n, true, out);
    tsm_values_sort_dedup(out);
}

int64_t tsm_column_oldest(const struct tsm_column *c)
{
    int64_t t = c->n ? c->first : c->newest;
    const struct tsm_encoded *b = c->blocks;
    while (b) {
        t = b->tmin;
        b = b->older;
    }
    return c->side && c->side->oldest < t ? c->side->oldest : t;
}

size_t tsm_column_raw_bytes(const struct tsm_column *c)
{
    return c->n * sizeof(union tsm_slot) +
           (c->side ? c->side->n * (sizeof(union tsm_slot) + sizeof(int64_t)) + c->side->text_bytes : 0);
}

size_t tsm_block_cut(const struct tsm_values *c, size_t from)
{
    size_t to = c->n - from > TSM_BLOCK_POINTS ? from + TSM_BLOCK_POINTS : c->n;
    if (c->type != TSM_STRING)
        return to;
    size_t bytes = 0;
    for (size_t i = from; i < to; i++) {
        bytes += c->v.s[i].n;
        if (bytes >= TSM_BLOCK_TEXT)
            return i + 1;
    }
    return to;
}
