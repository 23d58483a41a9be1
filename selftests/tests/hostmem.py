# SPDX-License-Identifier: GPL-2.0
"""What the host makes a guest's RAM of: 2 MiB pages, of which there may be too few, and
pages that are in swap.

A page that is left out has no memory on the destination until the guest writes to it.
With huge pages that are not reserved there may be none then; QEMU says so before
anything has been sent.  (Both sides, and postcopy: postcopy.py.)
"""

import contextlib
import os
import signal

from cfphtest import config, docpages, guest, hints
from cfphtest.agent import AgentError
from cfphtest.hugepages import guests_on_huge_pages
from cfphtest.integrity import (arrive, compare, emptied, go_on, load, need_hints,
                                resume, several_rounds)
from cfphtest.migrate import Migration
from cfphtest.postcopy import MEM, STRESS_MIB
from cfphtest.registry import Failure, need, test, wait_for
from cfphtest.swap import swap_file, swap_out, swapped
from cfphtest.vm import QemuDied, VMError

MEM_BYTES = config.parse_size(MEM)
WARNING = "huge pages that are not reserved"


# --- one side only: postcopy wants the same page size on both ---

def one_side(ctx, src_backend, dst_backend):
    with guests_on_huge_pages(ctx, MEM_BYTES):
        src, dst = ctx.pair(ctx.spec(mem=MEM, backend=src_backend),
                            ctx.spec(mem=MEM, backend=dst_backend))
        guest.settled(src)
        src.sh("memhog --percent 85", 120)
        load(src, stress_mib=STRESS_MIB)
        info = several_rounds(src, dst)
        need(info["ram"]["free-pages-skipped"], "no page was skipped")
        arrive(ctx, src, dst)
        need(WARNING not in dst.said(), dst.said())


@test("migrate-hugetlb-source", 240)
def migrate_hugetlb_source(ctx):
    """RAM of 2 MiB pages on the source only."""
    one_side(ctx, "hugetlb", "memfd")


@test("migrate-hugetlb-destination", 240)
def migrate_hugetlb_destination(ctx):
    """RAM of 2 MiB pages on the destination only, reserved: no warning."""
    one_side(ctx, "memfd", "hugetlb")


# --- a pool that is too small ---

def lands_in(ctx, src, opts):
    """A destination with three pages for each five of the guest."""
    dst = ctx.destination(src.spec.but(backend="hugetlb", backend_opts=opts))
    return dst, Migration(src, dst)


def need_death(vm, act=lambda: None):
    """QEMU has no memory to give, and ends with SIGBUS."""
    try:
        # Its connections end a moment before it does.
        with contextlib.suppress(AgentError):
            act()
        wait_for(vm.check_alive, f"{vm.name} has found memory", 20)
    except QemuDied as err:
        need(f"ended with -{signal.SIGBUS:d}" in str(err), str(err))


@test("migrate-hugetlb-unreserved", 240)
def migrate_hugetlb_unreserved(ctx):
    """A pool too small: without hints it fails in time; with them QEMU warns."""
    with guests_on_huge_pages(ctx, MEM_BYTES * 3 // 5, alone=True):
        src = emptied(ctx.vm(ctx.spec(mem=MEM, backend="memfd"), "src"), 85, 8)
        try:
            lands_in(ctx, src, "")
        except VMError as err:
            need("Cannot allocate memory" in str(err), str(err))
        else:
            raise Failure("a pool that is too small has been reserved")

        hints.switch(src, False)
        dst, migration = lands_in(ctx, src, "reserve=off")
        need(migration.start().wait_end() == "failed", "without hints: not failed")
        need_death(dst)
        guest.check_stamp(src)
        ctx.drop(dst)

        hints.switch(src, True)
        dst, migration = lands_in(ctx, src, "reserve=off")
        need_hints(ctx, migration.start().finish())
        ctx.say(dst.said().strip())
        need(dst.said().count(WARNING) == 1, f"no warning: {dst.said()}")
        docpages.need_quoted(docpages.HOST, "warning: migration: memory", dst.said())
        resume(dst)
        guest.check_stamp(dst)
        need_death(dst, lambda: dst.sh("memhog --percent 80", 60))
        guest.check_console(src, dst)


# --- swapped out ---

@test("migrate-swapped", 240)
def migrate_swapped(ctx):
    """What is free and swapped out on the source stays there."""
    path = os.path.join(ctx.logs, "swap")
    with swap_file(path, 2 * MEM_BYTES):
        src = emptied(ctx.vm(ctx.spec(mem=MEM), "src"), 85, 8)
        dst = ctx.destination(src.spec)
        left = {}
        for on in (False, True):
            hints.switch(src, on)
            swap_out(src)
            before = swapped(src)
            need(before > MEM_BYTES * 7 // 10, f"{before} bytes are swapped out")
            info = Migration(src, dst if on else None).start().finish()
            left[on] = swapped(src) / before
            ctx.say(f"hints {'on' if on else 'off'}: {before >> 20} MiB in swap, "
                    f"{swapped(src) >> 20} after it")
            if not on:
                go_on(src)
        need_hints(ctx, info)
        need(left[False] < 0.1, "not all was read without hints")
        need(left[True] > 0.8, "free pages were read, too")
        compare(ctx, src, dst)
        resume(dst)
        guest.check_stamp(dst)
        ctx.say(f"map: {guest.check_map(dst)}")
        guest.check_console(src, dst)
        for vm in list(ctx.vms):
            ctx.drop(vm)
