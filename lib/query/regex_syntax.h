/*
 * query/regex_syntax.h: a pattern in Go's syntax (RE2 with Perl's extensions: package regexp/syntax) to the
 * same in PCRE2's, to be compiled without options that change the meaning of ^, $, \d, \s and \w.
 */
#ifndef TSM_QUERY_REGEX_SYNTAX_H
#define TSM_QUERY_REGEX_SYNTAX_H

#include "base/buf.h"
#include "base/err.h"

/* Appends to out. TSM_EPARSE with Go's text: "error parsing regexp: invalid escape sequence: `\y`". The
 * pattern is valid UTF-8. Groups lose their names and do not capture. */
int tsm_regex_rewrite(struct tsm_str pattern, struct tsm_buf *out, struct tsm_err *err);

#endif
