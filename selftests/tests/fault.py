# SPDX-License-Identifier: GPL-2.0
"""Bad input, missing halves: plain precopy, one clear line, nothing lost."""

from cfphtest import docpages, guest
from cfphtest.integrity import (CRAWL, arrive, compare, load, need_refusal,
                                resume, several_rounds, wait_registered)
from cfphtest.migrate import UNLIMITED, Migration
from cfphtest.registry import need, test
from cfphtest.vm import refusal


def plain(ctx, src, dst, text):
    """Migrates like a device without hints, and all pages are the same."""
    info = several_rounds(src, dst)
    skipped = info["ram"].get("free-pages-skipped", 0)
    need(skipped == 0, f"{text}: {skipped} pages skipped")
    verdict = compare(ctx, src, dst)
    need(verdict.differ == 0, f"{text}: {verdict}")
    resume(dst)
    guest.check_stress(dst, "stop")
    guest.check_stamp(dst)
    guest.check_console(src, dst)


@test("fault-no-driver")
def fault_no_driver(ctx):
    """A guest without the driver has no map."""
    src, dst = ctx.pair(ctx.spec(kernel_args="cfph.modules=none"))
    load(src)
    plain(ctx, src, dst, "no driver")


@test("fault-refusing-guest")
def fault_refusing_guest(ctx):
    """A guest that must not use hints (init_on_free=1)."""
    src, dst = ctx.pair(ctx.spec(kernel_args="init_on_free=1"))
    load(src)
    plain(ctx, src, dst, "init_on_free")


@test("fault-admin-off")
def fault_admin_off(ctx):
    """The guest's administrator has switched it off."""
    src, dst = ctx.pair(ctx.spec())
    src.sh("fpctl stop")
    load(src)
    plain(ctx, src, dst, "fpctl stop")


@test("fault-source-without")
def fault_source_without(ctx):
    """Only the destination's device has the feature: no hints, no harm."""
    src, dst = ctx.pair(ctx.spec(hints="off"), ctx.spec())
    load(src)
    plain(ctx, src, dst, "source without")


@test("fault-destination-without", 240)
def fault_destination_without(ctx):
    """The destination lacks the feature in use: a clear no, then a retry."""
    spec = ctx.spec()
    src, dst = ctx.pair(spec, spec.but(hints="off"))
    load(src)
    need(Migration(src, dst).start().wait_end() == "failed", "not failed")
    need_refusal(ctx, src, dst)
    dst.close()
    guest.check_stress(src)
    dst = ctx.destination(spec)
    several_rounds(src, dst)
    arrive(ctx, src, dst)


@test("fault-destination-late")
def fault_destination_late(ctx):
    """The guest accepts the feature when the migration has begun: refused at its end."""
    spec = ctx.spec(mem="256M")
    src, dst = ctx.pair(spec, spec.but(hints="off"))
    device = guest.driver_device(src)
    src.sh(f"stamp start; echo {device} >{guest.DRIVER}/unbind")
    # Without a return path a source never learns why a destination ended.
    migration = Migration(src, dst, bandwidth=CRAWL, downtime_ms=1,
                          caps=("return-path",)).start()
    migration.wait_status("active")
    src.sh(f"echo {device} >{guest.DRIVER}/bind")
    wait_registered(src)
    migration.set(max_bandwidth=UNLIMITED, downtime_limit=10_000)
    need(migration.wait_end() == "failed", "not failed")
    src.wait_event(lambda e: e["event"] == "RESUME", 30)
    said = dst.said().strip()
    ctx.say("destination: " + " | ".join(said.splitlines()[:3]))
    docpages.need_quoted(docpages.HOST, "Features 0x", said)
    need("virtio-balloon" in said, f"not which device: {said}")
    guest.check_stamp(src)
    guest.check_console(src)


@test("fault-property")
def fault_property(ctx):
    """A property value that does not exist: one clear line, exit code 1."""
    for prop, want in (("continuous-free-page-hint=maybe", "on"),
                       ("continuous-free-page-hint=on,free-page-hint=on,"
                        "iothread=io0", "free-page-hint"),
                       ("cfph-look-percent=many", "many"),
                       ("continuous-free-page-hint=on,cfph-look-percent=101",
                        "101"),
                       ("continuous-free-page-hints=on", "not found")):
        text = refusal("-object", "iothread,id=io0",
                       "-device", f"virtio-balloon-pci,{prop}")
        ctx.say(text)
        name = prop.split("=", maxsplit=1)[0]
        need(name in text and want in text, f"{prop}: {text}")
