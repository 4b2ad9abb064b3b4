/* cli/inspect_dump.h: the parts of tsm-inspect dump. */
#ifndef TSM_CLI_INSPECT_DUMP_H
#define TSM_CLI_INSPECT_DUMP_H

#include "cli/inspect.h"
#include "query/sink.h"

struct tsm_dump {
    struct tsm_inspect *in;
    struct tsm_sink *sink;
    bool several; /* files */
    uint64_t files;
};

/* The entries of a log segment: influxd's, or our own. */
int tsm_dump_influx_log(struct tsm_dump *d, const char *path, struct tsm_err *err);
int tsm_dump_own_log(struct tsm_dump *d, const char *path, struct tsm_err *err);

#endif
