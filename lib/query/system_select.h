/*
 * query/system_select.h: statements that influxd answers with a SELECT over fields that no shard has: _seriesKey, _tagKey,
 * _tagValue, _fieldKey and _name. Their values have the time 0, so that is the one that the rest of the condition is asked for.
 */
#ifndef TSM_QUERY_SYSTEM_SELECT_H
#define TSM_QUERY_SYSTEM_SELECT_H

#include "query/cursor.h"
#include "query/plan.h"

struct tsm_system_select {
    struct tsm_query_ctx *q;
    struct tsm_arena arena;
    struct tsm_select select;
    struct tsm_regex *all; /* .+, the source when none is given */
    struct tsm_compiled compiled;
    struct tsm_plan plan; /* its groups are listed */
    bool visible;         /* the time 0 is in the range; else the answer is empty */
    const struct tsm_program **filters;
    struct tsm_program_space *space;
    struct tsm_cursor cursor;
    struct tsm_vec *inputs;
    union tsm_system_value { /* one for each input */
        double f;
        int64_t i;
        uint64_t u;
        uint8_t b;
        struct tsm_str s;
    } * values;
    unsigned rounds;
};

/* Finds the series of show's sources that may pass the condition (which is show's, or made from it), in groups by its dimensions.
 * aggregate: as count(distinct(…)) would be; else as the field itself. TSM_EQUERY with influxd's text. To be released in any case. */
int tsm_system_select_open(struct tsm_system_select *x, struct tsm_query_ctx *q, const struct tsm_show *show,
                           const struct tsm_expr *condition, bool aggregate, struct tsm_err *err);
void tsm_system_select_release(struct tsm_system_select *x);

/* Does series s of u pass what is left of the condition? 1, 0 or an error; one too when the query is to end. */
int tsm_system_select_passes(struct tsm_system_select *x, const struct tsm_unit *u, size_t s,
                             struct tsm_err *err);

#endif
