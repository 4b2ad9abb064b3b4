/*
 * base/zone.c: TZif files. The part with 64-bit times is read when there is one. After the last transition, the rule in the footer
 * (POSIX's TZ) holds for ever.
 */
#include "base/zone.h"

#include <string.h>

#include "base/alloc.h"
#include "base/banned.h"

#define DAY 86400
#define HOUR 3600

struct kind { /* of local time */
    int32_t offset;
    bool dst;
};

enum rule_kind { RULE_JULIAN, RULE_DAY_OF_YEAR, RULE_MONTH_WEEK_DAY };

struct rule { /* a moment of each year */
    enum rule_kind kind;
    int day, week, month;
    int32_t time; /* seconds after midnight of that day */
};

struct footer {
    bool any, changes; /* changes: there is summer time */
    int32_t standard, summer;
    struct rule from, to; /* of summer time */
};

struct tsm_zone {
    struct tsm_str name;
    int64_t *when;  /* transitions, ascending */
    uint8_t *which; /* the kind from then on */
    size_t n;
    struct kind *kinds;
    size_t nkinds;
    size_t first; /* kind before the first transition */
    struct footer footer;
};

/* ---- bytes --------------------------------------------------------------------------------------- */

struct reader {
    const uint8_t *p, *end;
    bool failed;
};

static const uint8_t *take(struct reader *r, uint64_t n)
{
    if (r->failed || n > (uint64_t)(r->end - r->p)) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *p = r->p;
    r->p += n;
    return p;
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t get64(const uint8_t *p)
{
    return (int64_t)((uint64_t)get32(p) << 32 | get32(p + 4));
}

enum { UTC_FLAGS, STANDARD_FLAGS, LEAPS, TIMES, KINDS, CHARS, COUNTS };

static bool take_header(struct reader *r, uint8_t *version, uint32_t *counts)
{
    const uint8_t *p = take(r, 44);
    if (!p || memcmp(p, "TZif", 4) != 0)
        return false;
    *version = p[4];
    for (int i = 0; i < COUNTS; i++)
        counts[i] = get32(p + 20 + 4 * i);
    return *version == 0 || *version == '2' || *version == '3' || *version == '4';
}

/* The bytes of the data block that the header tells of, with times of `size` bytes. */
static uint64_t block_size(const uint32_t *n, uint64_t size)
{
    return n[TIMES] * (size + 1) + n[KINDS] * (uint64_t)6 + n[CHARS] + n[LEAPS] * (size + 4) +
           n[STANDARD_FLAGS] + (uint64_t)n[UTC_FLAGS];
}

/* ---- the footer: std offset dst offset,rule,rule ------------------------------------------------- */

struct text {
    const char *p, *end;
};

static bool at(const struct text *t, char c)
{
    return t->p < t->end && *t->p == c;
}

static bool accept(struct text *t, char c)
{
    bool yes = at(t, c);
    t->p += yes;
    return yes;
}

static bool is_digit(const struct text *t)
{
    return t->p < t->end && *t->p >= '0' && *t->p <= '9';
}

static bool take_number(struct text *t, int min, int max, int *out)
{
    int n = 0;
    if (!is_digit(t))
        return false;
    for (; is_digit(t); t->p++) {
        n = 10 * n + (*t->p - '0');
        if (n > max)
            return false;
    }
    *out = n;
    return n >= min;
}

static bool skip_name(struct text *t)
{
    const char *from = t->p;
    if (accept(t, '<')) {
        while (t->p < t->end && *t->p != '>')
            t->p++;
        return accept(t, '>');
    }
    while (t->p < t->end && !is_digit(t) && !at(t, ',') && !at(t, '-') && !at(t, '+'))
        t->p++;
    return t->p - from >= 3;
}

/* [+-]hours[:minutes[:seconds]] */
static bool take_offset(struct text *t, int32_t *out)
{
    bool negative = at(t, '-');
    int hours, minutes = 0, seconds = 0;
    if (at(t, '+') || at(t, '-'))
        t->p++;
    if (!take_number(t, 0, 24 * 7, &hours))
        return false;
    if (accept(t, ':') &&
        (!take_number(t, 0, 59, &minutes) || (accept(t, ':') && !take_number(t, 0, 59, &seconds))))
        return false;
    *out = hours * HOUR + minutes * 60 + seconds;
    if (negative)
        *out = -*out;
    return true;
}

static bool take_rule(struct text *t, struct rule *r)
{
    *r = (struct rule){.kind = RULE_DAY_OF_YEAR, .time = 2 * HOUR};
    if (accept(t, 'J')) {
        r->kind = RULE_JULIAN;
        if (!take_number(t, 1, 365, &r->day))
            return false;
    } else if (accept(t, 'M')) {
        r->kind = RULE_MONTH_WEEK_DAY;
        if (!take_number(t, 1, 12, &r->month) || !accept(t, '.') || !take_number(t, 1, 5, &r->week) ||
            !accept(t, '.') || !take_number(t, 0, 6, &r->day))
            return false;
    } else if (!take_number(t, 0, 365, &r->day)) {
        return false;
    }
    return !accept(t, '/') || take_offset(t, &r->time);
}

static struct footer parse_footer(struct text t)
{
    const struct footer none = {0};
    struct footer f = {.any = true};
    if (!skip_name(&t) || !take_offset(&t, &f.standard))
        return none;
    f.standard = -f.standard; /* TZ counts to the west */
    if (t.p == t.end || at(&t, ','))
        return f;
    f.changes = true;
    if (!skip_name(&t))
        return none;
    f.summer = f.standard + HOUR;
    if (t.p < t.end && !at(&t, ',')) {
        if (!take_offset(&t, &f.summer))
            return none;
        f.summer = -f.summer;
    }
    static const char usual[] = ",M3.2.0,M11.1.0";
    if (t.p == t.end)
        t = (struct text){usual, usual + sizeof usual - 1};
    if (!(accept(&t, ',') || accept(&t, ';')) || !take_rule(&t, &f.from) || !accept(&t, ',') ||
        !take_rule(&t, &f.to) || t.p != t.end)
        return none;
    return f;
}

/* ---- years --------------------------------------------------------------------------------------- */

static bool is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days from 1970-01-01 to January 1st. */
static int64_t days_to_year(int64_t year)
{
    int64_t y = year - 1 + 400000; /* before no year that a time can be in */
    return 365 * y + y / 4 - y / 100 + y / 400 - (365 * 401969LL + 401969 / 4 - 401969 / 100 + 401969 / 400);
}

static int64_t year_of_day(int64_t day)
{
    int64_t year = 1970 + (day < 0 ? day / 365 - 1 : day / 366);
    while (days_to_year(year + 1) <= day)
        year++;
    return year;
}

/* Seconds from the start of the year in UTC to the moment of the rule; offset holds until then. */
static int64_t rule_seconds(int64_t year, const struct rule *r, int32_t offset)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
    bool leap = is_leap(year);
    int64_t day = r->day;
    if (r->kind == RULE_JULIAN) {
        day = r->day - 1 + (leap && r->day >= 60);
    } else if (r->kind == RULE_MONTH_WEEK_DAY) {
        int64_t first = before[r->month - 1] + (leap && r->month > 2);
        int length = before[r->month] - before[r->month - 1] + (leap && r->month == 2);
        int64_t weekday = ((days_to_year(year) + first + 4) % 7 + 7) % 7; /* 1970 began on a Thursday */
        day = r->day - weekday;
        if (day < 0)
            day += 7;
        for (int i = 1; i < r->week && day + 7 < length; i++)
            day += 7;
        day += first;
    }
    return day * DAY + r->time - offset;
}

static int32_t by_footer(const struct footer *f, int64_t seconds, int64_t *start, int64_t *end)
{
    if (!f->changes) {
        *end = INT64_MAX;
        return f->standard;
    }
    int64_t day = seconds / DAY - (seconds % DAY < 0), year = year_of_day(day);
    int64_t base = days_to_year(year) * DAY;
    int64_t from = base + rule_seconds(year, &f->from, f->standard),
            to = base + rule_seconds(year, &f->to, f->summer);
    int32_t outside = f->standard, inside = f->summer;
    if (to < from) { /* south of the equator */
        int64_t t = from;
        from = to;
        to = t;
        outside = f->summer;
        inside = f->standard;
    }
    int64_t low = seconds < from ? base : seconds < to ? from : to;
    *start = *start > low ? *start : low;
    *end = seconds < from ? from : seconds < to ? to : base + 365 * DAY;
    if (*end <= seconds)
        *end = seconds + 1; /* the last day of a leap year */
    return seconds < from || seconds >= to ? outside : inside;
}

/* ---- zones --------------------------------------------------------------------------------------- */

/* Of local times that a transition leads to, the first may not be meant for the time before all of them. */
static size_t first_kind(const struct tsm_zone *z)
{
    bool used = false;
    for (size_t i = 0; i < z->n; i++)
        used |= z->which[i] == 0;
    if (!used)
        return 0;
    if (z->n && z->kinds[z->which[0]].dst)
        for (size_t i = z->which[0]; i-- > 0;)
            if (!z->kinds[i].dst)
                return i;
    for (size_t i = 0; i < z->nkinds; i++)
        if (!z->kinds[i].dst)
            return i;
    return 0;
}

static bool read_block(struct tsm_zone *z, struct reader *r, const uint32_t *n, uint64_t size)
{
    if (n[KINDS] == 0 || block_size(n, size) > (uint64_t)(r->end - r->p))
        return false;
    const uint8_t *times = take(r, n[TIMES] * size), *which = take(r, n[TIMES]);
    const uint8_t *kinds = take(r, n[KINDS] * (uint64_t)6);
    take(r, n[CHARS] + n[LEAPS] * (size + 4) + n[STANDARD_FLAGS] + (uint64_t)n[UTC_FLAGS]);
    z->n = n[TIMES];
    z->nkinds = n[KINDS];
    z->when = tsm_alloc(z->n * sizeof *z->when);
    z->which = tsm_alloc(z->n);
    z->kinds = tsm_alloc(z->nkinds * sizeof *z->kinds);
    for (size_t i = 0; i < z->nkinds; i++)
        z->kinds[i] = (struct kind){(int32_t)get32(kinds + 6 * i), kinds[6 * i + 4] != 0};
    for (size_t i = 0; i < z->n; i++) {
        z->when[i] = size == 8 ? get64(times + 8 * i) : (int32_t)get32(times + 4 * i);
        z->which[i] = which[i];
        if (which[i] >= z->nkinds || (i && z->when[i] < z->when[i - 1]))
            return false;
    }
    for (size_t i = 0; i < z->nkinds; i++)
        if (z->kinds[i].offset <= -26 * HOUR || z->kinds[i].offset >= 26 * HOUR)
            return false;
    return true;
}

static bool read_zone(struct tsm_zone *z, struct reader *r)
{
    uint8_t version;
    uint32_t n[COUNTS];
    if (!take_header(r, &version, n))
        return false;
    if (version > 0) {
        take(r, block_size(n, 4));
        if (!take_header(r, &version, n))
            return false;
    }
    if (!read_block(z, r, n, version > 0 ? 8 : 4))
        return false;
    if (version > 0 && r->end - r->p > 2 && r->p[0] == '\n' && r->end[-1] == '\n')
        z->footer = parse_footer((struct text){(const char *)r->p + 1, (const char *)r->end - 1});
    z->first = first_kind(z);
    return true;
}

struct tsm_zone *tsm_zone_parse(struct tsm_str name, struct tsm_str bytes)
{
    const uint8_t *p = (const uint8_t *)bytes.p;
    struct reader r = {p, p + bytes.n, false};
    struct tsm_zone *z = tsm_calloc(1, sizeof *z);
    z->name = tsm_str(tsm_strndup(name.p, name.n), name.n);
    if (read_zone(z, &r))
        return z;
    tsm_zone_free(z);
    return NULL;
}

void tsm_zone_free(struct tsm_zone *z)
{
    if (!z)
        return;
    tsm_free(z->when);
    tsm_free(z->which);
    tsm_free(z->kinds);
    tsm_free((char *)(uintptr_t)z->name.p);
    tsm_free(z);
}

struct tsm_str tsm_zone_name(const struct tsm_zone *z)
{
    return z ? z->name : TSM_STR("UTC");
}

int32_t tsm_zone_lookup(const struct tsm_zone *z, int64_t seconds, int64_t *start, int64_t *end)
{
    *start = INT64_MIN;
    *end = INT64_MAX;
    if (!z)
        return 0;
    if (z->n == 0)
        return z->footer.any ? by_footer(&z->footer, seconds, start, end) : z->kinds[0].offset;
    if (seconds < z->when[0]) {
        *end = z->when[0];
        return z->kinds[z->first].offset;
    }
    size_t lo = 0, hi = z->n; /* when[lo] <= seconds < when[hi] */
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (seconds < z->when[mid])
            hi = mid;
        else
            lo = mid;
    }
    *start = z->when[lo];
    if (hi < z->n)
        *end = z->when[hi];
    else if (z->footer.any)
        return by_footer(&z->footer, seconds, start, end);
    return z->kinds[z->which[lo]].offset;
}

int64_t tsm_zone_offset(const struct tsm_zone *z, int64_t t)
{
    int64_t start, end;
    return tsm_zone_lookup(z, t / 1000000000 - (t % 1000000000 < 0), &start, &end) * 1000000000LL;
}

int64_t tsm_zone_to_utc(const struct tsm_zone *z, int64_t local)
{
    int64_t start, end;
    int32_t offset = tsm_zone_lookup(z, local, &start, &end);
    if (offset != 0) {
        int64_t utc = local - offset;
        if (utc < start || utc >= end)
            offset = tsm_zone_lookup(z, utc, &start, &end);
    }
    return local - offset;
}
