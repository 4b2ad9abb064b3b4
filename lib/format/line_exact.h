/*
 * format/line_exact.h: the exact parser of one line, for what the fast one in line.c does not take: odd
 * escapes, odd blanks, and every line that is wrong. For line*.c and csv.c only.
 *
 * InfluxDB reads a line in several passes that do not agree with each other on what an escape is: one finds
 * the end of the line, one checks the fields, one splits them. Both the acceptance and the texts of the
 * errors follow from that, so the passes are kept apart here as they are there.
 */
#ifndef TSM_FORMAT_LINE_EXACT_H
#define TSM_FORMAT_LINE_EXACT_H

#include "format/line.h"

/* The end of the line that starts at p: a newline, or end. *open: end came inside a quoted string. A comment
 * ends at its newline whatever quotes it has. */
const char *tsm_line_find_end(const char *p, const char *end, bool *open);

/* Parses a line without its end and without blanks before it. True: point and fields were appended to out.
 * False: the cause was appended to cause. */
bool tsm_line_exact(struct tsm_str line, uint32_t number, const struct tsm_line_options *opt,
                    struct tsm_points *out, struct tsm_buf *cause);

/* The end of the key that starts at p: the first space with no backslash before it, or end. */
const char *tsm_line_key_end(const char *p, const char *end);

/* The first fault of a key, taken by itself: NULL when there is none. A fault of the whole key (a tag twice,
 * its length) is not looked for. */
const char *tsm_line_key_fault(struct tsm_str key);

/* The value of a boolean: t, T, true, True, TRUE and their opposites; false when s is none of these words. */
bool tsm_line_boolean(struct tsm_str s, bool *v);

/* Skips spaces, tabs and zero bytes. */
static inline const char *tsm_line_skip_blanks(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\0'))
        p++;
    return p;
}

#endif
