/* cli/progress.c: the progress line. */
#include "cli/progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/time.h"
#include "base/banned.h"

enum { PERIOD_MS = 200, LINE_MAX_LEN = 256 };

void tsm_progress_start(struct tsm_progress *p, const char *program)
{
    *p = (struct tsm_progress){.on = isatty(STDERR_FILENO), .program = program, .started = tsm_monotonic()};
}

bool tsm_progress_due(const struct tsm_progress *p)
{
    return p->on && tsm_monotonic() - (p->shown ? p->shown : p->started) >= PERIOD_MS * TSM_MSEC;
}

void tsm_progress_show(struct tsm_progress *p, const char *fmt, ...)
{
    char line[LINE_MAX_LEN];
    struct winsize size = {0};
    if (!p->on)
        return;
    int n = snprintf(line, sizeof line, "%s: ", p->program);
    va_list ap;
    va_start(ap, fmt);
    n += vsnprintf(line + n, sizeof line - (size_t)n, fmt, ap);
    va_end(ap);
    if (n >= (int)sizeof line)
        n = sizeof line - 1;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && n >= size.ws_col)
        n = size.ws_col - 1; /* a line that wraps could not be overwritten */
    fprintf(stderr, "\r%.*s\033[K", n, line);
    fflush(stderr);
    p->shown = tsm_monotonic();
}

void tsm_progress_clear(struct tsm_progress *p)
{
    if (!p->on || !p->shown)
        return;
    fputs("\r\033[K", stderr);
    p->shown = 0;
}

double tsm_progress_seconds(const struct tsm_progress *p)
{
    return (double)(tsm_monotonic() - p->started) / 1e9;
}

void tsm_amount(char out[TSM_AMOUNT_MAX], double v)
{
    static const char units[] = {'k', 'M', 'G', 'T', 'P', 'E'};
    int unit = -1;
    while (v >= 999.95 && unit + 1 < (int)sizeof units) {
        v /= 1000;
        unit++;
    }
    if (unit < 0)
        snprintf(out, TSM_AMOUNT_MAX, "%.0f", v);
    else
        snprintf(out, TSM_AMOUNT_MAX, "%.1f%c", v, units[unit]);
}
