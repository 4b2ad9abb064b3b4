/* store/load_reader.c: the input files of a load, cut into pieces of whole lines. One thread at a time. */
#include "store/load_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
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
    memmove(r->carry.data, r->carry.data + n, r->carry.len - n);
    r->carry.len -= n;
    return TSM_OK;
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
    return TSM_OK;
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
        if (*end && !r->stopped)
            return rc;
        size_t whole = r->file->csv ? tsm_csv_records(tsm_buf_view(text))
                                    : tsm_line_records(tsm_buf_view(text));
        if (rc != TSM_OK || *end || whole || silent) { /* an unfinished last line is not known to be whole */
            if (!*end && rc == TSM_OK)
                tsm_buf_add(&r->carry, text->data + whole, text->len - whole);
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
    p->code = fill(r, p, &end, &p->err);
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
