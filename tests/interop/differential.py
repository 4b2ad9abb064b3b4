#!/usr/bin/env python3
"""tests/interop/differential.py: random schemas, writes, deletes and queries (generator.py), to a real influxd and to ours; the
answers are compared byte for byte.

    differential.py [--http] [QUERIES [SEED [QUERIES-PER-WORLD]]]

Ours is tsm-ingest and tsm-query on a directory; with --http tsm-raftd, which is killed and started anew, or stopped, now and then.

A query whose answer influxd itself does not give twice in the same way is counted apart. Prints TAP, one result for every world.
"""

import os
import shutil
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import known  # noqa: E402
from generator import World  # noqa: E402
from harness import Failure, difference, excerpt, must, query, report  # noqa: E402
from influxd import Influxd, available  # noqa: E402
from raftd import Raftd  # noqa: E402

EPOCHS = ["", "", "ns", "ms", "s"]
REPEATS = 4


class Totals:
    asked = refused = unsteady = explained = differ = 0


class Directory:
    """Ours, without a daemon."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass

    def run(self, text, database=""):
        must("tsm-query", "-d", self.path, *(["-b", database] if database else []), text)

    def write(self, policy, text):
        must("tsm-ingest", "-q", "-d", self.path, "-b", "d", *(["-p", policy] if policy else []), stdin=text.encode())

    def disturb(self, rng):
        pass

    def compare(self, theirs, text, epoch):
        """(what is wrong, our answer)"""
        ours = query(self.path, text, "d", epoch)
        return difference(theirs, ours), ours[1]


class Daemon(Raftd):
    def run(self, text, database=""):
        self.query(text, database, method="POST")

    def write(self, policy, text):
        status, body = super().write("d", text, rp=policy)
        if status != 204:
            raise Failure("tsm-raftd refuses points: %d %s" % (status, body.decode(errors="replace")))

    def disturb(self, rng):
        r = rng.random()
        if r < 0.1:
            self.kill()
            self.start()
        elif r < 0.2:
            self.stop()
            self.start()

    def compare(self, theirs, text, epoch):
        if epoch == "s" and text.startswith("SELECT"):  # influxd counts other things, but there is an answer
            self.query("EXPLAIN ANALYZE " + text, "d", method="POST")
        ours = self.query(text, "d", epoch=epoch, method="POST")
        if ours == theirs or theirs[1].startswith(b"json: "):  # influxd's encoder gave up, at an infinity
            return None, ours[1]
        at = next((i for i, (a, b) in enumerate(zip(theirs[1], ours[1])) if a != b), min(len(theirs[1]), len(ours[1])))
        return ["first difference at byte %d" % at, "influxd:   %d %s" % (theirs[0], excerpt(theirs[1], at)),
                "tsm-query: %d %s" % (ours[0], excerpt(ours[1], at))], ours[1]


def fill(world, server, ours):
    for statement in world.create():
        server.execute(statement)
        ours.run(statement)
    for step in world.steps():
        if step[0] == "run":
            server.query(step[1], "d", method="POST")
            ours.run(step[1], "d")
        else:
            _, policy, lines = step
            text = "\n".join(lines) + "\n"
            status, body = server.write("d", text, rp=policy)
            if status != 204:
                raise Failure("influxd refuses points: %d %s" % (status, body.decode(errors="replace")))
            ours.write(policy, text)
        ours.disturb(world.rng)


def ask(world, server, ours, totals):
    text, epoch = world.query(), world.rng.choice(EPOCHS)
    theirs = server.query(text, "d", epoch=epoch, method="POST")
    found, answer = ours.compare(theirs, text, epoch)
    totals.asked += 1
    totals.refused += theirs[0] != 200 or b'"error"' in theirs[1]
    if not found:
        return None
    if any(server.query(text, "d", epoch=epoch, method="POST") != theirs for _ in range(REPEATS)):
        totals.unsteady += 1
        return None
    if known.reason(world, text, theirs[1], answer):
        totals.explained += 1
        return None
    totals.differ += 1
    return [text + (" [%s]" % epoch if epoch else "")] + ["  " + line for line in found]


def main():
    if not available():
        print("1..0 # SKIP there is no influxd")
        return 0
    kind = Daemon if "--http" in sys.argv else Directory
    arguments = [int(a) for a in sys.argv[1:] if a != "--http"]
    queries, seed, each = arguments + [3000, 1, 150][len(arguments):]
    totals, results = Totals(), []
    keep = os.environ.get("KEEP")
    while totals.asked < queries:
        work = tempfile.mkdtemp()
        found = []
        try:
            world = World(seed)
            directory = os.path.join(work, "ours")
            with Influxd(os.path.join(work, "theirs"), processors=1) as server, kind(directory) as ours:
                fill(world, server, ours)
                for _ in range(min(each, queries - totals.asked)):
                    found += ask(world, server, ours, totals) or []
        finally:
            if keep and found:
                print("# world %d is kept in %s" % (seed, work))
            else:
                shutil.rmtree(work, ignore_errors=True)
        results.append(("world %d" % seed, found or None))
        seed += 1
    status = report(results)
    print("# %d queries: %d refused by both, %d differ, %d differ for a known reason, %d with an unsteady answer of influxd's"
          % (totals.asked, totals.refused, totals.differ, totals.explained, totals.unsteady))
    return status


sys.exit(main())
