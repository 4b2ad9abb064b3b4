/* cli/option_value.h: setting an option from text, shared by arguments, environment and configuration
 * file. */
#ifndef TSM_CLI_OPTION_VALUE_H
#define TSM_CLI_OPTION_VALUE_H

#include "cli/options.h"

/* text: NULL for a flag that stands alone; it must live as long as the program. TSM_EUSAGE with a message. */
int tsm_option_set(const struct tsm_option *o, const char *text, struct tsm_err *err);

#endif
