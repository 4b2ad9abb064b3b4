/*
 * tests/unit/power_fs.c: a disk in memory that can lose its power: the tree of files and the calls.
 *
 * Invariants: everything is behind one mutex. A node lives as long as an entry (present or durable), a pending change, a
 * descriptor or a lock refers to it. Bytes of a file behind its size are zero, in the cache and in what is durable.
 */
#include "power_fs_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"

enum { FIRST_FD = 1 << 20 };

/* ---- nodes ---- */

static struct power_node *node_new(struct power_disk *d, bool dir)
{
    struct power_node *n = tsm_calloc(1, sizeof *n);
    n->dir = dir;
    n->mtime = d->now;
    return n;
}

void power_node_ref(struct power_node *n)
{
    n->refs++;
}

void power_node_unref(struct power_node *n)
{
    if (!n || --n->refs > 0)
        return;
    power_entries_clear(&n->now);
    power_entries_clear(&n->durable);
    power_changes_clear(n, 0);
    tsm_free(n->changes);
    tsm_free(n->data);
    tsm_free(n->stable);
    tsm_free(n->dirty);
    tsm_free(n);
}

/* ---- entries ---- */

static struct power_entry *find_entry(const struct power_entries *l, const char *name, size_t len)
{
    for (size_t i = 0; i < l->n; i++)
        if (strlen(l->items[i].name) == len && memcmp(l->items[i].name, name, len) == 0)
            return &l->items[i];
    return NULL;
}

void power_entries_set(struct power_entries *l, const char *name, struct power_node *node)
{
    struct power_entry *e = find_entry(l, name, strlen(name));
    power_node_ref(node);
    if (e) {
        power_node_unref(e->node);
        e->node = node;
        return;
    }
    TSM_GROW(l->items, l->n + 1, l->cap);
    l->items[l->n++] = (struct power_entry){tsm_strdup(name), node};
}

void power_entries_remove(struct power_entries *l, const char *name)
{
    struct power_entry *e = find_entry(l, name, strlen(name));
    if (!e)
        return;
    tsm_free(e->name);
    power_node_unref(e->node);
    *e = l->items[--l->n];
}

struct power_node *power_entries_get(const struct power_entries *l, const char *name)
{
    struct power_entry *e = find_entry(l, name, strlen(name));
    return e ? e->node : NULL;
}

void power_entries_clear(struct power_entries *l)
{
    for (size_t i = 0; i < l->n; i++) {
        tsm_free(l->items[i].name);
        power_node_unref(l->items[i].node);
    }
    tsm_free(l->items);
    *l = (struct power_entries){0};
}

/* ---- pending changes of a directory ---- */

static void add_change(struct power_node *dir, const char *from, const char *to, struct power_node *node)
{
    TSM_GROW(dir->changes, dir->nchanges + 1, dir->capchanges);
    dir->changes[dir->nchanges++] = (struct power_change){
        .from = from ? tsm_strdup(from) : NULL, .to = to ? tsm_strdup(to) : NULL, .node = node};
    if (node)
        power_node_ref(node);
}

void power_changes_clear(struct power_node *dir, size_t keep)
{
    while (dir->nchanges > keep) {
        struct power_change *c = &dir->changes[--dir->nchanges];
        tsm_free(c->from);
        tsm_free(c->to);
        power_node_unref(c->node);
    }
}

void power_change_apply(struct power_entries *l, const struct power_change *c)
{
    if (c->from && (!c->to || power_entries_get(l, c->from) == c->node))
        power_entries_remove(l, c->from);
    if (c->to)
        power_entries_set(l, c->to, c->node);
}

/* ---- paths ---- */

/* Walks to the directory that holds the last name of path; *name is that name, empty for the root. NULL: it is not there. */
static struct power_node *find_parent(struct power_disk *d, const char *path, char name[256], int *error)
{
    struct power_node *dir = d->root;
    name[0] = '\0';
    for (const char *p = path;;) {
        while (*p == '/')
            p++;
        size_t n = strcspn(p, "/");
        if (n == 0)
            return dir;
        if (n == 1 && *p == '.') {
            p += n;
            continue;
        }
        if (n >= 256) {
            *error = -ENAMETOOLONG;
            return NULL;
        }
        if (name[0]) {
            struct power_node *next = power_entries_get(&dir->now, name);
            if (!next || !next->dir) {
                *error = next ? -ENOTDIR : -ENOENT;
                return NULL;
            }
            dir = next;
        }
        memcpy(name, p, n);
        name[n] = '\0';
        p += n;
    }
}

static struct power_node *find_node(struct power_disk *d, const char *path, int *error)
{
    char name[256];
    struct power_node *dir = find_parent(d, path, name, error);
    if (!dir || !name[0])
        return dir;
    struct power_node *n = power_entries_get(&dir->now, name);
    if (!n)
        *error = -ENOENT;
    return n;
}

/* ---- what a call may do ---- */

enum {
    READS,
    CHANGES,
    TAKES_ROOM, /* a change that may find the disk full */
    SYNCS,
};

/* Before a call: 0 to go on, an error to return. *last: the power goes while it runs, so the call fails whatever it
 * does. Takes the mutex. */
static int enter(struct power_disk *d, int kind, bool *last)
{
    pthread_mutex_lock(&d->mutex);
    *last = false;
    if (d->off)
        return -EIO;
    d->calls++;
    d->changes += kind != READS;
    d->now += kind != READS ? 1000000 : 0;
    if (d->cut_at && kind != READS && d->changes == d->cut_at) {
        *last = true;
        d->off = true;
        pthread_cond_broadcast(&d->unlocked);
        return kind == SYNCS ? -EIO : 0;
    }
    if (d->fail_at && (d->calls == d->fail_at || (d->fail_for_good && d->calls > d->fail_at)) &&
        (d->fail_error != ENOSPC || kind == TAKES_ROOM)) {
        d->failed = true;
        return -d->fail_error;
    }
    if (d->fail_at && !d->fail_for_good && d->calls == d->fail_at)
        d->fail_at++; /* a full disk hits the next call that takes room */
    return 0;
}

static ssize_t leave(struct power_disk *d, bool last, ssize_t result, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* After a call: notes it, gives the mutex back. */
static ssize_t leave(struct power_disk *d, bool last, ssize_t result, const char *format, ...)
{
    char *line = d->trace[d->traced++ % POWER_TRACE];
    int n = snprintf(line, POWER_TRACE_LINE, "%6ld %6d ", d->changes, (int)gettid());
    va_list args;
    va_start(args, format);
    vsnprintf(line + n, POWER_TRACE_LINE - (size_t)n - 40, format, args);
    va_end(args);
    size_t len = strlen(line);
    snprintf(line + len, POWER_TRACE_LINE - len, "%s %s%zd", last ? " [power goes]" : "",
             result < 0 ? strerrorname_np((int)-result) : "=", result < 0 ? 0 : result);
    pthread_mutex_unlock(&d->mutex);
    return last ? -EIO : result;
}

/* ---- descriptors ---- */

static struct power_handle *find_handle(struct power_disk *d, int fd)
{
    size_t i = (size_t)(fd - FIRST_FD);
    return fd >= FIRST_FD && i < d->nhandles ? d->handles[i] : NULL;
}

static void unlock_handle(struct power_disk *d, struct power_handle *h)
{
    if (h->node->locked_by == h) {
        h->node->locked_by = NULL;
        pthread_cond_broadcast(&d->unlocked);
    }
}

void power_handle_free(struct power_disk *d, struct power_handle *h)
{
    unlock_handle(d, h);
    power_node_unref(h->node);
    tsm_free(h->path);
    tsm_free(h);
}

static void mark_dirty(struct power_node *n, size_t from, size_t to)
{
    size_t last = (to + POWER_SECTOR - 1) / POWER_SECTOR;
    if (last > n->capdirty) {
        size_t cap = last * 2;
        n->dirty = tsm_realloc_array(n->dirty, cap, 1);
        memset(n->dirty + n->capdirty, 0, cap - n->capdirty);
        n->capdirty = cap;
    }
    for (size_t i = from / POWER_SECTOR; i < last; i++)
        n->dirty[i] = 1;
}

static void note_size(struct power_node *n)
{
    if (n->size < n->size_min)
        n->size_min = n->size;
    if (n->size > n->size_max)
        n->size_max = n->size;
}

static void resize(struct power_node *n, size_t size)
{
    if (size > n->cap) {
        size_t cap = size * 2;
        n->data = tsm_realloc_array(n->data, cap, 1);
        memset(n->data + n->cap, 0, cap - n->cap);
        n->cap = cap;
    }
    if (size < n->size) {
        memset(n->data + size, 0, n->size - size);
        mark_dirty(n, size, n->size > n->stable_size ? n->size : n->stable_size);
    }
    n->size = size;
    note_size(n);
}

static int power_open(void *ctx, const char *path, int flags, mode_t mode)
{
    struct power_disk *d = ctx;
    bool last, changing = false;
    int e = 0;
    (void)mode;
    pthread_mutex_lock(&d->mutex);
    if (!d->off) {
        struct power_node *n = find_node(d, path, &e);
        changing = (!n && (flags & O_CREAT)) || (n && (flags & O_TRUNC) && n->size > 0);
    }
    pthread_mutex_unlock(&d->mutex);
    e = enter(d, changing ? TAKES_ROOM : READS, &last);
    if (e)
        return (int)leave(d, last, e, "open %s", path);
    char name[256];
    struct power_node *dir = find_parent(d, path, name, &e), *n = NULL;
    if (!dir)
        return (int)leave(d, last, e, "open %s", path);
    n = name[0] ? power_entries_get(&dir->now, name) : dir;
    if (!n && !(flags & O_CREAT))
        return (int)leave(d, last, -ENOENT, "open %s", path);
    if (n && (flags & O_CREAT) && (flags & O_EXCL))
        return (int)leave(d, last, -EEXIST, "open %s", path);
    if (n && n->dir && (flags & O_ACCMODE) != O_RDONLY)
        return (int)leave(d, last, -EISDIR, "open %s", path);
    if (n && !n->dir && (flags & O_DIRECTORY))
        return (int)leave(d, last, -ENOTDIR, "open %s", path);
    if (!n) {
        n = node_new(d, false);
        power_entries_set(&dir->now, name, n);
        add_change(dir, NULL, name, n);
        dir->mtime = d->now;
    } else if (flags & O_TRUNC && n->size > 0) {
        resize(n, 0);
        n->mtime = d->now;
    }
    struct power_handle *h = tsm_calloc(1, sizeof *h);
    h->node = n;
    h->flags = flags;
    h->path = tsm_strdup(path);
    power_node_ref(n);
    TSM_GROW(d->handles, d->nhandles + 1, d->caphandles);
    d->handles[d->nhandles++] = h;
    if (last) { /* nobody will close it */
        d->handles[d->nhandles - 1] = NULL;
        power_handle_free(d, h);
    }
    return (int)leave(d, last, FIRST_FD + (int)d->nhandles - 1, "%s %s", changing ? "create" : "open", path);
}

static int power_close(void *ctx, int fd)
{
    struct power_disk *d = ctx;
    pthread_mutex_lock(&d->mutex);
    struct power_handle *h = find_handle(d, fd);
    if (h) {
        d->handles[fd - FIRST_FD] = NULL;
        power_handle_free(d, h);
    }
    pthread_mutex_unlock(&d->mutex);
    return h ? 0 : -EBADF;
}

static ssize_t power_pread(void *ctx, int fd, void *p, size_t n, off_t offset)
{
    struct power_disk *d = ctx;
    bool last;
    int e = enter(d, READS, &last);
    struct power_handle *h = find_handle(d, fd);
    if (e || !h)
        return leave(d, last, e ? e : -EBADF, "pread");
    if (h->node->dir || (h->flags & O_ACCMODE) == O_WRONLY)
        return leave(d, last, h->node->dir ? -EISDIR : -EBADF, "pread %s", h->path);
    size_t from = (size_t)offset, size = h->node->size;
    size_t got = from >= size ? 0 : size - from < n ? size - from : n;
    if (got)
        memcpy(p, h->node->data + from, got);
    return leave(d, last, (ssize_t)got, "pread %s %zu", h->path, from);
}

static ssize_t power_write(void *ctx, int fd, const void *p, size_t n)
{
    struct power_disk *d = ctx;
    bool last;
    int e = enter(d, TAKES_ROOM, &last);
    struct power_handle *h = find_handle(d, fd);
    if (e || !h)
        return leave(d, last, e ? e : -EBADF, "write %s", h ? h->path : "");
    struct power_node *node = h->node;
    if ((h->flags & O_ACCMODE) == O_RDONLY)
        return leave(d, last, -EBADF, "write %s", h->path);
    size_t at = h->flags & O_APPEND ? node->size : h->at;
    if (d->limit) {
        uint64_t used = power_used(d->root), room = used < d->limit ? d->limit - used : 0;
        size_t grow = at + n > node->size ? at + n - node->size : 0;
        if (grow > room)
            n -= grow - (size_t)room < n ? grow - (size_t)room : n;
        if (n == 0)
            return leave(d, last, -ENOSPC, "write %s", h->path);
    }
    if (at + n > node->size)
        resize(node, at + n);
    memcpy(node->data + at, p, n);
    mark_dirty(node, at, at + n);
    node->mtime = d->now;
    h->at = at + n;
    return leave(d, last, (ssize_t)n, "write %s at %zu", h->path, at);
}

/* Pages whose writing failed are clean afterwards, but not on the disk. */
static void lose_pages(struct power_disk *d, struct power_node *n)
{
    uint64_t random = (uint64_t)d->calls;
    for (size_t i = 0; i < n->capdirty; i++)
        if (n->dirty[i] && power_below(&random, 2))
            n->dirty[i] = 0;
}

void power_node_sync(struct power_node *n)
{
    if (n->dir) {
        for (size_t i = 0; i < n->nchanges; i++)
            power_change_apply(&n->durable, &n->changes[i]);
        power_changes_clear(n, 0);
        return;
    }
    if (n->size > n->capstable) {
        size_t cap = n->size * 2;
        n->stable = tsm_realloc_array(n->stable, cap, 1);
        memset(n->stable + n->capstable, 0, cap - n->capstable);
        n->capstable = cap;
    }
    if (n->size < n->stable_size)
        memset(n->stable + n->size, 0, n->stable_size - n->size);
    for (size_t i = 0; i < n->capdirty; i++) {
        size_t from = i * POWER_SECTOR, to = from + POWER_SECTOR < n->size ? from + POWER_SECTOR : n->size;
        if (n->dirty[i] && from < to)
            memcpy(n->stable + from, n->data + from, to - from);
        n->dirty[i] = 0;
    }
    n->stable_size = n->size_min = n->size_max = n->size;
}

static int power_fsync(void *ctx, int fd)
{
    struct power_disk *d = ctx;
    bool last;
    int e = enter(d, SYNCS, &last);
    struct power_handle *h = find_handle(d, fd);
    if (e && h && !d->off && !h->node->dir)
        lose_pages(d, h->node);
    if (!e && h && !d->lies)
        power_node_sync(h->node);
    return (int)leave(d, last, e ? e : h ? 0 : -EBADF, "fsync %s", h ? h->path : "");
}

static int power_ftruncate(void *ctx, int fd, off_t size)
{
    struct power_disk *d = ctx;
    bool last;
    int e = enter(d, CHANGES, &last);
    struct power_handle *h = find_handle(d, fd);
    if (e || !h)
        return (int)leave(d, last, e ? e : -EBADF, "ftruncate");
    if ((h->flags & O_ACCMODE) == O_RDONLY)
        return (int)leave(d, last, -EINVAL, "ftruncate %s", h->path);
    resize(h->node, (size_t)size);
    h->node->mtime = d->now;
    return (int)leave(d, last, 0, "ftruncate %s to %lld", h->path, (long long)size);
}

static void fill_stat(const struct power_node *n, struct tsm_fs_stat *st)
{
    *st = (struct tsm_fs_stat){.size = n->size, .mtime = n->mtime, .is_dir = n->dir};
}

static int power_fstat(void *ctx, int fd, struct tsm_fs_stat *st)
{
    struct power_disk *d = ctx;
    bool last;
    int e = enter(d, READS, &last);
    struct power_handle *h = find_handle(d, fd);
    if (!e && h)
        fill_stat(h->node, st);
    return (int)leave(d, last, e ? e : h ? 0 : -EBADF, "fstat %s", h ? h->path : "");
}

static int power_stat(void *ctx, const char *path, struct tsm_fs_stat *st)
{
    struct power_disk *d = ctx;
    bool last;
    int e = enter(d, READS, &last);
    struct power_node *n = e ? NULL : find_node(d, path, &e);
    if (n)
        fill_stat(n, st);
    return (int)leave(d, last, n ? 0 : e, "stat %s", path);
}

/* What rename, unlink and the like do to a directory, now and pending. */
static void change(struct power_disk *d, struct power_node *dir, const char *from, const char *to,
                   struct power_node *node)
{
    add_change(dir, from, to, node);
    dir->mtime = d->now;
    power_change_apply(&dir->now, &dir->changes[dir->nchanges - 1]);
}

static int power_rename(void *ctx, const char *from, const char *to)
{
    struct power_disk *d = ctx;
    bool last;
    char a[256], b[256];
    int e = enter(d, CHANGES, &last);
    if (e)
        return (int)leave(d, last, e, "rename %s", from);
    struct power_node *dir = find_parent(d, from, a, &e), *target = dir ? find_parent(d, to, b, &e) : NULL;
    if (!dir || !target)
        return (int)leave(d, last, e, "rename %s", from);
    if (dir != target)
        return (int)leave(d, last, -EXDEV, "rename %s to %s", from, to);
    struct power_node *n = power_entries_get(&dir->now, a), *old = power_entries_get(&dir->now, b);
    if (!n)
        e = -ENOENT;
    else if (old && old->dir != n->dir)
        e = old->dir ? -EISDIR : -ENOTDIR;
    else if (old && old->dir && old->now.n)
        e = -ENOTEMPTY;
    if (!e && old != n)
        change(d, dir, a, b, n);
    return (int)leave(d, last, e, "rename %s to %s", from, b);
}

static int remove_entry(struct power_disk *d, const char *path, bool want_dir, bool *last)
{
    char name[256];
    int e = enter(d, CHANGES, last);
    if (e)
        return e;
    struct power_node *dir = find_parent(d, path, name, &e);
    struct power_node *n = dir ? power_entries_get(&dir->now, name) : NULL;
    if (!dir)
        return e;
    if (!n)
        return -ENOENT;
    if (n->dir != want_dir)
        return want_dir ? -ENOTDIR : -EISDIR;
    if (n->dir && n->now.n)
        return -ENOTEMPTY;
    change(d, dir, name, NULL, NULL);
    return 0;
}

static int power_unlink(void *ctx, const char *path)
{
    bool last;
    int e = remove_entry(ctx, path, false, &last);
    return (int)leave(ctx, last, e, "unlink %s", path);
}

static int power_rmdir(void *ctx, const char *path)
{
    bool last;
    int e = remove_entry(ctx, path, true, &last);
    return (int)leave(ctx, last, e, "rmdir %s", path);
}

static int power_mkdir(void *ctx, const char *path, mode_t mode)
{
    struct power_disk *d = ctx;
    bool last;
    char name[256];
    int e = enter(d, TAKES_ROOM, &last);
    (void)mode;
    struct power_node *dir = e ? NULL : find_parent(d, path, name, &e);
    if (dir && (!name[0] || power_entries_get(&dir->now, name)))
        e = -EEXIST;
    else if (dir)
        change(d, dir, NULL, name, node_new(d, true));
    return (int)leave(d, last, e, "mkdir %s", path);
}

static int power_list(void *ctx, const char *path, int (*each)(void *arg, const char *name), void *arg)
{
    struct power_disk *d = ctx;
    bool last;
    int e = enter(d, READS, &last);
    struct power_node *n = e ? NULL : find_node(d, path, &e);
    if (n && !n->dir)
        e = -ENOTDIR;
    size_t count = e ? 0 : n->now.n;
    char **names = tsm_calloc(count + 1, sizeof *names);
    for (size_t i = 0; i < count; i++)
        names[i] = tsm_strdup(n->now.items[i].name);
    leave(d, last, e, "list %s", path);
    for (size_t i = 0; i < count; i++) {
        if (!e)
            e = each(arg, names[i]);
        tsm_free(names[i]);
    }
    tsm_free(names);
    return e;
}

static int power_mmap(void *ctx, int fd, size_t size, const uint8_t **p)
{
    struct power_disk *d = ctx;
    bool last;
    int e = enter(d, READS, &last);
    struct power_handle *h = find_handle(d, fd);
    if (!e && (!h || size > h->node->size))
        e = h ? -EINVAL : -EBADF; /* reading behind the end would be SIGBUS */
    if (!e) {
        uint8_t *copy = tsm_realloc_array(NULL, size, 1);
        memcpy(copy, h->node->data, size);
        *p = copy;
    }
    return (int)leave(d, last, e, "mmap %s", h ? h->path : "");
}

static int power_munmap(void *ctx, const uint8_t *p, size_t size)
{
    (void)ctx;
    (void)size;
    tsm_free((void *)(uintptr_t)p);
    return 0;
}

static int power_lock(void *ctx, int fd, bool wait)
{
    struct power_disk *d = ctx;
    bool last;
    int e = enter(d, READS, &last);
    struct power_handle *h = find_handle(d, fd);
    if (!e && !h)
        e = -EBADF;
    while (!e && h->node->locked_by && h->node->locked_by != h) {
        if (!wait)
            e = -EAGAIN;
        else
            pthread_cond_wait(&d->unlocked, &d->mutex);
        if (d->off)
            e = -EIO;
    }
    if (!e)
        h->node->locked_by = h;
    return (int)leave(d, last, e, "lock %s", h ? h->path : "");
}

static int power_unlock(void *ctx, int fd)
{
    struct power_disk *d = ctx;
    pthread_mutex_lock(&d->mutex);
    struct power_handle *h = find_handle(d, fd);
    if (h)
        unlock_handle(d, h);
    pthread_mutex_unlock(&d->mutex);
    return h ? 0 : -EBADF;
}

static int power_space(void *ctx, const char *path, uint64_t *free_bytes, uint64_t *total_bytes)
{
    struct power_disk *d = ctx;
    bool last;
    int e = enter(d, READS, &last);
    if (!e && find_node(d, path, &e)) {
        uint64_t used = power_used(d->root);
        *total_bytes = d->limit ? d->limit : (uint64_t)1 << 40;
        *free_bytes = used < *total_bytes ? *total_bytes - used : 0;
    }
    return (int)leave(d, last, e, "space %s", path);
}

/* ---- the disk ---- */

struct power_disk *power_disk_new(void)
{
    struct power_disk *d = tsm_calloc(1, sizeof *d);
    pthread_mutex_init(&d->mutex, NULL);
    pthread_cond_init(&d->unlocked, NULL);
    d->now = 1577836800000000000;
    d->root = node_new(d, true);
    power_node_ref(d->root);
    d->fs = (struct tsm_fs){
        .ctx = d,
        .open = power_open,
        .close = power_close,
        .pread = power_pread,
        .write = power_write,
        .fsync = power_fsync,
        .ftruncate = power_ftruncate,
        .fstat = power_fstat,
        .stat = power_stat,
        .rename = power_rename,
        .unlink = power_unlink,
        .rmdir = power_rmdir,
        .mkdir = power_mkdir,
        .list = power_list,
        .mmap = power_mmap,
        .munmap = power_munmap,
        .lock = power_lock,
        .unlock = power_unlock,
        .space = power_space,
    };
    return d;
}

void power_disk_free(struct power_disk *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->nhandles; i++)
        if (d->handles[i])
            power_handle_free(d, d->handles[i]);
    tsm_free(d->handles);
    power_node_unref(d->root);
    pthread_mutex_destroy(&d->mutex);
    pthread_cond_destroy(&d->unlocked);
    tsm_free(d);
}

const struct tsm_fs *power_disk_fs(const struct power_disk *d)
{
    return &d->fs;
}
