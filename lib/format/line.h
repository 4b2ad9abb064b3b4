/*
 * format/line.h: InfluxDB line protocol.
 *
 *   measurement[,tag=value]* field=value[,field=value]* [timestamp]
 *
 * A parser works on a text of many lines and gives one point per call. Everything in a point borrows from the
 * text, which stays in place until the points are used; the only copies are strings and names with escapes
 * (in the arena). Source for syntax and error texts: influxdb v1.8 models/points.go.
 */
#ifndef TSM_FORMAT_LINE_H
#define TSM_FORMAT_LINE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/values.h"
#include "format/series_key.h"

struct tsm_field {
    struct tsm_str name; /* unescaped */
    enum tsm_type type;
    union tsm_value value; /* a string is unescaped */
};

struct tsm_point {
    struct tsm_str raw_key; /* measurement and tags as written: the lookup key of known series */
    uint64_t hash;          /* tsm_hash(raw_key) */
    int64_t time;           /* nanoseconds */
    uint32_t first_field;   /* index into tsm_points.fields */
    uint32_t nfields;
    uint32_t line;       /* line number in the text, from 1 */
    struct tsm_str text; /* the whole line, without its end */
};

/* A batch of parsed points: the unit that goes from a parsing thread to the memtable. */
struct tsm_points {
    struct tsm_point *points;
    size_t n, cap;
    struct tsm_field *fields;
    size_t nfields, capfields;
    struct tsm_arena arena; /* unescaped names and strings */
};

void tsm_points_reset(struct tsm_points *b); /* keeps memory for reuse where that is cheap */
void tsm_points_release(struct tsm_points *b);

struct tsm_line_options {
    int64_t unit; /* nanoseconds of one unit of the timestamps: tsm_precision_unit() */
    int64_t now;  /* for points without a timestamp, already truncated to the unit */
};

/* A line that was not accepted. */
typedef void tsm_reject_fn(void *ctx, uint32_t line, struct tsm_str text, const char *cause);

/*
 * Parses all lines of text (the last may lack its end) and appends to out. Blank lines and comments are
 * passed over. A bad line is given to reject with influxd's message ("unable to parse 'cpu': missing fields")
 * and the rest goes on. Keys are not validated here beyond finding their end, so that a known series costs
 * one hash: the consumer calls tsm_line_key() for each raw key it has not seen. (For a line with two faults
 * the message is nevertheless the one influxd gives.)
 */
void tsm_line_parse(struct tsm_str text, const struct tsm_line_options *opt, struct tsm_points *out,
                    tsm_reject_fn *reject, void *ctx);

enum {
    TSM_LINE_MAX = 4 << 20
}; /* bytes; a string that is still open so far from the start of its line has no end */

/* Length of the longest prefix of text that holds whole lines (a newline inside a string does not end one); 0
 * when none. At the end of the input, what is left is a line too. */
size_t tsm_line_records(struct tsm_str text);

/*
 * Validates a raw key and appends the canonical series key (tags sorted, escapes canonical) to out. On error
 * fills err with the cause only ("missing tag value"); the caller makes the message with tsm_line_error().
 * Duplicate tags, a missing measurement, keys over 65,535 bytes are errors, as in influxd.
 */
int tsm_line_key(struct tsm_str raw_key, struct tsm_buf *out, struct tsm_err *err);

/* Appends "unable to parse '<line>': <cause>", with \0 for a zero byte. */
void tsm_line_error(struct tsm_buf *out, struct tsm_str line, const char *cause);

/* Appends a point as a line without its end: key, fields, time in nanoseconds. fields: of the batch that it is from. */
void tsm_line_point(struct tsm_buf *out, const struct tsm_point *p, const struct tsm_field *fields);

/* Appends a value as line protocol writes it: 1.5, 12i, 12u, "text", true. */
void tsm_line_value(struct tsm_buf *out, enum tsm_type type, union tsm_value v);

#endif
