/* query/plan_tags.h: the tags of a series key, read in place. Faster than tsm_series_parse() where keys have
 * no escapes. */
#ifndef TSM_QUERY_PLAN_TAGS_H
#define TSM_QUERY_PLAN_TAGS_H

#include "base/arena.h"
#include "format/series_key.h"

struct tsm_tag_list {      /* reusable */
    struct tsm_tag *items; /* ascending by key */
    size_t n, cap;
};

/* Texts point into key, or into the arena where they had escapes. */
int tsm_tag_list_parse(struct tsm_tag_list *l, struct tsm_str key, struct tsm_arena *a, struct tsm_err *err);
void tsm_tag_list_release(struct tsm_tag_list *l);

#endif
