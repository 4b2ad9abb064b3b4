/*
 * base/zone.h: time zones as files of the tz database describe them (RFC 8536), with the results of Go's time package, which
 * influxd uses. Offsets are seconds east of UTC. sys/zone_file.h finds the files. UTC itself is NULL
 * wherever a zone is expected. A zone is immutable.
 */
#ifndef TSM_BASE_ZONE_H
#define TSM_BASE_ZONE_H

#include <stdint.h>

#include "base/str.h"

struct tsm_zone;

/* bytes: of a file. NULL when they are not a zone. */
struct tsm_zone *tsm_zone_parse(struct tsm_str name, struct tsm_str bytes);
void tsm_zone_free(struct tsm_zone *z); /* NULL is allowed */
struct tsm_str tsm_zone_name(const struct tsm_zone *z);

/* The offset at a time in seconds since 1970; it is the same for all of [*start, *end). */
int32_t tsm_zone_lookup(const struct tsm_zone *z, int64_t seconds, int64_t *start, int64_t *end);
/* Both in nanoseconds. */
int64_t tsm_zone_offset(const struct tsm_zone *z, int64_t t);
/* The time at which clocks show what they show in UTC at `local`, in seconds. When the clock is put back, one of the two; when it is
 * put forward, an hour before or after, as Go's time.Date() decides. */
int64_t tsm_zone_to_utc(const struct tsm_zone *z, int64_t local);

#endif
