/* cli/config.h: the YAML configuration file (form: cli/options.h). */
#ifndef TSM_CLI_CONFIG_H
#define TSM_CLI_CONFIG_H

#include "cli/options.h"

/* Sets the options of p that the file names. TSM_EUSAGE with "FILE:LINE: cause". */
int tsm_config_read(const struct tsm_program *p, const char *path, struct tsm_err *err);

#endif
