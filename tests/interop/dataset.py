"""tests/interop/dataset.py: the points of the differential test, as line protocol, from a fixed seed.

Floats are multiples of 1/8, so that sums are exact whatever the order in which influxd adds them. Only `extremes` has
others. In `cpu` no two series share a timestamp; in `shared` all do.
"""

import random

HOUR = 3600 * 10**9
DAY = 24 * HOUR
START = 1583020800 * 10**9  # 2020-03-01T00:00:00Z, a Sunday: shards of 7 days start on Mondays
DAYS = 18
END = START + DAYS * DAY

TEXTS = ["", "idle", "busy", "two words", 'quo"ted', "back\\slash", "naïve", "日本語", "🚀", "a,b=c", "tab\there", "<&>"]

CPU_SERIES = [
    "cpu",
    "cpu,host=a,region=eu",
    "cpu,host=b,region=eu",
    "cpu,host=c,region=us",
    "cpu,host=d",
    "cpu,host=é,region=日本",
    r"cpu,host=with\ space\,comma\=equals,region=us",
]

WEIRD_SERIES = [
    r"we\ ird\,m=1,ta\ g=v\ 1,k\=ey=x",
    r"we\ ird\,m=1,ta\ g=v\,2,k\=ey=y",
    r"we\ ird\,m=1,ta\ g=naïve",
]

EXTREMES = ["1e308", "-1e308", "5e-324", "-5e-324", "-0.0", "0.0", "1.7976931348623157e308", "2.2250738585072014e-308",
            "1", "-1", "3.0", "100000000000000000000", "1e21", "1e20", "123456789012345680", "1e-6", "1e-7",
            "0.1", "0.30000000000000004", "9007199254740993", "1234567.875", "4.35", "5e-5", "1e6", "123456789.123"]
INTEGERS = [9223372036854775807, -9223372036854775808, 0, 1, -1, 2**53 + 1, -(2**62), 2**40, 99, 12345678901234567]


def quote(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def dyadic(rng, most=8000):
    return repr(rng.randint(-most, most) / 8)


def cpu_fields(rng, row):
    fields = ["v=" + dyadic(rng), "i=%di" % rng.randint(-1000, 1000)]
    if rng.random() < 0.8:
        fields.append("b=" + rng.choice(["t", "f", "true", "false", "TRUE", "F"]))
    if rng.random() < 0.7:
        fields.append("s=" + quote(rng.choice(TEXTS)))
    if rng.random() < 0.1:
        fields.append("q=" + dyadic(rng, 80))
    if row % 10 == 9:
        fields = fields[2:] or fields[:1]
    rng.shuffle(fields)
    return fields


def point(series, fields, time):
    return "%s %s %d" % (series, ",".join(fields), time)


def cpu(rng, rows=90):
    for number, series in enumerate(CPU_SERIES):
        for row in range(rows):
            time = START + row * (DAYS * DAY // rows) + rng.randrange(HOUR) // 8 * 8 + number
            yield point(series, cpu_fields(rng, row), time)


def shared(rng, rows=40):
    for row in range(rows):
        for device in range(12):
            fields = ["humidity=" + dyadic(rng), "temperature=%di" % rng.randint(-20, 40)]
            if device == 7 and row % 3:
                fields.pop(rng.randrange(2))
            series = "shared,devgroup=%d,devid=%d,devname=dev_%d" % (device % 3, device, device)
            yield point(series, fields, START + 5 * HOUR + row * 60 * 10**9)


def single(rng):
    for row in range(60):
        if row not in (7, 8, 9, 23, 40, 41):
            yield point("single", ["value=" + dyadic(rng), "n=%di" % (row * row - 900)], START + DAY + row * 10 * 60 * 10**9)


def weird(rng):
    for series in WEIRD_SERIES:
        for row in range(8):
            fields = [r"fi\ eld=%s" % dyadic(rng), r"a\,b\=c=%di" % row, r'quo"te=' + quote(rng.choice(TEXTS)),
                      "time2=" + dyadic(rng), "ключ=t"]
            yield point(series, fields[: 1 + (row + len(series)) % 5], START + row * HOUR)


def extremes(rng):
    for row, text in enumerate(EXTREMES):
        yield point("extremes,kind=float", ["f=" + text], START + row * 10**9)
    for row, number in enumerate(INTEGERS):
        yield point("extremes,kind=integer", ["i=%di" % number], START + row * 10**9)
    # Not earlier: the shard of the first week starts before what meta.db can hold, and influxd loses it in a restart.
    yield point("extremes,kind=early", ["f=1"], -9222700000000000001)
    yield point("extremes,kind=before", ["f=2", 's=""'], -DAY - 1)
    yield point("extremes,kind=zero", ["f=3"], 0)
    yield point("extremes,kind=late", ["f=4"], 9223372036854775806)
    yield point("extremes,kind=long", ["s=" + quote("x" * 20000)], START)


def mixed(rng):
    """One field with another type in every shard."""
    for week, text in enumerate(["1i", "2.5", '"three"', "true"]):
        yield point("mixed,t=x", ["v=" + text, "w=%di" % week], START + (1 + 7 * week) * DAY)
        yield point("mixed,t=y", ["v=" + text, "w=%di" % week], START + (1 + 7 * week) * DAY + 1)


def many(rng):
    """More values than a block of 1,000 holds."""
    for row in range(2500):
        yield point("many,t=one", ["v=" + dyadic(rng), "n=%di" % row], START + 2 * DAY + row * 10**9)


def unsigned(rng):
    """influxd reads these from files, but takes them in only when built for it."""
    for row in range(50):
        number = row if row % 3 == 0 else 2**64 - 1 - rng.randrange(1000) * row
        yield point("uns,t=%d" % (row % 2), ["u=%du" % number, "n=%di" % row], START + row * 10**9)


def short_rp(rng):
    for row in range(60):
        series = rng.choice(CPU_SERIES)
        yield point(series, ["v=" + dyadic(rng), "i=%di" % row], START + row * HOUR)
        yield point("rponly,t=%d" % (row % 2), ["x=%di" % row], START + row * HOUR)


def first_part(with_unsigned=False):
    """{retention policy: lines} of what is written first, in an order that is mostly that of time."""
    rng = random.Random(20200301)
    lines = []
    for part in (cpu, shared, single, weird, extremes, mixed, many):
        lines.extend(part(rng))
    swaps = random.Random(7)
    for _ in range(len(lines) // 10):  # some arrive late
        a, b = swaps.randrange(len(lines)), swaps.randrange(len(lines))
        lines[a], lines[b] = lines[b], lines[a]
    if with_unsigned:
        lines.extend(unsigned(random.Random(64)))
    return {"": lines, "short": list(short_rp(rng))}


def second_part():
    """What is written later: new points, new series and fields, and other values for points of the first part."""
    rng = random.Random(20200318)
    lines = []
    old = first_part()[""]
    for line in rng.sample([l for l in old if l.startswith("cpu")], 80):
        series_and_time = line.replace("\\ ", "\0").split(" ")
        series, time = series_and_time[0].replace("\0", "\\ "), series_and_time[-1]
        lines.append("%s %s %s" % (series, "v=" + dyadic(rng), time))
    for row in range(40):
        lines.append(point("cpu,host=new", cpu_fields(rng, row), END + row * HOUR + 5))
        lines.append(point("cpu,host=a,region=eu", ["v=" + dyadic(rng), "added=%di" % row], START + row * 9 * HOUR + 3))
    for row in range(600, 700):
        lines.append(point("many,t=one", ["v=" + dyadic(rng)], START + 2 * DAY + row * 10**9))
    lines.append(point("later,t=x", ["v=1.5"], START))
    return {"": lines, "short": [point("rponly,t=9", ["x=1i"], START)]}
