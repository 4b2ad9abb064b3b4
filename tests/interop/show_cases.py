#!/usr/bin/env python3
"""tests/interop/show_cases.py: asks a real influxd for the answers in tests/unit/cases/show.cases, and writes them there.

    tests/interop/show_cases.py            all cases up to %newer anew
    tests/interop/show_cases.py --newer    prints influxd's answers to the others, to be compared by eye
"""

import os
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from influxd import Influxd  # noqa: E402

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../unit/cases/show.cases")
CREATE = ["CREATE DATABASE cases", "CREATE RETENTION POLICY short ON cases DURATION INF REPLICATION 1 SHARD DURATION 1d",
          "CREATE DATABASE empty"]


def answer(server, text):
    return server.query(text, "cases")[1].decode().rstrip("\n")


def main():
    with open(PATH) as f:
        head, rest = f.read().split("%data\n")
    data, rest = rest.split("%short\n")
    short, rest = rest.split("%cases\n")
    cases, newer = rest.split("%newer\n")
    with tempfile.TemporaryDirectory(prefix="tsm-cases-") as work, Influxd(work, processors=1, cold="1s") as server:
        for text in CREATE:
            server.execute(text)
        for lines, rp in ((data, ""), (short, "short")):
            status, body = server.write("cases", lines, rp=rp)
            if status != 204:
                sys.exit(body.decode())
        server.wait_flushed()
        if "--newer" in sys.argv:
            for text in newer.split("\n")[::3]:
                if text:
                    print("%s\n%s\n" % (text, answer(server, text)))
            return
        recorded = ["%s\n%s\n\n" % (text, answer(server, text)) for text in cases.split("\n")[::3] if text]
    with open(PATH, "w") as f:
        f.write("%s%%data\n%s%%short\n%s%%cases\n%s%%newer\n%s" % (head, data, short, "".join(recorded), newer))


if __name__ == "__main__":
    main()
