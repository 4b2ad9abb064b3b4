/*
 * query/regex.h: regular expressions with the meaning that Go's regexp package gives them, on PCRE2.
 *
 * A pattern is checked and rewritten first: what Go does not know (look-around, back references …) is an
 * error with Go's text, and what the two engines read differently is put in PCRE2's words. A search is
 * unanchored, on UTF-8; a byte that is not UTF-8 counts as U+FFFD. Matching is limited in steps and memory.
 */
#ifndef TSM_QUERY_REGEX_H
#define TSM_QUERY_REGEX_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"

struct tsm_regex;

/* TSM_EPARSE: "error parsing regexp: missing closing ): `(`". The pattern is copied. */
int tsm_regex_compile(struct tsm_str pattern, struct tsm_regex **re, struct tsm_err *err);
/* 1: found in s, 0: not; TSM_ELIMIT when the limits do not suffice to tell. Any number of threads may
 * match with one regex. */
int tsm_regex_match(const struct tsm_regex *re, struct tsm_str s, struct tsm_err *err);
void tsm_regex_free(struct tsm_regex *re); /* NULL is allowed */

#endif
