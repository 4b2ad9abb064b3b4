/*
 * query/regex_states.h: a regular expression as a set of states that walk over the text side by side, in time that grows with the text
 * alone (Thompson's construction). regex.c turns to it when PCRE2's backtracking takes too long; the answer is
 * the same. It reads patterns in the words that regex_syntax.h writes.
 */
#ifndef TSM_QUERY_REGEX_STATES_H
#define TSM_QUERY_REGEX_STATES_H

#include <stdbool.h>

#include "base/str.h"

struct tsm_regex_states;

/* NULL when it would have too many states. Immutable. */
struct tsm_regex_states *tsm_regex_states_new(struct tsm_str rewritten);
void tsm_regex_states_free(struct tsm_regex_states *m); /* NULL is allowed */
/* 1: found in s, which is UTF-8; 0: not; TSM_ELIMIT: too much work. */
int tsm_regex_states_match(const struct tsm_regex_states *m, struct tsm_str s);

#endif
