/*
 * cli/server.h: which server a program talks to, by its options: the one of --host, or the daemon that owns the data directory.
 */
#ifndef TSM_CLI_SERVER_H
#define TSM_CLI_SERVER_H

#include "cli/options.h"
#include "net/client.h"

/* The client to use, NULL: none, the program works on the directory itself. stop and warn as in struct tsm_client_options; may be
 * NULL. TSM_EUSAGE. */
int tsm_server_client(const struct tsm_common *common, const struct tsm_client_options *opt,
                      struct tsm_client **c, struct tsm_err *err);

#endif
