# SPDX-License-Identifier: GPL-2.0
"""A forgotten hook is loud.

Seven places of the page allocator tell the map what becomes free and what does not
stay so, and one of balloons.  For each of them: what a guest has to do to get there,
that the map is right after that, and that it is noticed when that one hook is left
out: by the assertion where pages are handed out, or by the oracle.
"""

import itertools

from cfphtest import guest
from cfphtest.registry import need, test, wait_for

from .mutants import guest_mutant

MEMORY = "/sys/devices/system/memory"
DIMM = f"{MEMORY}/memory32"             # the first block above 4 GiB
DIMM_PFN = 1 << 20
HANDED_OUT = "is handed out, but free in the map"
DIFFERS = "in the map, but "            # of the oracle
# Compaction that succeeds need not have captured a block.
TRIES = 10

# Memory that nobody uses yet, for Spec.
SPARE_DIMM = {"mem_opts": "slots=1,maxmem=1G", "dimms": ["128M"],
              "kernel_args": "memhp_default_state=offline"}


def noticed(vm):
    """What the kernel says of its map, "" if nothing."""
    lines = [line for line in vm.console_text().splitlines()
             if HANDED_OUT in line or DIFFERS in line]
    return lines[0].strip() if lines else ""


def forgotten(ctx, hook, drive, by, **fields):
    """@drive goes through @hook: nothing is wrong; without it: loud."""
    vm = ctx.vm(ctx.spec(**fields), "guest").boot()
    guest.settled(vm)
    drive(vm)
    ctx.say(guest.check_map(vm))
    guest.check_console(vm)

    guest_mutant(f"drop_{hook}")(vm)
    for n in range(TRIES):
        drive(vm)
        if by == DIFFERS:
            vm.sh(f"cat {guest.debugfs('verify')}")
        vm.sh(f"echo driven {n} >/dev/console") # behind what the kernel says
        wait_for(lambda: f"driven {n}" in vm.console_text(), "no console")
        if by in noticed(vm):
            break
    need(by in noticed(vm), "nobody has noticed")
    ctx.say(f"drive {n + 1}: {noticed(vm)}")


def fill(vm):
    vm.sh("memhog --percent 40")


@test("mutant-drop-freed")
def drop_freed(ctx):
    """A block is freed: without that hook it stays used in the map."""
    forgotten(ctx, "freed", fill, DIFFERS)


@test("mutant-drop-expand")
def drop_expand(ctx):
    """A part of a free block is handed out, the usual way."""
    forgotten(ctx, "page_del_and_expand", fill, HANDED_OUT)


@test("mutant-drop-steal")
def drop_steal(ctx):
    """A whole pageblock changes its type for an unmovable page."""
    def unmovable(vm):
        # Those of the last time are unmovable already.
        vm.sh("mkdir -p /tmp/ram; mount -t ramfs ramfs /tmp/ram; "
              f"dd if=/dev/zero of=/tmp/ram/f bs=1M count={next(sizes)} "
              "2>/dev/null; umount /tmp/ram")

    sizes = itertools.count(60, 60)
    forgotten(ctx, "try_to_steal_block", unmovable, HANDED_OUT)


@test("mutant-drop-capture", 300)
def drop_capture(ctx):
    """Compaction takes the block that it has just made, past the lists."""
    def huge(vm):
        guest.occupy(vm, f"--mib {next(sizes)} --holes")
        # After a failure the kernel lets up to 64 attempts pass without compaction.
        ctx.say("attempts, and compactions that succeeded: " + vm.sh(
            "good() { sed -n 's/compact_success //p' /proc/vmstat; }; "
            "before=$(good); n=0; "
            "while [ $n -lt 200 ] && [ $(good) = $before ]; do n=$((n + 1)); "
            "echo 80 >/proc/sys/vm/nr_hugepages; done; "
            "echo $n $(($(good) - before)); "
            "echo 0 >/proc/sys/vm/nr_hugepages", 60).strip())
        guest.kill(vm, "memhog")        # its memory has to be back before the next one
    sizes = itertools.cycle((240, 200, 260))
    forgotten(ctx, "__free_one_page", huge, HANDED_OUT)


@test("mutant-drop-isolate")
def drop_isolate(ctx):
    """Free pages are isolated, for an area of contiguous memory."""
    def cma(vm):
        vm.sh("cd /sys/kernel/debug/cma/*/ && echo 1024 >alloc && "
              "echo 1024 >free")
    forgotten(ctx, "__isolate_free_page", cma, HANDED_OUT,
              kernel_args="cma=16M")


@test("mutant-drop-offline")
def drop_offline(ctx):
    """Memory goes offline."""
    def offline(vm):
        vm.sh(f"echo online_movable >{DIMM}/state; echo offline >{DIMM}/state")
    forgotten(ctx, "__offline_isolated_pages", offline, DIFFERS,
              **SPARE_DIMM)


@test("mutant-drop-poison")
def drop_poison(ctx):
    """A free page turns out to be broken, and is taken off its list."""
    def poison(vm):
        # In the middle of a DIMM that nobody uses yet; the second time it is
        # healed first.
        pfn = DIMM_PFN + 0x4003
        vm.sh(f"[ $(cat {DIMM}/state) = online ] || "
              f"echo online_movable >{DIMM}/state; "
              "cd /sys/kernel/debug/hwpoison; "
              f"echo {pfn} >unpoison-pfn; echo {pfn} >corrupt-pfn")
    forgotten(ctx, "take_page_off_buddy", poison, DIFFERS, **SPARE_DIMM)


@test("mutant-drop-deflate")
def drop_deflate(ctx):
    """A page leaves the balloon, and comes to its next owner past the lists."""
    def in_and_out(vm):
        mib = vm.spec.mem >> 20
        guest.balloon(vm, mib - 64)
        guest.balloon(vm, mib)
        vm.sh("memhog --mib 16")
    forgotten(ctx, "cfph_page_deflating", in_and_out, HANDED_OUT)
