# SPDX-License-Identifier: GPL-2.0
"""The balloon device itself comes, goes, or takes memory that has not arrived.

Who plugs it is the host, and QEMU refuses that while a migration runs.  Who ejects it
is the guest, whenever it likes: the map goes with it, in the middle of a round.
"""

import os

from cfphtest import guest, hints
from cfphtest.integrity import (CRAWL, arrive, check_stopped_map, compare, crawl,
                                emptied, load, long_round, need_hints, resume,
                                several_rounds, wait_registered)
from cfphtest.migrate import Migration
from cfphtest.registry import need, test, wait_for
from cfphtest.vm import refusal

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
    guest.check_stress(dst, "stop")
    guest.check_stamp(dst)
    guest.check_console(src, dst)


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
