/*
 * base/time.c: calendar arithmetic in the proleptic Gregorian calendar, texts of instants and durations.
 *
 * Nothing here depends on the locale or on the zone of the machine.
 */
#include "base/time.h"

#include <time.h>

#include "base/num.h"
#include "base/banned.h"

enum {
    DAY_SECONDS = 86400,
    ERA_YEARS = 400,      /* the calendar repeats after so many years … */
    ERA_DAYS = 146097,    /* … and days */
    EPOCH_SHIFT = 719468, /* days from 0000-03-01 to 1970-01-01 */
};

/* Seconds from 0001-01-01T00:00:00Z, Go's zero time, to 1970-01-01T00:00:00Z. */
static const int64_t ZERO_TIME_SECONDS = 62135596800LL;

int64_t tsm_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * TSM_SEC + ts.tv_nsec;
}

int64_t tsm_monotonic(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * TSM_SEC + ts.tv_nsec;
}

int64_t tsm_precision_unit(struct tsm_str name)
{
    static const struct {
        const char *name;
        int64_t unit;
    } units[] = {
        {"ns", 1},        {"n", 1},       {"u", TSM_USEC},   {"us", TSM_USEC}, {"µ", TSM_USEC},
        {"ms", TSM_MSEC}, {"s", TSM_SEC}, {"m", TSM_MINUTE}, {"h", TSM_HOUR},
    };
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (tsm_str_eq(name, tsm_str_of(units[i].name)))
            return units[i].unit;
    return 0;
}

/* ---- calendar ---------------------------------------------------------------------------------- */

/* Years begin in March here, so that the leap day is the last day of a year and needs no special case. */
static int64_t days_from_date(int year, int month, int day)
{
    int64_t y = year - (month <= 2);
    int64_t era = (y >= 0 ? y : y - (ERA_YEARS - 1)) / ERA_YEARS;
    int64_t year_of_era = y - era * ERA_YEARS;
    int64_t month_from_march = (month + 9) % 12;
    int64_t day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    return era * ERA_DAYS + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           EPOCH_SHIFT;
}

static void date_from_days(int64_t days, int *year, int *month, int *day)
{
    int64_t z = days + EPOCH_SHIFT;
    int64_t era = (z >= 0 ? z : z - (ERA_DAYS - 1)) / ERA_DAYS;
    int day_of_era = (int)(z - era * ERA_DAYS);
    int year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int month_from_march = (5 * day_of_year + 2) / 153;
    *day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    *month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    *year = (int)(year_of_era + era * ERA_YEARS) + (*month <= 2);
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

/* ---- instants ---------------------------------------------------------------------------------- */

static char *put_2(char *p, int v)
{
    p[0] = (char)('0' + v / 10);
    p[1] = (char)('0' + v % 10);
    return p + 2;
}

/* Writes ".5" for 500000000 of 10^digits; nothing for 0. */
static char *put_fraction(char *p, int64_t v, int digits)
{
    if (v == 0)
        return p;
    while (v % 10 == 0) {
        v /= 10;
        digits--;
    }
    *p++ = '.';
    for (int i = digits - 1; i >= 0; i--) {
        p[i] = (char)('0' + v % 10);
        v /= 10;
    }
    return p + digits;
}

/* Everything up to the seconds. */
static char *put_seconds(char *q, int64_t seconds)
{
    int64_t days = seconds / DAY_SECONDS;
    int second = (int)(seconds % DAY_SECONDS);
    if (second < 0) {
        second += DAY_SECONDS;
        days--;
    }
    int year, month, day;
    date_from_days(days, &year, &month, &day);
    q = put_2(put_2(q, year / 100), year % 100);
    *q++ = '-';
    q = put_2(q, month);
    *q++ = '-';
    q = put_2(q, day);
    *q++ = 'T';
    q = put_2(q, second / 3600);
    *q++ = ':';
    q = put_2(q, second / 60 % 60);
    *q++ = ':';
    return put_2(q, second % 60);
}

size_t tsm_format_rfc3339_seconds(char *p, int64_t seconds)
{
    char *q = put_seconds(p, seconds);
    *q++ = 'Z';
    return (size_t)(q - p);
}

size_t tsm_format_offset(char *p, int32_t offset)
{
    if (offset == 0) {
        *p = 'Z';
        return 1;
    }
    int32_t minutes = offset / 60; /* as Go, which leaves the seconds out */
    unsigned m = (unsigned)(minutes < 0 ? -minutes : minutes);
    p[0] = minutes < 0 ? '-' : '+';
    p[1] = (char)('0' + m / 600 % 10);
    p[2] = (char)('0' + m / 60 % 10);
    p[3] = ':';
    p[4] = (char)('0' + m % 60 / 10);
    p[5] = (char)('0' + m % 10);
    return 6;
}

size_t tsm_format_rfc3339(char *p, int64_t t)
{
    int64_t seconds = t / TSM_SEC, nanos = t % TSM_SEC;
    if (nanos < 0) {
        nanos += TSM_SEC;
        seconds--;
    }
    char *q = put_fraction(put_seconds(p, seconds), nanos, 9);
    *q++ = 'Z';
    return (size_t)(q - p);
}

/* What is left of a text that is being parsed. */
struct cursor {
    const char *p, *end;
};

static bool is_digit(const struct cursor *c, ptrdiff_t i)
{
    return c->end - c->p > i && c->p[i] >= '0' && c->p[i] <= '9';
}

static bool take(struct cursor *c, char ch)
{
    if (c->p == c->end || *c->p != ch)
        return false;
    c->p++;
    return true;
}

static bool take_digits(struct cursor *c, int n, int *v)
{
    int x = 0;
    for (int i = 0; i < n; i++) {
        if (!is_digit(c, i))
            return false;
        x = x * 10 + (c->p[i] - '0');
    }
    c->p += n;
    *v = x;
    return true;
}

static bool take_date(struct cursor *c, int64_t *days)
{
    int year, month, day;
    if (!take_digits(c, 4, &year) || !take(c, '-') || !take_digits(c, 2, &month) || !take(c, '-') ||
        !take_digits(c, 2, &day))
        return false;
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
        return false;
    *days = days_from_date(year, month, day);
    return true;
}

/* hh:mm:ss with up to nine digits of a fraction. As in Go an hour may have one digit, and a comma will do
 * for the point. */
static bool take_clock(struct cursor *c, int64_t *seconds, int64_t *nanos)
{
    int hour, minute, second;
    if (!take_digits(c, is_digit(c, 1) ? 2 : 1, &hour) || !take(c, ':') || !take_digits(c, 2, &minute) ||
        !take(c, ':') || !take_digits(c, 2, &second))
        return false;
    if (hour > 23 || minute > 59 || second > 59)
        return false;
    *seconds = hour * 3600 + minute * 60 + second;
    *nanos = 0;
    if (c->p < c->end && (*c->p == '.' || *c->p == ',') && is_digit(c, 1)) {
        c->p++;
        for (int64_t unit = TSM_SEC / 10; unit > 0 && is_digit(c, 0); unit /= 10)
            *nanos += (*c->p++ - '0') * unit;
    }
    return true;
}

/* Z or ±hh:mm, to be subtracted. */
static bool take_zone(struct cursor *c, int64_t *seconds)
{
    *seconds = 0;
    if (take(c, 'Z'))
        return true;
    int sign = take(c, '+') ? 1 : take(c, '-') ? -1 : 0, hour, minute;
    if (sign == 0 || !take_digits(c, 2, &hour) || !take(c, ':') || !take_digits(c, 2, &minute))
        return false;
    *seconds = sign * (hour * 3600 + minute * 60);
    return true;
}

bool tsm_parse_instant(const struct tsm_zone *zone, struct tsm_str s, int64_t *seconds, int64_t *nanos)
{
    struct cursor c = {s.p, s.p + s.n};
    int64_t days, second = 0, offset = 0;
    bool local = true;
    *nanos = 0;
    if (!take_date(&c, &days))
        return false;
    if (take(&c, ' ')) {
        while (take(&c, ' '))
            ;
        if (!take_clock(&c, &second, nanos))
            return false;
    } else if (take(&c, 'T')) {
        if (!take_clock(&c, &second, nanos) || !take_zone(&c, &offset))
            return false;
        local = false;
    }
    *seconds = days * DAY_SECONDS + second - offset;
    if (local && zone)
        *seconds = tsm_zone_to_utc(zone, *seconds);
    return c.p == c.end;
}

bool tsm_parse_time(struct tsm_str s, int64_t *t)
{
    return tsm_parse_time_in(NULL, s, t);
}

bool tsm_parse_time_in(const struct tsm_zone *zone, struct tsm_str s, int64_t *t)
{
    int64_t whole, nanos;
    if (!tsm_parse_instant(zone, s, &whole, &nanos))
        return false;
    /* Before 1970 whole * 10^9 may be below the range although the sum is within. */
    if (whole < 0 && nanos > 0) {
        whole++;
        nanos -= TSM_SEC;
    }
    return !__builtin_mul_overflow(whole, TSM_SEC, &whole) && !__builtin_add_overflow(whole, nanos, t);
}

int64_t tsm_time_truncate(int64_t t, int64_t d)
{
    __int128 since_zero = (__int128)t + (__int128)ZERO_TIME_SECONDS * TSM_SEC;
    int64_t over = (int64_t)(since_zero % d);
    return t < INT64_MIN + over ? INT64_MIN : t - over;
}

/* ---- durations --------------------------------------------------------------------------------- */

/* Takes a unit name off c; 0 when there is none. */
static int64_t take_unit(struct cursor *c)
{
    if (take(c, 'n'))
        return take(c, 's') ? 1 : 0;
    if (take(c, 'u')) {
        take(c, 's');
        return TSM_USEC;
    }
    if (take(c, '\xc2'))
        return take(c, '\xb5') ? TSM_USEC : 0; /* µ in UTF-8 */
    if (take(c, 'm'))
        return take(c, 's') ? TSM_MSEC : TSM_MINUTE;
    if (take(c, 's'))
        return TSM_SEC;
    if (take(c, 'h'))
        return TSM_HOUR;
    if (take(c, 'd'))
        return TSM_DAY;
    return take(c, 'w') ? TSM_WEEK : 0;
}

bool tsm_parse_duration(struct tsm_str s, int64_t *d)
{
    struct cursor c = {s.p, s.p + s.n};
    bool negative = take(&c, '-');
    int64_t sum = 0;
    if (c.p == c.end)
        return false;
    while (c.p < c.end) {
        int64_t n = 0;
        if (!is_digit(&c, 0))
            return false;
        while (is_digit(&c, 0))
            if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *c.p++ - '0', &n))
                return false;
        int64_t unit = take_unit(&c);
        if (unit == 0 || __builtin_mul_overflow(n, unit, &n) || __builtin_add_overflow(sum, n, &sum))
            return false;
    }
    *d = negative ? -sum : sum;
    return true;
}

static char *put_uint(char *p, uint64_t v)
{
    return p + tsm_format_uint(p, v);
}

static char *put_text(char *p, const char *s)
{
    while (*s)
        *p++ = *s++;
    return p;
}

/* The absolute value, also of INT64_MIN. */
static uint64_t magnitude(int64_t d)
{
    return d < 0 ? 0 - (uint64_t)d : (uint64_t)d;
}

size_t tsm_format_duration_influxql(char *p, int64_t d)
{
    static const struct {
        int64_t unit;
        const char *name;
    } units[] = {
        {TSM_WEEK, "w"}, {TSM_DAY, "d"},   {TSM_HOUR, "h"}, {TSM_MINUTE, "m"},
        {TSM_SEC, "s"},  {TSM_MSEC, "ms"}, {TSM_USEC, "u"}, {1, "ns"},
    };
    char *q = p;
    size_t i = 0;
    if (d == 0)
        return (size_t)(put_text(q, "0s") - p);
    while (d % units[i].unit != 0)
        i++;
    if (d < 0)
        *q++ = '-';
    q = put_uint(q, magnitude(d) / (uint64_t)units[i].unit);
    return (size_t)(put_text(q, units[i].name) - p);
}

size_t tsm_format_duration_go(char *p, int64_t d)
{
    char *q = p;
    uint64_t v = magnitude(d);
    if (v == 0)
        return (size_t)(put_text(q, "0s") - p);
    if (d < 0)
        *q++ = '-';
    if (v < (uint64_t)TSM_USEC) {
        q = put_text(put_uint(q, v), "ns");
    } else if (v < (uint64_t)TSM_MSEC) {
        q = put_text(put_fraction(put_uint(q, v / TSM_USEC), (int64_t)(v % TSM_USEC), 3), "µs");
    } else if (v < (uint64_t)TSM_SEC) {
        q = put_text(put_fraction(put_uint(q, v / TSM_MSEC), (int64_t)(v % TSM_MSEC), 6), "ms");
    } else {
        uint64_t seconds = v / TSM_SEC;
        if (seconds >= 3600) {
            q = put_uint(q, seconds / 3600);
            *q++ = 'h';
        }
        if (seconds >= 60) {
            q = put_uint(q, seconds / 60 % 60);
            *q++ = 'm';
        }
        q = put_fraction(put_uint(q, seconds % 60), (int64_t)(v % TSM_SEC), 9);
        *q++ = 's';
    }
    return (size_t)(q - p);
}
