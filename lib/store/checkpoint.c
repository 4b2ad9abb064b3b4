/*
 * store/checkpoint.c: remembering how far inputs are durable.
 *
 * What has been written but is not durable yet waits as notes, in the order of their marks. A note that is
 * followed closely by another one of its input is replaced by that: it would only have been a little earlier.
 */
#include "store/checkpoint.h"

#include <inttypes.h>
#include <pthread.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/num.h"
#include "base/banned.h"

#define MAGIC "tsmkit checkpoint 1"

enum {
    FILE_MAX = 256 << 20, /* bytes */
    CLOSE = 4 << 20,      /* bytes of text between two notes */
    COLUMNS = 6,
};

struct input {
    struct tsm_str path;
    struct tsm_checkpoint_place place; /* durable */
    bool begun;
};

struct note {
    uint32_t input;
    uint64_t mark;
    uint64_t from; /* the offset of the first of the notes that it stands for */
    struct tsm_checkpoint_place place;
};

struct tsm_checkpoint {
    const struct tsm_fs *fs;
    char *path;
    struct tsm_buf head; /* the first line */
    struct tsm_arena names;
    struct tsm_map map; /* path to number of input */
    struct input *inputs;
    size_t n, cap;
    struct note *notes; /* [done, nnotes) wait */
    size_t done, nnotes, capnotes;
    bool changed;
    pthread_mutex_t lock; /* inputs are begun by another thread than that which writes */
};

/* ---- text ---- */

static void add_name(struct tsm_buf *out, struct tsm_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        switch (s.p[i]) {
        case '\t':
            tsm_buf_puts(out, "\\t");
            break;
        case '\n':
            tsm_buf_puts(out, "\\n");
            break;
        case '\r':
            tsm_buf_puts(out, "\\r");
            break;
        case '\\':
            tsm_buf_puts(out, "\\\\");
            break;
        default:
            tsm_buf_byte(out, (uint8_t)s.p[i]);
        }
    }
}

static bool read_name(struct tsm_buf *out, struct tsm_str s)
{
    tsm_buf_reset(out);
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '\\') {
            if (++i == s.n)
                return false;
            switch (s.p[i]) {
            case 't':
                c = '\t';
                break;
            case 'n':
                c = '\n';
                break;
            case 'r':
                c = '\r';
                break;
            case '\\':
                break;
            default:
                return false;
            }
        }
        tsm_buf_byte(out, (uint8_t)c);
    }
    return out->len > 0;
}

static bool read_hex(struct tsm_str s, uint64_t *v)
{
    *v = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if ((c < '0' || c > '9') && (c < 'a' || c > 'f'))
            return false;
        *v = *v << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return s.n == 16;
}

static uint32_t add_input(struct tsm_checkpoint *c, struct tsm_str path)
{
    TSM_GROW(c->inputs, c->n + 1, c->cap);
    struct input *in = &c->inputs[c->n];
    *in = (struct input){.path = tsm_arena_str(&c->names, path)};
    tsm_map_put(&c->map, in->path, tsm_hash(in->path), (uint32_t)c->n);
    return (uint32_t)c->n++;
}

static bool parse_line(struct tsm_checkpoint *c, struct tsm_str line, struct tsm_buf *name)
{
    struct tsm_str cells[COLUMNS];
    size_t n = 0;
    for (const char *p = line.p, *end = line.p + line.n; n < COLUMNS; n++) {
        const char *tab = memchr(p, '\t', (size_t)(end - p));
        cells[n] = tsm_str(p, (size_t)((tab ? tab : end) - p));
        if (!tab != (n == COLUMNS - 1))
            return false;
        p = tab ? tab + 1 : end;
    }
    struct tsm_checkpoint_place at;
    if (!tsm_parse_uint(cells[0], &at.offset) || !tsm_parse_uint(cells[1], &at.open) ||
        !tsm_parse_uint(cells[2], &at.lines) || !tsm_parse_uint(cells[3], &at.size) ||
        !read_hex(cells[4], &at.digest) || !read_name(name, cells[5]))
        return false;
    if (at.offset + at.open < at.offset || at.lines > at.offset)
        return false;
    struct tsm_str path = tsm_buf_view(name);
    if (tsm_map_get(&c->map, path, tsm_hash(path)) != TSM_MAP_NONE)
        return false;
    uint32_t input = add_input(c, path);
    c->inputs[input].place = at;
    return true;
}

static int parse(struct tsm_checkpoint *c, struct tsm_str text, struct tsm_err *err)
{
    struct tsm_buf name = {0};
    int rc = TSM_OK;
    uint64_t line = 1;
    if (!tsm_str_starts(text, TSM_STR(MAGIC "\t")))
        return tsm_err_set(err, TSM_EPARSE, "%s: not a checkpoint", c->path);
    if (!tsm_str_starts(text, tsm_buf_view(&c->head)))
        return tsm_err_set(err, TSM_EUSAGE, "%s is the checkpoint of another directory, database or policy",
                           c->path);
    const char *p = text.p + c->head.len, *end = text.p + text.n;
    while (rc == TSM_OK && p < end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        line++;
        if (!newline || !parse_line(c, tsm_str(p, (size_t)(newline - p)), &name))
            rc = tsm_err_set(err, TSM_EPARSE, "%s:%" PRIu64 ": not a line of a checkpoint", c->path, line);
        else
            p = newline + 1;
    }
    tsm_buf_release(&name);
    return rc;
}

int tsm_checkpoint_open(const struct tsm_fs *fs, const char *path, const struct tsm_checkpoint_target *target,
                        struct tsm_checkpoint **out, struct tsm_err *err)
{
    struct tsm_checkpoint *c = tsm_calloc(1, sizeof *c);
    struct tsm_buf text = {0};
    *out = NULL;
    c->fs = fs;
    c->path = tsm_strdup(path);
    pthread_mutex_init(&c->lock, NULL);
    tsm_buf_puts(&c->head, MAGIC "\t");
    add_name(&c->head, target->dir);
    tsm_buf_byte(&c->head, '\t');
    add_name(&c->head, target->database);
    tsm_buf_byte(&c->head, '\t');
    add_name(&c->head, target->rp);
    tsm_buf_byte(&c->head, '\n');
    int rc = tsm_fs_read_file(fs, path, FILE_MAX, &text, err);
    if (rc == TSM_OK)
        rc = parse(c, tsm_buf_view(&text), err);
    else if (rc == TSM_ENOTFOUND)
        rc = TSM_OK;
    tsm_buf_release(&text);
    if (rc != TSM_OK)
        tsm_checkpoint_free(c);
    else
        *out = c;
    return rc;
}

void tsm_checkpoint_free(struct tsm_checkpoint *c)
{
    if (!c)
        return;
    pthread_mutex_destroy(&c->lock);
    tsm_map_release(&c->map);
    tsm_arena_release(&c->names);
    tsm_buf_release(&c->head);
    tsm_free(c->inputs);
    tsm_free(c->notes);
    tsm_free(c->path);
    tsm_free(c);
}

bool tsm_checkpoint_empty(const struct tsm_checkpoint *c)
{
    return c->n == 0;
}

void tsm_checkpoint_clear(struct tsm_checkpoint *c)
{
    tsm_map_release(&c->map);
    c->changed |= c->n > 0;
    c->n = 0;
}

/* ---- going on ---- */

bool tsm_checkpoint_begin(struct tsm_checkpoint *c, struct tsm_str path, struct tsm_checkpoint_place *place)
{
    pthread_mutex_lock(&c->lock);
    uint32_t i = tsm_map_get(&c->map, path, tsm_hash(path));
    if (i == TSM_MAP_NONE)
        i = add_input(c, path);
    bool first = !c->inputs[i].begun;
    c->inputs[i].begun = true;
    *place = c->inputs[i].place;
    pthread_mutex_unlock(&c->lock);
    return first;
}

void tsm_checkpoint_note(struct tsm_checkpoint *c, struct tsm_str path,
                         const struct tsm_checkpoint_place *place, uint64_t mark)
{
    pthread_mutex_lock(&c->lock);
    uint32_t input = tsm_map_get(&c->map, path, tsm_hash(path));
    struct note *last = c->nnotes > c->done ? &c->notes[c->nnotes - 1] : NULL;
    if (last && last->input == input && place->offset >= last->from && place->offset - last->from < CLOSE) {
        last->place = *place;
        last->mark = mark;
    } else {
        TSM_GROW(c->notes, c->nnotes + 1, c->capnotes);
        c->notes[c->nnotes++] = (struct note){input, mark, place->offset, *place};
    }
    pthread_mutex_unlock(&c->lock);
}

bool tsm_checkpoint_advance(struct tsm_checkpoint *c, uint64_t durable)
{
    pthread_mutex_lock(&c->lock);
    while (c->done < c->nnotes && c->notes[c->done].mark <= durable) {
        const struct note *note = &c->notes[c->done++];
        c->inputs[note->input].place = note->place;
        c->changed = true;
    }
    if (c->done > c->nnotes / 2) {
        c->nnotes -= c->done;
        memmove(c->notes, c->notes + c->done, c->nnotes * sizeof *c->notes);
        c->done = 0;
    }
    bool changed = c->changed;
    pthread_mutex_unlock(&c->lock);
    return changed;
}

int tsm_checkpoint_save(struct tsm_checkpoint *c, struct tsm_err *err)
{
    struct tsm_buf text = {0};
    pthread_mutex_lock(&c->lock);
    tsm_buf_str(&text, tsm_buf_view(&c->head));
    for (size_t i = 0; i < c->n; i++) {
        const struct tsm_checkpoint_place *at = &c->inputs[i].place;
        if (at->offset + at->open == 0)
            continue;
        tsm_buf_printf(&text, "%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%016" PRIx64 "\t",
                       at->offset, at->open, at->lines, at->size, at->digest);
        add_name(&text, c->inputs[i].path);
        tsm_buf_byte(&text, '\n');
    }
    c->changed = false;
    pthread_mutex_unlock(&c->lock);
    int rc = tsm_fs_write_file(c->fs, c->path, tsm_buf_view(&text), err);
    tsm_buf_release(&text);
    if (rc != TSM_OK) {
        pthread_mutex_lock(&c->lock);
        c->changed = true;
        pthread_mutex_unlock(&c->lock);
    }
    return rc;
}
