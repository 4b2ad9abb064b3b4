/*
 * tests/fuzz/fuzz_prometheus.c: any bytes as remote write and as remote read. Points are well-formed, and the parser takes or
 * refuses what is asked.
 */
#include <math.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/time.h"
#include "net/prometheus.h"
#include "query/parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void check_points(const struct tsm_points *points)
{
    for (size_t i = 0; i < points->n; i++) {
        const struct tsm_point *point = &points->points[i];
        if (point->nfields != 1 || point->first_field >= points->nfields || point->raw_key.n == 0 ||
            point->hash != tsm_hash(point->raw_key) || point->time < TSM_TIME_MIN ||
            point->time > TSM_TIME_MAX || !isfinite(points->fields[point->first_field].value.f))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct tsm_points points = {0};
    struct tsm_prometheus_dropped dropped;
    struct tsm_buf text = {0};
    struct tsm_err err = {0};
    struct tsm_ast ast;
    (void)tsm_prometheus_write(p, n, &points, &dropped, &err);
    check_points(&points);
    if (tsm_prometheus_read(p, n, &text, &err) == TSM_OK) {
        (void)tsm_parse_query(tsm_buf_view(&text), &ast, &err); /* names may be empty, expressions none */
        tsm_ast_release(&ast);
    }
    tsm_buf_reset(&text);
    (void)tsm_prometheus_unpack(p, n, 1 << 20, &text, &err);
    tsm_buf_release(&text);
    tsm_points_release(&points);
    return 0;
}
