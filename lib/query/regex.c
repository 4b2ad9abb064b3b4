/*
 * query/regex.c: matching with PCRE2; regex_syntax.c rewrites the pattern. PCRE2 is fast, but tries all ways to match, which some
 * patterns have beyond number. It is stopped early, and regex_states.c, which is slow but steady, gives the answer.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "query/regex.h"

#include <pcre2.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/time.h"
#include "base/utf8.h"
#include "query/regex_states.h"
#include "query/regex_syntax.h"

#include "base/banned.h"

/*
 * PCRE2 counts its steps from each place in the text anew, and not those within a repetition of single characters. So the limit goes
 * down with the length of the text, and the time is looked at now and then from a callout at the start of the pattern.
 */
enum { MOST_STEPS = 100000, LEAST_STEPS = 200, ALL_STEPS = 50000000, HEAP_LIMIT_KIB = 1024 };
#define PATIENCE (2 * TSM_MSEC)

/* What a thread needs to match. */
struct matcher {
    pcre2_match_data *data;
    pcre2_match_context *context;
    unsigned starts;
    int64_t until; /* 0: the clock has not been looked at */
};

struct tsm_regex {
    pcre2_code *code;
    /* A matcher at rest: a thread takes it out, or makes its own when another thread has it. */
    _Atomic(struct matcher *) spare;
    _Atomic(struct tsm_regex_states *) states; /* made when PCRE2 first gives up */
    char *pattern;
    struct tsm_buf rewritten;
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
    struct tsm_regex *re = tsm_calloc(1, sizeof *re);
    re->pattern = tsm_strndup(pattern.p, pattern.n);
    int rc = tsm_regex_rewrite(pattern, &re->rewritten, err);
    if (rc == TSM_OK) {
        struct tsm_buf b = {0};
        tsm_buf_puts(&b, "(?C1)(?:");
        tsm_buf_str(&b, tsm_buf_view(&re->rewritten));
        tsm_buf_byte(&b, ')');
        rc = compile(re, tsm_buf_view(&b), err);
        tsm_buf_release(&b);
    }
    if (rc == TSM_OK)
        *out = re;
    else
        tsm_regex_free(re);
    return rc;
}

/* At the start of an attempt, from some place in the text. */
static int on_start(pcre2_callout_block *block, void *arg)
{
    struct matcher *m = arg;
    (void)block;
    if (++m->starts % 16)
        return 0;
    int64_t now = tsm_monotonic();
    if (!m->until)
        m->until = now + PATIENCE;
    return now < m->until ? 0 : PCRE2_ERROR_MATCHLIMIT;
}

static void matcher_free(struct matcher *m)
{
    if (!m)
        return;
    pcre2_match_data_free(m->data);
    pcre2_match_context_free(m->context);
    tsm_free(m);
}

static struct matcher *matcher_take(struct tsm_regex *re)
{
    struct matcher *m = atomic_exchange(&re->spare, NULL);
    if (m)
        return m;
    m = tsm_calloc(1, sizeof *m);
    m->data = pcre2_match_data_create(1, NULL);
    m->context = pcre2_match_context_create(NULL);
    if (!m->data || !m->context) {
        matcher_free(m);
        return NULL;
    }
    pcre2_set_heap_limit(m->context, HEAP_LIMIT_KIB);
    pcre2_set_callout(m->context, on_start, m);
    return m;
}

/* The answer without PCRE2's steps. */
static int match_states(struct tsm_regex *re, struct tsm_str s, struct tsm_err *err)
{
    struct tsm_regex_states *states = atomic_load(&re->states);
    if (!states) {
        struct tsm_regex_states *made = tsm_regex_states_new(tsm_buf_view(&re->rewritten));
        if (atomic_compare_exchange_strong(&re->states, &states, made))
            states = made;
        else /* another thread was faster */
            tsm_regex_states_free(made);
    }
    int rc = states ? tsm_regex_states_match(states, s) : TSM_ELIMIT;
    return rc < 0 ? tsm_err_set(err, rc, "regular expression /%.600s/ takes too long on a text of %zu bytes",
                                re->pattern, s.n)
                  : rc;
}

static int match_utf8(struct tsm_regex *re, struct tsm_str s, struct tsm_err *err)
{
    struct matcher *m = matcher_take(re);
    if (!m)
        return tsm_err_set(err, TSM_ELIMIT, "regular expression /%.600s/: out of memory", re->pattern);
    size_t steps = ALL_STEPS / (s.n + 1);
    steps = steps > MOST_STEPS ? MOST_STEPS : steps < LEAST_STEPS ? LEAST_STEPS : steps;
    pcre2_set_match_limit(m->context, (uint32_t)steps);
    m->starts = 0;
    m->until = 0;
    PCRE2_SPTR text = (PCRE2_SPTR)(s.n ? s.p : "");
    int rc = pcre2_match(re->code, text, s.n, 0, PCRE2_NO_UTF_CHECK, m->data, m->context);
    matcher_free(atomic_exchange(&re->spare, m));
    return rc >= 0 ? 1 : rc == PCRE2_ERROR_NOMATCH ? 0 : match_states(re, s, err);
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
    matcher_free(atomic_load(&re->spare));
    tsm_regex_states_free(atomic_load(&re->states));
    pcre2_code_free(re->code);
    tsm_buf_release(&re->rewritten);
    tsm_free(re->pattern);
    tsm_free(re);
}
