# SPDX-License-Identifier: GPL-2.0
"""Migrations under load; see cfphtest.integrity for what each one proves."""

from cfphtest import config, guest
from cfphtest.guest import DRIVER
from cfphtest.integrity import (CRAWL, SLOW, arrive, check_stopped_map,
                                compare, integrity, load, long_round,
                                need_hints, resume, several_rounds, verify)
from cfphtest.migrate import MBPS100, TCP, UNLIMITED, Migration
from cfphtest.registry import need, test


@test("migrate-off")
def migrate_off(ctx):
    """Hints off: the harness itself finds nothing to complain about."""
    integrity(ctx, ctx.spec(hints="off"), hints=False)


@test("migrate-hints", 240)
def migrate_hints(ctx):
    """Hints on, several rounds, there and back; page cache on a disk."""
    integrity(ctx, ctx.spec(disk=ctx.disk()), hops=2)


@test("migrate-long-round")
def migrate_long_round(ctx):
    """Seconds between the last sync and the stop: the final read decides."""
    integrity(ctx, ctx.spec(), way=long_round)


@test("migrate-q35")
def migrate_q35(ctx):
    """q35, four vCPUs, over TCP."""
    integrity(ctx, ctx.spec(machine="q35", smp=4), by=TCP)


@test("migrate-idle")
def migrate_idle(ctx):
    """An idle guest: most of it is left out, memory is right."""
    spec = ctx.spec(mem="1G")
    src, dst = ctx.pair(spec)
    src.sh("stamp start")
    info = Migration(src, dst).start().finish()
    need_hints(ctx, info)
    free = compare(ctx, src, dst).free_total
    skipped = info["ram"]["free-pages-skipped"]
    need(skipped > free * 8 // 10, f"{skipped} of {free} free pages skipped")
    resume(dst)
    guest.check_stamp(dst)
    ctx.say(guest.check_map(dst))
    guest.check_console(src, dst)


@test("migrate-hole", 300)
def migrate_hole(ctx):
    """4 GiB: RAM on both sides of the PCI hole."""
    integrity(ctx, ctx.spec(mem="4G", machine="q35"), stress_mib=300,
              bandwidth=UNLIMITED // 2)


@test("migrate-small-hole", 240)
def migrate_small_hole(ctx):
    """Most RAM above 4 GiB (max-ram-below-4g), under a load that uses it."""
    integrity(ctx, ctx.spec(mem="512M", machine_opts="max-ram-below-4g=128M"))


@test("migrate-backend", 240)
def migrate_backend(ctx):
    """Main RAM from a memory backend that is not at ram offset 0."""
    integrity(ctx, ctx.spec(backend="ram", dummy="512M"))


@test("migrate-memfd", 240)
def migrate_memfd(ctx):
    """Main RAM from a shared memfd."""
    integrity(ctx, ctx.spec(backend="memfd"))


def tcg_dirty_log(ctx, hints):
    """A hot set, RAM not at ram offset 0; wrong without our first patch."""
    spec = ctx.spec(mem="192M", smp=1, backend="ram", dummy="512M",
                    hints=hints)
    src, dst = ctx.pair(spec)
    src.sh("hot start")
    several_rounds(src, dst)
    verdict = compare(ctx, src, dst)
    if hints == "off":
        need(verdict.differ == 0, f"pages differ without hints: {verdict}")
    resume(dst)
    dst.sh("hot stop")


@test("migrate-dirty-log")
def migrate_dirty_log(ctx):
    """TCG's dirty log: a hot set in RAM that is not at ram offset 0."""
    tcg_dirty_log(ctx, "off")


@test("migrate-multifd")
def migrate_multifd(ctx):
    """multifd, two channels."""
    integrity(ctx, ctx.spec(), caps=("multifd",),
              params={"multifd-channels": 2})


@test("migrate-zero-copy")
def migrate_zero_copy(ctx):
    """multifd that sends pages from where the guest has them."""
    integrity(ctx, ctx.spec(), by=TCP, caps=("multifd", "zero-copy-send"),
              params={"multifd-channels": 2})


@test("migrate-xbzrle")
def migrate_xbzrle(ctx):
    """xbzrle: pages that were sent before go as what has changed in them."""
    info = {}

    def way(src, dst, **options):
        info.update(several_rounds(src, dst, **options))
        return info

    integrity(ctx, ctx.spec(), way=way, caps=("xbzrle",),
              params={"xbzrle-cache-size": 64 << 20})
    ctx.say(f"{info['xbzrle-cache']}")
    need(info["xbzrle-cache"]["pages"], "no page went like that")


@test("migrate-autoconverge")
def migrate_autoconverge(ctx):
    """auto-converge: its timer adds dirty-bitmap syncs in mid-round."""
    integrity(ctx, ctx.spec(), caps=("auto-converge",))


@test("migrate-reporting")
def migrate_reporting(ctx):
    """With free page reporting on the same device: no queue is mixed up."""
    integrity(ctx, ctx.spec(balloon_opts=["free-page-reporting=on"]))


@test("migrate-churn", 240)
def migrate_churn(ctx):
    """256 MiB churn over a 100 MB/s link: converges, and memory is right."""
    src, dst = ctx.pair(ctx.spec(mem="1G"))
    src.sh("stamp start --mib 24")
    src.sh("churn start", 120)
    info = Migration(src, dst, bandwidth=MBPS100).start().finish(180)
    need_hints(ctx, info)
    compare(ctx, src, dst)
    resume(dst)
    guest.check_stamp(dst)
    dst.sh("churn stop")
    guest.check_console(src, dst)


@test("migrate-stop-cont", 240)
def migrate_stop_cont(ctx):
    """Stopped at 15 moments of a migration: the map is true at each of them."""
    src, dst = ctx.pair(ctx.spec())
    load(src)
    migration = Migration(src, dst, bandwidth=SLOW, downtime_ms=1).start()
    migration.wait_pass(2, 120)
    migration.set(max_bandwidth=CRAWL)      # or it ends while the guest stands
    midway = flying = 0
    for _ in range(15):
        verdict = check_stopped_map(ctx, src)
        midway += bool(verdict.midway)
        flying += bool(verdict.flying)
    ctx.say(f"{midway} of 15 times a vCPU had interrupts off, {flying} times "
            "with a block in the allocator's hands")
    migration.set(max_bandwidth=UNLIMITED, downtime_limit=10_000)
    need_hints(ctx, migration.finish())
    arrive(ctx, src, dst)


@test("migrate-postcopy", 240)
def migrate_postcopy(ctx):
    """Postcopy with hints: every page that the guest asks for is there."""
    spec = ctx.spec()
    src, dst = ctx.pair(spec, paused=False)
    load(src)
    migration = Migration(src, dst, bandwidth=SLOW, downtime_ms=1,
                          caps=("postcopy-ram",)).start()
    migration.wait_pass(3, 120)
    src.qmp("migrate-start-postcopy")
    migration.set(max_postcopy_bandwidth=0)
    info = migration.finish()
    ctx.say(f"{info['ram']['postcopy-requests']} requests of the destination")
    verify(ctx, dst)
    guest.check_console(src)


@test("migrate-paused", 240)
def migrate_paused(ctx):
    """A guest that was stopped under load before the migration began."""
    src, dst = ctx.pair(ctx.spec())
    load(src)
    src.qmp("stop")
    need_hints(ctx, Migration(src, dst).start().finish())
    arrive(ctx, src, dst)


@test("migrate-cancel", 240)
def migrate_cancel(ctx):
    """Cancel under load, twice; then migrate for good."""
    spec = ctx.spec()
    src = ctx.vm(spec, "src")
    src.boot()
    load(src)
    for _ in range(2):
        dst = ctx.destination(spec)
        migration = Migration(src, dst, bandwidth=SLOW, downtime_ms=1).start()
        migration.wait_pass(3, 120)
        need(migration.cancel() == "cancelled", "not cancelled")
        dst.close()
        verify(ctx, src, stop=False)
        show = guest.fpctl(src)
        need(show["migration-id"] == 0,
             f"the guest believes it goes on: {show}")
    dst = ctx.destination(spec)
    need_hints(ctx, several_rounds(src, dst))
    arrive(ctx, src, dst)
    show = guest.fpctl(dst)
    need(show["migration-id"] == 0, f"no STOP on the destination: {show}")
    need(guest.fpctl(dst, "stats")["migrations"] == 3, "migrations counted")


@test("migrate-dst-dies", 240)
def migrate_dst_dies(ctx):
    """The destination is killed in mid-round; the source goes on, retry."""
    spec = ctx.spec()
    src, dst = ctx.pair(spec)
    load(src)
    migration = Migration(src, dst, bandwidth=SLOW, downtime_ms=1).start()
    migration.wait_pass(2, 120)
    dst.close()
    need(migration.wait_end() == "failed", "not failed")
    verify(ctx, src, stop=False)
    dst = ctx.destination(spec)
    need_hints(ctx, several_rounds(src, dst))
    arrive(ctx, src, dst)


@test("migrate-reboot", 240)
def migrate_reboot(ctx):
    """The guest reboots in the middle: the old map is never believed."""
    spec = ctx.spec(reboot=True)
    src, dst = ctx.pair(spec)
    load(src)

    def reboot(migration):
        migration.set(max_bandwidth=CRAWL)
        src.sh("(usleep 100000; reboot -f) >/dev/null 2>&1 &")
        src.wait_event(lambda e: e["event"] == "RESET", 30)
        src.boot()
        load(src, stress_mib=100)

    several_rounds(src, dst, middle=reboot)
    arrive(ctx, src, dst)


@test("migrate-system-reset", 240)
def migrate_system_reset(ctx):
    """system_reset in the middle, unannounced; ends while the guest boots."""
    spec = ctx.spec(reboot=True)
    src, dst = ctx.pair(spec)
    load(src)

    def reset(_migration):
        src.qmp("system_reset")
        src.wait_event(lambda e: e["event"] == "RESET", 30)

    info = several_rounds(src, dst, passes=3, middle=reset)
    # Firmware, or a kernel that has only begun to boot: no map, no free pages.
    if info["ram"]["free-pages-skipped"]:
        compare(ctx, src, dst)
    else:
        compare(ctx, src, dst, no_kernel=True)
    resume(dst)
    dst.boot()
    guest.check_console(src, dst)


@test("migrate-unbind", 240)
def migrate_unbind(ctx):
    """The driver is unbound in the middle: completes as plain precopy."""
    spec = ctx.spec()
    src, dst = ctx.pair(spec)
    load(src)
    dev = guest.driver_device(src)
    info = several_rounds(src, dst, middle=lambda _: src.sh(
        f"echo {dev} >{DRIVER}/unbind"))
    need(info["ram"]["free-pages-skipped"] == 0, "skipped without a driver")
    need(compare(ctx, src, dst).differ == 0, "pages differ without hints")
    resume(dst)
    dst.sh(f"echo {dev} >{DRIVER}/bind")
    verify(ctx, dst)
    guest.check_console(src)


@test("migrate-rebind", 240)
def migrate_rebind(ctx):
    """Unbound and bound again in the middle, and the module reloaded."""
    spec = ctx.spec()
    src, dst = ctx.pair(spec)
    load(src)

    def middle(_migration):
        guest.rebind(src)
        src.sh("rmmod virtio_balloon; "
               f"insmod {guest.KO}")

    several_rounds(src, dst, middle=middle)
    arrive(ctx, src, dst)


@test("migrate-admin-stop", 240)
def migrate_admin_stop(ctx):
    """fpctl stop and start in the middle."""
    src, dst = ctx.pair(ctx.spec())
    load(src)
    several_rounds(src, dst,
                   middle=lambda _: src.sh("fpctl stop; fpctl start"))
    arrive(ctx, src, dst)


@test("migrate-kexec", 240)
def migrate_kexec(ctx):
    """kexec in the middle: the new kernel is not judged by the old map."""
    spec = ctx.spec(mem="512M")
    initrd = ctx.initrd_with({"/kernel": config.kernel(),
                              "/initrd": config.initramfs()})
    src, dst = ctx.pair(spec, initrd=initrd)
    load(src, stress_mib=100)

    def kexec(migration):
        migration.set(max_bandwidth=CRAWL)
        old = guest.boot_id(src)
        src.sh("(usleep 100000; exec kexec-now /kernel /initrd) "
               ">/dev/console 2>&1 &")
        guest.wait_next_kernel(src, 60)
        need(guest.boot_id(src) != old,
             "this is still the old kernel")
        load(src, stress_mib=100)

    several_rounds(src, dst, middle=kexec)
    arrive(ctx, src, dst)


@test("migrate-suspend", 240)
def migrate_suspend(ctx):
    """The devices are suspended and resumed in the middle (pm_test)."""
    src, dst = ctx.pair(ctx.spec(
        kernel_args="no_console_suspend suspend.pm_test_delay=1"))
    load(src)

    def suspend(_migration):
        src.sh("echo devices >/sys/power/pm_test; echo mem >/sys/power/state",
               90)

    several_rounds(src, dst, middle=suspend)
    arrive(ctx, src, dst)


@test("migrate-hotplug", 240)
def migrate_hotplug(ctx):
    """A DIMM is plugged before, and offline and online again in the middle."""
    spec = ctx.spec(mem_opts="slots=2,maxmem=2G",
                    kernel_args="memhp_default_state=online_movable")
    src = ctx.vm(spec, "src")
    src.boot()
    guest.settled(src)
    before = guest.fpctl(src)["tracked-pages"]
    src.plug_dimm("256M")
    blocks = (spec.mem >> 27) + 2
    src.sh(guest.until(
        "[ $(grep -c online /sys/devices/system/memory/memory*/state | "
        f"grep -c :1) -ge {blocks} ]", 200))
    after = guest.fpctl(src)["tracked-pages"]
    ctx.say(f"tracked pages: {before}, with the DIMM {after}")
    need(after >= before + 65000, "the DIMM is not tracked")
    ctx.say(guest.check_map(src))
    load(src, stress_mib=220)

    def middle(_migration):
        # The kernel may refuse to empty a block once, but not time and again.
        moved = src.sh(
            "n=0; for i in 1 2 3 4 5; do "
            "for m in /sys/devices/system/memory/memory3[23]; do "
            "timeout 20 sh -c \"echo offline >$m/state\" && n=$((n + 1)); "
            "echo online_movable >$m/state; done 2>/dev/null; "
            "[ $n = 0 ] || break; done; echo $n", 240)
        ctx.say(f"blocks that went offline: {moved.strip()}")
        need(int(moved) > 0, "no block went offline")

    dst = ctx.destination(src.spec)
    several_rounds(src, dst, middle=middle)
    arrive(ctx, src, dst)
