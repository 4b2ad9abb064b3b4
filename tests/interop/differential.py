#!/usr/bin/env python3
"""tests/interop/differential.py: random schemas, writes, deletes and queries (generator.py), to a real influxd and to ours; the
answers are compared byte for byte.

    differential.py [QUERIES [SEED [QUERIES-PER-WORLD]]]

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
from harness import Failure, difference, must, query, report  # noqa: E402
from influxd import Influxd, available  # noqa: E402

EPOCHS = ["", "", "ns", "ms", "s"]
REPEATS = 4


class Totals:
    asked = refused = unsteady = explained = differ = 0


def fill(world, server, directory):
    for statement in world.create():
        server.execute(statement)
        must("tsm-query", "-d", directory, statement)
    for step in world.steps():
        if step[0] == "run":
            server.query(step[1], "d", method="POST")
            must("tsm-query", "-d", directory, "-b", "d", step[1])
        else:
            _, policy, lines = step
            text = "\n".join(lines) + "\n"
            status, body = server.write("d", text, rp=policy)
            if status != 204:
                raise Failure("influxd refuses points: %d %s" % (status, body.decode(errors="replace")))
            must("tsm-ingest", "-q", "-d", directory, "-b", "d", *(["-p", policy] if policy else []), stdin=text.encode())


def ask(world, server, directory, totals):
    text, epoch = world.query(), world.rng.choice(EPOCHS)
    theirs = server.query(text, "d", epoch=epoch, method="POST")
    ours = query(directory, text, "d", epoch)
    totals.asked += 1
    totals.refused += theirs[0] != 200 or b'"error"' in theirs[1]
    found = difference(theirs, ours)
    if not found:
        return None
    if any(server.query(text, "d", epoch=epoch, method="POST") != theirs for _ in range(REPEATS)):
        totals.unsteady += 1
        return None
    if known.reason(world, text, theirs, ours):
        totals.explained += 1
        return None
    totals.differ += 1
    return [text + (" [%s]" % epoch if epoch else "")] + ["  " + line for line in found]


def main():
    if not available():
        print("1..0 # SKIP there is no influxd")
        return 0
    arguments = [int(a) for a in sys.argv[1:]]
    queries, seed, each = arguments + [3000, 1, 150][len(arguments):]
    totals, results = Totals(), []
    keep = os.environ.get("KEEP")
    while totals.asked < queries:
        work = tempfile.mkdtemp()
        found = []
        try:
            world = World(seed)
            directory = os.path.join(work, "ours")
            with Influxd(os.path.join(work, "theirs"), processors=1) as server:
                fill(world, server, directory)
                for _ in range(min(each, queries - totals.asked)):
                    found += ask(world, server, directory, totals) or []
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
