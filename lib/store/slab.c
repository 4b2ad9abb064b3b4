/* store/slab.c: memory in size classes. Pieces up to 4 KiB are cut from pages, larger ones are pages. */
#include "store/slab.h"

#include "base/alloc.h"
#include "base/banned.h"

enum {
    FIRST_PAGE = 64 << 10,
    LARGEST_PAGE = 1 << 20,
    LARGEST_CUT_CLASS = 6, /* 4 KiB */
};

struct tsm_slab_page {
    struct tsm_slab_page *next;
    size_t size;
};

struct tsm_slab_kept_piece {
    void *p;
    unsigned class;
};

/* What a piece that is free holds. */
struct tsm_slab_piece {
    struct tsm_slab_piece *next;
};

unsigned tsm_slab_class(size_t size)
{
    unsigned class = 0;
    while (((size_t)TSM_SLAB_MIN << class) < size)
        class ++;
    return class;
}

/* A page with room for size bytes behind its header; returns where they start. */
static uint8_t *new_page(struct tsm_slab *s, size_t size)
{
    size_t total = size + sizeof(struct tsm_slab_page) + TSM_SLAB_MIN;
    struct tsm_slab_page *page = tsm_alloc(total);
    page->next = s->pages;
    page->size = size;
    s->pages = page;
    s->bytes += total;
    uintptr_t start = (uintptr_t)(page + 1);
    return (uint8_t *)(page + 1) + (-start & (TSM_SLAB_MIN - 1));
}

static void make_free(struct tsm_slab *s, void *p, unsigned class)
{
    struct tsm_slab_piece *piece = p;
    piece->next = s->free[class];
    s->free[class] = piece;
}

void *tsm_slab_alloc(struct tsm_slab *s, unsigned class)
{
    struct tsm_slab_piece *piece = s->free[class];
    if (piece) {
        s->free[class] = piece->next;
        return piece;
    }
    size_t size = (size_t)TSM_SLAB_MIN << class;
    if (class > LARGEST_CUT_CLASS)
        return new_page(s, size);
    if ((size_t)(s->end - s->next) < size) {
        while (s->next < s->end) { /* the rest of the old page, as its largest pieces */
            unsigned c = LARGEST_CUT_CLASS;
            while (((size_t)TSM_SLAB_MIN << c) > (size_t)(s->end - s->next))
                c--;
            make_free(s, s->next, c);
            s->next += (size_t)TSM_SLAB_MIN << c;
        }
        size_t page = s->bytes < FIRST_PAGE ? FIRST_PAGE : s->bytes > LARGEST_PAGE ? LARGEST_PAGE : s->bytes;
        page &= ~(size_t)(TSM_SLAB_MIN - 1);
        s->next = new_page(s, page);
        s->end = s->next + page;
    }
    void *p = s->next;
    s->next += size;
    return p;
}

void tsm_slab_free(struct tsm_slab *s, void *p, unsigned class)
{
    struct tsm_slab_kept *kept = &s->kept[s->epoch];
    if (__builtin_expect(!tsm_slab_is_held(s), 1)) {
        make_free(s, p, class);
        return;
    }
    size_t before = kept->cap;
    TSM_GROW(kept->items, kept->n + 1, kept->cap);
    s->bytes += (kept->cap - before) * sizeof *kept->items;
    kept->items[kept->n++] = (struct tsm_slab_kept_piece){p, class};
}

static void free_kept(struct tsm_slab *s, struct tsm_slab_kept *kept)
{
    for (size_t i = 0; i < kept->n; i++)
        make_free(s, kept->items[i].p, kept->items[i].class);
    kept->n = 0;
}

unsigned tsm_slab_hold(struct tsm_slab *s)
{
    s->kept[s->epoch].holders++;
    return s->epoch;
}

void tsm_slab_unhold(struct tsm_slab *s, unsigned epoch)
{
    s->kept[epoch].holders--;
    unsigned other = 1 - s->epoch;
    if (s->kept[other].holders)
        return;
    free_kept(s, &s->kept[other]);
    if (!s->kept[s->epoch].holders)
        free_kept(s, &s->kept[s->epoch]);
    s->epoch = other;
}

void tsm_slab_release(struct tsm_slab *s)
{
    struct tsm_slab_page *page = s->pages;
    while (page) {
        struct tsm_slab_page *next = page->next;
        tsm_free(page);
        page = next;
    }
    tsm_free(s->kept[0].items);
    tsm_free(s->kept[1].items);
    *s = (struct tsm_slab){0};
}
