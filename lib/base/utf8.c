/* base/utf8.c: telling well-formed UTF-8 from other bytes. */
#include "base/utf8.h"

#include "base/banned.h"

size_t tsm_utf8_length(const uint8_t *p, size_t n)
{
    size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    if (len == 0 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    /* Overlong forms, surrogates, beyond U+10FFFF. */
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return len;
}

bool tsm_utf8_valid(struct tsm_str s)
{
    const uint8_t *p = (const uint8_t *)s.p, *end = p + s.n;
    while (p < end) {
        uint64_t word;
        if (end - p >= 8 && (memcpy(&word, p, 8), (word & 0x8080808080808080) == 0)) {
            p += 8;
            continue;
        }
        size_t len = tsm_utf8_length(p, (size_t)(end - p));
        if (len == 0)
            return false;
        p += len;
    }
    return true;
}

void tsm_utf8_clean(struct tsm_buf *out, struct tsm_str s)
{
    const uint8_t *p = (const uint8_t *)s.p, *end = p + s.n;
    while (p < end) {
        size_t len = tsm_utf8_length(p, (size_t)(end - p));
        if (len)
            tsm_buf_add(out, p, len);
        else
            tsm_buf_puts(out, TSM_UTF8_REPLACEMENT);
        p += len ? len : 1;
    }
}
