/*
 * codec/values.c: columns of decoded values.
 *
 * Invariant: t has room for cap elements, and v, of vbytes, for cap elements of the type's size. Text buffers
 * [0, ntext) hold the strings; buffers [ntext, captext) are empty and keep their memory for reuse.
 */
#include "codec/values.h"

#include <string.h>

#include "base/alloc.h"
#include "base/banned.h"

enum { TEXT_CHUNK_MIN = 1 << 10, TEXT_CHUNK_MAX = 1 << 20 };

const char *tsm_type_name(enum tsm_type type)
{
    switch (type) {
    case TSM_FLOAT:
        return "float";
    case TSM_INTEGER:
        return "integer";
    case TSM_BOOLEAN:
        return "boolean";
    case TSM_STRING:
        return "string";
    case TSM_UNSIGNED:
        return "unsigned";
    default:
        return "unknown";
    }
}

size_t tsm_value_size(enum tsm_type type)
{
    switch (type) {
    case TSM_BOOLEAN:
        return sizeof(uint8_t);
    case TSM_STRING:
        return sizeof(struct tsm_str);
    default:
        return sizeof(uint64_t);
    }
}

void tsm_values_reset(struct tsm_values *c, enum tsm_type type, size_t n)
{
    size_t vbytes = c->cap * tsm_value_size(type);
    if (vbytes > c->vbytes) {
        tsm_free(c->v.p);
        c->v.p = tsm_alloc(vbytes);
        c->vbytes = vbytes;
    }
    c->type = type;
    c->n = 0;
    c->ntext = 0;
    tsm_values_reserve(c, n);
}

void tsm_values_reserve(struct tsm_values *c, size_t n)
{
    if (n <= c->cap)
        return;
    size_t cap = n > 2 * c->cap ? n : 2 * c->cap;
    if (cap < 16)
        cap = 16;
    c->t = tsm_realloc_array(c->t, cap, sizeof *c->t);
    c->v.p = tsm_realloc_array(c->v.p, cap, tsm_value_size(c->type));
    c->vbytes = cap * tsm_value_size(c->type);
    c->cap = cap;
}

struct tsm_buf *tsm_values_text(struct tsm_values *c)
{
    if (c->ntext == c->captext) {
        size_t cap = c->captext ? 2 * c->captext : 4;
        c->text = tsm_realloc_array(c->text, cap, sizeof *c->text);
        memset(c->text + c->captext, 0, (cap - c->captext) * sizeof *c->text);
        c->captext = cap;
    }
    struct tsm_buf *b = &c->text[c->ntext++];
    tsm_buf_reset(b);
    return b;
}

/* A buffer with room for n more bytes that will not move. */
static struct tsm_buf *text_room(struct tsm_values *c, size_t n)
{
    size_t chunk = TEXT_CHUNK_MIN;
    if (c->ntext) {
        struct tsm_buf *last = &c->text[c->ntext - 1];
        if (last->cap - last->len >= n)
            return last;
        chunk = 2 * last->cap;
        if (chunk < TEXT_CHUNK_MIN)
            chunk = TEXT_CHUNK_MIN;
        if (chunk > TEXT_CHUNK_MAX)
            chunk = TEXT_CHUNK_MAX;
    }
    struct tsm_buf *b = tsm_values_text(c);
    tsm_buf_room(b, n > chunk ? n : chunk);
    return b;
}

static struct tsm_str copy_string(struct tsm_buf *b, struct tsm_str s)
{
    struct tsm_str copy = {(const char *)b->data + b->len, s.n};
    tsm_buf_add(b, s.p, s.n);
    return copy;
}

void tsm_values_add(struct tsm_values *c, int64_t t, union tsm_value v)
{
    tsm_values_reserve(c, c->n + 1);
    size_t i = c->n++;
    c->t[i] = t;
    switch (c->type) {
    case TSM_BOOLEAN:
        c->v.b[i] = v.b;
        break;
    case TSM_STRING:
        c->v.s[i] = copy_string(text_room(c, v.s.n), v.s);
        break;
    default:
        c->v.u[i] = v.u;
    }
}

void tsm_values_append(struct tsm_values *c, const struct tsm_values *src, size_t from, size_t to)
{
    if (from >= to)
        return;
    size_t n = to - from;
    tsm_values_reserve(c, c->n + n);
    memcpy(c->t + c->n, src->t + from, n * sizeof *c->t);
    if (c->type == TSM_STRING) {
        size_t bytes = 0;
        for (size_t i = from; i < to; i++)
            bytes += src->v.s[i].n;
        struct tsm_buf *b = text_room(c, bytes);
        for (size_t i = 0; i < n; i++)
            c->v.s[c->n + i] = copy_string(b, src->v.s[from + i]);
    } else {
        size_t size = tsm_value_size(c->type);
        memcpy((uint8_t *)c->v.p + c->n * size, (const uint8_t *)src->v.p + from * size, n * size);
    }
    c->n += n;
}

union tsm_value tsm_values_get(const struct tsm_values *c, size_t i)
{
    switch (c->type) {
    case TSM_BOOLEAN:
        return (union tsm_value){.b = c->v.b[i] != 0};
    case TSM_STRING:
        return (union tsm_value){.s = c->v.s[i]};
    default:
        return (union tsm_value){.u = c->v.u[i]};
    }
}

/* The first index in [lo, hi) whose time is >= t; hi when there is none. */
static size_t bisect(const struct tsm_values *c, size_t lo, size_t hi, int64_t t)
{
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (c->t[mid] < t)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

size_t tsm_values_lower_bound(const struct tsm_values *c, int64_t t)
{
    return bisect(c, 0, c->n, t);
}

/* The same in [from, n), found by doubling steps: cheap when it is near. */
static size_t lower_bound_from(const struct tsm_values *c, size_t from, int64_t t)
{
    size_t step = 1, lo = from, hi = from;
    while (hi < c->n && c->t[hi] < t) {
        lo = hi + 1;
        hi += step;
        step *= 2;
    }
    return bisect(c, lo, hi < c->n ? hi : c->n, t);
}

struct place {
    int64_t t;
    size_t i;
};

/* Merges the ascending runs [a, m) and [m, b) of src into dst; of equal times the earlier place comes
 * first. */
static void merge_runs(struct place *dst, const struct place *src, size_t a, size_t m, size_t b)
{
    size_t i = a, j = m, k = a;
    while (i < m && j < b)
        dst[k++] = src[j].t < src[i].t ? src[j++] : src[i++];
    if (i < m)
        memcpy(dst + k, src + i, (m - i) * sizeof *dst);
    else if (j < b)
        memcpy(dst + k, src + j, (b - j) * sizeof *dst);
}

static size_t run_end(const struct place *p, size_t from, size_t n)
{
    size_t i = from + 1;
    while (i < n && p[i].t >= p[i - 1].t)
        i++;
    return i < n ? i : n;
}

/* Natural merge sort: stable, and linear when the order is nearly right. Returns the one of the two arrays
 * that holds the result. */
static struct place *sort_places(struct place *src, struct place *dst, size_t n)
{
    for (;;) {
        if (run_end(src, 0, n) == n)
            return src;
        for (size_t a = 0; a < n;) {
            size_t m = run_end(src, a, n);
            size_t b = m < n ? run_end(src, m, n) : n;
            merge_runs(dst, src, a, m, b);
            a = b;
        }
        struct place *swap = src;
        src = dst;
        dst = swap;
    }
}

/* Rearranges 8-, 1- or 16-byte elements: out[k] = v[order[k].i]. */
static void *gather(enum tsm_type type, const void *v, const struct place *order, size_t n, size_t cap)
{
    void *out = tsm_realloc_array(NULL, cap, tsm_value_size(type));
    switch (type) {
    case TSM_BOOLEAN:
        for (size_t k = 0; k < n; k++)
            ((uint8_t *)out)[k] = ((const uint8_t *)v)[order[k].i];
        break;
    case TSM_STRING:
        for (size_t k = 0; k < n; k++)
            ((struct tsm_str *)out)[k] = ((const struct tsm_str *)v)[order[k].i];
        break;
    default:
        for (size_t k = 0; k < n; k++)
            ((uint64_t *)out)[k] = ((const uint64_t *)v)[order[k].i];
    }
    return out;
}

void tsm_values_sort_dedup(struct tsm_values *c)
{
    size_t i = 1;
    while (i < c->n && c->t[i] > c->t[i - 1])
        i++;
    if (i >= c->n)
        return;
    struct place *memory = tsm_realloc_array(NULL, c->n, 2 * sizeof *memory);
    for (i = 0; i < c->n; i++)
        memory[i] = (struct place){c->t[i], i};
    struct place *order = sort_places(memory, memory + c->n, c->n);
    size_t n = 0;
    for (i = 0; i < c->n; i++) {
        if (i + 1 < c->n && order[i + 1].t == order[i].t)
            continue;
        order[n++] = order[i];
    }
    for (i = 0; i < n; i++)
        c->t[i] = order[i].t;
    void *v = gather(c->type, c->v.p, order, n, c->cap);
    tsm_free(c->v.p);
    c->v.p = v;
    c->vbytes = c->cap * tsm_value_size(c->type);
    c->n = n;
    tsm_free(memory);
}

void tsm_values_merge(struct tsm_values *out, const struct tsm_values *older, const struct tsm_values *newer)
{
    tsm_values_reset(out, older->type, older->n + newer->n);
    size_t i = 0, j = 0;
    while (i < older->n && j < newer->n) {
        size_t end = lower_bound_from(older, i, newer->t[j]);
        tsm_values_append(out, older, i, end);
        i = end;
        if (i == older->n)
            break;
        if (older->t[i] == newer->t[j])
            i++;
        end = i < older->n ? lower_bound_from(newer, j + 1, older->t[i]) : newer->n;
        tsm_values_append(out, newer, j, end);
        j = end;
    }
    tsm_values_append(out, older, i, older->n);
    tsm_values_append(out, newer, j, newer->n);
}

void tsm_values_delete(struct tsm_values *c, int64_t tmin, int64_t tmax)
{
    if (tmin > tmax)
        return;
    size_t from = tsm_values_lower_bound(c, tmin);
    size_t to = tmax == INT64_MAX ? c->n : tsm_values_lower_bound(c, tmax + 1);
    if (from >= to)
        return;
    size_t size = tsm_value_size(c->type);
    memmove(c->t + from, c->t + to, (c->n - to) * sizeof *c->t);
    memmove((uint8_t *)c->v.p + from * size, (uint8_t *)c->v.p + to * size, (c->n - to) * size);
    c->n -= to - from;
}

void tsm_values_release(struct tsm_values *c)
{
    tsm_free(c->t);
    tsm_free(c->v.p);
    for (size_t i = 0; i < c->captext; i++)
        tsm_buf_release(&c->text[i]);
    tsm_free(c->text);
    *c = (struct tsm_values){0};
}
