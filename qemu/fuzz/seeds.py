#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""seeds.py DIR: writes the fuzzer's seed corpus, one file an input.

Steps are those of tests/qtest/fuzz/cfph/decoder.c, by number; in front of them
is one byte, 1: the map is looked at between two syncs, too.  Each seed is written
both ways.  What a fuzzing run has found goes into kept.txt as one line "name
hex", whole, so that it is tried first in each later run.
"""

import os
import struct
import sys

(MESSAGE, RECORDS, ANSWER, WRITE, STATUS, COMMANDS, BEGIN, PULL, SYNC,
 SWITCHOVER, SEND, COMPLETE, END, POSTCOPY, LOAD) = range(15)
MAP, UNMAP, STARTED, RANGE, BITS = range(1, 6)
LEAF_PAGES = 32768
# Guest pages: see the table of ranges in world.c.
HEADER, LEAF0, LEAF1, DIR, LEAF4 = 10, 11, 12, 13, 14
ROM, TWICE, IGNORED, MMIO, PLUGGED = (2 * LEAF_PAGES, 2 * LEAF_PAGES + 64,
                                      3 * LEAF_PAGES, 3 * LEAF_PAGES + 32,
                                      4 * LEAF_PAGES + 3)


def rec(kind, *words, count=0, length=None, data=b""):
    body = struct.pack(f"<{len(words)}Q", *words) + data
    return struct.pack("<HHI", kind, count,
                       8 + len(body) if length is None else length) + body


def message(records, version=2, length=None, migration=1, sequence=0):
    """Through the decoder alone, header and all."""
    raw = struct.pack("<HHIQII", version, 0, 24 + len(records)
                      if length is None else length, sequence, migration, 0)
    raw += records
    return bytes([MESSAGE]) + struct.pack("<H", len(raw)) + raw


def records(data, parts=0, flags=1):
    return bytes([RECORDS, parts, flags]) + struct.pack("<H", len(data)) + data


def page(number):
    return struct.pack("<I", number)[:3]


def answer(leaves=(LEAF0, LEAF1), header=HEADER, directory=DIR, generation=6):
    return bytes([ANSWER, generation]) + page(header) + page(directory) + \
        bytes([len(leaves)]) + b"".join(page(leaf) for leaf in leaves)


def write(pfn, offset, data):
    return bytes([WRITE]) + page(pfn) + \
        struct.pack("<HB", offset, len(data)) + data


def sync(*pages):
    return bytes([SYNC]) + merged(*pages)


def merged(*pages):
    return bytes([len(pages)]) + b"".join(bytes(page) for page in pages)


def switchover(*pages, running=0, limit=255):
    return bytes([SWITCHOVER, running, limit]) + \
        (merged(*pages) if limit == 255 else b"")


def entry(index, address):
    return write(DIR, 8 * index, struct.pack("<Q", address))


UP = bytes([STATUS, 4, COMMANDS, 64, 0])
START = bytes([BEGIN, 0])
PULLED = bytes([PULL])
FREE = write(LEAF0, 2, b"\xff\x0f" * 20) + write(LEAF1, 0, b"\xf0" * 9) + \
    write(LEAF0, 4092, b"\xff" * 4)
MIGRATING = UP + answer() + FREE + START + answer() + PULLED
FINISH = switchover((0, 20), (1, 7)) + bytes([END])
LOOK = START + PULLED + sync() + bytes([END])

# A leaf that describes all of a block, has been sent, and is clean at a sync.
CLEAN = UP + answer((LEAF0, LEAF1, 15, 16, LEAF4)) + \
    write(LEAF4, 0, b"\xff" * 9) + START + bytes([SEND, 0, 0, 99]) + sync()
USED = write(LEAF4, 0, bytes(9))

SEEDS = {
    "whole": MIGRATING + sync((0, 30)) + bytes([SEND, 0, 0, 90]) + PULLED +
    FINISH,
    # What a sync passes over, and must not.
    "same": CLEAN + sync() + sync((5, 20)) + FINISH,
    "not-same": CLEAN + sync() + USED + sync() + FINISH,
    "sent-since": CLEAN + write(LEAF4, 0, b"\x0f" * 9) + sync() + USED +
    bytes([SEND, 0, 0, 99]) + sync() + FINISH,
    "delta-lied": CLEAN + sync() + records(rec(RANGE, PLUGGED, 70)) + PULLED +
    sync() + FINISH,
    "not-same-stopped": CLEAN + sync() + switchover() + USED + sync() +
    bytes([END]),
    "deltas": MIGRATING + records(
        rec(RANGE, 5, 100, count=1) + rec(RANGE, 300, 20) +
        rec(BITS, LEAF_PAGES - 512, count=2, data=b"\x5a" * 128) +
        rec(RANGE, 0, 1 << 52)) + PULLED + FINISH,
    "in-pieces": UP + answer() + START + records(
        rec(MAP, 9, HEADER << 12) + rec(STARTED), parts=3) + PULLED +
    records(rec(UNMAP, 9)) + PULLED + FINISH,
    "postcopy": MIGRATING + switchover((0, 20)) +
    bytes([POSTCOPY, SEND, 0, 0, 90, END]) + MIGRATING + FINISH,
    "not-decided": MIGRATING + bytes([COMPLETE, END]),
    "too-much": MIGRATING + write(LEAF0, 2, bytes(40)) +
    4 * (switchover(limit=1) + PULLED) + sync() + FINISH,
    "runs-on": MIGRATING + switchover(running=1) + bytes([END]),
    "gated": UP + answer() + b"".join(
        bytes([BEGIN, how]) + PULLED + bytes([END]) for how in range(1, 7)),
    "again": MIGRATING + FINISH + START + PULLED + FINISH,
    "reset": MIGRATING + bytes([STATUS, 0]) + PULLED + UP + answer() + FREE +
    PULLED + FINISH,
    "queue-reset": MIGRATING + bytes([STATUS, 17]) + PULLED + FINISH,
    "broken": MIGRATING + bytes([STATUS, 10]) + PULLED + FINISH,
    "paused": UP + answer() + FREE + bytes([STATUS, 3]) + START + PULLED +
    bytes([STATUS, 11]) + PULLED + FINISH,
    "header-off": MIGRATING + write(HEADER, 16, bytes(4)) + FINISH,
    "no-commands": bytes([STATUS, 4, COMMANDS, 3, 8]) + START + PULLED +
    bytes([END]),
    "loaded": UP + answer() + FREE +
    bytes([LOAD, 7, 7, 0, 0xa0, 0, 0]) + START + PULLED + FINISH,
    "loaded-nonsense": UP + b"".join(
        bytes([LOAD, how, generation]) + struct.pack("<I", header) + LOOK
        for how, generation, header in (
            (5, 7, 0), (5, 0, HEADER << 12), (5, 7, 1), (3, 0, 0), (0, 1, 1))),
    # A map next to a rule each.
    "odd-places": UP + b"".join(
        answer((LEAF0, odd)) + LOOK + answer((LEAF0,), header=odd) + LOOK +
        answer((LEAF0,), directory=odd) + LOOK
        for odd in (ROM, TWICE, IGNORED, MMIO, PLUGGED, PLUGGED + 8)) +
    answer() + entry(1, 1 << 50) + LOOK,
    "twice": UP + answer((LEAF0, LEAF0)) + LOOK + answer((HEADER,)) + LOOK +
    answer((DIR,)) + LOOK + answer(directory=HEADER) + LOOK,
    "unaligned": UP + answer() + entry(2, (LEAF1 << 12) + 8) + LOOK +
    answer() + write(HEADER, 64, struct.pack("<Q", (DIR << 12) + 1)) + LOOK,
    "beyond": UP + answer() + FREE + entry(5, 3) + entry(6, LEAF0 << 12) + LOOK,
    "counts": UP + b"".join(
        answer() + write(HEADER, 32, struct.pack("<I", dirs)) + LOOK
        for dirs in (0, 504, 505, 0xffffffff)),
    "headers": UP + b"".join(
        answer() + write(HEADER, offset, b"\x77") + LOOK
        for offset in (0, 8, 16, 20, 24)),
    # Next to a rule of messages each: without its check, this is the end.
    "plain-message": UP + answer() + START + message(
        rec(MAP, 9, HEADER << 12) + rec(STARTED)) + FINISH,
    "bad-length": UP + START + message(rec(RANGE, 1, 2), length=1 << 31) +
    message(rec(RANGE, 1, 2, length=4096)) +
    message(rec(BITS, 0, count=200, length=12816)),
    "writable": MIGRATING + records(rec(RANGE, 1, 2), parts=129) +
    records(rec(RANGE, 1, 2), parts=128) + FINISH,
    "cut-off": UP + START + b"".join(
        message(whole[:-8]) + message(whole[:8]) + records(whole[:-8])
        for whole in (rec(RANGE, 1, 2), rec(MAP, 9, HEADER << 12),
                      rec(BITS, 0, count=2, data=bytes(128)))),
    "half-a-head": UP + START + message(bytes(4), length=28) +
    message(rec(RANGE, 1, 2)[:20], length=48),
    "bad-map": UP + START + message(rec(MAP, 0, 4096)) +
    message(rec(MAP, 1, 0)) + message(rec(MAP, 1, 8)) +
    message(rec(MAP, 1, 4096, count=1)) + message(rec(UNMAP, 1, count=1)) +
    message(rec(STARTED, count=1)),
    "bad-numbers": UP + START + message(rec(RANGE, 1 << 63, 1 << 63)) +
    message(rec(BITS, (1 << 52) - 512, count=2, data=bytes(128))),
}


def main():
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    seeds = {}
    for name, data in SEEDS.items():
        seeds[name] = b"\0" + data
        seeds[f"{name}-looked-at"] = b"\1" + data
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
