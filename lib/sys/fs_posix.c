/* sys/fs_posix.c: the table of disk calls on a POSIX system. Failures are returned as negative errno
 * values. */
#include "sys/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/banned.h"

static int result(int r)
{
    return r < 0 ? -errno : r;
}

static int posix_open(void *ctx, const char *path, int flags, mode_t mode)
{
    (void)ctx;
    return result(open(path, flags | O_CLOEXEC, mode));
}

static int posix_close(void *ctx, int fd)
{
    (void)ctx;
    return result(close(fd));
}

static ssize_t posix_pread(void *ctx, int fd, void *p, size_t n, off_t offset)
{
    (void)ctx;
    ssize_t r = pread(fd, p, n, offset);
    return r < 0 ? -errno : r;
}

static ssize_t posix_write(void *ctx, int fd, const void *p, size_t n)
{
    (void)ctx;
    ssize_t r = write(fd, p, n);
    return r < 0 ? -errno : r;
}

static int posix_fsync(void *ctx, int fd)
{
    (void)ctx;
    return result(fsync(fd));
}

static int posix_ftruncate(void *ctx, int fd, off_t size)
{
    (void)ctx;
    return result(ftruncate(fd, size));
}

static void convert_stat(const struct stat *s, struct tsm_fs_stat *st)
{
    st->size = (uint64_t)s->st_size;
    st->mtime = (int64_t)s->st_mtim.tv_sec * 1000000000 + s->st_mtim.tv_nsec;
    st->is_dir = S_ISDIR(s->st_mode);
    st->is_special = !S_ISDIR(s->st_mode) && !S_ISREG(s->st_mode);
}

static int posix_fstat(void *ctx, int fd, struct tsm_fs_stat *st)
{
    (void)ctx;
    struct stat s;
    if (fstat(fd, &s) != 0)
        return -errno;
    convert_stat(&s, st);
    return 0;
}

static int posix_stat(void *ctx, const char *path, struct tsm_fs_stat *st)
{
    (void)ctx;
    struct stat s;
    if (stat(path, &s) != 0)
        return -errno;
    convert_stat(&s, st);
    return 0;
}

static int posix_rename(void *ctx, const char *from, const char *to)
{
    (void)ctx;
    return result(rename(from, to));
}

static int posix_unlink(void *ctx, const char *path)
{
    (void)ctx;
    return result(unlink(path));
}

static int posix_rmdir(void *ctx, const char *path)
{
    (void)ctx;
    return result(rmdir(path));
}

static int posix_mkdir(void *ctx, const char *path, mode_t mode)
{
    (void)ctx;
    return result(mkdir(path, mode));
}

static int posix_list(void *ctx, const char *path, int (*each)(void *arg, const char *name), void *arg)
{
    (void)ctx;
    DIR *d = opendir(path);
    if (!d)
        return -errno;
    int r = 0;
    while (r == 0) {
        errno = 0;
        struct dirent *e = readdir(d);
        if (!e) {
            r = -errno;
            break;
        }
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            r = each(arg, e->d_name);
    }
    closedir(d);
    return r;
}

static int posix_mmap(void *ctx, int fd, size_t size, const uint8_t **p)
{
    (void)ctx;
    void *m = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (m == MAP_FAILED)
        return -errno;
    *p = m;
    return 0;
}

static int posix_munmap(void *ctx, const uint8_t *p, size_t size)
{
    (void)ctx;
    return result(munmap((void *)(uintptr_t)p, size));
}

static void posix_forget(void *ctx, const uint8_t *p, size_t size)
{
    (void)ctx;
    madvise((void *)(uintptr_t)p, size, MADV_DONTNEED);
}

static int posix_lock(void *ctx, int fd, bool wait)
{
    (void)ctx;
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int r;
    do
        r = result(fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &l));
    while (wait && r == -EINTR);
    return r == -EACCES ? -EAGAIN : r;
}

static int posix_unlock(void *ctx, int fd)
{
    (void)ctx;
    struct flock l = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    return result(fcntl(fd, F_OFD_SETLK, &l));
}

static int posix_space(void *ctx, const char *path, uint64_t *free_bytes, uint64_t *total_bytes)
{
    (void)ctx;
    struct statvfs v;
    if (statvfs(path, &v) != 0)
        return -errno;
    *free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
    *total_bytes = (uint64_t)v.f_blocks * v.f_frsize;
    return 0;
}

const struct tsm_fs tsm_fs_posix = {
    .open = posix_open,
    .close = posix_close,
    .pread = posix_pread,
    .write = posix_write,
    .fsync = posix_fsync,
    .ftruncate = posix_ftruncate,
    .fstat = posix_fstat,
    .stat = posix_stat,
    .rename = posix_rename,
    .unlink = posix_unlink,
    .rmdir = posix_rmdir,
    .mkdir = posix_mkdir,
    .list = posix_list,
    .mmap = posix_mmap,
    .munmap = posix_munmap,
    .forget = posix_forget,
    .lock = posix_lock,
    .unlock = posix_unlock,
    .space = posix_space,
};
