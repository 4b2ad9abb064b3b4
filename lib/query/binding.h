/*
 * query/binding.h: values for the parameters ($name) of a query. A value is a token: the parser sees it in place of the parameter.
 */
#ifndef TSM_QUERY_BINDING_H
#define TSM_QUERY_BINDING_H

#include "query/lexer.h"

struct tsm_binding {
    struct tsm_str name;
    enum tsm_token tok;   /* TSM_TOK_BOUNDPARAM: value is an error, for whoever uses the parameter */
    struct tsm_str value; /* as a lexer would give it: text of a number, content of a string */
};

struct tsm_bindings {
    struct tsm_binding *items;
    size_t n;
};

/* NULL: there is none. */
static inline const struct tsm_binding *tsm_binding_find(const struct tsm_bindings *b, struct tsm_str name)
{
    for (size_t i = 0; b && i < b->n; i++)
        if (tsm_str_eq(b->items[i].name, name))
            return &b->items[i];
    return NULL;
}

#endif
