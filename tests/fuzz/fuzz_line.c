/*
 * tests/fuzz/fuzz_line.c: line protocol from any bytes. Beyond not crashing: the fast parser agrees with the
 * exact one on every line that it takes, and a text gives the same when it is cut where tsm_line_records()
 * says.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/map.h"
#include "format/line.h"
#include "format/line_exact.h"

static const struct tsm_line_options options = {.unit = 1, .now = 42};

static void require(int ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "fuzz_line: %s\n", what);
        abort();
    }
}

static void note_reject(void *ctx, uint32_t line, struct tsm_str text, const char *cause)
{
    require(line > 0 && text.n > 0 && *cause, "a reject says what and where");
    ++*(size_t *)ctx;
}

static void render(struct tsm_buf *out, const struct tsm_points *points, size_t i)
{
    const struct tsm_point *p = &points->points[i];
    require(p->nfields > 0 && p->hash == tsm_hash(p->raw_key), "a point is whole");
    tsm_buf_str(out, p->raw_key);
    for (uint32_t j = 0; j < p->nfields; j++) {
        const struct tsm_field *f = &points->fields[p->first_field + j];
        require(f->name.n > 0, "a field has a name");
        tsm_buf_byte(out, ' ');
        tsm_escape_field(out, f->name);
        tsm_buf_byte(out, '=');
        tsm_line_value(out, f->type, f->value);
    }
    tsm_buf_printf(out, " %lld", (long long)p->time);
}

static void compare_with_exact(const struct tsm_points *points, size_t i)
{
    const struct tsm_point *p = &points->points[i];
    struct tsm_points again = {0};
    struct tsm_buf a = {0}, b = {0}, cause = {0}, key = {0};
    if (tsm_line_key(p->raw_key, &key, NULL)) {
        require(!tsm_line_exact(p->text, p->line, &options, &again, &cause),
                "a line with a bad key is rejected");
    } else {
        require(tsm_line_exact(p->text, p->line, &options, &again, &cause), "what is taken is right");
        render(&a, points, i);
        render(&b, &again, 0);
        require(tsm_str_eq(tsm_buf_view(&a), tsm_buf_view(&b)), "both parsers read the same");
        require(key.len <= p->raw_key.n * 2, "a canonical key is about as long");
        struct tsm_arena arena = {0};
        struct tsm_series series;
        require(tsm_series_parse(tsm_buf_view(&key), &arena, &series, NULL) == TSM_OK,
                "a key can be taken apart");
        tsm_buf_reset(&a);
        tsm_series_make(&a, &series);
        require(tsm_str_eq(tsm_buf_view(&a), tsm_buf_view(&key)),
                "a canonical key is what is made of its parts");
        tsm_arena_release(&arena);
    }
    tsm_points_release(&again);
    tsm_buf_release(&a);
    tsm_buf_release(&b);
    tsm_buf_release(&cause);
    tsm_buf_release(&key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tsm_str text = {(const char *)data, size};
    struct tsm_points all = {0}, parts = {0};
    size_t rejects = 0, part_rejects = 0;
    tsm_line_parse(text, &options, &all, note_reject, &rejects);
    for (size_t i = 0; i < all.n; i++)
        compare_with_exact(&all, i);

    size_t whole = tsm_line_records(text);
    require(whole <= size && (whole == 0 || data[whole - 1] == '\n'), "whole lines end with a newline");
    tsm_line_parse(tsm_str(text.p, whole), &options, &parts, note_reject, &part_rejects);
    tsm_line_parse(tsm_str(text.p + whole, size - whole), &options, &parts, note_reject, &part_rejects);
    require(parts.n == all.n && parts.nfields == all.nfields && part_rejects == rejects,
            "parts give the same");
    for (size_t i = 0; i < all.n; i++)
        require(tsm_str_eq(parts.points[i].text, all.points[i].text), "parts give the same lines");
    tsm_points_release(&all);
    tsm_points_release(&parts);
    return 0;
}
