# SPDX-License-Identifier: GPL-2.0
"""Page cache that the guest gives back: at once, and when a migration begins."""

import base64

from cfphtest import clients, guest
from cfphtest.guest import DRIVER, TRACING
from cfphtest.integrity import compare, crawl, need_hints, resume
from cfphtest.migrate import UNLIMITED
from cfphtest.registry import need, test, wait_for
from cfphtest.storage import random_image

CACHE_MIB = 160
PAGES = CACHE_MIB * 256
DIRTY_MIB = 8
TRIES = 5               # until a STOP has come in the middle
MAPPED_MIB = 32
LISTED = 4096           # pages in per-cpu lists: what a few programs leave is less

# Maps the begin of the disk, looks at each page, says so, and stays.
MAPPER = f"""
import ctypes, os, time
libc, size = ctypes.CDLL(None), {MAPPED_MIB << 20}
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_long] * 4
disk = os.open("/dev/vda", os.O_RDONLY)
area = libc.mmap(None, size, 1, 1, disk, 0)     # PROT_READ, MAP_SHARED
pages = (ctypes.c_char * size).from_address(area)
for at in range(0, size, 4096):
    pages[at]
print("mapped", flush=True)
time.sleep(99999)
"""


def disk(ctx):
    return random_image(ctx.logs, CACHE_MIB)


def fill(vm):
    guest.cache_disk(vm)
    need(cached(vm) > PAGES * 9 // 10, f"{cached(vm)} pages in the cache")


def cached(vm):
    """Pages of page cache of block devices."""
    return int(vm.sh("awk '/^Buffers/ { print $2 }' /proc/meminfo")) // 4


def checksum(vm):
    return vm.sh("md5sum /dev/vda", 120).split()[0]


def trace_on(vm):
    vm.sh(f"echo 1 >{TRACING}/events/cfph/cfph_reclaim/enable")


def traced(vm):
    """What the trace event has said, the last one last; without what is before it."""
    return [dict(word.split("=") for word in line.split("cfph_reclaim: ")[1].split())
            for line in vm.sh(f"grep cfph_reclaim: {TRACING}/trace || true")
            .splitlines()]


def boot(ctx, **fields):
    vm = ctx.vm(ctx.spec(disk=disk(ctx), **fields), "guest")
    vm.boot()
    guest.settled(vm)
    guest.watch_map(vm)
    trace_on(vm)
    fill(vm)
    return vm


@test("reclaim-now", 240)
def reclaim_now(ctx):
    """fpctl reclaim: what is clean goes, what is dirty stays, nothing is written."""
    vm = boot(ctx)
    before = checksum(vm)
    guest.no_writeback(vm)
    vm.sh(f"dd if=/dev/urandom of=/dev/vda bs=1M count={DIRTY_MIB} "
          "conv=notrunc 2>/dev/null; " +
          guest.until("grep -q '^nr_writeback 0' /proc/vmstat"))
    dirty, written, swapped = guest.vmstat(vm, "nr_dirty", "nr_written", "pswpout")
    need(dirty >= DIRTY_MIB * 128, f"{dirty} pages are dirty")

    told = guest.fpctl(vm, "reclaim 100")
    ctx.say(f"all: {told}")
    need(told["end"] == "done" and
         told["pages"] > (PAGES - dirty) * 9 // 10, f"too few: {told}")
    ctx.say(f"{cached(vm)} pages left, {dirty} of them dirty")
    need(dirty <= cached(vm) < dirty + PAGES // 10, f"left: {cached(vm)}")
    need(guest.vmstat(vm, "nr_dirty", "nr_written", "pswpout") ==
         [dirty, written, swapped], "something was written")
    stats = guest.fpctl(vm, "stats")
    need(stats["reclaimed-pages"] == told["pages"] and
         stats["reclaim-ns"] == told["ns"], f"counters: {stats}")
    last = traced(vm)[-1]
    need((last["migration_id"], last["percent"], last["pages"], last["end"]) ==
         ("0", "100", str(told["pages"]), "done"), f"trace: {last}")
    ctx.say(guest.check_map(vm))
    after = checksum(vm)
    need(after != before, "what was written is lost")

    vm.sh("sync")
    fill(vm)
    told = guest.fpctl(vm, "reclaim 50")
    ctx.say(f"half: {told}")
    need(abs(told["pages"] - PAGES // 2) < PAGES // 10, f"half: {told}")
    told = guest.fpctl(vm, "reclaim 0")
    need((told["end"], told["pages"]) == ("done", 0), f"nothing: {told}")
    need(checksum(vm) == after, "contents have changed")
    ctx.say(guest.check_map(vm))
    guest.check_console(vm)


@test("reclaim-lists", 180)
def reclaim_lists(ctx):
    """fpctl reclaim 0 gives back what lies in per-cpu lists, and nothing else."""
    vm = boot(ctx)
    # An eighth of memory: as much as there can be.
    vm.sh("echo 8 >/proc/sys/vm/percpu_pagelist_high_fraction; "
          "memhog --percent 30", 120)
    cache, before = cached(vm), guest.listed_pages(vm)
    drains = guest.fpctl(vm, "stats")["drains"]
    told = guest.fpctl(vm, "reclaim 0")
    after = guest.listed_pages(vm)
    ctx.say(f"pages in per-cpu lists: {before}, then {after}; {told}")
    need(before > LISTED and told["pages"] == 0, f"before: {before} in lists")
    need(after < LISTED // 2, "they are still there")
    need(guest.fpctl(vm, "stats")["drains"] == drains + 1, "not drained once")
    need(cached(vm) > cache * 9 // 10, "page cache has gone, too")
    ctx.say(guest.check_map(vm))
    guest.check_console(vm)


@test("reclaim-used", 240)
def reclaim_used(ctx):
    """What has been read twice stays until what was read once has gone."""
    vm = boot(ctx)
    # Each fourth MiB, so that they lie everywhere.  Marked when it is read once
    # more, and active when that happens again.
    vm.sh(f"for i in 1 2 3; do for at in $(seq 0 4 {CACHE_MIB - 1}); do "
          "dd if=/dev/vda of=/dev/null bs=1M skip=$at count=1 2>/dev/null; "
          "done; done", 120)
    active, = guest.vmstat(vm, "nr_active_file")
    need(active > CACHE_MIB // 4 * 200, f"{active} pages are active")
    told = guest.fpctl(vm, "reclaim 50")
    left, = guest.vmstat(vm, "nr_active_file")
    ctx.say(f"{told}; active: {active} pages, then {left}")
    need(told["pages"] > PAGES // 3 and left > active * 9 // 10,
         "what is used went first")
    need(guest.fpctl(vm, "reclaim 100")["end"] == "done", "not all")
    left, = guest.vmstat(vm, "nr_active_file")
    need(left < active // 10, f"{left} pages are still active")
    guest.check_console(vm)


def mapped_kib(vm):
    """What of the disk is in the page tables of the one that has mapped it."""
    return int(vm.sh("awk '/vda/ { f = 1 } f && /^Rss/ { print $2; exit }' "
                     "/proc/$(pidof python3)/smaps"))


@test("reclaim-mapped", 240)
def reclaim_mapped(ctx):
    """What somebody has mapped stays, and stays mapped."""
    vm = ctx.vm(ctx.spec(mem="768M", disk=disk(ctx)), "guest",
                initrd=clients.initrd(ctx))
    vm.boot()
    guest.settled(vm)
    program = base64.b64encode(MAPPER.encode()).decode()
    vm.sh(f"echo {program} | base64 -d >/tmp/mapper")
    vm.sh("python3 /tmp/mapper >/tmp/said 2>&1 & " +
          guest.until("grep -q mapped /tmp/said", complain="cat /tmp/said;"), 120)
    fill(vm)
    need(mapped_kib(vm) == MAPPED_MIB << 10, f"{mapped_kib(vm)} KiB are mapped")
    told = guest.fpctl(vm, "reclaim 100")
    ctx.say(f"{told}; {mapped_kib(vm)} KiB are still mapped")
    need(told["pages"] > (CACHE_MIB - MAPPED_MIB) * 250, f"too few: {told}")
    need(mapped_kib(vm) == MAPPED_MIB << 10, "something was unmapped")
    guest.check_console(vm)


@test("reclaim-refused", 180)
def reclaim_refused(ctx):
    """Not a percentage, or not the administrator: refused, with a reason."""
    vm = boot(ctx)
    for words, text in (("reclaim 101", "out of range, 0..100"),
                        ("set reclaim 101", "out of range, 0..100"),
                        ("reclaim -- -1", "not a number, 0..100 %"),
                        ("set reclaim=-1", "not a number, 0..100 %"),
                        ("reclaim", "needs a value, 0..100 %")):
        code, said = vm.run(f"fpctl {words}")
        need(code in (1, 2) and text in said, f"{words}: {code}: {said}")
    vm.sh("mkdir -p /etc; echo nobody:x:65534:65534::/:/bin/sh >>/etc/passwd; "
          "echo nogroup:x:65534: >>/etc/group")
    code, said = vm.run("start-stop-daemon -S -c 65534:65534 "
                        "-x /usr/sbin/fpctl -- reclaim 100")
    need(code == 2 and "CAP_SYS_ADMIN" in said, f"as nobody: {code}: {said}")
    need(cached(vm) > PAGES * 9 // 10, "and still given back")
    guest.check_console(vm)


def ended(vm):
    """Something has been given back, and that is over."""
    return guest.fpctl(vm, "stats")["reclaim-ns"]


def moved_bytes(ctx, percent):
    """What a migration of the guest with all that cache sends."""
    src, dst = ctx.pair(ctx.spec(disk=disk(ctx)))
    guest.settled(src)
    guest.watch_map(src)
    trace_on(src)
    src.sh("stamp start --mib 24")
    fill(src)
    contents = checksum(src)
    # It listens before it says what is now.
    src.sh(f"fpctl set reclaim {percent}; fpctl monitor >/tmp/monitor 2>&1 & " +
           guest.until("grep -q ^now /tmp/monitor"))
    migration = crawl(src, dst)
    migration.wait_pass(1)
    if percent:
        wait_for(lambda: ended(src), "nothing is given back")
    # It has been told what has gone when nothing has changed for a while.
    passes = guest.fpctl(src, "stats")["passes"]
    wait_for(lambda: guest.fpctl(src, "stats")["passes"] > passes + 1,
             "no pass is made")
    migration.set(max_bandwidth=UNLIMITED, downtime_limit=10_000)
    info = migration.finish()
    need_hints(ctx, info)
    compare(ctx, src, dst)
    resume(dst)
    guest.check_stamp(dst)
    need(checksum(dst) == contents, "the disk reads differently")
    ctx.say(guest.check_map(dst))
    said = dst.sh("cat /tmp/monitor")
    need((f"reclaim {percent}%" in said) == bool(percent), f"monitor: {said}")
    if percent:
        last = traced(dst)[-1]
        ctx.say(str(last))
        need(last["end"] == "done" and int(last["migration_id"]), str(last))
    guest.check_console(src, dst)
    ctx.drop(src)
    ctx.drop(dst)
    return info["ram"]["transferred"]


@test("reclaim-migrate", 400)
def reclaim_migrate(ctx):
    """With reclaim 100 the cache is not sent, and can be read again over there."""
    without = moved_bytes(ctx, 0)
    with_ = moved_bytes(ctx, 100)
    ctx.say(f"bytes: {without} without, {with_} with reclaim 100")
    need(without > CACHE_MIB << 20, "the cache was not sent without it, either")
    need(with_ < without - (CACHE_MIB << 20) * 8 // 10, "the cache was sent")


def stop(_vm, migration):
    need(migration.cancel() == "cancelled", "not cancelled")


def unbind(vm, migration):
    dev = guest.driver_device(vm)
    vm.sh(f"echo {dev} >{DRIVER}/unbind")
    stop(vm, migration)
    vm.sh(f"echo {dev} >{DRIVER}/bind")


def suspend(vm, migration):
    vm.sh("echo freezer >/sys/power/pm_test; echo mem >/sys/power/state", 90)
    stop(vm, migration)


def in_the_middle(ctx, vm, what):
    """It is stopped when some of it has gone, and the rest stays."""
    for _ in range(TRIES):
        fill(vm)
        migration = crawl(vm)
        vm.sh("while [ $(awk '/^Buffers/ { print $2 }' /proc/meminfo) -gt "
              f"{PAGES * 4 * 9 // 10} ]; do :; done", 120)
        what(vm, migration)
        wait_for(lambda: not guest.fpctl(vm)["migration-id"],
                 "the guest believes it goes on")
        told = traced(vm)
        need(told, "it has not come to an end")
        last = told[-1]
        ctx.say(f"{what.__name__}: {last}")
        if last["end"] == "stopped":
            left = cached(vm)
            need(0 < int(last["pages"]) < PAGES - left + PAGES // 10,
                 f"{left} pages left")
            return
    need(False, f"{what.__name__}: it was over each time")


@test("reclaim-stop", 400)
def reclaim_stop(ctx):
    """STOP in the middle, an unbind, and the freezer, which only delays it."""
    vm = boot(ctx, kernel_args="no_console_suspend suspend.pm_test_delay=1")
    vm.sh("fpctl set reclaim 100")
    in_the_middle(ctx, vm, stop)
    in_the_middle(ctx, vm, unbind)
    guest.settled(vm)
    fill(vm)
    suspend(vm, crawl(vm))
    fill(vm)
    before = guest.fpctl(vm, "stats")["reclaimed-pages"]
    migration = crawl(vm)
    wait_for(lambda: guest.fpctl(vm, "stats")["reclaimed-pages"] > before +
             PAGES * 8 // 10, "it does not go on")
    stop(vm, migration)
    ctx.say(guest.check_map(vm))
    guest.check_console(vm)
