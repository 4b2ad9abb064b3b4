/* format/scan_bytes.h: finding the next byte that matters in a text, 16 at a time where the machine can. */
#ifndef TSM_FORMAT_SCAN_BYTES_H
#define TSM_FORMAT_SCAN_BYTES_H

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* The first of five bytes in [p, end), or end. Fewer than five are given by repeating one. */
static inline __attribute__((always_inline)) const char *tsm_find_any(const char *p, const char *end, char a,
                                                                      char b, char c, char d, char e)
{
#ifdef __SSE2__
    const __m128i va = _mm_set1_epi8(a), vb = _mm_set1_epi8(b), vc = _mm_set1_epi8(c);
    const __m128i vd = _mm_set1_epi8(d), ve = _mm_set1_epi8(e);
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(v, va), _mm_cmpeq_epi8(v, vb));
        hit = _mm_or_si128(hit, _mm_cmpeq_epi8(v, vc));
        if (d != c)
            hit = _mm_or_si128(hit, _mm_cmpeq_epi8(v, vd));
        if (e != d)
            hit = _mm_or_si128(hit, _mm_cmpeq_epi8(v, ve));
        unsigned mask = (unsigned)_mm_movemask_epi8(hit);
        if (mask)
            return p + __builtin_ctz(mask);
    }
#endif
    for (; p < end; p++)
        if (*p == a || *p == b || *p == c || *p == d || *p == e)
            break;
    return p;
}

#endif
