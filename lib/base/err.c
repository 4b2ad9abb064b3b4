/* base/err.c: filling and wrapping error messages. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

int tsm_err_set(struct tsm_err *err, int code, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(err->msg, sizeof err->msg, fmt, ap);
        va_end(ap);
        err->code = code;
    }
    return code;
}

static int code_of_errno(int errnum)
{
    switch (errnum) {
    case ENOSPC:
    case EDQUOT:
        return TSM_ENOSPC;
    case ENOENT:
        return TSM_ENOTFOUND;
    case EEXIST:
        return TSM_EEXISTS;
    case EPIPE:
        return TSM_EPIPE;
    default:
        return TSM_EIO;
    }
}

int tsm_err_sys(struct tsm_err *err, int errnum, const char *fmt, ...)
{
    int code = code_of_errno(errnum);
    if (err) {
        char text[128];
        va_list ap;
        va_start(ap, fmt);
        int n = vsnprintf(err->msg, sizeof err->msg, fmt, ap);
        va_end(ap);
        if (n >= 0 && (size_t)n < sizeof err->msg)
            snprintf(err->msg + n, sizeof err->msg - (size_t)n, ": %s",
                     strerror_r(errnum, text, sizeof text));
        err->code = code;
    }
    return code;
}

int tsm_err_wrap(struct tsm_err *err, int code, const char *fmt, ...)
{
    if (err) {
        char inner[sizeof err->msg];
        memcpy(inner, err->msg, sizeof inner);
        va_list ap;
        va_start(ap, fmt);
        int n = vsnprintf(err->msg, sizeof err->msg, fmt, ap);
        va_end(ap);
        if (n >= 0 && (size_t)n < sizeof err->msg) {
            int room = (int)(sizeof err->msg - (size_t)n);
            snprintf(err->msg + n, (size_t)room, ": %.*s", room > 3 ? room - 3 : 0, inner);
        }
        err->code = code;
    }
    return code;
}
