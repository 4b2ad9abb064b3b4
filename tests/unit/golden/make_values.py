#!/usr/bin/env python3
"""tests/unit/golden/make_values.py: makes influxd-values.*, influxd-early.* and influxd-floats.txt anew with the
influxd that is installed (they were made by 1.6.7).

    influxd-values.lp.gz, .tsm   every field type and time scale in many shapes, and the file that influxd made of it
    influxd-early.lp.gz, .tsm    times before 1970
    influxd-floats.txt           floats as influxd prints them: in CSV, then in JSON
"""

import csv
import glob
import gzip
import io
import json
import os
import random
import struct
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../interop"))
from influxd import Influxd  # noqa: E402

START = 1500000000000000000
SECOND = 10**9
N = 260
FLOATS = "decades,extremes,gorilla_wide,mean,noise,powers,signs,walk"
lines = []


def emit(series, field, values, times=None):
    for i, value in enumerate(values):
        lines.append(f"{series} {field}={value} {times[i] if times else START + i * SECOND}")


def steps(n, step, start=START):
    times = []
    for i in range(n):
        times.append(start)
        start += step(i)
    return times


def sums(n, step):
    total = 0
    for i in range(n):
        total += step(i, total)
        yield total


def text(s):
    return '"' + s.replace("\\", "\\\\").replace('"', '\\"') + '"'


def any_double():
    while True:
        v = struct.unpack(">d", struct.pack(">Q", random.getrandbits(64)))[0]
        if v == v and abs(v) != float("inf"):
            return v


def emit_floats():
    def emit_all(field, values):
        emit("float", field, [repr(float(v)) for v in values])

    emit_all("walk", [round(v, 4) for v in sums(N, lambda i, v: random.gauss(0, 1))])
    emit_all("constant", [21.5] * N)
    emit_all("steady", [i * 0.5 for i in range(N)])
    emit_all("powers", [2.0 ** random.randint(-1000, 1000) for _ in range(N)])
    emit_all("decades", [10.0 ** random.randint(-307, 308) for _ in range(N)])
    emit_all("noise", [any_double() for _ in range(N)])
    emit_all("signs", [0.0, -0.0, 1.0, -1.0] * 20)
    emit_all("extremes", [1.7976931348623157e308, -1.7976931348623157e308, 5e-324, -5e-324,
                          2.2250738585072014e-308] * 5)
    emit_all("repeats", [random.choice([1.5, 1.5, 1.5, 2.25, 3.125]) for _ in range(N)])
    emit_all("mean", [sum(random.random() for _ in range(10)) / 10 for _ in range(N)])
    emit_all("single", [3.25])
    emit_all("two", [3.25, 3.5])
    emit_all("gorilla_wide", [0, 1, 1e300, 1, 2, 3, 5e-324])


def emit_integers():
    def emit_all(field, values):
        emit("integer", field, [f"{v}i" for v in values])

    def any_width(i, total):
        v = random.getrandbits(random.randint(0, 55))
        return -v if total > 0 else v

    emit_all("constant", [42] * N)
    emit_all("steady", [i * 7 - 100 for i in range(N)])
    emit_all("walk", sums(N, lambda i, v: random.randint(-10, 10)))
    emit_all("widths", sums(2 * N, any_width))
    # Deltas of -1 are ones after zigzag: the words for runs.
    emit_all("ones", sums(700, lambda i, v: 5 if i == 299 else -1))
    emit_all("ones_end", sums(363, lambda i, v: -1 if i else 3))
    emit_all("bits", [random.randint(0, 1) for _ in range(N)])
    emit_all("extremes", [-2**63, 2**63 - 1, 0, -1, 1] * 5)
    emit_all("large_steps", [random.choice([-1, 1]) * random.getrandbits(62) for _ in range(50)])
    emit_all("single", [7])
    emit_all("two", [7, 9])
    emit_all("huge_single", [2**62])
    emit_all("huge_first", [2**62 + k * k for k in range(40)])


def emit_others():
    words = ["", "a", "online", "offline", "température 21°C", 'quoted "word"', "back\\slash",
             "comma, space = equals", "日本語", "x" * 300]
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    emit("boolean", "noise", [random.choice(["t", "false", "TRUE", "F"]) for _ in range(N + 3)])
    emit("boolean", "constant", ["true"] * 64)
    emit("boolean", "single", ["false"])
    emit("string", "words", [text(random.choice(words)) for _ in range(N)])
    emit("string", "constant", [text("ok")] * N)
    emit("string", "noise", [text("".join(random.choice(letters) for _ in range(random.randint(0, 30))))
                             for _ in range(N)])
    emit("string", "empty", [text("")] * 20)
    emit("string", "single", [text("one")])


def emit_times():
    for k in range(14):
        most = 9 if k < 13 else 3
        emit(f"time,scale={k:02d}", "jitter", ["1i"] * 150, steps(150, lambda i: random.randint(1, most) * 10**k))
        emit(f"time,scale={k:02d}", "rle", ["1i"] * 150, steps(150, lambda i: 3 * 10**k))
    emit("time", "mixed", ["1i"] * 150, steps(150, lambda i: 10 ** random.randint(0, 12) * random.randint(1, 99)))
    emit("time", "ones", ["1i"] * 700, steps(700, lambda i: 2 if i in (250, 400) else 1))
    emit("time", "ones_end", ["1i"] * 400, steps(400, lambda i: 1 if i else 2))


def emit_blocks():
    """More values than one block takes."""
    emit("blocks,devid=1", "value", [repr(round(random.gauss(50, 10), 4)) for _ in range(2300)])
    emit("blocks,devid=1", "count", [f"{random.randint(0, 100)}i" for _ in range(2300)])


def print_floats(server):
    query = f"SELECT {FLOATS} FROM float LIMIT 60"
    answer = json.loads(server.query(query, "db")[1], parse_float=str, parse_int=str)
    json_rows = answer["results"][0]["series"][0]["values"]
    server.connection.request("GET", "/query?db=db&q=" + query.replace(" ", "%20"),
                              headers={"Accept": "application/csv"})
    csv_rows = list(csv.reader(io.StringIO(server.connection.getresponse().read().decode())))[1:]
    pairs = []
    for in_json, in_csv in zip(json_rows, csv_rows):
        for a, b in zip(in_json[1:], in_csv[3:]):
            if a is not None and f"{b} {a}" not in pairs:
                pairs.append(f"{b} {a}")
    with open(os.path.join(HERE, "influxd-floats.txt"), "w") as f:
        f.write("\n".join(pairs) + "\n")


def make(name, emitters, then=None):
    lines.clear()
    random.seed(7)
    for emitter in emitters:
        emitter()
    body = "\n".join(lines) + "\n"
    with tempfile.TemporaryDirectory() as directory, Influxd(directory, cold="1s") as server:
        server.execute("CREATE DATABASE db WITH DURATION INF SHARD DURATION 520000w")
        assert server.write("db", body) == (204, b"")
        server.wait_flushed()
        files = glob.glob(directory + "/data/db/autogen/*/*.tsm")
        assert len(files) == 1, files
        with open(files[0], "rb") as source, open(os.path.join(HERE, name + ".tsm"), "wb") as f:
            f.write(source.read())
        if then:
            then(server)
    with open(os.path.join(HERE, name + ".lp.gz"), "wb") as f:
        f.write(gzip.compress(body.encode(), 9, mtime=0))


def emit_early():
    early = -10**18
    emit("time", "negative", ["1i"] * 100, [early + i * i * 10**6 for i in range(100)])
    emit("time", "negative_rle", ["1.5"] * 100, [early + i * 10**6 for i in range(100)])


make("influxd-values", [emit_floats, emit_integers, emit_others, emit_times, emit_blocks], print_floats)
make("influxd-early", [emit_early])
