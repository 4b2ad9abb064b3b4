/*
 * tests/fuzz/fuzz_batch.c: any bytes as points. What is decoded is well-formed, and the same again after it has been
 * encoded; that, encoded once more, gives the same bytes.
 */
#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/time.h"
#include "format/batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void check_field(const struct tsm_point *p, const struct tsm_field *f)
{
    if (f->type >= TSM_TYPES || f->name.n == 0 || p->raw_key.n + 4 + f->name.n > TSM_KEY_MAX ||
        (f->type == TSM_FLOAT && !isfinite(f->value.f)))
        abort();
}

static void check(const struct tsm_points *points)
{
    for (size_t i = 0; i < points->n; i++) {
        const struct tsm_point *p = &points->points[i];
        if (p->nfields == 0 || (uint64_t)p->first_field + p->nfields > points->nfields || p->raw_key.n == 0 ||
            p->hash != tsm_hash(p->raw_key) || p->time < TSM_TIME_MIN || p->time > TSM_TIME_MAX)
            abort();
        for (uint32_t k = 0; k < p->nfields; k++)
            check_field(p, &points->fields[p->first_field + k]);
    }
}

static bool same_field(const struct tsm_field *a, const struct tsm_field *b)
{
    if (a->type != b->type || !tsm_str_eq(a->name, b->name))
        return false;
    if (a->type == TSM_STRING)
        return tsm_str_eq(a->value.s, b->value.s);
    return a->type == TSM_BOOLEAN ? a->value.b == b->value.b : a->value.u == b->value.u;
}

static void compare(const struct tsm_points *a, const struct tsm_points *b)
{
    if (a->n != b->n || a->nfields != b->nfields)
        abort();
    for (size_t i = 0; i < a->n; i++)
        if (!tsm_str_eq(a->points[i].raw_key, b->points[i].raw_key) ||
            a->points[i].time != b->points[i].time || a->points[i].nfields != b->points[i].nfields)
            abort();
    for (size_t i = 0; i < a->nfields; i++)
        if (!same_field(&a->fields[i], &b->fields[i]))
            abort();
}

static void encode(struct tsm_batch_encoder *e, const struct tsm_points *points, struct tsm_buf *out)
{
    uint32_t *which = tsm_realloc_array(NULL, points->n + 1, sizeof *which);
    for (size_t i = 0; i < points->n; i++)
        which[i] = (uint32_t)i;
    tsm_batch_encode(e, points, which, points->n, out);
    tsm_free(which);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct tsm_points a = {0}, b = {0};
    struct tsm_buf first = {0}, second = {0};
    struct tsm_err err;
    int rc = tsm_batch_decode(p, n, &a, &err);
    check(&a);
    if (rc == TSM_OK) {
        struct tsm_batch_encoder *e = tsm_batch_encoder_new();
        encode(e, &a, &first);
        if (tsm_batch_decode(first.data, first.len, &b, &err) != TSM_OK)
            abort();
        compare(&a, &b);
        encode(e, &b, &second);
        if (!tsm_str_eq(tsm_buf_view(&first), tsm_buf_view(&second)))
            abort();
        tsm_batch_encoder_free(e);
    } else if (rc != TSM_ECORRUPT) {
        abort();
    }
    tsm_points_release(&a);
    tsm_points_release(&b);
    tsm_buf_release(&first);
    tsm_buf_release(&second);
    return 0;
}
