/* tests/unit/tsm_content.c: TSM files for tests. */
#include "tsm_content.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "codec/block.h"

union tsm_value value_of(enum tsm_type type, int64_t i)
{
    static char text[4][32];
    static unsigned turn;
    switch (type) {
    case TSM_FLOAT:
        return (union tsm_value){.f = (double)i * 0.25};
    case TSM_INTEGER:
        return (union tsm_value){.i = -i * 3};
    case TSM_BOOLEAN:
        return (union tsm_value){.b = i % 3 == 0};
    case TSM_UNSIGNED:
        return (union tsm_value){.u = (uint64_t)i << 40};
    default: {
        char *p = text[turn++ % 4];
        int n = snprintf(p, sizeof text[0], "text %lld", (long long)i % 5);
        return (union tsm_value){.s = tsm_str(p, (size_t)n)};
    }
    }
}

bool same_value(enum tsm_type type, union tsm_value a, union tsm_value b)
{
    if (type == TSM_STRING)
        return tsm_str_eq(a.s, b.s);
    if (type == TSM_BOOLEAN)
        return a.b == b.b;
    return a.u == b.u;
}

void key_text(char *out, size_t size, int i)
{
    snprintf(out, size, "m,host=server%04d#!~#v%d", i, i % 5);
}

void fill(struct tsm_values *v, enum tsm_type type, int64_t from, int64_t n)
{
    tsm_values_reset(v, type, (size_t)n);
    for (int64_t j = from; j < from + n; j++)
        tsm_values_add(v, (j + 1) * 10000000000, value_of(type, j));
}

int add_block(struct tsm_writer *w, const char *key, const struct tsm_values *v, struct tsm_err *err)
{
    struct tsm_buf block = {0};
    int r = tsm_block_encode(&block, v, 0, v->n, err);
    if (r == TSM_OK)
        r = tsm_writer_block(w, tsm_str_of(key), v->type, v->t[0], v->t[v->n - 1], block.data, block.len,
                             err);
    tsm_buf_release(&block);
    return r;
}

bool with_origins;
size_t index_memory = SIZE_MAX;

const struct tsm_origin some_origins[ORIGINS] = {
    {{1, 1}, 1000, 0x0123456789abcdef},
    {{2, 7}, 1ull << 40, 5},
    {{UINT32_MAX, UINT32_MAX}, UINT64_MAX, UINT64_MAX},
};
int write_file(const struct tsm_fs *fs, const char *to, int keys, int64_t n, struct tsm_err *err)
{
    struct tsm_writer *w;
    struct tsm_values v = {0};
    int r = tsm_writer_open(fs, to, &w, err);
    if (r != TSM_OK)
        return r;
    if (with_origins)
        tsm_writer_origins(w, some_origins, ORIGINS);
    tsm_writer_limit_memory(w, index_memory);
    for (int i = 0; i < keys && r == TSM_OK; i++) {
        char key[64];
        key_text(key, sizeof key, i);
        for (int64_t b = 0; b < BLOCKS && r == TSM_OK; b++) {
            fill(&v, (enum tsm_type)(i % 5), b * n, n);
            r = add_block(w, key, &v, err);
        }
    }
    tsm_values_release(&v);
    if (r == TSM_OK)
        return tsm_writer_install(w, err);
    tsm_writer_abandon(w);
    return r;
}

struct tsm_reader *open_file(const char *from)
{
    struct tsm_reader *r;
    struct tsm_err err;
    if (tsm_reader_open(&tsm_fs_posix, from, &r, &err) != TSM_OK)
        fail_msg("%s", err.msg);
    return r;
}
