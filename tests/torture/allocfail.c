/*
 * tests/torture/allocfail.c: preloaded into a program, lets its n-th allocation fail, counted from its start.
 *
 *   ALLOC_FAIL_AT=N        this one fails …
 *   ALLOC_FAIL_FOR_GOOD=1  … and all that follow
 *   ALLOC_COUNT=FILE       how many there were is written here at the end, and whether one has failed
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static atomic_long calls;
static atomic_long fail_at = -1; /* -1: the environment was not read yet */
static bool for_good;

static bool fails(void)
{
    long n = atomic_fetch_add(&calls, 1) + 1, at = atomic_load(&fail_at);
    if (at < 0) {
        const char *s = getenv("ALLOC_FAIL_AT"); /* allocates nothing */
        for_good = getenv("ALLOC_FAIL_FOR_GOOD") != NULL;
        at = s ? atol(s) : 0;
        atomic_store(&fail_at, at);
    }
    if (at == 0 || (n != at && !(for_good && n > at)))
        return false;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size)
{
    return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
    return fails() ? NULL : __libc_realloc(p, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **p, size_t alignment, size_t size)
{
    void *m = aligned_alloc(alignment, size);
    if (!m)
        return ENOMEM;
    *p = m;
    return 0;
}

static void report(void)
{
    const char *path = getenv("ALLOC_COUNT");
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) : -1;
    char text[32];
    int n = snprintf(text, sizeof text, "%ld\n", atomic_load(&calls));
    if (fd >= 0) {
        if (write(fd, text, (size_t)n) != n)
            _exit(99);
        close(fd);
    }
}

__attribute__((destructor)) static void at_end(void)
{
    report();
}
