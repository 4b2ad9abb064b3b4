/* query/merge.c: influxd's heaps. */
#include "query/merge.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/banned.h"

struct tsm_merge_item {
    int64_t key; /* the time; its complement when descending */
    struct tsm_row_ref ref;
};

struct heap {
    struct tsm_merge_item *items;
    size_t n;
    tsm_tie_less *less;
    void *ctx;
};

static inline bool item_less(const struct heap *h, const struct tsm_merge_item *x,
                             const struct tsm_merge_item *y)
{
    if (x->key != y->key)
        return x->key < y->key;
    return h->less && h->less(h->ctx, x->ref, y->ref);
}

/* The item moves through a hole: the same places change hands as if pairs were exchanged. */
static inline void sift_down(struct heap *h, size_t i, size_t n)
{
    struct tsm_merge_item *a = h->items, x = a[i];
    for (size_t j; (j = 2 * i + 1) < n; i = j) {
        j += j + 1 < n && item_less(h, &a[j + 1], &a[j]);
        if (!item_less(h, &a[j], &x))
            break;
        a[i] = a[j];
    }
    a[i] = x;
}

static inline void sift_up(struct heap *h, size_t j)
{
    struct tsm_merge_item *a = h->items, x = a[j];
    for (size_t i; j > 0; j = i) {
        i = (j - 1) / 2;
        if (!item_less(h, &x, &a[i]))
            break;
        a[j] = a[i];
    }
    a[j] = x;
}

static struct tsm_merge_item pop(struct heap *h)
{
    struct tsm_merge_item top = h->items[0];
    h->items[0] = h->items[--h->n];
    sift_down(h, 0, h->n);
    return top;
}

static void push(struct heap *h, struct tsm_merge_item x)
{
    h->items[h->n] = x;
    sift_up(h, h->n++);
}

static struct tsm_merge_item item_at(const struct tsm_merge_input *in, uint32_t input, uint32_t row,
                                     bool descending)
{
    return (struct tsm_merge_item){descending ? ~in[input].t[row] : in[input].t[row], {input, row}};
}

/* Moves to the next row of the item's input; false at its end. */
static bool step(const struct tsm_merge_input *in, struct tsm_merge_item *x, bool descending)
{
    if (descending ? x->ref.row == 0 : x->ref.row + 1 == in[x->ref.input].n)
        return false;
    *x = item_at(in, x->ref.input, descending ? x->ref.row - 1 : x->ref.row + 1, descending);
    return true;
}

/* The rows that are likely to be looked at soon: those behind the ones at the top. Each input has its times in a place of
 * its own, so without this most steps wait for memory. */
static inline void prefetch(const struct heap *h, const struct tsm_merge_input *in)
{
    size_t n = h->n < 7 ? h->n : 7;
    for (size_t i = 1; i < n; i++) {
        const struct tsm_row_ref *r = &h->items[i].ref;
        __builtin_prefetch(in[r->input].t + r->row + 1);
    }
}

static void heap_init(struct heap *h, const struct tsm_merge_input *in, size_t n, bool descending)
{
    h->items = tsm_realloc_array(NULL, n + 1, sizeof *h->items);
    for (size_t i = 0; i < n; i++)
        if (in[i].n)
            h->items[h->n++] = item_at(in, (uint32_t)i, descending ? (uint32_t)in[i].n - 1 : 0, descending);
    for (size_t i = h->n / 2; i-- > 0;)
        sift_down(h, i, h->n);
}

/* Fills the rest with rows of the input at the top. */
static void abandon(const struct heap *h, const struct tsm_merge_input *in, bool descending,
                    struct tsm_row_ref *out)
{
    struct tsm_row_ref any = h->items[0].ref;
    for (size_t i = 0; i < h->n; i++) {
        const struct tsm_row_ref *r = &h->items[i].ref;
        for (size_t left = descending ? r->row + 1 : in [r->input].n - r->row; left; left--)
            *out++ = any;
    }
}

void tsm_merge_rows(const struct tsm_merge_input *in, size_t n, bool descending, tsm_tie_less *less,
                    void *ctx, struct tsm_row_ref *out, struct tsm_query_control *control)
{
    struct heap h = {.less = less, .ctx = ctx};
    unsigned rounds = 0;
    heap_init(&h, in, n, descending);
    while (h.n) {
        if (tsm_control_round(control, &rounds, NULL) != TSM_OK) {
            abandon(&h, in, descending, out);
            break;
        }
        prefetch(&h, in);
        struct tsm_merge_item x = pop(&h);
        *out++ = x.ref;
        if (step(in, &x, descending))
            push(&h, x);
    }
    tsm_free(h.items);
}

/* ---- shards and sources ---- */

struct relative { /* the inputs of a merge are those from `base` on, or rows in sequences */
    tsm_tie_less *less;
    void *ctx;
    uint32_t base;
    struct tsm_row_ref *const *sequences;
};

static struct tsm_row_ref absolute(const struct relative *r, struct tsm_row_ref x)
{
    return r->sequences ? r->sequences[x.input][x.row] : (struct tsm_row_ref){r->base + x.input, x.row};
}

static bool relative_less(void *ctx, struct tsm_row_ref x, struct tsm_row_ref y)
{
    const struct relative *r = ctx;
    return r->less(r->ctx, absolute(r, x), absolute(r, y));
}

/* Merges the shards' series; returns how many sources there are. */
static unsigned merge_shards(const struct tsm_merge_input *in, const struct tsm_merge_place *places, size_t n,
                             bool descending, tsm_tie_less *less, void *ctx, struct tsm_row_ref *out,
                             struct tsm_query_control *control)
{
    unsigned most = 0;
    for (size_t from = 0, to; from < n; from = to) {
        size_t rows = 0;
        for (to = from;
             to < n && places[to].shard == places[from].shard && places[to].source == places[from].source;
             to++)
            rows += in[to].n;
        struct relative r = {less, ctx, (uint32_t)from, NULL};
        tsm_merge_rows(in + from, to - from, descending, less ? relative_less : NULL, &r, out, control);
        for (size_t i = 0; i < rows; i++)
            out[i].input += (uint32_t)from;
        out += rows;
        most = places[from].source + 1 > most ? places[from].source + 1 : most;
    }
    return most;
}

void tsm_merge_places(const struct tsm_merge_input *in, const struct tsm_merge_place *places, size_t n,
                      bool descending, tsm_tie_less *less, void *ctx, struct tsm_row_ref *out,
                      struct tsm_query_control *control)
{
    unsigned sources = merge_shards(in, places, n, descending, less, ctx, out, control);
    size_t total = 0;
    bool several = false;
    for (size_t i = 0; i < n; i++) {
        total += in[i].n;
        several = several || places[i].source != places[0].source;
    }
    if (!several || tsm_control_ended(control))
        return;
    /* A sequence of rows, ascending in time, for each source. */
    struct tsm_merge_input *seq = tsm_calloc(sources, sizeof *seq);
    struct tsm_row_ref **refs = tsm_calloc(sources, sizeof *refs);
    int64_t **times = tsm_calloc(sources, sizeof *times);
    for (size_t i = 0; i < n; i++)
        seq[places[i].source].n += in[i].n;
    for (unsigned s = 0; s < sources; s++) {
        refs[s] = tsm_realloc_array(NULL, seq[s].n + 1, sizeof **refs);
        times[s] = tsm_realloc_array(NULL, seq[s].n + 1, sizeof **times);
        seq[s].t = times[s];
        size_t at = 0;
        for (size_t x = 0; x < total; x++) {
            struct tsm_row_ref ref = out[descending ? total - 1 - x : x];
            if (places[ref.input].source != s)
                continue;
            refs[s][at] = ref;
            times[s][at++] = in[ref.input].t[ref.row];
        }
    }
    struct relative r = {less, ctx, 0, refs};
    tsm_merge_rows(seq, sources, descending, less ? relative_less : NULL, &r, out, control);
    for (size_t i = 0; i < total; i++)
        out[i] = refs[out[i].input][out[i].row];
    for (unsigned s = 0; s < sources; s++) {
        tsm_free(refs[s]);
        tsm_free(times[s]);
    }
    tsm_free(times);
    tsm_free(refs);
    tsm_free(seq);
}

/* ---- slices ---- */

void tsm_merge_begin(struct tsm_merge_heap *h, const struct tsm_merge_input *in, size_t n, bool descending,
                     tsm_tie_less *less, void *ctx)
{
    struct heap heap = {.less = less, .ctx = ctx};
    heap_init(&heap, in, n, descending);
    *h = (struct tsm_merge_heap){heap.items, heap.n, descending};
}

size_t tsm_merge_slice(struct tsm_merge_heap *h, const struct tsm_merge_input *in, int64_t bound,
                       tsm_tie_less *less, void *ctx, struct tsm_row_ref *out,
                       struct tsm_query_control *control)
{
    struct heap heap = {h->items, h->n, less, ctx};
    int64_t last = h->descending ? ~bound : bound;
    size_t given = 0;
    for (size_t i = 0; i < heap.n; i++) { /* the rows that are due come first in the new slice */
        struct tsm_row_ref *ref = &heap.items[i].ref;
        ref->row = h->descending && in[ref->input].n ? (uint32_t)in[ref->input].n - 1 : 0;
    }
    unsigned rounds = 0;
    while (heap.n && heap.items[0].key <= last && tsm_control_round(control, &rounds, NULL) == TSM_OK) {
        struct tsm_merge_item x = pop(&heap);
        out[given++] = x.ref;
        if (step(in, &x, h->descending))
            push(&heap, x);
    }
    h->n = heap.n;
    return given;
}

int64_t tsm_merge_due(const struct tsm_merge_heap *h, size_t i, uint32_t *input)
{
    *input = h->items[i].ref.input;
    return h->descending ? ~h->items[i].key : h->items[i].key;
}

void tsm_merge_end(struct tsm_merge_heap *h)
{
    tsm_free(h->items);
    *h = (struct tsm_merge_heap){0};
}

void tsm_merge_windows(const struct tsm_merge_input *in, size_t n, bool descending, struct tsm_row_ref *out,
                       struct tsm_query_control *control)
{
    tsm_merge_rows(in, n, descending, NULL, NULL, out, control); /* one point per window: always goes back */
}

/* ---- distinct ranks ---------------------------------------------------------------------------- */

static bool rank_less(void *ctx, struct tsm_row_ref x, struct tsm_row_ref y)
{
    bool descending = *(bool *)ctx;
    return descending ? x.input > y.input : x.input < y.input;
}

/* The distinct times of all inputs, when they share them: gives up when merging gets as dear as sorting. NULL
 * then. */
static int64_t *shared_times(const struct tsm_merge_input *in, size_t n, size_t total, size_t *count,
                             struct tsm_query_control *control)
{
    size_t cap = 0, len = 0, work = 0, limit = 8 * total + 4096;
    int64_t *d = NULL, *spare = NULL;
    size_t capspare = 0;
    for (size_t i = 0; i < n; i++) {
        const int64_t *t = in[i].t;
        size_t k = in[i].n;
        if (k == 0 || (k == len && memcmp(d, t, k * sizeof *t) == 0))
            continue;
        work += len + k;
        if (work > limit || tsm_control_ended(control)) {
            tsm_free(d);
            tsm_free(spare);
            return NULL;
        }
        TSM_GROW(spare, len + k, capspare);
        size_t a = 0, b = 0, m = 0;
        while (a < len || b < k) {
            if (b == k || (a < len && d[a] < t[b]))
                spare[m++] = d[a++];
            else {
                a += a < len && d[a] == t[b];
                spare[m++] = t[b++];
            }
        }
        int64_t *swap = d;
        d = spare;
        spare = swap;
        size_t c = cap;
        cap = capspare;
        capspare = c;
        len = m;
    }
    tsm_free(spare);
    *count = len;
    return d ? d : tsm_alloc(1);
}

void tsm_merge_ranked(const struct tsm_merge_input *in, size_t n, bool descending, struct tsm_row_ref *out,
                      struct tsm_query_control *control)
{
    size_t total = 0, count;
    for (size_t i = 0; i < n; i++)
        total += in[i].n;
    int64_t *times = shared_times(in, n, total, &count, control);
    if (!times) {
        tsm_merge_rows(in, n, descending, rank_less, &descending, out, control);
        return;
    }
    /* Counting sort by the number of the time. Ascending order first: descending is its reverse. */
    uint32_t *at = tsm_calloc(count + 1, sizeof *at);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0, d = 0; k < in[i].n; k++, d++) {
            while (times[d] < in[i].t[k])
                d++;
            at[d + 1]++;
        }
    }
    for (size_t d = 0; d < count; d++)
        at[d + 1] += at[d];
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0, d = 0; k < in[i].n; k++, d++) {
            while (times[d] < in[i].t[k])
                d++;
            size_t to = at[d]++;
            out[descending ? total - 1 - to : to] = (struct tsm_row_ref){(uint32_t)i, (uint32_t)k};
        }
    }
    tsm_free(at);
    tsm_free(times);
}
