/*
 * base/err.h: error codes and messages.
 *
 * What can fail returns an int: TSM_OK (0) or one of the negative codes below, and fills a
 * struct tsm_err with a message for a person. The message is lower case, has the cause last and no
 * full stop. Callers add context from the outside with tsm_err_wrap(): "dev/7.tsm: block at offset 12:
 * checksum mismatch". Every function takes NULL for the struct and then reports the code alone.
 */
#ifndef TSM_BASE_ERR_H
#define TSM_BASE_ERR_H

enum tsm_code {
    TSM_OK = 0,
    TSM_EIO = -1,
    TSM_ECORRUPT = -2,
    TSM_EPARSE = -3,
    TSM_EUSAGE = -4, /* wrong options or arguments */
    TSM_ENOTFOUND = -5,
    TSM_EEXISTS = -6,
    TSM_ELOCKED = -7,   /* by another process */
    TSM_ELIMIT = -8,    /* a limit of the format, or one that was given, is exceeded */
    TSM_ECONFLICT = -9, /* of field types */
    TSM_EQUERY = -10,
    TSM_EPIPE = -11, /* whoever reads the output has gone */
    TSM_ESTOP = -12, /* a callback wanted no more */
    TSM_ENOSPC = -13,
    TSM_EAGAIN = -14,  /* try again later: overloaded, no leader, shutting down */
    TSM_EACCESS = -15, /* who asks may not */
};

struct tsm_err {
    int code;
    char msg[1020]; /* always terminated; a longer message is cut */
};

/* Fills *err (when not NULL) and returns code. */
int tsm_err_set(struct tsm_err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* As tsm_err_set(), with ": " and the text of errno appended; ENOSPC and EDQUOT give TSM_ENOSPC,
 * ENOENT TSM_ENOTFOUND, EEXIST TSM_EEXISTS, EPIPE TSM_EPIPE, everything else TSM_EIO. */
int tsm_err_sys(struct tsm_err *err, int errnum, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "<fmt>: " before the message, makes the error one of this code and returns it. */
int tsm_err_wrap(struct tsm_err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
