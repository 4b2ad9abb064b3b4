#!/usr/bin/env python3
"""tests/interop/record.py: writes the answers of a real influxd into files of cases for tests/unit/test_select.c.

    tests/interop/record.py tests/unit/cases/zone.cases …

A file has data in line protocol after %data, and after %cases three lines each: query, answer, an empty line. A new
case needs only its query: a line that is followed by an empty one gets its answer; with --all every case does anew.
Cases whose query starts with # are by hand: influxd 1.6.7 would answer otherwise, and the reason is in docs/influxql.md.
"""

import sys
import tempfile

from influxd import Influxd


def ask(server, query):
    status, body = server.query(query, db="cases", method="POST")
    return body.decode().rstrip("\n")


def record(path, again):
    with open(path) as f:
        head, rest = f.read().split("%data\n", 1)
    data, cases = rest.split("%cases\n", 1)
    out = []
    with tempfile.TemporaryDirectory() as directory, Influxd(directory, processors=1) as server:
        server.execute("CREATE DATABASE cases")
        status, body = server.write("cases", data)
        assert status == 204, body
        for case in cases.split("\n\n"):
            lines = case.strip("\n").split("\n")
            if not lines[0]:
                continue
            if not lines[0].startswith("#") and (again or len(lines) == 1):
                lines = [lines[0], ask(server, lines[0])]
            out.append("\n".join(lines) + "\n")
    with open(path, "w") as f:
        f.write(head + "%data\n" + data + "%cases\n" + "\n".join(out))


again = "--all" in sys.argv
for path in sys.argv[1:]:
    if path != "--all":
        record(path, again)
