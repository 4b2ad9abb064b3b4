#!/usr/bin/env python3
"""tests/interop/transform_cases.py: asks a real influxd for tests/unit/cases/transform.cases; prints it.

    tests/interop/transform_cases.py > tests/unit/cases/transform.cases
"""

import json
import random
import tempfile

from influxd import Influxd

SECOND = 10**9
START = 1500000000 * SECOND
BOUNDED = " where time >= 0 and time < 1600000000000000000"
WARMUPS = {  # which functions take a way of warming up, and whether it is none by default
    "exponential_moving_average": "exponential",
    "double_exponential_moving_average": "exponential",
    "triple_exponential_moving_average": "exponential",
    "triple_exponential_derivative": "exponential",
    "relative_strength_index": "exponential",
    "kaufmans_efficiency_ratio": None,
    "kaufmans_adaptive_moving_average": None,
    "chande_momentum_oscillator": "none",
}

random.seed(11)


def text(value):
    return "null" if value is None else repr(value)


def walk(kind, count):
    t, v, points = START, random.uniform(-50, 50), []
    for _ in range(count):
        t += random.randint(1, 30 * SECOND)
        v += random.gauss(0, 3)
        points.append((t, int(v) if kind == "integer" else round(v, random.choice([1, 3, 9]))))
    return points


class Recorder:
    def __init__(self, server):
        self.server = server
        self.count = 0

    def case(self, name, kind, points, args="", down=False, interval=0, where="", inner="v", **spec):
        self.count += 1
        m = f"m{self.count}"
        suffix = "i" if kind == "integer" else ""
        self.server.write("t", "".join(f"{m} v={v!r}{suffix} {t}\n" for t, v in points))
        query = f"select {name}({inner}{args}) from {m}{where}"
        if interval:
            query += f" group by time({interval}ns)"
            spec["interval"] = interval
        if down:
            query += " order by time desc"
        status, body = self.server.query(query, db="t", epoch="ns")
        result = json.loads(body)["results"][0]
        assert status == 200 and "error" not in result, (query, body)
        rows = result["series"][0]["values"] if "series" in result else []
        if "end" in spec:
            points = [p for p in points if spec["start"] <= p[0] < spec["end"]]
        words = [name, kind, "desc" if down else "asc"] + [f"{k}={v}" for k, v in spec.items()]
        print(" ".join(words))
        print(" ".join(f"{t}:{v!r}" for t, v in (points[::-1] if down else points)))
        print(" ".join(f"{t}:{text(v)}" for t, v in rows))
        print()

    def simple(self, kind, down):
        for name, args, spec in [
            ("derivative", "", {"unit": SECOND}),
            ("derivative", ", 90s", {"unit": 90 * SECOND}),
            ("non_negative_derivative", ", 7ms", {"unit": 7000000}),
            ("difference", "", {}),
            ("non_negative_difference", "", {}),
            ("cumulative_sum", "", {}),
            ("elapsed", "", {"unit": 1}),
            ("elapsed", ", 3s", {"unit": 3 * SECOND}),
            ("moving_average", ", 2", {"n": 2}),
            ("moving_average", ", 7", {"n": 7}),
            ("moving_average", ", 40", {"n": 40}),
            ("sample", ", 100", {"n": 100}),
            ("integral", "", {"unit": SECOND}),
            ("integral", ", 1m", {"unit": 60 * SECOND}),
        ]:
            self.case(name, kind, walk(kind, 18), args, down, **spec)
        for seconds in (7, 60, 41):
            self.case("integral", kind, walk(kind, 24), "", down, seconds * SECOND, BOUNDED, unit=SECOND)
        start, end = START + 100 * SECOND, START + 250 * SECOND + 1
        where = f" where time >= {start} and time < {end}"
        self.case(
            "integral", kind, walk(kind, 24), ", 10s", down, 0, where, unit=10 * SECOND, start=start, end=end
        )

    def technical(self, kind, down):
        for name, warmup in WARMUPS.items():
            for n in (1, 2, 5, 9):
                if name.startswith("chande") and n == 1:  # a panic
                    continue
                default = {"warmup": warmup} if warmup == "none" else {}
                forms = [("", default)]
                if n in (2, 5):
                    forms += [(f", {h}", {"hold": h, **default}) for h in ((1, 3) if warmup else (0, 3))]
                    if warmup:
                        forms.append((", 2, 'simple'", {"hold": 2, "warmup": "simple"}))
                        forms.append((", 1, 'exponential'", {"hold": 1, "warmup": "exponential"}))
                if warmup == "none":
                    forms.append((", 3, 'none'", {"hold": 3, "warmup": "none"}))
                for args, spec in forms:
                    self.case(name, kind, walk(kind, 12 if n < 9 else 20), f", {n}{args}", down, n=n, **spec)

    def forecasts(self, kind):
        for name in ("holt_winters", "holt_winters_with_fit"):
            for h, season, count, seconds in [
                (3, 0, 20, 60),
                (5, 4, 30, 60),
                (2, 1, 9, 10),
                (4, 3, 24, 3600),
                (6, 2, 12, 7),
                (3, 8, 7, 60),
                (1, 0, 2, 60),
            ]:
                interval = seconds * SECOND
                t, v, points = START // interval * interval, 20.0, []
                for i in range(count):
                    if i == 0 or count <= 10 or random.random() >= 0.15:
                        x = v + 5 * (i % (season or 3)) + random.gauss(0, 1)
                        points.append((t, int(x) if kind == "integer" else round(x, 4)))
                        v += 0.7
                    t += interval
                args = f", {h}, {season}"
                self.case(name, kind, points, args, False, interval, BOUNDED, "first(v)", n=h, season=season)


with tempfile.TemporaryDirectory() as directory, Influxd(directory) as server:
    server.execute("create database t")
    print("# Transforms, and what influxd 1.6.7 answers. Made by tests/interop/transform_cases.py.")
    recorder = Recorder(server)
    for kind in ("float", "integer"):
        for down in (False, True):
            recorder.simple(kind, down)
            if kind == "float" or not down:
                recorder.technical(kind, down)
        recorder.forecasts(kind)
