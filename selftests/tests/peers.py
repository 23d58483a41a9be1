# SPDX-License-Identifier: GPL-2.0
"""Loads of other people, in a guest that migrates under them.

stress-ng and stressapptest, as Debian has them, know nothing of us and check
what they have written by means of their own.  So besides the comparison of both
memories it is their verdict that counts.
"""

import re

from cfphtest import guest, programs
from cfphtest.integrity import compare, need_hints, resume, several_rounds
from cfphtest.registry import need, test

MEM = "512M"            # the programs and their libraries take 60 MiB of it
LOG, PID, CODE = "/tmp/peer.log", "/tmp/peer.pid", "/tmp/peer.code"


class Peer:
    """One program that runs in the guest until it is told to end."""

    def __init__(self, ctx, program, package, options):
        self._path = programs.find(program, package)
        # As a user: root's madvise() poisons pages, which ends stress-ng.
        self._command = ("start-stop-daemon -S -c somebody -x "
                         f"{self._path} -- {options}")
        self._initrd = ctx.initrd_with(programs.with_libraries([self._path]))

    def guests(self, ctx):
        """A pair, with the program at work in the source."""
        src, dst = ctx.pair(ctx.spec(mem=MEM), initrd=self._initrd)
        guest.settled(src)
        guest.watch_map(src)
        # POSIX shared memory has its files there
        src.sh("mkdir -p /dev/shm && mount -t tmpfs tmpfs /dev/shm")
        src.sh("mkdir -p /etc; echo somebody:x:1000:0::/:/bin/sh >/etc/passwd")
        src.sh(f"cd /tmp; ({self._command} >{LOG} 2>&1 </dev/null & "
               f"echo $! >{PID}; wait $!; echo $? >{CODE}) "
               ">/dev/null 2>&1 </dev/null &")
        return src, dst

    @staticmethod
    def end(vm):
        """What it has to say, once it has been told to end."""
        vm.run(f"kill -TERM $(cat {PID})")
        said = vm.sh(f"for i in $(seq 1 1200); do [ -s {CODE} ] && break; "
                     f"usleep 50000; done; cat {LOG}", 90)
        code = vm.sh(f"cat {CODE} || true").strip()
        need(code == "0", f"exit code {code}: {said[:1500]}")
        return said


def until(vm, condition, before=""):
    """Wait for a shell condition in the guest, while the program runs."""
    vm.sh(f"{before} for i in $(seq 1 1200); do {condition} && exit 0; "
          f"[ -s {CODE} ] && break; usleep 50000; done; cat {LOG}; exit 1", 90)


def until_faults(vm, pages):
    """Wait until so many pages have been touched anew."""
    until(vm, "[ $(f) -ge $end ]",
          "f() { awk '$1 == \"pgfault\" { print $2 }' /proc/vmstat; }; "
          f"end=$(($(f) + {pages}));")


def across(ctx, peer, at_work):
    """at_work(vm) returns when the program has come round once."""
    src, dst = peer.guests(ctx)
    at_work(src)
    need_hints(ctx, several_rounds(src, dst))
    compare(ctx, src, dst)
    guest.check_console(src)
    src.close()
    resume(dst)
    at_work(dst)
    said = peer.end(dst)
    ctx.say(f"map: {guest.check_map(dst)}")
    guest.check_console(dst)
    return said


# --- stress-ng ---

def stress_ng(ctx, stressors, faults):
    """Each of @stressors has done something and nothing has failed."""
    words = " ".join(f"--{name} 1 {options}"
                     for name, options in stressors.items())
    peer = Peer(ctx, "stress-ng", "stress-ng",
                f"{words} --verify --metrics-brief --timeout 3600")
    said = across(ctx, peer, lambda vm: until_faults(vm, faults))
    done = {name: int(count) for name, count in re.findall(
        r"metrc: \[\d+\] (\w+) +(\d+) +\d+\.", said)}
    ctx.say("stress-ng: " + " ".join(f"{k}={v}" for k, v in done.items()))
    idle = [name for name in stressors if not done.get(name)]
    need(not idle, f"{', '.join(idle)} did nothing: {said[-600:]}")
    need("fail" not in said and "successful run completed" in said,
         said[-600:])


@test("peers-stress-ng-vm", 240)
def peers_stress_ng_vm(ctx):
    """stress-ng --vm --vm-method all --verify across a migration."""
    stress_ng(ctx, {"vm": "--vm-bytes 96M --vm-method all"}, 48 << 8)


@test("peers-stress-ng-mix", 240)
def peers_stress_ng_mix(ctx):
    """stress-ng: shm, mmap, memfd, madvise, fork and vfork, all verified."""
    # By default --shm makes 32 objects of that size.
    stress_ng(ctx, {"shm": "--shm-bytes 4M --shm-objs 8",
                    "memfd": "--memfd-bytes 8M",
                    "mmap": "--mmap-bytes 4M", "madvise": "", "fork": "",
                    "vfork": ""}, 48 << 8)


# --- stressapptest ---

@test("peers-stressapptest", 240)
def peers_stressapptest(ctx):
    """stressapptest: copies between pages, all checksums right at the end."""
    peer = Peer(ctx, "stressapptest", "stressapptest",
                "-s 3600 -M 128 -m 2 -W")

    def filled(vm):
        """Its threads run: all of its memory has been written."""
        until(vm, f"grep -q 'Region mask' {LOG}")

    said = across(ctx, peer, filled)
    stats = re.search(r"Stats: Completed: .*", said)
    need(stats, said[-600:])
    ctx.say(f"stressapptest: {stats[0]}")
    need(re.search(r"Stats: Found 0 hardware incidents", said) and
         "Status: PASS" in said, said[-600:])
