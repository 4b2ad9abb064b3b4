/*
 * store/distinct.h: how many different hashes were seen, in bounded memory.
 *
 * Exact until the table is full; from then on it keeps only the hashes that end in one, two, … zero bits, and
 * multiplies: with a million kept the count is right within a fraction of a percent.
 */
#ifndef TSM_STORE_DISTINCT_H
#define TSM_STORE_DISTINCT_H

#include <stddef.h>
#include <stdint.h>

/* A zeroed struct with limit set is empty. */
struct tsm_distinct {
    size_t limit; /* most hashes that are kept */
    uint64_t *slots;
    size_t mask, used;
    unsigned skipped; /* low bits that must be zero */
};

void tsm_distinct_add(struct tsm_distinct *d, uint64_t hash);
uint64_t tsm_distinct_count(const struct tsm_distinct *d);
size_t tsm_distinct_bytes(const struct tsm_distinct *d);
void tsm_distinct_release(struct tsm_distinct *d);

#endif
