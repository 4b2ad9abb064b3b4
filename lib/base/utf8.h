/* base/utf8.h: UTF-8 as Go reads it: a byte that is not part of a well-formed sequence counts as U+FFFD. */
#ifndef TSM_BASE_UTF8_H
#define TSM_BASE_UTF8_H

#include <stdint.h>

#include "base/buf.h"

#define TSM_UTF8_REPLACEMENT "\xef\xbf\xbd"

/* Length of the well-formed sequence at p (n > 0 bytes are there), or 0. */
size_t tsm_utf8_length(const uint8_t *p, size_t n);
bool tsm_utf8_valid(struct tsm_str s);
/* Appends s with U+FFFD for every wrong byte. */
void tsm_utf8_clean(struct tsm_buf *out, struct tsm_str s);

#endif
