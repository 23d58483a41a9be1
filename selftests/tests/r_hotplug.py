# SPDX-License-Identifier: GPL-2.0
"""Memory that comes and goes: the map must be in nobody's way."""

from cfphtest import guest
from cfphtest.guest import settled
from cfphtest.registry import need, test, wait_for

DEVICE_CHECK = 1        # an ACPI notification, which the event answers
LEAF = 4096             # bytes of the map for 128 MiB


def tracked(vm):
    return guest.fpctl(vm)["tracked-pages"]


def plug(vm, limit=30):
    """Another DIMM, which the guest has taken."""
    device = f"dimm{len(vm.spec.dimms)}"
    vm.plug_dimm("256M")
    event = vm.wait_event(
        lambda e: e["event"] == "ACPI_DEVICE_OST" and
        e["data"]["info"].get("device") == device and
        e["data"]["info"]["source"] == DEVICE_CHECK, limit)
    need(not event["data"]["info"]["status"], f"refused: {event}")


def map_bytes(vm):
    return guest.fpctl(vm)["map-bytes"]


def booted(ctx, state):
    vm = ctx.vm(ctx.spec(mem_opts="slots=10,maxmem=4G",
                         kernel_args=f"memhp_default_state={state}"),
                f"guest-{state}").boot()
    settled(vm)
    return vm, tracked(vm)


def check(vm, pages):
    settled(vm)
    wait_for(lambda: tracked(vm) == pages, f"not {pages} pages are tracked")
    guest.check_map(vm)


def idle_map(vm, pages, size):
    """All that was plugged in is gone, and its part of the map, too."""
    check(vm, pages)
    need(map_bytes(vm) == size, f"map: {map_bytes(vm)} bytes, {size} before")


@test("hotplug-unplug")
def hotplug_unplug(ctx):
    """A DIMM of kernel memory goes: it must not hold a page of the map.

    What the guest runs meanwhile may leave a page of its own there, with hints or
    without; so it runs nothing.
    """
    vm, pages = booted(ctx, "online")
    size = map_bytes(vm)
    for i in range(10):
        plug(vm)
        vm.unplug_dimm(i)
    idle_map(vm, pages, size)
    guest.check_console(vm)


@test("hotplug-unplug-movable")
def hotplug_unplug_movable(ctx):
    """Two DIMMs go, in either order, after all that makes a new map."""
    vm, pages = booted(ctx, "online_movable")
    size = map_bytes(vm)
    first = 0
    for between in (lambda vm: None, guest.rebind,
                    lambda vm: vm.sh("fpctl stop; fpctl start")):
        for order in ((0, 1), (1, 0)):
            plug(vm)
            plug(vm)
            between(vm)
            check(vm, pages + 2 * 65536)
            need(map_bytes(vm) == size + 4 * LEAF, "not four leaves more")
            for i in order:
                vm.unplug_dimm(first + i)
            idle_map(vm, pages, size)
            first += 2
    guest.check_console(vm)


@test("hotplug-maxmem")
def hotplug_maxmem(ctx):
    """What is not plugged in costs nothing: neither guest memory nor time."""
    def size(name, mem_opts):
        vm = ctx.vm(ctx.spec(machine="q35", mem_opts=mem_opts,
                             extra=["-cpu", "max,phys-bits=46"]),
                    name).boot()
        settled(vm)
        guest.check_map(vm)
        guest.check_console(vm)
        return map_bytes(vm)

    none, most = size("none", ""), size("most", "slots=2,maxmem=60T")
    ctx.say(f"map: {none} bytes, with maxmem=60T {most}")
    need(most <= none + 64 * 1024, "it does cost something")
