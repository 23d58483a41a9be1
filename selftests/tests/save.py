# SPDX-License-Identifier: GPL-2.0
"""Every way in which QEMU writes a guest's memory out leaves its free pages out.

A guest that stands still is the common case: what saves a guest to a file stops it
first.  In each test 90 % of its memory has been written and freed; then it is saved
with the hints switched off, while it runs, and while it stands still.  What was
written last is restored, compared with the guest that it was made from, and the
guest checks the memory that it had stamped, and its map.
"""

import os
import re

from cfphtest import guest, hints, snapshot
from cfphtest.integrity import (CRAWL, compare, emptied, go_on, need_map,
                                resume, stand_still)
from cfphtest.migrate import UNLIMITED, Migration
from cfphtest.registry import Skip, need, test, wait_for
from cfphtest.save import WAYS, no_background

MEM = "1G"
SMALL = 0.06        # of what is written without hints
LIKE_LIVE = 1.05    # of what a guest that runs is saved to
STAMP_MIB = 8
STAMP = STAMP_MIB << 20


def prepare(ctx, **fields):
    """A guest with little in use, and with contents in all that is free."""
    return emptied(ctx.vm(ctx.spec(mem=MEM, **fields), "src"), 90, STAMP_MIB)


def check(ctx, vm):
    """The restored guest goes on and finds everything as it was."""
    resume(vm)
    ctx.say(guest.check_stamp(vm))
    ctx.say(f"map: {guest.check_map(vm)}")
    need_map(vm)
    vm.sh("memhog --percent 40", 120)       # takes pages that were left out
    guest.check_stamp(vm)
    guest.check_console(vm)


def unhinted(ctx, src, way):
    """Bytes of this guest with the hints switched off."""
    hints.switch(src, False)
    saved = way.save(ctx, src)
    need(not saved.skipped, f"switched off, {saved.skipped} pages skipped")
    saved.drop()
    hints.switch(src, True)
    return saved.size


def need_small(ctx, saved, off, live):
    ctx.say(f"bytes without hints {off}, live {live}, now {saved.size}: "
            f"{saved.size / off:.3f}; {saved.skipped} pages skipped")
    need(saved.size <= off * SMALL + STAMP,
         f"{saved.size} bytes of {off}: {saved.size / off:.3f}; "
         f"{saved.skipped} pages skipped")
    need(saved.skipped, "no page was skipped")
    need(saved.size <= live * LIKE_LIVE,
         f"{saved.size} bytes; {live} if it runs")


def paused_before(ctx, name):
    """Saved while it stands still."""
    way = WAYS[name]
    src = prepare(ctx)
    live = way.save(ctx, src)
    live.drop()
    stand_still(src)
    off = unhinted(ctx, src, way)
    stand_still(src)
    saved = way.save(ctx, src)
    dst = saved.restore()
    compare(ctx, src, dst)
    need_small(ctx, saved, off, live.size)
    check(ctx, dst)
    guest.check_console(src)


def add_paused(name):
    def run(ctx):
        paused_before(ctx, name)
    run.__doc__ = f"A guest that stands still, {name}: as small as one that runs."
    test(f"save-{name}", 240)(run)


for each in WAYS:
    if each != "background":
        add_paused(each)


# --- background snapshot ---

def need_background(vm):
    """SKIP where the host cannot write-protect a guest's memory."""
    reason = no_background(vm)
    if reason:
        raise Skip(f"the host's userfaultfd: {reason}")


@test("save-background", 240)
def save_background(ctx):
    """Background snapshot of a guest that stands still."""
    with ctx.vm(ctx.spec(mem="128M"), "probe", paused=True) as vm:
        need_background(vm)
    paused_before(ctx, "background")


@test("save-background-live", 240)
def save_background_live(ctx):
    """Background snapshot of a guest that goes on: decided when it begins."""
    src = prepare(ctx)
    need_background(src)
    way = WAYS["background"]
    off = unhinted(ctx, src, way)
    need(src.qmp("query-status")["running"], "the guest has been stopped")
    src.sh("churn start --mib 200")     # takes free pages, and writes to them
    saved = way.save(ctx, src)
    src.sh("churn stop")
    guest.check_stamp(src)
    guest.check_console(src)
    dst = saved.restore()
    dst.qmp("cont")
    dst.sh("churn stop")                # it has that, too
    check(ctx, dst)
    # What the loop held at that moment is no free memory.
    most = off * SMALL + STAMP + (200 << 20)
    ctx.say(f"bytes without hints {off}, now {saved.size}, "
            f"{saved.skipped} pages skipped")
    need(saved.skipped and saved.size <= most,
         f"{saved.size} bytes of {off}, {saved.skipped} pages skipped")


# --- in the middle ---

def crawl(src, dst):
    """A migration that has begun and does not get on."""
    migration = Migration(src, dst, bandwidth=CRAWL, downtime_ms=1).start()
    migration.wait_status("active")
    return migration


def in_the_middle(ctx, before, middle):
    """The guest stands, or runs, and then it does not, or does."""
    src = prepare(ctx)
    sizes = []
    for on in (False, True):
        hints.switch(src, on)
        dst = ctx.destination(src.spec)
        src.qmp(before)         # or it does so already
        migration = crawl(src, dst)
        middle(src)
        migration.set(max_bandwidth=UNLIMITED, downtime_limit=1000)
        info = migration.finish()
        sizes.append(info["ram"]["transferred"])
        skipped = info["ram"]["free-pages-skipped"]
        if not on:
            need(not skipped, f"switched off, {skipped} pages skipped")
            ctx.drop(dst)
            go_on(src)
    ctx.say(f"bytes without hints {sizes[0]}, now {sizes[1]}, {skipped} pages "
            "skipped")
    compare(ctx, src, dst)
    need(skipped, "no page was skipped")
    # Once more what was written in the middle, by the stamp and by whatever else runs.
    most = sizes[0] * SMALL + 2 * STAMP + (4 << 20)
    need(sizes[1] <= most, f"{sizes[1]} bytes of {sizes[0]}")
    hints.need_state(info, "decided", "none")
    check(ctx, dst)
    guest.check_console(src)


@test("save-paused-midway", 240)
def save_paused_midway(ctx):
    """Paused in the middle of a live migration."""
    def middle(src):
        src.sh("stamp renew")
        src.qmp("stop")
    in_the_middle(ctx, "cont", middle)


@test("save-resumed-midway", 240)
def save_resumed_midway(ctx):
    """Paused before, resumed in the middle of the migration."""
    def middle(src):
        src.qmp("cont")
        src.sh("stamp renew")
    in_the_middle(ctx, "stop", middle)


# --- with a map that has come with the guest ---

def need_same(ctx, src, dst, info):
    """It has arrived, and pages were left out."""
    skipped = info["ram"]["free-pages-skipped"]
    verdict = compare(ctx, src, dst)
    ctx.say(f"{skipped} pages skipped, {info['ram']['transferred']} bytes")
    need(skipped > verdict.free_total * 8 // 10,
         f"{skipped} of {verdict.free_total} free pages skipped")


@test("save-never-resumed", 240)
def save_never_resumed(ctx):
    """A destination that has never run is migrated on."""
    a = prepare(ctx)
    b, c = ctx.destination(a.spec), ctx.destination(a.spec)
    first = Migration(a, b).start().finish()
    need_same(ctx, a, b, first)
    need_map(b)
    second = Migration(b, c).start().finish()
    need_same(ctx, b, c, second)
    need(second["ram"]["transferred"] <=
         first["ram"]["transferred"] * LIKE_LIVE,
         f"{second['ram']['transferred']} bytes, and "
         f"{first['ram']['transferred']} the first time")
    check(ctx, c)


@test("save-loaded", 240)
def save_loaded(ctx):
    """loadvm, and a migration at once: with the map that was in the file."""
    a = prepare(ctx)
    path = snapshot.image(os.path.join(ctx.logs, "state.qcow2"))
    snapshot.save(a, path)
    ctx.drop(a)
    b, c = ctx.vm(a.spec, "loaded", paused=True), ctx.destination(a.spec)
    snapshot.load(b, path)
    need_map(b)
    need_same(ctx, b, c, Migration(b, c).start().finish())
    check(ctx, c)


@test("save-loaded-over", 240)
def save_loaded_over(ctx):
    """loadvm in a QEMU whose guest has a map of its own: that one is void."""
    a = prepare(ctx, reboot=True)
    path = snapshot.image(os.path.join(ctx.logs, "state.qcow2"))
    snapshot.save(a, path)
    a.qmp("system_reset")
    a.wait_event(lambda e: e["event"] == "RESET", 30)
    a.boot()
    guest.settled(a)
    a.sh("memhog --percent 60", 120)
    a.qmp("stop")
    snapshot.load(a, path)
    c = ctx.destination(a.spec)
    need_same(ctx, a, c, Migration(a, c).start().finish())
    check(ctx, c)


@test("save-first-sync")
def save_first_sync(ctx):
    """What is free is set aside from the first moment on, in no round yet."""
    src = prepare(ctx)
    free = guest.fpctl(src)["free-pages"]
    dst = ctx.destination(src.spec)
    migration = crawl(src, dst)
    info = migration.info()
    ram = info["ram"]
    ctx.say(f"of {free} free pages {ram['free-pages-deferred']} set aside, "
            f"{ram['transferred']} bytes sent")
    need(ram["free-pages-deferred"] > free * 8 // 10 and
         ram["transferred"] < 8 << 20 and ram["dirty-sync-count"] == 1,
         f"of {free} free pages {ram['free-pages-deferred']} set aside after "
         f"{ram['transferred']} bytes, sync {ram['dirty-sync-count']}")
    hints.need_state(info, "active", "none")
    migration.set(max_bandwidth=UNLIMITED)
    need_same(ctx, src, dst, migration.finish())


# --- a guest that has panicked ---

@test("save-panicked", 240)
def save_panicked(ctx):
    """It is saved whole, its free pages too: they are evidence."""
    src = prepare(ctx, kernel_args="panic=0")
    src.sh("(usleep 100000; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 &")
    wait_for(lambda: "end Kernel panic" in src.console_text(),
             f"no panic: {src.console_tail()}")
    for name in ("live", "paused"):
        if name == "paused":
            stand_still(src)
        saved = WAYS["file"].save(ctx, src)
        dst = saved.restore()
        # Nothing is excepted, whoever owns it.
        verdict = compare(ctx, src, dst, no_kernel=True)
        need(not saved.skipped, f"{name}: {saved.skipped} pages skipped")
        need(verdict.pages and not verdict.differ, f"{name}: {verdict}")
        ctx.say(f"{name}: {saved.size} bytes")
        if hints.MEMBER in saved.info:
            hints.need_state(saved.info, "off", "guest-panicked", "withdrawn",
                             "no-map")
        ctx.drop(dst)
        go_on(src)
    lines = src.console_trouble()
    need(all(re.search("Kernel panic|Call Trace|Oops", line)
             for line in lines), f"in the kernel log: {lines}")
