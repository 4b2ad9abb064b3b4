"""tests/interop/generator.py: schemas, writes and queries from a seed, for the differential test.

A World is a database with some measurements, their points in the order in which they are written (late and overwritten ones
among them) with deletes between, and a grammar that makes queries about it. Floats are multiples of 1/8, so that sums do not depend
on the order of addition.
"""

import random

SECOND = 10**9
MINUTE = 60 * SECOND
HOUR = 3600 * SECOND
DAY = 24 * HOUR
START = 1583020800 * SECOND  # 2020-03-01T00:00:00Z

TAG_VALUES = {
    "host": ["a", "b", "c", "d e", "é"],
    "region": ["eu", "us", "asia"],
    "dev": ["1", "2", "3", "4", "5", "6"],
    "od d": ["x,y", "z=1"],
}
FIELDS = {"f": "float", "g": "float", "i": "integer", "n": "integer", "s": "string", "b": "boolean"}
TEXTS = ["", "on", "off", "two words", 'q"u', "b\\s", "naïve"]
ZONES = ["America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "UTC", "Nowhere/Land"]

AGGREGATES = ["count", "sum", "mean", "median", "mode", "spread", "stddev", "min", "max", "first", "last", "integral",
              "distinct"]
SELECTORS = ["min", "max", "first", "last"]
TRANSFORMS = ["derivative", "non_negative_derivative", "difference", "non_negative_difference", "cumulative_sum", "elapsed",
              "moving_average"]
MATH = ["abs", "acos", "asin", "atan", "ceil", "cos", "exp", "floor", "ln", "log2", "log10", "round", "sin", "sqrt", "tan"]


def escape(text, specials):
    for c in specials:
        text = text.replace(c, "\\" + c)
    return text


def quote(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def literal(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def name(text):
    return text if text.isalnum() and text.isascii() else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Measurement:
    def __init__(self, rng, title):
        self.title = title
        self.tags = rng.sample(sorted(TAG_VALUES), rng.choice([0, 1, 1, 2, 2, 3]))
        self.fields = sorted(rng.sample(sorted(FIELDS), rng.choice([1, 2, 3, 4, 6])))
        # shared: series have common timestamps; then what depends on the order of equal times is not asked
        self.shared = rng.random() < 0.35
        self.step = rng.choice([SECOND, 10 * SECOND, MINUTE, 10 * MINUTE, HOUR, 7 * HOUR])
        self.rows = rng.choice([3, 20, 60, 200])
        self.from_time = START + rng.randrange(0, 10) * DAY + rng.choice([0, 0, 1, HOUR // 2])
        self.to_time = self.from_time + self.rows * self.step
        self.series = []
        for _ in range(rng.choice([1, 2, 3, 6, 9])):
            tags = {t: rng.choice(TAG_VALUES[t]) for t in self.tags if rng.random() < 0.9}
            if tags not in self.series:
                self.series.append(tags)
        self.regular = rng.random() < 0.5

    def key(self, tags):
        return escape(self.title, ", ") + "".join(
            ",%s=%s" % (escape(k, ",= "), escape(tags[k], ",= ")) for k in sorted(tags))

    def value(self, rng, field):
        kind = FIELDS[field]
        if kind == "float":
            return repr(rng.randint(-800, 800) / 8)
        if kind == "integer":
            return "%di" % rng.randint(-50, 50)
        if kind == "boolean":
            return rng.choice(["true", "false"])
        return quote(rng.choice(TEXTS))

    def point(self, rng, number, tags, time):
        fields = [f for f in self.fields if rng.random() < 0.85] or self.fields[:1]
        return "%s %s %d" % (self.key(tags), ",".join("%s=%s" % (f, self.value(rng, f)) for f in fields), time)

    def points(self, rng):
        for row in range(self.rows):
            for number, tags in enumerate(self.series):
                if rng.random() < 0.1:
                    continue
                time = self.from_time + row * self.step
                if not self.regular:
                    time += rng.randrange(self.step // 1000) * 100
                if not self.shared:
                    time = time // 100 * 100 + number
                yield self.point(rng, number, tags, time)


class World:
    def __init__(self, seed):
        self.rng = rng = random.Random(seed)
        titles = rng.sample(["m", "cpu", "cpu_load", "we ird", "x.y"], rng.choice([1, 2, 3]))
        self.measurements = [Measurement(rng, t) for t in titles]
        self.deleted = False  # something, when the steps were taken
        self.policies = ["", "short"] if rng.random() < 0.3 else [""]

    def create(self):
        yield "CREATE DATABASE d"
        if len(self.policies) > 1:
            yield "CREATE RETENTION POLICY short ON d DURATION INF REPLICATION 1 SHARD DURATION 1d"

    def steps(self):
        """("write", policy, lines) and ("run", statement), in turn."""
        rng = self.rng
        for policy in self.policies:
            lines = [p for m in self.measurements for p in m.points(rng)]
            late = rng.choice([0, 0.05, 0.3, 1])
            moved = [rng.random() < late for _ in lines]
            ordered = [p for p, x in zip(lines, moved) if not x]
            others = [p for p, x in zip(lines, moved) if x]
            rng.shuffle(others)
            batches = [ordered[at:at + 300] for at in range(0, len(ordered), 300)]
            batches += [others[at:at + 300] for at in range(0, len(others), 300)]
            again = [self.again(m) for m in self.measurements for _ in range(rng.choice([0, 5, 20]))]
            if again:
                batches.append(again)
            for batch in batches:
                yield "write", policy, batch
                if rng.random() < 0.15:
                    yield "run", self.delete()
        if rng.random() < 0.3:
            yield "write", "", [self.again(m) for m in self.measurements for _ in range(10)]

    def again(self, m):
        """A point at a time that is taken already, or at another one."""
        rng = self.rng
        number = rng.randrange(len(m.series))
        time = m.from_time + rng.randrange(m.rows) * m.step
        if not m.shared:
            time = time // 100 * 100 + number
        return m.point(rng, number, m.series[number], time)

    def delete(self):
        rng = self.rng
        self.deleted = True
        m = rng.choice(self.measurements)
        a = m.from_time + rng.randrange(m.rows) * m.step
        b = a + rng.randrange(1, 20) * m.step
        if rng.random() < 0.6 or not m.tags:
            return "DELETE FROM %s WHERE time >= %d AND time < %d" % (name(m.title), a, b)
        tag = rng.choice(m.tags)
        where = "%s = %s" % (name(tag), literal(rng.choice(TAG_VALUES[tag])))
        if rng.random() < 0.5:
            return "DELETE FROM %s WHERE %s AND time >= %d" % (name(m.title), where, b)
        return "DROP SERIES FROM %s WHERE %s" % (name(m.title), where)

    def query(self):
        return Query(self).text()


class Query:
    """One query about a world. It may well be one that is refused: then the texts of the errors are compared."""

    def __init__(self, world):
        self.world = world
        self.rng = world.rng
        self.m = self.rng.choice(world.measurements)

    def maybe(self, p):
        return self.rng.random() < p

    def text(self):
        r = self.rng.random()
        if r < 0.10:
            return self.show()
        if r < 0.13:
            return "; ".join([self.select(), self.select()])
        return self.select()

    # ---- sources ----

    def source(self, depth):
        if depth and self.maybe(0.5 if depth > 1 else 0.16):
            return "(" + self.select(depth=depth - 1, inner=True) + ")"
        r = self.rng.random()
        if r < 0.75:
            text = name(self.m.title)
        elif r < 0.82:
            text = self.rng.choice(["/^c/", "/./", "/m|x/", "/nosuch/"])
        elif r < 0.88:
            text = ", ".join(name(m.title) for m in self.rng.sample(self.world.measurements, len(self.world.measurements)))
        elif r < 0.95:
            text = self.rng.choice(["autogen.%s", "d.autogen.%s", "d..%s", "short.%s"]) % name(self.m.title)
        else:
            text = "nosuch"
        return text

    # ---- fields ----

    def field(self):
        return name(self.rng.choice(self.m.fields if self.maybe(0.9) else sorted(FIELDS) + ["nosuch"]))

    def number_field(self):
        numbers = [f for f in self.m.fields if FIELDS[f] in ("float", "integer")]
        return name(self.rng.choice(numbers)) if numbers and self.maybe(0.95) else self.field()

    def tag(self):
        return name(self.rng.choice(self.m.tags)) if self.m.tags and self.maybe(0.95) else self.rng.choice(["host", "nosuch"])

    def number(self):
        return self.rng.choice(["1", "2", "0", "-3", "2.5", "0.125", "10", "7", "-0.5"])

    def arithmetic(self, leaf, depth=2):
        r = self.rng.random()
        if depth == 0 or r < 0.35:
            return leaf()
        if r < 0.5:
            return self.number()
        if r < 0.58:
            return "(" + self.arithmetic(leaf, depth - 1) + ")"
        if r < 0.68:
            return "%s(%s)" % (self.rng.choice(MATH), self.arithmetic(leaf, depth - 1))
        if r < 0.71:
            return "%s(%s, %s)" % (self.rng.choice(["pow", "atan2", "log"]), self.arithmetic(leaf, depth - 1),
                                   self.arithmetic(leaf, 0) if self.maybe(0.3) else self.number())
        operator = self.rng.choice(["+", "-", "*", "/", "+", "-", "*", "/", "%", "&", "|", "^"])
        return "%s %s %s" % (self.arithmetic(leaf, depth - 1), operator, self.arithmetic(leaf, depth - 1))

    def argument(self):
        r = self.rng.random()
        if r < 0.78:
            return self.number_field()
        if r < 0.88:
            return self.field()
        return self.rng.choice(["*", "/^[fi]$/", "/g|n/", "/./", "f::float", "i::integer", "f::integer", "i::float", "s::string"])

    def aggregate(self, argument=None):
        fn = self.rng.choice(AGGREGATES + ["percentile", "count", "mean", "max", "sum", "last"])
        argument = argument or self.argument()
        if fn == "percentile":
            return "percentile(%s, %s)" % (argument, self.rng.choice(["50", "90", "99.9", "0", "100", "33.3", "1"]))
        if fn == "integral" and self.maybe(0.5):
            return "integral(%s, %s)" % (argument, self.rng.choice(["1m", "1h", "1s"]))
        if fn == "count" and self.maybe(0.2):
            return "count(distinct(%s))" % self.field()
        return "%s(%s)" % (fn, argument)

    def transform(self):
        fn = self.rng.choice(TRANSFORMS)
        inner = self.argument() if self.maybe(0.5) else self.aggregate(self.number_field())
        if fn == "moving_average":
            return "moving_average(%s, %s)" % (inner, self.rng.choice(["2", "3", "5", "1", "40"]))
        if fn in ("derivative", "non_negative_derivative", "elapsed") and self.maybe(0.7):
            return "%s(%s, %s)" % (fn, inner, self.rng.choice(["1s", "1m", "10m", "1h"]))
        return "%s(%s)" % (fn, inner)

    def top(self):
        tags = "".join(", " + self.tag() for _ in range(self.rng.choice([0, 0, 1, 1, 2])))
        return "%s(%s%s, %s)" % (self.rng.choice(["top", "bottom"]), self.number_field(), tags,
                                 self.rng.choice(["1", "2", "3", "10", "0"]))

    def selector(self):
        return "%s(%s)" % (self.rng.choice(SELECTORS), self.field()) if self.maybe(0.85) else \
            "percentile(%s, %s)" % (self.number_field(), self.rng.choice(["50", "90"]))

    def columns(self):
        """(text, whether the columns are calls)"""
        r = self.rng.random()
        if r < 0.06:
            return self.rng.choice(["*", "*::field", "*::tag, f", "/^[fi]/", "*, f"]), False
        if r < 0.18:
            parts = [self.field() if self.maybe(0.8) else self.tag() for _ in range(self.rng.choice([1, 1, 2, 3]))]
            return ", ".join(p + self.alias() for p in parts), False
        if r < 0.27:
            return ", ".join(self.arithmetic(self.number_field) + self.alias() for _ in range(self.rng.choice([1, 1, 2]))), False
        if r < 0.52:
            return ", ".join(self.aggregate() + self.alias() for _ in range(self.rng.choice([1, 1, 1, 2, 3]))), True
        if r < 0.61:
            return ", ".join(self.arithmetic(lambda: self.aggregate(self.number_field())) + self.alias()
                             for _ in range(self.rng.choice([1, 1, 2]))), True
        if r < 0.69:
            parts = [self.selector()] + [self.field() if self.maybe(0.6) else self.tag()
                                         for _ in range(self.rng.choice([1, 1, 2]))]
            self.rng.shuffle(parts)
            return ", ".join(parts), True
        if r < 0.88:
            return ", ".join(self.transform() + self.alias() for _ in range(self.rng.choice([1, 1, 1, 2]))), True
        if r < 0.95:
            rest = "".join(", " + (self.field() if self.maybe(0.5) else self.tag()) for _ in range(self.rng.choice([0, 0, 0, 1])))
            return self.top() + rest, True
        if r < 0.98:
            return "holt_winters%s(%s(%s), %s, %s)" % (self.rng.choice(["", "_with_fit"]), self.rng.choice(["mean", "first", "max"]),
                                                       self.number_field(), self.rng.choice(["1", "3", "10"]),
                                                       self.rng.choice(["0", "2", "4"])), True
        return self.rng.choice(["DISTINCT " + self.field(), "count(DISTINCT %s)" % self.field(), "nosuch(f)", "mean()", "top(f)",
                                "derivative(f, 0s)", "moving_average(f, 0)", "percentile(f, 'x')", "sample(f, 0)",
                                "mean(f), g", "f, count(g)", "mean(mean(f))", "derivative(derivative(f))",
                                "histogram(f)", "abs(f, g)", "pow(f)", "elapsed(f, 1)", "cumulative_sum(f, 1)"]), True

    def alias(self):
        return self.rng.choice([" AS x", " AS a1", ' AS "a b"', " AS f"]) if self.maybe(0.12) else ""

    # ---- conditions ----

    def time(self):
        return self.m.from_time + self.rng.randrange(-3, self.m.rows + 3) * self.m.step + self.rng.choice([0, 0, 0, 1, -1])

    def time_range(self, bounded):
        a, b = sorted([self.time(), self.time()])
        if bounded and b - a > 4000 * self.m.step:
            b = a + 4000 * self.m.step
        lower = "time %s %s" % (self.rng.choice([">=", ">"]), self.time_literal(a))
        upper = "time %s %s" % (self.rng.choice(["<", "<="]), self.time_literal(b))
        if bounded or self.maybe(0.5):
            return lower + " AND " + upper
        return self.rng.choice([lower, upper])

    def time_literal(self, ns):
        r = self.rng.random()
        if r < 0.6 or ns % SECOND:
            return "%d" % ns
        if r < 0.8:
            return "%ds" % (ns // SECOND)
        if r < 0.9:
            return "%dms + 1m" % (ns // 10**6)
        import datetime
        t = datetime.datetime.fromtimestamp(ns // SECOND, datetime.timezone.utc)
        return "'%s'" % t.strftime(self.rng.choice(["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"]))

    def comparison(self):
        r = self.rng.random()
        if r < 0.35 and self.m.tags:
            tag = self.rng.choice(self.m.tags)
            if self.maybe(0.6):
                return "%s %s %s" % (name(tag), self.rng.choice(["=", "=", "!="]),
                                     literal(self.rng.choice(TAG_VALUES[tag] + ["", "nosuch"])))
            return "%s %s %s" % (name(tag), self.rng.choice(["=~", "!~"]), self.rng.choice(["/a/", "/^[abe]/", "/./", "/^$/", "/(x|1)/"]))
        if r < 0.9:
            field = self.rng.choice(self.m.fields)
            kind = FIELDS[field]
            if kind == "string":
                return "%s %s" % (field, self.rng.choice(["= 'on'", "!= 'on'", "=~ /o/", "!~ /o/", "= ''", "> 'a'"]))
            if kind == "boolean":
                return "%s %s" % (field, self.rng.choice(["= true", "!= true", "= false", "= true"]))
            left = field if self.maybe(0.8) else self.arithmetic(lambda: field, 1)
            right = self.rng.choice(["0", "10", "-10.5", "25", "3", "i", "f", "f + 1"])
            return "%s %s %s" % (left, self.rng.choice([">", ">=", "<", "<=", "=", "!="]), right)
        return self.rng.choice(["nosuch = 1", "host = 'a'", "region != 'eu'", "f > 0", "i % 2 = 0", "abs(f) > 5", "true", "1 = 1"])

    def condition(self, depth=2):
        r = self.rng.random()
        if depth == 0 or r < 0.6:
            return self.comparison()
        return "%s%s %s %s%s" % ("(" if r > 0.8 else "", self.condition(depth - 1), self.rng.choice(["AND", "AND", "OR"]),
                                 self.condition(depth - 1), ")" if r > 0.8 else "")

    # ---- the whole ----

    def group_by(self, calls, bounded, inner):
        parts = []
        timed = calls and bounded and self.maybe(0.55)
        if timed:
            step = self.m.step
            unit = self.rng.choice([step, 2 * step, 5 * step, 7 * step, 30 * step, step // 2 or 1, 100 * step])
            text = self.duration(unit)
            if self.maybe(0.2):
                text += ", " + self.rng.choice(["", "-"]) + self.duration(self.rng.choice([step, unit // 3 or 1, 3 * step]))
            parts.append("time(%s)" % text)
        r = self.rng.random()
        if r < 0.35 and self.m.tags:
            parts += [name(t) for t in self.rng.sample(self.m.tags, self.rng.randrange(1, len(self.m.tags) + 1))]
        elif r < 0.45:
            parts.append("*")
        elif r < 0.48:
            parts.append(self.rng.choice(["/^h/", "nosuch", "/./"]))
        self.rng.shuffle(parts)
        text = " GROUP BY " + ", ".join(parts) if parts else ""
        if timed and self.maybe(0.5):
            text += " fill(%s)" % self.rng.choice(["none", "null", "previous", "linear", "0", "-1.5", "7"])
        elif self.maybe(0.01):
            text += " fill(0)"
        return text

    @staticmethod
    def duration(ns):
        for unit, size in (("h", HOUR), ("m", MINUTE), ("s", SECOND), ("ms", 10**6), ("u", 1000), ("ns", 1)):
            if ns % size == 0:
                return "%d%s" % (ns // size, unit)

    def select(self, depth=2, inner=False):
        columns, calls = self.columns()
        source = self.source(depth)
        where = []
        bounded = self.maybe(0.6)
        if bounded or self.maybe(0.1):
            where.append(self.time_range(bounded))
        if self.maybe(0.35):
            where.append(self.condition())
        self.rng.shuffle(where)
        text = "SELECT %s FROM %s" % (columns, source)
        if where:
            text += " WHERE " + " AND ".join(("(%s)" % w) if " OR " in w else w for w in where)
        text += self.group_by(calls, bounded, inner)
        if self.maybe(0.15):
            text += self.rng.choice([" ORDER BY time DESC", " ORDER BY time DESC", " ORDER BY time ASC"])
        if self.maybe(0.2):
            text += " LIMIT %d" % self.rng.choice([1, 2, 5, 17])
        if self.maybe(0.07):
            text += " OFFSET %d" % self.rng.choice([1, 3])
        if self.maybe(0.06):
            text += " SLIMIT %d" % self.rng.choice([1, 2])
        if self.maybe(0.03):
            text += " SOFFSET 1"
        if self.maybe(0.05):
            text += " tz('%s')" % self.rng.choice(ZONES)
        return text

    def show(self):
        source = self.rng.choice(["", "", " FROM " + name(self.m.title), " FROM /c/", " FROM nosuch"])
        where = self.rng.choice(["", "", " WHERE " + self.condition(1)])
        limit = self.rng.choice(["", "", "", " LIMIT 2", " LIMIT 1 OFFSET 1", " OFFSET 2"])
        exact = self.rng.choice(["EXACT ", ""])
        key = self.rng.choice(["= host", "!= host", "IN (host, region)", "=~ /o/", "!~ /o/", "= dev"])
        return self.rng.choice([
            "SHOW DATABASES",
            "SHOW RETENTION POLICIES" + self.rng.choice([" ON d", "", " ON nosuch"]),
            "SHOW MEASUREMENTS" + self.rng.choice(["", " ON d", " WITH MEASUREMENT =~ /c/", " WITH MEASUREMENT = m"]) + where + limit,
            "SHOW SERIES" + source + where + limit,
            "SHOW TAG KEYS" + source + where + limit,
            "SHOW TAG VALUES" + source + " WITH KEY " + key + where + limit,
            "SHOW FIELD KEYS" + source + limit,
            "SHOW SERIES %sCARDINALITY" % exact + self.rng.choice(["", " ON d", source, source + where]),
            "SHOW MEASUREMENT %sCARDINALITY" % exact + self.rng.choice(["", " ON d", source, source + where]),
            "SHOW TAG KEY %sCARDINALITY" % exact + self.rng.choice(["", source, source + where]),
            "SHOW TAG VALUES %sCARDINALITY" % exact + source + " WITH KEY " + key + self.rng.choice(["", where]),
            "SHOW FIELD KEY %sCARDINALITY" % exact + self.rng.choice(["", source, source + where]),
            "SHOW CONTINUOUS QUERIES", "SHOW SUBSCRIPTIONS", "SHOW USERS",
        ])
