/*
 * query/eval.h: expressions over columns: conditions on rows, and arithmetic in the select list.
 *
 * A program is compiled once from an expression and runs over batches of rows, a whole column per operation.
 * Types and results are those of influxql's ValuerEval: a comparison with a value that is missing, or of
 * another kind, is false; division by zero gives zero.
 */
#ifndef TSM_QUERY_EVAL_H
#define TSM_QUERY_EVAL_H

#include "query/ast.h"
#include "codec/values.h"

enum tsm_vec_type {
    TSM_VEC_FLOAT,
    TSM_VEC_INTEGER,
    TSM_VEC_UNSIGNED,
    TSM_VEC_BOOLEAN,
    TSM_VEC_STRING,
    TSM_VEC_NIL
};

struct tsm_vec { /* a column; borrowed */
    enum tsm_vec_type type;
    bool constant; /* one value for all rows */
    union {
        const double *f;
        const int64_t *i;
        const uint64_t *u;
        const uint8_t *b;
        const struct tsm_str *s;
        const void *p;
    } v;
    const uint8_t *nulls; /* per row (also when constant: one), non-zero: missing; NULL: none are */
};

enum tsm_vec_type tsm_vec_type_of(enum tsm_data_type t); /* of a variable; tags are strings */
size_t tsm_vec_size(enum tsm_vec_type t);

struct tsm_program; /* immutable, so that threads may share it */

/* Which input column a variable is. */
typedef size_t tsm_input_of(void *ctx, const struct tsm_expr *e, enum tsm_vec_type *type);

/* Variables of e, and calls but for those of mathematical functions (math_call.h), are inputs. select: the rules of the select list (integers divide to a float, a
 * missing boolean is false); else those of WHERE. */
struct tsm_program *tsm_program_new(struct tsm_arena *a, const struct tsm_expr *e, bool select,
                                    tsm_input_of *input_of, void *ctx);
enum tsm_vec_type tsm_program_type(const struct tsm_program *p);

struct tsm_program_space; /* the intermediate columns of a run; one per thread */
struct tsm_program_space *tsm_program_space_new(void);
void tsm_program_space_free(struct tsm_program_space *s); /* NULL is allowed */

/* The result over n rows of inputs, valid until the next run in this space. */
int tsm_program_run(const struct tsm_program *p, struct tsm_program_space *s, const struct tsm_vec *inputs,
                    size_t n, struct tsm_vec *out, struct tsm_err *err);

/* A condition: sets mask[i] to 1 where it holds and returns how many do in *count. */
int tsm_program_filter(const struct tsm_program *p, struct tsm_program_space *s, const struct tsm_vec *inputs,
                       size_t n, uint8_t *mask, size_t *count, struct tsm_err *err);

#endif
