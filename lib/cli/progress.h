/* cli/progress.h: one line on a terminal's stderr that says how far the work is. */
#ifndef TSM_CLI_PROGRESS_H
#define TSM_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* A zeroed struct is switched off. */
struct tsm_progress {
    bool on;
    const char *program;
    int64_t started, shown; /* monotonic nanoseconds; shown 0: not yet */
};

/* On only when stderr is a terminal. */
void tsm_progress_start(struct tsm_progress *p, const char *program);
/* Whether the last text was shown some time ago, so that another may be. */
bool tsm_progress_due(const struct tsm_progress *p);
/* Shows the text in place of the last one, cut to the width of the terminal. */
void tsm_progress_show(struct tsm_progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Removes the line, before anything else is written to stderr. */
void tsm_progress_clear(struct tsm_progress *p);

double tsm_progress_seconds(const struct tsm_progress *p); /* since the start, also when it is off */

enum { TSM_AMOUNT_MAX = 24 };
/* "999", "1.2k", "10.0M", "3.1G": for people. Terminated. */
void tsm_amount(char out[TSM_AMOUNT_MAX], double v);

#endif
