#!/usr/bin/env python3
"""split_lines.py [FILE...]: line protocol with one field a line, floats and booleans in one form, sorted: so that the exports of
different programs can be compared. Comments, empty lines and DDL are left out."""
import fileinput
import sys


def stop(line, start, char):
    """Index of the next char outside of escapes and quotes, or -1."""
    quoted, i = False, start
    while i < len(line):
        if line[i] == "\\":
            i += 1
        elif line[i] == '"':
            quoted = not quoted
        elif line[i] == char and not quoted:
            return i
        i += 1
    return -1


def fields(text):
    start = 0
    while start <= len(text):
        end = stop(text, start, ",")
        end = len(text) if end < 0 else end
        equals = stop(text, start, "=")
        value = text[equals + 1:end]
        if value in ("t", "T", "true", "True", "TRUE"):
            value = "true"
        elif value in ("f", "F", "false", "False", "FALSE"):
            value = "false"
        elif value[-1] not in '"iu':
            value = repr(float(value))
        yield text[start:equals] + "=" + value
        start = end + 1


out = []
for raw in fileinput.input(openhook=fileinput.hook_encoded("utf-8", "surrogateescape")):
    line = raw.rstrip("\n")
    if not line or line[0] == "#" or line.startswith("CREATE DATABASE"):
        continue
    # quotes mean nothing before the fields
    i = 0
    while line[i] != " ":
        i += 2 if line[i] == "\\" else 1
    end = stop(line, i + 1, " ")
    for field in fields(line[i + 1:end]):
        out.append(f"{line[:i]} {field} {line[end + 1:]}\n")
sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
sys.stdout.writelines(sorted(out))
