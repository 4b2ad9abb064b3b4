/*
 * tests/fuzz/fuzz_csv.c: CSV from any bytes. The first byte chooses options, the first line is the header. A
 * text gives the same when it is cut where tsm_csv_records() says.
 */
#include <stdio.h>
#include <stdlib.h>

#include "format/csv.h"

static void require(int ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "fuzz_csv: %s\n", what);
        abort();
    }
}

static void note_reject(void *ctx, uint32_t line, struct tsm_str text, const char *cause)
{
    require(line > 0 && text.n > 0 && *cause, "a reject says what and where");
    ++*(size_t *)ctx;
}

static void check_points(const struct tsm_points *points)
{
    struct tsm_buf key = {0};
    for (size_t i = 0; i < points->n; i++) {
        const struct tsm_point *p = &points->points[i];
        require(p->nfields > 0, "a point has a field");
        tsm_buf_reset(&key);
        require(tsm_line_key(p->raw_key, &key, NULL) == TSM_OK, "a key is valid");
        bool odd = memmem(p->raw_key.p, p->raw_key.n, "\\\\=", 3) ||
                   memmem(p->raw_key.p, p->raw_key.n, "\\\\\"", 3);
        require(odd || tsm_str_eq(tsm_buf_view(&key), p->raw_key), "a key is canonical");
    }
    tsm_buf_release(&key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct tsm_str text = {(const char *)data + 1, size - 1};
    const char *newline = memchr(text.p, '\n', text.n);
    if (!newline)
        return 0;
    struct tsm_str header = {text.p, (size_t)(newline - text.p)};
    text = tsm_str(newline + 1, text.n - header.n - 1);
    struct tsm_csv_options opt = {
        .measurement = data[0] & 1 ? TSM_STR("m") : TSM_STR("my m"),
        .measurement_column = data[0] & 1,
        .tags = data[0] & 2 ? TSM_STR("a,b c") : TSM_STR(""),
        .fields = data[0] & 4 ? TSM_STR("v:integer,w,x:string,y:boolean,z:unsigned") : TSM_STR(""),
        .time = data[0] & 8 ? TSM_STR("t") : TSM_STR(""),
        .separator = data[0] & 16 ? ';' : ',',
        .line = {.unit = data[0] & 32 ? 1000000000 : 1, .now = 42},
    };
    struct tsm_csv *csv;
    if (tsm_csv_open(header, &opt, &csv, NULL))
        return 0;
    struct tsm_points all = {0}, parts = {0};
    size_t rejects = 0, part_rejects = 0;
    tsm_csv_parse(csv, text, &all, note_reject, &rejects);
    check_points(&all);
    size_t whole = tsm_csv_records(text);
    require(whole <= text.n && (whole == 0 || text.p[whole - 1] == '\n'), "whole records end with a newline");
    tsm_csv_parse(csv, tsm_str(text.p, whole), &parts, note_reject, &part_rejects);
    tsm_csv_parse(csv, tsm_str(text.p + whole, text.n - whole), &parts, note_reject, &part_rejects);
    require(parts.n == all.n && parts.nfields == all.nfields && part_rejects == rejects,
            "parts give the same");
    tsm_points_release(&all);
    tsm_points_release(&parts);
    tsm_csv_close(csv);
    return 0;
}
