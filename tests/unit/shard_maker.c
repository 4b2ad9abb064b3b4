/* tests/unit/shard_maker.c: shards for tests. */
#include "shard_maker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "codec/block.h"
#include "format/tombstone.h"
#include "format/tsm_writer.h"

static void must(int rc, const struct tsm_err *err)
{
    if (rc)
        fail_msg("%s", err->msg);
}

static void add_one(struct tsm_values *c, const struct made_value *m)
{
    union tsm_value v = {.f = m->value};
    if (m->type == TSM_STRING)
        v.s = TSM_STR("text");
    else if (m->type == TSM_BOOLEAN)
        v.b = m->value != 0;
    else if (m->type != TSM_FLOAT)
        v.i = (int64_t)m->value;
    tsm_values_add(c, m->time, v);
}

void make_file(const char *dir, const char *name, const struct made_value *items, size_t n)
{
    char path[256];
    struct tsm_writer *w;
    struct tsm_err err;
    struct tsm_values c = {0};
    struct tsm_buf block = {0};
    snprintf(path, sizeof path, "%s/%s", dir, name);
    must(tsm_writer_open(&tsm_fs_posix, path, &w, &err), &err);
    for (size_t i = 0; i < n; i++) {
        tsm_values_reset(&c, items[i].type, 1);
        add_one(&c, &items[i]);
        tsm_buf_reset(&block);
        must(tsm_block_encode(&block, &c, 0, 1, &err), &err);
        must(tsm_writer_block(w, tsm_str_of(items[i].key), c.type, c.t[0], c.t[0], block.data, block.len,
                              &err),
             &err);
    }
    must(tsm_writer_install(w, &err), &err);
    tsm_buf_release(&block);
    tsm_values_release(&c);
}

void make_tombstone(const char *dir, const char *name, const char *key, int64_t tmin, int64_t tmax)
{
    char path[256];
    struct tsm_tombstones t = {0};
    struct tsm_err err;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    char *beside = tsm_tombstone_path(path);
    must(tsm_tombstones_read(&tsm_fs_posix, beside, &t, &err), &err);
    tsm_tombstones_add(&t, tsm_str_of(key), tmin, tmax);
    tsm_tombstones_sort(&t);
    must(tsm_tombstones_write(&tsm_fs_posix, beside, &t, &err), &err);
    tsm_tombstones_release(&t);
    tsm_free(beside);
}

void damage_file(const char *dir, const char *name, uint64_t offset)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    fseek(f, (long)offset, SEEK_SET);
    int c = fgetc(f);
    fseek(f, (long)offset, SEEK_SET);
    fputc(c ^ 1, f);
    fclose(f);
}
