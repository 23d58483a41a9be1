# SPDX-License-Identifier: GPL-2.0
"""The guest's own life in the middle of a migration: its balloon, and a state
that is saved and loaded.

The map of free pages that the host reads in the end must be that of the kernel
that runs then, and must be true, whatever has become of the pages meanwhile.
"""

import os

from cfphtest import guest, oracle, snapshot
from cfphtest.integrity import (CRAWL, SLOW, arrive, compare, load,
                                need_hints, resume, several_rounds, verify,
                                wait_registered)
from cfphtest.migrate import UNLIMITED, Migration
from cfphtest.registry import need, test, wait_for

MIB = 1 << 20


def check_stopped_map(ctx, vm):
    """Stop the guest for a look at its registered map."""
    vm.qmp("stop")
    verdict = oracle.check_stopped_map(vm, ctx.logs)
    vm.qmp("cont")
    need(verdict.map_leaves, "no map is registered")
    need(not verdict.map_lies and not verdict.map_gaps, f"map: {verdict}")
    return verdict


# --- balloon ---

def balloon(vm, mib):
    """Change the size of the guest's memory, and wait until it is done."""
    vm.qmp("balloon", value=mib * MIB)
    # Told once a second at most; the last change may go untold.
    vm.wait_event(lambda e: e["event"] == "BALLOON_CHANGE", 60)
    wait_for(lambda: vm.qmp("query-balloon")["actual"] == mib * MIB,
             f"a balloon that leaves {mib} MiB")


def migrate_with_balloon(ctx, balloon_opts=()):
    spec = ctx.spec(balloon_opts=list(balloon_opts))
    src, dst = ctx.pair(spec)
    load(src, stress_mib=80)
    size = spec.mem // MIB

    def middle(migration):
        migration.set(max_bandwidth=SLOW // 4)
        for give, take in ((120, 20), (140, 60)):
            balloon(src, size - give)
            held = check_stopped_map(ctx, src).offline
            # compaction may have one of them in two places
            need(abs(held - give * 256) < 4, f"{held} pages in the balloon")
            balloon(src, size - take)
        ctx.say(f"in the middle: {migration.info()['ram']}")

    info = several_rounds(src, dst, passes=6, middle=middle)
    need_hints(ctx, info)
    verdict = compare(ctx, src, dst, balloon=True)
    need(abs(verdict.offline - 60 * 256) < 4, f"the balloon: {verdict}")
    resume(dst)
    balloon(dst, size)
    verify(ctx, dst)
    guest.check_console(src)


@test("migrate-balloon", 240)
def migrate_balloon(ctx):
    """The balloon grows and shrinks in the middle: its pages are not free."""
    migrate_with_balloon(ctx)


@test("migrate-balloon-reporting", 240)
def migrate_balloon_reporting(ctx):
    """The same with free page reporting, and deflation on OOM."""
    migrate_with_balloon(ctx, ("free-page-reporting=on", "deflate-on-oom=on"))


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
    """savevm in the middle is refused, loadvm too, but when it has reset."""
    src, dst = ctx.pair(ctx.spec(reboot=True))
    load(src)
    paths = [snapshot.image(os.path.join(ctx.logs, name))
             for name in ("state", "another")]
    snapshot.save(src, paths[0])
    migration = Migration(src, dst, bandwidth=SLOW, downtime_ms=1).start()
    migration.wait_pass(2, 120)
    migration.set(max_bandwidth=CRAWL)
    wait_registered(src)
    need_refusal(snapshot.save, src, paths[1], "a migration process in progress")
    need(guest.cfph_status(src)["registered"], "savevm has ended the map")
    guest.check_stress(src)
    # It wants the yank instance that the migration has, and asks for it when
    # the machine has been reset; the file stays open, which QEMU cannot bear
    # when it exits.
    need_refusal(snapshot.load, src, paths[0], "yank")
    need(not guest.cfph_status(src)["registered"], "still registered")
    # From the state that it is left in QEMU cannot migrate, but aborts.
    src.qmp("cont")
    src.boot()
    load(src, stress_mib=60)
    migration.set(max_bandwidth=UNLIMITED, downtime_limit=10_000)
    need_hints(ctx, migration.finish())
    arrive(ctx, src, dst)
