/* tests/unit/wal_maker.c: log segments for tests. */
#include "wal_maker.h"

#include <snappy-c.h>
#include <stdlib.h>

#include "base/bytes.h"

static void add_be(struct tsm_buf *b, uint64_t v, int bytes)
{
    while (bytes-- > 0)
        tsm_buf_byte(b, (uint8_t)(v >> (8 * bytes)));
}

void wal_add_record(struct tsm_buf *segment, uint8_t kind, const void *content, size_t n)
{
    size_t size = snappy_max_compressed_length(n);
    uint8_t *p = tsm_buf_room(segment, 5 + size);
    if (snappy_compress(content, n, (char *)p + 5, &size) != SNAPPY_OK)
        abort();
    p[0] = kind;
    tsm_put_be32(p + 1, (uint32_t)size);
    segment->len += 5 + size;
}

void wal_add_values(struct tsm_buf *content, struct tsm_str key, const struct tsm_values *values)
{
    static const uint8_t codes[] = {
        [TSM_FLOAT] = 1, [TSM_INTEGER] = 2, [TSM_BOOLEAN] = 3, [TSM_STRING] = 4, [TSM_UNSIGNED] = 5};
    tsm_buf_byte(content, codes[values->type]);
    add_be(content, key.n, 2);
    tsm_buf_str(content, key);
    add_be(content, values->n, 4);
    for (size_t i = 0; i < values->n; i++) {
        add_be(content, (uint64_t)values->t[i], 8);
        if (values->type == TSM_STRING) {
            add_be(content, values->v.s[i].n, 4);
            tsm_buf_str(content, values->v.s[i]);
        } else if (values->type == TSM_BOOLEAN) {
            tsm_buf_byte(content, values->v.b[i]);
        } else {
            add_be(content, values->v.u[i], 8);
        }
    }
}

void wal_add_delete(struct tsm_buf *segment, struct tsm_str key, int64_t tmin, int64_t tmax)
{
    struct tsm_buf content = {0};
    add_be(&content, (uint64_t)tmin, 8);
    add_be(&content, (uint64_t)tmax, 8);
    add_be(&content, key.n, 4);
    tsm_buf_str(&content, key);
    wal_add_record(segment, 3, content.data, content.len);
    tsm_buf_release(&content);
}
