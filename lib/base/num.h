/*
 * base/num.h: numbers to and from text, exactly as InfluxDB (Go) reads and prints them.
 *
 * Parsers take the whole string: anything left over is an error. They never depend on the locale.
 * Formatters write to p without a terminator and return the length; p has room for TSM_NUM_MAX bytes.
 */
#ifndef TSM_BASE_NUM_H
#define TSM_BASE_NUM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum { TSM_NUM_MAX = 352 }; /* the longest: a float of 1e-308 in plain notation */

bool tsm_parse_int(struct tsm_str s, int64_t *v);   /* [+-]?[0-9]+ within 64 bits */
bool tsm_parse_uint(struct tsm_str s, uint64_t *v); /* [0-9]+ within 64 bits */
bool tsm_parse_float(struct tsm_str s,
                     double *v); /* Go's decimal syntax, correctly rounded; no inf, nan, hex */
bool tsm_parse_size(struct tsm_str s, uint64_t *v); /* 64, 64k, 512M, 2g, 512MB, 1GiB: powers of 1024 */

size_t tsm_format_int(char *p, int64_t v);
size_t tsm_format_uint(char *p, uint64_t v);

/* The shortest digits that read back as v, as Go prints them: */
size_t tsm_format_float_json(char *p,
                             double v); /* encoding/json: plain for 1e-6 <= |v| < 1e21, else 1e-7, 1e+21 */
size_t tsm_format_float_plain(char *p, double v); /* strconv 'f', -1: never an exponent */
size_t tsm_format_float_g(char *p, double v);     /* strconv 'g', -1: 1e+06 from 1e6 on, 1e-05 below 1e-4 */

#endif
