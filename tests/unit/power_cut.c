/*
 * tests/unit/power_cut.c: a disk in memory that can lose its power: what survives a cut, planning cuts and failures, and
 * looking at the disk.
 *
 * What is lost is chosen in several styles, as pure chance per sector would nearly always lose something and hardly ever
 * everything: nothing, all, a beginning, an end, or some with a chance that is itself random.
 */
#include "power_fs_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

uint64_t power_random(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    uint64_t x = *state;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

uint64_t power_below(uint64_t *state, uint64_t n)
{
    return power_random(state) % n;
}

/* Chooses of n things, one after the other, which survive. */
struct chooser {
    enum { ALL, NONE, BEGINNING, END, SOME } style;
    size_t at, border;
    uint64_t chance; /* of 100 */
    uint64_t *random;
};

static struct chooser chooser_new(uint64_t *random, size_t n)
{
    static const uint8_t styles[] = {ALL, NONE, BEGINNING, BEGINNING, END, SOME, SOME, SOME};
    return (struct chooser){
        .style = styles[power_below(random, sizeof styles)],
        .border = power_below(random, n + 1),
        .chance = power_below(random, 101),
        .random = random,
    };
}

static bool survives(struct chooser *c)
{
    size_t i = c->at++;
    switch (c->style) {
    case ALL:
        return true;
    case NONE:
        return false;
    case BEGINNING:
        return i < c->border;
    case END:
        return i >= c->border;
    default:
        return power_below(c->random, 100) < c->chance;
    }
}

static size_t choose_size(const struct power_node *n, uint64_t *random)
{
    size_t least = n->size_min < n->stable_size ? n->size_min : n->stable_size;
    size_t most = n->size_max > n->stable_size ? n->size_max : n->stable_size;
    switch (power_below(random, 4)) {
    case 0:
        return n->stable_size;
    case 1:
    case 2:
        return n->size;
    default:
        return least + power_below(random, most - least + 1);
    }
}

static void cut_file(struct power_node *n, uint64_t *random)
{
    size_t size = choose_size(n, random), ndirty = 0;
    uint8_t *after = tsm_calloc(size + 1, 1);
    for (size_t i = 0; i < n->capdirty; i++)
        ndirty += n->dirty[i];
    struct chooser c = chooser_new(random, ndirty);
    bool tearing = power_below(random, 3) == 0;
    for (size_t from = 0; from < size; from += POWER_SECTOR) {
        size_t sector = from / POWER_SECTOR, len = size - from < POWER_SECTOR ? size - from : POWER_SECTOR;
        uint8_t fresh[POWER_SECTOR] = {0}, old[POWER_SECTOR] = {0};
        if (from < n->size)
            memcpy(fresh, n->data + from, n->size - from < len ? n->size - from : len);
        if (from < n->stable_size)
            memcpy(old, n->stable + from, n->stable_size - from < len ? n->stable_size - from : len);
        bool dirty = sector < n->capdirty && n->dirty[sector];
        memcpy(after + from, dirty && survives(&c) ? fresh : old, len);
        bool torn = dirty && (tearing || c.at == c.border + 1) && power_below(random, 2);
        if (torn) {
            size_t border = power_below(random, len + 1);
            bool first = power_below(random, 2);
            memcpy(after + from, first ? fresh : old, border);
            memcpy(after + from + border, (first ? old : fresh) + border, len - border);
        }
    }
    tsm_free(n->data);
    n->data = after;
    n->cap = size + 1;
    n->size = n->size_min = n->size_max = size;
    for (size_t i = 0; i < n->capdirty; i++)
        n->dirty[i] = 1; /* so that all of it becomes the durable state */
    power_node_sync(n);
}

/* From n down: what survived is what there is. */
static void cut_node(struct power_node *n, uint64_t *random)
{
    n->locked_by = NULL;
    if (!n->dir) {
        cut_file(n, random);
        return;
    }
    struct chooser c = chooser_new(random, n->nchanges);
    for (size_t i = 0; i < n->nchanges; i++)
        if (survives(&c))
            power_change_apply(&n->durable, &n->changes[i]);
    power_changes_clear(n, 0);
    power_entries_clear(&n->now);
    for (size_t i = 0; i < n->durable.n; i++) {
        power_entries_set(&n->now, n->durable.items[i].name, n->durable.items[i].node);
        cut_node(n->durable.items[i].node, random);
    }
}

/* No process is left. Called with the mutex held. */
static void end_processes(struct power_disk *d, const char *how)
{
    for (size_t i = 0; i < d->nhandles; i++) {
        if (d->handles[i])
            power_handle_free(d, d->handles[i]);
        d->handles[i] = NULL;
    }
    d->off = false;
    d->cut_at = 0;
    snprintf(d->trace[d->traced++ % POWER_TRACE], POWER_TRACE_LINE, "---- %s ----", how);
}

void power_disk_cut(struct power_disk *d, uint64_t seed)
{
    pthread_mutex_lock(&d->mutex);
    end_processes(d, "cut");
    cut_node(d->root, &seed);
    pthread_mutex_unlock(&d->mutex);
}

void power_disk_kill(struct power_disk *d)
{
    pthread_mutex_lock(&d->mutex);
    end_processes(d, "kill");
    pthread_mutex_unlock(&d->mutex);
}

/* ---- planning and asking ---- */

static long read_counter(const struct power_disk *d, const long *counter)
{
    pthread_mutex_t *mutex = (pthread_mutex_t *)(uintptr_t)&d->mutex;
    pthread_mutex_lock(mutex);
    long n = *counter;
    pthread_mutex_unlock(mutex);
    return n;
}

static bool read_flag(const struct power_disk *d, const bool *flag)
{
    pthread_mutex_t *mutex = (pthread_mutex_t *)(uintptr_t)&d->mutex;
    pthread_mutex_lock(mutex);
    bool set = *flag;
    pthread_mutex_unlock(mutex);
    return set;
}

long power_disk_changes(const struct power_disk *d)
{
    return read_counter(d, &d->changes);
}

long power_disk_calls(const struct power_disk *d)
{
    return read_counter(d, &d->calls);
}

bool power_disk_is_off(const struct power_disk *d)
{
    return read_flag(d, &d->off);
}

bool power_disk_has_failed(const struct power_disk *d)
{
    return read_flag(d, &d->failed);
}

void power_disk_plan_cut(struct power_disk *d, long change)
{
    pthread_mutex_lock(&d->mutex);
    d->cut_at = change ? d->changes + change : 0;
    pthread_mutex_unlock(&d->mutex);
}

void power_disk_plan_failure(struct power_disk *d, long call, int error, bool for_good)
{
    pthread_mutex_lock(&d->mutex);
    d->fail_at = call ? d->calls + call : 0;
    d->fail_error = error;
    d->fail_for_good = for_good;
    d->failed = false;
    pthread_mutex_unlock(&d->mutex);
}

void power_disk_limit(struct power_disk *d, uint64_t bytes)
{
    pthread_mutex_lock(&d->mutex);
    d->limit = bytes;
    pthread_mutex_unlock(&d->mutex);
}

uint64_t power_used(const struct power_node *n)
{
    uint64_t used = n->size;
    for (size_t i = 0; i < n->now.n; i++)
        used += power_used(n->now.items[i].node);
    return used;
}

uint64_t power_disk_used(const struct power_disk *d)
{
    return power_used(d->root);
}

void power_disk_lie(struct power_disk *d)
{
    pthread_mutex_lock(&d->mutex);
    d->lies = true;
    pthread_mutex_unlock(&d->mutex);
}

void power_disk_set_time(struct power_disk *d, int64_t now)
{
    pthread_mutex_lock(&d->mutex);
    d->now = now;
    pthread_mutex_unlock(&d->mutex);
}

int64_t power_disk_time(const struct power_disk *d)
{
    return read_counter(d, (const long *)&d->now);
}

/* ---- looking ---- */

void power_disk_note(struct power_disk *d, const char *text)
{
    pthread_mutex_lock(&d->mutex);
    snprintf(d->trace[d->traced++ % POWER_TRACE], POWER_TRACE_LINE, "%6ld %6d == %.150s", d->changes,
             (int)gettid(), text);
    pthread_mutex_unlock(&d->mutex);
}

void power_disk_print_trace(const struct power_disk *d, FILE *out)
{
    unsigned long first = d->traced > POWER_TRACE ? d->traced - POWER_TRACE : 0;
    for (unsigned long i = first; i < d->traced; i++)
        fprintf(out, "%s\n", d->trace[i % POWER_TRACE]);
}

static void print_node(const struct power_node *n, const char *name, int depth, FILE *out)
{
    if (n->dir)
        fprintf(out, "%*s%s/\n", depth * 2, "", name);
    else
        fprintf(out, "%*s%s %zu\n", depth * 2, "", name, n->size);
    for (size_t i = 0; i < n->now.n; i++)
        print_node(n->now.items[i].node, n->now.items[i].name, depth + 1, out);
}

void power_disk_print_tree(const struct power_disk *d, FILE *out)
{
    print_node(d->root, "", 0, out);
}

static bool export_node(const struct power_node *n, const char *path)
{
    bool ok = true;
    if (n->dir) {
        if (mkdir(path, 0755) != 0 && errno != EEXIST)
            return false;
        for (size_t i = 0; i < n->now.n && ok; i++) {
            struct tsm_buf child = {0};
            tsm_buf_printf(&child, "%s/%s", path, n->now.items[i].name);
            ok = export_node(n->now.items[i].node, tsm_buf_cstr(&child));
            tsm_buf_release(&child);
        }
        return ok;
    }
    FILE *f = fopen(path, "wb");
    if (!f)
        return false;
    ok = n->size == 0 || fwrite(n->data, n->size, 1, f) == 1;
    return fclose(f) == 0 && ok;
}

bool power_disk_export(const struct power_disk *d, const char *dir)
{
    return export_node(d->root, dir);
}
