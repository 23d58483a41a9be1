# SPDX-License-Identifier: GPL-2.0
"""What tests and the demo ask of a booted guest."""

import collections
import json
import re

from . import config
from .registry import wait_for
from .vm import VMError

DRIVER = "/sys/bus/virtio/drivers/virtio_balloon"
KO = "/lib/modules/cfph/virtio_balloon.ko"      # in the guest
TRACING = "/sys/kernel/tracing"


class GuestError(VMError):
    """The guest is not as it must be."""


def check_stamp(vm, limit=60):
    """Every page of the stamped area holds what was put there."""
    code, text = vm.run("stamp check", limit)
    if code:
        raise GuestError(f"{vm.name}: stamped area is wrong: {text.strip()}")
    return text.strip()


def check_stress(vm, command="check", limit=150):
    code, text = vm.run(f"stress {command}", limit)
    if code:
        raise GuestError(f"{vm.name}: stress {command} exits {code}: "
                         f"{text.strip()}")
    return {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", text)}


def driver_device(vm):
    """Name of the balloon device that the driver has."""
    return vm.sh(f"basename $(ls -d {DRIVER}/virtio*)").strip()


def rebind(vm):
    """Unbind the driver, and bind it again at once."""
    dev = driver_device(vm)
    vm.sh(f"cd {DRIVER} && echo {dev} >unbind && echo {dev} >bind")


def listed_pages(vm):
    """Pages in the allocator's per-cpu lists."""
    return sum(zone["pcp-pages"] for zone in fpctl(vm, "stats zone")["zones"])


def vmstat(vm, *names):
    """Those lines of /proc/vmstat, a list."""
    # First those that each CPU has counted for itself.
    have = dict(line.split() for line in
                vm.sh("echo 1 >/proc/sys/vm/stat_refresh; "
                      "cat /proc/vmstat").splitlines())
    return [int(have[name]) for name in names]


def cache_disk(vm, limit=120):
    """Read the disk; somebody has it open, or the cache would go with the last one."""
    vm.sh("pidof sleep >/dev/null || { sleep 99999 </dev/vda >/dev/null 2>&1 & }; "
          "cat /dev/vda >/dev/null", limit)


def no_writeback(vm):
    """Nobody writes back what is written from now on, but who asks for it."""
    vm.sh("cd /proc/sys/vm && echo 0 >dirty_writeback_centisecs && "
          "echo 80 >dirty_ratio && echo 60 >dirty_background_ratio")


def balloon(vm, mib):
    """Change the size of the guest's memory, DIMMs included, and wait for it."""
    vm.qmp("balloon", value=mib << 20)
    # Told once a second at most; the last change may go untold.
    vm.wait_event(lambda e: e["event"] == "BALLOON_CHANGE", 60)
    wait_for(lambda: vm.qmp("query-balloon")["actual"] == mib << 20,
             f"a balloon that leaves {mib} MiB")


def occupy(vm, words):
    """A process that fills memory and keeps it, or every other page of it."""
    vm.sh(f"memhog {words} >/run/memhog & "
          "until grep -q filled /run/memhog; do usleep 10000; done; rm /run/memhog",
          120)


def kill(vm, name):
    """End a process of the guest; returns when its memory is back."""
    vm.sh(f"p=$(pidof {name}); kill -9 $p; "
          "while grep -qv '^0 ' /proc/$p/statm 2>/dev/null; do usleep 10000; done")


def fpctl(vm, words="show"):
    """fpctl -j, decoded."""
    return json.loads(vm.sh(f"fpctl -j {words}"))


def cfph_status(vm):
    """What the device says of itself."""
    return vm.qmp("qom-get", path="/machine/peripheral/balloon0",
                  property="cfph-status")


def boot_id(vm):
    """Another one for each kernel that boots."""
    return vm.sh("cat /proc/sys/kernel/random/boot_id")


def wait_next_kernel(vm, limit):
    """Wait for a kernel that is started without a reset of the machine."""
    # The port tells that nobody listens, and then that somebody does.
    vm.wait_event(lambda e: e["event"] == "VSERPORT_CHANGE" and
                  e["data"]["open"], limit)
    vm.agent.close()
    vm.boot()


def debugfs(name):
    return f"/sys/kernel/debug/cfph/{name}"


def until(condition, tries=400, complain=""):
    """Shell words: exit 0 as soon as it holds; 1 after 50 ms for each try."""
    return (f"for i in $(seq 1 {tries}); do {condition} && exit 0; "
            f"usleep 50000; done; {complain} exit 1")


def until_shown(vm, pattern, text):
    """Wait until fpctl show has this (a regular expression, no blanks)."""
    code, said = vm.run(until(
        f"fpctl -j show | tr -d ' ' | grep -qE '{pattern}'",
        complain="fpctl show;"))
    if code:
        raise GuestError(f"{vm.name}: {text}: {said}")


def settled(vm):
    """Wait until the map is ready; the kernel builds it in the background."""
    until_shown(vm, '"state":"ready"', "the map does not get ready")


def check_map(vm):
    """The kernel's own oracle: map and buddy lists agree, block by block."""
    settled(vm)
    text = vm.sh(f"cat {debugfs('verify')}").strip()
    if not text.startswith("ok "):
        raise GuestError(f"{vm.name}: debugfs cfph/verify: {text}")
    return text


def watch_map(vm):
    """From now on that oracle looks at a leaf at random, 4 times a second."""
    vm.sh(f"echo 250 >{debugfs('verify_random_ms')}")


def check_leaks(vm):
    """kmemleak, where the kernel has it: nothing of ours is lost."""
    # Twice: an object that is only in a register at the first look is not lost.
    if not config.kernel_has("CONFIG_DEBUG_KMEMLEAK"):
        return
    text = vm.sh("k=/sys/kernel/debug/kmemleak; "
                 "echo scan >$k; sleep 6; echo scan >$k; cat $k", 300)
    if "cfph" in text:
        raise GuestError(f"{vm.name}: kmemleak: {text}")


def check_console(*vms):
    """No warning, no oops, no hung task in any console log."""
    for vm in vms:
        foreign = collections.Counter(r.title for r in vm.foreign_races())
        if foreign:
            print(f"# {vm.name}: {foreign.total()} data races of others: " +
                  ", ".join(f"{n}x {title}" for title, n in
                            foreign.most_common(4)), flush=True)
        lines = vm.console_trouble()
        if lines:
            raise GuestError(f"{vm.name}: in the kernel log: " +
                             " | ".join(lines[:5]))
