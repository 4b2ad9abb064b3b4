/* store/verify_log.h: verifying tsmkit's own log: every record of every segment, and their sequence. */
#ifndef TSM_STORE_VERIFY_LOG_H
#define TSM_STORE_VERIFY_LOG_H

#include "store/verify.h"

/* The segments in the folder dir, when it has some. */
int tsm_verify_log(struct tsm_verify *v, const char *dir, struct tsm_err *err);
int tsm_verify_log_segment(struct tsm_verify *v, const char *path, struct tsm_err *err);

#endif
