/* format/tsm_file.c: the names of TSM files. */
#include "format/tsm_file.h"

#include <stdio.h>

#include "base/banned.h"

void tsm_file_name_format(char out[TSM_NAME_MAX], struct tsm_file_name name, const char *suffix)
{
    snprintf(out, TSM_NAME_MAX, "%09u-%09u%s", name.generation, name.level, suffix);
}

/* Takes 1 to 10 digits off the front of s. */
static bool take_number(struct tsm_str *s, uint32_t *v)
{
    uint64_t x = 0;
    size_t i = 0;
    for (; i < s->n && i < 10 && s->p[i] >= '0' && s->p[i] <= '9'; i++)
        x = x * 10 + (uint64_t)(s->p[i] - '0');
    if (i == 0 || x > UINT32_MAX)
        return false;
    *s = tsm_str(s->p + i, s->n - i);
    *v = (uint32_t)x;
    return true;
}

bool tsm_file_name_parse(struct tsm_str s, const char *suffix, struct tsm_file_name *name)
{
    if (!take_number(&s, &name->generation) || s.n == 0 || s.p[0] != '-')
        return false;
    s = tsm_str(s.p + 1, s.n - 1);
    return take_number(&s, &name->level) && tsm_str_eq(s, tsm_str_of(suffix));
}
