/* query/shape_impl.h: what the parts that make a shape share. */
#ifndef TSM_QUERY_SHAPE_IMPL_H
#define TSM_QUERY_SHAPE_IMPL_H

#include "query/shape.h"

struct tsm_shaper {
    struct tsm_shape *s;
    struct tsm_plan *p;
    struct tsm_arena *a;
    const struct tsm_compiled *c;
    struct tsm_err *err;
    bool inner;
    struct tsm_select_field *fields; /* the select list, expanded */
    size_t n, cap;
    struct tsm_aux *names; /* what wildcards stand for: fields and tags, ascending by name and type */
    size_t nnames;
    size_t capaux, capcalls;
};

/* shape_types.c */

/* Gives every variable of e, a copy, its type. */
void tsm_shape_set_types(struct tsm_shaper *k, struct tsm_expr *e);
/* The type of e, whose variables have theirs. TSM_EQUERY. */
int tsm_shape_check_type(struct tsm_shaper *k, const struct tsm_expr *e, enum tsm_data_type *type);
bool tsm_shape_is_field(enum tsm_data_type t);

/* shape_call.c */

/* Adds a call unless it is known. TSM_EQUERY: a function that cannot stand in another one. */
int tsm_shape_add_call(struct tsm_shaper *k, const struct tsm_expr *e);
/* Its number; SIZE_MAX: it was not added. */
size_t tsm_shape_find_call(struct tsm_shaper *k, const struct tsm_expr *e);

#endif
