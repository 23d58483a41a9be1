# SPDX-License-Identifier: GPL-2.0
"""The guest's own life in the middle of a migration: its balloon, hibernation,
a state that is saved and loaded, and a kernel that crashes.

The map of free pages that the host reads in the end must be that of the kernel
that runs then, and must be true, whatever has become of the pages meanwhile.
"""

import os
import re

from cfphtest import config, guest, snapshot
from cfphtest.integrity import (CRAWL, SLOW, arrive, check_map_midway,
                                check_stopped_map, compare, crawl, load,
                                need_hints, need_in_balloon, resume,
                                several_rounds, verify, wait_registered)
from cfphtest.migrate import UNLIMITED, Migration
from cfphtest.registry import need, test, wait_for

MIB = 1 << 20


# --- balloon ---

def migrate_with_balloon(ctx, balloon_opts=()):
    spec = ctx.spec(balloon_opts=list(balloon_opts))
    src, dst = ctx.pair(spec)
    load(src, stress_mib=80)
    size = spec.mem // MIB

    def middle(migration):
        migration.set(max_bandwidth=SLOW // 4)
        for give, take in ((120, 20), (140, 60)):
            guest.balloon(src, size - give)
            need_in_balloon(check_map_midway(ctx, migration, SLOW // 4), give)
            guest.balloon(src, size - take)
        ctx.say(f"in the middle: {migration.info()['ram']}")

    info = several_rounds(src, dst, passes=6, middle=middle)
    need_hints(ctx, info)
    need_in_balloon(compare(ctx, src, dst), 60)
    resume(dst)
    guest.balloon(dst, size)
    verify(ctx, dst)
    guest.check_console(src)


@test("migrate-balloon", 240)
def migrate_balloon(ctx):
    """The balloon grows and shrinks in the middle: what is in it is free for us."""
    migrate_with_balloon(ctx)


@test("migrate-balloon-reporting", 240)
def migrate_balloon_reporting(ctx):
    """The same with free page reporting, and deflation on OOM."""
    migrate_with_balloon(ctx, ("free-page-reporting=on", "deflate-on-oom=on"))


# --- a map that is kept while a migration runs, and not longer ---

def no_map(vm):
    """The guest keeps none, and its host knows of none."""
    guest.until_shown(vm, '"reason":"no-migration"', "the map does not go")
    wait_for(lambda: not guest.cfph_status(vm)["registered"],
             f"{vm.name}: still registered")


@test("migrate-keep", 240)
def migrate_keep(ctx):
    """`keep migration`: START makes a map, STOP ends it, on whichever host."""
    src, dst = ctx.pair(ctx.spec())
    src.boot()
    guest.settled(src)
    src.sh("fpctl set keep migration")
    no_map(src)
    load(src)
    no_map(src)

    info = several_rounds(src, dst, passes=6)
    need_hints(ctx, info)
    compare(ctx, src, dst)
    resume(dst)
    no_map(dst)

    migration = crawl(dst)
    wait_registered(dst)
    need(migration.cancel() == "cancelled", "not cancelled")
    no_map(dst)

    dst.sh("fpctl set keep always")
    verify(ctx, dst)
    guest.check_console(src)


# --- hibernation ---

SWAP_MIB = 512


def hibernating_spec(ctx, kernel_args):
    """A guest with a disk for its image; both QEMUs open it."""
    disk = ctx.disk(SWAP_MIB)
    return ctx.spec(
        reboot=True, kernel_args="hibernate=nocompress " + kernel_args,
        extra=["-drive", f"if=none,id=swap,format=raw,file={disk}",
               "-device", "virtio-blk-pci,drive=swap"])


def hibernate(ctx, src, mode, wake):
    """To the disk and back; returns when the guest has a map again.

    @wake: what to do with the kernel that has booted, if that does not resume
    of itself.
    """
    before = guest.boot_id(src)
    src.sh(f"echo {mode} >/sys/power/disk; "
           "(usleep 100000; echo disk >/sys/power/state) "
           ">/dev/console 2>&1 &")
    if mode == "reboot":
        src.wait_event(lambda e: e["event"] == "RESET", 120)
    if wake:
        src.boot()
        need(guest.boot_id(src) != before, "the guest has not rebooted")
        wake(src)
    wait_for(lambda: "hibernation exit" in src.console_text(),
             f"no image has been restored: {src.console_tail()}", 120)
    src.boot()
    need(guest.boot_id(src) == before, "this is not the kernel of the image")
    wait_registered(src)
    ctx.say(f"after the resume: {check_stopped_map(ctx, src)}")
    ctx.say(f"its own oracle: {guest.check_map(src)}")


def check_generations(vm, least):
    """So many maps or more, each taken back or forgotten before the next."""
    story = re.findall(r"virtio_balloon_cfph_(map|unmap|forget) "
                       r".*?generation=(\w+)", vm.trace_text())
    maps, now = set(), None
    for what, generation in story:
        if what == "map":
            need(now in (None, generation), f"order: {story}")
            maps.add(generation)
            now = generation
        elif generation == now:
            now = None
    need(len(maps) >= least, f"registrations: {story}")


def migrate_hibernating(ctx, mode, maps, kernel_args="", wake=None):
    src, dst = ctx.pair(hibernating_spec(ctx, kernel_args))
    src.sh("mkswap /dev/vda && swapon /dev/vda")
    load(src, stress_mib=60)

    def middle(migration):
        migration.set(max_bandwidth=CRAWL)
        wait_registered(src)
        hibernate(ctx, src, mode, wake)
        guest.check_stress(src)

    need_hints(ctx, several_rounds(src, dst, middle=middle))
    check_generations(src, maps)
    arrive(ctx, src, dst)


@test("migrate-hibernate", 240)
def migrate_hibernate(ctx):
    """To disk, reboot, and back (resume=) in the middle: map made anew."""
    migrate_hibernating(ctx, "reboot", 2, kernel_args="resume=/dev/vda")


@test("migrate-hibernate-late", 240)
def migrate_hibernate_late(ctx):
    """The kernel that restores the image has had a map of its own."""
    def wake(vm):
        wait_registered(vm)
        vm.sh("(usleep 100000; cat /sys/block/vda/dev >/sys/power/resume) "
              ">/dev/console 2>&1 &")

    migrate_hibernating(ctx, "reboot", 3, wake=wake)


@test("migrate-hibernate-test", 240)
def migrate_hibernate_test(ctx):
    """The image is written and restored without a reboot (test_resume)."""
    migrate_hibernating(ctx, "test_resume", 2)


# --- savevm and loadvm ---

def need_refusal(job, vm, path, reason):
    try:
        job(vm, path)
    except snapshot.SnapshotRefused as err:
        need(reason in str(err), str(err))
    else:
        need(False, f"{job.__name__} in the middle of a migration is done")


@test("migrate-snapshot", 240)
def migrate_snapshot(ctx):
    """savevm and loadvm in the middle are refused, and nothing else happens."""
    src, dst = ctx.pair(ctx.spec(reboot=True))
    load(src)
    paths = [snapshot.image(os.path.join(ctx.logs, name))
             for name in ("state", "another")]
    snapshot.save(src, paths[0])
    migration = Migration(src, dst, bandwidth=SLOW, downtime_ms=1).start()
    migration.wait_pass(2, 120)
    migration.set(max_bandwidth=CRAWL)
    wait_registered(src)
    for job, path in ((snapshot.save, paths[1]), (snapshot.load, paths[0]),
                      (snapshot.savevm, paths[1]), (snapshot.loadvm, paths[0])):
        need_refusal(job, src, path, "migration process in progress")
        need(src.qmp("query-status")["status"] == "running",
             f"{job.__name__} has stopped the guest")
        need(guest.cfph_status(src)["registered"],
             f"{job.__name__} has ended the map")
    guest.check_stress(src)
    migration.set(max_bandwidth=UNLIMITED, downtime_limit=10_000)
    need_hints(ctx, migration.finish())
    src.take_events()
    need(not [e for e in src.events if e["event"] == "RESET"], "a reset")
    arrive(ctx, src, dst)


# --- a crash ---

CRASH = (r"Kernel panic - not syncing: sysrq triggered crash$", r"Call Trace:$")


def check_crashed_console(vm):
    """The panic that was asked for, and nothing else."""
    lines = vm.console_trouble()
    need(len(lines) == len(CRASH) and all(map(re.search, CRASH, lines)),
         f"{vm.name}: in the kernel log: {lines}")


def crashing_guest(ctx, words):
    """A guest with a crash kernel loaded, and a DIMM that came after that.

    So the dead kernel has its map in other memory, and the crash kernel's view
    of it, /proc/vmcore, has nothing to do with the DIMM.
    """
    initrd = ctx.initrd_with({"/kernel": config.kernel(),
                              "/initrd": config.initramfs()})
    src = ctx.vm(ctx.spec(
        mem="512M", mem_opts="slots=2,maxmem=2G",
        kernel_args="crashkernel=384M-1G:160M,1G-:400M"), "src", initrd=initrd)
    src.boot()
    guest.settled(src)
    src.sh(f"kexec-now -p /kernel /initrd 'nr_cpus=1 {words}'")
    before = guest.fpctl(src)["tracked-pages"]
    src.plug_dimm("256M")
    wait_for(lambda: guest.fpctl(src)["tracked-pages"] > before + 65000,
             "the DIMM is not tracked")
    load(src, stress_mib=80)
    return src


def crash(ctx, src):
    """Panic on vCPU 0; returns when the crash kernel's agent answers."""
    # The monitor looks at vCPU 0, and so does the oracle.
    src.sh("(usleep 100000; exec taskset 1 sh -c 'echo c >"
           "/proc/sysrq-trigger') >/dev/console 2>&1 &")
    guest.wait_next_kernel(src, 90)
    size = int(src.sh("stat -c %s /proc/vmcore"))
    need(size > src.spec.mem // 2, f"/proc/vmcore has {size} bytes")
    ctx.say(f"crash kernel: {src.sh('free -m | grep Mem').strip()}; vmcore: "
            f"{size >> 20} MiB")


def migrate_crashing(ctx, words):
    """The guest crashes in mid-migration; its crash kernel arrives.

    That finds the DIMM of the dead kernel by itself and uses it: memory that
    the map of the dead kernel calls free.
    """
    src = crashing_guest(ctx, words)
    dst = ctx.destination(src.spec)
    migration = Migration(src, dst, bandwidth=SLOW, downtime_ms=1).start()
    migration.wait_pass(2, 120)
    migration.set(max_bandwidth=CRAWL)
    wait_registered(src)
    crash(ctx, src)
    src.sh("stamp start --mib 200")
    migration.set(max_bandwidth=UNLIMITED, downtime_limit=10_000)
    info = migration.finish()
    check_crashed_console(src)
    return src, dst, info


def after_crash(src):
    """What the device was told after the map of the dead kernel."""
    return re.findall(r"virtio_balloon_cfph_(map|unmap|forget) |"
                      r"ram_cfph_(decide) ", src.trace_text())[1:]


def check_crash_kernel(dst):
    """It goes on, and still sees what is left of the kernel before it."""
    resume(dst)
    guest.check_stamp(dst)
    dst.sh("dd if=/proc/vmcore of=/dev/null bs=1M", 120)
    guest.check_console(dst)


@test("migrate-kdump", 240)
def migrate_kdump(ctx):
    """A crash kernel that leaves the balloon alone: the old map is void."""
    src, dst, info = migrate_crashing(
        ctx, "cfph.modules=none pci-stub.ids=1af4:1002")
    need(after_crash(src)[0] == ("", "decide"),
         f"somebody has told the device: {after_crash(src)}")
    compare(ctx, src, dst, no_kernel=True)
    need(not info["ram"].get("free-pages-skipped"), "pages were skipped")
    check_crash_kernel(dst)


@test("migrate-kdump-driver", 240)
def migrate_kdump_driver(ctx):
    """A crash kernel with our driver: that registers a map of its own."""
    src, dst, info = migrate_crashing(ctx, "")
    need(after_crash(src)[:2] == [("forget", ""), ("map", "")],
         f"the device was told: {after_crash(src)}")
    need_hints(ctx, info)
    verdict = compare(ctx, src, dst, partial=True)
    need(verdict.map_leaves, "the decision was made without a map")
    check_crash_kernel(dst)
