/* cli/continuous.h: tsm-query --run-continuous-queries: what is due in a directory that has no daemon, once. */
#ifndef TSM_CLI_CONTINUOUS_H
#define TSM_CLI_CONTINUOUS_H

#include "cli/options.h"
#include "query/query.h"

/* query: over a directory, without a backend; its database: of these queries alone, empty: all. Says what it did with --verbose. *rows
 * is the number of points written. Errors of single queries are said; the first is returned. */
int tsm_cli_continuous(const struct tsm_program *program, const struct tsm_query_options *query,
                       uint64_t *rows, struct tsm_err *err);

#endif
