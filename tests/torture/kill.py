#!/usr/bin/env python3
"""tests/torture/kill.py [SECONDS]: the programs on one directory, all at once, killed with -9 at random moments.

A live pipe feeds tsm-ingest, with a write-ahead log; tsm-compact compacts; tsm-query deletes; and tsm-query reads, all
the time. Every answer is checked: each cell (field, host, time) has the value that was acknowledged before the query
began, or one that was written, or a delete that was begun, later. What one query has shown, no later one may take back,
whoever is killed. Whenever the writer has ended, the directory must verify clean.

Prints what is wrong; exits 1 when something is. Works in a directory of its own, removed at the end unless KEEP is set.
Environment: BUILD, SEED (default: the time), KEEP.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

BUILD = os.environ["BUILD"]
SEED = int(os.environ.get("SEED", time.time()))
SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 60
HOSTS, TIMES = 6, 500
FIELDS = {"v": lambda n: "%di" % n, "f": lambda n: "%d.5" % n, "s": lambda n: '"text %d"' % n}
START, STEP = 1577836800, 3600  # three shards of a week
DATABASE = "db"


class Wrong(Exception):
    pass


class Cell:
    """What was done to a cell, in order: numbers of writes, 0 for a delete. What is before `floor` cannot come back."""

    __slots__ = ("events", "floor")

    def __init__(self):
        self.events = [0]
        self.floor = 0

    def find(self, value, floor):
        """The first event from floor on that gives this value; None when there is none."""
        for i in range(floor, len(self.events)):
            if self.events[i] == value:
                return i
        return None


class Oracle:
    def __init__(self):
        self.lock = threading.Lock()
        self.cells = {(f, h, t): Cell() for f in FIELDS for h in range(HOSTS) for t in range(TIMES)}
        self.number = 0
        self.frozen = set()  # hosts that a delete is waiting for

    def write(self, rng, host, t):
        """A line with some fields."""
        with self.lock:
            names = rng.sample(sorted(FIELDS), rng.randint(1, 3))
            fields = []
            for name in names:
                self.number += 1
                self.cells[name, host, t].events.append(self.number)
                fields.append("%s=%s" % (name, FIELDS[name](self.number)))
        return "m,host=h%d %s %d\n" % (host, ",".join(fields), START + t * STEP)

    def delete(self, host, first, last):
        """Begins one; gives what acknowledge() needs."""
        with self.lock:
            begun = []
            for f in FIELDS:
                for t in range(first, last + 1):
                    cell = self.cells[f, host, t]
                    cell.events.append(0)
                    begun.append((cell, len(cell.events) - 1))
            return begun

    def acknowledge(self, begun):
        with self.lock:
            for cell, event in begun:
                cell.floor = max(cell.floor, event)

    def acknowledge_writes(self):
        with self.lock:
            for cell in self.cells.values():
                for i in range(len(cell.events) - 1, cell.floor, -1):
                    if cell.events[i]:
                        cell.floor = i
                        break

    def settled(self, host):
        """Whether everything written to a host has been seen."""
        with self.lock:
            return all(c.floor == len(c.events) - 1 for key, c in self.cells.items() if key[1] == host)

    def floors(self):
        with self.lock:
            return {key: cell.floor for key, cell in self.cells.items()}

    def check(self, found, floors, final):
        """An answer to a query that began when the floors were these. Final: nobody writes, so that this is how it is."""
        with self.lock:
            for key, cell in self.cells.items():
                value = found.get(key, 0)
                event = cell.find(value, floors[key])
                if event is None:
                    raise Wrong("%s h%d time %d: found %d, acknowledged %d, later %s" % (
                        key[0], key[1], START + key[2] * STEP, value, cell.events[floors[key]],
                        cell.events[floors[key] + 1:]))
                cell.floor = max(cell.floor, event)
                if final and event != len(cell.events) - 1:
                    cell.events.append(value)  # the others will not come any more
                    cell.floor = len(cell.events) - 1


def parse(output):
    found = {}
    for row in output.decode().splitlines():
        host, t, f, s, v = row.split(",")
        host, t = int(host[1:]), int(t)
        if t % STEP != START % STEP:
            raise Wrong("a time that nobody wrote: " + row)
        t = (t - START) // STEP
        for name, text in (("f", f[:-2] if f.endswith(".5") else f), ("s", s[5:]), ("v", v)):
            if text:
                found[name, host, t] = int(text)
    return found


class World:
    def __init__(self):
        self.oracle = Oracle()
        self.stop = threading.Event()
        self.problems = []
        self.counts = {}
        self.counting = threading.Lock()
        self.running = set()

    def count(self, what):
        with self.counting:
            self.counts[what] = self.counts.get(what, 0) + 1

    def problem(self, text):
        with self.counting:
            self.problems.append(text)
            if len(self.problems) < 20:
                print("FAILED: " + text, flush=True)
        self.stop.set()

    def start(self, name, *args, **more):
        process = subprocess.Popen([os.path.join(BUILD, name), *args], stderr=subprocess.PIPE, **more)
        with self.counting:
            self.running.add(process)
        return process

    def finish(self, process, delay=None):
        """Status, output, error; killed after delay seconds, if it has not ended."""
        try:
            out, err = process.communicate(timeout=delay if delay is not None else 60)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate(timeout=60)
            if delay is None:
                self.problem("%s hangs: %s" % (process.args, err))
        with self.counting:
            self.running.discard(process)
        return process.returncode, out, err

    # ---- reading ----

    def read(self, final=False):
        floors = self.oracle.floors()
        status, out, err = self.finish(self.start(
            "tsm-query", "-d", "data", "-b", DATABASE, "-f", "csv", "--no-header", "--precision", "s",
            "SELECT f, s, v FROM m GROUP BY host", stdout=subprocess.PIPE))
        if status != 0:
            raise Wrong("tsm-query: exit status %d: %s" % (status, err.decode()))
        self.oracle.check(parse(out), floors, final)
        self.count("answers")

    def reader(self, rng):
        while not self.stop.is_set():
            self.read()
            time.sleep(0.01)

    # ---- writing ----

    def feed(self, rng, process, end):
        """Lines into the pipe until the process is gone, or it is time."""
        at = rng.randrange(TIMES)
        try:
            while time.monotonic() < end and process.poll() is None and not self.stop.is_set():
                lines = []
                for _ in range(rng.choice([1, 5, 50])):
                    host = rng.randrange(HOSTS)
                    late = rng.random() < 0.2
                    at = (at + 1) % TIMES
                    if host not in self.oracle.frozen:
                        lines.append(self.oracle.write(rng, host, rng.randrange(TIMES) if late else at))
                process.stdin.write("".join(lines).encode())
                process.stdin.flush()
                time.sleep(rng.choice([0, 0.001, 0.01]))
        except BrokenPipeError:
            pass

    def writer(self, rng):
        while not self.stop.is_set():
            process = self.start("tsm-ingest", "-q", "-d", "data", "-b", DATABASE, "--precision", "s", "--memory",
                                 "32M", "--wal", "on", "--sync", rng.choice(["always", "100ms"]), "--flush-interval",
                                 rng.choice(["100ms", "1s", "10s"]), "-", stdin=subprocess.PIPE, bufsize=0)
            self.feed(rng, process, time.monotonic() + rng.random() * rng.choice([0.1, 0.3, 1]))
            killed = rng.random() < 0.8
            if killed:
                process.kill()
            status, _, err = self.finish(process)  # which closes its stdin
            self.count("tsm-ingest killed" if killed else "tsm-ingest ended")
            if killed != (status == -signal.SIGKILL) and status != 0:
                raise Wrong("tsm-ingest: exit status %d: %s" % (status, err.decode()))
            if status == 0:
                self.oracle.acknowledge_writes()
            with self.deleting:
                self.read(final=True)
                self.verify()

    def verify(self):
        status, out, err = self.finish(self.start("tsm-inspect", "verify", "-q", "data", stdout=subprocess.PIPE))
        if status != 0:
            raise Wrong("verify: exit status %d: %s%s" % (status, out.decode(), err.decode()))

    # ---- compacting and deleting ----

    def compactor(self, rng):
        while not self.stop.is_set():
            process = self.start("tsm-compact", "-q", "-d", "data", "--cold", rng.choice(["0", "1h"]),
                                 stdout=subprocess.DEVNULL)
            delay = rng.random() * rng.choice([0.005, 0.02, 0.05]) if rng.random() < 0.8 else None
            status, _, err = self.finish(process, delay)
            self.count("tsm-compact killed" if status == -signal.SIGKILL else "tsm-compact ended")
            if status not in (0, 75, -signal.SIGKILL):
                raise Wrong("tsm-compact: exit status %d: %s" % (status, err.decode()))
            time.sleep(rng.random() * 0.1)

    def deleter(self, rng):
        while not self.stop.is_set():
            time.sleep(rng.random() * 0.2)
            host = rng.randrange(HOSTS)
            with self.deleting:
                self.oracle.frozen.add(host)
                end = time.monotonic() + 0.5
                while not self.oracle.settled(host) and time.monotonic() < end:
                    time.sleep(0.01)
                if self.oracle.settled(host):
                    self.delete(rng, host)
                self.oracle.frozen.discard(host)

    def delete(self, rng, host):
        first = rng.randrange(TIMES)
        last = min(TIMES - 1, first + rng.randrange(TIMES))
        begun = self.oracle.delete(host, first, last)
        process = self.start("tsm-query", "-d", "data", "-b", DATABASE, "DELETE FROM m WHERE host = 'h%d' AND time >= "
                             "%ds AND time <= %ds" % (host, START + first * STEP, START + last * STEP),
                             stdout=subprocess.DEVNULL)
        delay = rng.random() * 0.02 if rng.random() < 0.5 else None
        status, _, err = self.finish(process, delay)
        if status == 0:
            self.oracle.acknowledge(begun)
        elif status not in (75, -signal.SIGKILL):
            raise Wrong("DELETE: exit status %d: %s" % (status, err.decode()))
        self.count("DELETE killed" if status == -signal.SIGKILL else
                   "DELETE refused" if status == 75 else "DELETE done")

    # ---- all of it ----

    def guarded(self, work, rng):
        try:
            work(rng)
        except Exception as e:  # of any kind: the others must be stopped
            if not (self.stop.is_set() and self.problems):
                self.problem("%s: %s: %s" % (work.__name__, type(e).__name__, e))

    def run(self):
        self.deleting = threading.Lock()
        rng = random.Random(SEED)
        first = self.start("tsm-ingest", "-q", "-d", "data", "-b", DATABASE, "--precision", "s", "-",
                           stdin=subprocess.PIPE)
        first.stdin.write(self.oracle.write(rng, 0, 0).encode())
        status, _, err = self.finish(first)
        if status != 0:
            raise SystemExit("tsm-ingest: exit status %d: %s" % (status, err.decode()))
        self.oracle.acknowledge_writes()
        threads = [threading.Thread(target=self.guarded, args=(work, random.Random(rng.random())))
                   for work in (self.writer, self.reader, self.compactor, self.deleter)]
        for thread in threads:
            thread.start()
        self.stop.wait(SECONDS)
        self.stop.set()
        for thread in threads:
            thread.join(100)
        for process in list(self.running):  # a thread that failed may have left one
            process.kill()
            process.wait()
        if not self.problems:
            self.guarded(lambda _: self.end(), rng)
        print(", ".join("%d %s" % (n, what) for what, n in sorted(self.counts.items())) +
              "; %d values written" % self.oracle.number)
        return 1 if self.problems else 0

    def end(self):
        """Compacted to the end, it is still the same."""
        self.read(final=True)
        for cold in "1h", "0":
            status, _, err = self.finish(self.start("tsm-compact", "-q", "-d", "data", "--cold", cold,
                                                    stdout=subprocess.DEVNULL))
            if status != 0:
                raise Wrong("tsm-compact: exit status %d: %s" % (status, err.decode()))
            self.read(final=True)
            self.verify()


if __name__ == "__main__":
    print("SEED=%d" % SEED, flush=True)
    work = tempfile.mkdtemp(prefix="kill-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    try:
        os.chdir(work)
        for name in "TSM_DATA", "TSM_DB":
            os.environ.pop(name, None)
        sys.exit(World().run())
    finally:
        if "KEEP" in os.environ:
            print("kept: " + work)
        else:
            shutil.rmtree(work, ignore_errors=True)
