/*
 * query/aggregate.h: the functions of a SELECT over a run of its groups. Private to the executor.
 *
 * First all series are read, in parallel, in tasks that are runs of series; what a call needs of each series
 * is kept: a point per interval, or the values themselves. Where neither the order in which series are joined
 * nor the series that a point came from can be seen in the result, points are joined at once, in an array
 * with one element per interval (dense). Then each group is reduced: over the series of a shard, over shards,
 * over sources, as influxd's iterators do.
 */
#ifndef TSM_QUERY_AGGREGATE_H
#define TSM_QUERY_AGGREGATE_H

#include <stdatomic.h>

#include "query/functions.h"
#include "query/merge.h"
#include "query/run.h"

enum tsm_agg_method {
    TSM_AGG_NONE,   /* there is no such field */
    TSM_AGG_FOLD,   /* points per series and interval */
    TSM_AGG_ENDS,   /* first() or last() over the whole range: two rows of each series */
    TSM_AGG_VALUES, /* all values */
};

struct tsm_agg_call {
    const struct tsm_call *call;
    enum tsm_function fn; /* call->fn; max() or min() of each series where top() or bottom() has tags */
    enum tsm_agg_method method;
    enum tsm_vec_type type; /* of the field */
    size_t field;           /* among the plan's */
    int64_t from, to;       /* the times of its points: intervals before the first one of the answer, too */
    int64_t tmin, tmax;     /* what is read of those */
    bool visible;           /* the series of its points can be seen */
    bool own_time;          /* their own times are shown, not those of the intervals */
    bool dense;             /* TSM_AGG_FOLD: see above */
    bool rough;   /* dense although the order can be seen in the last digit: else there is not the memory */
    bool ordered; /* TSM_AGG_VALUES: needs them in the order of a sorted merge */
    bool timed;   /* TSM_AGG_VALUES: their times are kept */
    size_t best;  /* TSM_AGG_VALUES, top, bottom: only so many of each series and interval are kept; 0: all */
    bool
        entered; /* with best: also those that were among the best when they came, which is all that influxd's heap sees */
};

struct tsm_agg_list { /* of all series of a task, one after the other */
    int64_t *t;       /* start of the interval; or the time of a value */
    struct tsm_partial *p;
    union tsm_num *v;
    size_t n, cap;
};

struct tsm_agg_dense {
    struct tsm_partial *p;
    uint8_t *present;
};

struct tsm_agg_task {
    struct tsm_agg_list *lists;    /* per call */
    size_t *ends;                  /* per series of the task and call: where its part of the list ends */
    size_t first_member, nmembers; /* the members that the task reads some series of */
    struct tsm_agg_dense *dense;   /* per member of the task and call */
    struct tsm_arena text;
};

struct tsm_agg_member { /* a set of a group */
    const struct tsm_unit *unit;
    uint32_t from, n; /* its series */
    uint32_t group;
    uint32_t
        answer; /* number of the series of the answer that the group is of: those of top() or bottom() with tags have several */
    size_t base; /* number of its first series in the wave */
};

struct tsm_agg { /* of the statement */
    struct tsm_run *r;
    struct tsm_agg_call *calls;
    size_t ncalls;
    struct tsm_row_reader **readers; /* per thread */
    struct tsm_cursor *cursors;      /* per thread */
    bool *none_wanted;               /* per field of the plan: false */
};

/* Where a point came from, for what stands beside it. */
struct tsm_agg_origin {
    const struct tsm_unit *unit;
    uint32_t series;
    int64_t t;
    uint32_t row; /* of a subquery: the point's among those that the call has of the group */
};

/* Points of one level of influxd's iterators, in the order of the answer. */
struct tsm_agg_level {
    int64_t *t; /* start of the interval */
    struct tsm_partial *p;
    struct tsm_agg_origin *o; /* NULL: not visible */
    size_t n, cap;
};

/* The order in which the points of several shards are joined: influxd's heap goes on from group to group. */
struct tsm_agg_order {
    struct tsm_row_ref *refs; /* input: the member */
    size_t *from;             /* per member: where those of the shards that it is the first of begin */
};

struct tsm_agg_wave {
    struct tsm_agg *a;
    struct tsm_agg_member *members;
    size_t nmembers, capmembers;
    size_t nseries;
    size_t per; /* series per task */
    struct tsm_agg_task *tasks;
    size_t ntasks;
    int64_t base; /* start of the first interval, for dense arrays */
    size_t nwindows;
    struct tsm_agg_level *levels; /* per member and call: what tsm_agg_join() made of the series */
    struct tsm_agg_family {
        size_t *members;
        size_t n;
    } * families; /* members whose series influxd merges together: those of one unit and answer */
    size_t nfamilies;
    size_t *family_members;
    struct tsm_agg_order *orders; /* per call; refs NULL: each group on its own */
    atomic_size_t bytes;          /* held for results */
    size_t most;                  /* limit for them */
    atomic_bool overflow;
};

/* [start, end) of the interval that t is in. Without GROUP BY time() there is one, from TSM_TIME_MIN on. */
struct tsm_window {
    int64_t start, end;
};
struct tsm_window tsm_window_at(const struct tsm_compiled *c, int64_t t);

/* Decides how each call is computed. TSM_EQUERY when a function does not take its field's type. */
int tsm_agg_init(struct tsm_agg *a, struct tsm_run *r, struct tsm_err *err);
void tsm_agg_release(struct tsm_agg *a);

/* Adds a group, with the bytes that it is expected to need. */
void tsm_agg_add_group(struct tsm_agg_wave *w, uint32_t group, uint32_t answer);
size_t tsm_agg_estimate(const struct tsm_agg *a, uint32_t group);
/* Reads all series. With w->overflow set, the result did not fit in w->most. */
int tsm_agg_load(struct tsm_agg_wave *w, struct tsm_err *err);
/* Joins the points of the series in each shard, and finds the order of the shards. */
int tsm_agg_join(struct tsm_agg_wave *w, struct tsm_err *err);
bool tsm_agg_together(const struct tsm_agg *a); /* whether all groups of an answer should be in one wave */
/* Finds the order of the shards for a call. aggregate_order.c */
void tsm_agg_order_call(struct tsm_agg_wave *w, size_t call);
void tsm_agg_wave_release(struct tsm_agg_wave *w);

/* The part of a call's list that belongs to series i of member m. */
struct tsm_agg_part {
    const int64_t *t;
    const struct tsm_partial *p;
    const union tsm_num *v;
    size_t n;
};
struct tsm_agg_part tsm_agg_part(const struct tsm_agg_wave *w, const struct tsm_agg_member *m, uint32_t i,
                                 size_t call);

/* The answer of one call in one group: points in the order of the answer. */
struct tsm_agg_result {
    int64_t *t; /* what the time column shows */
    union tsm_num *v;
    struct tsm_agg_origin *origins; /* only when visible */
    size_t n, cap;
    /* Intervals for which percentile() gave nothing: see select_aggregate.c. */
    size_t lead_gaps;  /* before the first point */
    size_t gaps;       /* since the last point */
    size_t broken_at;  /* points before the first two in a row between or behind points; SIZE_MAX: none */
    size_t first_gap;  /* points before the first one; SIZE_MAX: none */
    uint32_t *skipped; /* per point, how many lie before it; NULL: none anywhere */
    uint64_t after;    /* intervals that are filled in behind the last point */
    bool ends;         /* influxd's iterator ends here: nothing comes for groups behind this one */
    bool tied;         /* top, bottom: which points these are depends on what has not been read */
};
struct tsm_agg_group {
    struct tsm_agg_result *results; /* per call */
};
/* Members [from, to) of the wave are those of one group, in the order of units. */
int tsm_agg_reduce(const struct tsm_agg_wave *w, size_t from, size_t to, struct tsm_agg_group *g,
                   struct tsm_err *err);
void tsm_agg_group_release(const struct tsm_agg *a, struct tsm_agg_group *g);

/* One call in one group, on its way to a result. */
struct tsm_agg_reducer {
    const struct tsm_agg_wave *w;
    const struct tsm_agg_call *c;
    size_t call;     /* its number */
    size_t from, to; /* members */
    struct tsm_agg_result *out;
    bool descending;
};
void tsm_agg_reduce_points(struct tsm_agg_reducer *k);                     /* aggregate_points.c */
int tsm_agg_reduce_values(struct tsm_agg_reducer *k, struct tsm_err *err); /* aggregate_values.c */
void tsm_agg_add_result(struct tsm_agg_reducer *k, int64_t t, union tsm_num v,
                        const struct tsm_agg_origin *o);
void tsm_agg_result_release(struct tsm_agg_result *r);
/* What the time column shows for an interval. */
int64_t tsm_agg_shown_time(const struct tsm_agg_reducer *k, int64_t window);

/*
 * The steps of a call: a point goes in, points come out of the last one. With an origin that says where each point
 * came from, those that come out have one, too.
 */
struct tsm_agg_chain;
typedef struct tsm_agg_origin tsm_agg_origin_of(void *ctx, uint64_t number); /* of the point that went in */
struct tsm_agg_chain *tsm_agg_chain_new(struct tsm_agg_reducer *k, tsm_agg_origin_of *origin, void *ctx);
int tsm_agg_chain_add(struct tsm_agg_chain *c, int64_t t, union tsm_num v, struct tsm_err *err);
int tsm_agg_chain_end(struct tsm_agg_chain *c, struct tsm_err *err);
void tsm_agg_chain_free(struct tsm_agg_chain *c);
/* The values of the wave, of a call that takes them as they are, go into a chain of the reducer: a slice of a group. */
int tsm_agg_feed_values(struct tsm_agg_reducer *k, struct tsm_agg_chain *chain, struct tsm_err *err);
/* The range of time that a group's values of a call lie in, by the index; false: there are none. */
bool tsm_agg_range(const struct tsm_agg_wave *w, size_t call, int64_t *tmin, int64_t *tmax);
/* The points that a call's function has made, filled in, through its steps. */
int tsm_agg_transform(struct tsm_agg_reducer *k, struct tsm_err *err);

/* The n best of points, by influxd's heap: top() and bottom() of one interval. */
struct tsm_agg_best_point {
    int64_t t;
    union tsm_num v;
    size_t number; /* the caller's */
};
struct tsm_agg_best {
    struct tsm_agg_best_point *points;
    size_t n, most, cap;
    enum tsm_vec_type type;
    bool bottom;
};
void tsm_agg_best_init(struct tsm_agg_best *b, const struct tsm_agg_call *c);
void tsm_agg_best_release(struct tsm_agg_best *b);
/* True when it is among the best so far. */
bool tsm_agg_best_add(struct tsm_agg_best *b, int64_t t, union tsm_num v, size_t number);
/* Whether x is not as good as y: the heap has the worst one first. */
bool tsm_agg_best_worse(const struct tsm_agg_best *b, const struct tsm_agg_best_point *x,
                        const struct tsm_agg_best_point *y);
/* In the order of the answer. */
void tsm_agg_best_sort(struct tsm_agg_best *b);
/* top() and bottom() with tags: of the results of the series that they name, one result. */
void tsm_agg_combine_best(const struct tsm_run *r, const struct tsm_agg_call *c,
                          const struct tsm_agg_result *in, size_t n, struct tsm_agg_result *out);

/* influxd's sorted merge compares the strings that stand beside points of one time. */
struct tsm_agg_ties {
    const struct tsm_run *r;
    bool descending;
    struct tsm_cursor cursors[2]; /* for string fields */
};
void tsm_agg_ties_init(struct tsm_agg_ties *t, const struct tsm_run *r, bool descending);
void tsm_agg_ties_release(struct tsm_agg_ties *t);
bool tsm_agg_ties_less(struct tsm_agg_ties *t, const struct tsm_agg_origin *x,
                       const struct tsm_agg_origin *y);

#endif
