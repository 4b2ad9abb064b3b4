"""tests/bench/storage.py: what the storage engine costs: block copy, late data, deletes, memory, and whether a live pipe stalls
while a compaction runs; influxd beside it.

Called by run.sh. Environment: BUILD; DEVICES, ROWS (per device); SECTIONS (names of the functions below without measure_);
INFLUX=0 leaves the peer out; KEEP=1 leaves the data. Only a failure of our own tools, or a wrong answer, fails the run.
"""

import hashlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import threading
import time

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)),
                os.path.join(os.path.dirname(os.path.abspath(__file__)), "../interop")]
sys.dont_write_bytecode = True

import influxd  # noqa: E402
from results import BENCH, BUILD, DEVICES, ROWS, WORK, Results, fresh, megabytes, ratio, say, seconds  # noqa: E402
from measure import Failed, bytes_below, cpu_of, files_below, run, settle  # noqa: E402

INFLUX = os.environ.get("INFLUX", "1") != "0"
STEP = 600  # seconds between the rows of a device where points come late: a week in all
LIVE_SECONDS = int(os.environ.get("LIVE_SECONDS", 60))
LIVE_RATE = 50  # batches of 1,000 rows per second
MANY = int(os.environ.get("MANY", 1000000))  # series


def tool(name):
    return os.path.join(BUILD, name)


def generate(path, *options, devices=DEVICES, rows=ROWS):
    run([os.path.join(BENCH, "generate"), "--devices", str(devices), "--rows", str(rows), *options], path)


def summary_of(cost):
    return json.loads(cost.err.decode().strip().split("\n")[-1])


def ingest(path, directory, *options):
    cost = run([tool("tsm-ingest"), "-q", "--summary", "json", "-d", directory, "-b", "bench", *options, path])
    return cost, summary_of(cost)


def compact(directory, *options):
    cost = run([tool("tsm-compact"), "-q", "--summary", "json", "-d", directory, *options])
    return cost, summary_of(cost)


def digest(directory):
    """Of all points, series by series: the same for equal content, whatever the files."""
    h = hashlib.sha256()
    with subprocess.Popen([tool("tsm-inspect"), "export", "-q", "-d", directory, "-b", "bench"], stdout=subprocess.PIPE,
                          stdin=subprocess.DEVNULL) as process:
        for chunk in iter(lambda: process.stdout.read(1 << 20), b""):
            h.update(chunk)
    if process.returncode:
        raise Failed("tsm-inspect export: exit status %d" % process.returncode)
    return h.hexdigest()


def tsm_files(directory):
    return sorted(files_below(directory, ".tsm").items())


# ---- the series index ---------------------------------------------------------------------------

def measure_index(results, wrong):
    results.table("Series index", ["series, kind", "bytes per series", "insert ns", "find ns", "find nothing ns",
                                   "prefix scan ms"])
    out = run([os.path.join(BENCH, "series_index"), "10000", "1000000", "10000000"]).out.decode()
    for line in out.strip().split("\n")[2:]:
        cells = [c.strip() for c in line.strip("|").split("|")]
        results.row(cells[0] + ", " + cells[1], cells[2:])


# ---- copy against decode ------------------------------------------------------------------------

def median(costs, key):
    return sorted(key(c) for c in costs)[len(costs) // 2]


def measure_copy(results, wrong):
    data = os.path.join(WORK, "device.lp")
    generate(data, "--order", "device")
    source = fresh("copy-source")
    ingest(data, source, "--memory", "64M")
    os.unlink(data)
    before = digest(source)
    inputs = tsm_files(source)
    ours, decoded, copied, summary = [], [], [], None
    for i in range(3):
        target = os.path.join(WORK, "copy")
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
        run(["sync", "-f", target])
        cost, summary = compact(target, "--cold", "0", "--level", "2", "--memory", "512M")
        ours.append(cost)
        by_shard = {}
        for path, _ in inputs:
            by_shard.setdefault(os.path.dirname(path), []).append(path)
        decoded.append(run([os.path.join(BENCH, "decode_merge"), os.path.join(WORK, "decoded.tsm"),
                            *max(by_shard.values(), key=len)]))
        os.unlink(os.path.join(WORK, "decoded.tsm"))
        aside = fresh("cp")
        copied.append(run(["sh", "-c", 'cp "$@" && sync -f "$0"', aside, *[p for p, _ in inputs], aside]))
    if digest(target) != before:
        wrong.append("a compaction by block copy has changed the answers")
    size = sum(s for _, s in inputs)
    results.table("%d rows in device order: %d files of level 1 (%s) to level 2" % (DEVICES * ROWS, len(inputs),
                  megabytes(size)), ["", "wall time", "CPU seconds", "bytes per second"])

    def line(name, costs):
        wall = median(costs, lambda c: c.wall)
        results.row(name, [seconds(wall), seconds(median(costs, lambda c: c.cpu)), megabytes(size / wall)])

    line("tsm-compact, blocks copied", ours)
    line("decoding and encoding everything", decoded)
    line("cp, fsynced", copied)
    results.row("of our blocks: copied, joined, merged", [str(summary.get(k)) for k in ("copied_blocks", "joined_blocks", "merged_blocks")])
    part = median(ours, lambda c: c.cpu) / median(decoded, lambda c: c.cpu)
    speed = median(copied, lambda c: c.wall) / median(ours, lambda c: c.wall)
    results.goal("L1 to L2 by block copy: CPU / that of decoding ≤ 0.2", "%.2f" % part, part <= 0.2)
    results.goal("L1 to L2 by block copy: speed / that of cp ≥ 0.5", "%.2f" % speed, speed >= 0.5)
    for name in ("copy", "copy-source", "cp"):
        shutil.rmtree(os.path.join(WORK, name), ignore_errors=True)


# ---- late data ----------------------------------------------------------------------------------

def written_by(pid):
    with open("/proc/%d/io" % pid) as f:
        return int(dict(line.split(": ") for line in f)["write_bytes"])


def late_influxd(path, name):
    directory = fresh(name)
    with influxd.Influxd(directory, cold="10s", full="10s", data='cache-max-memory-size = "8g"') as server:
        server.execute("CREATE DATABASE bench")
        pid = server.process.pid
        done = json.loads(run([os.path.join(BENCH, "load"), "http://127.0.0.1:%d/write?db=bench" % server.port, path],
                              timeout=1200).out)
        settle(pid, os.path.join(directory, "data"))
        size = bytes_below(directory, ".tsm")
        result = done["seconds"], cpu_of(pid), written_by(pid) / size, size
    shutil.rmtree(directory, ignore_errors=True)
    return result


def measure_late(results, wrong):
    cases = [("in order", ["--order", "time"]), ("5 % late", ["--order", "time", "--late", "5"]),
             ("20 % late", ["--order", "time", "--late", "20"]), ("50 % late", ["--order", "time", "--late", "50"]),
             ("shuffled", ["--order", "shuffled"])]
    results.table("Late data: %d rows, late by up to a day" % (DEVICES * ROWS),
                  ["", "rows per second", "CPU", "late values", "files", "compaction", "write amplification to L3", "size",
                   "influxd rows per second", "CPU with compaction", "written / size", "size"])
    expected = None
    for name, options in cases:
        path = os.path.join(WORK, "late.lp")
        generate(path, "--step", str(STEP), *options)
        directory = fresh("late")
        cost, done = ingest(path, directory)
        files = len(tsm_files(directory))
        whole, summary = compact(directory, "--cold", "0")
        found = digest(directory)
        expected = expected or found
        if found != expected:
            wrong.append("late data, %s: the answers differ from those of the sorted load" % name)
        rows = DEVICES * ROWS
        cells = ["%.0f" % (rows / cost.wall), seconds(cost.cpu), str(done["late"]), str(files), seconds(whole.cpu),
                 "%.2f" % summary["write_amplification"], megabytes(bytes_below(directory, ".tsm"))]
        if INFLUX and name in ("in order", "20 % late", "shuffled"):
            wall, cpu, amplification, size = late_influxd(path, "late-influxd")
            cells += ["%.0f" % (rows / wall), seconds(cpu), "%.1f" % amplification, megabytes(size)]
        results.row(name, cells + [None] * (11 - len(cells)))
        if name == "20 % late":
            results.goal("write amplification to L3 with 20 % late < 3", "%.2f" % summary["write_amplification"],
                         summary["write_amplification"] < 3)
        shutil.rmtree(directory)
        os.unlink(path)


# ---- a live pipe beside a compaction ------------------------------------------------------------

def percentiles(latencies):
    s = sorted(latencies)
    return [s[min(len(s) - 1, int(len(s) * p))] * 1e3 for p in (0.5, 0.99, 0.999)]


class Beside:
    """Runs compactions of a directory one after the other as long as it is entered. Each works on the same files, in a
    directory of its own on the same disk (as links: files never change), so that there is always something to do."""

    def __init__(self, source, directory):
        self.source, self.directory, self.runs, self.failed = source, directory, 0, None
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.work)

    def work(self):
        while not self.stop.is_set():
            try:
                shutil.rmtree(self.directory, ignore_errors=True)
                shutil.copytree(self.source, self.directory, copy_function=os.link)
                subprocess.run([tool("tsm-compact"), "-q", "-d", self.directory, "--cold", "0"], stdin=subprocess.DEVNULL,
                               check=True, timeout=300)
                self.runs += 1
            except (OSError, subprocess.SubprocessError) as e:
                self.failed = Failed(str(e))
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


def live(directory):
    out = run([os.path.join(BENCH, "live"), directory, str(LIVE_SECONDS), str(LIVE_RATE)], timeout=LIVE_SECONDS * 4 + 60).out
    return json.loads(out)


def live_influxd(loaded):
    """The same batches over HTTP; influxd compacts beside when it has been given what there is to compact."""
    directory = fresh("live-influxd")
    data = 'cache-max-memory-size = "8g"\n  cache-snapshot-memory-size = "4m"\n  wal-fsync-delay = "0s"'
    with influxd.Influxd(directory, cold="600s", full="1s" if loaded else "600s", data=data) as server:
        server.execute("CREATE DATABASE bench")
        if loaded:
            run([os.path.join(BENCH, "load"), "http://127.0.0.1:%d/write?db=bench" % server.port, loaded], timeout=1200)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        latencies = []
        start = time.monotonic()
        for batch in range(LIVE_SECONDS * LIVE_RATE):
            due = start + batch / LIVE_RATE
            time.sleep(max(0.0, due - time.monotonic()))
            body = "".join("live,device=%d value=%d.5,count=%di %d\n" % (i, batch, i, (1600000000 + batch) * 10**9)
                           for i in range(1000))
            due = max(due, time.monotonic())
            connection.request("POST", "/write?db=bench", body)
            response = connection.getresponse()
            response.read()
            if response.status != 204:
                raise Failed("influxd answers %d" % response.status)
            latencies.append(time.monotonic() - due)
        return latencies


def measure_live(results, wrong):
    data = os.path.join(WORK, "live.lp")
    generate(data, "--step", str(STEP), "--order", "time", "--late", "20", rows=max(1, ROWS // 4))
    source = fresh("live-source")
    ingest(data, source, "--memory", "64M")
    results.table("A live pipe of %d batches of 1,000 rows per second, each fsynced before the next" % LIVE_RATE,
                  ["", "p50 ms", "p99 ms", "p99.9 ms", "batches", "compactions beside"])

    def line(name, found, beside):
        results.row(name, ["%.2f" % found[k] for k in ("p50", "p99", "p999")] + [str(found["batches"]), beside])

    alone = live(fresh("live"))
    line("tsmkit, alone", alone, None)
    target = fresh("live")
    with Beside(source, os.path.join(WORK, "beside")) as beside:
        busy = live(target)
    if beside.failed:
        raise beside.failed
    line("tsmkit, compaction beside", busy, str(beside.runs))
    quotient = busy["p999"] / alone["p999"]
    results.goal("live pipe: p99.9 with compaction / without ≤ 2", "%.2f" % quotient, quotient <= 2)
    if INFLUX:
        for name, loaded in (("influxd, alone", None), ("influxd, compacting", data)):
            latencies = live_influxd(loaded)
            found = dict(zip(("p50", "p99", "p999"), percentiles(latencies)), batches=len(latencies))
            line(name, found, None)


# ---- deletes and memory at a million series -----------------------------------------------------

def peak(results, name, command, limit):
    cost = run(command)
    results.row(name, [seconds(cost.wall), megabytes(cost.memory), megabytes(limit)])
    results.goal("%s, %d series: memory ≤ --memory" % (name, MANY), megabytes(cost.memory), cost.memory <= limit)
    return cost


def measure_many(results, wrong):
    data = os.path.join(WORK, "many.lp")
    generate(data, "--order", "time", devices=MANY, rows=4)
    directory = fresh("many")
    limit = 512 << 20
    query = [tool("tsm-query"), "-d", directory, "-b", "bench", "--memory", "512M", "-f", "csv"]
    results.table("%d series, --memory 512M" % MANY, ["", "wall time", "peak memory", "limit"])
    peak(results, "tsm-ingest", [tool("tsm-ingest"), "-q", "-d", directory, "-b", "bench", "--memory", "512M", data], limit)
    peak(results, "tsm-compact", [tool("tsm-compact"), "-q", "-d", directory, "--cold", "0", "--memory", "512M"], limit)
    peak(results, "tsm-query, mean by devgroup", query + ["SELECT mean(humidity) FROM devices GROUP BY devgroup"], limit)
    peak(results, "tsm-query, count by *", query + ["SELECT count(humidity) FROM devices GROUP BY *"], limit)

    results.table("DROP SERIES of %d series" % MANY, ["", "time to return"])
    part = run(query + ["DROP SERIES FROM devices WHERE devgroup != '7'"])
    results.row("99 % of them, by a condition", [seconds(part.wall)])
    left = run(query + ["SELECT count(humidity) FROM devices WHERE devgroup != '7'"]).out
    if left.strip():
        wrong.append("DROP SERIES has left points: %r" % left[:100])
    whole = run(query + ["DROP SERIES FROM devices"])
    results.row("the rest, all of the files", [seconds(whole.wall)])
    shutil.rmtree(directory)
    if INFLUX:
        directory = fresh("many-influxd")
        with influxd.Influxd(directory, cold="10s", full="1h", data='cache-max-memory-size = "8g"') as server:
            server.execute("CREATE DATABASE bench")
            run([os.path.join(BENCH, "load"), "http://127.0.0.1:%d/write?db=bench" % server.port, data], timeout=1200)
            settle(server.process.pid, os.path.join(directory, "data"), quiet=15)
            start = time.monotonic()
            try:
                run(["curl", "-sS", "-f", "-m", "300", "http://127.0.0.1:%d/query" % server.port, "--data-urlencode", "db=bench",
                     "--data-urlencode", "q=DROP SERIES FROM devices WHERE devgroup != '7'"], timeout=310)
                text = seconds(time.monotonic() - start)
            except Failed:
                text = "not within 300 s"
            results.row("influxd, 99 % of them", [text])
        shutil.rmtree(directory, ignore_errors=True)
    os.unlink(data)


SECTIONS = {"index": measure_index, "copy": measure_copy, "late": measure_late, "live": measure_live, "many": measure_many}


def main():
    start = time.monotonic()
    shutil.rmtree(WORK, ignore_errors=True)
    os.makedirs(WORK)
    results, wrong = Results(), []
    try:
        for name in os.environ.get("SECTIONS", " ".join(SECTIONS)).split():
            SECTIONS[name](results, wrong)
    finally:
        if not os.environ.get("KEEP"):
            shutil.rmtree(WORK, ignore_errors=True)
    return results.finish("storage", wrong, time.monotonic() - start)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as e:
        sys.exit("bench: %s" % e)
