/*
 * store/damage.h: what to do with a file, a block or a log record that does not check: stop there, or report
 * it, leave it out and go on.
 */
#ifndef TSM_STORE_DAMAGE_H
#define TSM_STORE_DAMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct tsm_damage {
    bool skip; /* --skip-corrupt: leave it out and go on; else the first one is the error */
    /* Called once for each one left out, by any thread (serialised by the callee); may be NULL. */
    void (*report)(void *ctx, const char *message);
    void *ctx;
};

/* TSM_OK when err (not NULL) is TSM_ECORRUPT and damage says to leave such things out, after reporting it;
 * else err->code. damage may be NULL: nothing is left out. */
int tsm_damage_pass(const struct tsm_damage *damage, const struct tsm_err *err);

/* The places that have been reported, for what is met again and again. Thread-safe. */
struct tsm_reported;

struct tsm_reported *tsm_reported_new(void);
/* As tsm_damage_pass(), but reports each (file, offset) only once. */
int tsm_reported_pass(struct tsm_reported *r, uint32_t file, uint64_t offset, const struct tsm_damage *damage,
                      const struct tsm_err *err);
void tsm_reported_free(struct tsm_reported *r); /* NULL is allowed */

#endif
