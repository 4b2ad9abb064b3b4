/* query/functions.c: folding arrays of values. The loops are written so that independent comparisons overlap;
 * sums of floats are added strictly one after the other, because that is the result to reproduce. */
#include "query/functions.h"

#include "base/banned.h"

bool tsm_function_takes(enum tsm_function fn, enum tsm_vec_type type)
{
    static const enum tsm_data_type types[] = {
        [TSM_VEC_FLOAT] = TSM_DATA_FLOAT,       [TSM_VEC_INTEGER] = TSM_DATA_INTEGER,
        [TSM_VEC_UNSIGNED] = TSM_DATA_UNSIGNED, [TSM_VEC_BOOLEAN] = TSM_DATA_BOOLEAN,
        [TSM_VEC_STRING] = TSM_DATA_STRING,     [TSM_VEC_NIL] = TSM_DATA_UNKNOWN};
    return tsm_function_row_takes(tsm_function_row(fn), types[type]);
}

bool tsm_function_folds(enum tsm_function fn)
{
    return fn <= TSM_FN_SPREAD;
}

bool tsm_function_needs_order(enum tsm_function fn, enum tsm_vec_type type, bool visible)
{
    switch (fn) {
    case TSM_FN_COUNT:
    case TSM_FN_SPREAD:
        return false;
    case TSM_FN_SUM:
        return type == TSM_VEC_FLOAT;
    case TSM_FN_MIN:
    case TSM_FN_MAX:
    case TSM_FN_FIRST:
    case TSM_FN_LAST:
        return visible;
    default:
        return true;
    }
}

bool tsm_num_less(enum tsm_vec_type type, union tsm_num x, union tsm_num y)
{
    switch (type) {
    case TSM_VEC_FLOAT:
        return x.f < y.f;
    case TSM_VEC_INTEGER:
        return x.i < y.i;
    case TSM_VEC_STRING:
        return tsm_str_cmp(*x.s, *y.s) < 0;
    default:
        return x.u < y.u;
    }
}

bool tsm_num_equal(enum tsm_vec_type type, union tsm_num x, union tsm_num y)
{
    switch (type) {
    case TSM_VEC_FLOAT:
        return x.f == y.f;
    case TSM_VEC_STRING:
        return tsm_str_eq(*x.s, *y.s);
    default:
        return x.u == y.u;
    }
}

/* ---- adding values ----------------------------------------------------------------------------- */

#define UNUSED(x) (void)(x)

static void add_count(struct tsm_partial *p, const int64_t *t, const void *v, size_t n, bool fresh,
                      bool backwards, struct tsm_arena *a)
{
    UNUSED(t), UNUSED(v), UNUSED(backwards), UNUSED(a);
    p->v.i = (fresh ? 0 : p->v.i) + (int64_t)n;
}

static double sum_floats(double sum, const double *v, size_t n, bool backwards)
{
    if (backwards)
        while (n-- > 0)
            sum += v[n];
    else
        for (size_t i = 0; i < n; i++)
            sum += v[i];
    return sum;
}

static uint64_t sum_integers(const uint64_t *v, size_t n)
{
    uint64_t sum = 0; /* signed ones wrap the same way */
    for (size_t i = 0; i < n; i++)
        sum += v[i];
    return sum;
}

static void add_sum_float(struct tsm_partial *p, const int64_t *t, const void *v, size_t n, bool fresh,
                          bool backwards, struct tsm_arena *a)
{
    UNUSED(t), UNUSED(a);
    p->v.f = sum_floats(fresh ? 0 : p->v.f, v, n, backwards);
    p->x.n = (fresh ? 0 : p->x.n) + n;
}

static void add_sum_integer(struct tsm_partial *p, const int64_t *t, const void *v, size_t n, bool fresh,
                            bool backwards, struct tsm_arena *a)
{
    UNUSED(t), UNUSED(backwards), UNUSED(a);
    p->v.u = (fresh ? 0 : p->v.u) + sum_integers(v, n);
    p->x.n = (fresh ? 0 : p->x.n) + n;
}

/* The index of the first of the least (greatest) values. Four running ones hide the latency of the
 * comparison. */
#define EXTREME(name, type, BETTER)                      \
    static size_t name(const type *v, size_t n)          \
    {                                                    \
        type best = v[0];                                \
        size_t i = 0;                                    \
        if (n >= 8) {                                    \
            type a = v[0], b = v[1], c = v[2], d = v[3]; \
            for (i = 4; i + 4 <= n; i += 4) {            \
                a = v[i] BETTER a ? v[i] : a;            \
                b = v[i + 1] BETTER b ? v[i + 1] : b;    \
                c = v[i + 2] BETTER c ? v[i + 2] : c;    \
                d = v[i + 3] BETTER d ? v[i + 3] : d;    \
            }                                            \
            a = b BETTER a ? b : a;                      \
            c = d BETTER c ? d : c;                      \
            best = c BETTER a ? c : a;                   \
        }                                                \
        for (; i < n; i++)                               \
            best = v[i] BETTER best ? v[i] : best;       \
        for (i = 0; i < n; i++)                          \
            if (v[i] == best)                            \
                return i;                                \
        return 0; /* only NaN is not equal to itself */  \
    }

EXTREME(min_float, double, <)
EXTREME(max_float, double, >)
EXTREME(min_integer, int64_t, <)
EXTREME(max_integer, int64_t, >)
EXTREME(min_unsigned, uint64_t, <)
EXTREME(max_unsigned, uint64_t, >)
EXTREME(min_boolean, uint8_t, <)
EXTREME(max_boolean, uint8_t, >)

/* Time ascends, so an equal value that comes later never takes the place. */
#define ADD_EXTREME(name, type, member, BETTER, find)                                                   \
    static void name(struct tsm_partial *p, const int64_t *t, const void *values, size_t n, bool fresh, \
                     bool backwards, struct tsm_arena *a)                                               \
    {                                                                                                   \
        const type *v = values;                                                                         \
        UNUSED(backwards), UNUSED(a);                                                                   \
        size_t i = find(v, n);                                                                          \
        if (fresh || v[i] BETTER(type) p->v.member) {                                                   \
            p->v.member = v[i];                                                                         \
            p->x.t = t[i];                                                                              \
        }                                                                                               \
    }

ADD_EXTREME(add_min_float, double, f, <, min_float)
ADD_EXTREME(add_max_float, double, f, >, max_float)
ADD_EXTREME(add_min_integer, int64_t, i, <, min_integer)
ADD_EXTREME(add_max_integer, int64_t, i, >, max_integer)
ADD_EXTREME(add_min_unsigned, uint64_t, u, <, min_unsigned)
ADD_EXTREME(add_max_unsigned, uint64_t, u, >, max_unsigned)
ADD_EXTREME(add_min_boolean, uint8_t, u, <, min_boolean)
ADD_EXTREME(add_max_boolean, uint8_t, u, >, max_boolean)

#define ADD_SPREAD(name, type, member, min, max)                                                        \
    static void name(struct tsm_partial *p, const int64_t *t, const void *values, size_t n, bool fresh, \
                     bool backwards, struct tsm_arena *a)                                               \
    {                                                                                                   \
        const type *v = values;                                                                         \
        UNUSED(t), UNUSED(backwards), UNUSED(a);                                                        \
        type lo = v[min(v, n)], hi = v[max(v, n)];                                                      \
        if (fresh || lo < p->v.member)                                                                  \
            p->v.member = lo;                                                                           \
        if (fresh || hi > p->x.hi.member)                                                               \
            p->x.hi.member = hi;                                                                        \
    }

ADD_SPREAD(add_spread_float, double, f, min_float, max_float)
ADD_SPREAD(add_spread_integer, int64_t, i, min_integer, max_integer)
ADD_SPREAD(add_spread_unsigned, uint64_t, u, min_unsigned, max_unsigned)

#define ADD_END(name, type, store)                                                                  \
    static void first_##name(struct tsm_partial *p, const int64_t *t, const void *values, size_t n, \
                             bool fresh, bool backwards, struct tsm_arena *a)                       \
    {                                                                                               \
        const type *v = values;                                                                     \
        UNUSED(n), UNUSED(backwards), UNUSED(a);                                                    \
        if (!fresh)                                                                                 \
            return;                                                                                 \
        store(v[0]);                                                                                \
        p->x.t = t[0];                                                                              \
    }                                                                                               \
    static void last_##name(struct tsm_partial *p, const int64_t *t, const void *values, size_t n,  \
                            bool fresh, bool backwards, struct tsm_arena *a)                        \
    {                                                                                               \
        const type *v = values;                                                                     \
        UNUSED(fresh), UNUSED(backwards), UNUSED(a);                                                \
        store(v[n - 1]);                                                                            \
        p->x.t = t[n - 1];                                                                          \
    }

#define STORE_WORD(x) p->v.u = (x)
#define STORE_STRING(x) p->v.s = keep_string(a, (x))

static const struct tsm_str *keep_string(struct tsm_arena *a, struct tsm_str s)
{
    struct tsm_str *copy = tsm_arena_alloc(a, sizeof *copy);
    *copy = tsm_arena_str(a, s);
    return copy;
}

ADD_END(word, uint64_t, STORE_WORD)
ADD_END(boolean, uint8_t, STORE_WORD)
ADD_END(string, struct tsm_str, STORE_STRING)

tsm_fold_add *tsm_fold_adder(enum tsm_function fn, enum tsm_vec_type type)
{
    static tsm_fold_add *const table[][TSM_VEC_NIL] = {
        /* float, integer, unsigned, boolean, string */
        [TSM_FN_COUNT] = {add_count, add_count, add_count, add_count, add_count},
        [TSM_FN_SUM] = {add_sum_float, add_sum_integer, add_sum_integer, NULL, NULL},
        [TSM_FN_MEAN] = {add_sum_float, add_sum_integer, add_sum_integer, NULL, NULL},
        [TSM_FN_MIN] = {add_min_float, add_min_integer, add_min_unsigned, add_min_boolean, NULL},
        [TSM_FN_MAX] = {add_max_float, add_max_integer, add_max_unsigned, add_max_boolean, NULL},
        [TSM_FN_FIRST] = {first_word, first_word, first_word, first_boolean, first_string},
        [TSM_FN_LAST] = {last_word, last_word, last_word, last_boolean, last_string},
        [TSM_FN_SPREAD] = {add_spread_float, add_spread_integer, add_spread_unsigned, NULL, NULL},
    };
    return table[fn][type];
}

/* ---- joining points ---------------------------------------------------------------------------- */

void tsm_fold_finish(enum tsm_function fn, enum tsm_vec_type type, struct tsm_partial *p)
{
    if (fn != TSM_FN_MEAN)
        return;
    double sum = type == TSM_VEC_FLOAT ? p->v.f : type == TSM_VEC_INTEGER ? (double)p->v.i : (double)p->v.u;
    p->v.f = sum / (double)p->x.n;
}

void tsm_join_begin(enum tsm_function fn, struct tsm_partial *acc)
{
    UNUSED(fn);
    *acc = (struct tsm_partial){0};
}

/* first and last take the greater value of two at one time; of two booleans first takes false. */
static bool comes_first(enum tsm_vec_type type, const struct tsm_partial *acc, const struct tsm_partial *p,
                        bool last)
{
    if (p->x.t != acc->x.t)
        return last ? p->x.t > acc->x.t : p->x.t < acc->x.t;
    if (type == TSM_VEC_BOOLEAN && !last)
        return p->v.u < acc->v.u;
    return tsm_num_less(type, acc->v, p->v);
}

bool tsm_join(enum tsm_function fn, enum tsm_vec_type type, struct tsm_partial *acc,
              const struct tsm_partial *p, bool fresh)
{
    bool better;
    switch (fn) {
    case TSM_FN_COUNT:
        acc->v.i += p->v.i;
        return false;
    case TSM_FN_SUM:
        if (type == TSM_VEC_FLOAT)
            acc->v.f += p->v.f;
        else
            acc->v.u += p->v.u;
        return false;
    case TSM_FN_MEAN: /* a mean counts as often as it has values */
        acc->v.f += p->x.n >= 2 ? p->v.f * (double)p->x.n : p->v.f;
        acc->x.n += p->x.n;
        return false;
    case TSM_FN_SPREAD:
        if (fresh || tsm_num_less(type, p->v, acc->v))
            acc->v = p->v;
        if (fresh || tsm_num_less(type, acc->x.hi, p->x.hi))
            acc->x.hi = p->x.hi;
        return false;
    case TSM_FN_MIN:
    case TSM_FN_MAX:
        better = fresh ||
                 (fn == TSM_FN_MIN ? tsm_num_less(type, p->v, acc->v) : tsm_num_less(type, acc->v, p->v)) ||
                 (tsm_num_equal(type, p->v, acc->v) && p->x.t < acc->x.t);
        break;
    default:
        better = fresh || comes_first(type, acc, p, fn == TSM_FN_LAST);
        break;
    }
    if (better)
        *acc = *p;
    return better;
}

void tsm_join_end(enum tsm_function fn, struct tsm_partial *acc)
{
    if (fn == TSM_FN_MEAN)
        acc->v.f /= (double)acc->x.n;
}

union tsm_num tsm_fold_value(enum tsm_function fn, enum tsm_vec_type type, const struct tsm_partial *p)
{
    union tsm_num v = p->v;
    if (fn == TSM_FN_SPREAD) {
        if (type == TSM_VEC_FLOAT)
            v.f = p->x.hi.f - p->v.f;
        else
            v.u = p->x.hi.u - p->v.u;
    }
    return v;
}
