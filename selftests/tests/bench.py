# SPDX-License-Identifier: GPL-2.0
"""What benchmarks are made of and could lie: the link, medians, times, the JSON."""

import hashlib
import json
import os
import re
import socket
import threading
import time
import types

from cfphtest import bench, chain
from cfphtest.config import ConfigError
from cfphtest.integrity import load, need_hints, several_rounds, verify
from cfphtest.registry import need, test, wait_for
from cfphtest.relay import Relay
from cfphtest.variants import VARIANTS

RATE = 50_000_000
# A burst, and what lies in the relay and in the socket behind it.
SLACK = RATE // 500 + (256 << 10)
FIRST, LAST = 8 << 20, 4 << 20


def excess(arrivals, rate):
    """Bytes above the rate, in the worst of all spans of [(second, bytes)]."""
    worst = total = 0
    least = None
    for at, count in arrivals:
        before = total - rate * at
        least = before if least is None else min(least, before)
        total += count
        worst = max(worst, total - rate * at - least)
    return worst


def need_excess_sees():
    """It is as good as what it finds: a burst at the end of a steady stream."""
    steady = [(i / 1000, RATE // 1000) for i in range(1000)]
    need(excess(steady, RATE) <= RATE // 1000 + 1, "a steady stream is too fast")
    burst = steady + [(1.0, 4 << 20)]
    need(excess(burst, RATE) > SLACK, "a burst at the end is not seen")
    need(excess([(2 * t, n) for t, n in steady], RATE) <= RATE // 1000 + 1,
         "a slow stream is too fast")
    need(excess([(t / 2, n) for t, n in steady], RATE) > SLACK,
         "twice the rate is not seen")


class Receiver(threading.Thread):
    """What comes, and when."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(path)
        self._server.listen(1)
        self.arrivals, self.digest = [], hashlib.sha256()
        self.start()

    def run(self):
        one, _ = self._server.accept()
        with one:
            while data := one.recv(65536):
                self.arrivals.append((time.monotonic(), len(data)))
                self.digest.update(data)
            one.close()


def send_through(ctx, rate):
    """8 MiB, a pause until they have arrived, 4 MiB at once: the receiver."""
    target = os.path.join(ctx.logs, "target")
    for path in (target, target + ".relay"):
        if os.path.exists(path):
            os.unlink(path)
    receiver = Receiver(target)
    relay = Relay(target, rate)
    data = os.urandom(FIRST + LAST)
    with socket.socket(socket.AF_UNIX) as source:
        source.connect(relay.path)
        source.sendall(data[:FIRST])
        while sum(n for _, n in receiver.arrivals) < FIRST:
            time.sleep(0.001)
        source.sendall(data[FIRST:])
    count, _ = relay.finish()
    receiver.join(30)
    relay.close()
    need(count == len(data), f"{count} bytes of {len(data)}")
    need(receiver.digest.digest() == hashlib.sha256(data).digest(),
         "other bytes arrive than were sent")
    return receiver


@test("bench-relay", 60)
def bench_relay(ctx):
    """The link holds its rate in any span of time, in the last burst, too."""
    need_excess_sees()
    arrivals = send_through(ctx, RATE).arrivals
    took = arrivals[-1][0] - arrivals[0][0]
    over = excess(arrivals, RATE)
    ctx.say(f"{FIRST + LAST} bytes in {took:.3f} s, at most {over:.0f} bytes "
            f"above the rate in any span; {SLACK} allowed")
    need(over <= SLACK, f"{over:.0f} bytes above the rate")
    # The same with a link that is much too fast: the check sees it.
    over = excess(send_through(ctx, 40 * RATE).arrivals, RATE)
    need(over > SLACK, f"forty times the rate: only {over:.0f} bytes above it")


@test("bench-figures", 20)
def bench_figures(_ctx):
    """Medians, spreads, ratios, turns and units are what they say."""
    values = [5, 1, 9, 3, 100]
    need(bench.summary(values) == {"median": 5, "min": 1, "max": 100,
                                   "values": values}, "summary")
    need(bench.ratio(values, [10, 20, 1]) == 0.5, "ratio of medians")
    need(bench.ratio([], [1]) is None and bench.ratio([1], []) is None and
         bench.ratio([1], [0]) is None, "ratio without a base")
    need(abs(bench.percent_above([1.05], [1]) - 5) < 1e-9, "percent")
    need(bench.spread_percent([90, 100, 120]) == 30, "spread")
    need(bench.with_spread(values) == "5 (1..100)", bench.with_spread(values))
    need(bench.with_spread([]) == "-" and bench.number(None) == "-",
         "what is not there")
    need(bench.number(1234567.8, 1) == "1 234 567.8", "number")
    turns = list(bench.in_turn(3, ["a", "b", "c"]))
    need(sorted(turns) == [(r, v) for r in range(3) for v in "abc"] and
         [turns[i][1] for i in (0, 3, 6)] == ["a", "b", "c"], f"{turns}")
    os.environ.update(BW="50M 1.25G", CASES="b,a", RUNS="0")
    need(bench.asked_rates("1M") == [50_000_000, 1_250_000_000], "BW")
    need(bench.asked_words("CASES", ("a", "b", "c")) == ["b", "a"], "CASES")
    for ask in (lambda: bench.asked_number("RUNS", 5),
                lambda: bench.asked_words("CASES", ("a",))):
        try:
            ask()
        except ConfigError:
            continue
        need(False, "nonsense is taken")


def _vm(*events):
    return types.SimpleNamespace(events=[
        {"event": name, "timestamp": {"seconds": int(at),
                                      "microseconds": round(at % 1 * 1e6)}}
        for name, at in events])


@test("bench-stopped", 20)
def bench_stopped(_ctx):
    """The guest stands still from the source's STOP to the next RESUME."""
    src = _vm(("STOP", 10.0), ("RESUME", 10.1), ("MIGRATION", 10.2),
              ("STOP", 11.9))
    dst = _vm(("MIGRATION", 12.0), ("RESUME", 12.05))
    need(chain.stopped_ms(src, dst) == 250, f"{chain.stopped_ms(src, dst)}")
    need(chain.stopped_ms(_vm(), _vm()) == 0, "no events")


@test("bench-json", 30)
def bench_json(ctx):
    """The JSON of a benchmark says where its figures come from."""
    path = os.path.join(ctx.logs, "out.json")
    os.environ.update(OUT=path, MEM="1G", RUNS="3", BW="50M 1.25G")
    for name in ("CASES", "VARIANTS", "LIMIT", "DOWNTIME", "SKIP"):
        os.environ.pop(name, None)
    bench.write_json("bench-none", ctx.accel, {"results": [1, 2]})
    with open(path, encoding="utf-8") as file:
        got = json.load(file)
    need(got["benchmark"] == "bench-none" and got["results"] == [1, 2],
         f"{got}")
    need(got["command"] == 'make bench-none MEM=1G RUNS=3 BW="50M 1.25G"',
         got["command"])
    need(got["kernel"].startswith("6.") and "QEMU" in got["qemu"], f"{got}")
    need(got["commit"] and got["date"].endswith("+00:00"), f"{got}")
    need(set(got["machine"]) == {"cpu", "cores", "accel", "memory-bytes",
                                 "host-kernel", "load"} and
         not {None, "", 0} & {v for k, v in got["machine"].items()
                              if k != "load"}, f"{got['machine']}")


@test("bench-once", 240)
def bench_once(ctx):
    """One look at the map, which is what benchmarks compare with: no page is lost.

    The comparison of memories does not apply: what was free in the beginning and has
    been allocated, but not written, differs.
    """
    src, dst = ctx.pair(ctx.spec(**VARIANTS["rfc"]), paused=False)
    load(src)
    info = several_rounds(src, dst)
    need_hints(ctx, info)
    verify(ctx, dst)
    walks = re.findall(r"ram_cfph_walk .* set_aside_pages=(\d+)",
                       src.trace_text())
    need(len(walks) == 1 and int(walks[0]) >= info["ram"]["free-pages-skipped"],
         f"more than one look: {walks}")


@test("bench-late", 120)
def bench_late(ctx):
    """Given up in the very moment in which it completes: then it has completed."""
    hops = chain.Chain(ctx.spec(), ctx.logs, "late")
    try:
        hops.boot().start(link=200_000_000)
        wait_for(lambda: hops.migration.info()["status"] == "completed",
                 "the migration does not complete")
        result = hops.give_up()
        need(result["completed"], f"not completed: {result}")
        hops.check()
    finally:
        hops.close()


@test("bench-rows", 20)
def bench_rows(_ctx):
    """What has not come to its end is in no median."""
    results = [{"case": case, "variant": variant, "total-ms": ms,
                "completed": ms < 10, "used-bytes": ms}
               for case in ("a", "b") for variant in ("none", "cfph")
               for ms in (1, 2, 20)]
    rows = bench.Rows(results, case="a")
    need(rows.values("cfph", "total-ms", 2) == [2, 4], "values")
    need(len(rows.of("cfph")) == 3 and len(rows.of("cfph", False)) == 1, "of")
    need(rows.used() == 2, "used")
    found = bench.groups(results, "case", "variant")
    need([k for k, _ in found] == [("a", "none"), ("a", "cfph"),
                                   ("b", "none"), ("b", "cfph")] and
         all(len(part.rows) == 3 for _, part in found), f"{found}")
