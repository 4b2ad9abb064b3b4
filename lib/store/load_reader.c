/* store/load_reader.c: the input files of a load, cut into pieces of whole lines. One thread at a time. */
#include "store/load_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/time.h"
#include "base/banned.h"

enum {
    LONGEST_LINE = 32 << 20,
    WAIT_MS = 100,    /* of a silent pipe, after which an empty piece is handed out */
    SILENCE_MS = 10,  /* of a pipe, after which what has come is taken */
    PATIENCE_MS = 50, /* with a pipe that is never silent so long, but slow */
};

static bool is_stdin(const char *path)
{
    return strcmp(path, "-") == 0;
}

/* Before anything is written: a name that was mistyped should not leave half of the work done. */
static int check_paths(struct tsm_load_reader *r, struct tsm_err *err)
{
    bool sizes = r->opt->npaths > 0;
    for (size_t i = 0; i < r->opt->npaths; i++) {
        const char *path = r->opt->paths[i];
        struct tsm_fs_stat st;
        if (is_stdin(path)) {
            sizes = false;
            continue;
        }
        int rc = r->fs->stat(r->fs->ctx, path, &st);
        if (rc == 0 && st.is_dir)
            rc = -EISDIR;
        if (rc == 0 && access(path, R_OK) != 0)
            rc = -errno;
        if (rc < 0)
            return tsm_err_sys(err, -rc, "open %s", path);
        sizes &= st.size > 0; /* a pipe has none */
        r->input_total += st.size;
    }
    if (!sizes)
        r->input_total = 0;
    return TSM_OK;
}

int tsm_load_reader_init(struct tsm_load_reader *r, const struct tsm_fs *fs,
                         const struct tsm_load_options *opt, size_t piece, struct tsm_err *err)
{
    *r = (struct tsm_load_reader){.fs = fs, .opt = opt, .piece = piece, .fd = -1};
    r->longest = opt->memory < LONGEST_LINE ? opt->memory : LONGEST_LINE;
    return check_paths(r, err);
}

static bool want_stop(struct tsm_load_reader *r)
{
    if (r->opt->stop && atomic_load_explicit(r->opt->stop, memory_order_relaxed))
        r->stopped = true;
    return r->stopped || atomic_load_explicit(&r->quit, memory_order_relaxed);
}

/* Waits until there is something to read, for some time at most. A signal ends the wait: the caller looks whether it
 * was the one to stop. */
static bool wait_for_text(const struct tsm_load_reader *r, int ms)
{
    struct pollfd p = {.fd = r->fd, .events = POLLIN};
    if (r->regular)
        return true;
    int n = poll(&p, 1, ms);
    return n > 0 || (n < 0 && errno != EINTR);
}

/* Text behind `from` is new. */
static void note_text(struct tsm_load_reader *r, const struct tsm_buf *text, size_t from)
{
    size_t n = text->len - from, room = sizeof r->head - r->nhead;
    r->text += n;
    if (!r->opt->checkpoint || room == 0 || n == 0)
        return;
    if (n > room)
        n = room;
    memcpy(r->head + r->nhead, text->data + from, n);
    r->nhead += n;
}

/* Reads up to max more bytes behind text. Of a pipe that falls silent it takes what has come, which may be nothing:
 * lines without a timestamp get that of their arrival. */
static int read_more(struct tsm_load_reader *r, struct tsm_buf *text, size_t max, bool *eof,
                     struct tsm_err *err)
{
    size_t start = text->len;
    int64_t since = 0;
    *eof = false;
    while (text->len - start < max && !*eof) {
        if (want_stop(r)) {
            *eof = true;
            break;
        }
        size_t before = text->len;
        bool waiting = wait_for_text(r, text->len > start ? SILENCE_MS : WAIT_MS);
        int rc = waiting ? tsm_input_read(r->input, text, max - (text->len - start), eof, err)
                         : tsm_input_drain(r->input, text, max - (text->len - start), err);
        note_text(r, text, before);
        if (rc != TSM_OK)
            return rc;
        if (!waiting && text->len == before)
            break;
        if (r->regular || text->len == start)
            continue;
        int64_t now = tsm_monotonic();
        if (since && now - since > PATIENCE_MS * TSM_MSEC)
            break;
        since = since ? since : now;
    }
    if (r->regular) {
        off_t at = lseek(r->fd, 0, SEEK_CUR);
        r->input_bytes = r->done_bytes + (at > 0 ? (uint64_t)at : 0);
    }
    return TSM_OK;
}

static void drop_text(struct tsm_buf *text, size_t n)
{
    if (n)
        memmove(text->data, text->data + n, text->len - n);
    text->len -= n;
}

/* ---- going on where an earlier run ended ---- */

static uint64_t digest_head(const struct tsm_load_reader *r, uint64_t text)
{
    return tsm_hash(tsm_str((const char *)r->head, text < r->nhead ? (size_t)text : r->nhead));
}

static void warn_replaced(struct tsm_load_reader *r)
{
    struct tsm_buf message = {0};
    tsm_buf_printf(&message, "%s is not the file that the checkpoint knows: it is loaded from its start",
                   r->file->name);
    if (r->opt->warn)
        r->opt->warn(r->opt->ctx, tsm_buf_cstr(&message));
    tsm_buf_release(&message);
}

/* Looks whether the file is the one that was loaded in part. Its beginning goes to carry. */
static int compare_file(struct tsm_load_reader *r, const char *path, struct tsm_err *err)
{
    struct tsm_fs_stat st;
    struct tsm_checkpoint_place *p = &r->from;
    uint64_t known = p->offset + p->open;
    if (known == 0)
        return TSM_OK;
    int rc = r->fs->fstat(r->fs->ctx, r->fd, &st);
    if (rc < 0)
        return tsm_err_sys(err, -rc, "%s", path);
    bool eof = false;
    size_t head = known < TSM_CHECKPOINT_HEAD ? (size_t)known : TSM_CHECKPOINT_HEAD;
    if (st.size >= p->size) {
        rc = read_more(r, &r->carry, head, &eof, err);
        if (rc != TSM_OK || r->stopped)
            return rc;
    }
    if (st.size < p->size || r->nhead < head || digest_head(r, known) != p->digest) {
        warn_replaced(r);
        *p = (struct tsm_checkpoint_place){0};
    }
    return TSM_OK;
}

/* Passes over text up to an offset. *all is false when the file ends before. */
static int pass_over(struct tsm_load_reader *r, uint64_t offset, bool *all, struct tsm_err *err)
{
    enum { STEP = 64 << 20 }; /* bytes between looks at whether to stop */
    uint64_t at = r->text - r->carry.len;
    size_t n = offset - at < r->carry.len ? (size_t)(offset - at) : r->carry.len;
    int rc = TSM_OK;
    drop_text(&r->carry, n);
    *all = true;
    while (r->text < offset && rc == TSM_OK && *all && !want_stop(r)) {
        uint64_t want = offset - r->text < STEP ? offset - r->text : STEP, got;
        rc = tsm_input_skip(r->input, want, &got, err);
        r->text += got;
        *all = got == want;
    }
    return rc;
}

/* The last line had no end when it was loaded. If it has got one since, and nothing else, it is done; if it has
 * become longer it is loaded again. */
static int look_at_open_line(struct tsm_load_reader *r, struct tsm_err *err)
{
    uint64_t open = r->from.open;
    bool eof = false;
    if (open == 0)
        return TSM_OK;
    if (r->carry.len <= open) {
        int rc = read_more(r, &r->carry, (size_t)(open - r->carry.len) + 1, &eof, err);
        if (rc != TSM_OK || r->stopped)
            return rc;
    }
    if (r->carry.len == open) { /* as it was */
        drop_text(&r->carry, (size_t)open);
    } else if (r->carry.len > open && r->carry.data[open] == '\n') {
        drop_text(&r->carry, (size_t)open + 1);
        r->whole += open + 1;
        r->file->lines++;
    }
    return TSM_OK;
}

/* Behind a header, or at the start: goes to where the checkpoint says. */
static int go_on(struct tsm_load_reader *r, struct tsm_err *err)
{
    bool all;
    if (r->from.offset + r->from.open == 0 || r->stopped)
        return TSM_OK;
    if (r->from.offset > r->whole) {
        int rc = pass_over(r, r->from.offset, &all, err);
        if (rc != TSM_OK || r->stopped)
            return rc;
        if (!all) /* it had more text once, although as a file it is not smaller */
            return tsm_err_set(err, TSM_ECORRUPT, "%s ends before the place that the checkpoint knows",
                               r->file->name);
        r->whole = r->from.offset;
        r->file->lines = r->from.lines;
    }
    return look_at_open_line(r, err);
}

/* Reads the header of a CSV file; what follows it goes to carry. While it has not come, before_header stays. */
static int read_header(struct tsm_load_reader *r, struct tsm_err *err)
{
    bool eof = false;
    const char *newline = NULL;
    while (!eof && !newline) {
        size_t before = r->carry.len;
        int rc = read_more(r, &r->carry, r->piece, &eof, err);
        if (rc != TSM_OK || (!eof && r->carry.len == before))
            return rc;
        newline = r->carry.len ? memchr(r->carry.data, '\n', r->carry.len) : NULL;
        if (!newline && r->carry.len > r->longest)
            return tsm_err_set(err, TSM_EPARSE, "%s:1: the header is longer than %zu bytes", r->file->name,
                               r->longest);
    }
    r->before_header = false;
    if (want_stop(r))
        tsm_buf_reset(&r->carry);
    if (r->carry.len == 0)
        return TSM_OK; /* an empty file has no records either */
    size_t n = newline ? (size_t)(newline - (const char *)r->carry.data) : r->carry.len;
    struct tsm_csv_options opt = r->opt->csv_options;
    int64_t now = tsm_now();
    opt.line = (struct tsm_line_options){r->opt->unit, now - now % r->opt->unit};
    r->file->header = tsm_arena_str(&r->arena, tsm_str((const char *)r->carry.data, n));
    int rc = tsm_csv_open(r->file->header, &opt, &r->file->csv, err);
    if (rc != TSM_OK)
        return tsm_err_wrap(err, rc, "%s:1", r->file->name);
    n += newline != NULL;
    drop_text(&r->carry, n);
    r->whole = n;
    r->file->lines = 1;
    return go_on(r, err);
}

/* Opens the next file. *opened is false when there is none. */
static int open_next(struct tsm_load_reader *r, bool *opened, struct tsm_err *err)
{
    size_t npaths = r->opt->npaths ? r->opt->npaths : 1;
    *opened = r->next_path < npaths;
    if (!*opened)
        return TSM_OK;
    const char *path = r->opt->npaths ? r->opt->paths[r->next_path] : "-";
    r->next_path++;
    /* A copy, as the input closes what it was given. */
    int fd = is_stdin(path) ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                            : r->fs->open(r->fs->ctx, path, O_RDONLY, 0);
    if (fd < 0)
        return tsm_err_sys(err, is_stdin(path) ? errno : -fd, "open %s", path);
    const char *name = is_stdin(path) ? "stdin" : path;
    r->fd = fd;
    r->regular = lseek(fd, 0, SEEK_CUR) >= 0;
    r->done_bytes = r->input_bytes;
    r->input = tsm_input_open(fd, name);
    struct tsm_load_file *f = tsm_arena_calloc(&r->arena, sizeof *f);
    f->name = tsm_arena_str(&r->arena, tsm_str_of(name)).p;
    f->next = r->files;
    r->files = r->file = f;
    r->before_header = r->opt->csv;
    r->text = r->whole = r->nhead = 0;
    r->from = (struct tsm_checkpoint_place){0};
    if (!r->opt->checkpoint)
        return TSM_OK;
    char resolved[PATH_MAX];
    if (!realpath(path, resolved))
        return tsm_err_sys(err, errno, "open %s", path);
    f->path = tsm_arena_str(&r->arena, tsm_str_of(resolved));
    r->skip_file = !tsm_checkpoint_begin(r->opt->checkpoint, f->path, &r->from);
    if (r->skip_file)
        return TSM_OK;
    int rc = compare_file(r, path, err);
    return rc == TSM_OK && !r->opt->csv ? go_on(r, err) : rc;
}

static void close_current(struct tsm_load_reader *r)
{
    tsm_input_close(r->input);
    r->input = NULL;
    r->fd = -1;
    r->skipping = false;
    tsm_buf_reset(&r->carry);
}

/* Drops the beginning of text up to the end of the line that is skipped. */
static void skip_line(struct tsm_load_reader *r, struct tsm_buf *text)
{
    const uint8_t *newline = text->len ? memchr(text->data, '\n', text->len) : NULL;
    size_t n = newline ? (size_t)(newline + 1 - text->data) : text->len;
    if (n)
        memmove(text->data, text->data + n, text->len - n);
    text->len -= n;
    r->skipping = !newline;
}

/* Fills p from the current file; *end when that is at its end. */
static int fill(struct tsm_load_reader *r, struct tsm_load_piece *p, bool *end, struct tsm_err *err)
{
    struct tsm_buf *text = &p->text;
    int rc = TSM_OK;
    tsm_buf_add(text, r->carry.data, r->carry.len);
    tsm_buf_reset(&r->carry);
    for (size_t want = r->piece;;) {
        size_t before = text->len;
        if (want > text->len)
            rc = read_more(r, text, want - text->len, end, err);
        bool silent = rc == TSM_OK && !*end && want > before && text->len == before;
        if (text->len >= want)
            want = 2 * want < r->longest ? 2 * want : r->longest + 1;
        if (r->skipping)
            skip_line(r, text);
        if (r->skipping) {
            if (*end || silent || rc != TSM_OK)
                return rc;
            continue;
        }
        if (*end && !r->stopped) {
            r->whole = r->text;
            return rc;
        }
        size_t whole = r->file->csv ? tsm_csv_records(tsm_buf_view(text))
                                    : tsm_line_records(tsm_buf_view(text));
        if (rc != TSM_OK || *end || whole || silent) { /* an unfinished last line is not known to be whole */
            if (!*end && rc == TSM_OK)
                tsm_buf_add(&r->carry, text->data + whole, text->len - whole);
            r->whole = r->text - (text->len - whole);
            text->len = whole;
            return rc;
        }
        if (text->len > r->longest) {
            p->too_long = true;
            r->skipping = true;
            text->len = 0;
            return TSM_OK;
        }
    }
}

/* What a checkpoint may say once the piece is durable. */
static void note_place(struct tsm_load_reader *r, struct tsm_load_piece *p, bool end)
{
    struct tsm_str text = tsm_buf_view(&p->text);
    uint64_t open = 0;
    if (end && !r->stopped && text.n && text.p[text.n - 1] != '\n')
        open = text.n - (r->file->csv ? tsm_csv_records(text) : tsm_line_records(text));
    p->place = (struct tsm_checkpoint_place){
        .offset = r->whole - open,
        .open = open,
        .size = r->input_bytes - r->done_bytes,
        .digest = digest_head(r, r->whole),
    };
}

void tsm_load_reader_next(struct tsm_load_reader *r, struct tsm_load_piece *p)
{
    bool end = false;
    p->first = false;
    p->too_long = false;
    if (!r->input) {
        bool opened = false;
        if (!want_stop(r))
            p->code = open_next(r, &opened, &p->err);
        p->end = !opened || p->code != TSM_OK;
        p->first = true;
    }
    if (!p->end && r->before_header) {
        p->code = read_header(r, &p->err);
        p->end = p->code != TSM_OK;
        p->first = true;
    }
    p->file = r->file;
    if (p->end || r->before_header)
        return;
    if (r->skip_file) {
        close_current(r);
        r->skip_file = false;
        return;
    }
    p->code = fill(r, p, &end, &p->err);
    if (r->opt->checkpoint)
        note_place(r, p, end);
    p->now = tsm_now();
    p->input_bytes = r->input_bytes;
    if (end || p->code != TSM_OK)
        close_current(r);
}

void tsm_load_reader_release(struct tsm_load_reader *r)
{
    tsm_input_close(r->input);
    for (struct tsm_load_file *f = r->files; f; f = f->next)
        tsm_csv_close(f->csv);
    tsm_buf_release(&r->carry);
    tsm_arena_release(&r->arena);
}
