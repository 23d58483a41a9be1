#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""seeds.py DIR: writes the fuzzer's seed corpus, one file an input.

Steps are those of tests/qtest/fuzz/cfph/decoder.c, by number.  What a fuzzing
run has found goes into kept.txt as one line "name hex", so that it is tried
first in each later run.
"""

import os
import struct
import sys

(MESSAGE, RECORDS, ANSWER, WRITE, STATUS, COMMANDS, BEGIN, PULL, SYNC, LAST,
 SEND, GIVE_UP, END) = range(13)
REGISTER, LEAF, UNREGISTER, STARTED, RANGE, BITS = range(1, 7)
LEAF_PAGES = 32768
# Guest pages: see the table of ranges in world.c.
HEADER, LEAF0, LEAF1 = 10, 11, 12
ROM, TWICE, IGNORED, MMIO, PLUGGED = (2 * LEAF_PAGES, 2 * LEAF_PAGES + 64,
                                      3 * LEAF_PAGES, 3 * LEAF_PAGES + 32,
                                      4 * LEAF_PAGES + 3)


def rec(kind, *words, count=0, length=None, data=b""):
    body = struct.pack(f"<{len(words)}Q", *words) + data
    return struct.pack("<HHI", kind, count,
                       8 + len(body) if length is None else length) + body


def message(records, version=1, length=None, migration=1, sequence=0):
    """Through the decoder alone, header and all."""
    raw = struct.pack("<HHIQII", version, 0, 24 + len(records)
                      if length is None else length, sequence, migration, 0)
    raw += records
    return bytes([MESSAGE]) + struct.pack("<H", len(raw)) + raw


def records(data, parts=0, flags=1):
    return bytes([RECORDS, parts, flags]) + struct.pack("<H", len(data)) + data


def answer(leaves=(LEAF0, LEAF1), header=HEADER, generation=6):
    return bytes([ANSWER, generation]) + struct.pack("<HB", header,
                                                     len(leaves)) + \
        b"".join(struct.pack("<H", leaf) for leaf in leaves)


def write(pfn, offset, data):
    return bytes([WRITE]) + struct.pack("<I", pfn)[:3] + \
        struct.pack("<HB", offset, len(data)) + data


def sync(*pages, last=False):
    out = bytes([LAST if last else SYNC, len(pages)])
    out += b"".join(bytes(page) for page in pages)
    return out + (bytes([0]) if last else b"")


UP = bytes([STATUS, 4, COMMANDS, 64, 0])
START = bytes([BEGIN, 0])
PULLED = bytes([PULL])
FREE = write(LEAF0, 2, b"\xff\x0f" * 20) + write(LEAF1, 0, b"\xf0" * 9) + \
    write(LEAF0, 4092, b"\xff" * 4)
MIGRATING = UP + START + answer() + FREE + PULLED
FINISH = sync((0, 20), (1, 7), last=True) + bytes([END])

SEEDS = {
    "whole": MIGRATING + sync((0, 30)) + bytes([SEND, 0, 0, 90]) + PULLED +
    FINISH,
    "deltas": MIGRATING + records(
        rec(RANGE, 5, 100, count=1) + rec(RANGE, 300, 20) +
        rec(BITS, LEAF_PAGES - 512, count=2, data=b"\x5a" * 128) +
        rec(RANGE, 0, 1 << 52)) + PULLED + FINISH,
    "in-pieces": UP + START + records(rec(REGISTER, 9, HEADER << 12, 2)) +
    records(rec(LEAF, 0, LEAF0 << 12), parts=3) +
    records(rec(LEAF, LEAF_PAGES, LEAF1 << 12) + rec(STARTED, 9), parts=6) +
    PULLED + records(rec(UNREGISTER, 9)) + PULLED + FINISH,
    "postcopy": MIGRATING + bytes([GIVE_UP, END]) + MIGRATING + FINISH,
    "gated": UP + bytes([BEGIN, 1]) + answer() + PULLED + bytes([END]),
    "reset": MIGRATING + bytes([STATUS, 0]) + PULLED + UP + answer() + FREE +
    PULLED + FINISH,
    "queue-reset": MIGRATING + bytes([STATUS, 17]) + PULLED + FINISH,
    "broken": MIGRATING + bytes([STATUS, 10]) + PULLED + FINISH,
    "paused": UP + bytes([STATUS, 3]) + START + PULLED + bytes([STATUS, 11]) +
    answer() + FREE + PULLED + FINISH,
    "header-off": MIGRATING + write(HEADER, 16, bytes(4)) + FINISH,
    "no-commands": bytes([STATUS, 4, COMMANDS, 3, 8]) + START + PULLED +
    bytes([END]),
    "odd-places": UP + START + records(
        rec(REGISTER, 9, HEADER << 12, 5) + b"".join(
            rec(LEAF, i * LEAF_PAGES, page << 12) for i, page in
            enumerate((ROM, TWICE, IGNORED, MMIO, PLUGGED))) +
        rec(STARTED, 9)) + write(PLUGGED, 0, b"\xff" * 60) + PULLED + FINISH,
    "header-in-rom": UP + START + records(
        rec(REGISTER, 9, ROM << 12, 0) + rec(STARTED, 9)) + FINISH,
    "plain-message": UP + START + message(
        rec(REGISTER, 9, HEADER << 12, 1) + rec(LEAF, 0, LEAF0 << 12) +
        rec(STARTED, 9)) + FINISH,
    "bad-length": UP + START + message(rec(RANGE, 1, 2), length=1 << 31) +
    message(rec(RANGE, 1, 2, length=4096)) +
    message(rec(BITS, 0, count=200, length=12816)),
    # Next to a rule each: without its check, one of these is the end.
    "cut-off": UP + START + b"".join(
        message(whole[:-8]) + message(whole[:8]) + records(whole[:-8])
        for whole in (rec(RANGE, 1, 2), rec(REGISTER, 9, HEADER << 12, 0),
                      rec(BITS, 0, count=2, data=bytes(128)))),
    "half-a-head": UP + START + message(bytes(4), length=28) +
    message(rec(RANGE, 1, 2)[:20], length=48),
    "leaves": UP + START + records(
        rec(REGISTER, 9, HEADER << 12, 1) + rec(LEAF, 0, LEAF0 << 12) +
        rec(LEAF, LEAF_PAGES, LEAF1 << 12) + rec(STARTED, 9)) + FINISH,
    "no-leaves": UP + START + records(
        rec(REGISTER, 9, HEADER << 12, 0) + rec(LEAF, 0, 0)) + FINISH,
    "leaves-twice": UP + START + records(
        rec(REGISTER, 9, HEADER << 12, 2) +
        2 * rec(LEAF, LEAF_PAGES, LEAF0 << 12) + rec(STARTED, 9)) + FINISH,
    "leaves-missing": UP + START + records(
        rec(REGISTER, 9, HEADER << 12, 4) + rec(STARTED, 9)) + FINISH,
    "too-many-leaves": UP + START + records(
        rec(REGISTER, 9, HEADER << 12, (1 << 64) - 1)) + FINISH,
    "bad-numbers": UP + START + message(rec(RANGE, 1 << 63, 1 << 63)) +
    message(rec(BITS, (1 << 52) - 512, count=2, data=bytes(128))),
}


def main():
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    seeds = dict(SEEDS)
    kept = os.path.join(os.path.dirname(os.path.abspath(__file__)), "kept.txt")
    with open(kept, encoding="ascii") as lines:
        for line in lines:
            if line.strip() and not line.startswith("#"):
                name, digits = line.split()
                seeds[name] = bytes.fromhex(digits)
    for name, data in seeds.items():
        with open(os.path.join(out, name), "wb") as seed:
            seed.write(data)


if __name__ == "__main__":
    main()
