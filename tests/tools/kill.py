#!/usr/bin/env python3
"""tests/tools/kill.py: tsm-ingest killed with -9 at random moments, again and again, in one directory (the working
directory's data). After each time the directory must verify clean, and all that was acknowledged must be there. Prints
what is wrong; exits 1 when something is. Environment: BUILD, SEED (default: the time).
"""

import os
import random
import subprocess
import sys
import time

BUILD = os.environ["BUILD"]
SEED = int(os.environ.get("SEED", time.time()))
ROWS = 4000
HOSTS = 50
START = 1500000000


def lines(batch):
    """Of two shards, with a part that is late."""
    rng = random.Random(batch)
    out = []
    for i in range(ROWS):
        t = START + (i // HOSTS) * 10 + (i % 2) * 8 * 86400 - rng.choice([0, 0, 0, 3])
        out.append("m,batch=b%d,host=h%d v=%di,late=%d %d" % (batch, i % HOSTS, i, batch, t))
        out.append("shared,host=h%d v=%di %d" % (i % HOSTS, batch, t))
    return "\n".join(out).encode()


def tool(name, *args):
    done = subprocess.run([os.path.join(BUILD, name), *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    return done.returncode, done.stdout, done.stderr


def ingest(delay):
    """The exit status; killed after delay seconds, if that is not None."""
    with open("input", "rb") as text:
        process = subprocess.Popen([os.path.join(BUILD, "tsm-ingest"), "-q", "-d", "data", "-b", "db", "--precision", "s"],
                                   stdin=text, stderr=subprocess.PIPE)
    if delay is not None:
        time.sleep(delay)
        process.kill()
    error = process.communicate(timeout=60)[1]
    if process.returncode not in (0, -9):
        raise SystemExit("tsm-ingest: exit status %d: %s" % (process.returncode, error))
    return process.returncode


def check(stored, what):
    status, out, err = tool("tsm-inspect", "verify", "data")
    if status != 0 and stored:
        raise SystemExit("%s: verify: %d: %s%s" % (what, status, out, err))
    if not stored:
        return
    status, out, err = tool("tsm-query", "-d", "data", "-b", "db", "-f", "csv", "--no-header",
                            "SELECT count(v), count(late), sum(v) FROM m GROUP BY batch")
    found = {row.split(",")[0]: row.split(",")[2:] for row in out.decode().splitlines()}
    for batch, expected in stored.items():
        if status != 0 or found.get("b%d" % batch) != expected:
            raise SystemExit("%s: batch %d: %d: %s instead of %s: %s" % (
                what, batch, status, found.get("b%d" % batch), expected, err))


def expected(batch):
    points = {}
    for line in lines(batch).decode().splitlines():
        key, fields, t = line.split(" ")
        if key.startswith("m,"):
            points[key, t] = int(fields.split("i,")[0][2:])
    return ["%d" % len(points), "%d" % len(points), "%d" % sum(points.values())]


def main():
    rng = random.Random(SEED)
    print("SEED=%d" % SEED)
    stored, killed, longest = {}, 0, 0.0
    for batch in range(33):
        with open("input", "wb") as f:
            f.write(lines(batch))
        whole = batch in (0, 1, 32)
        started = time.monotonic()
        status = ingest(None if whole else rng.random() * 1.2 * longest)
        if whole:
            longest = max(longest, time.monotonic() - started)
        else:  # the machine may have more to do, or less, than at first
            longest *= 0.9 if status == 0 else 1.1
        if status == 0:  # may have been killed after it had ended
            stored[batch] = expected(batch)
        else:
            killed += 1
        check(stored, "after batch %d (%d)" % (batch, status))
    left = [name for folder in os.walk("data") for name in folder[2] if name.endswith(".tmp")]
    print("%d killed, %d acknowledged" % (killed, len(stored)))
    if left:
        raise SystemExit("left over: %s" % left)
    if killed < 5 or len(stored) < 4:
        raise SystemExit("nothing was tested")
    return 0


if __name__ == "__main__":
    sys.exit(main())
