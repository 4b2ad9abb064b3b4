/*
 * format/series_key.h: series keys as InfluxDB stores them, and the keys of a TSM index.
 *
 *   series key   measurement[,tag=value]*     tags in ascending byte order of their names
 *                measurement: ',' and ' ' escaped by '\'; tag names and values: ',', '=' and ' '
 *   TSM key      series key "#!~#" field name (raw)
 *
 * Source: influxdb v1.8 models/points.go (MakeKey, parseTags), tsdb/engine/tsm1/engine.go
 * (keyFieldSeparator).
 */
#ifndef TSM_FORMAT_SERIES_KEY_H
#define TSM_FORMAT_SERIES_KEY_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum { TSM_KEY_MAX = 65535 }; /* bytes in a series key, and in a TSM key */

#define TSM_FIELD_SEPARATOR TSM_STR("#!~#")

struct tsm_tag {
    struct tsm_str key, value; /* unescaped */
};

struct tsm_series {
    struct tsm_str measurement; /* unescaped */
    struct tsm_tag *tags;       /* ascending by key */
    size_t ntags;
};

/* Splits a TSM key at the first field separator, as InfluxDB does. False when there is none. */
bool tsm_key_split(struct tsm_str key, struct tsm_str *series, struct tsm_str *field);

/* Parses a series key into s. Tags with an empty value are left out. Unescaped texts and the tag array are in
 * the arena, or point into key. */
int tsm_series_parse(struct tsm_str key, struct tsm_arena *a, struct tsm_series *s, struct tsm_err *err);

/* Appends the canonical series key; tags must be in order. */
void tsm_series_make(struct tsm_buf *out, const struct tsm_series *s);

/* The value of a tag, or an empty string (p NULL) when the series does not have it. */
struct tsm_str tsm_series_tag(const struct tsm_series *s, struct tsm_str key);

/* The characters that '\' protects in each part of a line. */
#define TSM_MEASUREMENT_SPECIALS ", "
#define TSM_TAG_SPECIALS ",= "
#define TSM_FIELD_SPECIALS ",= \""
#define TSM_STRING_SPECIALS "\"\\"

/* s without the escapes of specials: s itself when there are none, else a copy in the arena. */
struct tsm_str tsm_unescape(struct tsm_str s, const char *specials, struct tsm_arena *a);

/* Appending with line protocol's escapes. */
void tsm_escape_measurement(struct tsm_buf *out, struct tsm_str s);
void tsm_escape_tag(struct tsm_buf *out, struct tsm_str s);
void tsm_escape_field(struct tsm_buf *out, struct tsm_str s); /* a field's name */
void tsm_escape_string(struct tsm_buf *out,
                       struct tsm_str s); /* a string field's content, without the quotes */

#endif
