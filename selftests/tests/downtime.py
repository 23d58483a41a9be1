# SPDX-License-Identifier: GPL-2.0
"""The downtime limit holds, whatever the guest does at the last moment.

If more has to be sent after the decision than the limit allows, the guest runs on,
hints are off for the rest of the migration, an event says so, and the migration
ends as one without hints does.  What is bounded is the bytes that are sent while
the guest stands still.
"""

from cfphtest import guest, hints, late
from cfphtest.integrity import compare, go_on, resume
from cfphtest.migrate import Migration
from cfphtest.registry import need, test

PAUSE = "pause-before-switchover"
ACK = ("return-path", "switchover-ack")
TAKEN_BACK = ("withdrawn", "no-map", "no-driver", "bad-map", "downtime")


def need_bound(info):
    sent = info["ram"]["downtime-bytes"]
    need(sent <= late.MOST,
         f"{sent} bytes sent with the guest stopped; the limit allows "
         f"{late.LIMIT}")


def need_given_up(ctx, src, info):
    """The operator is told, and the guest has run once more."""
    told = hints.events(src)
    ctx.say(f"told: {told}")
    need(told, f"no {hints.EVENT}")
    need("given-up" in [status for status, _ in told], f"told: {told}")
    state = hints.need_state(info, "given-up", *TAKEN_BACK)
    need(state["reason"] in [reason for _, reason in told],
         f"{state}; told: {told}")
    need(any(e["event"] == "RESUME" for e in src.events),
         "the guest has not gone on")
    need(not info["ram"]["free-pages-skipped"], f"{info['ram']}")


def need_tried_again(ctx, src, info):
    """The map is as true as ever: the guest goes on, and so do the hints."""
    told = hints.events(src)
    ctx.say(f"told: {told}")
    need(told and all(t in (("active", "downtime"), ("given-up", "downtime"))
                      for t in told), f"told: {told}")
    need(any(e["event"] == "RESUME" for e in src.events),
         "the guest has not gone on")
    state = hints.state(info)
    need(state["status"] in ("decided", "given-up") and state["retries"],
         f"{state}; told: {told}")


def arrive(ctx, src, dst):
    """All of it is there: with no hints nothing may differ."""
    verdict = compare(ctx, src, dst, no_kernel=True)
    need(not verdict.differ, f"pages differ: {verdict}")
    resume(dst)
    dst.boot()
    guest.check_console(src, dst)


def given_up(ctx, act, caps=(), **options):
    src, dst, info = late.migrate_late(ctx, act, caps, **options)
    need_bound(info)
    need_given_up(ctx, src, info)
    arrive(ctx, src, dst)
    if act not in (late.reboot, late.kexec):
        guest.check_stamp(dst)


TRIGGERS = {
    "fpctl-stop": (late.fpctl_stop, "fpctl stop"),
    "unbind": (late.unbind, "the driver is unbound"),
    "reboot": (late.reboot, "the guest reboots"),
    "kexec": (late.kexec, "another kernel is started"),
}


def add(name, act, text):
    def plain(ctx):
        given_up(ctx, act)

    def pausing(ctx):
        given_up(ctx, act, caps=(PAUSE, *ACK))

    plain.__doc__ = f"Between the estimate and the stop {text}."
    pausing.__doc__ = ("The same with a pause before the switchover, and an "
                       f"ack: {text}.")
    test(f"downtime-{name}", 240)(plain)
    test(f"downtime-{name}-pause-ack", 240)(pausing)


for trigger, (action, what) in TRIGGERS.items():
    add(trigger, action, what)


def taken_back(ctx, caps=()):
    src, dst, info = late.migrate_late(ctx, late.hugetlb, caps)
    need_bound(info)
    need_tried_again(ctx, src, info)
    compare(ctx, src, dst)
    resume(dst)
    guest.check_stamp(dst)
    ctx.say(f"map: {guest.check_map(dst)}")
    guest.check_console(src, dst)


@test("downtime-hugetlb", 240)
def downtime_hugetlb(ctx):
    """A pool of huge pages takes what is free, and nobody writes to it."""
    taken_back(ctx)


@test("downtime-hugetlb-pause-ack", 240)
def downtime_hugetlb_pause_ack(ctx):
    """The same with a pause before the switchover, and an ack."""
    taken_back(ctx, (PAUSE, *ACK))


@test("downtime-measured", 240)
def downtime_measured(ctx):
    """QEMU measures what the link can do, and the limit holds as well."""
    given_up(ctx, late.fpctl_stop, measured=True)


def decided(ctx, act):
    """Nothing is taken back."""
    src, dst, info = late.migrate_late(ctx, act)
    need_bound(info)
    need(info["ram"]["free-pages-skipped"], "no page was skipped")
    hints.need_state(info, "decided", "none")
    need(not hints.events(src), f"told: {hints.events(src)}")
    need(not any(e["event"] == "RESUME" for e in src.events),
         "the guest has been stopped twice")
    compare(ctx, src, dst)
    resume(dst)
    guest.check_stamp(dst)
    guest.check_console(src, dst)


@test("downtime-nothing", 240)
def downtime_nothing(ctx):
    """Nothing happens between the estimate and the stop: no alarm."""
    decided(ctx, late.nothing)


@test("downtime-little", 240)
def downtime_little(ctx):
    """Less memory is taken than the limit allows: no alarm."""
    decided(ctx, late.one_huge_page)


@test("downtime-reset", 240)
def downtime_reset(ctx):
    """system_reset during the pause before the switchover: all is sent.

    The one exception to the limit: whoever waits there may have relied on a guest
    that does not run any more.
    """
    src = late.prepare(ctx)
    dst = ctx.destination(src.spec)
    migration = Migration(
        src, dst, downtime_ms=late.LIMIT_MS, caps=(PAUSE,),
        params={"avail-switchover-bandwidth": late.LINK}).start()
    migration.wait_status("pre-switchover")
    src.qmp("system_reset")
    src.wait_event(lambda e: e["event"] == "RESET", 30)
    src.qmp("migrate-continue", state="pre-switchover")
    info = migration.finish()
    src.take_events()
    ctx.say(f"{info['ram']['downtime-bytes']} bytes sent with the guest "
            f"stopped; limit {late.LIMIT}; told: {hints.events(src)}")
    hints.need_state(info, "given-up", *TAKEN_BACK)
    need(hints.events(src), "nobody was told")
    need(not info["ram"]["free-pages-skipped"], f"{info['ram']}")
    resume(dst)
    dst.boot()
    guest.check_console(src, dst)


@test("downtime-again", 240)
def downtime_again(ctx):
    """Given up in one migration, hints are back in the next."""
    src, dst, info = late.migrate_late(ctx, late.fpctl_stop)
    need_bound(info)
    need_given_up(ctx, src, info)
    ctx.drop(dst)
    go_on(src)
    src.sh("fpctl start")
    guest.settled(src)
    dst = ctx.destination(src.spec)
    info = Migration(src, dst).start().finish()
    hints.need_state(info, "decided", "none")
    need(info["ram"]["free-pages-skipped"], "no page was skipped")
    compare(ctx, src, dst)
    resume(dst)
    guest.check_stamp(dst)
    guest.check_console(src, dst)
