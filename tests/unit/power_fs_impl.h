/* tests/unit/power_fs_impl.h: the inside of the disk in memory, shared by power_fs.c and power_cut.c alone. */
#ifndef TESTS_POWER_FS_IMPL_H
#define TESTS_POWER_FS_IMPL_H

#include <pthread.h>

#include "power_fs.h"

enum { POWER_SECTOR = 512, POWER_TRACE = 2000, POWER_TRACE_LINE = 200 };

struct power_node;

struct power_entry {
    char *name;
    struct power_node *node;
};

struct power_entries {
    struct power_entry *items; /* in no order */
    size_t n, cap;
};

/* A pending change of a directory. from alone: removed; to alone: made; both: renamed. */
struct power_change {
    char *from, *to;
    struct power_node *node; /* of to */
};

struct power_handle {
    struct power_node *node;
    int flags;
    size_t at;
    char *path; /* as opened */
};

struct power_node {
    int refs;
    bool dir;
    int64_t mtime;
    struct power_handle *locked_by;
    /* a file: as it is cached, and as it is durable */
    uint8_t *data, *stable;
    size_t size, cap, stable_size, capstable;
    size_t size_min, size_max; /* sizes since the last fsync */
    uint8_t *dirty;            /* by sector: written since the last fsync */
    size_t capdirty;
    /* a directory */
    struct power_entries now, durable;
    struct power_change *changes;
    size_t nchanges, capchanges;
};

struct power_disk {
    struct tsm_fs fs;
    pthread_mutex_t mutex;
    pthread_cond_t unlocked; /* a lock was given back, or the power is gone */
    struct power_node *root;
    struct power_handle **handles; /* by descriptor; a number is never used again */
    size_t nhandles, caphandles;
    bool off, lies, failed;
    long calls, changes;
    long cut_at;
    long fail_at;
    int fail_error;
    bool fail_for_good;
    uint64_t limit;
    int64_t now;
    unsigned long traced;
    char trace[POWER_TRACE][POWER_TRACE_LINE];
};

void power_node_ref(struct power_node *n);
void power_node_unref(struct power_node *n);
void power_node_sync(struct power_node *n); /* everything of it becomes durable */
void power_handle_free(struct power_disk *d, struct power_handle *h);
void power_entries_set(struct power_entries *l, const char *name, struct power_node *node);
void power_entries_remove(struct power_entries *l, const char *name);
struct power_node *power_entries_get(const struct power_entries *l, const char *name);
void power_entries_clear(struct power_entries *l);
void power_change_apply(struct power_entries *l, const struct power_change *c);
void power_changes_clear(struct power_node *dir, size_t keep);
uint64_t power_used(const struct power_node *n); /* bytes of all files from n down */

#endif
