#!/usr/bin/env python3
"""tests/unit/golden/make_log.py DIR: segments of tsmkit's log, good and bad, made from tsm(5) alone, and beside each
what a reader finds in it: a line for each key, then one for each fault."""
import ctypes
import struct
import sys

xxh = ctypes.CDLL("libxxhash.so.0")
xxh.XXH3_64bits.restype = ctypes.c_uint64
lz4 = ctypes.CDLL("liblz4.so.1")


def digest(b):
    return xxh.XXH3_64bits(bytes(b), ctypes.c_size_t(len(b)))


def compress(b):
    out = ctypes.create_string_buffer(len(b) + len(b) // 255 + 16)
    n = lz4.LZ4_compress_default(bytes(b), out, len(b), len(out))
    return out.raw[:n]


def uvarint(v):
    out = bytearray()
    while v >= 128:
        out.append(v & 127 | 128)
        v >>= 7
    out.append(v)
    return bytes(out)


def svarint(v):
    return uvarint(2 * v if v >= 0 else -2 * v - 1)


def wrapped(v):
    return (v + 2**63) % 2**64 - 2**63


def text(s):
    return uvarint(len(s)) + s


FLOAT, INTEGER, BOOLEAN, STRING, UNSIGNED = range(5)
VALUE = {
    FLOAT: lambda v: struct.pack(">d", v),
    INTEGER: svarint,
    BOOLEAN: lambda v: bytes([v]),
    STRING: text,
    UNSIGNED: uvarint,
}


def batch(points):
    """points: (key, time, [(name, type, value)])"""
    keys, names, body, before = [], [], b"", 0
    for key, time, fields in points:
        if key not in keys:
            keys.append(key)
        body += uvarint(keys.index(key)) + svarint(wrapped(time - before)) + uvarint(len(fields))
        before = time
        for name, kind, value in fields:
            if name not in names:
                names.append(name)
            body += uvarint(names.index(name) << 3 | kind) + VALUE[kind](value)
    out = uvarint(len(keys)) + b"".join(map(text, keys))
    out += uvarint(len(names)) + b"".join(map(text, names))
    return out + uvarint(len(points)) + body


def delete(tmin, tmax, keys):
    return struct.pack(">qq", tmin, tmax) + b"".join(struct.pack(">I", len(k)) + k for k in keys)


def record(sequence, payload, kind=1, stored=None, length=None, magic=b"TSMR", spare=b"\0\0\0"):
    stored = payload if stored is None else stored
    length = len(payload) if length is None else length
    head = magic + bytes([kind]) + spare + struct.pack(">IIQ", length, len(stored), sequence)
    return head + struct.pack(">I", digest(head) & 0xFFFFFFFF) + struct.pack(">Q", digest(stored)) + stored


def cpu(time, value):
    return batch([(b"cpu,host=a", time, [(b"load", FLOAT, value)])])


def flipped(b, at):
    return b[:at] + bytes([b[at] ^ 1]) + b[at + 1 :]


def write(name, content, found):
    with open(f"{sys.argv[1]}/{name}.log", "wb") as f:
        f.write(content)
    with open(f"{sys.argv[1]}/{name}.txt", "w", encoding="utf-8") as f:
        f.write("".join(line + "\n" for line in found))


KEY = "cpu,host=a#!~#load"
one, two, three = (record(i, cpu(i, i / 2)) for i in (1, 2, 3))
n = len(one)

# ---- good ----
every = batch(
    [
        (b"all,z=1,a=2", 1, [(b"f", FLOAT, -0.5), (b"i", INTEGER, -(2**63)), (b"b", BOOLEAN, 1)]),
        (b"all,a=2,z=1", -(2**63) + 2, [(b"s", STRING, b'a "word"'), (b"u", UNSIGNED, 2**64 - 1)]),
        (b"all,a=2,z=1", 2**63 - 2, [(b"u", UNSIGNED, 0), (b"b", BOOLEAN, 0), (b"s", STRING, b"")]),
    ]
)
write(
    "types",
    record(1, every),
    [
        "all,a=2,z=1#!~#b 1=true 9223372036854775806=false",
        "all,a=2,z=1#!~#f 1=-0.5",
        "all,a=2,z=1#!~#i 1=-9223372036854775808i",
        'all,a=2,z=1#!~#s -9223372036854775806="a \\"word\\"" 9223372036854775806=""',
        "all,a=2,z=1#!~#u -9223372036854775806=18446744073709551615u 9223372036854775806=0u",
    ],
)
many = batch([(b"cpu,host=a", t * 10, [(b"load", FLOAT, 1.0)]) for t in range(50)])
packed = compress(many)
assert len(packed) < len(many)
write(
    "compressed",
    record(41, many, stored=packed) + record(42, cpu(490, 2)),
    [KEY + "".join(f" {t * 10}={1 if t < 49 else 2}" for t in range(50))],
)
write(
    "deletes",
    one + two + record(3, delete(0, 1, [KEY.encode(), b"none#!~#f"]), kind=2) + record(4, cpu(1, 8)) +
    record(5, delete(5, 4, []), kind=2),
    [f"{KEY} 1=8 2=1"],
)
write("torn", one + two[:-1], [f"{KEY} 1=0.5"])
write("torn-head", one + two[:7], [f"{KEY} 1=0.5"])
write("zeros", one + bytes(4096), [f"{KEY} 1=0.5"])
write("empty", b"", [])

# ---- bad ----
ends = [f"{KEY} 1=0.5 3=1.5"]


def bad(name, second, cause, found=None):
    write(name, one + second + three, (found or ends) + [f"! {cause}"])


stretch = f"offset {n}: {len(two)} bytes: "
inside = f"record at offset {n}: "
bad("bad-payload", flipped(two, len(two) - 1), stretch + "a record whose checksum does not match")
bad("bad-header", flipped(two, 20), stretch + "no record begins here")
bad("bad-magic", record(2, cpu(2, 1), magic=b"TSMr"), stretch + "no record begins here")
bad("bad-kind", record(2, cpu(2, 1), kind=3), stretch + "no record begins here")
bad("bad-spare", record(2, cpu(2, 1), spare=b"\0\1\0"), stretch + "no record begins here")
bad("bad-cut", two[:-4], f"offset {n}: {len(two) - 4} bytes: a record whose checksum does not match")
cut = record(2, cpu(2, 1) + bytes(1000))[:-1000]
bad("bad-cut-more", cut, f"offset {n}: {len(cut)} bytes: a record that is cut")
bad("bad-zeros", bytes(100), f"offset {n}: 100 bytes: no record begins here")
over = record(2, many, stored=packed, length=len(many) - 1)
bad("bad-length", over, f"offset {n}: {len(over)} bytes: a record that cannot be decompressed")
bad("bad-order", record(1, cpu(2, 1)), inside + "sequence 1 comes after 1", [f"{KEY} 1=0.5 2=1 3=1.5"])
with open(f"{sys.argv[1]}/bad-order.txt", "a", encoding="utf-8") as f:
    f.write(f"! record at offset {n + len(two)}: 1 record is missing before sequence 3\n")
write(
    "bad-gap",
    one + record(9, cpu(3, 1.5)),
    ends + [f"! {inside}7 records are missing before sequence 9"],
)
nan = batch([(b"cpu,host=a", 2, [(b"load", FLOAT, float("nan"))])])
bad("bad-float", record(2, nan), inside + f"offset {len(nan) - 8} of the points: a float that is no number")
bad("bad-behind", record(2, cpu(2, 1) + b"\0"),
    inside + f"offset {len(cpu(2, 1))} of the points: bytes behind the last point")
bad("bad-key", record(2, batch([(b"cpu,host", 2, [(b"load", FLOAT, 1.0)])])),
    inside + "series 'cpu,host': missing tag value")
bad("bad-type", record(2, batch([(b"cpu,host=a", 2, [(b"load", INTEGER, 1)])])),
    inside + f"key '{KEY}': values of type integer after values of type float")
bad("bad-delete", record(2, delete(0, 9, [KEY.encode()])[:-1], kind=2),
    inside + "a delete with a key that is cut at byte 16")
