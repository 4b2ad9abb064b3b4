/* base/sort.h: sorting an array that may be empty: libc's qsort() must not be given NULL, not even with no elements. */
#ifndef TSM_BASE_SORT_H
#define TSM_BASE_SORT_H

#include <stddef.h>
#include <stdlib.h>

static inline void tsm_sort(void *array, size_t n, size_t size, int (*compare)(const void *, const void *))
{
    if (n > 1)
        qsort(array, n, size, compare);
}

#endif
