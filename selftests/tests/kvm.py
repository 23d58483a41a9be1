# SPDX-License-Identifier: GPL-2.0
"""Migrations under KVM, and what of its dirty log they rely on.

Where the host has no KVM that works, `make check-kvm` runs these in an emulated
machine that has; everywhere else they are skipped.

What is shown here cannot be shown under TCG: the write protection of pages that
have been sent is renewed *late*, by KVM_CLEAR_DIRTY_LOG for a whole range when
its first page is about to be sent.  A page that was set aside in between loses
its log bit, too; that this loses no page is what the comparison of both
memories, and the guest's own load, check afterwards.
"""

import os
import re

from cfphtest import guest
from cfphtest.integrity import (compare, load, need_hints, resume,
                                verify)
from cfphtest.migrate import UNLIMITED, Migration
from cfphtest.registry import Skip, need, test, wait_for
from cfphtest.vm import Spec, VMError

from .mutants import STALE_FINAL, hunt

TRACING = "/sys/kernel/tracing/events/syscalls/sys_enter_ioctl"
# linux/kvm.h; numbers, because this is the kernel's side of the story
KVM_GET_DIRTY_LOG = 0x4010ae42
KVM_CLEAR_DIRTY_LOG = 0xc018aec0
KVM_RESET_DIRTY_RINGS = 0xaec7

BOOTS = 3
BOOT_LIMIT = 20         # times the patience with a nested guest: it takes 10 s or so
# The kernel's word before it starts the first program, which loads the driver.
INIT = "Run /init as init process"

SLOW = 10_000_000       # bytes a second; a nested guest dirties less than others
MOST_PASSES = 40       # for a load that has not got as far as is wanted


class KvmSpec(Spec):
    """A guest under KVM with options of the accelerator.

    nopv: the pages that KVM shares with a guest (clock, steal time) change on
    the destination before it runs, and are no page of ours.  RCU's 21 s without
    progress are nothing for a guest that is emulated twice, and that dirty-limit
    has put to sleep.
    """

    def __init__(self, accel_opts="", **fields):
        fields.setdefault("mem", "224M")
        fields.setdefault("smp", 1)
        fields.setdefault("kernel_args",
                          "nopv rcupdate.rcu_cpu_stall_timeout=120")
        super().__init__(accel="kvm", hints="cfph", keeps_dead=True, **fields)
        self.accel_opts = accel_opts
        for event in ("kvm_clear_dirty_log", "kvm_dirty_ring_reap",
                      "migration_bitmap_sync_start", "migration_bitmap_sync_end",
                      "migration_bitmap_clear_dirty"):
            self.extra += ["-trace", event]

    def args(self):
        args = super().args()
        args[args.index("kvm")] += self.accel_opts
        return args


def need_kvm(ctx):
    if ctx.accel != "kvm":
        raise Skip("no KVM here: make check-kvm")


class Ioctls:
    """How often processes of this machine call which ioctl of KVM.

    The kernel's own count, by a histogram trigger on its trace event.  Only
    root of a machine with tracefs has it; the nested machine must.
    """

    def __init__(self, ctx, *numbers):
        self._ctx = ctx
        self._on = os.access(TRACING + "/trigger", os.W_OK)
        need(self._on or not os.environ.get("CFPH_OUTER"), "no tracefs")
        self._numbers = numbers
        self._trigger = "hist:keys=cmd.hex if " + " || ".join(
            f"cmd == {n:#x}" for n in numbers)

    def _write(self, text):
        with open(TRACING + "/trigger", "w", encoding="ascii") as trigger:
            trigger.write(text)

    def __enter__(self):
        if self._on:
            self._write(self._trigger)
        return self

    def __exit__(self, *exc):
        if self._on:
            self._write("!" + self._trigger)

    def counts(self):
        """{number: calls}, or None where nobody counts."""
        if not self._on:
            self._ctx.say("no tracefs here: the kernel's side is not looked at")
            return None
        with open(TRACING + "/hist", encoding="ascii") as hist:
            text = hist.read()
        found = {int(cmd, 16): int(count) for cmd, count in re.findall(
            r"cmd:\s*([0-9a-f]+)\s*\}\s*hitcount:\s*(\d+)", text)}
        return {n: found.get(n, 0) for n in self._numbers}


class Round:
    """What happened to the dirty log from one sync to the next."""

    def __init__(self):
        self.syncing = True
        self.early = 0          # clears within the sync
        self.late = []          # clears after it: (slot, first page, pages)
        self.asked = 0          # by a page that was about to be sent
        self.set_aside = 0      # dirty pages that the sync set aside
        self.deferred = 0       # all that were set aside after it

    def __str__(self):
        return (f"{self.set_aside} dirty pages set aside, {self.deferred} in "
                f"all, {self.early} clears within, {len(self.late)} after")


def rounds(vm):
    """The story that QEMU's trace events tell."""
    story = []
    for line in vm.trace_text().splitlines():
        if "migration_bitmap_sync_start" in line:
            story.append(Round())
        elif not story:
            continue
        elif "migration_bitmap_sync_end" in line:
            story[-1].syncing = False
        elif "ram_cfph_walk" in line and story[-1].syncing:
            hit = re.search(r"set_aside_pages=(\d+) deferred_pages=(\d+)", line)
            story[-1].set_aside, story[-1].deferred = map(int, hit.groups())
        elif "migration_bitmap_clear_dirty" in line:
            story[-1].asked += 1
        elif "kvm_clear_dirty_log" in line:
            hit = re.search(r"slot#(\d+) start 0x([0-9a-f]+) "
                            r"size 0x([0-9a-f]+)", line)
            if story[-1].syncing:
                story[-1].early += 1
            else:
                story[-1].late.append((int(hit[1]), int(hit[2], 16),
                                       int(hit[3], 16)))
    return story


def boot(ctx, spec):
    """A guest that is up.

    An emulated SVM has lost guests before a line of ours ran, under an unpatched
    QEMU, too.  That says nothing about hints: it is named, and tried again.
    """
    for attempt in range(1, BOOTS + 1):
        vm = ctx.vm(spec, f"src{ctx.made}")
        try:
            return vm.boot(BOOT_LIMIT)
        except VMError as err:
            if attempt == BOOTS or INIT in vm.console_text():
                raise
            ctx.say(f"boot {attempt} of at most {BOOTS}, dead before the driver "
                    f"was there: {err}")
            ctx.drop(vm)


def pair(ctx, spec):
    """A booted source and a destination that waits."""
    src = boot(ctx, spec)
    return src, ctx.destination(spec)


def start(ctx, spec):
    """The same with load on the source."""
    src, dst = pair(ctx, spec)
    need(src.qmp("query-kvm")["enabled"], "not under KVM")
    ctx.say("booted under KVM: " + src.sh("uptime").strip())
    guest.settled(src)
    load(src, stamp_mib=12, stress_mib=40, workers=2)
    # However slow this machine is: at a sync there are pages that are dirty and free.
    src.sh("churn start --mib 24")
    ctx.say("loaded: " + src.sh("free -k | grep Mem").strip())
    return src, dst


def migrate(ctx, src, dst, passes=4, enough=lambda: True, **options):
    """So many slow rounds at least, then the end; says how far it is."""
    migration = Migration(src, dst, bandwidth=SLOW, downtime_ms=1,
                          **options).start()
    for number in range(2, MOST_PASSES + 1):
        migration.wait_pass(number, 120)
        ram = migration.info()["ram"]
        ctx.say(f"round {number}: {ram['transferred'] >> 10} KiB, "
                f"{ram.get('free-pages-deferred')} pages set aside")
        if number >= passes and enough():
            break
    migration.set(max_bandwidth=UNLIMITED, downtime_limit=60_000)
    info = migration.finish(120)
    need_hints(ctx, info)
    return info


def finish(ctx, src, dst):
    """Both memories, then the guest itself."""
    compare(ctx, src, dst)
    guest.check_console(src)
    src.close()
    resume(dst)
    verify(ctx, dst)


@test("kvm-lazy-clear", 150)
def kvm_lazy_clear(ctx):
    """Manual protect (default): late KVM_CLEAR_DIRTY_LOG, no page is lost."""
    need_kvm(ctx)
    src, dst = start(ctx, KvmSpec())
    with Ioctls(ctx, KVM_GET_DIRTY_LOG, KVM_CLEAR_DIRTY_LOG) as ioctls:
        # The load decides when a page is dirty and free at a sync.
        migrate(ctx, src, dst,
                enough=lambda: any(r.set_aside for r in lazy(rounds(src))))
        counts = ioctls.counts()
    check_lazy(ctx, rounds(src), counts)
    finish(ctx, src, dst)


@test("kvm-small-chunks", 150)
def kvm_small_chunks(ctx):
    """The same with dirty-log chunks of 2 MiB: cleared one by one."""
    need_kvm(ctx)
    src, dst = start(ctx, KvmSpec(
        extra=["-global", "migration.x-clear-bitmap-shift=9"]))
    with Ioctls(ctx, KVM_GET_DIRTY_LOG, KVM_CLEAR_DIRTY_LOG) as ioctls:
        migrate(ctx, src, dst)
        counts = ioctls.counts()
    story = rounds(src)
    check_lazy(ctx, story, counts)
    chunks = src.spec.mem >> 21
    few = [r for r in story if r.set_aside and 1 < r.asked < chunks]
    ctx.say(f"chunks cleared in each round, of {chunks}: "
            f"{[r.asked for r in story]}")
    need(few, "no round cleared more than one chunk and not all")
    finish(ctx, src, dst)


def lazy(story):
    """Rounds with pages set aside, and log bits that go later."""
    return [r for r in story if r.deferred and r.late]


def check_lazy(ctx, story, counts):
    """The log is cleared late, and only where a page is sent."""
    for number, this in enumerate(story, 1):
        ctx.say(f"sync {number}: {this}")
    need(not any(r.early for r in story), "a sync cleared the log at once")
    with_hints = lazy(story)
    need(len(with_hints) >= 2 and any(r.set_aside for r in with_hints),
         "not two rounds with dirty pages set aside and the log cleared "
         "afterwards")
    need(all(r.asked for r in with_hints), "cleared, but no page asked for it")
    if counts is None:
        return
    ctx.say("the kernel counts " + ", ".join(
        f"{counts[n]} {name}" for n, name in (
            (KVM_GET_DIRTY_LOG, "KVM_GET_DIRTY_LOG"),
            (KVM_CLEAR_DIRTY_LOG, "KVM_CLEAR_DIRTY_LOG"))))
    late = sum(len(r.late) for r in story)
    need(counts[KVM_CLEAR_DIRTY_LOG] >= late > 0,
         f"{late} clears in QEMU's trace, {counts} in the kernel's")
    need(counts[KVM_GET_DIRTY_LOG] >= len(story), f"too few reads: {counts}")


@test("kvm-dirty-ring", 150)
def kvm_dirty_ring(ctx):
    """Dirty ring instead of a bitmap."""
    need_kvm(ctx)
    src, dst = start(ctx, KvmSpec(accel_opts=",dirty-ring-size=4096"))
    with Ioctls(ctx, KVM_RESET_DIRTY_RINGS, KVM_CLEAR_DIRTY_LOG) as ioctls:
        migrate(ctx, src, dst)
        counts = ioctls.counts()
    reaped = [int(n) for n in re.findall(r"kvm_dirty_ring_reap reaped (\d+)",
                                         src.trace_text())]
    ctx.say(f"{len(reaped)} times {sum(reaped)} pages taken from the ring; "
            f"the kernel counts {counts}")
    need(sum(reaped), "nothing came out of the dirty ring")
    if counts is not None:
        need(counts[KVM_RESET_DIRTY_RINGS] and
             not counts[KVM_CLEAR_DIRTY_LOG], f"ioctls: {counts}")
    finish(ctx, src, dst)


@test("kvm-dirty-limit", 240)
def kvm_dirty_limit(ctx):
    """Capability dirty-limit (needs the dirty ring): in force to the end."""
    need_kvm(ctx)
    src, dst = start(ctx, KvmSpec(accel_opts=",dirty-ring-size=4096"))
    src.sh("hot start --pages 6000")
    # QEMU looks when a round has taken a second, and sets the limit the second
    # time that the guest dirties more than this percentage of what is sent.
    # Whether a vCPU has to sleep is another matter: that takes 26 MB/s more than
    # the limit, which a nested guest does not reach.
    migration = Migration(
        src, dst, bandwidth=SLOW, downtime_ms=1, caps=("dirty-limit",),
        params={"vcpu-dirty-limit": 1, "x-vcpu-dirty-limit-period": 500,
                "throttle-trigger-threshold": 1}).start()
    wait_for(lambda: "dirty-limit-ring-full-time" in migration.info(),
             "no limit is set")
    passes = migration.info()["ram"]["dirty-sync-count"]
    migration.wait_pass(passes + 2, 120)
    migration.set(max_bandwidth=UNLIMITED, downtime_limit=60_000)
    need_hints(ctx, migration.finish(120))
    finish(ctx, src, dst)


@test("kvm-smp-ping-pong", 240)
def kvm_smp_ping_pong(ctx):
    """Two vCPUs, there and back."""
    need_kvm(ctx)
    spec = KvmSpec(smp=2)
    src, dst = start(ctx, spec)
    for hop in range(2):
        migrate(ctx, src, dst, passes=3)
        compare(ctx, src, dst)
        guest.check_console(src)
        src.close()
        resume(dst)
        verify(ctx, dst, stop=hop == 1)
        if hop == 0:
            src, dst = dst, ctx.destination(spec)


@test("kvm-mutant-stale-final", 240)
def kvm_mutant_stale_final(ctx):
    """The decision uses the map as read at the last sync: caught here, too."""
    need_kvm(ctx)
    hunt(ctx, KvmSpec(mem="320M", balloon_opts=STALE_FINAL), pair=pair)
