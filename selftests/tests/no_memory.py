# SPDX-License-Identifier: GPL-2.0
"""Each allocation of ours fails once; then everything is as before.

The kernel's fault injection does it: it counts a task's allocations down
(/proc/PID/fail-nth), those with a function of ours among their callers, and
fails the last one.  So nobody else's fail, and which one fails is no matter of
luck.  A kernel without it, which is the usual one, skips these tests: they
belong to DEBUG=1 and COVERAGE=1.

Checkers, and the slab allocator for itself, allocate while a function of ours is
among the callers, too.  What fails then does no harm to us, and the same number
is tried once more.  Checkers that switch themselves off without memory keep
theirs.
"""

import functools
import itertools
import re

from cfphtest import config, guest
from cfphtest.guest import DRIVER, settled, until_shown
from cfphtest.integrity import (arrive, load, need_hints, several_rounds)
from cfphtest.registry import Skip, need, test

COUNT = "/proc/$(pidof kcfphd)/fail-nth"
MOST = 40       # far more than one step of ours allocates
FAR = 1 << 16   # apart: not the same object file


def memory_test(name, limit):
    """@test for a kernel with fault injection."""
    def add(function):
        @functools.wraps(function)
        def run(ctx):
            if not config.kernel_has("CONFIG_FAULT_INJECTION_STACKTRACE_FILTER"):
                raise Skip("no fault injection in this kernel: make check-debug")
            function(ctx)
        return test(name, limit)(run)
    return add


def span(symbols, pattern):
    """[start, end) of the functions with such names, as far as they adjoin."""
    found = sorted((int(address, 16), name) for address, kind, name in
                   re.findall(r"^([0-9a-f]+) (\w) (\S+)", symbols, re.M)
                   if kind in "tT")
    start = end = None
    for address, name in found:
        if re.fullmatch(pattern, name) and (not end or address < end + FAR):
            start = start or address
            end = None
        elif start and not end:
            end = address
    need(start and end, f"no function {pattern}")
    return start, end


# Where no cache is merged with another one, as in every kernel that has these.
SPARE_CHECKERS = (
    "cd /sys/kernel/slab && [ -e kmemleak_object ] || exit 0; "
    "for cache in *; do case $cache in kmemleak_* | debug_objects_*) ;; "
    "*) echo 1 >$cache/failslab || exit 1 ;; esac; done; "
    "echo Y >/sys/kernel/debug/failslab/cache-filter")


def fail_only(vm, start, end):
    """What fail-nth counts from now on, and that it does it silently."""
    vm.sh(SPARE_CHECKERS)
    vm.sh("cd /sys/kernel/debug && echo 0 >fail_page_alloc/min-order && "
          "for d in failslab fail_page_alloc; do echo 0 >$d/verbose && "
          f"echo N >$d/ignore-gfp-wait && echo {start:#x} >$d/require-start "
          f"&& echo {end:#x} >$d/require-end || exit 1; done")


def fail_core(vm):
    """Allocations of mm/cfph."""
    with open(config.system_map(), encoding="ascii") as symbols:
        fail_only(vm, *span(symbols.read(), r"_*k?cfphd?_\w+"))


def fail_driver(vm):
    """Allocations of the transport, which are made by one function."""
    fail_only(vm, *span(vm.sh(r"grep '\[virtio_balloon\]' /proc/kallsyms"),
                        "vb_cfph_alloc"))


def failing(vm, number, command):
    """Run it with the number-th allocation failing; was there such a one?"""
    left = vm.sh(f"n=/proc/self/fail-nth; echo {number} >$n; {command}; "
                 "read -r left <$n; echo 0 >$n; echo $left")
    return left.split()[-1] == "0"      # behind what the command has said


def refused(vm):
    return guest.fpctl(vm, "stats")["refused"]


@memory_test("no-memory-map", 240)
def no_memory_map(ctx):
    """Each allocation of the map fails: off, told why, tried again."""
    vm = ctx.vm(ctx.spec(), "guest")
    vm.boot()
    settled(vm)
    fail_core(vm)
    number, harmless = 1, 0
    while True:
        need(number + harmless < MOST, "there is no end of it")
        before = refused(vm)
        vm.sh(f"fpctl stop; echo {number} >{COUNT}; fpctl start")
        until_shown(vm, '"state":"ready"|"reason":"no-memory"', "no end")
        left = vm.sh(f"cat {COUNT}; echo 0 >{COUNT}").strip()
        show = guest.fpctl(vm)
        if left != "0":
            break
        if show["state"] == "ready":
            harmless += 1
            continue
        need((show["state"], show["reason"], show["map-bytes"]) ==
             ("off", "no-memory", 0), f"allocation {number}: {show}")
        need(refused(vm) == before + 1, "the refusal is not counted")
        vm.sh("fpctl start")
        settled(vm)
        guest.check_map(vm)
        number += 1
    ctx.say(f"{number - 1} allocations have failed, and {harmless} of others")
    need(show["state"] == "ready", f"nothing has failed: {show}")
    # The table, the changed bytes, the header, its directory page, the leaves.
    need(number - 1 == 4 + (vm.spec.mem >> 27), "not one for each part")
    guest.check_leaks(vm)
    guest.check_console(vm)


@memory_test("no-memory-driver", 240)
def no_memory_driver(ctx):
    """Each allocation of the transport fails: the balloon works without."""
    vm = ctx.vm(ctx.spec(kernel_args="cfph.modules=none"), "guest")
    vm.boot()
    # The thread is made for the first transport that there ever is.
    fail_core(vm)
    vm.sh(f"echo 1 >/proc/self/fail-nth; exec insmod {guest.KO}")
    show = guest.fpctl(vm)
    need((show["state"], show["reason"]) == ("off", "no-device"), str(show))
    need("cannot register (-12)" in vm.sh("dmesg"), "no word about it")

    dev = guest.driver_device(vm)
    fail_driver(vm)
    number, harmless = 1, 0
    while True:
        need(number + harmless < MOST, "there is no end of it")
        vm.sh(f"echo {dev} >{DRIVER}/unbind")
        if not failing(vm, number, f"echo {dev} >{DRIVER}/bind"):
            break
        show = guest.fpctl(vm)
        if show["buffer-bytes"]:
            harmless += 1
            continue
        need(show["state"] == "off", str(show))
        need(number == int(vm.sh("dmesg | grep -c 'no memory for 16'")),
             "no word about it")
        vm.qmp("balloon", value=vm.spec.mem - ((8 + number % 2) << 20))
        vm.wait_event(lambda e: e["event"] == "BALLOON_CHANGE", 30)
        number += 1
    ctx.say(f"{number - 1} allocations have failed, and {harmless} of others")
    need(number - 1 == 2 + 16, "not one for each part")
    settled(vm)
    ctx.say(guest.check_map(vm))
    guest.check_leaks(vm)
    guest.check_console(vm)


@memory_test("no-memory-netlink", 240)
def no_memory_netlink(ctx):
    """Each allocation for an answer fails: so it is told, and once more."""
    vm = ctx.vm(ctx.spec(), "guest")
    vm.boot()
    settled(vm)
    fail_core(vm)
    for words in ("show", "stats", "map", "map --raw /tmp/raw"):
        for number in itertools.count(1):
            need(number < MOST, "there is no end of it")
            code, text = vm.run(f"echo {number} >/proc/self/fail-nth; "
                                f"exec fpctl {words} >/dev/null")
            if not code:
                break
            need(code == 2 and "allocate memory" in text,
                 f"fpctl {words}: exit code {code}: {text}")
        need(number > 1, f"fpctl {words} needs no memory")
        ctx.say(f"fpctl {words}: {number - 1} allocations have failed")

    # An event that cannot be told is a loss for those who listen.
    vm.sh("fpctl monitor >/tmp/events 2>/tmp/err & "
          + guest.until("[ -s /tmp/events ]"))
    vm.sh("echo 1 >/proc/self/fail-nth; exec fpctl stop")
    vm.sh(guest.until("[ $(grep -c now /tmp/events) = 2 ]",
                      complain="cat /tmp/events;"))
    vm.sh("kill -s TERM $(pidof fpctl); fpctl start")
    settled(vm)
    guest.check_leaks(vm)
    guest.check_console(vm)


@memory_test("no-memory-hotplug", 300)
def no_memory_hotplug(ctx):
    """No memory for the leaf of a DIMM: it migrates as used, none is lost."""
    vm = ctx.vm(ctx.spec(mem_opts="slots=2,maxmem=2G"), "src")
    vm.boot()
    settled(vm)
    memory = "/sys/devices/system/memory"
    vm.sh(f"echo offline >{memory}/auto_online_blocks")
    vm.plug_dimm("128M")
    vm.sh(guest.until(f"[ -e {memory}/memory32/state ]"))
    before = guest.fpctl(vm)["tracked-pages"]
    fail_core(vm)
    need(failing(vm, 1, f"echo online >{memory}/memory32/state"),
         "no leaf was wanted")
    need(vm.sh(f"cat {memory}/memory32/state").strip() == "online",
         "the onlining was vetoed")
    need(guest.fpctl(vm)["tracked-pages"] == before, "tracked after all")
    need("are not tracked" in vm.sh("dmesg"), "no word about it")
    load(vm, stress_mib=220)
    dst = ctx.destination(vm.spec)
    need_hints(ctx, several_rounds(vm, dst))
    arrive(ctx, vm, dst)

    dst.sh("fpctl stop; fpctl start")
    settled(dst)
    need(guest.fpctl(dst)["tracked-pages"] == before + (128 << 8),
         "a new map does not track it")
    guest.check_console(dst)
