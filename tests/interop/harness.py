"""tests/interop/harness.py: running our tools, comparing their answers with influxd's, reporting as TAP."""

import json
import os
import subprocess

BUILD = os.environ.get("BUILD") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../build")


class Failure(Exception):
    pass


def tool(name, *args, stdin=b""):
    """(exit status, stdout, stderr) of a tool of ours."""
    done = subprocess.run([os.path.join(BUILD, name), *args], input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=120)
    return done.returncode, done.stdout, done.stderr


def must(name, *args, stdin=b""):
    status, out, err = tool(name, *args, stdin=stdin)
    if status != 0:
        raise Failure("%s %s: exit status %d: %s" % (name, " ".join(args), status, err.decode(errors="replace")))
    return out


def query(directory, text, database="", epoch=""):
    """tsm-query's answer in JSON: (exit status, stdout, stderr)."""
    return tool("tsm-query", "-d", directory, "-f", "json", "--precision", epoch or "rfc3339",
                *(["-b", database] if database else []), text)


def excerpt(data, at):
    text = data.decode(errors="replace")
    start = max(at - 150, 0)
    return ("…" if start else "") + text[start:at + 150].rstrip("\n") + ("…" if len(text) > at + 150 else "")


def difference(theirs, ours):
    """What is wrong with our answer, in lines, when influxd's is (HTTP status, body); None when nothing is."""
    http, body = theirs
    status, out, err = ours
    if status < 0 or status > 5:
        return ["tsm-query: exit status %d" % status, err.decode(errors="replace")[-500:]]
    if http != 200:  # the query as a whole was refused
        cause = json.loads(body)["error"].encode()
        if status == 2 and out == body and cause in err:
            return None
        return ["influxd refuses: " + cause.decode(errors="replace"),
                "tsm-query: exit status %d: %s" % (status, (err + out).decode(errors="replace")[:300])]
    if body.startswith(b"json: "):  # influxd's encoder gave up, at an infinity
        try:
            json.loads(out)
            return None if status == 0 else ["tsm-query: exit status %d" % status]
        except ValueError as e:
            return ["influxd has no answer; tsm-query's is no JSON: %s" % e, excerpt(out, 0)]
    if out != body:
        at = next((i for i, (a, b) in enumerate(zip(body, out)) if a != b), min(len(body), len(out)))
        found = ["first difference at byte %d" % at, "influxd:   " + excerpt(body, at), "tsm-query: " + excerpt(out, at)]
        if err:
            found.append("stderr: " + err.decode(errors="replace")[:300])
        return found
    failed = any("error" in r for r in json.loads(body).get("results", []))
    if status != (1 if failed else 0):
        return ["the answers agree, but tsm-query's exit status is %d" % status]
    return None


def report(results):
    """Prints (name, lines of what is wrong or None) as TAP; the exit status."""
    print("1..%d" % len(results))
    for number, (name, found) in enumerate(results, 1):
        name = " ".join(name.split())
        name = name if " # SKIP " in name else name.replace("#", "\\#")
        print("%s %d - %s" % ("not ok" if found else "ok", number, name))
        for line in found or []:
            print("#   " + line.replace("\r", "\\r").replace("\n", "\\n"))
    return 1 if any(found for _, found in results) else 0
