/* tests/unit/faulty_fs.c: a disk that fails on command. */
#include "faulty_fs.h"

#include <errno.h>

/* Counts a call; the error when it has to fail, else 0. */
static int fault(struct faulty_fs *f, unsigned kind)
{
    if (!(f->kinds & kind))
        return 0;
    long n = atomic_fetch_add(&f->calls, 1) + 1;
    bool now = f->fail_at > 0 && (n == f->fail_at || (f->for_good && n > f->fail_at));
    return now ? -f->error : 0;
}

static int faulty_open(void *ctx, const char *path, int flags, mode_t mode)
{
    int e = fault(ctx, FAULTY_OPEN);
    return e ? e : tsm_fs_posix.open(NULL, path, flags, mode);
}

static int faulty_close(void *ctx, int fd)
{
    int e = fault(ctx, FAULTY_CLOSE);
    int r = tsm_fs_posix.close(NULL, fd);
    return e ? e : r;
}

static ssize_t faulty_pread(void *ctx, int fd, void *p, size_t n, off_t offset)
{
    int e = fault(ctx, FAULTY_READ);
    return e ? e : tsm_fs_posix.pread(NULL, fd, p, n, offset);
}

static ssize_t faulty_write(void *ctx, int fd, const void *p, size_t n)
{
    const struct faulty_fs *f = ctx;
    int e = fault(ctx, FAULTY_WRITE);
    if (f->short_write && n > f->short_write)
        n = f->short_write;
    return e ? e : tsm_fs_posix.write(NULL, fd, p, n);
}

static int faulty_fsync(void *ctx, int fd)
{
    int e = fault(ctx, FAULTY_FSYNC);
    return e ? e : tsm_fs_posix.fsync(NULL, fd);
}

static int faulty_ftruncate(void *ctx, int fd, off_t size)
{
    int e = fault(ctx, FAULTY_WRITE);
    return e ? e : tsm_fs_posix.ftruncate(NULL, fd, size);
}

static int faulty_fstat(void *ctx, int fd, struct tsm_fs_stat *st)
{
    int e = fault(ctx, FAULTY_READ);
    return e ? e : tsm_fs_posix.fstat(NULL, fd, st);
}

static int faulty_stat(void *ctx, const char *path, struct tsm_fs_stat *st)
{
    int e = fault(ctx, FAULTY_READ);
    return e ? e : tsm_fs_posix.stat(NULL, path, st);
}

static int faulty_rename(void *ctx, const char *from, const char *to)
{
    int e = fault(ctx, FAULTY_RENAME);
    return e ? e : tsm_fs_posix.rename(NULL, from, to);
}

static int faulty_unlink(void *ctx, const char *path)
{
    int e = fault(ctx, FAULTY_UNLINK);
    return e ? e : tsm_fs_posix.unlink(NULL, path);
}

static int faulty_rmdir(void *ctx, const char *path)
{
    int e = fault(ctx, FAULTY_UNLINK);
    return e ? e : tsm_fs_posix.rmdir(NULL, path);
}

static int faulty_mkdir(void *ctx, const char *path, mode_t mode)
{
    int e = fault(ctx, FAULTY_MKDIR);
    return e ? e : tsm_fs_posix.mkdir(NULL, path, mode);
}

static int faulty_list(void *ctx, const char *path, int (*each)(void *arg, const char *name), void *arg)
{
    int e = fault(ctx, FAULTY_READ);
    return e ? e : tsm_fs_posix.list(NULL, path, each, arg);
}

static int faulty_mmap(void *ctx, int fd, size_t size, const uint8_t **p)
{
    int e = fault(ctx, FAULTY_READ);
    return e ? e : tsm_fs_posix.mmap(NULL, fd, size, p);
}

static int faulty_munmap(void *ctx, const uint8_t *p, size_t size)
{
    (void)ctx;
    return tsm_fs_posix.munmap(NULL, p, size);
}

static int faulty_lock(void *ctx, int fd, bool wait)
{
    int e = fault(ctx, FAULTY_LOCK);
    return e ? e : tsm_fs_posix.lock(NULL, fd, wait);
}

static int faulty_unlock(void *ctx, int fd)
{
    (void)ctx;
    return tsm_fs_posix.unlock(NULL, fd);
}

static int faulty_space(void *ctx, const char *path, uint64_t *free_bytes, uint64_t *total_bytes)
{
    int e = fault(ctx, FAULTY_READ);
    return e ? e : tsm_fs_posix.space(NULL, path, free_bytes, total_bytes);
}

void faulty_fs_init(struct faulty_fs *f)
{
    *f = (struct faulty_fs){
        .fs = {.ctx = f,
               .open = faulty_open,
               .close = faulty_close,
               .pread = faulty_pread,
               .write = faulty_write,
               .fsync = faulty_fsync,
               .ftruncate = faulty_ftruncate,
               .fstat = faulty_fstat,
               .stat = faulty_stat,
               .rename = faulty_rename,
               .unlink = faulty_unlink,
               .rmdir = faulty_rmdir,
               .mkdir = faulty_mkdir,
               .list = faulty_list,
               .mmap = faulty_mmap,
               .munmap = faulty_munmap,
               .lock = faulty_lock,
               .unlock = faulty_unlock,
               .space = faulty_space},
        .kinds = FAULTY_ALL,
        .error = EIO,
    };
}
