/*
 * format/csv.h: CSV with a header line into the same batches as line protocol.
 *
 * RFC 4180 quoting, any one-byte separator. Values become fields with the narrowest type that the option
 * string or the text gives: 12i and 12u as in line protocol, true/false, numbers (float), else strings; an
 * empty cell is no field. The tags of a point's raw key are in order, so that rows of one series have the
 * same.
 */
#ifndef TSM_FORMAT_CSV_H
#define TSM_FORMAT_CSV_H

#include "format/line.h"

struct tsm_csv_options {
    struct tsm_str measurement; /* a fixed name; or, when measurement_column is set, the name of a column */
    bool measurement_column;
    struct tsm_str tags;   /* comma-separated column names */
    struct tsm_str fields; /* comma-separated column names, each with an optional type: temp:integer; empty:
                              all others */
    struct tsm_str time;   /* column name; empty: "time" when there is one, else no timestamps */
    char separator;
    struct tsm_line_options line;
};

struct tsm_csv; /* what the header line said */

/* header is the first line of the input, without its end. TSM_EUSAGE when a named column is missing. */
int tsm_csv_open(struct tsm_str header, const struct tsm_csv_options *opt, struct tsm_csv **csv,
                 struct tsm_err *err);
/* As tsm_line_parse(), for text that holds whole records. */
void tsm_csv_parse(const struct tsm_csv *csv, struct tsm_str text, struct tsm_points *out,
                   tsm_reject_fn *reject, void *ctx);
/* Length of the longest prefix of text that ends at a record's end (a newline outside quotes); 0 when
 * none. */
size_t tsm_csv_records(struct tsm_str text);
void tsm_csv_close(struct tsm_csv *csv);

#endif
