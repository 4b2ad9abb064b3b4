/* libraft's segments from any bytes: nothing is read out of bounds, and only damage is found. */
#include <stdlib.h>

#include "cluster/raft_segment.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int rc = tsm_raft_check_segment(data, size, NULL);
    if (rc != TSM_OK && rc != TSM_ECORRUPT)
        abort();
    return 0;
}
