"""tests/interop/known.py: differences from influxd 1.6.7 that are meant: see docs/influxql.md. Each has a name there."""

import json
import re

LOOKS_BACK = re.compile(r"(derivative|difference|moving_average|cumulative_sum|elapsed|relative_strength_index|"
                        r"triple_exponential_derivative|kaufmans_\w+|chande_momentum_oscillator)\(\w+\(", re.I)
MINUS = re.compile(rb"-(?=\d)")
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
    if text.startswith("SHOW SERIES") and "CARDINALITY" in text:
        a, b = cardinalities(theirs), cardinalities(ours)
        return "series-cardinality" if a.keys() == b.keys() and all(a[k] >= b[k] for k in a) else None
    if "integral(" in text and series(theirs) == series(ours):
        return "integral-order"
    if LOOKS_BACK.search(text) and not LOWER_BOUND.search(text) and is_empty(theirs):
        return "look-back"
    if "abs(" in text and MINUS.sub(b"", theirs) == MINUS.sub(b"", ours):
        return "abs"
    return None
