# SPDX-License-Identifier: GPL-2.0
"""Ways through the page allocator that a guest takes once in a lifetime.

Each time the map must be what the buddy lists are, all of it, and the pages that
went the rare way are looked at one by one, too.  That the hooks there are needed is
shown by mutant-drop-*.
"""

import re

from cfphtest import guest, pageflags
from cfphtest.integrity import arrive, load, need_hints, several_rounds
from cfphtest.pageflags import HUGE, HWPOISON, OFFLINE, THP
from cfphtest.registry import need, test, wait_for

from .hooks import DIMM_PFN, MEMORY, SPARE_DIMM

HWPOISON_FILES = "/sys/kernel/debug/hwpoison"
THP_ENABLED = "/sys/kernel/mm/transparent_hugepage/enabled"
POISONS = ("soft", "hard")


def booted(ctx, online="", **fields):
    """A guest whose map is there; with @online, memory32 is online like that."""
    vm = ctx.vm(ctx.spec(**fields), "guest").boot()
    guest.settled(vm)
    if online:
        vm.sh(f"echo {online} >{MEMORY}/memory32/state")
    return vm


def check(ctx, vm, what):
    ctx.say(f"{what}: {guest.check_map(vm)}")
    guest.check_console(vm)


# --- broken pages ---

def poison(vm, pfn, how):
    """The page is broken from now on, and so nobody's."""
    vm.sh(f"echo {pfn} >{HWPOISON_FILES}/corrupt-pfn" if how == "hard" else
          f"echo {pfn << 12} >{MEMORY}/soft_offline_page")
    need(pageflags.flags(vm, pfn)[0] & HWPOISON, f"{pfn:#x} is not poisoned")
    need(not pageflags.free_in_map(vm, pfn), f"{pfn:#x} is free in the map")


def heal(vm, pfn):
    vm.sh(f"echo {pfn} >{HWPOISON_FILES}/unpoison-pfn")
    need(not pageflags.flags(vm, pfn)[0] & HWPOISON, f"{pfn:#x} is poisoned")


@test("rare-poison-free")
def poison_free(ctx):
    """Free pages break, by soft and hard offline, and are healed."""
    vm = booted(ctx, "online_movable", **SPARE_DIMM)
    for how, first in zip(POISONS, (0x4000, 0x6000)):
        # Each in a block of its own: what is left of it is the next to be used.
        pfns = [DIMM_PFN + first + n for n in (0x3, 0x404, 0xc00, 0x1fff)]
        for pfn in pfns:
            need(pageflags.free_in_map(vm, pfn), f"{pfn:#x} is not free")
            poison(vm, pfn, how)
            check(ctx, vm, f"{how}, {pfn:#x}")
        for pfn in pfns:
            heal(vm, pfn)
            check(ctx, vm, f"healed, {pfn:#x}")


def poison_used(ctx, vm, how, flag):
    """A page of a process breaks; @flag: of a page like that."""
    vm.sh("stamp start --mib 16")
    pfns = pageflags.frames(vm, pageflags.pid_of(vm, "stamp"))
    pfn = pageflags.first_with(vm, pfns[-1::-101], flag or THP, bool(flag))
    poison(vm, pfn, how)
    if how == "soft":
        guest.check_stamp(vm)
        need(pfn not in pageflags.frames(vm, pageflags.pid_of(vm, "stamp")),
             f"{pfn:#x} is still in use")
    check(ctx, vm, f"{how}, {pfn:#x}")
    guest.kill(vm, "stamp")
    check(ctx, vm, "its owner has gone")
    heal(vm, pfn)
    check(ctx, vm, "healed")


@test("rare-poison-used")
def poison_used_page(ctx):
    """A page that a process has breaks; afterwards it is free."""
    vm = booted(ctx, "online_movable", **SPARE_DIMM)
    vm.sh(f"echo never >{THP_ENABLED}")
    for how in POISONS:
        poison_used(ctx, vm, how, 0)


@test("rare-poison-thp")
def poison_thp(ctx):
    """The same in a transparent huge page, which is split for it."""
    vm = booted(ctx, "online_movable", **SPARE_DIMM)
    vm.sh(f"echo always >{THP_ENABLED}")
    for how in POISONS:
        poison_used(ctx, vm, how, THP)


@test("rare-poison-balloon")
def poison_balloon(ctx):
    """A page in the balloon breaks: another one is put there in its place."""
    vm = booted(ctx, "online_movable", **SPARE_DIMM)
    guest.balloon(vm, (vm.spec.mem >> 20) + 128 - 160)
    pfn = pageflags.first_with(vm, range(DIMM_PFN + 1, DIMM_PFN + 0x4000, 77), OFFLINE)
    need(pageflags.free_in_map(vm, pfn), f"{pfn:#x} is in the balloon, and not free")
    poison(vm, pfn, "soft")
    check(ctx, vm, f"soft, {pfn:#x}")
    guest.balloon(vm, (vm.spec.mem >> 20) + 128)
    need(not pageflags.free_in_map(vm, pfn), f"{pfn:#x} is free in the map")
    check(ctx, vm, "deflated")
    heal(vm, pfn)
    check(ctx, vm, "healed")


def pool(vm, pages):
    """Huge pages, all of the pool's; their frames that are in the DIMM."""
    vm.sh(f"echo {pages} >/proc/sys/vm/nr_hugepages")
    words = pageflags.flags(vm, DIMM_PFN, 128 << 8)
    return [DIMM_PFN + n for n in range(0, len(words), pageflags.HUGE_PAGES)
            if words[n] & HUGE]


@test("rare-poison-hugetlb")
def poison_hugetlb(ctx):
    """Pages of the hugetlb pool break, both free and in use."""
    vm = booted(ctx, "online_movable", **SPARE_DIMM)
    for how in POISONS:
        for used in (False, True):
            heads = pool(vm, 8)
            need(len(heads) == 8, f"huge pages in the DIMM: {heads}")
            if used:
                vm.sh("mkdir -p /tmp/huge && mount -t hugetlbfs huge /tmp/huge && "
                      "fallocate -l 16M /tmp/huge/f")
            pfn = heads[3] + 77
            poison(vm, pfn, how)
            check(ctx, vm, f"{how}, {pfn:#x}, {'used' if used else 'free'}")
            if used:
                vm.sh("umount /tmp/huge")
            vm.sh("echo 0 >/proc/sys/vm/nr_hugepages")
            check(ctx, vm, "no pool")
            # Which of its pages that was has been forgotten in one case.
            heal(vm, heads[3] if used and how == "hard" else pfn)
            check(ctx, vm, "healed")


# --- contiguous areas ---

@test("rare-cma")
def cma(ctx):
    """An area of contiguous memory that others use meanwhile is taken, and freed."""
    vm = booted(ctx, kernel_args="cma=64M")
    area = "cd /sys/kernel/debug/cma/*/"
    vm.sh("stamp start --mib 230")
    first = int(vm.sh(f"{area} && cat base_pfn"))
    there = sum(first <= (pfn or 0) < first + (64 << 8) for pfn in
                pageflags.frames(vm, pageflags.pid_of(vm, "stamp")))
    ctx.say(f"{there} pages of a process are in the area")
    need(there, "nobody uses the area")
    taken = 0
    for pages in (1, 3, 512, 1000, 1024, 4096):
        vm.sh(f"{area} && echo {pages} >alloc")
        taken += pages
        check(ctx, vm, f"{taken} pages taken")
        code, _ = vm.run(f"{area} && echo 20000 >alloc")
        need(code, "more than there is")
        guest.check_map(vm)
    used = int(vm.sh(f"{area} && cat used"))
    need(used == taken, f"{used} pages taken, not {taken}")
    guest.check_stamp(vm)
    for pages in (1, 2, 700, 1024, 2048, taken - 3775):
        vm.sh(f"{area} && echo {pages} >free")
        check(ctx, vm, f"{pages} pages given back")
    need(int(vm.sh(f"{area} && cat used")) == 0, "pages are still taken")


@test("rare-gigantic")
def gigantic(ctx):
    """A huge page of 1 GiB at run time: alloc_contig_range(), demoted, and freed."""
    vm = booted(ctx, mem="3G", extra=(
        () if ctx.accel == "kvm" else ("-cpu", "qemu64,+pdpe1gb")))
    giga = "cd /sys/kernel/mm/hugepages/hugepages-1048576kB"

    def number(name="nr_hugepages"):
        return int(vm.sh(f"{giga} && cat {name}"))

    vm.sh("stamp start --mib 200")
    for _ in range(3):
        free = guest.fpctl(vm)["free-pages"]
        vm.sh(f"{giga} && echo 1 >nr_hugepages")
        need(number() == 1, "no page of 1 GiB")
        check(ctx, vm, "taken")
        less = free - guest.fpctl(vm)["free-pages"]
        need(less > 250 << 10, f"only {less} pages less are free")
        vm.sh(f"{giga} && echo 0 >nr_hugepages")
        need(number() == 0, "it has not gone")
        check(ctx, vm, "given back")
    vm.sh(f"{giga} && echo 1 >nr_hugepages && echo 1 >demote")
    check(ctx, vm, "demoted")
    need(int(vm.sh("cat /proc/sys/vm/nr_hugepages")) == 512, "not 512 of 2 MiB")
    vm.sh("echo 0 >/proc/sys/vm/nr_hugepages")
    check(ctx, vm, "given back in pieces")
    guest.check_stamp(vm)


# --- memory blocks ---

def state(vm, block):
    return vm.sh(f"cat {MEMORY}/{block}/state").strip()


@test("rare-offline-loop")
def offline_loop(ctx):
    """A block goes offline and online while it is used, as each kind of memory."""
    vm = booted(ctx, "online_movable", **SPARE_DIMM)
    vm.sh("stamp start --mib 200")      # some of it there
    block = f"{MEMORY}/memory32/state"
    kinds = ["online_movable"] * 6 + ["online_kernel", "online_movable"]
    for kind in kinds:
        code, text = vm.run(f"echo offline >{block}", 120)
        if code:
            # Its good right, once the kernel itself has used it.
            need(kind == kinds[-1], f"it stays: {text}")
            check(ctx, vm, f"as memory of the kernel: {text.strip()}")
            break
        check(ctx, vm, "offline")
        need(not pageflags.free_in_map(vm, DIMM_PFN + 0x4003), "free in the map")
        vm.sh(f"echo {kind} >{block}")
        check(ctx, vm, kind)
    guest.check_stamp(vm)


def isolated(vm):
    """Pageblocks that are isolated now."""
    rows = re.findall(r"^Node .*", vm.sh("cat /proc/pagetypeinfo").split(
        "Number of blocks type")[1], re.M)
    return sum(int(row.split()[-1]) for row in rows)


@test("rare-offline-undone")
def offline_undone(ctx):
    """A block goes offline for ever, until that is given up: all of it comes back."""
    vm = booted(ctx, "online_movable", **SPARE_DIMM)
    # A pipe that nobody reads has pages of the file, which so cannot be moved.
    vm.sh("dd if=/dev/urandom of=/tmp/f bs=1M count=40 2>/dev/null; "
          "(cat /tmp/f | exec sleep 1000) >/dev/null 2>&1 &")
    digest = vm.sh("md5sum /tmp/f")
    for _ in range(3):
        vm.sh(f"(echo offline >{MEMORY}/memory32/state) >/dev/null 2>&1 & "
              "echo $! >/run/pid")
        wait_for(lambda: isolated(vm) == 64, "not isolated")
        need(state(vm, "memory32") == "going-offline", state(vm, "memory32"))
        vm.sh("kill $(cat /run/pid)")
        wait_for(lambda: state(vm, "memory32") == "online", "it is not given up")
        need(not isolated(vm), f"{isolated(vm)} blocks are isolated")
        check(ctx, vm, "given up")
    guest.kill(vm, "sleep")
    vm.sh(f"echo offline >{MEMORY}/memory32/state")     # that was the reason
    check(ctx, vm, "offline")
    need(vm.sh("md5sum /tmp/f") == digest, "contents have changed")


@test("rare-offline-refused")
def offline_refused(ctx):
    """Memory of the kernel is met when a part of the block is isolated already."""
    vm = booted(ctx, "online_kernel", **SPARE_DIMM)
    vm.sh("stamp start --mib 60")       # takes the lower part
    vm.sh("mkdir /tmp/d && cd /tmp/d && for i in $(seq 4000); do : >$i; done")
    words = pageflags.flags(vm, DIMM_PFN, 128 << 8)
    slab = [n for n, word in enumerate(words) if word & pageflags.SLAB]
    need(slab and slab[-1] > pageflags.HUGE_PAGES, f"no slab pages: {slab[:9]}")
    ctx.say(f"{len(slab)} slab pages, from page {slab[0]} of the block on")
    for _ in range(5):
        code, text = vm.run(f"echo offline >{MEMORY}/memory32/state")
        need(code and "busy" in text, f"no refusal: {code} {text}")
        need(not isolated(vm), f"{isolated(vm)} blocks are isolated")
        check(ctx, vm, "refused")
    guest.check_stamp(vm)


# --- page reporting ---

def reported(vm):
    """Fill memory, and free it; returns when most of it has been reported."""
    guest.occupy(vm, "--percent 60 --hold")
    full = vm.rss_kib()
    guest.kill(vm, "memhog")
    wait_for(lambda: vm.rss_kib() < full - (200 << 10), "nothing is reported")
    return f"QEMU: {full} KiB, then {vm.rss_kib()}"


@test("rare-reporting", 240)
def reporting(ctx):
    """Free page reporting takes blocks off the lists, and puts them back."""
    vm = booted(ctx, mem="512M", balloon_opts=["free-page-reporting=on"])
    # A report takes some milliseconds.
    vm.sh(f"echo 1 >{guest.debugfs('verify_random_ms')}")
    for _ in range(4):
        ctx.say(reported(vm))
        check(ctx, vm, "reported")
    load(vm, stress_mib=100)
    dst = ctx.destination(vm.spec)
    need_hints(ctx, several_rounds(vm, dst))
    arrive(ctx, vm, dst)
