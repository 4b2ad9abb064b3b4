/* tests/unit/shard_maker.h: writing TSM files and logs for tests of what reads them. All fail the test on
 * error. */
#ifndef SHARD_MAKER_H
#define SHARD_MAKER_H

#include "codec/values.h"

/* A file with one float per key: time and value. */
struct made_value {
    const char *key;
    enum tsm_type type; /* of 0 or 1 in that type; a float is `value` */
    int64_t time;
    double value;
};

/* dir/name with a block for each item; keys ascending, each key's times too. */
void make_file(const char *dir, const char *name, const struct made_value *items, size_t n);
/* The tombstone file beside dir/name: one range of one key; added to what is there. */
void make_tombstone(const char *dir, const char *name, const char *key, int64_t tmin, int64_t tmax);
/* Changes one bit of a file. */
void damage_file(const char *dir, const char *name, uint64_t offset);

#endif
