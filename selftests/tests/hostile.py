# SPDX-License-Identifier: GPL-2.0
"""A host that breaks the rules, or breaks: the guest must live with it.

The device does it on purpose (x-cfph-debug-misbehave, in QEMU's
virtio-balloon-cfph-misbehave.c), with no migration around it.  For every way:
first the test waits until the guest has been exposed to it, by counters that
only that can move; then the guest must answer, allocate, keep its map right,
suspend, unbind, unload, bind again, and switch off.  A driver that waits for
the host hangs in one of these, and the time limit says so.
"""

from cfphtest import guest
from cfphtest.guest import DRIVER, settled
from cfphtest.registry import Failure, need, test
from cfphtest.vm import refusal

POOL = 16       # message buffers of the driver
COMMANDS = 8    # its command buffers, and what it takes in one interrupt
BALLOON = "/machine/peripheral/balloon0/virtio-backend"


def boot(ctx, way, *options, **spec):
    vm = ctx.vm(ctx.spec(
        balloon_opts=[f"x-cfph-debug-misbehave={way}", *options],
        kernel_args="no_console_suspend suspend.pm_test_delay=1", **spec),
        "guest")
    vm.boot()
    settled(vm)
    return vm


def misdeeds(vm):
    return vm.qmp("qom-get", path=BALLOON, property="x-cfph-debug-misdeeds")


def stats(vm):
    return guest.fpctl(vm, "stats")


def uptime(vm):
    """Seconds of the guest's own clock."""
    return float(vm.sh("cat /proc/uptime").split()[0])


def until(vm, holds, text, tries=400):
    """Wait until holds(counters) does; the guest does the waiting."""
    for _ in range(tries):
        now = stats(vm)
        if holds(now):
            return now
        vm.sh("usleep 50000")
    raise Failure(f"{text}: did not happen; {now}, misdeeds {misdeeds(vm)}")


def works(ctx, vm):
    """It answers, has memory to give, and its map is right."""
    vm.sh("memhog --percent 40", 60)
    show = guest.fpctl(vm)
    need(show["state"] == "ready", f"state: {show}")
    ctx.say(f"map: {guest.check_map(vm)}")
    guest.check_console(vm)


def come_and_go(ctx, vm, exposed):
    """Suspend, unbind, unload, stop, and back; exposed() waits for trouble."""
    dev = guest.driver_device(vm)
    for away, back in (
            ("echo devices >/sys/power/pm_test", "echo mem >/sys/power/state"),
            (f"echo {dev} >{DRIVER}/unbind", f"echo {dev} >{DRIVER}/bind"),
            ("rmmod virtio_balloon",
             f"insmod {guest.KO}"),
            ("fpctl stop", "fpctl start")):
        vm.sh(away, 30)
        if "pm_test" not in away:
            show = guest.fpctl(vm)
            need(show["state"] == "off", f"after '{away}': {show}")
        vm.sh(back, 60)
        settled(vm)
        if "fpctl" not in away:
            exposed()
    works(ctx, vm)
    guest.check_leaks(vm)


def switch_off(vm):
    vm.keep_counters()
    vm.sh("(usleep 100000; poweroff -f) >/dev/null 2>&1 &")
    vm.wait_event(lambda e: e["event"] == "SHUTDOWN", 60)
    guest.check_console(vm)


def life(ctx, vm, exposed):
    """All of it; exposed() returns when the guest has met the misbehaviour."""
    exposed()
    works(ctx, vm)
    come_and_go(ctx, vm, exposed)
    ctx.say(f"misdeeds: {misdeeds(vm)}, guest: {stats(vm)}")
    switch_off(vm)


def more(vm, text, counter, amount):
    """A function that waits until `counter` has grown by `amount`."""
    def wait():
        first = stats(vm)[counter]
        until(vm, lambda now: now[counter] >= first + amount,
              f"{text}: {counter} + {amount}")
    return wait


@test("hostile-hold", 240)
def hostile_hold(ctx):
    """Messages never come back: the pool runs dry, nothing else happens."""
    vm = boot(ctx, "hold")

    def dry():
        before = stats(vm)
        vm.sh("fpctl monitor >/tmp/events 2>&1 </dev/null &")
        until(vm, lambda now: now["stalls"] > before["stalls"], "no stall")
        vm.sh("memhog --percent 30", 60)    # much to tell, and no buffer
        now = stats(vm)
        drivers.append(now["messages"])
        need(now["messages"] <= len(drivers) * POOL,
             f"more messages than buffers: {before} {now}")

    def told():
        """Who listened when a stall began was told of it."""
        vm.sh("kill $(pidof fpctl)")
        events = vm.sh("cat /tmp/events")
        need("stall" in events, f"no stall among the events: {events}")

    drivers = []        # one of them after the other, with a pool each
    until(vm, lambda now: now["messages"] == POOL, "pool not used up")
    dry()
    works(ctx, vm)
    come_and_go(ctx, vm, dry)
    told()
    ctx.say(f"messages after each of {len(drivers)} drivers: {drivers}")
    until(vm, lambda now: now["messages"] == len(drivers) * POOL,
          "a driver that came back has not all of its buffers")
    switch_off(vm)


@test("hostile-reorder", 240)
def hostile_reorder(ctx):
    """Buffers of both queues come back in another order: all come back."""
    vm = boot(ctx, "reorder")
    life(ctx, vm, more(vm, "reorder", "messages", 5 * POOL))
    need("not got back" not in vm.said(), vm.said().strip()[-300:])


@test("hostile-lengths", 240)
def hostile_lengths(ctx):
    """Used lengths of 17 to 4294967295 bytes: commands count all the same."""
    vm = boot(ctx, "lengths")
    life(ctx, vm, more(vm, "lengths", "rounds", 20))


@test("hostile-unknown", 240)
def hostile_unknown(ctx):
    """Commands that do not exist, are too short, or of another migration."""
    vm = boot(ctx, "unknown")
    exposed = more(vm, "unknown", "unknown-commands", 300)

    def ignored():
        exposed()
        show, now = guest.fpctl(vm), stats(vm)
        # It says that there is a map, or none, and nothing else.
        said = now["registrations"] + now["unregistrations"]
        need(not show["migration-id"] and now["messages"] == said and
             now["migrations"] == 0, f"a command was obeyed: {show} {now}")

    life(ctx, vm, ignored)


def interrupts(vm):
    """All that the balloon device has raised."""
    text = vm.sh("grep -E 'virtio[0-9]+-(config|virtqueues|cfph_command)' "
                 f"/proc/interrupts | grep $(basename $(ls -d {DRIVER}/virtio*))")
    return sum(int(n) for line in text.splitlines()
               for n in line.split(":")[1].split("PCI")[0].split())


@test("hostile-flood", 240)
def hostile_flood(ctx):
    """START, ROUND and STOP without pause: the only CPU still has time."""
    # Answered within the kick, so that the driver always finds another one.
    vm = boot(ctx, "flood", "ioeventfd=off", smp=1)

    def flooded():
        begun, sessions = uptime(vm), stats(vm)["migrations"]
        # In this order, so that no command is counted without its interrupt.
        irqs = interrupts(vm)
        first = misdeeds(vm)
        until(vm, lambda now: misdeeds(vm) > first + 5000, "no flood")
        commands = misdeeds(vm) - first
        irqs = interrupts(vm) - irqs
        sessions = stats(vm)["migrations"] - sessions
        seconds = uptime(vm) - begun
        ctx.say(f"{sessions} sessions in {seconds:.1f} s")
        # 100 a second; what /proc/uptime shows is up to 0.01 s old.
        need(sessions <= 100 * (seconds + 0.02) + 1, "too many sessions")
        ctx.say(f"{commands} commands in {irqs} interrupts")
        need(commands <= COMMANDS * (irqs + 2),
             f"{commands} commands in {irqs} interrupts: not bounded")

    life(ctx, vm, flooded)


def broken_ring(ctx, way, words):
    """A lie that the driver's virtqueue notices: it is dead until a reset."""
    vm = boot(ctx, way)
    seen = []

    def noticed():
        first = len(seen)
        for _ in range(400):
            text = vm.sh("dmesg | grep -E '" + "|".join(words) + "' || true")
            seen[:] = text.strip().splitlines()
            if len(seen) > first:
                ctx.say(seen[-1])
                return
            vm.sh("usleep 50000")
        raise Failure(f"{way}: not noticed; {stats(vm)}, {misdeeds(vm)}")

    life(ctx, vm, noticed)


@test("hostile-twice", 240)
def hostile_twice(ctx):
    """A buffer is returned twice."""
    broken_ring(ctx, "twice", ["is not a head"])


@test("hostile-foreign", 240)
def hostile_foreign(ctx):
    """A buffer is returned that was never sent."""
    broken_ring(ctx, "foreign", ["is not a head", "out of range"])


@test("hostile-broken", 240)
def hostile_broken(ctx):
    """The device breaks (DEVICE_NEEDS_RESET) in the middle of a session."""
    vm = boot(ctx, "broken")
    breaks = [0]

    def broken():
        until(vm, lambda now: misdeeds(vm) > breaks[0], "not broken")
        breaks[0] = misdeeds(vm)
        # Buffers sent after it are gone until the next reset.
        vm.sh("memhog --percent 20", 60)

    life(ctx, vm, broken)
    need("broken on purpose" in vm.said(), "the device did not break")


def unplug(ctx, way, exposed):
    """The device disappears in the middle of a session; another one comes."""
    vm = boot(ctx, way)
    exposed(vm)
    vm.qmp("device_del", id="balloon0")
    vm.wait_event(lambda e: e["event"] == "DEVICE_DELETED" and
                  e["data"].get("device") == "balloon0", 60)
    show = guest.fpctl(vm)
    need((show["state"], show["reason"], show["map-bytes"]) ==
         ("off", "no-device", 0), f"after the unplug: {show}")
    vm.sh("memhog --percent 40", 60)
    guest.check_leaks(vm)
    vm.qmp("device_add", driver="virtio-balloon-pci", id="balloon0",
           **{"continuous-free-page-hint": True})
    settled(vm)
    works(ctx, vm)
    switch_off(vm)


@test("hostile-unplug-hold", 180)
def hostile_unplug_hold(ctx):
    """The device disappears with all buffers of the driver."""
    unplug(ctx, "hold", lambda vm: until(
        vm, lambda now: now["messages"] >= POOL and now["stalls"],
        "pool not used up"))


@test("hostile-unplug-flood", 180)
def hostile_unplug_flood(ctx):
    """The device disappears while it floods the guest with commands."""
    unplug(ctx, "flood", lambda vm: until(
        vm, lambda now: misdeeds(vm) > 2000, "no flood"))


@test("hostile-property")
def hostile_property(ctx):
    """A way to misbehave that does not exist: one line that names the others."""
    text = refusal("-device", "virtio-balloon-pci,"
                   "continuous-free-page-hint=on,"
                   "x-cfph-debug-misbehave=nicely")
    ctx.say(text)
    need("nicely" in text and "reorder" in text, text)
