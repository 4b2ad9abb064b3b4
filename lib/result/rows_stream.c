/* result/rows_stream.c: both ends of the stream. */
#include "result/rows_stream.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/bytes.h"
#include "sys/zone_file.h"
#include "sys/zone_file.h"

#include "base/banned.h"

static const uint8_t magic[5] = {'T', 'S', 'M', 'R', 1};

enum {
    HEAD = 5,             /* type and length of a frame */
    ROWS_MAX = 8192,      /* of a frame that is written */
    TEXT_MAX = 1 << 20,   /* bytes of strings in it, but for the last row's */
    ZONE_MAX = 100,       /* bytes of a zone's name */
    FRAME_MAX = 1 << 30,  /* of one that is read */
    COLUMNS_MAX = 1 << 24 /* likewise: no frame can tell of more */
};

enum { HEAD_SEVERAL = 1, HEAD_ZONE = 2 }; /* flags */

/* ---- writing ----------------------------------------------------------------------------------- */

struct rows_writer {
    struct tsm_sink sink;
    struct tsm_output *out;
    size_t ncolumns;
    bool begun;
};

static void put_number(struct tsm_buf *out, uint64_t v)
{
    out->len += tsm_put_uvarint(tsm_buf_room(out, TSM_VARINT_MAX), v);
}

static void put_text(struct tsm_buf *out, struct tsm_str s)
{
    put_number(out, s.n);
    tsm_buf_str(out, s);
}

static void put_le32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, 4);
}

static uint32_t get_le32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return le32toh(v);
}

/* Begins a frame; returns where it is, for end_frame(). */
static size_t begin_frame(struct rows_writer *w, char type)
{
    struct tsm_buf *out = &w->out->buf;
    if (!w->begun)
        tsm_buf_add(out, magic, sizeof magic);
    w->begun = true;
    size_t at = out->len;
    tsm_buf_byte(out, (uint8_t)type);
    tsm_buf_add(out, "\0\0\0", 4);
    return at;
}

static int end_frame(struct rows_writer *w, size_t at, struct tsm_err *err)
{
    struct tsm_buf *out = &w->out->buf;
    if (out->len - at - HEAD > FRAME_MAX)
        return tsm_err_set(err, TSM_ELIMIT, "a row of the answer is too long");
    put_le32(out->data + at + 1, (uint32_t)(out->len - at - HEAD));
    return tsm_output_check(w->out, err);
}

static int write_statement_begin(struct tsm_sink *s, unsigned id, struct tsm_err *err)
{
    struct rows_writer *w = (struct rows_writer *)s;
    size_t at = begin_frame(w, 'Q');
    put_number(&w->out->buf, id);
    return end_frame(w, at, err);
}

static int write_series_begin(struct tsm_sink *s, const struct tsm_series_head *head, struct tsm_err *err)
{
    struct rows_writer *w = (struct rows_writer *)s;
    struct tsm_buf *out = &w->out->buf;
    size_t at = begin_frame(w, 'S');
    tsm_buf_byte(out, (uint8_t)((head->several ? HEAD_SEVERAL : 0) | (head->zone ? HEAD_ZONE : 0)));
    if (head->zone)
        put_text(out, tsm_zone_name(head->zone));
    put_text(out, head->name);
    put_number(out, head->ntags);
    for (size_t i = 0; i < head->ntags; i++) {
        put_text(out, head->tags[i].key);
        put_text(out, head->tags[i].value);
    }
    put_number(out, head->ncolumns);
    for (size_t i = 0; i < head->ncolumns; i++) {
        tsm_buf_byte(out, (uint8_t)head->columns[i].role);
        put_text(out, head->columns[i].name);
    }
    w->ncolumns = head->ncolumns;
    return end_frame(w, at, err);
}

static void put_strings(struct tsm_buf *out, const struct tsm_cells *c, size_t from, size_t n)
{
    const struct tsm_str *s = c->v.s + from;
    const uint8_t *nulls = c->nulls ? c->nulls + from : NULL;
    uint8_t *lengths = tsm_buf_room(out, 4 * n);
    for (size_t i = 0; i < n; i++)
        put_le32(lengths + 4 * i, nulls && nulls[i] ? 0 : (uint32_t)s[i].n);
    out->len += 4 * n;
    for (size_t i = 0; i < n; i++)
        if (!nulls || !nulls[i])
            tsm_buf_str(out, s[i]);
}

static void put_column(struct tsm_buf *out, const struct tsm_cells *c, size_t from, size_t n)
{
    tsm_buf_byte(out, (uint8_t)((unsigned)c->type | (c->nulls ? 0x80 : 0)));
    if (c->nulls)
        tsm_buf_add(out, c->nulls + from, n);
    if (c->type == TSM_CELL_STRING) {
        put_strings(out, c, from, n);
    } else if (c->type == TSM_CELL_BOOLEAN) {
        tsm_buf_add(out, c->v.b + from, n);
    } else {
        uint8_t *p = tsm_buf_room(out, 8 * n);
        for (size_t i = 0; i < n; i++) {
            uint64_t v = htole64(c->v.u[from + i]);
            memcpy(p + 8 * i, &v, 8);
        }
        out->len += 8 * n;
    }
}

/* How many rows from `from` on go into one frame. */
static size_t frame_rows(const struct rows_writer *w, const struct tsm_rows *rows, size_t from)
{
    size_t text = 0, n = 0;
    while (from + n < rows->n && n < ROWS_MAX && text < TEXT_MAX) {
        for (size_t i = 0; i < w->ncolumns; i++)
            if (rows->columns[i].type == TSM_CELL_STRING &&
                !(rows->columns[i].nulls && rows->columns[i].nulls[from + n]))
                text += rows->columns[i].v.s[from + n].n;
        n++;
    }
    return n;
}

static int write_rows(struct tsm_sink *s, const struct tsm_rows *rows, struct tsm_err *err)
{
    struct rows_writer *w = (struct rows_writer *)s;
    int rc = TSM_OK;
    for (size_t from = 0, n; from < rows->n && rc == TSM_OK; from += n) {
        n = frame_rows(w, rows, from);
        size_t at = begin_frame(w, 'R');
        put_number(&w->out->buf, n);
        for (size_t i = 0; i < w->ncolumns; i++)
            put_column(&w->out->buf, &rows->columns[i], from, n);
        rc = end_frame(w, at, err);
    }
    return rc;
}

static int write_series_end(struct tsm_sink *s, struct tsm_err *err)
{
    struct rows_writer *w = (struct rows_writer *)s;
    return end_frame(w, begin_frame(w, 's'), err);
}

static int write_message(struct tsm_sink *s, const char *level, const char *text, struct tsm_err *err)
{
    struct rows_writer *w = (struct rows_writer *)s;
    size_t at = begin_frame(w, 'm');
    put_text(&w->out->buf, tsm_str_of(level));
    put_text(&w->out->buf, tsm_str_of(text));
    return end_frame(w, at, err);
}

static int write_statement_end(struct tsm_sink *s, const char *error, struct tsm_err *err)
{
    struct rows_writer *w = (struct rows_writer *)s;
    size_t at = begin_frame(w, 'q');
    tsm_buf_byte(&w->out->buf, error != NULL);
    put_text(&w->out->buf, tsm_str_of(error));
    return end_frame(w, at, err);
}

struct tsm_sink *tsm_rows_writer_new(struct tsm_output *out)
{
    struct rows_writer *w = tsm_calloc(1, sizeof *w);
    w->sink = (struct tsm_sink){write_statement_begin, write_series_begin,  write_rows,
                                write_series_end,      write_statement_end, write_message};
    w->out = out;
    return &w->sink;
}

int tsm_rows_writer_finish(struct tsm_sink *s, int code, uint64_t rows, const char *message,
                           struct tsm_err *err)
{
    struct rows_writer *w = (struct rows_writer *)s;
    size_t at = begin_frame(w, 'E');
    tsm_buf_byte(&w->out->buf, (uint8_t)-code);
    put_number(&w->out->buf, rows);
    put_text(&w->out->buf, tsm_str_of(message));
    int rc = end_frame(w, at, err);
    tsm_rows_writer_free(s);
    return rc;
}

void tsm_rows_writer_free(struct tsm_sink *s)
{
    tsm_free(s);
}

/* ---- reading ----------------------------------------------------------------------------------- */

enum state { OUTSIDE, IN_STATEMENT, IN_SERIES, ENDED };

struct tsm_rows_reader {
    struct tsm_sink *sink;
    struct tsm_buf buf; /* bytes that are no whole frame yet */
    enum state state;
    bool begun;             /* the magic has been read */
    struct tsm_arena texts; /* of the head */
    struct tsm_series_head head;
    struct tsm_zone **zones; /* of all heads */
    size_t nzones, capzones;
    struct tsm_zone *zone;  /* likewise */
    struct tsm_arena cells; /* of the rows */
    int code;
    uint64_t rows;
    struct tsm_err err;
};

struct cursor {
    const uint8_t *p, *end;
};

static int bad(struct tsm_err *err, const char *what)
{
    return tsm_err_set(err, TSM_ECORRUPT, "the server's answer cannot be read: %s", what);
}

static bool get_number(struct cursor *c, uint64_t max, uint64_t *v)
{
    size_t n = tsm_get_uvarint(c->p, (size_t)(c->end - c->p), v);
    c->p += n;
    return n && *v <= max;
}

static bool get_byte(struct cursor *c, uint8_t *v)
{
    if (c->p == c->end)
        return false;
    *v = *c->p++;
    return true;
}

static bool get_bytes(struct cursor *c, size_t n, const uint8_t **p)
{
    if ((size_t)(c->end - c->p) < n)
        return false;
    *p = c->p;
    c->p += n;
    return true;
}

static bool get_text(struct cursor *c, struct tsm_str *s)
{
    uint64_t n;
    const uint8_t *p;
    if (!get_number(c, FRAME_MAX, &n) || !get_bytes(c, (size_t)n, &p))
        return false;
    *s = tsm_str((const char *)p, (size_t)n);
    return true;
}

/* A number of things of which each takes at least so many bytes of what is left. */
static bool get_count(struct cursor *c, size_t each, uint64_t *n)
{
    return get_number(c, COLUMNS_MAX, n) && *n * each <= (uint64_t)(c->end - c->p);
}

/* One that is not known on this machine is shown as UTC. */
static const struct tsm_zone *zone_named(struct tsm_rows_reader *r, struct tsm_str name)
{
    struct tsm_zone *zone;
    for (size_t i = 0; i < r->nzones; i++)
        if (tsm_str_eq(tsm_zone_name(r->zones[i]), name))
            return r->zones[i];
    if (tsm_zone_load(&tsm_fs_posix, name, &zone) || !zone)
        return NULL;
    TSM_GROW(r->zones, r->nzones + 1, r->capzones);
    return r->zones[r->nzones++] = zone;
}

static bool read_head(struct tsm_rows_reader *r, struct cursor *c)
{
    struct tsm_str s;
    uint64_t n;
    uint8_t role, flags;
    struct tsm_arena *a = &r->texts;
    tsm_arena_release(a);
    const struct tsm_zone *zone = NULL;
    if (!get_byte(c, &flags))
        return false;
    if (flags & HEAD_ZONE) {
        if (!get_text(c, &s))
            return false;
        zone = zone_named(r, s);
    }
    if (!get_text(c, &s) || !get_count(c, 2, &n))
        return false;
    struct tsm_tag *tags = tsm_arena_calloc(a, ((size_t)n + 1) * sizeof *tags);
    r->head = (struct tsm_series_head){.name = tsm_arena_str(a, s),
                                       .zone = r->zone,
                                       .tags = tags,
                                       .ntags = (size_t)n,
                                       .several = (flags & HEAD_SEVERAL) != 0};
    r->head.zone = zone;
    for (size_t i = 0; i < r->head.ntags; i++) {
        struct tsm_str key, value;
        if (!get_text(c, &key) || !get_text(c, &value))
            return false;
        tags[i] = (struct tsm_tag){tsm_arena_str(a, key), tsm_arena_str(a, value)};
    }
    if (!get_count(c, 2, &n) || n == 0)
        return false;
    struct tsm_column_head *columns = tsm_arena_calloc(a, ((size_t)n + 1) * sizeof *columns);
    for (size_t i = 0; i < n; i++) {
        if (!get_byte(c, &role) || role > TSM_ROLE_JSON || !get_text(c, &s))
            return false;
        columns[i] = (struct tsm_column_head){tsm_arena_str(a, s), (enum tsm_column_role)role};
    }
    r->head.columns = columns;
    r->head.ncolumns = (size_t)n;
    return true;
}

static bool read_strings(struct cursor *c, size_t n, struct tsm_str *s)
{
    const uint8_t *lengths, *p;
    if (!get_bytes(c, 4 * n, &lengths))
        return false;
    for (size_t i = 0; i < n; i++) {
        size_t len = get_le32(lengths + 4 * i);
        if (!get_bytes(c, len, &p))
            return false;
        s[i] = tsm_str((const char *)p, len);
    }
    return true;
}

static bool read_column(struct tsm_rows_reader *r, struct cursor *c, size_t n, struct tsm_cells *cells)
{
    uint8_t type;
    const uint8_t *p;
    if (!get_byte(c, &type) || (type & 0x7f) > TSM_CELL_TIME)
        return false;
    cells->type = (enum tsm_cell_type)(type & 0x7f);
    cells->nulls = NULL;
    if (type & 0x80 && !get_bytes(c, n, &cells->nulls))
        return false;
    if (cells->type == TSM_CELL_STRING) {
        if ((size_t)(c->end - c->p) < 4 * n)
            return false;
        struct tsm_str *s = tsm_arena_alloc(&r->cells, n * sizeof *s);
        cells->v.s = s;
        return read_strings(c, n, s);
    }
    if (cells->type == TSM_CELL_BOOLEAN)
        return get_bytes(c, n, &cells->v.b);
    if (!get_bytes(c, 8 * n, &p))
        return false;
    uint64_t *values = tsm_arena_alloc(&r->cells, 8 * n);
    for (size_t i = 0; i < n; i++) {
        uint64_t v;
        memcpy(&v, p + 8 * i, 8);
        values[i] = le64toh(v);
    }
    cells->v.u = values;
    return true;
}

/* What the writers take for granted of columns with a role. */
static bool fits_role(enum tsm_column_role role, enum tsm_cell_type type)
{
    if (role == TSM_ROLE_TIME)
        return type == TSM_CELL_TIME;
    return role != TSM_ROLE_JSON || type == TSM_CELL_STRING;
}

static int take_rows(struct tsm_rows_reader *r, struct cursor *c, struct tsm_err *err)
{
    uint64_t n;
    size_t ncolumns = r->head.ncolumns;
    tsm_arena_release(&r->cells);
    if (!get_number(c, FRAME_MAX, &n) || n == 0 || ncolumns == 0 || n > (uint64_t)(c->end - c->p))
        return bad(err, "its rows are damaged");
    struct tsm_cells *columns = tsm_arena_alloc(&r->cells, ncolumns * sizeof *columns);
    for (size_t i = 0; i < ncolumns; i++)
        if (!read_column(r, c, (size_t)n, &columns[i]) ||
            !fits_role(r->head.columns[i].role, columns[i].type))
            return bad(err, "its rows are damaged");
    if (c->p != c->end)
        return bad(err, "its rows are damaged");
    return r->sink->rows(r->sink, &(struct tsm_rows){(size_t)n, columns}, err);
}

static int take_message(struct tsm_rows_reader *r, struct cursor *c, struct tsm_err *err)
{
    struct tsm_str level, text;
    if (!get_text(c, &level) || !get_text(c, &text))
        return bad(err, "a message is damaged");
    if (!r->sink->message)
        return TSM_OK;
    tsm_arena_release(&r->cells);
    return r->sink->message(r->sink, tsm_arena_str(&r->cells, level).p, tsm_arena_str(&r->cells, text).p,
                            err);
}

static int take_statement_end(struct tsm_rows_reader *r, struct cursor *c, struct tsm_err *err)
{
    uint8_t failed;
    struct tsm_str text;
    if (!get_byte(c, &failed) || !get_text(c, &text))
        return bad(err, "the end of a statement is damaged");
    char *error = tsm_strndup(text.p, text.n);
    r->state = OUTSIDE;
    int rc = r->sink->statement_end(r->sink, failed ? error : NULL, err);
    tsm_free(error);
    return rc;
}

static int take_end(struct tsm_rows_reader *r, struct cursor *c, struct tsm_err *err)
{
    uint8_t code;
    struct tsm_str text;
    if (!get_byte(c, &code) || code > -TSM_EACCESS || !get_number(c, UINT64_MAX, &r->rows) ||
        !get_text(c, &text))
        return bad(err, "its end is damaged");
    r->state = ENDED;
    r->code = -(int)code;
    if (r->code != TSM_OK)
        tsm_err_set(&r->err, r->code, "%.*s", (int)(text.n < 1000 ? text.n : 1000), text.p);
    return TSM_OK;
}

static int take_frame(struct tsm_rows_reader *r, uint8_t type, struct cursor *c, struct tsm_err *err)
{
    uint64_t id;
    if (type == 'Q' && r->state == OUTSIDE) {
        if (!get_number(c, UINT32_MAX, &id))
            return bad(err, "a statement is damaged");
        r->state = IN_STATEMENT;
        return r->sink->statement_begin(r->sink, (unsigned)id, err);
    }
    if (type == 'S' && r->state == IN_STATEMENT) {
        if (!read_head(r, c))
            return bad(err, "the head of a series is damaged");
        r->state = IN_SERIES;
        return r->sink->series_begin(r->sink, &r->head, err);
    }
    if (type == 'R' && r->state == IN_SERIES)
        return take_rows(r, c, err);
    if (type == 's' && r->state == IN_SERIES) {
        r->state = IN_STATEMENT;
        return r->sink->series_end(r->sink, err);
    }
    if (type == 'm' && r->state == IN_STATEMENT)
        return take_message(r, c, err);
    if (type == 'q' && (r->state == IN_STATEMENT || r->state == IN_SERIES))
        return take_statement_end(r, c, err);
    if (type == 'E' && r->state == OUTSIDE)
        return take_end(r, c, err);
    return bad(err, "its parts are not in order");
}

/* As many frames as are whole; *used tells how far that was. */
static int take_frames(struct tsm_rows_reader *r, const uint8_t *p, size_t n, size_t *used,
                       struct tsm_err *err)
{
    int rc = TSM_OK;
    *used = 0;
    if (!r->begun) {
        if (memcmp(p, magic, n < sizeof magic ? n : sizeof magic) != 0)
            return bad(err, "it does not begin as one");
        if (n < sizeof magic)
            return TSM_OK;
        r->begun = true;
        *used = sizeof magic;
    }
    while (rc == TSM_OK && n - *used >= HEAD) {
        size_t len = get_le32(p + *used + 1);
        if (len > FRAME_MAX)
            return bad(err, "a part of it is too long");
        if (n - *used - HEAD < len)
            break;
        struct cursor c = {p + *used + HEAD, p + *used + HEAD + len};
        rc = take_frame(r, p[*used], &c, err);
        *used += HEAD + len;
    }
    return rc;
}

struct tsm_rows_reader *tsm_rows_reader_new(struct tsm_sink *sink)
{
    struct tsm_rows_reader *r = tsm_calloc(1, sizeof *r);
    r->sink = sink;
    return r;
}

void tsm_rows_reader_free(struct tsm_rows_reader *r)
{
    if (!r)
        return;
    tsm_buf_release(&r->buf);
    tsm_arena_release(&r->texts);
    tsm_arena_release(&r->cells);
    for (size_t i = 0; i < r->nzones; i++)
        tsm_zone_free(r->zones[i]);
    tsm_free(r->zones);
    tsm_free(r);
}

int tsm_rows_reader_feed(struct tsm_rows_reader *r, const uint8_t *p, size_t n, struct tsm_err *err)
{
    size_t used;
    int rc;
    if (n == 0)
        return TSM_OK;
    if (r->buf.len == 0) { /* most pieces hold whole frames: only what is left over is kept */
        rc = take_frames(r, p, n, &used, err);
        if (rc == TSM_OK)
            tsm_buf_add(&r->buf, p + used, n - used);
        return rc;
    }
    tsm_buf_add(&r->buf, p, n);
    rc = take_frames(r, r->buf.data, r->buf.len, &used, err);
    if (used) {
        memmove(r->buf.data, r->buf.data + used, r->buf.len - used);
        r->buf.len -= used;
    }
    return rc;
}

int tsm_rows_reader_end(struct tsm_rows_reader *r, uint64_t *rows, struct tsm_err *err)
{
    if (r->state != ENDED || r->buf.len)
        return bad(err, "it ends too soon");
    if (rows)
        *rows = r->rows;
    if (r->code != TSM_OK && err)
        *err = r->err;
    return r->code;
}
