/*
 * tests/bench/series_index.c: what an index of series in memory costs as a hash table (store/series_index.h) and as a B-tree,
 * behind one interface: bytes per series, nanoseconds to insert, to look up one that is there and one that is not, and
 * to visit in order all series of one host (a prefix scan), for any number of series.
 *
 *   series_index [NUMBER]...      default: 10000 1000000
 *
 * Keys look like those of a real system: measurement, region, host, device; they come in random order, as a table that
 * is filled in order would flatter the tree.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/map.h"
#include "base/num.h"
#include "store/series_index.h"

/* ---- the interface ---- */

struct kind {
    const char *name;
    void *(*new)(void);
    void (*free)(void *x);
    void (*insert)(void *x, struct tsm_series_name *entry, uint64_t hash);
    const struct tsm_series_name *(*find)(const void *x, struct tsm_str name, uint64_t hash);
    /* Calls each for every entry that begins with prefix, ascending. */
    void (*scan)(const void *x, struct tsm_str prefix,
                 void (*each)(void *ctx, const struct tsm_series_name *e), void *ctx);
    size_t (*bytes)(const void *x);
};

static struct tsm_str text(const struct tsm_series_name *e)
{
    return tsm_str(e->p, e->n);
}

/* ---- the hash table ---- */

static void *hash_new(void)
{
    struct tsm_series_index *x = tsm_calloc(1, sizeof *x);
    tsm_series_index_init(x);
    return x;
}

static void hash_free(void *x)
{
    tsm_series_index_release(x);
    tsm_free(x);
}

static void hash_insert(void *x, struct tsm_series_name *entry, uint64_t hash)
{
    tsm_series_index_insert(x, entry, hash);
}

static const struct tsm_series_name *hash_find(const void *x, struct tsm_str name, uint64_t hash)
{
    return tsm_series_index_find(x, name, hash);
}

static int compare_entries(const void *a, const void *b)
{
    return tsm_str_cmp(text(*(const struct tsm_series_name *const *)a),
                       text(*(const struct tsm_series_name *const *)b));
}

/* A hash table has no order: everything is looked at, and what matches is sorted. */
static void hash_scan(const void *index, struct tsm_str prefix,
                      void (*each)(void *, const struct tsm_series_name *), void *ctx)
{
    const struct tsm_series_index *x = index;
    const struct tsm_series_name **found = NULL;
    size_t n = 0, cap = 0;
    for (size_t i = 0; i <= x->mask; i++) {
        if (!x->slots[i].entry || !tsm_str_starts(text(x->slots[i].entry), prefix))
            continue;
        TSM_GROW(found, n + 1, cap);
        found[n++] = x->slots[i].entry;
    }
    if (n)
        qsort(found, n, sizeof *found, compare_entries);
    for (size_t i = 0; i < n; i++)
        each(ctx, found[i]);
    tsm_free(found);
}

static size_t hash_bytes(const void *x)
{
    return tsm_series_index_bytes(x);
}

/* ---- the B-tree ---- */

/*
 * Every node but the root is at least half full. A node remembers how many bytes all its keys begin with alike, and of each key the
 * eight that follow, as a number: most comparisons inside a node touch no key.
 */
enum { ORDER = 64 };

struct node {
    uint16_t n;
    bool leaf;
    uint32_t common;
    uint64_t head[ORDER];
    struct tsm_series_name *entry[ORDER];
    struct node *child[]; /* ORDER + 1, unless it is a leaf */
};

struct btree {
    struct node *root;
    size_t bytes;
};

static struct node *node_new(struct btree *t, bool leaf)
{
    size_t size = sizeof(struct node) + (leaf ? 0 : (ORDER + 1) * sizeof(struct node *));
    struct node *n = tsm_alloc(size);
    n->n = 0;
    n->leaf = leaf;
    n->common = 0;
    t->bytes += size;
    return n;
}

static uint64_t head_of(const struct tsm_series_name *e, uint32_t skip)
{
    uint64_t head = 0;
    size_t n = e->n > skip ? e->n - skip : 0;
    if (n > 8)
        n = 8;
    memcpy(&head, e->p + skip, n);
    return __builtin_bswap64(head);
}

static uint32_t common_of(const struct tsm_series_name *a, const struct tsm_series_name *b)
{
    uint32_t n = a->n < b->n ? a->n : b->n, i = 0;
    while (i < n && a->p[i] == b->p[i])
        i++;
    return i;
}

/* The keys of a node are in order, so the first and the last have in common what all have. */
static void set_heads(struct node *n)
{
    n->common = n->n ? common_of(n->entry[0], n->entry[n->n - 1]) : 0;
    for (unsigned i = 0; i < n->n; i++)
        n->head[i] = head_of(n->entry[i], n->common);
}

/* The first key that is not less than name. */
static unsigned seek(const struct node *n, const struct tsm_series_name *name, bool *equal)
{
    unsigned from = 0, to = n->n;
    *equal = false;
    if (n->n == 0)
        return 0;
    uint32_t same = common_of(name, n->entry[0]);
    if (same < n->common) { /* before all of them or behind */
        bool less = same == name->n || (unsigned char)name->p[same] < (unsigned char)n->entry[0]->p[same];
        return less ? 0 : n->n;
    }
    uint64_t head = head_of(name, n->common);
    while (from < to) {
        unsigned middle = from + (to - from) / 2;
        int c = head < n->head[middle]   ? -1
                : head > n->head[middle] ? 1
                                         : tsm_str_cmp(text(name), text(n->entry[middle]));
        if (c == 0) {
            *equal = true;
            return middle;
        }
        if (c > 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

static void put(struct node *n, unsigned at, struct tsm_series_name *e, struct node *right)
{
    memmove(n->entry + at + 1, n->entry + at, (n->n - at) * sizeof *n->entry);
    memmove(n->head + at + 1, n->head + at, (n->n - at) * sizeof *n->head);
    n->entry[at] = e;
    if (!n->leaf) {
        memmove(n->child + at + 2, n->child + at + 1, (n->n - at) * sizeof *n->child);
        n->child[at + 1] = right;
    }
    n->n++;
    uint32_t common = n->n > 1 ? common_of(n->entry[0], n->entry[n->n - 1]) : e->n;
    if (common != n->common)
        set_heads(n);
    else
        n->head[at] = head_of(e, common);
}

/* Splits the full child `at` of n. */
static void split(struct btree *t, struct node *n, unsigned at)
{
    struct node *left = n->child[at], *right = node_new(t, left->leaf);
    unsigned middle = left->n / 2;
    right->n = (uint16_t)(left->n - middle - 1);
    memcpy(right->entry, left->entry + middle + 1, right->n * sizeof *right->entry);
    if (!left->leaf)
        memcpy(right->child, left->child + middle + 1, (right->n + 1u) * sizeof *right->child);
    struct tsm_series_name *up = left->entry[middle];
    left->n = (uint16_t)middle;
    set_heads(left);
    set_heads(right);
    put(n, at, up, right);
}

static void *btree_new(void)
{
    struct btree *t = tsm_calloc(1, sizeof *t);
    t->root = node_new(t, true);
    return t;
}

static void btree_insert(void *x, struct tsm_series_name *e, uint64_t hash)
{
    struct btree *t = x;
    (void)hash;
    if (t->root->n == ORDER) {
        struct node *root = node_new(t, false);
        root->child[0] = t->root;
        t->root = root;
        split(t, root, 0);
    }
    struct node *n = t->root;
    bool equal;
    while (!n->leaf) {
        unsigned at = seek(n, e, &equal);
        if (n->child[at]->n == ORDER) {
            split(t, n, at);
            at = seek(n, e, &equal);
        }
        n = n->child[at];
    }
    put(n, seek(n, e, &equal), e, NULL);
}

static const struct tsm_series_name *btree_find(const void *x, struct tsm_str name, uint64_t hash)
{
    const struct btree *t = x;
    struct tsm_series_name e = {name.p, (uint32_t)name.n};
    (void)hash;
    for (const struct node *n = t->root;;) {
        bool equal;
        unsigned at = seek(n, &e, &equal);
        if (equal)
            return n->entry[at];
        if (n->leaf)
            return NULL;
        n = n->child[at];
    }
}

/* False when the end of the prefix was passed. */
static bool scan_node(const struct node *n, const struct tsm_series_name *from, struct tsm_str prefix,
                      void (*each)(void *, const struct tsm_series_name *), void *ctx)
{
    bool equal;
    for (unsigned i = seek(n, from, &equal); i <= n->n; i++) {
        if (!n->leaf && !scan_node(n->child[i], from, prefix, each, ctx))
            return false;
        if (i == n->n)
            break;
        if (!tsm_str_starts(text(n->entry[i]), prefix))
            return false;
        each(ctx, n->entry[i]);
    }
    return true;
}

static void btree_scan(const void *x, struct tsm_str prefix,
                       void (*each)(void *, const struct tsm_series_name *), void *ctx)
{
    struct tsm_series_name from = {prefix.p, (uint32_t)prefix.n};
    scan_node(((const struct btree *)x)->root, &from, prefix, each, ctx);
}

static size_t btree_bytes(const void *x)
{
    return ((const struct btree *)x)->bytes;
}

static void free_node(struct node *n)
{
    for (unsigned i = 0; !n->leaf && i <= n->n; i++)
        free_node(n->child[i]);
    tsm_free(n);
}

static void btree_free(void *x)
{
    free_node(((struct btree *)x)->root);
    tsm_free(x);
}

static const struct kind kinds[] = {
    {"hash", hash_new, hash_free, hash_insert, hash_find, hash_scan, hash_bytes},
    {"B-tree", btree_new, btree_free, btree_insert, btree_find, btree_scan, btree_bytes},
};

/* ---- measuring ---- */

enum { LOOKUPS = 1000000, SCANS = 20, PER_HOST = 50 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint64_t state = 88172645463325252u;

static uint64_t random_bits(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static struct tsm_str make_key(char *p, size_t size, size_t i)
{
    int n = snprintf(p, size, "cpu,datacenter=eu-west-%zu,host=server-%06zu,device=%zu", i / PER_HOST % 3,
                     i / PER_HOST, i % PER_HOST);
    return tsm_str(p, (size_t)n);
}

struct seen {
    const struct tsm_series_name *last;
    size_t n;
};

static void see(void *ctx, const struct tsm_series_name *e)
{
    struct seen *s = ctx;
    if (s->last && tsm_str_cmp(text(s->last), text(e)) >= 0) {
        fprintf(stderr, "series_index: a scan out of order\n");
        exit(1);
    }
    s->last = e;
    s->n++;
}

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "series_index: %s\n", what);
    exit(1);
}

static void measure(const struct kind *k, struct tsm_series_name *entries, size_t n)
{
    char buf[128];
    void *x = k->new ();
    /* The hash is a part of the work: ingest has it anyway, but a tree would not need it. */
    double start = now();
    for (size_t i = 0; i < n; i++)
        k->insert(x, &entries[i], tsm_hash(text(&entries[i])));
    double insert = (now() - start) / (double)n;
    state = 7;
    start = now();
    for (size_t i = 0; i < LOOKUPS; i++) {
        struct tsm_str name = text(&entries[random_bits() % n]);
        check(k->find(x, name, tsm_hash(name)) != NULL, "a series is not found");
    }
    double hit = (now() - start) / LOOKUPS;
    start = now();
    for (size_t i = 0; i < LOOKUPS; i++) {
        struct tsm_str name = text(&entries[random_bits() % n]);
        name.n--; /* of a device with one digit less, or none: most of them do not exist */
        k->find(x, name, tsm_hash(name));
    }
    double miss = (now() - start) / LOOKUPS;
    start = now();
    struct seen seen = {0};
    for (size_t i = 0; i < SCANS; i++) {
        struct tsm_str key = make_key(buf, sizeof buf, random_bits() % n);
        const char *device = memmem(key.p, key.n, ",device=", 8);
        seen.last = NULL;
        k->scan(x, tsm_str(key.p, (size_t)(device - key.p)), see, &seen);
    }
    double scan = (now() - start) / SCANS;
    check(seen.n == SCANS * PER_HOST, "a scan has missed something");
    printf("| %zu | %s | %.1f | %.0f | %.0f | %.0f | %.3f |\n", n, k->name, (double)k->bytes(x) / (double)n,
           insert, hit, miss, scan / 1e6);
    fflush(stdout);
    k->free(x);
}

static void run(size_t n)
{
    struct tsm_arena arena = {0};
    struct tsm_series_name *entries = tsm_realloc_array(NULL, n, sizeof *entries);
    char buf[128];
    for (size_t i = 0; i < n; i++) {
        struct tsm_str key = tsm_arena_str(&arena, make_key(buf, sizeof buf, i));
        entries[i] = (struct tsm_series_name){key.p, (uint32_t)key.n};
    }
    for (size_t i = n; i > 1; i--) {
        size_t k = random_bits() % i;
        struct tsm_series_name e = entries[i - 1];
        entries[i - 1] = entries[k];
        entries[k] = e;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        measure(&kinds[i], entries, n);
    tsm_free(entries);
    tsm_arena_release(&arena);
}

int main(int argc, char **argv)
{
    printf("| series | index | bytes/series | insert ns | find ns | miss ns | prefix scan ms "
           "|\n|---|---|---|---|---|---|---|\n");
    if (argc < 2) {
        run(10000);
        run(1000000);
    }
    for (int i = 1; i < argc; i++) {
        uint64_t n;
        if (!tsm_parse_uint(tsm_str_of(argv[i]), &n) || n < PER_HOST || n % PER_HOST) {
            fprintf(stderr, "series_index: '%s' is not a multiple of %d\n", argv[i], PER_HOST);
            return 2;
        }
        run(n);
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
