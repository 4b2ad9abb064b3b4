"""tests/interop/known.py: differences from influxd 1.6.7 that are meant: see docs/influxql.md. Each has a name there."""


def reason(world, text, theirs):
    """The name of the known difference that this one is, or None."""
    return None
