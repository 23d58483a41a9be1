# SPDX-License-Identifier: GPL-2.0
"""Page cache as a server has it, given back: of files, in cgroups with a limit and
without, with either kind of LRU lists, and in a guest that is out of memory.
"""

import json
import re

from cfphtest import guest, storage
from cfphtest.integrity import compare, crawl, need_hints, resume
from cfphtest.migrate import UNLIMITED
from cfphtest.registry import need, test, wait_for

FILES = {"hot": 40, "cold": 120}        # MiB; a cgroup each
HOT, COLD = (mib * 256 for mib in FILES.values())
NEW_MIB = 8
CGROUP = "/sys/fs/cgroup"
LRUS = {"lru-lists": 0, "multi-gen": 7}
KILLED = 137                            # by SIGKILL, as a shell has it
ROUNDS = 10


def boot(ctx, kind="ext4", options="commit=600,"):
    """A guest that has a file system on its disk, and cgroups."""
    image = storage.files_image(ctx.logs, FILES, kind)
    vm = ctx.vm(ctx.spec(disk=image), "guest", initrd=storage.initrd(ctx, kind)).boot()
    guest.settled(vm)
    guest.watch_map(vm)
    guest.no_writeback(vm)
    storage.mount(vm, kind, f"{options}noatime")
    vm.sh(f"mount -t cgroup2 none {CGROUP}; "
          f"echo +memory >{CGROUP}/cgroup.subtree_control; "
          f"mkdir {' '.join(f'{CGROUP}/{name}' for name in [*FILES, 'small'])}")
    return vm


def inside(group, command):
    """Shell words: in a process of that cgroup."""
    return f"sh -c 'echo 0 >{CGROUP}/{group}/cgroup.procs; {command}'"


def charged(vm):
    """{file: pages of page cache that its cgroup has}"""
    return {name: int(vm.sh("awk '$1 == \"file\" { print $2 }' "
                            f"{CGROUP}/{name}/memory.stat")) // 4096
            for name in FILES}


def read_files(vm):
    """Into the cache, the hot one three times.  Whose they are says the first read."""
    vm.sh("sync; echo 3 >/proc/sys/vm/drop_caches")
    for name, times in (("cold", 1), ("hot", 3)):
        vm.sh(inside(name, f"for i in $(seq {times}); do cat /mnt/{name}; done") +
              " >/dev/null", 120)
    have = charged(vm)
    need(have["hot"] > HOT * 9 // 10 and have["cold"] > COLD * 9 // 10,
         f"in the cache: {have}")


def sums(vm):
    """{file: its checksum, as the guest reads it}"""
    return dict(reversed(line.split()) for line in
                vm.sh(f"cd /mnt && md5sum {' '.join(FILES)}", 120).splitlines())


def given_back(ctx, vm, dirty_mib=NEW_MIB):
    """What is used stays while there is other, what is dirty stays, all else goes.

    @dirty_mib: of the NEW_MIB that are written; the file system may write some at once
    """
    read_files(vm)
    vm.sh(f"dd if=/dev/urandom of=/mnt/new bs=1M count={NEW_MIB} 2>/dev/null")
    dirty, written, swapped = guest.vmstat(vm, "nr_dirty", "nr_written", "pswpout")
    need(dirty >= dirty_mib * 256, f"{dirty} pages are dirty")

    told = guest.fpctl(vm, "reclaim 50")
    left = charged(vm)
    ctx.say(f"half: {told}, left in the cgroups: {left}")
    need(told["end"] == "done" and told["pages"] > (HOT + COLD) * 4 // 10,
         f"too few: {told}")
    need(left["hot"] > HOT * 9 // 10, "what is used went first")
    need(left["cold"] < COLD // 2, "what was read once is still there")

    told = guest.fpctl(vm, "reclaim 100")
    left = charged(vm)
    ctx.say(f"all: {told}, left in the cgroups: {left}")
    need(left["hot"] < HOT // 10 and left["cold"] < COLD // 10, "it is still there")
    now = guest.vmstat(vm, "nr_dirty", "nr_written", "pswpout")
    need(now[0] >= dirty and now[1:] == [written, swapped],
         f"something was written: {dirty, written, swapped}, then {now}")
    vm.sh("rm /mnt/new")
    ctx.say(guest.check_map(vm))


@test("reclaim-files", 400)
def reclaim_files(ctx):
    """Files of an ext4, in cgroups, with both kinds of LRU lists."""
    vm = boot(ctx)
    wanted = sums(vm)
    for name, value in LRUS.items():
        vm.sh(f"echo {value} >/sys/kernel/mm/lru_gen/enabled")
        ctx.say(name)
        given_back(ctx, vm)
        need(sums(vm) == wanted, "the files read differently")
    guest.check_console(vm)


@test("reclaim-large-folios", 400)
def reclaim_large_folios(ctx):
    """Files of an XFS, which has them in the cache by more than a page."""
    vm = boot(ctx, "xfs", "")
    added = f"{guest.TRACING}/events/filemap/mm_filemap_add_to_page_cache"
    vm.sh(f"echo hist:keys=order >{added}/trigger")
    wanted = sums(vm)
    orders = {int(order): int(count) for order, count in re.findall(
        r"order: +(\d+) .*hitcount: +(\d+)", vm.sh(f"cat {added}/hist"))}
    vm.sh(f"echo '!hist:keys=order' >{added}/trigger")
    ctx.say(f"folios that came into the cache, by order: {orders}")
    large = sum(count << order for order, count in orders.items() if order)
    need(large > (HOT + COLD) * 9 // 10, "few are large")
    given_back(ctx, vm, NEW_MIB // 2)
    need(sums(vm) == wanted, "the files read differently")
    guest.check_console(vm)


@test("reclaim-limited", 300)
def reclaim_limited(ctx):
    """Beside a cgroup that reclaims for itself all the time, for it may have little."""
    vm = boot(ctx)
    vm.sh(f"echo 16M >{CGROUP}/small/memory.max; "
          "(until [ -e /run/stop ]; do " +
          inside("small", "cat /mnt/cold") + " >/dev/null || exit; "
          "echo >>/run/reads; done; echo >/run/stopped) >/dev/null 2>&1 &")
    total = reads = 0
    while total < COLD // 10 or reads < 3:
        told = guest.fpctl(vm, "reclaim 100")
        need(told["end"] == "done", f"it ended early: {told}")
        total += told["pages"]
        reads = int(vm.sh("cat /run/reads 2>/dev/null | wc -l"))
    vm.sh("echo >/run/stop; " + guest.until("[ -e /run/stopped ]"), 60)
    events = dict(line.split() for line in
                  vm.sh(f"cat {CGROUP}/small/memory.events").splitlines())
    ctx.say(f"{total} pages given back, the file read {reads} times, {events}")
    need(int(events["max"]) and not int(events["oom_kill"]), f"events: {events}")
    ctx.say(guest.check_map(vm))
    guest.check_console(vm)


# --- out of memory ---

def out_of_memory(vm, times):
    """Somebody wants more than there is, again and again, and is killed each time."""
    vm.victim = "memhog"
    vm.sh(f"for i in $(seq {times}); do memhog --percent 150 >/dev/null 2>&1; "
          f"[ $? = {KILLED} ] || exit 1; done", 240)


@test("reclaim-oom", 400)
def reclaim_oom(ctx):
    """Out of memory, again and again, while it is given back by hand."""
    vm = ctx.vm(ctx.spec(mem="256M", disk=storage.random_image(ctx.logs, 96)),
                "guest").boot()
    guest.settled(vm)
    guest.watch_map(vm)
    vm.sh("stamp start --mib 16; "
          "(until [ -e /run/stop ]; do cat /dev/vda >/dev/null; done) & "
          "(until [ -e /run/stop ]; do fpctl -j reclaim 100 || echo \"exit $?\"; done; "
          "echo >/run/stopped) >/run/said 2>&1 &")
    killed, = guest.vmstat(vm, "oom_kill")
    out_of_memory(vm, ROUNDS)
    need(guest.vmstat(vm, "oom_kill")[0] >= killed + ROUNDS, "nobody was killed")
    vm.sh("echo >/run/stop; " + guest.until("[ -e /run/stopped ]"), 60)
    said = vm.sh("cat /run/said").splitlines()
    need(not [line for line in said if "exit" in line], f"it said: {said[-10:]}")
    ends = [json.loads(line)["end"] for line in said if line.startswith("{")]
    count = {end: ends.count(end) for end in set(ends)}
    ctx.say(f"{ROUNDS} times out of memory, given back: {count}")
    need(ends and set(ends) <= {"done", "low-memory"}, f"ends: {count}")
    guest.check_stamp(vm)
    ctx.say(guest.check_map(vm))
    guest.check_console(vm)


@test("reclaim-oom-migrate", 400)
def reclaim_oom_migrate(ctx):
    """Out of memory while a migration has all page cache given back."""
    spec = ctx.spec(mem="256M", disk=storage.random_image(ctx.logs, 96))
    src, dst = ctx.pair(spec)
    guest.settled(src)
    guest.watch_map(src)
    src.sh("fpctl set reclaim 100; stamp start --mib 16")
    guest.cache_disk(src)
    migration = crawl(src, dst)
    out_of_memory(src, 2)
    wait_for(lambda: guest.fpctl(src, "stats")["reclaim-ns"], "nothing is given back")
    migration.set(max_bandwidth=UNLIMITED, downtime_limit=10_000)
    need_hints(ctx, migration.finish())
    compare(ctx, src, dst)
    resume(dst)
    guest.check_stamp(dst)
    out_of_memory(dst, 1)
    guest.check_stamp(dst)
    ctx.say(guest.check_map(dst))
    guest.check_console(src, dst)
