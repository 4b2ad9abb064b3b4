"""tests/bench/daemon.py: tsm-raftd beside influxd and VictoriaMetrics over HTTP: ingest, queries, both at a time, start-up.

Called by run.sh. Environment: BUILD; DEVICES, ROWS (per device), REPEAT, INFLUX_REPEAT, KEEP=1. CPU seconds are the server's, from
before the first request until after the last answer, and, where it says so, until the server has come to rest.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)),
                os.path.join(os.path.dirname(os.path.abspath(__file__)), "../interop")]
sys.dont_write_bytecode = True

import influxd  # noqa: E402
from raftd import Raftd  # noqa: E402
from results import BENCH, DEVICES, ROWS, WORK, Results, fresh, megabytes, ratio, say, seconds  # noqa: E402
from measure import Failed, cpu_of, peak_memory_of, run, settle  # noqa: E402

REPEAT = int(os.environ.get("REPEAT", 5))
INFLUX_REPEAT = int(os.environ.get("INFLUX_REPEAT", 3))
SHARDS = 1000

RANGE = "time >= '2020-01-01T00:00:00Z' AND time < '2020-01-01T00:10:00Z'"
# name, InfluxQL, goal: influxd's time / ours
QUERIES = [
    ("count", "SELECT count(humidity) FROM devices", 20),
    ("mean", "SELECT mean(humidity) FROM devices", 20),
    ("min", "SELECT min(humidity) FROM devices", 20),
    ("max", "SELECT max(humidity) FROM devices", 20),
    ("spread", "SELECT spread(humidity) FROM devices", 20),
    ("median", "SELECT median(humidity) FROM devices", 20),
    ("count, devgroup =~ /[1-5][0-9]/", "SELECT count(humidity) FROM devices WHERE devgroup =~ /[1-5][0-9]/", 20),
    ("count, sum, mean by devgroup", "SELECT count(humidity), sum(humidity), mean(humidity) FROM devices GROUP BY devgroup", 20),
    ("count, sum, mean by time(1m), 10 minutes",
     "SELECT count(humidity), sum(humidity), mean(humidity) FROM devices WHERE %s GROUP BY time(1m) fill(none)" % RANGE, 20),
    ("derivative(mean) by devgroup, time(1m)",
     "SELECT derivative(mean(humidity), 1m) FROM devices WHERE %s GROUP BY devgroup, time(1m)" % RANGE, 8),
    ("derivative by series, 100 rows of each", "SELECT derivative(humidity) FROM devices WHERE %s GROUP BY devid LIMIT 100" % RANGE, 8),
    ("top 10", "SELECT top(humidity, 10) FROM devices", 8),
    ("percentile 99", "SELECT percentile(humidity, 99) FROM devices", 8),
    ("percentile 95 by devgroup", "SELECT percentile(humidity, 95) FROM devices GROUP BY devgroup", 8),
    ("max of mean by devid", "SELECT max(m) FROM (SELECT mean(humidity) AS m FROM devices GROUP BY devid)", 8),
    ("mean of max by devid, time(1m)",
     "SELECT mean(m) FROM (SELECT max(humidity) AS m FROM devices WHERE %s GROUP BY devid, time(1m)) GROUP BY devgroup" % RANGE, 8),
]
ROWS_QUERY = "SELECT * FROM devices"


class Victoria:
    def __init__(self, directory):
        self.directory = directory

    def __enter__(self):
        self.port = influxd._free_port()
        with open(os.path.join(WORK, "victoria.log"), "w") as log:
            self.process = subprocess.Popen(["victoria-metrics", "-storageDataPath=" + self.directory, "-retentionPeriod=100y",
                                             "-httpListenAddr=127.0.0.1:%d" % self.port, "-loggerLevel=WARN"],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            preexec_fn=influxd._die_with_parent)
        for _ in range(300):
            try:
                urllib.request.urlopen("http://127.0.0.1:%d/health" % self.port, timeout=5).read()
                break
            except OSError:
                time.sleep(0.1)
        return self

    def __exit__(self, *exc):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def server_of(name, directory):
    if name == "tsmkit":
        return Raftd(directory, "-q")
    if name == "influxd":
        return influxd.Influxd(directory, cold="10s", full="10s", data='cache-max-memory-size = "8g"')
    return Victoria(directory)


def load(url, path, *options):
    return json.loads(run([os.path.join(BENCH, "load"), *options, url, path], timeout=1800).out)


# ---- ingest -------------------------------------------------------------------------------------

def ingest(name, path, directory):
    with server_of(name, directory) as server:
        if name != "VictoriaMetrics":
            server.execute("CREATE DATABASE bench")
        pid = server.process.pid
        before = cpu_of(pid)
        done = load("http://127.0.0.1:%d/write?db=bench" % server.port, path, "--clients", "8", "--batch", "1000")
        figures = {"wall": done["seconds"], "cpu": cpu_of(pid) - before, "memory": peak_memory_of(pid), "writes": done["writes"]}
        settle(pid, directory, quiet=5, most=300)
        figures["settled_cpu"] = cpu_of(pid) - before
        say("   %s: %s" % (name, json.dumps(figures)))
        return figures


def measure_ingest(results, path, directories):
    all_of = {name: ingest(name, path, directory) for name, directory in directories.items()}
    ours, a, b = (all_of[n] for n in ("tsmkit", "influxd", "VictoriaMetrics"))
    results.figures["HTTP ingest"] = all_of
    results.table("HTTP ingest, 8 clients × 1,000 rows", ["", "tsmkit", "influxd", "ratio", "VictoriaMetrics", "ratio"])

    def line(name, get, form):
        results.row(name, [form(get(ours)), form(get(a)), ratio(get(a), get(ours)), form(get(b)), ratio(get(b), get(ours))])

    line("wall time", lambda x: x["wall"], seconds)
    rows = DEVICES * ROWS
    results.row("rows per second", ["%.0f" % (rows / ours["wall"]), "%.0f" % (rows / a["wall"]), ratio(a["wall"], ours["wall"]),
                                    "%.0f" % (rows / b["wall"]), ratio(b["wall"], ours["wall"])])
    line("server CPU seconds", lambda x: x["cpu"], seconds)
    line("server CPU seconds, come to rest", lambda x: x["settled_cpu"], seconds)
    for q in ("p50", "p99", "p999"):
        line("latency %s" % q, lambda x: x["writes"][q] / 1000, seconds)
    line("peak memory", lambda x: x["memory"], megabytes)
    results.goal("HTTP ingest: influxd's CPU seconds / ours ≥ 6", "%.1f" % (a["cpu"] / ours["cpu"]), a["cpu"] / ours["cpu"] >= 6)
    results.goal("HTTP ingest: VictoriaMetrics' CPU seconds / ours ≥ 2.5", "%.1f" % (b["cpu"] / ours["cpu"]),
                 b["cpu"] / ours["cpu"] >= 2.5)
    for name, peer in (("influxd", a), ("VictoriaMetrics", b)):
        results.goal("HTTP ingest: our p99.9 latency no worse than %s's" % name,
                     "%.1f / %.1f ms" % (ours["writes"]["p999"], peer["writes"]["p999"]),
                     ours["writes"]["p999"] <= peer["writes"]["p999"])


# ---- queries ------------------------------------------------------------------------------------

def url_of(server, text, **more):
    return "http://127.0.0.1:%d/query?%s" % (server.port, urllib.parse.urlencode(dict(more, q=text, db="bench")))


def ask(server, text):
    """(seconds, the answer)"""
    start = time.monotonic()
    with urllib.request.urlopen(url_of(server, text, epoch="ns"), timeout=900) as answer:
        body = answer.read()
    return time.monotonic() - start, body


def median_ask(server, text, times):
    ask(server, text)
    got = sorted(ask(server, text) for _ in range(times))
    return got[len(got) // 2]


def close(a, b):
    """Two answers agree, but for the last digits of floats: influxd here uses all processors."""
    if isinstance(a, float) or isinstance(b, float):
        return isinstance(a, (int, float)) and isinstance(b, (int, float)) and abs(a - b) <= 1e-9 * max(1, abs(a), abs(b))
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(close(x, y) for x, y in zip(a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(close(a[k], b[k]) for k in a)
    return a == b


def measure_queries(results, ours, theirs, wrong):
    results.table("HTTP queries", ["", "tsmkit", "influxd", "ratio"])
    for name, text, goal in QUERIES:
        mine, my_body = median_ask(ours, text, REPEAT)
        other, their_body = median_ask(theirs, text, INFLUX_REPEAT)
        if not close(json.loads(my_body), json.loads(their_body)):
            wrong.append("%s: %s" % (name, my_body[:300].decode() + " against " + their_body[:300].decode()))
        results.row(name, [seconds(mine), seconds(other), ratio(other, mine)])
        results.figures["query: " + name] = {"tsmkit": mine, "influxd": other}
        results.goal("%s: influxd's time / ours ≥ %d" % (name, goal), "%.1f" % (other / mine), other / mine >= goal)


def stream(server):
    """All rows, chunked: seconds to the first byte and to the last one, bytes, growth of the server's memory."""
    pid = server.process.pid
    with open("/proc/%d/clear_refs" % pid, "w") as f:
        f.write("5")  # the peak is counted anew
    before = peak_memory_of(pid)
    done = run(["curl", "-sS", "-o", "/dev/null", "-w", "%{time_starttransfer} %{time_total} %{size_download}",
                url_of(server, ROWS_QUERY, epoch="ns", chunked="true", chunk_size="10000")], timeout=900).out.split()
    return {"first": float(done[0]), "all": float(done[1]), "bytes": int(done[2]), "grown": peak_memory_of(pid) - before}


def measure_stream(results, ours, theirs):
    a, b = sorted((stream(ours) for _ in range(3)), key=lambda x: x["all"])[1], stream(theirs)
    results.figures["stream"] = {"tsmkit": a, "influxd": b}
    results.table("SELECT * over all rows, chunked", ["", "tsmkit", "influxd", "ratio"])
    results.row("first chunk", [seconds(a["first"]), seconds(b["first"]), ratio(b["first"], a["first"])])
    results.row("all", [seconds(a["all"]), seconds(b["all"]), ratio(b["all"], a["all"])])
    results.row("bytes", [str(a["bytes"]), str(b["bytes"]), None])
    results.row("growth of memory meanwhile", [megabytes(a["grown"]), megabytes(b["grown"]), None])
    results.goal("SELECT * chunked: influxd's time / ours ≥ 8", "%.1f" % (b["all"] / a["all"]), b["all"] / a["all"] >= 8)
    results.goal("SELECT * chunked: first chunk within 50 ms", "%.0f ms" % (1000 * a["first"]), a["first"] <= 0.05)
    results.goal("SELECT * chunked: memory grows by less than --query-memory", megabytes(a["grown"]), a["grown"] < 512 << 20)


# ---- both at a time -----------------------------------------------------------------------------

def mixed(server, path):
    """4 writers and 4 readers."""
    queries = ["SELECT mean(humidity) FROM devices WHERE devid = '17' AND %s GROUP BY time(1m)" % RANGE,
               "SELECT last(temperature) FROM devices WHERE devgroup = '7' GROUP BY devid",
               "SELECT count(humidity) FROM devices WHERE devgroup = '3'",
               "SELECT max(humidity) FROM fresh WHERE time >= '2020-01-01T00:00:00Z' GROUP BY devgroup"]
    options = []
    for q in queries:
        options += ["--query", url_of(server, q)]
    pid = server.process.pid
    before = cpu_of(pid)
    done = load("http://127.0.0.1:%d/write?db=bench" % server.port, path, "--clients", "4", "--readers", "4", *options)
    done["cpu"] = cpu_of(pid) - before
    return done


def measure_mixed(results, ours, theirs, path):
    a, b = mixed(ours, path), mixed(theirs, path)
    results.figures["mixed"] = {"tsmkit": a, "influxd": b}
    results.table("4 writers and 4 readers", ["", "tsmkit", "influxd", "ratio"])
    results.row("rows written per second", ["%.0f" % (x["rows"] / x["seconds"]) for x in (a, b)] +
                [ratio(a["rows"] / a["seconds"], b["rows"] / b["seconds"])])
    results.row("queries per second", ["%.0f" % (x["reads"]["n"] / x["seconds"]) for x in (a, b)] +
                [ratio(a["reads"]["n"] / a["seconds"], b["reads"]["n"] / b["seconds"])])
    for kind in ("writes", "reads"):
        for q in ("p50", "p99", "p999"):
            results.row("%s, latency %s" % (kind, q), [seconds(x[kind][q] / 1000) for x in (a, b)] + [ratio(b[kind][q], a[kind][q])])
    results.row("server CPU seconds", [seconds(a["cpu"]), seconds(b["cpu"]), ratio(b["cpu"], a["cpu"])])


# ---- start-up -----------------------------------------------------------------------------------

def measure_start(results):
    directory = fresh("shards")
    with Raftd(directory, "-q") as server:
        server.execute("CREATE DATABASE bench WITH DURATION INF SHARD DURATION 1h")
        for part in range(10):
            lines = "".join("m,host=h%d v=%d %d\n" % (i % 7, i, (1577836800 + i * 3600) * 10**9)
                            for i in range(part * SHARDS // 10, (part + 1) * SHARDS // 10))
            status, body = server.write("bench", lines)
            if status != 204:
                raise Failed("tsm-raftd refuses points: %d %s" % (status, body.decode()))
        server.stop()
    took = []
    for _ in range(3):
        start = time.monotonic()
        server = Raftd(directory, "-q").start()
        _, body = ask(server, "SELECT count(v) FROM m")
        took.append(time.monotonic() - start)
        server.stop()
        if json.loads(body)["results"][0]["series"][0]["values"] != [[0, SHARDS]]:
            raise Failed("a wrong answer after the start: " + body.decode())
    found = sorted(took)[1]
    results.figures["start"] = found
    results.table("Start with 1,000 shards", ["", "tsmkit"])
    results.row("first answer, over all of them", [seconds(found)])
    results.goal("start with 1,000 shards: first answer within 1 s", seconds(found), found < 1)


def main():
    start, results, wrong = time.monotonic(), Results(), []
    os.makedirs(WORK, exist_ok=True)
    path, fresh_path = os.path.join(WORK, "time.lp"), os.path.join(WORK, "fresh.lp")
    generate = os.path.join(BENCH, "generate")
    run([generate, "--devices", str(DEVICES), "--rows", str(ROWS), "--order", "time"], out_path=path)
    run([generate, "--devices", str(DEVICES), "--rows", str(max(1, ROWS // 5)), "--order", "time", "--seed", "7"], out_path=fresh_path)
    run(["sed", "-i", "s/^devices,/fresh,/", fresh_path])
    directories = {name: fresh(name + "-http") for name in ("tsmkit", "influxd", "VictoriaMetrics")}
    try:
        measure_ingest(results, path, directories)
        with server_of("tsmkit", directories["tsmkit"]) as ours, server_of("influxd", directories["influxd"]) as theirs:
            measure_queries(results, ours, theirs, wrong)
            measure_stream(results, ours, theirs)
            measure_mixed(results, ours, theirs, fresh_path)
        measure_start(results)
    finally:
        if not os.environ.get("KEEP"):
            shutil.rmtree(WORK, ignore_errors=True)
    return results.finish("daemon", wrong, time.monotonic() - start)


sys.exit(main())
