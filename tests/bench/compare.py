"""tests/bench/compare.py: tsmkit beside influxd, VictoriaMetrics and DuckDB, on the same data and machine in one run.

Called by run.sh. Environment: BUILD; DEVICES, ROWS (per device), REPEAT (runs of a query, the median counts),
INFLUX_REPEAT, KEEP=1 (leaves the data for another look). A measurement that a peer did not manage is reported as
such; only a failure of our own tools, or a wrong answer, fails the run.
"""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)),
                os.path.join(os.path.dirname(os.path.abspath(__file__)), "../interop")]
sys.dont_write_bytecode = True

import influxd  # noqa: E402
from results import (BENCH, BUILD, DEVICES, HERE, MEMORY_LIMIT, ROWS, WORK, Results, fresh, megabytes, ratio, say,  # noqa: E402
                     seconds)
from measure import (Failed, bytes_below, cpu_of, files_below, median_run, peak_memory_of, run, settle)  # noqa: E402

REPEAT = int(os.environ.get("REPEAT", 5))
INFLUX_REPEAT = int(os.environ.get("INFLUX_REPEAT", 3))
DUCK_VERSION = "1.5.6-r.1"

RANGE = "time >= '2020-01-01T00:00:00Z' AND time < '2020-01-01T00:10:00Z'"
DUCK_RANGE = "time >= TIMESTAMP '2020-01-01 00:00:00' AND time < TIMESTAMP '2020-01-01 00:10:00'"
# name, InfluxQL, SQL with the same columns: group (tag or time) first, then the values
QUERIES = [
    ("count", "SELECT count(humidity) FROM devices", "SELECT count(humidity) FROM devices"),
    ("mean", "SELECT mean(humidity) FROM devices", "SELECT avg(humidity) FROM devices"),
    ("min", "SELECT min(humidity) FROM devices", "SELECT min(humidity) FROM devices"),
    ("max", "SELECT max(humidity) FROM devices", "SELECT max(humidity) FROM devices"),
    ("spread", "SELECT spread(humidity) FROM devices", "SELECT max(humidity) - min(humidity) FROM devices"),
    ("median", "SELECT median(humidity) FROM devices", "SELECT median(humidity) FROM devices"),
    ("count, devgroup =~ /[1-5][0-9]/", "SELECT count(humidity) FROM devices WHERE devgroup =~ /[1-5][0-9]/",
     "SELECT count(humidity) FROM devices WHERE regexp_matches(devgroup, '[1-5][0-9]')"),
    ("count, sum, mean by devgroup",
     "SELECT count(humidity), sum(humidity), mean(humidity) FROM devices GROUP BY devgroup",
     "SELECT devgroup, count(humidity), sum(humidity), avg(humidity) FROM devices GROUP BY devgroup"),
    ("count, sum, mean by time(1m), 10 minutes",
     "SELECT count(humidity), sum(humidity), mean(humidity) FROM devices WHERE %s GROUP BY time(1m) fill(none)" % RANGE,
     "SELECT epoch_ns(time_bucket(INTERVAL '1 minute', time)) AS t, count(humidity), sum(humidity), avg(humidity) "
     "FROM devices WHERE %s GROUP BY t" % DUCK_RANGE),
]


# ---- ingest -------------------------------------------------------------------------------------

def load(url, path):
    out = run([os.path.join(BENCH, "load"), url, path], timeout=1200).out
    return json.loads(out)


def ingest_ours(path, name):
    directory = fresh(name)
    cost = run([os.path.join(BUILD, "tsm-ingest"), "-q", "--summary", "json", "-d", directory, "-b", "bench", path])
    summary = json.loads(cost.err.decode().strip().split("\n")[-1])
    say("   " + json.dumps(summary))
    if summary.get("rejected"):
        raise Failed("tsm-ingest rejected points")
    return {"wall": cost.wall, "cpu": cost.cpu, "memory": cost.memory, "disk": bytes_below(directory, ".tsm"),
            "directory": directory}


def ingest_influxd(path, name):
    directory = fresh(name)
    data = 'cache-max-memory-size = "8g"'
    with influxd.Influxd(directory, cold="10s", full="10s", data=data) as server:
        server.execute("CREATE DATABASE bench")
        pid = server.process.pid
        before = cpu_of(pid)
        done = load("http://127.0.0.1:%d/write?db=bench" % server.port, path)
        cpu = cpu_of(pid) - before
        memory = peak_memory_of(pid)
        early = bytes_below(directory, ".tsm") + bytes_below(directory, ".wal")
        start = time.monotonic()
        settled = settle(pid, os.path.join(directory, "data"))
        say("   influxd's own compaction: %.0f s%s, %d files" %
            (time.monotonic() - start, "" if settled else ", not finished", len(files_below(directory, ".tsm"))))
        return {"wall": done["seconds"], "cpu": cpu, "memory": memory, "early": early,
                "disk": bytes_below(directory, ".tsm") + bytes_below(directory, ".wal"),
                "settled_cpu": cpu_of(pid) - before, "directory": directory, "settled": settled}


def ingest_victoria(path, name):
    directory = fresh(name)
    port = influxd._free_port()
    with open(os.path.join(WORK, "victoria.log"), "w") as log:
        process = subprocess.Popen(["victoria-metrics", "-storageDataPath=" + directory, "-retentionPeriod=100y",
                                    "-httpListenAddr=127.0.0.1:%d" % port, "-loggerLevel=WARN"],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=influxd._die_with_parent)
    try:
        url = "http://127.0.0.1:%d" % port
        for attempt in range(300):
            try:
                urllib.request.urlopen(url + "/health", timeout=5).read()
                break
            except OSError:
                time.sleep(0.1)
        before = cpu_of(process.pid)
        done = load(url + "/write?db=bench", path)
        cpu = cpu_of(process.pid) - before
        memory = peak_memory_of(process.pid)
        settle(process.pid, directory, quiet=10, most=120)
        return {"wall": done["seconds"], "cpu": cpu, "memory": memory, "disk": bytes_below(directory),
                "settled_cpu": cpu_of(process.pid) - before}
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def measure_ingest(results, order):
    path = os.path.join(WORK, order + ".lp")
    ours = ingest_ours(path, "tsmkit-" + order)
    peers = {"influxd": ingest_influxd(path, "influxd-" + order),
             "VictoriaMetrics": ingest_victoria(path, "victoria-" + order)}
    rows = DEVICES * ROWS
    results.figures["ingest, %s order" % order] = {"tsmkit": ours, **peers}
    results.table("Ingest, %s order" % order, ["", "tsmkit", "influxd", "ratio", "VictoriaMetrics", "ratio"])
    a, b = peers["influxd"], peers["VictoriaMetrics"]

    def line(name, key, form):
        results.row(name, [form(ours[key]), form(a[key]), ratio(a[key], ours[key]), form(b[key]), ratio(b[key], ours[key])])

    line("wall time", "wall", seconds)
    results.row("rows per second", ["%.0f" % (rows / x["wall"]) for x in (ours, a)] + [ratio(a["wall"], ours["wall"])] +
                ["%.0f" % (rows / b["wall"]), ratio(b["wall"], ours["wall"])])
    line("CPU seconds until acknowledged", "cpu", seconds)
    results.row("CPU seconds with its own compaction", [seconds(ours["cpu"]), seconds(a["settled_cpu"]),
                ratio(a["settled_cpu"], ours["cpu"]), seconds(b["settled_cpu"]), ratio(b["settled_cpu"], ours["cpu"])])
    line("peak memory", "memory", megabytes)
    line("bytes on disk, compacted", "disk", megabytes)

    def at_least(text, value, least):
        results.goal(text, "%.1f" % value, value >= least)

    if order == "device":
        at_least("ingest, device order: influxd's CPU seconds / ours ≥ 10", a["cpu"] / ours["cpu"], 10)
        at_least("ingest, device order: VictoriaMetrics' CPU seconds / ours ≥ 4", b["cpu"] / ours["cpu"], 4)
        at_least("ingest, device order: our rows per second / influxd's ≥ 5", a["wall"] / ours["wall"], 5)
    else:
        at_least("ingest, time order: influxd's CPU seconds / ours ≥ 6", a["cpu"] / ours["cpu"], 6)
    results.goal("ingest, %s order: peak memory ≤ 512 MiB" % order, "%.0f MiB" % (ours["memory"] / (1 << 20)),
                 ours["memory"] <= MEMORY_LIMIT)
    results.goal("disk, %s order: ours / influxd's%s ≤ 1" % (order, "" if a["settled"] else " (not finished compacting)"),
                 "%.4f (%d / %d bytes)" % (ours["disk"] / a["disk"], ours["disk"], a["disk"]), ours["disk"] <= a["disk"])
    shutil.rmtree(os.path.join(WORK, "victoria-" + order), ignore_errors=True)
    if order == "time":
        for name in ("tsmkit-time", "influxd-time"):
            shutil.rmtree(os.path.join(WORK, name), ignore_errors=True)


# ---- queries ------------------------------------------------------------------------------------

class Duck:
    def __init__(self):
        self.folder = os.path.join(BENCH, "node")
        self.path = os.path.join(WORK, "bench.duckdb")
        os.makedirs(self.folder, exist_ok=True)
        shutil.copy(os.path.join(HERE, "duck.mjs"), self.folder)
        if not os.path.isdir(os.path.join(self.folder, "node_modules/@duckdb/node-api")):
            say("installing @duckdb/node-api %s below %s" % (DUCK_VERSION, self.folder))
            run(["npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", self.folder,
                 "@duckdb/node-api@" + DUCK_VERSION])

    def command(self, sql):
        return ["node", os.path.join(self.folder, "duck.mjs"), self.path, sql]

    def load(self, path):
        columns = "{'time': 'BIGINT', 'devgroup': 'VARCHAR', 'devid': 'VARCHAR', 'devname': 'VARCHAR', " \
                  "'humidity': 'DOUBLE', 'temperature': 'BIGINT'}"
        return run(self.command("CREATE TABLE devices AS SELECT make_timestamp_ns(time) AS time, devgroup, devid, devname, "
                                "humidity, temperature FROM read_csv('%s', header = true, columns = %s); CHECKPOINT"
                                % (path, columns)))


def number(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return text


def rows_of_influxql(body, by_time):
    """The rows of an answer as [tag or time…, value…], sorted."""
    rows = []
    for series in json.loads(body)["results"][0].get("series", []):
        tags = list(series.get("tags", {}).values())
        for values in series["values"]:
            rows.append(tags + (values if by_time else values[1:]))
    return sorted(([number(v) for v in row] for row in rows), key=str)


def agree(a, b):
    if len(a) != len(b):
        return False
    for x, y in zip(a, b):
        if len(x) != len(y):
            return False
        for v, w in zip(x, y):
            if isinstance(v, float) and isinstance(w, float):
                if not math.isclose(v, w, rel_tol=1e-9):
                    return False
            elif v != w:
                return False
    return True


def curl(port, query, *more):
    return ["curl", "-sS", "-f", "-G", "http://127.0.0.1:%d/query" % port, "--data-urlencode", "db=bench",
            "--data-urlencode", "epoch=ns", "--data-urlencode", "q=" + query, *more]


def measure_queries(results, directory, influx_directory, duck):
    results.table("Queries over %d rows, whole process, median of %d" % (DEVICES * ROWS, REPEAT),
                  ["", "tsm-query", "CPU", "memory", "influxd", "ratio", "DuckDB", "DuckDB without start", "ours / DuckDB"])
    figures = results.figures["queries"] = {}
    wrong = []
    with influxd.Influxd(influx_directory) as server:
        for name, influxql, sql in QUERIES:
            by_time = "GROUP BY time" in influxql
            ours = median_run([os.path.join(BUILD, "tsm-query"), "-d", directory, "-b", "bench", "-f", "json",
                               "--precision", "ns", influxql], REPEAT)
            theirs = median_run(curl(server.port, influxql), INFLUX_REPEAT)
            ducks = median_run(duck.command(sql), REPEAT)
            inside = float(ducks.err.decode().strip().split("\n")[-1])
            answers = [rows_of_influxql(ours.out, by_time), rows_of_influxql(theirs.out, by_time),
                       sorted(([number(v) for v in row] for row in json.loads(ducks.out)), key=str)]
            for peer, answer in zip(("influxd", "DuckDB"), answers[1:]):
                if not answer or not agree(answers[0], answer):
                    wrong.append("%s: %s answers %s…, tsm-query %s…" % (name, peer, str(answer)[:200], str(answers[0])[:200]))
            figures[name] = {"tsmkit": ours.wall, "tsmkit_cpu": ours.cpu, "influxd": theirs.wall, "duckdb": ducks.wall,
                             "duckdb_inside": inside}
            results.row(name, [seconds(ours.wall), seconds(ours.cpu), megabytes(ours.memory), seconds(theirs.wall),
                               ratio(theirs.wall, ours.wall), seconds(ducks.wall), seconds(inside),
                               "%.2f" % (ours.wall / ducks.wall)])
            results.goal("%s: influxd's time / ours ≥ 20" % name, "%.1f" % (theirs.wall / ours.wall),
                         theirs.wall / ours.wall >= 20)
            results.goal("%s: our time / DuckDB's ≤ 2" % name, "%.2f" % (ours.wall / ducks.wall), ours.wall <= 2 * ducks.wall)
    return wrong


def lines_in(path):
    with open(path, "rb") as f:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: f.read(1 << 20), b""))


def measure_export(results, directory, influx_directory, duck):
    query = "SELECT * FROM devices"
    target = os.path.join(WORK, "export.csv")
    times = min(REPEAT, 3)
    ours = median_run([os.path.join(BUILD, "tsm-query"), "-d", directory, "-b", "bench", "-f", "csv", query], times, target)
    lines, size = lines_in(target), os.path.getsize(target)
    by_file = median_run(duck.command("COPY devices TO '%s' (HEADER)" % target), times)
    in_time = median_run(duck.command("COPY (SELECT * FROM devices ORDER BY time) TO '%s' (HEADER)" % target), times)
    theirs = None
    try:
        with influxd.Influxd(influx_directory) as server:
            theirs = run(curl(server.port, query, "-H", "Accept: application/csv", "--data-urlencode", "chunked=true"),
                         target, timeout=300)
    except Failed as e:
        say("   influxd's export: " + str(e))
    os.unlink(target)
    results.table("SELECT * of %d rows as CSV" % (DEVICES * ROWS), ["", "wall time", "peak memory", "ours / this"])
    peers = [("DuckDB, as stored", by_file), ("DuckDB, ORDER BY time", in_time), ("influxd, chunked", theirs)]
    results.row("tsm-query, in order of time (%.1f MB)" % (size / 1e6), [seconds(ours.wall), megabytes(ours.memory), "1"])
    for name, cost in peers:
        if cost is None:
            results.row(name, ["not within 300 s", None, None])
        else:
            results.row(name, [seconds(cost.wall), megabytes(cost.memory), "%.2f" % (ours.wall / cost.wall)])
    results.figures["export"] = {"tsmkit": ours.wall, "duckdb": by_file.wall, "duckdb_by_time": in_time.wall,
                                 "influxd": theirs and theirs.wall}
    results.goal("SELECT * as CSV: our time / DuckDB's ≤ 2", "%.2f" % (ours.wall / by_file.wall), ours.wall <= 2 * by_file.wall)
    return [] if lines == DEVICES * ROWS + 1 else ["the export has %d lines" % lines]


def main():
    start = time.monotonic()
    shutil.rmtree(WORK, ignore_errors=True)
    os.makedirs(WORK)
    results, wrong = Results(), []
    try:
        say("generating %d devices x %d rows" % (DEVICES, ROWS))
        size = ["--devices", str(DEVICES), "--rows", str(ROWS)]
        generate = os.path.join(BENCH, "generate")
        csv_path = os.path.join(WORK, "data.csv")
        for order in ("device", "time"):
            run([generate, *size, "--order", order], os.path.join(WORK, order + ".lp"))
        run([generate, *size, "--format", "csv"], csv_path)
        for order in ("time", "device"):
            measure_ingest(results, order)
            os.unlink(os.path.join(WORK, order + ".lp"))
        duck = Duck()
        duck.load(csv_path)
        os.unlink(csv_path)
        directories = os.path.join(WORK, "tsmkit-device"), os.path.join(WORK, "influxd-device")
        wrong += measure_queries(results, *directories, duck)
        wrong += measure_export(results, *directories, duck)
    finally:
        if not os.environ.get("KEEP"):
            shutil.rmtree(WORK, ignore_errors=True)
    return results.finish("results", wrong, time.monotonic() - start)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as e:
        sys.exit("bench: %s" % e)
