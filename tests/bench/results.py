"""tests/bench/results.py: tables of figures, and the goals that they are measured against, as text and as JSON."""

import json
import os
import shutil
import sys

sys.dont_write_bytecode = True

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.environ.get("BUILD", "build"))
BENCH = os.path.join(BUILD, "bench")
WORK = os.environ["BENCH_WORK"] = os.path.join(BENCH, "work")
DEVICES = int(os.environ.get("DEVICES", 10000))
ROWS = int(os.environ.get("ROWS", 1000))
MEMORY_LIMIT = 512 << 20


def say(text):
    print(text, file=sys.stderr, flush=True)


def fresh(name):
    path = os.path.join(WORK, name)
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    return path


class Results:
    """Figures by name, and the goals that they are measured against."""

    def __init__(self):
        self.tables = []
        self.goals = []
        self.figures = {}

    def table(self, title, head):
        self.tables.append((title, head, []))
        say("== " + title)

    def row(self, name, cells):
        self.tables[-1][2].append([name] + ["-" if c is None else c for c in cells])
        say("   " + " | ".join(self.tables[-1][2][-1]))

    def goal(self, text, value, reached):
        self.goals.append((text, value, reached))

    def markdown(self):
        lines = []
        goals = [["goal", "measured", "reached"]] + [[t, v, "yes" if r else "NO"] for t, v, r in self.goals]
        for title, head, rows in self.tables + [("Goals", goals[0], goals[1:])]:
            widths = [max(len(r[i]) for r in [head] + rows) for i in range(len(head))]
            lines += ["", "### " + title, ""]
            lines.append("| " + " | ".join(c.ljust(w) for c, w in zip(head, widths)) + " |")
            lines.append("|" + "|".join("-" * (w + 2) for w in widths) + "|")
            lines += ["| " + " | ".join(c.ljust(w) for c, w in zip(r, widths)) + " |" for r in rows]
        return "\n".join(lines).lstrip("\n") + "\n"

    def finish(self, name, wrong, elapsed):
        """Prints everything and keeps it in NAME.md and NAME.json. The exit status."""
        text = self.markdown()
        path = os.path.join(BENCH, name)
        with open(path + ".md", "w") as f:
            f.write(text)
        with open(path + ".json", "w") as f:
            json.dump({"devices": DEVICES, "rows": ROWS, "figures": self.figures, "wrong": wrong,
                       "goals": [{"goal": t, "measured": v, "reached": bool(r)} for t, v, r in self.goals]}, f, indent=1)
        print(text)
        for line in wrong:
            print("WRONG ANSWER: " + line)
        print("%d of %d goals reached, in %.0f s; also in %s.md" % (sum(bool(g[2]) for g in self.goals), len(self.goals),
                                                                   elapsed, path))
        return 1 if wrong else 0


def megabytes(n):
    return None if n is None else "%.1f MB" % (n / 1e6)


def seconds(s):
    return None if s is None else "%.3f s" % s if s < 10 else "%.1f s" % s


def ratio(a, b):
    return None if a is None or not b else "%.1f" % (a / b)
