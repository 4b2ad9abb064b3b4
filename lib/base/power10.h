/* base/power10.h: powers of ten, where a table is quicker than a loop. */
#ifndef TSM_BASE_POWER10_H
#define TSM_BASE_POWER10_H

#include <stdint.h>

enum { TSM_POWER10_UINTS = 20, TSM_POWER10_DOUBLES = 23 };

extern const uint64_t tsm_power10[TSM_POWER10_UINTS];        /* all that fit 64 bits */
extern const double tsm_power10_double[TSM_POWER10_DOUBLES]; /* all that a double holds exactly */

#endif
