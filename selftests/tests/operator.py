# SPDX-License-Identifier: GPL-2.0
"""What the operator can say and see, host side."""

import re

from cfphtest import guest, hints
from cfphtest.integrity import CRAWL, compare, load, resume
from cfphtest.migrate import UNLIMITED, Migration
from cfphtest.registry import need, test

MB = 1_000_000
NOT_LESS = 20           # looks, or nothing has been shown


def hmp_line(vm):
    """What `info migrate` says about hints."""
    text = vm.hmp("info migrate")
    lines = re.findall(r"^\s*free page hints.*$", text, re.M | re.I)
    need(len(lines) == 1, f"HMP: {text}")
    return lines[0].strip()


@test("operator-switch")
def operator_switch(ctx):
    """x-free-page-hints=false: nothing is set aside or skipped, and it says so."""
    src, dst = ctx.pair(ctx.spec())
    load(src)
    params = src.qmp("query-migrate-parameters")
    need(params.get(hints.PARAMETER) is True, f"not on by default: {params}")
    hints.switch(src, False)
    need(hints.PARAMETER in src.hmp("info migrate_parameters"), "HMP")
    migration = Migration(src, dst, bandwidth=CRAWL, downtime_ms=1).start()
    migration.wait_status("active")
    info = migration.info()
    need(not info["ram"]["free-pages-deferred"], f"set aside: {info['ram']}")
    hints.need_state(info, "off", "parameter")
    ctx.say(hmp_line(src))
    migration.set(max_bandwidth=UNLIMITED, downtime_limit=10_000)
    info = migration.finish()
    need(not info["ram"]["free-pages-skipped"], f"skipped: {info['ram']}")
    hints.need_state(info, "off", "parameter")
    ctx.say(hmp_line(src))
    need(not hints.events(src), f"told: {hints.events(src)}")
    verdict = compare(ctx, src, dst)
    need(not verdict.differ, f"pages differ: {verdict}")
    resume(dst)
    guest.check_stress(dst, "stop")
    guest.check_console(src, dst)


@test("operator-sees")
def operator_sees(ctx):
    """Active, then decided; one line in HMP, whatever the counters are."""
    src, dst = ctx.pair(ctx.spec())
    guest.settled(src)
    migration = Migration(src, dst, bandwidth=CRAWL, downtime_ms=1).start()
    migration.wait_status("active")
    member = hints.need_state(migration.info(), "active", "none")
    need(member["unsent-bytes"] > 0, f"nothing left: {member}")
    ctx.say(hmp_line(src))
    migration.set(max_bandwidth=UNLIMITED, downtime_limit=10_000)
    info = migration.finish()
    member = hints.need_state(info, "decided", "none")
    need(not member["retries"], f"{member}")
    ctx.say(hmp_line(src))
    need(not hints.events(src), f"told: {hints.events(src)}")


# what is amiss: (guest's command line, command in it, reasons)
AMISS = {
    "no driver": ("cfph.modules=none", "true", ("no-driver",)),
    "a guest that refuses": ("init_on_free=1", "true",
                             ("no-map", "no-driver")),
    "fpctl stop": ("", "fpctl stop", ("withdrawn", "no-map")),
}


@test("operator-reasons", 240)
def operator_reasons(ctx):
    """Why no hints are used: no driver, a refusal, fpctl stop."""
    for text, (words, command, reasons) in AMISS.items():
        src, dst = ctx.pair(ctx.spec(mem="256M", kernel_args=words))
        src.sh(command)
        info = Migration(src, dst).start().finish()
        member = hints.state(info)
        ctx.say(f"{text}: {member}; {hmp_line(src)}")
        need(member["reason"] in reasons and member["status"] != "decided",
             f"{text}: {member}")
        need(not info["ram"]["free-pages-skipped"], f"{text}: {info['ram']}")
        ctx.drop(src)
        ctx.drop(dst)


@test("operator-no-device")
def operator_no_device(ctx):
    """A VM without the property: off, no-device."""
    src, dst = ctx.pair(ctx.spec(mem="256M", hints="off"))
    info = Migration(src, dst).start().finish()
    hints.need_state(info, "off", "no-device")


def watch(migration, limit):
    """[(sync, unsent bytes)] several times a second until it has ended."""
    seen = []
    for _ in range(limit * 10):
        info = migration.info()
        if info["status"] != "active":
            break
        seen.append((info["ram"]["dirty-sync-count"],
                     hints.state(info)["unsent-bytes"]))
        migration.src.collect(0.1)
    return seen


def rises(seen):
    """Where it has risen within a round.

    The first look at a round may have been taken in the middle of the sync, when
    the number is up and what the guest has written is not yet in it.
    """
    found = []
    for (a, _), (b, before), (c, after) in zip(seen, seen[1:], seen[2:]):
        if a == b == c and after > before:
            found.append((b, before, after))
    return found


@test("operator-progress", 240)
def operator_progress(ctx):
    """Churn on a slow link: unsent-bytes only falls within a round."""
    src, dst = ctx.pair(ctx.spec(mem="768M"))
    src.sh("churn start", 120)
    migration = Migration(src, dst, bandwidth=60 * MB, downtime_ms=1).start()
    migration.wait_status("active")
    seen = watch(migration, 20)
    found = rises(seen)
    ctx.say(f"{len(seen)} looks in {len({n for n, _ in seen})} rounds, "
            f"{len(found)} rises; {[left >> 20 for _, left in seen][:40]} MiB")
    migration.set(max_bandwidth=UNLIMITED, downtime_limit=10_000)
    info = migration.info()
    if info["status"] != "completed":
        info = migration.finish()
    need(len(seen) >= NOT_LESS, f"{len(seen)} looks only")
    need(not found, f"rises within a round: {found}")
    need(hints.state(info)["status"] == "decided", f"{hints.state(info)}")
    resume(dst)
    dst.sh("churn stop")
    guest.check_console(src, dst)
