/*
 * sys/file.c: writing files in order, installing them atomically, mapping and reading whole files.
 *
 * Invariant of the install: the final name appears only after the bytes were fsynced, and the call
 * succeeds only after the directory was fsynced.
 */
#include "sys/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/alloc.h"
#include "base/banned.h"

enum {
    WRITE_SIZE = 1 << 20,
    SYNC_SIZE =
        8 << 20, /* an fsync of somebody else may have to wait for what we have written; this is not much */
};

static int open_for_writing(const struct tsm_fs *fs, const char *path, int how, struct tsm_file *f,
                            struct tsm_err *err)
{
    *f = (struct tsm_file){.fs = fs, .fd = -1};
    int fd = fs->open(fs->ctx, path, O_WRONLY | O_CREAT | how, 0644);
    if (fd < 0)
        return tsm_err_sys(err, -fd, "create %s", path);
    f->fd = fd;
    f->path = tsm_strdup(path);
    return TSM_OK;
}

int tsm_file_create(const struct tsm_fs *fs, const char *path, struct tsm_file *f, struct tsm_err *err)
{
    return open_for_writing(fs, path, O_TRUNC, f, err);
}

int tsm_file_append(const struct tsm_fs *fs, const char *path, struct tsm_file *f, struct tsm_err *err)
{
    return open_for_writing(fs, path, O_APPEND, f, err);
}

static int sync_written(struct tsm_file *f, struct tsm_err *err)
{
    f->unsynced = 0;
    int e = f->special ? 0 : f->fs->fsync(f->fs->ctx, f->fd);
    return e < 0 ? tsm_err_sys(err, -e, "fsync %s", f->path) : TSM_OK;
}

static int write_all(struct tsm_file *f, const uint8_t *p, size_t n, struct tsm_err *err)
{
    while (n) {
        ssize_t w = f->fs->write(f->fs->ctx, f->fd, p, n);
        if (w == -EINTR)
            continue;
        if (w <= 0)
            return tsm_err_sys(err, w < 0 ? (int)-w : EIO, "write %s", f->path);
        p += w;
        n -= (size_t)w;
        f->unsynced += (size_t)w;
    }
    return f->unsynced >= SYNC_SIZE ? sync_written(f, err) : TSM_OK;
}

int tsm_file_write(struct tsm_file *f, const void *p, size_t n, struct tsm_err *err)
{
    f->size += n;
    if (f->buf.len + n < WRITE_SIZE) {
        tsm_buf_add(&f->buf, p, n);
        return TSM_OK;
    }
    int r = write_all(f, f->buf.data, f->buf.len, err);
    tsm_buf_reset(&f->buf);
    if (r == TSM_OK && n >= WRITE_SIZE)
        return write_all(f, p, n, err);
    if (r == TSM_OK)
        tsm_buf_add(&f->buf, p, n);
    return r;
}

/* Forgets the file without touching it. */
static void forget(struct tsm_file *f)
{
    tsm_buf_release(&f->buf);
    tsm_free(f->path);
    f->path = NULL;
    f->fd = -1;
}

int tsm_file_sync(struct tsm_file *f, struct tsm_err *err)
{
    int r = write_all(f, f->buf.data, f->buf.len, err);
    tsm_buf_reset(&f->buf);
    return r == TSM_OK ? sync_written(f, err) : r;
}

/* Collected bytes, fsync and close; the path is kept. */
static int flush_and_close(struct tsm_file *f, struct tsm_err *err)
{
    int r = tsm_file_sync(f, err);
    int c = f->fs->close(f->fs->ctx, f->fd);
    f->fd = -1;
    if (r == TSM_OK && c < 0)
        r = tsm_err_sys(err, -c, "close %s", f->path);
    return r;
}

int tsm_file_finish(struct tsm_file *f, struct tsm_err *err)
{
    int r = flush_and_close(f, err);
    forget(f);
    return r;
}

int tsm_file_install(struct tsm_file *f, const char *path, struct tsm_err *err)
{
    int r = flush_and_close(f, err);
    if (r != TSM_OK) {
        tsm_file_abandon(f);
        return r;
    }
    int m = f->fs->rename(f->fs->ctx, f->path, path);
    if (m < 0) {
        r = tsm_err_sys(err, -m, "rename %s to %s", f->path, path);
        tsm_file_abandon(f);
        return r;
    }
    r = tsm_fs_sync_parent(f->fs, path, err);
    forget(f);
    return r;
}

void tsm_file_abandon(struct tsm_file *f)
{
    if (!f->path)
        return;
    if (f->fd >= 0)
        f->fs->close(f->fs->ctx, f->fd);
    if (!f->special)
        f->fs->unlink(f->fs->ctx, f->path);
    forget(f);
}

/* Anything may have a file's name: a FIFO would make us wait for ever, a device has no end. */
static int open_regular(const struct tsm_fs *fs, const char *path, int *fd, uint64_t *size,
                        struct tsm_err *err)
{
    static const char not_regular[] = "not a regular file";
    struct tsm_fs_stat st = {0};
    *fd = fs->open(fs->ctx, path, O_RDONLY | O_NONBLOCK, 0);
    if (*fd == -ENXIO) /* a socket */
        return tsm_err_set(err, TSM_ECORRUPT, "%s: %s", path, not_regular);
    if (*fd < 0)
        return tsm_err_sys(err, -*fd, "open %s", path);
    int s = fs->fstat(fs->ctx, *fd, &st), r = TSM_OK;
    if (s < 0)
        r = tsm_err_sys(err, -s, "stat %s", path);
    else if (st.is_dir || st.is_special)
        r = tsm_err_set(err, TSM_ECORRUPT, "%s: %s", path, st.is_dir ? "is a directory" : not_regular);
    if (r != TSM_OK)
        fs->close(fs->ctx, *fd);
    *size = st.size;
    return r;
}

int tsm_map_open(const struct tsm_fs *fs, const char *path, struct tsm_map_file *m, struct tsm_err *err)
{
    *m = (struct tsm_map_file){.fs = fs};
    int fd;
    uint64_t size;
    int r = open_regular(fs, path, &fd, &size, err);
    if (r != TSM_OK)
        return r;
    int e = size > 0 ? fs->mmap(fs->ctx, fd, size, &m->data) : 0;
    fs->close(fs->ctx, fd);
    if (e < 0)
        return tsm_err_sys(err, -e, "map %s", path);
    m->size = size;
    return TSM_OK;
}

void tsm_map_close(struct tsm_map_file *m)
{
    if (m->data)
        m->fs->munmap(m->fs->ctx, m->data, m->size);
    *m = (struct tsm_map_file){0};
}

void tsm_map_forget(const struct tsm_map_file *m, uint64_t from, uint64_t to)
{
    enum { PAGE = 64 << 10 }; /* at least as large as any */
    from = from / PAGE * PAGE;
    to = to >= m->size ? m->size : to / PAGE * PAGE;
    if (from < to && m->fs->forget)
        m->fs->forget(m->fs->ctx, m->data + from, (size_t)(to - from));
}

int tsm_fs_read_file(const struct tsm_fs *fs, const char *path, size_t limit, struct tsm_buf *out,
                     struct tsm_err *err)
{
    int fd;
    uint64_t size;
    int r = open_regular(fs, path, &fd, &size, err);
    if (r != TSM_OK)
        return r;
    size_t start = out->len;
    for (off_t offset = 0;;) {
        enum { STEP = 64 << 10 };
        ssize_t n = fs->pread(fs->ctx, fd, tsm_buf_room(out, STEP), STEP, offset);
        if (n == -EINTR)
            continue;
        if (n < 0)
            r = tsm_err_sys(err, (int)-n, "read %s", path);
        if (n <= 0)
            break;
        out->len += (size_t)n;
        offset += n;
        if (out->len - start > limit) {
            r = tsm_err_set(err, TSM_ELIMIT, "read %s: larger than %zu bytes", path, limit);
            break;
        }
    }
    fs->close(fs->ctx, fd);
    return r;
}

int tsm_fs_write_file(const struct tsm_fs *fs, const char *path, struct tsm_str bytes, struct tsm_err *err)
{
    struct tsm_buf tmp = {0};
    tsm_buf_printf(&tmp, "%s.tmp", path);
    struct tsm_file f;
    int r = tsm_file_create(fs, tsm_buf_cstr(&tmp), &f, err);
    tsm_buf_release(&tmp);
    if (r == TSM_OK)
        r = tsm_file_write(&f, bytes.p, bytes.n, err);
    if (r == TSM_OK)
        return tsm_file_install(&f, path, err);
    tsm_file_abandon(&f);
    return r;
}
