/*
 * result/cell_text.h: the text of a result's values, for the writers that put one beside the other.
 */
#ifndef TSM_RESULT_CELL_TEXT_H
#define TSM_RESULT_CELL_TEXT_H

#include <math.h>

#include "base/num.h"
#include "base/time.h"
#include "query/sink.h"

/* Times as text; keeps the last day, as times come in order. */
struct tsm_time_text {
    int64_t unit; /* nanoseconds per unit of an epoch; 0: RFC 3339 */
    const struct tsm_zone *zone;
    int64_t from, to; /* seconds: where the offset is the zone's */
    int32_t offset;
    int64_t day;   /* number of the day whose date is in date; INT64_MIN: none */
    char date[11]; /* 2006-01-02T */
};

static inline void tsm_time_text_init(struct tsm_time_text *t, int64_t unit)
{
    *t = (struct tsm_time_text){.unit = unit, .day = INT64_MIN};
}

/* The zone of the next times; NULL: UTC. It must stay until another is set. */
static inline void tsm_time_text_zone(struct tsm_time_text *t, const struct tsm_zone *zone)
{
    t->zone = zone;
    t->from = t->to = 0;
}

/* Any value but a string, at most TSM_NUM_MAX bytes: numbers as in JSON, true, false. */
size_t tsm_plain_text(struct tsm_time_text *t, char *p, const struct tsm_cells *c, size_t row);

/* A JSON string with its quotes, escaped as Go's encoding/json does (<, >, &, U+2028 and U+2029 too). */
void tsm_json_string(struct tsm_buf *out, struct tsm_str s);

/* A value as JSON. */
void tsm_json_cell(struct tsm_time_text *t, struct tsm_buf *out, const struct tsm_cells *c, size_t row);

static inline bool tsm_cell_is_null(const struct tsm_cells *c, size_t row)
{
    return c->nulls && c->nulls[row];
}

/* False for the infinity that a sum may end in. */
static inline bool tsm_cell_is_finite(const struct tsm_cells *c, size_t row)
{
    return c->type != TSM_CELL_FLOAT || isfinite(c->v.f[row]);
}

#endif
