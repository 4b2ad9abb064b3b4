/*
 * base/time.h: instants (int64 nanoseconds since 1970-01-01T00:00:00Z) and durations (int64 nanoseconds).
 */
#ifndef TSM_BASE_TIME_H
#define TSM_BASE_TIME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "base/zone.h"

#define TSM_TIME_MIN (INT64_MIN + 2) /* the smallest and largest time that InfluxDB stores */
#define TSM_TIME_MAX (INT64_MAX - 1)

#define TSM_USEC 1000LL
#define TSM_MSEC 1000000LL
#define TSM_SEC 1000000000LL
#define TSM_MINUTE (60 * TSM_SEC)
#define TSM_HOUR (60 * TSM_MINUTE)
#define TSM_DAY (24 * TSM_HOUR)
#define TSM_WEEK (7 * TSM_DAY)

int64_t tsm_now(void);       /* wall clock */
int64_t tsm_monotonic(void); /* nanoseconds since some moment, for measuring */

/* Nanoseconds of one unit of a precision name: ns, n, us, u, µ, ms, s, m, h. 0 when it is none of these. */
int64_t tsm_precision_unit(struct tsm_str name);

enum { TSM_TIME_TEXT_MAX = 40 };

/* RFC 3339 in UTC with as many fractional digits as needed (Go's RFC3339Nano): 2006-01-02T15:04:05.5Z.
 * Writes no terminator; returns the length. */
size_t tsm_format_rfc3339(char *p, int64_t t);
/* The same for seconds since 1970, without a fraction and for every year from 0 to 9999. */
size_t tsm_format_rfc3339_seconds(char *p, int64_t seconds);
/* An offset from UTC in seconds as RFC 3339 has it behind a time: Z, +05:30. */
size_t tsm_format_offset(char *p, int32_t offset);

/* Reads RFC 3339 and InfluxQL's time strings: "2006-01-02", "2006-01-02 15:04:05.999999999",
 * "2006-01-02T15:04:05Z" with or without an offset. False when s is none of these or out of range. */
bool tsm_parse_time(struct tsm_str s, int64_t *t);
/* What has no offset of its own is in the zone (NULL: UTC). */
bool tsm_parse_time_in(const struct tsm_zone *zone, struct tsm_str s, int64_t *t);
/* The same for every year from 0 to 9999: seconds since 1970, rounded down, and the nanoseconds after
 * them. */
bool tsm_parse_instant(const struct tsm_zone *zone, struct tsm_str s, int64_t *seconds, int64_t *nanos);

/* InfluxQL durations: a sum of numbers with units ns, u, µ, us, ms, s, m, h, d, w ("1h30m"); INF is not
 * accepted. False on a syntax error or overflow. */
bool tsm_parse_duration(struct tsm_str s, int64_t *d);

/* As influxql.FormatDuration: the largest unit that divides it, "0s" for 0: 1w, 36h, 90s. */
size_t tsm_format_duration_influxql(char *p, int64_t d);

/* As Go's Duration.String(): 168h0m0s, 1.5ms, 0s. */
size_t tsm_format_duration_go(char *p, int64_t d);

/* The largest multiple of d, counted from Go's zero time (0001-01-01T00:00:00Z, a Monday), that is not
 * after t: how InfluxDB aligns shard groups. d > 0. Saturates at INT64_MIN. */
int64_t tsm_time_truncate(int64_t t, int64_t d);

#endif
