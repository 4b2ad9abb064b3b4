/* codec/string.c: string values of a block. */
#include "codec/string.h"

#include <snappy-c.h>

#include "base/bytes.h"
#include "base/banned.h"

enum { SNAPPY = 1 };

static int compress(struct tsm_buf *out, const struct tsm_buf *plain, struct tsm_err *err)
{
    if (plain->len > UINT32_MAX)
        return tsm_err_set(err, TSM_ELIMIT, "strings of one block exceed 4 GiB");
    size_t len = snappy_max_compressed_length(plain->len);
    uint8_t *p = tsm_buf_room(out, 1 + len);
    p[0] = SNAPPY << 4;
    if (snappy_compress((const char *)plain->data, plain->len, (char *)p + 1, &len) != SNAPPY_OK)
        return tsm_err_set(err, TSM_ELIMIT, "strings cannot be compressed");
    out->len += 1 + len;
    return TSM_OK;
}

int tsm_string_encode(struct tsm_buf *out, const struct tsm_str *v, size_t n, struct tsm_err *err)
{
    struct tsm_buf plain = {0};
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += v[i].n + TSM_VARINT_MAX;
    tsm_buf_room(&plain, bytes);
    for (size_t i = 0; i < n; i++) {
        plain.len += tsm_put_uvarint(plain.data + plain.len, v[i].n);
        tsm_buf_str(&plain, v[i]);
    }
    int rc = compress(out, &plain, err);
    tsm_buf_release(&plain);
    return rc;
}

static int uncompress(const uint8_t *p, size_t len, struct tsm_buf *text, struct tsm_err *err)
{
    size_t plain;
    if (snappy_uncompressed_length((const char *)p, len, &plain) != SNAPPY_OK)
        return tsm_err_set(err, TSM_ECORRUPT, "strings: bad snappy header");
    /* An element of three bytes gives at most 64, so a larger size is a lie that must not be allocated. */
    if (plain > 22 * len)
        return tsm_err_set(err, TSM_ECORRUPT, "strings: %zu bytes cannot hold %zu", len, plain);
    tsm_buf_reset(text);
    uint8_t *room = tsm_buf_room(text, plain + 1);
    if (snappy_uncompress((const char *)p, len, (char *)room, &plain) != SNAPPY_OK)
        return tsm_err_set(err, TSM_ECORRUPT, "strings: damaged snappy block");
    text->len = plain;
    return TSM_OK;
}

int tsm_string_decode(const uint8_t *p, size_t len, struct tsm_buf *text, struct tsm_str *v, size_t n,
                      struct tsm_err *err)
{
    if (len == 0)
        return tsm_err_set(err, TSM_ECORRUPT, "strings: none");
    if (p[0] >> 4 != SNAPPY)
        return tsm_err_set(err, TSM_ECORRUPT, "strings: unknown encoding %d", p[0] >> 4);
    int rc = uncompress(p + 1, len - 1, text, err);
    if (rc)
        return rc;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t size;
        size_t used = tsm_get_uvarint(text->data + at, text->len - at, &size);
        if (!used || size > text->len - at - used)
            return tsm_err_set(err, TSM_ECORRUPT, "strings: value %zu of %zu is cut short", i + 1, n);
        at += used;
        v[i] = tsm_str((const char *)text->data + at, (size_t)size);
        at += (size_t)size;
    }
    if (at != text->len)
        return tsm_err_set(err, TSM_ECORRUPT, "strings: %zu bytes after the last of %zu values",
                           text->len - at, n);
    return TSM_OK;
}

const char *tsm_string_encoding_name(uint8_t first_byte)
{
    return first_byte >> 4 == SNAPPY ? "snappy" : "unknown";
}
