/* Snapshots from any bytes: nothing is read out of bounds, and what is accepted is encoded as the same again. */
#include <stdlib.h>

#include "base/alloc.h"
#include "cluster/snapshot.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tsm_snapshot s, again;
    struct tsm_buf first = {0}, second = {0};
    if (tsm_snapshot_decode(data, size, &s, NULL) != TSM_OK)
        return 0;
    tsm_snapshot_encode(&s, &first);
    if (tsm_snapshot_decode(first.data, first.len, &again, NULL) != TSM_OK)
        abort();
    tsm_snapshot_encode(&again, &second);
    if (!tsm_str_eq(tsm_buf_view(&first), tsm_buf_view(&second)))
        abort();
    tsm_snapshot_release(&s);
    tsm_snapshot_release(&again);
    tsm_buf_release(&first);
    tsm_buf_release(&second);
    return 0;
}
