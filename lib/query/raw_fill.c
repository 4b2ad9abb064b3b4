/* query/raw_fill.c: fill() of rows as they are. */
#include "query/raw_fill.h"

#include "base/alloc.h"
#include "query/fill.h"
#include "base/banned.h"

void tsm_raw_last_release(struct tsm_raw_last *l)
{
    tsm_buf_release(&l->text[0]);
    tsm_buf_release(&l->text[1]);
    *l = (struct tsm_raw_last){0};
}

/* influxd puts the number wherever something is missing, whatever kind of column it is. */
uint8_t *tsm_raw_fill_number(const struct tsm_expr *value, struct tsm_vec *v, size_t n)
{
    union tsm_num number;
    if (v->v.p && !v->nulls)
        return NULL;
    if (!v->v.p || !tsm_fill_number(value, v->type, &number)) {
        uint8_t *filled = tsm_alloc(n + 1);
        for (size_t i = 0; i < n; i++)
            filled[i] = !v->v.p || v->nulls[i];
        return filled;
    }
    for (size_t i = 0; i < n; i++)
        if (v->nulls[i])
            memcpy((char *)(uintptr_t)v->v.p + i * sizeof number, &number, sizeof number);
    v->nulls = NULL;
    return NULL;
}

void tsm_raw_fill_previous(struct tsm_raw_last *last, struct tsm_vec *v, uint8_t *nulls, size_t n)
{
    size_t size = tsm_vec_size(v->type);
    char *values = (char *)(uintptr_t)v->v.p;
    size_t missing = 0;
    for (size_t i = 0; i < n; i++) {
        nulls[i] = v->nulls && v->nulls[i];
        if (!nulls[i]) {
            memcpy(&last->v, values + i * size, size);
            last->known = true;
        } else if (last->known) {
            memcpy(values + i * size, &last->v, size);
            nulls[i] = 0;
        }
        missing += nulls[i];
    }
    if (v->type == TSM_VEC_STRING && last->known) { /* its bytes go away with the batch */
        struct tsm_buf *text = &last->text[last->current ^= 1];
        tsm_buf_reset(text);
        tsm_buf_str(text, last->v.s);
        last->v.s = tsm_buf_view(text);
    }
    v->nulls = missing ? nulls : NULL;
}
