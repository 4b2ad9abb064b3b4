#!/usr/bin/env python3
"""tests/torture/alloc.py [STEP [SECONDS]]: every STEP-th allocation of the programs fails, one per run, in random order
(default: every one, no limit of time; each program gets its share of the time). A program then ends with status 1 and says why, or does its work all the same; never by a signal,
and never with status 0 and something missing. Afterwards the directory is sound and holds what it held before, or what
the program was to do. Prints what is wrong; exits 1 when something is. Works in a directory of its own, removed at the end.
Environment: BUILD, ALLOCFAIL (the library to preload).
"""

import gzip
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

BUILD = os.environ["BUILD"]
PRELOAD = os.environ["ALLOCFAIL"]
STEP = int(sys.argv[1]) if len(sys.argv) > 1 else 1
END = time.monotonic() + float(sys.argv[2]) if len(sys.argv) > 2 else None
START = 1500000000


def program(name):
    return os.path.join(BUILD, name)


def run(args, env=None, stdin=None):
    """Status, output, error."""
    with open(stdin or os.devnull, "rb") as source:
        done = subprocess.run(args, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                              env=dict(os.environ, **(env or {})))
    return done.returncode, done.stdout, done.stderr


def must(*args, **more):
    status, out, err = run(list(args), **more)
    if status != 0:
        raise SystemExit("%s: exit status %d: %s" % (" ".join(args), status, err.decode()))
    return out


def rows(data):
    return set(must(program("tsm-inspect"), "export", "-b", "db", data).splitlines())


def lines(n, seed, late):
    out = []
    for i in range(n):
        t = START + i * 600 - (86400 * (i % 3) if late else 0)
        out.append('m,host=h%d f=%d.25,s="text %d",i=%di %d' % (i % 5, i + seed, i * seed, i, t))
    return "\n".join(out) + "\n"


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def prepare():
    """base: a directory with ordered and late files of two shards, a log that was not flushed, and a tombstone."""
    write("a.lp", lines(1500, 1, False))
    write("b.lp", lines(700, 2, True))
    write("c.lp", lines(300, 3, False))
    write("d.lp", lines(900, 4, True))
    write("e.lp", lines(400, 5, True))
    with open("d.lp", "rb") as f, gzip.open("d.lp.gz", "wb") as packed:
        packed.write(f.read())
    must("lz4", "-q", "-f", "d.lp", "d.lp.lz4")
    for name in "a.lp", "b.lp", "c.lp":
        must(program("tsm-ingest"), "-q", "-d", "base", "-b", "db", "--precision", "s", name)
    must(program("tsm-query"), "-d", "base", "-b", "db", "DELETE FROM m WHERE host = 'h3' AND time < 1500050000s")
    leave_log()


def leave_log():
    """What a killed writer leaves."""
    writer = subprocess.Popen([program("tsm-ingest"), "-q", "-d", "base", "-b", "db", "--precision", "s", "--wal", "on",
                               "--sync", "always"], stdin=subprocess.PIPE)
    try:
        with open("e.lp", "rb") as f:
            writer.stdin.write(f.read() + b"m,host=last f=1 1500000000\n")
        writer.stdin.flush()
        for _ in range(300):
            if b"host=last" in must(program("tsm-inspect"), "export", "-b", "db", "base"):
                return
            time.sleep(0.1)
        raise SystemExit("what goes into the log is not to be seen")
    finally:
        writer.kill()
        writer.wait()


CASES = [
    ("ingest", ["tsm-ingest", "-d", "data", "-b", "db", "--precision", "s", "d.lp"], True),
    ("ingest of gzip", ["tsm-ingest", "-d", "data", "-b", "db", "--precision", "s", "d.lp.gz"], True),
    ("ingest of lz4", ["tsm-ingest", "-d", "data", "-b", "db", "--precision", "s", "d.lp.lz4"], True),
    ("ingest of a pipe", ["tsm-ingest", "-d", "data", "-b", "db", "--precision", "s", "-j", "1"], True),
    ("ingest with a log", ["tsm-ingest", "-d", "data", "-b", "db", "--precision", "s", "--wal", "on", "--sync", "always"],
     True),
    ("compact", ["tsm-compact", "-d", "data", "--cold", "0"], True),
    ("plan", ["tsm-compact", "-d", "data", "--cold", "0", "--plan"], False),
    ("delete", ["tsm-query", "-d", "data", "-b", "db", "DELETE FROM m WHERE host = 'h1' AND time > 1500020000s"], True),
    ("drop series", ["tsm-query", "-d", "data", "-b", "db", "DROP SERIES FROM m WHERE host = 'h2'"], True),
    ("drop measurement", ["tsm-query", "-d", "data", "-b", "db", "DROP MEASUREMENT m"], True),
    ("ingest, new", ["tsm-ingest", "-d", "data", "-b", "other", "--precision", "s", "d.lp"], True),
    ("query", ["tsm-query", "-d", "data", "-b", "db", "SELECT f, s FROM m WHERE time < 1500100000s"], False),
    ("aggregates", ["tsm-query", "-d", "data", "-b", "db", "-f", "json",
                    "SELECT mean(f), last(s) FROM m GROUP BY time(1d), host; SHOW TAG VALUES WITH KEY = host"], False),
    ("verify", ["tsm-inspect", "verify", "data"], False),
    ("export", ["tsm-inspect", "export", "-b", "db", "data"], False),
    ("report", ["tsm-inspect", "report", "data"], False),
]


class Wrong(Exception):
    pass


def fresh():
    shutil.rmtree("data", ignore_errors=True)
    shutil.copytree("base", "data")


def check(changes, before, after, expected, status, out, err, message):
    if status not in (0, 1):
        raise Wrong("exit status %d: %s%s" % (status, out[-300:].decode(errors="replace"), err.decode(errors="replace")))
    if status == 1 and not err:
        raise Wrong("no message")
    if status == 0 and out != expected:
        raise Wrong("exit status 0 with another output: %s" % err.decode(errors="replace"))
    if not changes:
        return
    verified, found, error = run([program("tsm-inspect"), "verify", "-q", "data"])
    if verified != 0:
        raise Wrong("not sound afterwards: %s%s" % (found.decode(), error.decode()))
    now = rows("data")
    if status == 0 and now != after:
        raise Wrong("exit status 0, but %d rows are missing and %d too many" % (len(after - now), len(now - after)))
    strange = now - before - after
    if strange:
        raise Wrong("%d rows that nobody wrote: %r" % (len(strange), sorted(strange)[:3]))
    lost = (before & after) - now
    if lost:
        raise Wrong("%d rows lost: %r" % (len(lost), sorted(lost)[:3]))


def main():
    failures, faults = 0, 0
    prepare()
    before = rows("base")
    for i, (name, args, changes) in enumerate(CASES):
        end = END and time.monotonic() + (END - time.monotonic()) / (len(CASES) - i)
        args = [program(args[0])] + args[1:]
        stdin = "d.lp" if "pipe" in name or "log" in name else None
        fresh()
        status, expected, err = run(args, {"LD_PRELOAD": PRELOAD, "ALLOC_COUNT": "count"}, stdin)
        if status != 0:
            raise SystemExit("%s: exit status %d: %s" % (name, status, err.decode()))
        after = rows("data") if changes else before
        with open("count") as f:
            count = int(f.read())
        done = 0
        for n in random.sample(range(1, count + 1), (count + STEP - 1) // STEP):
            if end and time.monotonic() > end:
                break
            if changes:
                fresh()
            env = {"LD_PRELOAD": PRELOAD, "ALLOC_FAIL_AT": str(n)}
            if n % 2:
                env["ALLOC_FAIL_FOR_GOOD"] = "1"
            try:
                status, out, err = run(args, env, stdin)
                check(changes, before, after, expected, status, out, err, name)
                if changes and status == 1:  # the next run completes it
                    status, out, err = run(args, None, stdin)
                    check(changes, before, after, expected, status, out, err, name)
                    if status != 0:
                        raise Wrong("the next run: exit status %d: %s" % (status, err.decode()))
            except (Wrong, subprocess.TimeoutExpired) as e:
                failures += 1
                print("FAILED: %s, allocation %d of %d: %s" % (name, n, count, e))
            done += 1
            faults += 1
        print("%-20s %5d of %d allocations failed" % (name, done, count), flush=True)
    print("%d allocations failed, %d failures" % (faults, failures))
    return 1 if failures else 0


if __name__ == "__main__":
    work = tempfile.mkdtemp(prefix="alloc-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    try:
        os.chdir(work)
        for name in "TSM_DATA", "TSM_DB":
            os.environ.pop(name, None)
        sys.exit(main())
    finally:
        shutil.rmtree(work, ignore_errors=True)
