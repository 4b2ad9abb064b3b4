/*
 * base/buf.h: a growing byte buffer. A zeroed struct is a valid empty buffer. data may move on any
 * append. The bytes are not terminated, except right after tsm_buf_cstr().
 */
#ifndef TSM_BASE_BUF_H
#define TSM_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"

struct tsm_buf {
    uint8_t *data;
    size_t len;
    size_t cap;
};

void tsm_buf_release(struct tsm_buf *b);            /* frees and zeroes */
void tsm_buf_grow(struct tsm_buf *b, size_t extra); /* room for extra more bytes after len */

static inline void tsm_buf_reset(struct tsm_buf *b)
{
    b->len = 0;
}

/* Room for extra bytes; returns where they go. The caller adds what it used to len. */
static inline uint8_t *tsm_buf_room(struct tsm_buf *b, size_t extra)
{
    if (b->cap - b->len < extra)
        tsm_buf_grow(b, extra);
    return b->data + b->len;
}

static inline void tsm_buf_add(struct tsm_buf *b, const void *p, size_t n)
{
    if (n)
        memcpy(tsm_buf_room(b, n), p, n);
    b->len += n;
}

static inline void tsm_buf_byte(struct tsm_buf *b, uint8_t c)
{
    *tsm_buf_room(b, 1) = c;
    b->len++;
}

static inline void tsm_buf_str(struct tsm_buf *b, struct tsm_str s)
{
    tsm_buf_add(b, s.p, s.n);
}

static inline void tsm_buf_puts(struct tsm_buf *b, const char *s)
{
    tsm_buf_add(b, s, strlen(s));
}

void tsm_buf_printf(struct tsm_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The content as a terminated string; the terminator is not counted in len. */
char *tsm_buf_cstr(struct tsm_buf *b);

/* The content as a borrowed run, valid until the next change. */
static inline struct tsm_str tsm_buf_view(const struct tsm_buf *b)
{
    return tsm_str((const char *)b->data, b->len);
}

/* Hands the bytes over to the caller (tsm_free), terminated, and leaves the buffer empty. */
char *tsm_buf_detach(struct tsm_buf *b, size_t *len);

#endif
