/* query/select_aggregate.c: SELECT with functions. */
#include "query/run.h"

#include "base/banned.h"

int tsm_run_aggregate(struct tsm_run *r, struct tsm_err *err)
{
    (void)r;
    return tsm_err_set(err, TSM_EQUERY, "functions are not supported yet");
}
