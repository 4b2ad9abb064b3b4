/* base/str.h: a borrowed run of bytes. It is not terminated; whoever made it says how long it lives. */
#ifndef TSM_BASE_STR_H
#define TSM_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct tsm_str {
    const char *p;
    size_t n;
};

#define TSM_STR(literal) ((struct tsm_str){(literal), sizeof(literal) - 1})

static inline struct tsm_str tsm_str(const char *p, size_t n)
{
    return (struct tsm_str){p, n};
}

static inline struct tsm_str tsm_str_of(const char *s)
{
    return (struct tsm_str){s, s ? strlen(s) : 0};
}

static inline bool tsm_str_eq(struct tsm_str a, struct tsm_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Byte order, a prefix before the longer string: the order of keys in a TSM index. */
static inline int tsm_str_cmp(struct tsm_str a, struct tsm_str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

static inline bool tsm_str_starts(struct tsm_str s, struct tsm_str prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

#endif
