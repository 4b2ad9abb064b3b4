/* tests/unit/shard_state.c: what a shard's folder holds. */
#include "shard_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "store/scan.h"

static void add_value(struct tsm_buf *out, const struct tsm_values *v, size_t i)
{
    union tsm_value x = tsm_values_get(v, i);
    tsm_buf_add(out, &v->t[i], sizeof v->t[i]);
    if (v->type == TSM_STRING) {
        tsm_buf_add(out, &x.s.n, sizeof x.s.n);
        tsm_buf_str(out, x.s);
    } else if (v->type == TSM_BOOLEAN) {
        tsm_buf_byte(out, x.b);
    } else {
        tsm_buf_add(out, &x.u, sizeof x.u);
    }
}

void read_content(const char *dir, struct tsm_buf *out)
{
    struct tsm_shard *s;
    struct tsm_err err;
    if (tsm_shard_open(&tsm_fs_posix, dir, NULL, NULL, &s, &err))
        fail_msg("%s", err.msg);
    struct tsm_scan *sc = tsm_scan_new();
    tsm_buf_reset(out);
    for (size_t key = 0; key < s->nkeys; key++) {
        const struct tsm_values *v;
        bool any = false;
        if (tsm_scan_start(sc, s, key, INT64_MIN, INT64_MAX, &err))
            fail_msg("%s", err.msg);
        for (;;) {
            if (tsm_scan_next(sc, &v, &err))
                fail_msg("%s", err.msg);
            if (!v)
                break;
            if (!any) {
                tsm_buf_byte(out, '\n');
                tsm_buf_str(out, tsm_shard_key(s, key));
                tsm_buf_byte(out, (uint8_t)v->type);
            }
            any = true;
            for (size_t i = 0; i < v->n; i++)
                add_value(out, v, i);
        }
    }
    tsm_scan_free(sc);
    tsm_shard_close(s);
}

void assert_content(const char *dir, const struct tsm_buf *want)
{
    struct tsm_buf have = {0};
    read_content(dir, &have);
    if (have.len != want->len || (have.len && memcmp(have.data, want->data, have.len) != 0)) {
        char names[2000];
        list_files(dir, "", names, sizeof names);
        fail_msg("the content differs: %zu bytes, %zu wanted; files: %s", have.len, want->len, names);
    }
    tsm_buf_release(&have);
}

static void path_of(char out[300], const char *dir, const char *name)
{
    snprintf(out, 300, "%s/%s", dir, name);
}

void save_files(const char *dir, struct saved_files *s)
{
    struct tsm_names names;
    struct tsm_err err;
    *s = (struct saved_files){0};
    if (tsm_fs_list(&tsm_fs_posix, dir, &names, &err))
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < names.n; i++) {
        char path[300];
        path_of(path, dir, names.names[i]);
        TSM_GROW(s->files, s->n + 1, s->cap);
        struct saved_file *f = &s->files[s->n++];
        *f = (struct saved_file){.name = tsm_strdup(names.names[i])};
        if (tsm_fs_read_file(&tsm_fs_posix, path, 1 << 30, &f->bytes, &err))
            fail_msg("%s", err.msg);
    }
    tsm_names_release(&names);
}

void restore_files(const char *dir, const struct saved_files *s)
{
    struct tsm_err err;
    if (tsm_fs_remove_tree(&tsm_fs_posix, dir, &err) || tsm_fs_make_dirs(&tsm_fs_posix, dir, &err))
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < s->n; i++) {
        char path[300];
        path_of(path, dir, s->files[i].name);
        if (tsm_fs_write_file(&tsm_fs_posix, path, tsm_buf_view(&s->files[i].bytes), &err))
            fail_msg("%s", err.msg);
    }
}

void assert_files(const char *dir, const struct saved_files *s)
{
    struct saved_files now;
    save_files(dir, &now);
    assert_int_equal(now.n, s->n);
    for (size_t i = 0; i < s->n; i++) {
        assert_string_equal(now.files[i].name, s->files[i].name);
        assert_int_equal(now.files[i].bytes.len, s->files[i].bytes.len);
        if (s->files[i].bytes.len)
            assert_memory_equal(now.files[i].bytes.data, s->files[i].bytes.data, s->files[i].bytes.len);
    }
    release_files(&now);
}

void release_files(struct saved_files *s)
{
    for (size_t i = 0; i < s->n; i++) {
        tsm_free(s->files[i].name);
        tsm_buf_release(&s->files[i].bytes);
    }
    tsm_free(s->files);
    *s = (struct saved_files){0};
}

void list_files(const char *dir, const char *suffix, char *out, size_t size)
{
    struct tsm_names names;
    struct tsm_err err;
    size_t n = 0, m = strlen(suffix);
    if (tsm_fs_list(&tsm_fs_posix, dir, &names, &err))
        fail_msg("%s", err.msg);
    out[0] = '\0';
    for (size_t i = 0; i < names.n; i++) {
        size_t k = strlen(names.names[i]);
        if (k >= m && strcmp(names.names[i] + k - m, suffix) == 0 && n + k + 2 < size)
            n += (size_t)snprintf(out + n, size - n, "%s ", names.names[i]);
    }
    tsm_names_release(&names);
}
