/* query/regex.c: matching with PCRE2; regex_syntax.c rewrites the pattern. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "query/regex.h"

#include <pcre2.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/utf8.h"
#include "query/regex_syntax.h"

#include "base/banned.h"

enum { MATCH_LIMIT = 2000000, HEAP_LIMIT_KIB = 32 * 1024 };

struct tsm_regex {
    pcre2_code *code;
    pcre2_match_context *limits;
    /* Match data at rest: a thread takes it out, or makes its own when another thread has it. */
    _Atomic(pcre2_match_data *) spare;
    char *pattern;
};

static int compile(struct tsm_regex *re, struct tsm_str pattern, struct tsm_err *err)
{
    int code;
    PCRE2_SIZE offset;
    pcre2_compile_context *cc = pcre2_compile_context_create(NULL);
    if (cc)
        pcre2_set_newline(cc, PCRE2_NEWLINE_LF);
    re->code = pcre2_compile((PCRE2_SPTR)(pattern.n ? pattern.p : ""), pattern.n,
                             PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_ALT_CIRCUMFLEX | PCRE2_NO_AUTO_CAPTURE |
                                 PCRE2_NEVER_BACKSLASH_C,
                             &code, &offset, cc);
    pcre2_compile_context_free(cc);
    if (re->code) {
        (void)pcre2_jit_compile(re->code, PCRE2_JIT_COMPLETE); /* without JIT it is only slower */
        return TSM_OK;
    }
    PCRE2_UCHAR text[200];
    pcre2_get_error_message(code, text, sizeof text);
    return tsm_err_set(err, TSM_EPARSE, "error parsing regexp: %s: `%s`", (const char *)text, re->pattern);
}

int tsm_regex_compile(struct tsm_str pattern, struct tsm_regex **out, struct tsm_err *err)
{
    struct tsm_buf b = {0};
    int rc = tsm_regex_rewrite(pattern, &b, err);
    if (rc == TSM_OK) {
        struct tsm_regex *re = tsm_calloc(1, sizeof *re);
        re->pattern = tsm_strndup(pattern.p, pattern.n);
        rc = compile(re, tsm_buf_view(&b), err);
        if (rc == TSM_OK) {
            re->limits = pcre2_match_context_create(NULL);
            if (re->limits) {
                pcre2_set_match_limit(re->limits, MATCH_LIMIT);
                pcre2_set_heap_limit(re->limits, HEAP_LIMIT_KIB);
            }
            *out = re;
        } else {
            tsm_regex_free(re);
        }
    }
    tsm_buf_release(&b);
    return rc;
}

static int match_utf8(struct tsm_regex *re, struct tsm_str s, struct tsm_err *err)
{
    pcre2_match_data *md = atomic_exchange(&re->spare, NULL);
    if (!md)
        md = pcre2_match_data_create(1, NULL);
    if (!md)
        return tsm_err_set(err, TSM_ELIMIT, "regular expression /%s/: out of memory", re->pattern);
    PCRE2_SPTR text = (PCRE2_SPTR)(s.n ? s.p : "");
    int rc = pcre2_match(re->code, text, s.n, 0, PCRE2_NO_UTF_CHECK, md, re->limits);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(re->code, text, s.n, 0, PCRE2_NO_JIT | PCRE2_NO_UTF_CHECK, md, re->limits);
    pcre2_match_data_free(atomic_exchange(&re->spare, md));
    if (rc >= 0)
        return 1;
    if (rc == PCRE2_ERROR_NOMATCH)
        return 0;
    PCRE2_UCHAR why[200];
    pcre2_get_error_message(rc, why, sizeof why);
    return tsm_err_set(err, TSM_ELIMIT, "regular expression /%s/: %s", re->pattern, (const char *)why);
}

/* PCRE2's own way with text that is not UTF-8 gives wrong answers in its JIT (10.42), so it never sees such
 * text: as in Go, each wrong byte is U+FFFD. */
int tsm_regex_match(const struct tsm_regex *cre, struct tsm_str s, struct tsm_err *err)
{
    struct tsm_regex *re = (struct tsm_regex *)cre; /* only the spare changes */
    if (tsm_utf8_valid(s))
        return match_utf8(re, s, err);
    struct tsm_buf clean = {0};
    tsm_utf8_clean(&clean, s);
    int rc = match_utf8(re, tsm_buf_view(&clean), err);
    tsm_buf_release(&clean);
    return rc;
}

void tsm_regex_free(struct tsm_regex *re)
{
    if (!re)
        return;
    pcre2_match_data_free(atomic_load(&re->spare));
    pcre2_match_context_free(re->limits);
    pcre2_code_free(re->code);
    tsm_free(re->pattern);
    tsm_free(re);
}
