#!/usr/bin/env python3
"""tests/torture/raftd.py [SECONDS]: tsm-raftd killed with -9 at random moments under 8 writers, again and again, on one directory,
with flushes and compactions beside, and stopped cleanly, or flushed by --flush, now and then.

Each writer knows for every point what it may be: the value that was acknowledged last, or, until somebody has looked, that of the
one request whose answer never came. After each start, and of the files alone after each stop, all points of all writers are
read and compared. Prints what is wrong; exits 1 when something is. Environment: BUILD, SEED (default: the time).
"""

import http.client
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

BUILD = os.environ["BUILD"]
SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 120
SEED = int(os.environ.get("SEED", time.time()))
WRITERS = 8
TIMES = 400  # of a writer's points, over three shards
START = 1500000000
WEEK = 7 * 86400


def tool(name):
    return os.path.join(BUILD, name)


class Daemon:
    """A running tsm-raftd; its messages are kept."""

    def __init__(self):
        self.messages = []
        self.process = subprocess.Popen(
            [tool("tsm-raftd"), "-d", "data", "--bind", "127.0.0.1:0", "--flush-interval", "300ms", "--memory", "64M"],
            stderr=subprocess.PIPE, text=True)
        self.port = None
        for line in self.process.stderr:
            self.messages.append(line)
            found = re.search(r"ready on 127\.0\.0\.1:(\d+)", line)
            if found:
                self.port = int(found.group(1))
                break
        if self.port is None:
            raise SystemExit("tsm-raftd did not start: %s" % "".join(self.messages))
        self.reader = threading.Thread(target=lambda: self.messages.extend(self.process.stderr), daemon=True)
        self.reader.start()

    def kill(self):
        self.process.kill()
        self.process.wait(60)

    def stop(self):
        self.process.send_signal(random.choice([signal.SIGTERM, signal.SIGINT]))
        if random.random() < 0.3:
            time.sleep(0.01)
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(120)
        if status != 0:
            raise SystemExit("a clean stop gave %d: %s" % (status, "".join(self.messages)))


def request(connection, path, body):
    """The status and the body, or None when no answer came."""
    try:
        connection.request("POST", path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return None


def query(port, text):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    answer = request(connection, "/query?db=db&epoch=s&q=" + urllib.parse.quote(text), "")
    connection.close()
    if answer is None or answer[0] != 200:
        raise SystemExit("%s: %s" % (text, answer))
    return answer[1]


class Writer:
    """One series. known: time to value, acknowledged. doubt: what the request without an answer would have made of it."""

    def __init__(self, number, seed):
        self.number = number
        self.random = random.Random(seed)
        self.known = {}
        self.doubt = None
        self.value = 0
        self.acknowledged = 0
        self.wrong = None

    def time_of(self, i):
        return START + (i % 3) * WEEK + i

    def next_request(self):
        """Path, body, and what the points will be."""
        after = dict(self.known)
        if self.random.random() < 0.04:
            until = self.time_of(self.random.randrange(TIMES))
            for t in [t for t in after if t <= until]:
                del after[t]
            text = "DELETE FROM m WHERE w = 'w%d' AND time <= %ds" % (self.number, until)
            return "/query?db=db&q=" + urllib.parse.quote(text), "", after
        lines = []
        first = self.random.randrange(TIMES)
        for i in range(self.random.choice([1, 1, 5, 60])):
            self.value += 1
            t = self.time_of((first + i) % TIMES)
            after[t] = self.value
            lines.append("m,w=w%d v=%di,s=\"%s\" %d" % (self.number, self.value, "x" * (self.value % 50), t))
        return "/write?db=db&precision=s", "\n".join(lines), after

    def run(self, port, stop):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while not stop.is_set():
            path, body, after = self.next_request()
            self.doubt = after
            answer = request(connection, path, body)
            if answer is None:
                return
            status, text = answer
            if status == 503:
                # It may have been on its way when the log failed: what it would have made stays possible.
                time.sleep(0.01)
                return
            if status not in (200, 204) or b"error" in text:
                self.wrong = "%s: %s" % (path, answer)
                return
            self.known, self.doubt = after, None
            self.acknowledged += 1
        connection.close()

    def check(self, found, what):
        if found == self.known:
            self.doubt = None
        elif self.doubt is not None and found == self.doubt:
            self.known, self.doubt = self.doubt, None
        else:
            lost = {t: v for t, v in self.known.items() if found.get(t) != v}
            more = {t: v for t, v in found.items() if t not in self.known}
            raise SystemExit("seed %d, %s: writer %d: known and not found: %s; found and not known: %s; in doubt: %s" %
                             (SEED, what, self.number, sorted(lost.items())[:5], sorted(more.items())[:5],
                              self.doubt is not None))


def points_of(answer):
    """What a query for all points by writer has found."""
    found = {}
    for series in json.loads(answer)["results"][0].get("series", []):
        found[series["tags"]["w"]] = {row[0]: row[1] for row in series["values"]}
    return found


QUERY = "SELECT v FROM m GROUP BY w"


def check_all(writers, answer, what):
    found = points_of(answer)
    for writer in writers:
        writer.check(found.get("w%d" % writer.number, {}), what)


def check_files(writers, what):
    done = subprocess.run([tool("tsm-inspect"), "verify", "data"], capture_output=True, timeout=120)
    if done.returncode != 0:
        raise SystemExit("%s: verify: %s%s" % (what, done.stdout, done.stderr))
    done = subprocess.run([tool("tsm-query"), "-d", "data", "-b", "db", "-f", "json", "--precision", "s", QUERY],
                          capture_output=True, timeout=120)
    if done.returncode != 0:
        raise SystemExit("%s: tsm-query: %d: %s" % (what, done.returncode, done.stderr))
    check_all(writers, done.stdout, what)


def refuses_to_answer():
    done = subprocess.run([tool("tsm-query"), "-d", "data", "-b", "db", QUERY], capture_output=True, timeout=60)
    if done.returncode != 75 or b"--flush" not in done.stderr:
        raise SystemExit("tsm-query after a kill: %d: %s" % (done.returncode, done.stderr))


def compact(stop):
    while not stop.is_set():
        done = subprocess.run([tool("tsm-compact"), "-q", "-d", "data", "--cold", "0"], capture_output=True, timeout=120)
        if done.returncode not in (0, 1, 75):
            print("tsm-compact: %d: %s" % (done.returncode, done.stderr))
        stop.wait(0.3)


def round_of(writers, rng, number):
    daemon = Daemon()
    query(daemon.port, "CREATE DATABASE db")
    check_all(writers, query(daemon.port, QUERY), "round %d, after the start" % number)
    stop = threading.Event()
    threads = [threading.Thread(target=w.run, args=(daemon.port, stop)) for w in writers]
    if rng.random() < 0.4:
        threads.append(threading.Thread(target=compact, args=(stop,)))
    for t in threads:
        t.start()
    time.sleep(rng.choice([0.02, 0.1, 0.3, 0.7, 1.5]) * rng.random() * 2)
    end = rng.choice(["kill", "kill", "kill", "flush", "stop"])
    if end == "stop":
        daemon.stop()
    else:
        daemon.kill()
    stop.set()
    for t in threads:
        t.join()
    for w in writers:
        if w.wrong:
            raise SystemExit("writer %d: %s" % (w.number, w.wrong))
    if end == "kill":
        if rng.random() < 0.2:
            refuses_to_answer()
        return
    if end == "flush":
        # Killed as well, now and then.
        for delay in ([rng.random() * 0.2] if rng.random() < 0.5 else []) + [None]:
            flush = subprocess.Popen([tool("tsm-raftd"), "--flush", "-q", "-d", "data"], stderr=subprocess.PIPE)
            if delay is not None:
                time.sleep(delay)
                flush.kill()
            error = flush.communicate(timeout=120)[1]
            if delay is None and flush.returncode != 0:
                raise SystemExit("--flush: %d: %s" % (flush.returncode, error))
    check_files(writers, "round %d, files after %s" % (number, end))


def main():
    rng = random.Random(SEED)
    writers = [Writer(i, SEED * 100 + i) for i in range(WRITERS)]
    end = time.monotonic() + SECONDS
    rounds = 0
    while time.monotonic() < end:
        round_of(writers, rng, rounds)
        rounds += 1
    daemon = Daemon()
    check_all(writers, query(daemon.port, QUERY), "at the end")
    daemon.stop()
    check_files(writers, "at the end")
    print("%d rounds, %d requests acknowledged, %d points, seed %d" %
          (rounds, sum(w.acknowledged for w in writers), sum(len(w.known) for w in writers), SEED))


with tempfile.TemporaryDirectory() as work:
    os.chdir(work)
    main()
