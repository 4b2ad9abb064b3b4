/* base/arena.c: chunked bump allocation. Chunks double from 4 KiB up to 1 MiB; larger requests get their
 * own. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/banned.h"

enum { FIRST_CHUNK = 4096, LARGEST_CHUNK = 1 << 20 };

struct tsm_arena_chunk {
    struct tsm_arena_chunk *next;
    size_t used;
    size_t size;
    _Alignas(16) uint8_t data[];
};

static struct tsm_arena_chunk *new_chunk(struct tsm_arena *a, size_t size)
{
    struct tsm_arena_chunk *c = tsm_alloc(sizeof *c + size);
    c->used = 0;
    c->size = size;
    a->bytes += sizeof *c + size;
    return c;
}

static void *allocate(struct tsm_arena *a, size_t size, size_t align)
{
    struct tsm_arena_chunk *c = a->head;
    if (c) {
        size_t start = (c->used + align - 1) & ~(align - 1);
        if (start <= c->size && c->size - start >= size) {
            c->used = start + size;
            return c->data + start;
        }
    }
    size_t next = c ? c->size * 2 : FIRST_CHUNK;
    if (next > LARGEST_CHUNK)
        next = LARGEST_CHUNK;
    if (size > next / 4) { /* too large to share: goes behind the head, which stays in use */
        struct tsm_arena_chunk *own = new_chunk(a, size);
        own->used = size;
        own->next = c ? c->next : NULL;
        if (c)
            c->next = own;
        else
            a->head = own;
        return own->data;
    }
    c = new_chunk(a, next);
    c->next = a->head;
    a->head = c;
    c->used = size;
    return c->data;
}

void *tsm_arena_alloc(struct tsm_arena *a, size_t size)
{
    return allocate(a, size, 16);
}

void *tsm_arena_calloc(struct tsm_arena *a, size_t size)
{
    return memset(allocate(a, size, 16), 0, size);
}

void *tsm_arena_bytes(struct tsm_arena *a, size_t size)
{
    return allocate(a, size, 1);
}

struct tsm_str tsm_arena_str(struct tsm_arena *a, struct tsm_str s)
{
    char *p = tsm_arena_bytes(a, s.n + 1);
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return tsm_str(p, s.n);
}

char *tsm_arena_printf(struct tsm_arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0)
        n = 0;
    char *p = tsm_arena_bytes(a, (size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return p;
}

void tsm_arena_release(struct tsm_arena *a)
{
    struct tsm_arena_chunk *c = a->head;
    while (c) {
        struct tsm_arena_chunk *next = c->next;
        tsm_free(c);
        c = next;
    }
    *a = (struct tsm_arena){0};
}
