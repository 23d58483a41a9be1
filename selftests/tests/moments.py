# SPDX-License-Identifier: GPL-2.0
"""Migrations at moments at which nobody would migrate: the first seconds of a boot,
and the last one before the power is off."""

from cfphtest import guest, hints
from cfphtest.integrity import (CRAWL, compare, crawl, load, need_hints, resume,
                                several_rounds, wait_registered)
from cfphtest.migrate import UNLIMITED, Migration
from cfphtest.registry import need, test, wait_for


# --- boot ---

def go(migration):
    migration.set(max_bandwidth=UNLIMITED, downtime_limit=10_000)
    return migration.finish()


def until_said(vm, words):
    wait_for(lambda: words in vm.console_text(), f"{vm.name} does not say '{words}'")


@test("moment-boot", 240)
def moment_boot(ctx):
    """It begins before the guest does, and ends when that has just made its map."""
    spec = ctx.spec()
    src = ctx.vm(spec, "src", paused=True)
    dst = ctx.destination(spec)
    migration = crawl(src, dst)
    migration.wait_status("active")
    src.qmp("cont")
    wait_registered(src)
    info = go(migration)
    need_hints(ctx, info)
    need(info["ram"]["dirty-sync-count"] > 1, "no round")
    compare(ctx, src, dst)
    resume(dst)
    dst.boot()
    ctx.say(f"map: {guest.check_map(dst)}")
    guest.check_console(src, dst)


@test("moment-boot-early", 240)
def moment_boot_early(ctx):
    """Handed over twice while it boots: before it has a driver, and right after."""
    spec = ctx.spec()
    vm = ctx.vm(spec, "src")
    until_said(vm, "Memory: ")
    for last in (False, True):
        if last:
            wait_registered(vm)
        dst = ctx.destination(spec)
        info = Migration(vm, dst).start().finish()
        skipped = info["ram"]["free-pages-skipped"]
        ctx.say(f"{skipped} pages skipped; {hints.state(info)}")
        need(bool(skipped) == last, "skipped when it may not, or not when it may")
        compare(ctx, vm, dst, no_kernel=not last)
        resume(dst)
        vm = dst
    vm.boot()
    ctx.say(f"map: {guest.check_map(vm)}")
    guest.check_console(*ctx.vms)


# --- power-off ---

@test("moment-poweroff", 240)
def moment_poweroff(ctx):
    """The guest switches itself off in the middle: a guest that is off arrives."""
    spec = ctx.spec(extra=["-action", "shutdown=pause"], reboot=True)
    src, dst = ctx.pair(spec)
    guest.settled(src)
    src.sh("memhog --percent 85", 120)
    load(src, stress_mib=80)

    def middle(migration):
        migration.set(max_bandwidth=CRAWL)
        src.sh("(usleep 100000; poweroff -f) >/dev/null 2>&1 &")
        src.wait_event(lambda e: e["event"] == "SHUTDOWN", 60)

    info = several_rounds(src, dst, middle=middle)
    ctx.say(f"{info['ram']['free-pages-skipped']} pages skipped; "
            f"{hints.state(info)}")
    verdict = compare(ctx, src, dst)
    need(dst.qmp("query-status")["status"] == "shutdown",
         f"{dst.qmp('query-status')}")
    ctx.say(f"{verdict.differ} pages differ")
    # What was left out is there for the next kernel.
    dst.qmp("system_reset")
    resume(dst)
    dst.boot()
    dst.sh("memhog --percent 60", 120)
    ctx.say(f"map: {guest.check_map(dst)}")
    guest.check_console(src, dst)
