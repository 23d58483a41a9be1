# SPDX-License-Identifier: GPL-2.0
"""The integrity test: a migration under load loses no page that is owned.

Every variant goes the same way: load the guest, migrate it in a way that makes
several rounds, compare all memory with the destination still held, let it run,
and have the load check all that it holds.
"""

from . import docpages, guest, oracle
from .migrate import UNLIMITED, Migration
from .registry import need, wait_for
from .vm import VMError

SLOW = 40_000_000       # bytes a second: pages change while a round is sent
# With a downtime limit of 1 ms this allows a rest of 64 bytes, which is none:
# it does not end even while the guest boots and has next to nothing in use.
CRAWL = 64_000


PROPERTY = "continuous-free-page-hint"


class Lost(VMError):
    """The destination does not have what the source had."""


def load(vm, stamp_mib=24, stress_mib=None, workers=3):
    """Start the workloads; returns when memory has been used up once."""
    if vm.spec.hints == "cfph":
        guest.watch_map(vm)
    vm.sh(f"stamp start --mib {stamp_mib}")
    stress_mib = stress_mib or (vm.spec.mem >> 20) * 35 // 100
    disk = " --disk /dev/vda" if vm.spec.disk else ""
    vm.sh(f"stress start --mib {stress_mib} --workers {workers}{disk}", 120)
    guest.check_stress(vm)


def several_rounds(src, dst, passes=4, middle=None, **options):
    """Migrate slowly for some rounds, then let it converge.

    `middle` is called with the migration while it is still slow.
    """
    options.setdefault("bandwidth", SLOW)
    migration = Migration(src, dst, downtime_ms=1, **options).start()
    migration.wait_pass(2, 120)
    if middle:
        middle(migration)
    # A smaller rest than this does not exist, so it cannot end by itself.
    migration.set(max_bandwidth=SLOW * 5)
    migration.wait_pass(passes, 120)
    migration.set(max_bandwidth=UNLIMITED, downtime_limit=10_000)
    return migration.finish()


def long_round(src, dst):
    """One slow round, then the stop, with no dirty-bitmap sync in between.

    A downtime limit of 0 is never met by a rest that is not nothing, so QEMU
    looks at the dirty log again only when it has stopped the guest: the pages
    that were free seconds ago, and those that are free now, differ most.
    """
    return Migration(src, dst, bandwidth=SLOW * 2,
                     downtime_ms=0).start().finish()


def compare(ctx, src, dst, **options):
    """Raise Lost unless every page that differs was free, and the map true."""
    verdict = oracle.compare(src, dst, ctx.logs, **options)
    ctx.say(f"memory: {verdict}")
    if verdict.lost or verdict.map_lies or verdict.map_gaps:
        raise Lost(f"memory comparison: {verdict}")
    if verdict.skipped and not verdict.map_leaves:
        raise Lost(f"{verdict.skipped} pages were left out, and there is no map")
    return verdict


def check_stopped_map(ctx, vm):
    """Stop the guest for a look at its registered map, which must be true."""
    vm.qmp("stop")
    verdict = oracle.check_stopped_map(vm, ctx.logs)
    vm.qmp("cont")
    need(verdict.map_leaves, "no map is registered")
    need(not verdict.map_lies and not verdict.map_gaps, f"map: {verdict}")
    return verdict


def check_map_midway(ctx, migration, rate):
    """The same in the middle of a migration at that rate.

    It gets on while the guest stands still, and must not come to its end.
    """
    migration.set(max_bandwidth=CRAWL)
    verdict = check_stopped_map(ctx, migration.src)
    migration.set(max_bandwidth=rate)
    return verdict


def need_in_balloon(verdict, mib):
    """The balloon is that large, and all of it is free for the map."""
    # compaction may have a page in two places
    need(abs(verdict.offline - mib * 256) < 4 and
         abs(verdict.balloon - verdict.offline) < 4,
         f"not {mib} MiB in the balloon: {verdict}")


def wait_registered(src):
    """Until the device has the map of the kernel that runs now."""
    wait_for(lambda: guest.cfph_status(src)["registered"],
             f"{src.name}: no map registered")


def need_map(vm):
    """The device has a map, with no migration and nobody asking."""
    status = guest.cfph_status(vm)
    need(status["registered"], f"{vm.name}: no map is registered: {status}")


def trim_lists(vm):
    """Have the guest give back what its per-cpu lists hold for who allocates next.

    That is not free for us, and nobody can ask for it when the guest has been
    stopped; so it is told before, as the operator's guide says.
    """
    vm.sh("fpctl reclaim 0")


def crawl(src, dst=None):
    """A migration that goes on until somebody lets it end, or ends it."""
    return Migration(src, dst, bandwidth=CRAWL, downtime_ms=1).start()


def crawl_in_second_round(vm, bandwidth, limit=60):
    """A migration that does not end, in the second round: per-cpu lists are short."""
    drains = guest.fpctl(vm, "stats")["drains"]
    # Something has to be dirty, or the first round is the last one.
    vm.sh("stress start --mib 64 --workers 1", limit)
    migration = Migration(vm, None, bandwidth=bandwidth, downtime_ms=1).start()
    migration.wait_pass(2, max(limit, 120))
    migration.set(max_bandwidth=CRAWL)
    # one at START, and one when the lists become short
    wait_for(lambda: guest.fpctl(vm, "stats")["drains"] >= drains + 2,
             f"{vm.name}: no pass of the second round has been made", limit)
    vm.sh("stress stop", limit)
    return migration


def emptied(vm, percent, stamp_mib):
    """Boot a guest that has little in use, and old contents in all that is free."""
    vm.boot()
    guest.settled(vm)
    vm.sh(f"memhog --percent {percent}", 120)
    vm.sh(f"stamp start --mib {stamp_mib}")
    trim_lists(vm)
    return vm


def go_on(vm):
    """A guest that has been migrated away, or saved, runs here again."""
    def done():
        try:
            vm.qmp("cont")
            return True
        except vm.QMPExecuteError as err:
            # "completed" is told a moment before that is over
            need("not finalized yet" in str(err), str(err))
            return False
    wait_for(done, f"{vm.name}: the migration is not finalized")


def stand_still(vm):
    """Whatever a save has left it in."""
    go_on(vm)
    vm.qmp("stop")


def resume(dst):
    dst.qmp("cont")


def verify(ctx, vm, stop=True):
    """The running guest: load, stamps, map, kernel log."""
    counts = guest.check_stress(vm, "stop" if stop else "check")
    ctx.say(f"{vm.name}: stress: " +
            " ".join(f"{k}={v}" for k, v in counts.items()))
    guest.check_stamp(vm)
    if vm.spec.hints == "cfph":
        ctx.say(f"{vm.name}: map: {guest.check_map(vm)}")
    if stop:
        guest.check_leaks(vm)
    guest.check_console(vm)


def arrive(ctx, src, dst):
    """All memory is right, the guest goes on and finds the same."""
    verdict = compare(ctx, src, dst)
    resume(dst)
    verify(ctx, dst)
    guest.check_console(src)
    return verdict


def say_hints(ctx, info):
    """One line about a migration; returns the number of pages skipped."""
    ram = info["ram"]
    skipped = ram.get("free-pages-skipped")
    ctx.say(f"migration: {info['total-time']} ms, downtime "
            f"{info['downtime']} ms, {ram['dirty-sync-count']} rounds, "
            f"{ram['transferred'] >> 10} KiB, deferred "
            f"{ram.get('free-pages-deferred')}, skipped {skipped}")
    return skipped


def need_refusal(ctx, src, dst):
    """A destination that lacks the feature has ended before it had any memory: it names
    the property, and the source has not even stopped its guest."""
    dst_said = wait_for(lambda: PROPERTY in dst.said() and dst.said().strip(),
                        f"{dst.name} does not say why: {dst.said()}", 10)
    ctx.say("destination: " + dst_said.replace("\n", " | "))
    docpages.need_quoted(docpages.HOST, "Unknown savevm section", dst_said)
    src.take_events()
    need(not any(e["event"] == "STOP" for e in src.events), "the guest was stopped")


def need_hints(ctx, info):
    """The hints have had an effect, or the test would prove nothing."""
    need(say_hints(ctx, info), f"no page was skipped: {info['ram']}")


def integrity(ctx, spec, hops=1, hints=True, stress_mib=None,
              way=several_rounds, **options):
    """The whole way, `hops` times; memory is compared after each hop."""
    src, dst = ctx.pair(spec)
    load(src, stress_mib=stress_mib)
    for hop in range(hops):
        info = way(src, dst, **options)
        if hints:
            need_hints(ctx, info)
        compare(ctx, src, dst)
        guest.check_console(src)
        src.close()
        resume(dst)
        last = hop == hops - 1
        verify(ctx, dst, stop=last)
        if not last:
            src, dst = dst, ctx.destination(spec)
    return dst
