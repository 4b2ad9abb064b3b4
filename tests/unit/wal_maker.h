/* tests/unit/wal_maker.h: putting together log segments as influxd writes them. */
#ifndef WAL_MAKER_H
#define WAL_MAKER_H

#include "codec/values.h"

/* The content of a write: appends the values of one key. */
void wal_add_values(struct tsm_buf *content, struct tsm_str key, const struct tsm_values *values);
/* A whole delete-range record with one key. */
void wal_add_delete(struct tsm_buf *segment, struct tsm_str key, int64_t tmin, int64_t tmax);
/* A record around its content. */
void wal_add_record(struct tsm_buf *segment, uint8_t kind, const void *content, size_t n);

#endif
