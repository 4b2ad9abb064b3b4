/* base/alloc.c: allocation that ends the process instead of returning NULL. */
#include "base/alloc.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/banned.h"

_Noreturn static void out_of_memory(size_t size)
{
    fprintf(stderr, "tsmkit: out of memory: cannot allocate %zu bytes\n", size);
    _exit(1);
}

void *tsm_alloc(size_t size)
{
    void *p = malloc(size ? size : 1);
    if (!p)
        out_of_memory(size);
    return p;
}

void *tsm_calloc(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size ? size : 1);
    if (!p)
        out_of_memory(count * size);
    return p;
}

void *tsm_realloc(void *p, size_t size)
{
    void *q = realloc(p, size ? size : 1);
    if (!q)
        out_of_memory(size);
    return q;
}

void *tsm_realloc_array(void *p, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        out_of_memory(SIZE_MAX);
    return tsm_realloc(p, bytes);
}

char *tsm_strndup(const char *s, size_t n)
{
    char *d = tsm_alloc(n + 1);
    if (n)
        memcpy(d, s, n);
    d[n] = '\0';
    return d;
}

char *tsm_strdup(const char *s)
{
    return tsm_strndup(s, strlen(s));
}

void tsm_free(void *p)
{
    free(p);
}

void *tsm_zlib_alloc(void *ctx, unsigned count, unsigned size)
{
    (void)ctx;
    return tsm_calloc(count, size);
}

void tsm_zlib_free(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

/*
 * libsnappy is C++, whose operator new throws when there is no memory, and nobody here would catch that. C++ lets a program
 * replace its operators new and delete; these end the process as everything else does. The names are those of a size_t that
 * is an unsigned long.
 */
void *tsm_operator_new(size_t size) __asm__("_Znwm");
void tsm_operator_delete(void *p) __asm__("_ZdlPv");
void tsm_operator_delete_sized(void *p, size_t size) __asm__("_ZdlPvm");

void *tsm_operator_new(size_t size)
{
    return tsm_alloc(size);
}

void tsm_operator_delete(void *p)
{
    free(p);
}

void tsm_operator_delete_sized(void *p, size_t size)
{
    (void)size;
    free(p);
}
