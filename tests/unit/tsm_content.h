/* tests/unit/tsm_content.h: TSM files for tests: keys of every type with values that can be told. */
#ifndef TSM_CONTENT_H
#define TSM_CONTENT_H

#include "format/tsm_reader.h"
#include "format/tsm_writer.h"

#define GOLDEN "tests/unit/golden/"

/* Value number i of a type. */
union tsm_value value_of(enum tsm_type type, int64_t i);
bool same_value(enum tsm_type type, union tsm_value a, union tsm_value b);

enum { BLOCKS = 3, ORIGINS = 3 };
extern const struct tsm_origin some_origins[ORIGINS];

/* Key number i is of type i % 5 and has blocks of n values, the j-th value of all at (j + 1) * 10 seconds. */
void key_text(char *out, size_t size, int i);
void fill(struct tsm_values *v, enum tsm_type type, int64_t from, int64_t n);
int add_block(struct tsm_writer *w, const char *key, const struct tsm_values *v, struct tsm_err *err);

/* How write_file() writes: with origins, with so much memory for the index. */
extern bool with_origins;
extern size_t index_memory; /* SIZE_MAX at first */

/* Writes keys * BLOCKS blocks; the writer's answer. */
int write_file(const struct tsm_fs *fs, const char *to, int keys, int64_t n, struct tsm_err *err);
struct tsm_reader *open_file(const char *from); /* fails the test on error */

#endif
