# SPDX-License-Identifier: GPL-2.0
"""One guest, no migration (or one, to watch it from inside)."""

import base64
import os
import re
import subprocess
from xml.etree import ElementTree

from cfphtest import config, guest, ktap
from cfphtest.guest import DRIVER, settled
from cfphtest.integrity import (SLOW, crawl, crawl_in_second_round, several_rounds,
                                wait_registered)
from cfphtest.migrate import Migration
from cfphtest.registry import Skip, need, test, wait_for


def boot(ctx, **fields):
    vm = ctx.vm(ctx.spec(**fields), "guest")
    vm.boot()
    return vm


@test("guest-fpctl")
def guest_fpctl(ctx):
    """fpctl in a guest: show, stats, set, bad values, exit codes."""
    vm = boot(ctx)
    settled(vm)
    show = guest.fpctl(vm)
    ctx.say(f"show: {show}")
    need(show["state"] == "ready", "the map is not ready")
    need(show["reason"] == "none", "a reason, although it is not off")
    need(0 < show["free-pages"] <= show["tracked-pages"], "page counts")
    need(show["buffer-bytes"] < 1 << 20, "buffers of 1 MiB or more")
    stats = guest.fpctl(vm, "stats")
    need(stats["migrations"] == 0, "a migration, before there was one")
    need(stats["scans"] == 1, "not one scan")

    vm.sh("fpctl set interval-ms 50 drain round")
    show = guest.fpctl(vm)
    need((show["interval-ms"], show["drain"]) == (50, "round"), "set")
    for words, code, text in (
            ("set interval-ms 5", 2, "interval-ms"),
            ("set interval-ms soon", 1, "interval-ms"),
            ("set drain maybe", 1, "drain"),
            ("set", 1, ""), ("nonsense", 1, "nonsense")):
        got, said = vm.run(f"fpctl {words}")
        need(got == code and text in said,
             f"fpctl {words}: exit {got} (want {code}): {said.strip()}")
        need(len(said.strip().splitlines()) == 1 or code == 1,
             f"fpctl {words}: more than one line: {said.strip()}")
    need(guest.fpctl(vm)["interval-ms"] == 50, "a refused value was kept")

    vm.sh("fpctl stop")
    show = guest.fpctl(vm)
    need((show["state"], show["reason"]) == ("off", "admin"), f"stop: {show}")
    vm.sh("fpctl start")
    settled(vm)
    ctx.say(guest.check_map(vm))
    guest.check_console(vm)


@test("guest-fpctl-script", 300)
def guest_fpctl_script(ctx):
    """fpctl's own guest test: every command, refusals, events, a loss."""
    script = os.path.join(config.top(), "tools/fpctl/tests/guest.sh")
    vm = ctx.vm(ctx.spec(), "guest",
                initrd=ctx.initrd_with({"/fpctl-test": script}))
    vm.boot()
    settled(vm)
    code, text = vm.run("sh /fpctl-test", 280)
    result = ktap.Parsed(text)
    ctx.say(f"{len(result.passed)} passed, {len(result.failed)} failed, "
            f"{len(result.skipped)} skipped")
    need(not code and not result.problem(),
         f"exit code {code}: {result.problem()} {text[-600:]}")
    guest.check_console(vm)


@test("guest-no-device")
def guest_no_device(ctx):
    """A device without the feature: off, with the reason; nothing is taken."""
    vm = boot(ctx, hints="off")
    show = guest.fpctl(vm)
    need((show["state"], show["reason"]) == ("off", "no-device"), str(show))
    need(show["map-bytes"] == 0, "a map without a device")
    guest.check_console(vm)


def refused(ctx, args, reason):
    vm = boot(ctx, kernel_args=args)
    show = guest.fpctl(vm)
    need((show["state"], show["reason"]) == ("off", reason), f"{args}: {show}")
    said = vm.sh("dmesg | grep -i cfph || true")
    need(said.strip(), f"{args}: nothing in the kernel log")
    ctx.say(f"{args}: {said.strip().splitlines()[-1]}")
    guest.check_console(vm)
    vm.close()


@test("guest-refusals")
def guest_refusals(ctx):
    """init_on_free, page_poison, cfph=off: refused, with the reason."""
    refused(ctx, "init_on_free=1", "init-on-free")
    refused(ctx, "page_poison=1", "page-poisoning")
    refused(ctx, "cfph=off", "boot-parameter")
    vm = boot(ctx, kernel_args="cfph=maybe")
    need("cfph=maybe is unknown" in vm.sh("dmesg"), "a typing error is obeyed")
    settled(vm)


REPORTING = 1 << 5          # VIRTIO_BALLOON_F_REPORTING


def off(vm, reason):
    show = guest.fpctl(vm)
    need((show["state"], show["reason"]) == ("off", reason), str(show))


@test("guest-page-contents")
def guest_page_contents(ctx):
    """Another feature for which a free page's contents count: refused, until it goes.

    There is none yet, so the driver is told that free page reporting is one.
    """
    vm = boot(ctx, balloon_opts=["free-page-reporting=on"])
    settled(vm)
    harmless = int(vm.sh("cat /sys/module/virtio_balloon/parameters/cfph_harmless"))
    need(harmless & REPORTING, f"harmless: {harmless:#x}")
    vm.sh(f"rmmod virtio_balloon; insmod {guest.KO} cfph_harmless={harmless & ~REPORTING}")
    off(vm, "page-contents")
    said = vm.sh("dmesg | grep 'may rely on'")
    need(f"features {REPORTING:#x} " in said, said)
    vm.sh("rmmod virtio_balloon")
    off(vm, "no-device")
    vm.sh(f"insmod {guest.KO}")
    settled(vm)
    guest.check_map(vm)
    guest.check_console(vm)


def listed_pages(vm, fraction):
    """What lies in per-cpu lists in a second round, after much has been freed."""
    vm.sh(f"echo {fraction} >/proc/sys/vm/percpu_pagelist_high_fraction")
    migration = crawl_in_second_round(vm, SLOW * 4)
    vm.sh("memhog --percent 50")
    pages = guest.listed_pages(vm)
    need(migration.cancel() == "cancelled", "not cancelled")
    return pages


@test("guest-lists")
def guest_lists(ctx):
    """Per-cpu lists are kept short from the second round on, unless their size is set."""
    vm = boot(ctx, mem="1G")
    settled(vm)
    # Four batches of 63 and two huge pages, on each CPU, and what is just coming.
    most = vm.spec.smp * (5 * 63 + 2 * 512)
    short, fixed = listed_pages(vm, 0), listed_pages(vm, 8)
    ctx.say(f"pages in per-cpu lists: {short}, most {most}; size set: {fixed}")
    need(short <= most, "not short")
    need(fixed > 2 * most, "what was set does not count")
    guest.check_map(vm)
    guest.check_console(vm)


@test("guest-not-negotiated")
def guest_not_negotiated(ctx):
    """From a host without to one with the feature: it says what to do, and that works."""
    spec = ctx.spec()
    src, dst = ctx.pair(spec.but(hints="off"), spec)
    off(src, "no-device")
    Migration(src, dst).start().finish()
    dst.qmp("cont")
    off(dst, "not-negotiated")
    guest.rebind(dst)
    settled(dst)
    guest.check_map(dst)
    guest.check_console(src, dst)


def thread_state(vm):
    """(state, switches by itself, switches forced) of kcfphd."""
    text = vm.sh("for p in /proc/[0-9]*; do "
                 "[ \"$(cat $p/comm 2>/dev/null)\" = kcfphd ] && "
                 "cat $p/status; done; true")
    found = dict(re.findall(r"(\w+):\s+(\S+)", text))
    need("State" in found, "no thread kcfphd")
    return (found["State"], int(found["voluntary_ctxt_switches"]),
            int(found["nonvoluntary_ctxt_switches"]))


@test("guest-idle")
def guest_idle(ctx):
    """Without a migration: one message, MAP, and then kcfphd is never woken."""
    vm = boot(ctx)
    settled(vm)
    # Allocate and free a lot, so that there would be much to say.
    vm.sh("memhog --percent 50")
    stats, thread = guest.fpctl(vm, "stats"), thread_state(vm)
    vm.sh("memhog --percent 50; sleep 3; memhog --percent 50", 120)
    after, woken = guest.fpctl(vm, "stats"), thread_state(vm)
    ctx.say(f"kcfphd: {thread} then {woken}")
    need(after == stats, f"counters moved: {stats} {after}")
    need((after["messages"], after["registrations"]) == (1, 1),
         f"not MAP alone without a migration: {after}")
    need(woken == thread and woken[0] == "S", "kcfphd has run")
    guest.check_console(vm)


@test("guest-map", 240)
def guest_map(ctx):
    """The oracle under load: map and buddy lists agree, many times."""
    vm = boot(ctx, mem="512M", disk=ctx.disk())
    settled(vm)
    vm.sh("stress start --mib 220 --disk /dev/vda", 120)
    for _ in range(20):
        guest.check_map(vm)
        vm.sh("echo 1 >/proc/sys/vm/compact_memory")
    guest.check_stress(vm, "stop")
    ctx.say(guest.check_map(vm))
    guest.check_console(vm)


@test("guest-oracle")
def guest_oracle(ctx):
    """The oracle itself: it complains about each way to break the map."""
    vm = boot(ctx)
    settled(vm)
    verify, random = guest.debugfs("verify"), guest.debugfs("verify_random_ms")
    vm.sh(f"fpctl stop; [ $(cat {verify}) = off ] && fpctl start")
    settled(vm)
    need(vm.run(f"echo 60001 >{random}")[0], "a minute is the longest")
    guest.check_map(vm)
    guest.check_console(vm)

    for name in ("keep_on_alloc", "free_early", "hooks_off"):
        mutant = guest.debugfs(f"mutant_{name}")
        vm.sh(f"echo 1 >{mutant}; memhog --percent 30")
        bad = vm.sh(f"cat {verify}").strip()
        ctx.say(f"{name}: {bad}")
        need(re.fullmatch(r"bad pfn=0x[0-9a-f]+ map=(free buddy=used|"
                          r"used buddy=free)", bad), bad)
        # The random one complains once, then it stops by itself.
        vm.sh(f"echo 10 >{random}; " +
              guest.until(f"[ $(cat {random}) = 0 ]"))
        # A new map is right again.
        vm.sh(f"echo 0 >{mutant}; fpctl stop; fpctl start")
        ctx.say(guest.check_map(vm))
    complaints = vm.console_text().count("in the map, but ")
    need(complaints == 6, f"{complaints} complaints in the kernel log")


@test("guest-interleaved")
def guest_interleaved(ctx):
    """Two nodes' zones lie one within the other: the map is right."""
    extra = []
    for node in range(2):       # ram<node>: what the machine has at first
        extra += ["-object", f"memory-backend-ram,id=ram{node},size=256M",
                  "-numa", f"node,nodeid={node},memdev=ram{node}"]
    for i in range(3):          # nodes 0, 1, 0: the first one's zone spans all
        extra += ["-object", f"memory-backend-ram,id=hp{i},size=128M",
                  "-device", f"pc-dimm,id=dimm{i},memdev=hp{i},node={i % 2}"]
    vm = boot(ctx, mem="512M", mem_opts="slots=3,maxmem=2G", extra=extra)
    settled(vm)
    zones = guest.fpctl(vm, "stats zone")["zones"]
    zones = {zone["node"]: zone for zone in zones if zone["name"] == "Normal"}
    outer, inner = zones[0], zones[1]
    need(outer["start-pfn"] < inner["start-pfn"] <
         outer["start-pfn"] + outer["spanned-pages"], f"zones: {zones}")
    vm.sh("stress start --mib 300", 120)
    for _ in range(5):
        guest.check_map(vm)
    vm.sh("fpctl stop; fpctl start")    # a scan with both of them there
    ctx.say(guest.check_map(vm))
    guest.check_stress(vm, "stop")
    guest.check_console(vm)


@test("guest-reload", 240)
def guest_reload(ctx):
    """Unload, load, unbind, bind, stop, start, under load: the map is right."""
    vm = boot(ctx)
    vm.sh("stress start --mib 120", 120)
    dev = guest.driver_device(vm)
    for away, back in (("rmmod virtio_balloon", f"insmod {guest.KO}"),
                       (f"echo {dev} >{DRIVER}/unbind",
                        f"echo {dev} >{DRIVER}/bind"),
                       ("fpctl stop", "fpctl start")):
        for _ in range(3):
            settled(vm)
            guest.check_map(vm)
            vm.sh(away)
            show = guest.fpctl(vm)
            need(show["state"] == "off", f"after '{away}': {show}")
            vm.sh(back)
    settled(vm)
    ctx.say(guest.check_map(vm))
    guest.check_stress(vm, "stop")
    guest.check_leaks(vm)
    guest.check_console(vm)


def wait_file(path):
    """Shell words that wait until a file is there."""
    return guest.until(f"[ -e {path} ]", 1000)


def timeline(ctx, guest_trace, host_trace):
    """The tool that puts both traces side by side; returns its text."""
    svg = os.path.join(ctx.logs, "timeline.svg")
    done = subprocess.run(
        [config.timeline(), "--svg", svg, guest_trace, host_trace], capture_output=True, text=True, check=False)
    need(not done.returncode, f"timeline: {done.stderr}")
    lines = done.stdout.splitlines()
    ctx.say(f"timeline: {len(lines)} lines, {lines[1]}")
    # Each message is shipped before it comes, each command told before heard.
    need(re.search(r"ship 0,.*(?s:.*)message 0,", done.stdout) or
         re.search(r"message 0,", done.stdout), "no message 0")
    need("-> START" in done.stdout and "got START" in done.stdout,
         "no START on both sides")
    need("decision: " in done.stdout, "no decision")
    ElementTree.parse(svg)
    return done.stdout


@test("guest-races", 240)
def guest_races(ctx):
    """Who reads the map without a lock, again and again, while it changes."""
    if not config.kernel_has("CONFIG_KCSAN"):
        raise Skip("no detector of data races: make check-kcsan")
    vm = ctx.vm(ctx.spec(mem="256M"), "guest").boot()
    settled(vm)
    vm.sh("fpctl set interval-ms 10")
    vm.sh("churn start --mib 32; stress start --mib 48 --workers 2", 120)
    migration = crawl(vm)
    vm.sh("(until [ -e /tmp/end ]; do fpctl map --raw /dev/null; done) "
          ">/dev/null 2>&1 &")
    before = guest.fpctl(vm, "stats")["passes"]
    wait_for(lambda: guest.fpctl(vm, "stats")["passes"] >= before + 300,
             "not 300 passes", 150)
    vm.sh("echo >/tmp/end; stress stop; churn stop", 120)
    need(migration.cancel() == "cancelled", "not cancelled")
    counts = vm.sh("cat /sys/kernel/debug/kcsan").replace("\n", " ")
    ctx.say(counts)
    guest.check_console(vm)


@test("guest-trace", 240)
def guest_trace(ctx):
    """trace-cmd record -e cfph in the guest while it migrates."""
    src, dst = ctx.pair(ctx.spec(mem="256M"), paused=False)
    # It records in the background until its command ends.
    src.sh("mkfifo /tmp/end; (cd /tmp; trace-cmd record -q -e cfph -o "
           "trace.dat sh -c 'echo >begun; cat end' >trace.log 2>&1; "
           f"echo >done) & {wait_file('/tmp/begun')}", 120)
    # There is a MAP for each map, and none for a migration.
    src.sh("fpctl stop && fpctl start")
    wait_registered(src)
    src.sh("churn start --mib 32")
    several_rounds(src, dst)
    dst.wait_event(lambda e: e["event"] == "RESUME", 30)
    dst.sh("churn stop")
    dst.sh(f"echo >/tmp/end; {wait_file('/tmp/done')}", 120)
    text = dst.sh("trace-cmd report -i /tmp/trace.dat")
    events = set(re.findall(r"\bcfph_\w+(?=:)", text))
    ctx.say(f"{len(text.splitlines())} lines: {' '.join(sorted(events))}")
    missing = {"cfph_command", "cfph_register", "cfph_pass", "cfph_ship",
               "cfph_start", "cfph_stop"} - events
    need(not missing, f"no {', '.join(missing)} event")
    need("PARSE ERROR" not in text.upper() and "0xffff" not in text,
         "an event that trace-cmd cannot print")
    path = os.path.join(ctx.logs, "trace.dat")
    with open(path, "wb") as file:      # out of the guest
        file.write(base64.b64decode(dst.sh("base64 /tmp/trace.dat")))
    timeline(ctx, path, src.trace)
    guest.check_console(src, dst)


@test("guest-code-changes", 120)
def guest_code_changes(ctx):
    """One vCPU changes code that another one runs, as the kernel does for a static key:
    a QEMU that keeps a translation of what stood there kills guests now and then."""
    vm = boot(ctx)
    ctx.say(vm.sh("recode 10"))
    guest.check_console(vm)
