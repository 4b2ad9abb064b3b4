/*
 * tests/interop/line_reader.c: the line protocol parser as a filter, for line.test.
 *
 * Input, repeated: 8 bytes of nanoseconds per unit, 8 bytes of the time for points without one, 4 bytes of
 * length, text. Output for each text, both with 4 bytes of length before them: the points, as canonical
 * lines, and the messages of the rejected lines, each with a newline behind it. Numbers are big-endian.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/num.h"
#include "base/sort.h"
#include "format/line.h"
#include "base/banned.h"

enum { TEXT_MAX = 1 << 26 };

struct message {
    uint32_t line;
    char *text;
};

struct messages {
    struct message *items;
    size_t n, cap;
};

static void add_message(void *ctx, uint32_t line, struct tsm_str text, const char *cause)
{
    (void)text;
    struct messages *m = ctx;
    TSM_GROW(m->items, m->n + 1, m->cap);
    m->items[m->n++] = (struct message){line, tsm_strdup(cause)};
}

static int compare_messages(const void *a, const void *b)
{
    uint32_t x = ((const struct message *)a)->line, y = ((const struct message *)b)->line;
    return (x > y) - (x < y);
}

static void add_point(struct tsm_buf *out, const struct tsm_points *points, size_t i,
                      struct messages *messages)
{
    const struct tsm_point *p = &points->points[i];
    struct tsm_err err;
    if (tsm_line_key(p->raw_key, out, &err)) {
        struct tsm_buf message = {0};
        tsm_line_error(&message, p->text, err.msg);
        add_message(messages, p->line, p->text, tsm_buf_cstr(&message));
        tsm_buf_release(&message);
        return;
    }
    for (uint32_t j = 0; j < p->nfields; j++) {
        const struct tsm_field *f = &points->fields[p->first_field + j];
        tsm_buf_byte(out, j ? ',' : ' ');
        tsm_escape_field(out, f->name);
        tsm_buf_byte(out, '=');
        tsm_line_value(out, f->type, f->value);
    }
    tsm_buf_byte(out, ' ');
    out->len += tsm_format_int((char *)tsm_buf_room(out, TSM_NUM_MAX), p->time);
    tsm_buf_byte(out, '\n');
}

static void write_all(const struct tsm_buf *b)
{
    uint8_t length[4];
    tsm_put_be32(length, (uint32_t)b->len);
    if (fwrite(length, 1, 4, stdout) != 4 || (b->len > 0 && fwrite(b->data, b->len, 1, stdout) != 1)) {
        perror("line_reader: write");
        exit(1);
    }
}

static void answer(struct tsm_str text, const struct tsm_line_options *opt)
{
    struct tsm_points points = {0};
    struct messages messages = {0};
    struct tsm_buf lines = {0}, rejects = {0};
    tsm_line_parse(text, opt, &points, add_message, &messages);
    for (size_t i = 0; i < points.n; i++)
        add_point(&lines, &points, i, &messages);
    tsm_sort(messages.items, messages.n, sizeof *messages.items, compare_messages);
    for (size_t i = 0; i < messages.n; i++) {
        tsm_buf_puts(&rejects, messages.items[i].text);
        tsm_buf_byte(&rejects, '\n');
        tsm_free(messages.items[i].text);
    }
    write_all(&lines);
    write_all(&rejects);
    if (fflush(stdout))
        exit(1);
    tsm_free(messages.items);
    tsm_points_release(&points);
    tsm_buf_release(&lines);
    tsm_buf_release(&rejects);
}

int main(void)
{
    uint8_t head[20];
    size_t n;
    while ((n = fread(head, 1, sizeof head, stdin)) == sizeof head) {
        uint32_t len = tsm_get_be32(head + 16);
        if (len > TEXT_MAX)
            break;
        struct tsm_line_options opt = {(int64_t)tsm_get_be64(head), (int64_t)tsm_get_be64(head + 8)};
        char *text = tsm_alloc(len);
        if (fread(text, 1, len, stdin) != len)
            break;
        answer(tsm_str(text, len), &opt);
        tsm_free(text);
    }
    if (n != 0) {
        fprintf(stderr, "line_reader: the input ends too early\n");
        return 1;
    }
    return 0;
}
