/* base/buf.c: the growing byte buffer. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/banned.h"

void tsm_buf_release(struct tsm_buf *b)
{
    tsm_free(b->data);
    *b = (struct tsm_buf){0};
}

void tsm_buf_grow(struct tsm_buf *b, size_t extra)
{
    size_t want = b->len + extra;
    if (want <= b->cap)
        return;
    size_t cap = b->cap ? b->cap * 2 : 64;
    if (cap < want)
        cap = want;
    b->data = tsm_realloc(b->data, cap);
    b->cap = cap;
}

void tsm_buf_printf(struct tsm_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *room = (char *)tsm_buf_room(b, 128);
    int n = vsnprintf(room, 128, fmt, ap);
    va_end(ap);
    if (n >= 128) {
        room = (char *)tsm_buf_room(b, (size_t)n + 1);
        va_start(ap, fmt);
        vsnprintf(room, (size_t)n + 1, fmt, ap);
        va_end(ap);
    }
    if (n > 0)
        b->len += (size_t)n;
}

char *tsm_buf_cstr(struct tsm_buf *b)
{
    *tsm_buf_room(b, 1) = 0;
    return (char *)b->data;
}

char *tsm_buf_detach(struct tsm_buf *b, size_t *len)
{
    char *p = tsm_buf_cstr(b);
    if (len)
        *len = b->len;
    *b = (struct tsm_buf){0};
    return p;
}
