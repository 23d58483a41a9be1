# SPDX-License-Identifier: GPL-2.0
"""What lies in the balloon is left out; and the device itself comes and goes.

A page is free for the map from the moment in which it is in the balloon, and used
again before anybody can get it.  So most of these take pages out of it while a
migration runs, in each way that there is, have the guest write to them, and compare
all memory in the end.

Who plugs the device is the host, and QEMU refuses that while a migration runs.  Who
ejects it is the guest, whenever it likes: the map goes with it, in the middle of a
round.
"""

import os

from cfphtest import config, guest, hints
from cfphtest.integrity import (CRAWL, SLOW, arrive, check_map_midway,
                                check_stopped_map, compare, crawl, emptied, load,
                                long_round, need_hints, need_in_balloon, resume,
                                say_hints, several_rounds, verify, wait_registered)
from cfphtest.migrate import Migration
from cfphtest.registry import need, test, wait_for
from cfphtest.vm import refusal

from .hooks import DIMM

SLOT = 16               # on the bus: nobody else moves up when it is empty
AT = f"addr={SLOT:#x}"
MIB = 1 << 20


# --- it is ejected ---

def eject(vm):
    """The guest switches the slot off; returns when the device is gone."""
    vm.sh(f"echo 0 >/sys/bus/pci/slots/{SLOT}/power")
    vm.wait_event(lambda e: e["event"] == "DEVICE_DELETED" and
                  e["data"].get("device") == "balloon0", 30)


def remove(vm):
    """The guest forgets the device, which stays where it is."""
    vm.sh(f"echo 1 >/sys/bus/pci/devices/0000:00:{SLOT:02x}.0/remove")


def goes(ctx, away, *reasons):
    """The balloon goes in the second round, when pages are set aside; on the other side,
    which nobody could tell, the guest finds it again."""
    src, dst = ctx.pair(ctx.spec(balloon_opts=[AT]))
    load(src)

    def middle(migration):
        migration.set(max_bandwidth=CRAWL)
        wait_for(lambda: migration.info()["ram"]["free-pages-deferred"],
                 "nothing is set aside")
        away(src)
        wait_for(lambda: not migration.info()["ram"]["free-pages-deferred"],
                 "still set aside")
        # told by the next look at the map, which may be a moment later
        wait_for(lambda: hints.state(migration.info())["reason"] in reasons,
                 f"{hints.state(migration.info())}, not {reasons}")
        hints.need_state(migration.info(), "waiting", *reasons)

    info = several_rounds(src, dst, passes=6, middle=middle)
    need(not info["ram"]["free-pages-skipped"], f"skipped: {info['ram']}")
    need(not compare(ctx, src, dst).differ, "pages differ without hints")
    resume(dst)
    dst.sh("echo 1 >/sys/bus/pci/rescan")
    wait_registered(dst)
    ctx.say(f"found again: {guest.check_map(dst)}")
    verify(ctx, dst)
    guest.check_console(src)


@test("balloon-ejected", 240)
def balloon_ejected(ctx):
    """The guest ejects it in the middle: nothing is skipped."""
    goes(ctx, eject, "no-device")


@test("balloon-removed", 240)
def balloon_removed(ctx):
    """The guest removes it in the middle: nothing is skipped."""
    goes(ctx, remove, "withdrawn", "no-map", "no-driver")


# --- it is plugged ---

def device():
    return {"driver": "virtio-balloon-pci", "id": "balloon0",
            "addr": f"{SLOT:#x}", "continuous-free-page-hint": True}


@test("balloon-plugged", 240)
def balloon_plugged(ctx):
    """Not while a migration runs; but before, and then it is used at once."""
    plain, spec = ctx.spec(hints="none"), ctx.spec(balloon_opts=[AT])
    src = ctx.vm(plain, "src").boot()
    load(src)
    migration = crawl(src)
    migration.wait_status("active")
    try:
        src.qmp("device_add", **device())
    except src.QMPExecuteError as err:
        need("while migrating" in str(err), str(err))
    else:
        need(False, "plugged in the middle of a migration")
    need(migration.cancel() == "cancelled", "not cancelled")

    src.qmp("device_add", **device())
    wait_registered(src)
    src.spec = spec
    ctx.say(f"{check_stopped_map(ctx, src)}")
    dst = ctx.destination(spec)
    need_hints(ctx, long_round(src, dst))
    arrive(ctx, src, dst)


@test("balloon-second", 30)
def balloon_second(ctx):
    """There is one balloon, with hints or without; a second one is refused."""
    for options in ("", ",continuous-free-page-hint=on"):
        said = refusal("-device", "virtio-balloon-pci,continuous-free-page-hint=on",
                       "-device", f"virtio-balloon-pci{options}")
        ctx.say(said)
        need("Only one balloon device is supported" in said, said)


# --- it takes what has been left out ---

def memory(vm):
    """Bytes of the guest's memory that exist, which is a memfd."""
    files = f"/proc/{vm.pid}/fd"
    sizes = [os.stat(os.path.join(files, fd)).st_blocks * 512
             for fd in os.listdir(files)
             if "/memfd:memory-backend-memfd" in os.readlink(os.path.join(files, fd))]
    need(len(sizes) == 1, f"{vm.name}: memfds: {sizes}")
    return sizes[0]


@test("balloon-skipped", 240)
def balloon_skipped(ctx):
    """The destination's balloon takes pages that were left out: no memory for that."""
    mib = 512
    src = emptied(ctx.vm(ctx.spec(mem=f"{mib}M", backend="memfd"), "src"), 85, 8)
    dst = ctx.destination(src.spec)
    need_hints(ctx, Migration(src, dst).start().finish())
    # No comparison: a page of a memfd that is read is there from then on.
    resume(dst)
    guest.check_stamp(dst)
    before = memory(dst)
    guest.balloon(dst, mib // 4)
    ctx.say(f"source {memory(src) // MIB} MiB, destination {before // MIB}, with the "
            f"balloon {memory(dst) // MIB}")
    need(memory(src) > mib * MIB * 3 // 4, "the source has no old contents")
    need(before < mib * MIB // 2, "the destination has it all")
    need(memory(dst) <= before + 2 * MIB, "more than before")
    guest.balloon(dst, mib)
    dst.sh("memhog --percent 60", 120)
    guest.check_stamp(dst)
    ctx.say(f"map: {guest.check_map(dst)}")
    guest.check_console(src, dst)


# --- what lies in it ---

def size(vm):
    """MiB of the guest's memory."""
    return (vm.spec.mem + sum(map(config.parse_size, vm.spec.dimms))) // MIB


def squeeze(vm, mib):
    """Have that much in the balloon."""
    if vm.qmp("query-balloon")["actual"] // MIB != size(vm) - mib:
        guest.balloon(vm, size(vm) - mib)


def inflated(ctx, mib, **fields):
    """A guest with old contents in all of its memory, and that much in the balloon."""
    src = ctx.vm(ctx.spec(**fields), "src").boot()
    guest.settled(src)
    src.sh("memhog --free 85", 120)
    squeeze(src, mib)
    need_in_balloon(check_stopped_map(ctx, src), mib)
    return src


def vmstat(vm, name):
    return guest.vmstat(vm, name)[0]


def through(ctx, src, middle, left=None):
    """Migrate; the middle is that of the second round.  Compared, checked, used.

    @left: MiB that are in the balloon in the end
    """
    load(src, stamp_mib=16, stress_mib=40)
    dst = ctx.destination(src.spec)
    need_hints(ctx, several_rounds(src, dst, middle=middle))
    verdict = arrive(ctx, src, dst)
    if left is not None:
        need_in_balloon(verdict, left)
    squeeze(dst, 0)
    dst.sh("memhog --free 80", 120)
    guest.check_stamp(dst)
    ctx.say(f"map: {guest.check_map(dst)}")
    guest.check_console(dst)
    return verdict


@test("balloon-left-out", 240)
def balloon_left_out(ctx):
    """Half of the guest is in the balloon: next to nothing of that is sent."""
    src = inflated(ctx, 192)
    dst = ctx.destination(src.spec)
    info = Migration(src, dst).start().finish()
    skipped, zero = say_hints(ctx, info), info["ram"]["duplicate"]
    verdict = compare(ctx, src, dst)
    resume(dst)
    ctx.say(f"map: {guest.check_map(dst)}")
    need_in_balloon(verdict, 192)
    ctx.say(f"{info['ram']['normal']} pages sent, and {zero} that are zero")
    need(skipped > verdict.free_total * 0.9, f"{skipped} of {verdict.free_total}")
    need(zero < verdict.offline // 4, f"zero pages: {zero}")
    # Into the balloon again over there, and out: no difference.
    squeeze(dst, 240)
    need_in_balloon(check_stopped_map(ctx, dst), 240)
    squeeze(dst, 0)
    dst.sh("memhog --free 80", 120)
    guest.check_console(src, dst)


@test("balloon-deflated", 240)
def balloon_deflated(ctx):
    """All of it comes out in the middle, and the guest writes to it."""
    src = inflated(ctx, 192)

    def middle(_migration):
        squeeze(src, 0)
        guest.occupy(src, "--free 70 --hold")
    through(ctx, src, middle, 0)


@test("balloon-inflated", 240)
def balloon_inflated(ctx):
    """It takes, in the middle, what has been sent in the first round."""
    src = inflated(ctx, 16)
    guest.occupy(src, "--mib 160 --hold")

    def middle(_migration):
        guest.kill(src, "memhog")
        squeeze(src, 192)
    verdict = through(ctx, src, middle, 192)
    need(verdict.gone > 100 * 256, f"nothing in the balloon differs: {verdict}")


@test("balloon-oom", 240)
def balloon_oom(ctx):
    """The guest runs out of memory in the middle, and takes it from the balloon."""
    src = inflated(ctx, ctx.spec().mem // 2 // MIB, balloon_opts=["deflate-on-oom=on"])

    def middle(_migration):
        guest.occupy(src, "--free 140 --hold")
        ctx.say(f"out of memory: {vmstat(src, 'balloon_deflate')} pages deflated")
        need(vmstat(src, "balloon_deflate") > 256, "nothing came out of the balloon")
        need(not vmstat(src, "oom_kill"), "somebody was killed")
    through(ctx, src, middle)


def scatter(vm, mib):
    """Have that much in the balloon, page by page between pages that are free."""
    squeeze(vm, 0)
    guest.occupy(vm, "--free 70 --holes")
    squeeze(vm, mib)
    guest.kill(vm, "memhog")


@test("balloon-compacted", 300)
def balloon_compacted(ctx):
    """Compaction moves pages of the balloon, and frees the old ones, in the middle."""
    src = ctx.vm(ctx.spec(), "src").boot()
    guest.settled(src)
    scatter(src, 140)

    def moved():
        src.sh("echo 1 >/proc/sys/vm/compact_memory", 60)
        return vmstat(src, "balloon_migrate")

    def middle(migration):
        # How many there are to move is a matter of where they lie: 400 to 6000.
        while moved() < 1000:
            scatter(src, 140)
        ctx.say(f"compaction: {vmstat(src, 'balloon_migrate')} pages moved")
        need_in_balloon(check_map_midway(ctx, migration, SLOW), 140)
        guest.occupy(src, "--free 60 --hold")
    through(ctx, src, middle, 140)


def back_in_balloon(ctx, migration, mib):
    """The driver has found the device anew, and fills the balloon again."""
    vm = migration.src
    wait_for(lambda: vm.qmp("query-balloon")["actual"] // MIB ==
             size(vm) - mib, "it is not inflated again")
    guest.settled(vm)
    wait_registered(vm)
    need_in_balloon(check_map_midway(ctx, migration, SLOW), mib)


@test("balloon-rebound", 240)
def balloon_rebound(ctx):
    """The driver goes, so that all comes out, and comes back, in the middle."""
    src = inflated(ctx, 160)

    def middle(migration):
        guest.rebind(src)
        back_in_balloon(ctx, migration, 160)
    through(ctx, src, middle, 160)


@test("balloon-suspended", 240)
def balloon_suspended(ctx):
    """The devices sleep in the middle (pm_test), and nothing is in it meanwhile."""
    src = inflated(ctx, 160,
                   kernel_args="no_console_suspend suspend.pm_test_delay=1")

    def middle(migration):
        before = vmstat(src, "balloon_deflate")
        src.sh("echo devices >/sys/power/pm_test; echo mem >/sys/power/state", 90)
        need(vmstat(src, "balloon_deflate") >= before + 160 * 256, "it stayed")
        back_in_balloon(ctx, migration, 160)
    through(ctx, src, middle, 160)


@test("balloon-offline", 420)
def balloon_offline(ctx):
    """A DIMM that is full of it goes offline in the middle, so that all of that moves."""
    src = inflated(ctx, 160, mem_opts="slots=1,maxmem=1G", dimms=["128M"],
                   kernel_args="memhp_default_state=online_movable")

    def middle(_migration):
        before = vmstat(src, "balloon_migrate")
        src.sh(guest.until(f"timeout 20 sh -c 'echo offline >{DIMM}/state' 2>/dev/null",
                           10), 240)
        moved = vmstat(src, "balloon_migrate") - before
        ctx.say(f"{moved} pages of the balloon moved")
        need(moved > 64 * 256, "the balloon was elsewhere")
        src.sh(f"echo online_movable >{DIMM}/state")
        guest.occupy(src, "--free 60 --hold")
    through(ctx, src, middle, 160)


@test("balloon-keep", 240)
def balloon_keep(ctx):
    """The map is made when the migration begins, and finds what is in the balloon."""
    src = inflated(ctx, 192)
    src.sh("fpctl set keep migration")
    guest.until_shown(src, '"reason":"no-migration"', "the map does not go")
    src.sh("stamp start --mib 16; stress start --mib 40 --workers 2")
    dst = ctx.destination(src.spec)
    need_hints(ctx, several_rounds(src, dst))
    verdict = compare(ctx, src, dst)
    need_in_balloon(verdict, 192)
    resume(dst)
    dst.sh("fpctl set keep always")
    squeeze(dst, 0)
    verify(ctx, dst)
    guest.check_console(src)


@test("balloon-postcopy", 240)
def balloon_postcopy(ctx):
    """What is in it goes as zeros, and comes out on the other side."""
    src = inflated(ctx, 192)
    load(src, stamp_mib=16, stress_mib=40)
    dst = ctx.destination(src.spec, paused=False)
    migration = Migration(src, dst, bandwidth=SLOW, downtime_ms=1,
                          caps=("postcopy-ram",)).start()
    migration.wait_pass(2, 120)
    src.qmp("migrate-start-postcopy")
    info = migration.finish()
    need_hints(ctx, info)
    need(info["ram"]["free-pages-skipped"] > 192 * 256, f"skipped: {info['ram']}")
    squeeze(dst, 0)
    dst.sh("memhog --free 80", 120)
    verify(ctx, dst)
    guest.check_console(src)
