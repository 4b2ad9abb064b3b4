"""tests/interop/known.py: differences from influxd 1.6.7 that are meant: see docs/influxql.md. Each has a name there."""

import json
import re

LOOKS_BACK = re.compile(r"(derivative|difference|moving_average|cumulative_sum|elapsed|relative_strength_index|"
                        r"triple_exponential_derivative|kaufmans_\w+|chande_momentum_oscillator)\(\w+\(", re.I)
MINUS = re.compile(rb"-(?=\d)")
ESTIMATE = re.compile(r"SHOW (SERIES|MEASUREMENT) CARDINALITY( ON \w+)?$")
SHOWS_INDEX = re.compile(r"SHOW (SERIES|MEASUREMENTS|TAG|MEASUREMENT|FIELD)\b")
CUTS = re.compile(r"\b(S?LIMIT|S?OFFSET)\b|\(SELECT ")
WILDCARD = re.compile(r"GROUP BY.*(\*|/)|SELECT.*\*")
MATH_WHERE = re.compile(r"WHERE.*\b(abs|acos|asin|atan|atan2|ceil|cos|exp|floor|ln|log|log2|log10|pow|round|sin|sqrt|tan)\(")
SEVERAL = re.compile(r"SELECT[^;]*(,[^;]*integral\(|integral\([^;]*,)[^;]*GROUP BY")
ONE_NAME = re.compile(r"AS (\w+),[^()]* AS \1\b")
ABS_IN_SUM = re.compile(r"abs\([^()]*\) [-+*/%&|^]|[-+*/%&|^] abs\(")
LOWER_BOUND = re.compile(r"\btime\s*(>|>=|=)", re.I)


def series(body):
    """Statement, series and columns of an answer, each with its rows; parts of one series are joined."""
    found = {}
    for result in json.loads(body)["results"]:
        for s in result.get("series", []):
            key = (result["statement_id"], s.get("name"), json.dumps(s.get("tags")), json.dumps(s["columns"]))
            found.setdefault(key, []).extend(map(json.dumps, s.get("values", [])))
    return found


def is_empty(body):
    return all(set(r) <= {"statement_id"} for r in json.loads(body)["results"])


def is_part(ours, theirs):
    """Whether every row of ours is one of theirs; counts may be smaller."""
    a, b = series(ours), series(theirs)
    for key, rows in a.items():
        if "count" in json.loads(key[3]) or "cardinality estimation" in json.loads(key[3]):
            if key not in b or any(json.loads(x)[0] > json.loads(y)[0] for x, y in zip(rows, b[key])):
                return False
        elif not set(rows) <= set(b.get(key, [])):
            return False
    return True


def without_empty(body):
    """An answer without tags that are empty and columns that have no value: those that only other shards know."""
    answer = json.loads(body)
    for result in answer["results"]:
        for s in result.get("series", []):
            s["tags"] = {k: v for k, v in s.get("tags", {}).items() if v != ""}
            rows = s.get("values", [])
            used = [i for i in range(len(s["columns"])) if any(r[i] is not None for r in rows)]
            s["columns"] = [s["columns"][i] for i in used]
            s["values"] = [[r[i] for i in used] for r in rows]
    return answer


def cardinalities(body):
    """Series by series, the count that it gives."""
    return {key: json.loads(rows[0])[0] for key, rows in series(body).items()}


def reason(world, text, theirs, ours):
    """The name of the known difference that this one is, or None. theirs, ours: the bodies of two answers."""
    try:
        json.loads(theirs), json.loads(ours)
    except ValueError:
        return None
    if "results" not in json.loads(theirs) or "results" not in json.loads(ours):
        return None
    if text.startswith("SELECT") and b'"error"' in theirs and b'"error"' in ours:
        return "types"
    if "FROM (SELECT" in text and (ONE_NAME.search(text) or "fill(0)" in text and "SELECT *" in text):
        return "columns of one name, or raw rows with fill(0), in a subquery"
    if b"[panic:" in theirs or b'"statement_id":-1' in theirs:
        return "panic"
    if ESTIMATE.match(text):
        return "estimates"
    if world.deleted and SHOWS_INDEX.match(text) and is_part(ours, theirs):
        return "deleted-series"
    if world.deleted and re.search(rb"type error|iterator type|not executed", theirs):
        return "deleted-fields"
    if text.startswith("SHOW SERIES") and "CARDINALITY" in text:
        a, b = cardinalities(theirs), cardinalities(ours)
        return "series-cardinality" if a.keys() == b.keys() and all(a[k] >= b[k] for k in a) else None
    if WILDCARD.search(text) and without_empty(theirs) == without_empty(ours):
        return "tags of other shards"
    if "integral(" in text and (series(theirs) == series(ours) or CUTS.search(text)
                                 or SEVERAL.search(text)):
        return "integral-order"
    if LOOKS_BACK.search(text) and not LOWER_BOUND.search(text) and is_empty(theirs):
        return "look-back"
    if MATH_WHERE.search(text):
        return "math over a subquery" if "FROM (" in text else "abs" if "abs(" in text else None
    if "abs(" in text and (MINUS.sub(b"", theirs) == MINUS.sub(b"", ours) or ABS_IN_SUM.search(text)):
        return "abs"
    return None
