# SPDX-License-Identifier: GPL-2.0
"""Postcopy: what is free at the switch does not cross the wire, and no page that the
guest asks for is missing.

Most of the guest's memory is free and full of old contents.  It is handed over
twice: with the hints switched off, and with them.  The bytes of the postcopy phase
must be the same but for a few for each free page, and the load that runs all the
time must find all that it has.
"""

import os

from cfphtest import config, guest, hints
from cfphtest.hugepages import guests_on_huge_pages
from cfphtest.integrity import verify
from cfphtest.migrate import Migration
from cfphtest.postcopy import (MEM, allocate, crawl_to_postcopy, prepare,
                               towards_postcopy)
from cfphtest.registry import need, test

MEM_BYTES = config.parse_size(MEM)
ZERO_PAGE = 16          # bytes, for each page that is told to be zero
SLACK = 16 << 20        # what the load dirties more in one run than in another


def hop(ctx, src, on, caps=(), middle=None):
    """Hand the guest over; (new VM, what query-migrate says, free pages)."""
    hints.switch(src, on)
    free = guest.fpctl(src)["free-pages"]
    dst = ctx.destination(src.spec, paused=False)
    migration = towards_postcopy(src, dst, caps)
    rest = migration.info()["ram"]["remaining"]
    migration.set(max_postcopy_bandwidth=1_000_000 if middle else 0)
    src.qmp("migrate-start-postcopy")
    migration.wait_status("postcopy-active")
    if middle:
        middle(migration)
        migration.set(max_postcopy_bandwidth=0)
    info = migration.finish()
    ram = info["ram"]
    ctx.say(f"hints {'on' if on else 'off'}: {rest >> 20} MiB left before the "
            f"switch, {ram['postcopy-bytes'] >> 20} MiB after it, "
            f"{ram['postcopy-requests']} requests, {free} free pages")
    verify(ctx, dst, stop=False)
    guest.check_console(src)
    ctx.drop(src)
    return dst, info, free, rest


def there_and_on(ctx, src, caps=(), middle=None, huge=False):
    """Both ways, one after the other."""
    vm, info, _, _ = hop(ctx, src, False, caps, middle)
    off = info["ram"]["postcopy-bytes"]
    vm, info, free, rest = hop(ctx, vm, True, caps, middle)
    got = info["ram"]["postcopy-bytes"]
    need(got <= off * 3 // 2 + ZERO_PAGE * free + SLACK,
         f"{got} bytes after the switch; without hints {off}, with {free} free "
         "pages")
    # A huge page goes as a whole if one of its pages is dirty.
    need(huge or got <= rest * 2 + ZERO_PAGE * free + SLACK,
         f"{got} bytes after the switch, where {rest} were left")
    hints.need_state(info, "decided", "none")
    skipped = info["ram"]["free-pages-skipped"]
    need(skipped > free * 6 // 10, f"{skipped} of {free} free pages skipped")
    verify(ctx, vm)


@test("postcopy-free", 240)
def postcopy_free(ctx):
    """Most memory is free at the switch: it stays where it is."""
    there_and_on(ctx, prepare(ctx))


@test("postcopy-preempt", 240)
def postcopy_preempt(ctx):
    """The same with a channel of its own for what is asked for."""
    there_and_on(ctx, prepare(ctx), caps=("postcopy-preempt",))


@test("postcopy-release-ram", 240)
def postcopy_release_ram(ctx):
    """The source gives back what it has sent."""
    there_and_on(ctx, prepare(ctx), caps=("release-ram",))


@test("postcopy-on-request", 240)
def postcopy_on_request(ctx):
    """A page that was free at the switch is there when the guest takes it."""
    migration = crawl_to_postcopy(ctx)
    allocate(migration)
    migration.set(max_postcopy_bandwidth=0)
    migration.finish()
    guest.check_stamp(migration.dst)
    ctx.say(f"map: {guest.check_map(migration.dst)}")
    guest.check_console(migration.src, migration.dst)


def break_and_recover(migration):
    """The channel breaks; another one takes its place."""
    src, dst = migration.src, migration.dst
    path = os.path.join(dst.tmp, "again")
    # Before that a destination gives up, and the guest goes on here.
    dst.wait_event(lambda e: e["event"] == "RESUME", 60)
    src.qmp("migrate-pause")
    migration.wait_status("postcopy-paused")
    dst.wait_event(lambda e: e["event"] == "MIGRATION" and
                   e["data"]["status"] == "postcopy-paused", 60)
    dst.qmp_oob("migrate-recover", uri=f"unix:{path}")
    src.qmp("migrate", uri=f"unix:{path}", resume=True)
    migration.wait_status("postcopy-active")


@test("postcopy-recover", 240)
def postcopy_recover(ctx):
    """The channel breaks in the postcopy phase, and is made anew."""
    there_and_on(ctx, prepare(ctx), middle=break_and_recover)


@test("postcopy-recover-preempt", 240)
def postcopy_recover_preempt(ctx):
    """The same with the second channel."""
    there_and_on(ctx, prepare(ctx), caps=("postcopy-preempt",),
                 middle=break_and_recover)


@test("postcopy-paused-switch", 240)
def postcopy_paused_switch(ctx):
    """The guest stands still when the switch comes, and goes on later."""
    src = prepare(ctx)
    dst = ctx.destination(src.spec, paused=False)
    migration = towards_postcopy(src, dst)
    src.qmp("stop")
    rest = migration.info()["ram"]["remaining"]
    src.qmp("migrate-start-postcopy")
    info = migration.finish()
    got = info["ram"]["postcopy-bytes"] + info["ram"]["downtime-bytes"]
    ctx.say(f"{rest} bytes left before the switch, {got} sent after the stop")
    need(got <= rest * 2 + ZERO_PAGE * (MEM_BYTES >> 12) + SLACK,
         f"{got} bytes sent after the stop, where {rest} were left")
    dst.qmp("cont")
    verify(ctx, dst)


# --- RAM made of huge pages ---

@test("postcopy-hugetlb", 240)
def postcopy_hugetlb(ctx):
    """RAM of 2 MiB pages on both sides: a page goes with its neighbours."""
    with guests_on_huge_pages(ctx, 2 * MEM_BYTES):
        src = prepare(ctx, backend="hugetlb")
        there_and_on(ctx, src, huge=True)


@test("postcopy-hugetlb-mixed", 120)
def postcopy_hugetlb_mixed(ctx):
    """Postcopy from 2 MiB pages to others: refused, and the source goes on."""
    with guests_on_huge_pages(ctx, MEM_BYTES):
        src, dst = ctx.pair(ctx.spec(mem=MEM, backend="hugetlb"),
                            ctx.spec(mem=MEM, backend="memfd"))
        src.sh("stamp start --mib 8")
        migration = Migration(src, dst, caps=("postcopy-ram",)).start()
        need(migration.wait_end() == "failed", "not failed")
        said = dst.said()
        need("page size" in said, f"the destination says {said.strip()}")
        guest.check_stamp(src)
        guest.check_console(src)
