/* sys/dir.c: directories: creating, listing, removing, making entries durable; and the writer's lock. */
#include "sys/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/sort.h"
#include "base/banned.h"

int tsm_fs_sync_dir(const struct tsm_fs *fs, const char *dir, struct tsm_err *err)
{
    int fd = fs->open(fs->ctx, dir, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return tsm_err_sys(err, -fd, "open directory %s", dir);
    int r = fs->fsync(fs->ctx, fd);
    fs->close(fs->ctx, fd);
    return r < 0 ? tsm_err_sys(err, -r, "fsync directory %s", dir) : TSM_OK;
}

int tsm_fs_sync_parent(const struct tsm_fs *fs, const char *path, struct tsm_err *err)
{
    const char *slash = strrchr(path, '/');
    char *parent = !slash          ? tsm_strdup(".")
                   : slash == path ? tsm_strdup("/")
                                   : tsm_strndup(path, (size_t)(slash - path));
    int r = tsm_fs_sync_dir(fs, parent, err);
    tsm_free(parent);
    return r;
}

int tsm_fs_remove(const struct tsm_fs *fs, const char *path, struct tsm_err *err)
{
    int r = fs->unlink(fs->ctx, path);
    return r < 0 && r != -ENOENT ? tsm_err_sys(err, -r, "remove %s", path) : TSM_OK;
}

static char *join(const char *dir, const char *name)
{
    struct tsm_buf b = {0};
    tsm_buf_printf(&b, "%s/%s", dir, name);
    return tsm_buf_detach(&b, NULL);
}

int tsm_fs_remove_tree(const struct tsm_fs *fs, const char *path, struct tsm_err *err)
{
    struct tsm_names names = {0};
    int r = tsm_fs_list(fs, path, &names, err);
    if (r == TSM_ENOTFOUND)
        return TSM_OK;
    for (size_t i = 0; i < names.n && r == TSM_OK; i++) {
        char *child = join(path, names.names[i]);
        struct tsm_fs_stat st;
        if (fs->stat(fs->ctx, child, &st) == 0 && st.is_dir) {
            r = fs->unlink(fs->ctx, child) == 0 ? TSM_OK
                                                : tsm_fs_remove_tree(fs, child, err); /* a link first */
        } else {
            r = tsm_fs_remove(fs, child, err);
        }
        tsm_free(child);
    }
    tsm_names_release(&names);
    if (r != TSM_OK)
        return r;
    int d = fs->rmdir(fs->ctx, path);
    return d < 0 && d != -ENOENT ? tsm_err_sys(err, -d, "remove directory %s", path) : TSM_OK;
}

/* Makes one directory whose parent exists. */
static int make_dir(const struct tsm_fs *fs, const char *path, struct tsm_err *err)
{
    int r = fs->mkdir(fs->ctx, path, 0755);
    if (r == -EEXIST)
        return TSM_OK;
    if (r < 0)
        return tsm_err_sys(err, -r, "create directory %s", path);
    return tsm_fs_sync_parent(fs, path, err);
}

int tsm_fs_make_dirs(const struct tsm_fs *fs, const char *path, struct tsm_err *err)
{
    struct tsm_fs_stat st;
    if (fs->stat(fs->ctx, path, &st) == 0)
        return st.is_dir ? TSM_OK : tsm_err_sys(err, ENOTDIR, "create directory %s", path);
    char *p = tsm_strdup(path);
    int r = TSM_OK;
    for (char *s = p + 1; *s && r == TSM_OK; s++) {
        if (*s != '/' || s[-1] == '/')
            continue;
        *s = '\0';
        r = make_dir(fs, p, err);
        *s = '/';
    }
    size_t n = strlen(p);
    while (n > 1 && p[n - 1] == '/')
        p[--n] = '\0';
    if (r == TSM_OK)
        r = make_dir(fs, p, err);
    tsm_free(p);
    return r;
}

static int sync_if_ours(const struct tsm_fs *fs, const char *dir, struct tsm_err *err)
{
    int fd = fs->open(fs->ctx, dir, O_RDONLY | O_DIRECTORY, 0);
    if (fd == -EACCES || fd == -EPERM)
        return TSM_OK;
    if (fd < 0)
        return tsm_err_sys(err, -fd, "open directory %s", dir);
    int r = fs->fsync(fs->ctx, fd);
    fs->close(fs->ctx, fd);
    return r < 0 && r != -EROFS && r != -EINVAL ? tsm_err_sys(err, -r, "fsync directory %s", dir) : TSM_OK;
}

int tsm_fs_sync_way(const struct tsm_fs *fs, const char *path, struct tsm_err *err)
{
    char *p = tsm_strdup(path);
    size_t n = strlen(p);
    int r = TSM_OK;
    while (n > 0 && r == TSM_OK) {
        while (n > 0 && p[n - 1] == '/') /* slashes, */
            n--;
        while (n > 0 && p[n - 1] != '/') /* and the name before them */
            n--;
        while (n > 1 && p[n - 1] == '/')
            n--;
        p[n] = '\0';
        r = sync_if_ours(fs, n ? p : ".", err);
        if (n == 1 && p[0] == '/')
            break;
    }
    tsm_free(p);
    return r;
}

bool tsm_fs_exists(const struct tsm_fs *fs, const char *path)
{
    struct tsm_fs_stat st;
    return fs->stat(fs->ctx, path, &st) == 0;
}

static int add_name(void *arg, const char *name)
{
    struct tsm_names *l = arg;
    TSM_GROW(l->names, l->n + 1, l->cap);
    l->names[l->n++] = tsm_strdup(name);
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_once(const struct tsm_fs *fs, const char *dir, struct tsm_names *out, struct tsm_err *err)
{
    *out = (struct tsm_names){0};
    int r = fs->list(fs->ctx, dir, add_name, out);
    if (r < 0) {
        tsm_names_release(out);
        return tsm_err_sys(err, -r, "list %s", dir);
    }
    tsm_sort(out->names, out->n, sizeof *out->names, compare_names);
    return TSM_OK;
}

static bool same_names(const struct tsm_names *a, const struct tsm_names *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->names[i], b->names[i]) != 0)
            return false;
    return true;
}

int tsm_fs_list(const struct tsm_fs *fs, const char *dir, struct tsm_names *out, struct tsm_err *err)
{
    enum { MAX_LISTINGS = 20 };
    struct tsm_names before;
    int r = list_once(fs, dir, out, err);
    for (int i = 1; i < MAX_LISTINGS && r == TSM_OK; i++) {
        before = *out;
        r = list_once(fs, dir, out, err);
        bool same = r == TSM_OK && same_names(&before, out);
        tsm_names_release(&before);
        if (same)
            break;
    }
    return r;
}

void tsm_names_release(struct tsm_names *l)
{
    for (size_t i = 0; i < l->n; i++)
        tsm_free(l->names[i]);
    tsm_free(l->names);
    *l = (struct tsm_names){0};
}

int tsm_lock_take(const struct tsm_fs *fs, const char *path, const char *holder, struct tsm_lock *lock,
                  struct tsm_err *err)
{
    *lock = (struct tsm_lock){0};
    int fd = fs->open(fs->ctx, path, O_RDWR | O_CREAT, 0644);
    if (fd < 0)
        return tsm_err_sys(err, -fd, "open %s", path);
    int r = fs->lock(fs->ctx, fd, false);
    if (r == -EAGAIN) {
        char name[128] = "";
        ssize_t n = fs->pread(fs->ctx, fd, name, sizeof name - 1, 0);
        name[n > 0 ? n : 0] = '\0';
        name[strcspn(name, "\n")] = '\0';
        fs->close(fs->ctx, fd);
        return tsm_err_set(err, TSM_ELOCKED, "%s: held by %s", path, name[0] ? name : "another process");
    }
    if (r < 0) {
        fs->close(fs->ctx, fd);
        return tsm_err_sys(err, -r, "lock %s", path);
    }
    /* The lock itself is the kernel's and ends with its holder. The name is only for people, so that a full
     * disk, which may keep it from being written, does not keep anyone from deleting. */
    if (fs->ftruncate(fs->ctx, fd, 0) == 0 && fs->write(fs->ctx, fd, holder, strlen(holder)) > 0)
        fs->write(fs->ctx, fd, "\n", 1);
    lock->fs = fs;
    lock->fd = fd;
    return TSM_OK;
}

void tsm_lock_release(struct tsm_lock *lock)
{
    if (lock->fs)
        lock->fs->close(lock->fs->ctx, lock->fd);
    *lock = (struct tsm_lock){0};
}

int tsm_lock_open(const struct tsm_fs *fs, const char *path, struct tsm_lock *lock, struct tsm_err *err)
{
    *lock = (struct tsm_lock){0};
    int fd = fs->open(fs->ctx, path, O_RDWR | O_CREAT, 0644);
    if (fd < 0)
        return tsm_err_sys(err, -fd, "open %s", path);
    *lock = (struct tsm_lock){fs, fd};
    return TSM_OK;
}

int tsm_lock_acquire(struct tsm_lock *lock, struct tsm_err *err)
{
    int r = lock->fs->lock(lock->fs->ctx, lock->fd, true);
    return r < 0 ? tsm_err_sys(err, -r, "wait for a lock") : TSM_OK;
}

void tsm_lock_drop(struct tsm_lock *lock)
{
    lock->fs->unlock(lock->fs->ctx, lock->fd);
}
