/*
 * query/plan.h: what a SELECT reads: which shards, measurements, series and fields, in which groups.
 *
 * A unit is one measurement of one shard, as one source of the query names it. The plan is made in two steps,
 * because wildcards need the names first: tsm_plan_open() finds the units and their fields and tags; after
 * the caller has said which of them it needs (tsm_plan_field(), tsm_plan_tag()) and what it groups by,
 * tsm_plan_series() lists the series that pass the conditions on tags, set by set, as influxd orders them.
 * Immutable from then on.
 */
#ifndef TSM_QUERY_PLAN_H
#define TSM_QUERY_PLAN_H

#include "query/compile.h"
#include "query/context.h"

#define TSM_NO_KEY UINT32_MAX
#define TSM_NO_FILTER 0u /* in struct tsm_plan_series */

struct tsm_plan_field { /* a field that is read, in the type that the query wants of it */
    struct tsm_str name;
    enum tsm_data_type type;
};

struct tsm_unit_field {
    struct tsm_str name;
    enum tsm_data_type type;
    enum tsm_data_type
        wildcard; /* what it is where a wildcard stands for it; of a subquery's columns of one name */
    bool hidden;  /* no wildcard stands for it */
};

struct tsm_level;

struct tsm_plan_series {
    uint32_t first, nkeys; /* among the shard's keys */
    uint32_t key_len;      /* of the series key, which key `first` starts with */
    uint32_t filter;       /* index into plan->filters, or TSM_NO_FILTER */
};

struct tsm_plan_set { /* the series of one group in one unit, ascending by key */
    uint32_t group, from, to;
};

struct tsm_unit {
    const struct tsm_shard *shard; /* NULL: see level */
    struct tsm_level *level;       /* level.h: the rows of a subquery, in the order in which it gives them */
    struct tsm_str name;           /* measurement, unescaped */
    unsigned source;               /* which source of the statement */
    struct tsm_unit_field *fields; /* ascending by name */
    size_t nfields;
    struct tsm_str *tags; /* names of all tags, ascending */
    size_t ntags;
    struct tsm_plan_series *all; /* every series, ascending by key; until tsm_plan_series() */
    size_t nall;

    /* After tsm_plan_series(): */
    int8_t *readable; /* per plan field: the shard has it in a type that can be read as the wanted one */
    struct tsm_plan_series *series; /* set by set */
    size_t nseries;
    uint32_t *keys;            /* nseries x plan->nfields: number of the shard's key, or TSM_NO_KEY */
    struct tsm_str *values;    /* nseries x plan->ntags; n 0: the series does not have it */
    struct tsm_plan_set *sets; /* ascending by group, after SLIMIT */
    size_t nsets;
    uint32_t *numbers; /* nseries: of their series in the level that reads them; NULL: the group's */
};

struct tsm_plan_group {
    struct tsm_str name;     /* measurement */
    struct tsm_tag *tags;    /* the dimensions, ascending by name */
    size_t first_set, nsets; /* in plan->members */
};

struct tsm_plan_member { /* a set of a group */
    uint32_t unit, set;
};

struct tsm_plan {
    struct tsm_arena arena;
    struct tsm_unit *units; /* by source, measurement, shard */
    size_t nunits, capunits;
    struct tsm_plan_field *fields;
    size_t nfields, capfields;
    struct tsm_str *tags;
    size_t ntags, captags;
    struct tsm_str *dimensions; /* ascending, distinct */
    size_t ndimensions;
    bool *outer;   /* per dimension, whether the outermost of nested queries groups by it; NULL: all are */
    bool *grouped; /* per dimension, whether GROUP BY names it, so that SLIMIT counts by it; NULL: all are */
    struct tsm_expr **filters; /* conditions on fields; [TSM_NO_FILTER] is NULL */
    size_t nfilters, capfilters;
    struct tsm_plan_group *groups; /* ascending by name and tags */
    size_t ngroups;
    struct tsm_plan_member *members; /* by group; within one in the order of the units */
    size_t nmembers;
    struct tsm_query_control *control; /* NULL: none */
    unsigned rounds;                   /* for tsm_control_round() */
    bool regex_source;                 /* some source is a regex: influxd merges once more */
};

void tsm_plan_release(struct tsm_plan *p);

/* Finds the units. TSM_EQUERY: database or policy not found. */
int tsm_plan_open(struct tsm_plan *p, struct tsm_query_ctx *q, const struct tsm_compiled *c,
                  struct tsm_err *err);

/* The type of a name over all units, as influxd maps it. */
enum tsm_data_type tsm_plan_type(const struct tsm_plan *p, struct tsm_str name);
/* x has lower precedence than y where types differ between shards. */
bool tsm_data_type_less(enum tsm_data_type x, enum tsm_data_type y);
enum tsm_data_type tsm_data_type_of(enum tsm_type type);

/* The index of a field or tag among those that are read; added when new. */
size_t tsm_plan_field(struct tsm_plan *p, struct tsm_str name, enum tsm_data_type type);
size_t tsm_plan_tag(struct tsm_plan *p, struct tsm_str name);

/* Lists the series. condition has types on its variables; NULL: none. p->dimensions has been set. */
int tsm_plan_series(struct tsm_plan *p, const struct tsm_expr *condition, int64_t slimit, int64_t soffset,
                    struct tsm_err *err);

static inline struct tsm_str tsm_plan_series_key(const struct tsm_unit *u, const struct tsm_plan_series *s)
{
    return tsm_str(tsm_shard_key(u->shard, s->first).p, s->key_len);
}

size_t tsm_plan_bytes(const struct tsm_plan *p); /* memory held */

#endif
