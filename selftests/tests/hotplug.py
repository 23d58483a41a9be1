# SPDX-License-Identifier: GPL-2.0
"""Memory that comes and goes: the map must be in nobody's way."""

from cfphtest import guest, oracle
from cfphtest.guest import settled
from cfphtest.integrity import crawl
from cfphtest.registry import need, test, wait_for
from cfphtest.vm import VMError

DEVICE_CHECK = 1        # an ACPI notification, which the event answers
TIMES = 10
MOST_STAY = 4
DIMM_PAGES = 65536
DIMM_AT = 4 << 30
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


def booted(ctx, state, args=""):
    vm = ctx.vm(ctx.spec(mem_opts="slots=10,maxmem=4G",
                         kernel_args=f"memhp_default_state={state} {args}"),
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


def map_places(ctx, vm):
    """Addresses of the map's header and leaves."""
    vm.qmp("stop")
    dump = oracle.Dump(vm, oracle.ram_ranges(vm), ctx.logs, "dump")
    places = [oracle.registered_header(vm),
              *oracle.map_leaves(vm, dump).values()]
    dump.close()
    vm.qmp("cont")
    ctx.say("map: " + " ".join(hex(place) for place in places))
    return places


def unplug_kernel_dimms(ctx, between):
    """A DIMM of kernel memory comes and goes, ten times.

    What the guest runs meanwhile may leave a page of its own there, with hints or
    without; so it runs nothing.  The kernel may leave one all the same, without hints,
    too (3 of 10 in one guest): then another guest goes on, if it is no page of the map.
    """
    vm, pages = booted(ctx, "online")
    plugged = stayed = 0
    for n in range(TIMES):
        plug(vm)
        between(vm)
        try:
            vm.unplug_dimm(plugged)
            plugged += 1
        except VMError as err:
            stayed += 1
            ctx.say(f"DIMM {n} stays: {err}")
            need(stayed <= MOST_STAY, f"{stayed} have stayed")
            need(max(map_places(ctx, vm)) < DIMM_AT, "a page of the map is there")
            ctx.drop(vm)
            vm, pages = booted(ctx, "online")
            plugged = 0
    check(vm, pages)
    guest.check_console(vm)


@test("hotplug-unplug", 400)
def hotplug_unplug(ctx):
    """A DIMM of kernel memory goes: it must not hold a page of the map."""
    unplug_kernel_dimms(ctx, lambda vm: None)


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
            check(vm, pages + 2 * DIMM_PAGES)
            need(map_bytes(vm) == size + 4 * LEAF, "not four leaves more")
            for i in order:
                vm.unplug_dimm(first + i)
            idle_map(vm, pages, size)
            first += 2
    guest.check_console(vm)


def zone_of(vm, block):
    return vm.sh(f"cat /sys/devices/system/memory/{block}/valid_zones").strip()


@test("hotplug-unplug-movable-node")
def hotplug_movable_node(ctx):
    """A DIMM that movable_node keeps the kernel away from goes, ten times."""
    vm, pages = booted(ctx, "online", "movable_node")
    for i in range(TIMES):
        plug(vm)
        need(zone_of(vm, "memory32") == "Movable", zone_of(vm, "memory32"))
        vm.sh("memhog --percent 60")
        check(vm, pages + DIMM_PAGES)
        vm.unplug_dimm(i)
        check(vm, pages)
    guest.check_console(vm)


def session(vm):
    """A migration that comes to nothing."""
    migration = crawl(vm)
    wait_for(lambda: guest.cfph_status(vm)["state"] == "started",
             "START is not answered")
    need(migration.cancel() == "cancelled", "not cancelled")


@test("hotplug-unplug-session", 400)
def hotplug_session(ctx):
    """A DIMM of kernel memory goes after a migration that came to nothing."""
    unplug_kernel_dimms(ctx, session)


@test("hotplug-new-map")
def hotplug_new_map(ctx):
    """A map that is made when there is a DIMM of kernel memory is not in it.

    The DIMM could not go, anyway: a guest that runs a command leaves memory of its
    own there, with hints or without.
    """
    vm, pages = booted(ctx, "online")
    plug(vm)
    need(zone_of(vm, "memory32") == "Normal", zone_of(vm, "memory32"))
    for what in (lambda vm: vm.sh("fpctl stop; fpctl start"), guest.rebind):
        what(vm)
        check(vm, pages + DIMM_PAGES)
        places = map_places(ctx, vm)
        need(len(places) > 5 and max(places) < DIMM_AT, "in the DIMM")
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


# --- memory that cannot go ---

MEMORY = "/sys/devices/system/memory"


@test("hotplug-stuck")
def hotplug_stuck(ctx):
    """Memory that goes offline, but cannot, holds up a new map, and nobody else.

    Pages of a pipe cannot be moved.  Whoever wants them offline tries until they are
    gone or he is, and waits in the place of all that a map that is being made may wait
    for: a disk, say, that has no more to give.
    """
    vm, pages = booted(ctx, "online_movable")
    plug(vm)
    vm.sh("dd if=/dev/zero of=/tmp/file bs=64K count=1 2>/dev/null && "
          "{ cat /tmp/file | sleep 999 & } >/dev/null 2>&1")
    vm.sh(f"for b in 32 33; do echo offline >{MEMORY}/memory$b/state & done "
          "2>/dev/null; "
          + guest.until("dmesg | grep -q 'migration failure'"))
    vm.sh("fpctl stop; fpctl start; "
          + guest.until("grep -q '^State:.D' /proc/$(pidof kcfphd)/status"))

    need(guest.fpctl(vm)["reason"] == "starting", "not on its way")
    guest.rebind(vm)
    vm.sh("fpctl stop")
    need(guest.fpctl(vm)["reason"] == "admin", "not stopped")
    vm.sh("fpctl start")

    guest.kill(vm, "sleep")
    settled(vm)
    wait_for(lambda: tracked(vm) < pages + DIMM_PAGES, "none has gone offline")
    guest.check_map(vm)
    guest.check_console(vm)


# --- virtio-mem ---

def resize(vm, size, most=None):
    """Have the driver plug or unplug; returns when it has that, or not more than."""
    def prop(command, name, **value):
        return vm.qmp(command, path="/machine/peripheral/vmem0", property=name,
                      **value)

    prop("qom-set", "requested-size", value=size)
    wait_for(lambda: size <= prop("qom-get", "size") <= (most or size),
             f"{prop('qom-get', 'size')} bytes are plugged, not {size}")


def with_virtio_mem(ctx, state):
    spec = ctx.spec(mem_opts="maxmem=2G",
                    kernel_args=f"memhp_default_state={state}",
                    extra=["-object", "memory-backend-ram,id=vm0,size=512M",
                           "-device", "virtio-mem-pci,id=vmem0,memdev=vm0"])
    vm = ctx.vm(spec, "guest").boot()
    settled(vm)
    return vm, tracked(vm)


@test("hotplug-virtio-mem-movable")
def virtio_mem_movable(ctx):
    """virtio-mem with movable memory shrinks to nothing, ten times."""
    vm, pages = with_virtio_mem(ctx, "online_movable")
    for _ in range(TIMES):
        resize(vm, 512 << 20)
        check(vm, pages + (512 << 8))
        resize(vm, 200 << 20)
        guest.check_map(vm)
        resize(vm, 0)
        check(vm, pages)
    guest.check_console(vm)


@test("hotplug-virtio-mem")
def virtio_mem_kernel(ctx):
    """virtio-mem gets back what the kernel has not used: pieces of blocks."""
    vm, _ = with_virtio_mem(ctx, "online")
    for _ in range(TIMES):
        resize(vm, 512 << 20)
        guest.check_map(vm)
        vm.sh("stamp start --mib 300; stamp stop")
        resize(vm, 0, 256 << 20)
        ctx.say(guest.check_map(vm))
    guest.check_console(vm)
