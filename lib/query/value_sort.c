/* query/value_sort.c: see value_sort.h. Offsets are into the whole array, as the sort looks at the element
 * before a range. */
#include "query/value_sort.h"

#include "base/alloc.h"
#include "base/map.h"
#include "base/banned.h"

struct sorter {
    struct tsm_value_item *d;
    enum tsm_vec_type type;
    const int64_t *times; /* by ref.row; NULL: only values count */
    struct tsm_query_control *control;
};

enum hint { HINT_NONE, HINT_INCREASING, HINT_DECREASING };

static inline bool less(const struct sorter *s, size_t i, size_t j)
{
    if (s->times) {
        int64_t x = s->times[s->d[i].ref.row], y = s->times[s->d[j].ref.row];
        if (x != y)
            return x < y;
        if (s->type == TSM_VEC_BOOLEAN) /* in influxd, false is less than itself */
            return s->d[i].v.u == 0;
    }
    return tsm_num_less(s->type, s->d[i].v, s->d[j].v);
}

static inline void swap(const struct sorter *s, size_t i, size_t j)
{
    struct tsm_value_item t = s->d[i];
    s->d[i] = s->d[j];
    s->d[j] = t;
}

static unsigned bit_length(size_t n)
{
    return n ? 64 - (unsigned)__builtin_clzll(n) : 0;
}

static void insertion_sort(const struct sorter *s, size_t a, size_t b)
{
    for (size_t i = a + 1; i < b; i++)
        for (size_t j = i; j > a && less(s, j, j - 1); j--)
            swap(s, j, j - 1);
}

static void sift_down(const struct sorter *s, size_t root, size_t hi, size_t first)
{
    for (;;) {
        size_t child = 2 * root + 1;
        if (child >= hi)
            return;
        if (child + 1 < hi && less(s, first + child, first + child + 1))
            child++;
        if (!less(s, first + root, first + child))
            return;
        swap(s, first + root, first + child);
        root = child;
    }
}

static void heap_sort(const struct sorter *s, size_t a, size_t b)
{
    size_t n = b - a;
    for (size_t i = (n - 1) / 2 + 1; i-- > 0;)
        sift_down(s, i, n, a);
    for (size_t i = n; i-- > 0;) {
        swap(s, a, a + i);
        sift_down(s, 0, i, a);
    }
}

static void break_patterns(const struct sorter *s, size_t a, size_t b)
{
    size_t n = b - a;
    if (n < 8)
        return;
    uint64_t random = n;
    size_t mask = ((size_t)1 << bit_length(n)) - 1, at = a + n / 4 * 2 - 1;
    for (size_t i = 0; i < 3; i++) {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        size_t other = random & mask;
        if (other >= n)
            other -= n;
        swap(s, at + i, a + other);
    }
}

static void order(const struct sorter *s, size_t *a, size_t *b, unsigned *swaps)
{
    if (!less(s, *b, *a))
        return;
    size_t t = *a;
    *a = *b;
    *b = t;
    (*swaps)++;
}

static size_t median_of(const struct sorter *s, size_t a, size_t b, size_t c, unsigned *swaps)
{
    order(s, &a, &b, swaps);
    order(s, &b, &c, swaps);
    order(s, &a, &b, swaps);
    return b;
}

static size_t choose_pivot(const struct sorter *s, size_t a, size_t b, enum hint *hint)
{
    size_t n = b - a, i = a + n / 4, j = a + n / 4 * 2, k = a + n / 4 * 3;
    unsigned swaps = 0;
    if (n >= 50) {
        i = median_of(s, i - 1, i, i + 1, &swaps);
        j = median_of(s, j - 1, j, j + 1, &swaps);
        k = median_of(s, k - 1, k, k + 1, &swaps);
    }
    if (n >= 8)
        j = median_of(s, i, j, k, &swaps);
    *hint = swaps == 0 ? HINT_INCREASING : swaps == 12 ? HINT_DECREASING : HINT_NONE;
    return j;
}

/* True when only a few exchanges were needed. */
static bool partial_insertion_sort(const struct sorter *s, size_t a, size_t b)
{
    size_t i = a + 1;
    for (int step = 0; step < 5; step++) {
        while (i < b && !less(s, i, i - 1))
            i++;
        if (i == b)
            return true;
        if (b - a < 50)
            return false;
        swap(s, i, i - 1);
        if (i - a >= 2)
            for (size_t j = i - 1; j >= 1 && less(s, j, j - 1); j--)
                swap(s, j, j - 1);
        if (b - i >= 2)
            for (size_t j = i + 1; j < b && less(s, j, j - 1); j++)
                swap(s, j, j - 1);
    }
    return false;
}

/* Puts what equals the pivot first; returns where the rest starts. */
static size_t partition_equal(const struct sorter *s, size_t a, size_t b, size_t pivot)
{
    swap(s, a, pivot);
    size_t i = a + 1, j = b - 1;
    for (;;) {
        while (i <= j && !less(s, a, i))
            i++;
        while (i <= j && less(s, a, j))
            j--;
        if (i > j)
            return i;
        swap(s, i++, j--);
    }
}

static size_t partition(const struct sorter *s, size_t a, size_t b, size_t pivot, bool *already)
{
    swap(s, a, pivot);
    size_t i = a + 1, j = b - 1;
    for (bool first = true;; first = false) {
        while (i <= j && less(s, i, a))
            i++;
        while (i <= j && !less(s, j, a))
            j--;
        if (i > j) {
            *already = first;
            swap(s, j, a);
            return j;
        }
        swap(s, i++, j--);
    }
}

#define ALL SIZE_MAX

/*
 * k: the only place whose element is wanted, or ALL. What goes on in one part of a range does not depend on what happens in the
 * other, so the part without k is left as it is; a part for which the sort would call itself begins anew.
 */
static void quicksort(const struct sorter *s, size_t a, size_t b, unsigned limit, size_t k)
{
    bool balanced = true, partitioned = true;
    for (;;) {
        size_t n = b - a;
        if (n <= 12) {
            insertion_sort(s, a, b);
            return;
        }
        if (n > 1 << 13 && tsm_control_ended(s->control))
            return;
        if (limit == 0) {
            heap_sort(s, a, b);
            return;
        }
        if (!balanced) {
            break_patterns(s, a, b);
            limit--;
        }
        enum hint hint;
        size_t pivot = choose_pivot(s, a, b, &hint);
        if (hint == HINT_DECREASING) {
            for (size_t i = a, j = b - 1; i < j; i++, j--)
                swap(s, i, j);
            pivot = b - 1 - (pivot - a);
            hint = HINT_INCREASING;
        }
        if (balanced && partitioned && hint == HINT_INCREASING && partial_insertion_sort(s, a, b))
            return;
        if (a > 0 && !less(s, a - 1, pivot)) {
            a = partition_equal(s, a, b, pivot);
            if (k != ALL && k < a)
                return;
            continue;
        }
        size_t mid = partition(s, a, b, pivot, &partitioned), left = mid - a, right = b - mid;
        bool called = k != ALL && (left < right) == (k < mid);
        if (k == mid) {
            return;
        } else if (left < right) {
            balanced = left >= n / 8;
            if (k == ALL)
                quicksort(s, a, mid, limit, ALL);
        } else {
            balanced = right >= n / 8;
            if (k == ALL)
                quicksort(s, mid + 1, b, limit, ALL);
        }
        if (k == ALL ? left < right : k > mid)
            a = mid + 1;
        else
            b = mid;
        if (called)
            balanced = partitioned = true;
    }
}

void tsm_sort_values(struct tsm_value_item *items, size_t n, enum tsm_vec_type type,
                     struct tsm_query_control *control)
{
    struct sorter s = {items, type, NULL, control};
    if (n > 1)
        quicksort(&s, 0, n, bit_length(n), ALL);
}

void tsm_sort_values_to(struct tsm_value_item *items, size_t n, enum tsm_vec_type type, size_t k)
{
    struct sorter s = {items, type, NULL, NULL};
    if (n > 1)
        quicksort(&s, 0, n, bit_length(n), k);
}

void tsm_sort_points(struct tsm_value_item *items, const int64_t *times, size_t n, enum tsm_vec_type type)
{
    struct sorter s = {items, type, times, NULL};
    if (n > 1)
        quicksort(&s, 0, n, bit_length(n), ALL);
}

/* ---- selection --------------------------------------------------------------------------------- */

#define SELECT(name, T, member)                                                          \
    static void name(union tsm_num *v, size_t n, size_t k)                               \
    {                                                                                    \
        size_t lo = 0, hi = n - 1;                                                       \
        while (hi - lo > 2) {                                                            \
            size_t mid = lo + (hi - lo) / 2;                                             \
            T x = v[lo].member, y = v[mid].member, z = v[hi].member;                     \
            T pivot = x < y ? (y < z ? y : x < z ? z : x) : (x < z ? x : y < z ? z : y); \
            size_t i = lo, j = hi;                                                       \
            for (;;) {                                                                   \
                while (v[i].member < pivot)                                              \
                    i++;                                                                 \
                while (pivot < v[j].member)                                              \
                    j--;                                                                 \
                if (i >= j)                                                              \
                    break;                                                               \
                union tsm_num t = v[i];                                                  \
                v[i++] = v[j];                                                           \
                v[j--] = t;                                                              \
            }                                                                            \
            if (k <= j)                                                                  \
                hi = j;                                                                  \
            else                                                                         \
                lo = j + 1;                                                              \
        }                                                                                \
        for (size_t i = lo + 1; i <= hi; i++)                                            \
            for (size_t j = i; j > lo && v[j].member < v[j - 1].member; j--) {           \
                union tsm_num t = v[j];                                                  \
                v[j] = v[j - 1];                                                         \
                v[j - 1] = t;                                                            \
            }                                                                            \
    }

SELECT(select_float, double, f)
SELECT(select_integer, int64_t, i)
SELECT(select_unsigned, uint64_t, u)

void tsm_select_value(union tsm_num *v, size_t n, size_t k, enum tsm_vec_type type)
{
    if (type == TSM_VEC_FLOAT)
        select_float(v, n, k);
    else if (type == TSM_VEC_INTEGER)
        select_integer(v, n, k);
    else
        select_unsigned(v, n, k);
}

/* ---- distinct values --------------------------------------------------------------------------- */

static uint64_t hash_num(enum tsm_vec_type type, union tsm_num v)
{
    if (type == TSM_VEC_STRING)
        return tsm_hash(*v.s);
    if (type == TSM_VEC_FLOAT && v.f == 0)
        v.f = 0; /* minus zero is equal */
    uint64_t x = v.u ^ v.u >> 32;
    x *= 0x9E3779B97F4A7C15u;
    return x ^ x >> 29;
}

struct table { /* numbers of values + 1, open addressing */
    uint32_t *slots;
    size_t mask;
};

static void table_grow(struct table *h, enum tsm_vec_type type, const union tsm_num *v, size_t n)
{
    size_t size = h->slots ? 2 * (h->mask + 1) : 64;
    tsm_free(h->slots);
    h->slots = tsm_calloc(size, sizeof *h->slots);
    h->mask = size - 1;
    for (size_t i = 0; i < n; i++) {
        size_t at = hash_num(type, v[i]) & h->mask;
        while (h->slots[at])
            at = (at + 1) & h->mask;
        h->slots[at] = (uint32_t)i + 1;
    }
}

size_t tsm_distinct_values(enum tsm_vec_type type, bool latest, const int64_t *t, const union tsm_num *v,
                           size_t n, int64_t *tt, union tsm_num *tv)
{
    struct table h = {0};
    size_t kept = 0;
    table_grow(&h, type, NULL, 0);
    for (size_t i = 0; i < n; i++) {
        size_t at = hash_num(type, v[i]) & h.mask;
        while (h.slots[at] && !tsm_num_equal(type, tv[h.slots[at] - 1], v[i]))
            at = (at + 1) & h.mask;
        if (h.slots[at]) {
            size_t known = h.slots[at] - 1;
            if (latest ? t[i] > tt[known] : t[i] < tt[known]) {
                tt[known] = t[i];
                tv[known] = v[i];
            }
            continue;
        }
        tt[kept] = t[i];
        tv[kept++] = v[i];
        h.slots[at] = (uint32_t)kept;
        if (2 * kept > h.mask)
            table_grow(&h, type, tv, kept);
    }
    tsm_free(h.slots);
    return kept;
}
