# SPDX-License-Identifier: GPL-2.0
"""What checks guests and memory is told lies, and must not believe them.

No guest can be had to be wrong in each of these ways, and in no other; so what it
would say, and what its memory would hold, is made up here.  The checkers are the ones
that all tests use.  The runner and the reader of KTAP have theirs in runner.py, and
the model's runner is in unit.py.
"""

import asyncio
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import types

from cfphtest import config, guest, hints, integrity, oracle, pageflags
from cfphtest.agent import Agent, AgentError
from cfphtest.initramfs import Archive, libraries
from cfphtest.registry import Failure, need, test, wait_for
from cfphtest.vm import VM, QemuDied, Spec, VMError

PAGE = 4096
RAM = 8 << 20
HEADER, DIRECTORY, LEAF, ARRAY = 0x2000, 0x3000, 0x4000, 0x400000
FREE_PFN, FREE_ORDER = 1536, 9          # one free block, the rest is in use
USED_PFN, OTHER_PFN = 700, 1100         # not in one block of the largest order
FLAGS, ORDER, PAGE_TYPE, REFCOUNT = 0, 40, 48, 52       # of struct page
ROOT = 'FlatView #0\n AS "memory", root: system\n'
RUNS_WITH_INTERRUPTS_OFF = "RIP=ffffffff81000000 RFL=00000002 [-------] CPL=0\n"


def page_array():
    """struct page of all pages, of which one block is in the buddy lists."""
    array = bytearray(oracle.SECTION_PAGES * oracle.STRUCT_PAGE)

    def put(pfn, order, page_type, refcount):
        struct.pack_into("<8xQ24xQIi8x", array, pfn * oracle.STRUCT_PAGE,
                         0, order, page_type << 24, refcount)

    for pfn in range(FREE_PFN):
        put(pfn, 0, 0xff, 1)
    put(FREE_PFN, FREE_ORDER, oracle.PGTY_BUDDY, 0)
    return array


class Stopped:
    """A guest that has been stopped, with 8 MiB, a page array, and a map."""

    name = "made up"
    spec = types.SimpleNamespace(ram_names=lambda: ["pc.ram"])

    def __init__(self, **wrong):
        self.ram = bytearray(RAM)
        self.ram[ARRAY:ARRAY + (2 << 20)] = page_array()
        oracle.HEADER.pack_into(self.ram, HEADER, oracle.MAGIC, 77, oracle.READY,
                                oracle.VERSION, 1, 1)
        struct.pack_into("<Q", self.ram, HEADER + oracle.HEADER.size, DIRECTORY)
        struct.pack_into("<Q", self.ram, DIRECTORY, LEAF)
        self.mark(FREE_PFN, 1 << FREE_ORDER)
        self.runs, self.skipped, self.told, self.cut = False, 512, True, 0
        self.ranges = f" 0000000000000000-{RAM - 1:016x} (prio 0, ram): pc.ram\n"
        self.array = f"gpa: {ARRAY:#x}\n"
        self.vcpus = ""
        for key, value in wrong.items():
            getattr(self, key)      # or it is no such field
            setattr(self, key, value)

    def mark(self, pfn, count=1, free=True):
        """Bits of the map."""
        for n in range(pfn, pfn + count):
            bit = 1 << n % 8
            self.ram[LEAF + n // 8] &= 0xff - bit
            self.ram[LEAF + n // 8] |= bit * free
        return self

    def write(self, *pfns):
        for pfn in pfns:
            self.ram[pfn * PAGE + 99] ^= 0xff
        return self

    def poke(self, pfn, offset, value):
        """A 32-bit word of a struct page."""
        struct.pack_into("<I", self.ram, ARRAY + pfn * oracle.STRUCT_PAGE + offset,
                         value)
        return self

    def nobodys(self, *pfns):
        """Pages without an owner, in no list, and free in the map."""
        for pfn in pfns:
            self.poke(pfn, REFCOUNT, 0).mark(pfn)
        return self

    def qmp(self, command, val=0, size=0, filename=""):
        if command == "query-status":
            return {"running": self.runs}
        if command == "query-migrate":
            return {"ram": {"free-pages-skipped": self.skipped}}
        if command in ("stop", "cont"):
            return {}
        need(command == "pmemsave", command)
        with open(filename, "wb") as out:
            out.write(self.ram[val:val + size - self.cut])
        return {}

    def hmp(self, line):
        return {"info mtree -f": ROOT + self.ranges,
                "info registers -a": self.vcpus}.get(line, self.array)

    def trace_text(self):
        return ("1@2.3:virtio_balloon_cfph_map migration_id=0 round=0 "
                f"generation=0x4d header_addr={HEADER:#x}\n" if self.told else "")


def silent(ctx):
    """What is said of lies belongs into no log."""
    return types.SimpleNamespace(logs=ctx.logs, say=lambda text: None)


def refused(about, kind, text, function, *args, **how):
    """It must say that something is wrong, in these words."""
    try:
        function(*args, **how)
    except kind as err:
        need(text in str(err), f"{about}: it says {err}, not {text}")
        return
    raise Failure(f"{about}: believed")


@test("checker-memory", 60)
def checker_memory(ctx):
    """The comparison of memory: what is lost, what is not, and nothing at all."""
    ctx = silent(ctx)

    def compare(change=lambda vm: None, written=(), **how):
        """Of a guest, and of what has arrived of it."""
        src, dst = Stopped(), Stopped()
        change(src)
        change(dst)
        return integrity.compare(ctx, src, dst.write(*written), **how)

    verdict = compare()
    need((verdict.pages, verdict.differ, verdict.free_total, verdict.map_leaves) ==
         (RAM // PAGE, 0, 512, 1), f"the same: {verdict}")
    verdict = compare(written=(FREE_PFN, FREE_PFN + 511))
    need((verdict.differ, verdict.free) == (2, 2), f"free pages: {verdict}")
    for pfn in (0, USED_PFN, FREE_PFN - 1, RAM // PAGE // 2):
        refused(f"{pfn:#x} is in use", integrity.Lost, "1 LOST", compare,
                written=[pfn])

    # A vCPU may have stopped with one block that is nobody's.
    def midway(*pfns):
        def change(vm):
            vm.nobodys(*pfns).vcpus = RUNS_WITH_INTERRUPTS_OFF
        return change
    verdict = compare(midway(USED_PFN), [USED_PFN])
    need(verdict.in_flight == [USED_PFN], f"in flight: {verdict}")
    refused("no vCPU has it", integrity.Lost, "1 LOST", compare,
            lambda vm: vm.nobodys(USED_PFN), [USED_PFN])
    refused("in use, and a vCPU has stopped", integrity.Lost, "1 LOST", compare,
            lambda vm: midway()(vm.mark(USED_PFN)), [USED_PFN])
    refused("two blocks, one vCPU", integrity.Lost, "2 LOST", compare,
            midway(USED_PFN, OTHER_PFN), [USED_PFN, OTHER_PFN])

    def ballooned(vm):
        vm.poke(USED_PFN, PAGE_TYPE, oracle.PGTY_OFFLINE << 24)
    need(compare(ballooned, [USED_PFN], balloon=True).gone == 1, "balloon")
    refused("no balloon", integrity.Lost, "1 LOST", compare, ballooned, [USED_PFN])

    def told(vm):
        """In the balloon, and the map knows."""
        ballooned(vm.mark(USED_PFN).poke(USED_PFN, FLAGS, oracle.OWNER_PRIV_1))
    need(compare(told, [USED_PFN]).gone == 1, "in the balloon, and free")
    refused("another page beside the balloon", integrity.Lost, "1 LOST", compare, told,
            [USED_PFN, OTHER_PFN])
    refused("a page that has left the balloon", integrity.Lost, "1 LOST", compare,
            lambda vm: vm.mark(USED_PFN).poke(USED_PFN, FLAGS, oracle.OWNER_PRIV_1),
            [USED_PFN])
    refused("no kernel", integrity.Lost, "1 LOST", compare, written=[FREE_PFN],
            no_kernel=True)

    for about, kind, text, change in NOT_COMPARABLE:
        refused(about, kind, text, compare, change)
    refused("RAM of another size", oracle.OracleError, "different RAM",
            integrity.compare, ctx, Stopped(), Stopped(ranges=Stopped().ranges * 2))


def gone(*fields):
    """A change that takes what is in guest memory there away."""
    def change(vm):
        for at, size in fields:
            vm.ram[at:at + size] = bytes(size)
    return change


def no_directory(vm):
    gone((HEADER + oracle.HEADER.size, 8))(vm)


NOT_COMPARABLE = (
    ("a page in use is free in the map", integrity.Lost, "1 lies",
     lambda vm: vm.mark(USED_PFN)),
    ("a free page is in use in the map", integrity.Lost, "1 gaps",
     lambda vm: vm.mark(FREE_PFN + 3, free=False)),
    ("the map has no leaf", integrity.Lost, "there is no map", no_directory),
    ("the map is void", integrity.Lost, "there is no map",
     lambda vm: oracle.HEADER.pack_into(vm.ram, HEADER, oracle.MAGIC, 77, 0,
                                        oracle.VERSION, 1, 1)),
    ("the device was told of none", integrity.Lost, "there is no map",
     lambda vm: (gone((HEADER, 64))(vm), setattr(vm, "told", False))),
    ("it runs", oracle.OracleError, "nothing to compare",
     lambda vm: setattr(vm, "runs", True)),
    ("no RAM", oracle.OracleError, "no RAM", lambda vm: setattr(vm, "ranges", "")),
    ("dumps that end early", oracle.OracleError, "bytes",
     lambda vm: setattr(vm, "cut", PAGE)),
    ("empty dumps", oracle.OracleError, "0 bytes",
     lambda vm: setattr(vm, "cut", RAM)),
    ("no page is free", oracle.OracleError, "no free page",
     lambda vm: vm.poke(FREE_PFN, PAGE_TYPE, 0xff << 24)),
    ("another struct page", oracle.OracleError, "not the struct page",
     lambda vm: vm.poke(FREE_PFN, ORDER, oracle.MAX_ORDER + 1)),
    ("no page array", oracle.OracleError, "no page array",
     lambda vm: setattr(vm, "array", "Unmapped\n")),
    ("a page array beyond RAM", oracle.OracleError, "is not in RAM",
     lambda vm: setattr(vm, "array", f"gpa: {RAM:#x}\n")),
)


@test("checker-map", 60)
def checker_map(ctx):
    """The look at the map of a guest that stands still, and at its hints."""
    ctx = silent(ctx)

    def look(change=lambda vm: None):
        vm = Stopped()
        change(vm)
        return integrity.check_stopped_map(ctx, vm)
    need(look().map_leaves == 1, "a good map")
    refused("no map", Failure, "no map is registered", look, no_directory)
    refused("a page in use is free", Failure, "1 lies", look,
            lambda vm: vm.mark(USED_PFN))
    refused("a free page is in use", Failure, "1 gaps", look,
            lambda vm: vm.mark(FREE_PFN, free=False))

    # Bits of a page that may lie in the balloon, and not in that of another driver.
    def balloon(free, page_type, flags, refcount=1):
        return lambda vm: vm.poke(USED_PFN, PAGE_TYPE, page_type << 24).poke(
            USED_PFN, FLAGS, flags).poke(USED_PFN, REFCOUNT, refcount).mark(
                USED_PFN, free=free)
    offline, mark = oracle.PGTY_OFFLINE, oracle.OWNER_PRIV_1
    verdict = look(balloon(True, offline, mark))
    need((verdict.offline, verdict.balloon) == (1, 1), f"the balloon: {verdict}")
    verdict = look(balloon(False, offline, 0))
    need((verdict.offline, verdict.balloon) == (1, 0), f"another balloon: {verdict}")
    need(not look(balloon(False, offline, 0, 0)).offline, "never online")
    for about, text, change in (
            ("it has left the balloon", "1 lies", balloon(True, 0xff, mark)),
            ("no mark", "1 lies", balloon(True, offline, 0)),
            ("no bit", "1 gaps", balloon(False, offline, mark))):
        refused(about, Failure, text, look, change)

    def migrated(skipped, **member):
        return {"total-time": 1, "downtime": 1, hints.MEMBER: member,
                "ram": {"dirty-sync-count": 1, "transferred": 1,
                        "free-pages-skipped": skipped}}
    integrity.need_hints(ctx, migrated(1))
    refused("no page was skipped", Failure, "no page was skipped",
            integrity.need_hints, ctx, migrated(0))
    refused("nobody counts", Failure, "no page was skipped",
            integrity.need_hints, ctx, migrated(None))
    off = migrated(0, status="off", reason="no-map")
    hints.need_state(off, "off", "no-device", "no-map")
    refused("status", Failure, "expected", hints.need_state, off, "active", "no-map")
    refused("reason", Failure, "expected", hints.need_state, off, "off", "none")
    refused("no member", Failure, "has no", hints.need_state, {}, "off")


# --- what a guest says ---

class Talker:
    """A guest that answers the same to everything."""

    name = "made up"

    def __init__(self, text="", code=0):
        self.text, self.code = text, code

    def run(self, _command, _limit=60):
        return self.code, self.text

    def sh(self, _command, _limit=60):
        if self.code:
            raise AgentError(self.text)
        return self.text


@test("checker-guest", 30)
def checker_guest(_ctx):
    """What the guest says of its map, its load and its stamps is heard."""
    need(guest.check_map(Talker("ok 8 leaves\n")) == "ok 8 leaves", "a good map")
    for text in ("bad pfn=0x1 map=free buddy=used", "off", "", "not ok 8"):
        refused(f"map: {text}", guest.GuestError, "debugfs", guest.check_map,
                Talker(text))
    refused("no map", guest.GuestError, "ready", guest.check_map, Talker("", 1))
    need(guest.check_stress(Talker("rounds=3 pages=4")) ==
         {"rounds": 3, "pages": 4}, "a good load")
    refused("stress", guest.GuestError, "exits 1", guest.check_stress,
            Talker("MISMATCH", 1))
    refused("stamp", guest.GuestError, "stamped area", guest.check_stamp,
            Talker("page 3", 1))


def quiet_vm(ctx, console="", stderr=""):
    """A VM of which there is nothing but what it has left in files."""
    vm = VM.__new__(VM)
    vm.name, vm.events, vm.spec = "made up", [], Spec()
    for field, text in (("console", console), ("stderr", stderr)):
        path = os.path.join(ctx.logs, field)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        setattr(vm, field, path)
    return vm


GOOD_CONSOLE = ("Linux version 6.12.0\n[    0.1] Run /init as init process\n"
                "[    0.2] cfph: ready\n[    0.3] no bug, no warning\n")
SPLATS = (
    "WARNING: CPU: 0 PID: 1 at mm/cfph/map.c:1 f+0x1/0x2",
    "BUG: KASAN: use-after-free in f+0x1/0x2",
    "BUG: sleeping function called from invalid context",
    "Oops: general protection fault", "Call Trace:",
    "Kernel panic - not syncing: x", "INFO: task x:1 blocked for more than",
    "rcu: INFO: rcu_sched self-detected stall on CPU", "stress: MISMATCH at",
    "unable to handle page fault for address", "insmod: invalid module format",
)
RACE = """==================================================================
[    1.0] BUG: KCSAN: data-race in {0} / {0}
[    1.0] write to 0xffff of 8 bytes by task 1 on cpu 0:
[    1.0]  {0}+0x1/0x2
[    1.0] ==================================================================
"""


OUT_OF_MEMORY = """[    7.331] memhog invoked oom-killer: gfp_mask=0x140dca
[    7.336] CPU: 1 UID: 0 PID: 77 Comm: memhog Not tainted
[    7.338] Call Trace:
[    7.407] memhog: page allocation failure: order:0, mode:0x140dca
[    7.407] CPU: 1 UID: 0 PID: 77 Comm: memhog Not tainted
[    7.407] Call Trace:
"""


def check_out_of_memory(ctx):
    """It is trouble, unless it was meant to be; and nothing else is part of it."""
    def vm(text, victim=None):
        made = quiet_vm(ctx, text)
        made.victim = victim
        return made
    guest.check_console(vm(OUT_OF_MEMORY, "memhog"))
    for text, victim in ((OUT_OF_MEMORY, None),
                         (OUT_OF_MEMORY.replace("memhog: page", "fpctl: page"), "memhog"),
                         (OUT_OF_MEMORY + "BUG: x\n", "memhog"),
                         (OUT_OF_MEMORY + "x\n" * 3 + "Call Trace:\n", "memhog")):
        refused("out of memory", guest.GuestError, "kernel log", guest.check_console,
                vm("", victim), vm(text, victim))


@test("checker-console", 30)
def checker_console(ctx):
    """Whatever looks like a splat in a kernel log is found, wherever it stands."""
    guest.check_console(quiet_vm(ctx, GOOD_CONSOLE))
    guest.check_console(quiet_vm(ctx, GOOD_CONSOLE + RACE.format("tcp_sendmsg")))
    for splat in (*SPLATS, RACE.format("cfph_map_mark"),
                  "kcsan: strict mode configured"):
        for text in (splat, GOOD_CONSOLE + f"[    9.9] {splat}",
                     splat + "\n" + GOOD_CONSOLE):
            refused(splat, guest.GuestError, "kernel log", guest.check_console,
                    quiet_vm(ctx), quiet_vm(ctx, text))
    check_out_of_memory(ctx)
    vm = quiet_vm(ctx)
    os.unlink(vm.console)
    refused("no log", FileNotFoundError, "console", guest.check_console, vm)


def spoil(vm, name):
    """Change a byte in some of the pages of the largest area of a process."""
    pid = pageflags.pid_of(vm, name)
    start, _ = pageflags.largest_area(vm, pid)
    there = [n for n, pfn in enumerate(pageflags.frames(vm, pid)) if pfn]
    vm.sh("for n in " + " ".join(map(str, there[::len(there) // 20 + 1])) + "; do "
          f"printf x | dd of=/proc/{pid}/mem bs=1 seek=$(({start} + n * 4096 + 99)) "
          "conv=notrunc 2>/dev/null || break; done", 60)    # who notices ends at once


@test("checker-load")
def checker_load(ctx):
    """Memory of the loads is changed behind their backs: they notice."""
    vm = ctx.vm(ctx.spec(hints="off"), "guest").boot()
    vm.sh("stamp start --mib 8")
    guest.check_stamp(vm)
    spoil(vm, "stamp")
    refused("stamp", guest.GuestError, "stamped area is wrong", guest.check_stamp, vm)
    guest.check_console(vm)

    vm.sh("stress start --mib 60 --workers 1", 60)
    guest.check_stress(vm)
    spoil(vm, "stress")
    refused("stress", guest.GuestError, "wrong=", guest.check_stress, vm)
    refused("stress, on the console", guest.GuestError, "stress: MISMATCH",
            guest.check_console, vm)


@test("checker-initramfs", 30)
def checker_initramfs(ctx):
    """A guest does not lack in silence what somebody has put into it."""
    ldd = os.path.join(ctx.logs, "ldd")
    with open(ldd, "w", encoding="ascii") as out:
        out.write("#!/bin/sh\necho '\tlibnone.so.1 => not found'\n")
    os.chmod(ldd, 0o755)
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{ctx.logs}:{path}"
    refused("a library", config.ConfigError, "lacks a library", Archive().program,
            "/bin/sh")
    os.environ["PATH"] = path
    need(libraries("/bin/sh"), "no libraries")
    refused("a file", config.ConfigError, "is missing", Archive().file, "/no/such")


# --- waiting ---

class Events:
    """A QMP connection that tells of these events, and then of nothing."""

    def __init__(self, names):
        self._left = [{"event": name} for name in names]

    def pull_event(self, wait):
        if self._left:
            return self._left.pop(0)
        if wait is False:
            return None
        raise asyncio.TimeoutError


@test("checker-events", 60)
def checker_events(ctx):
    """An event is what was asked for, others stay; none is an error."""
    def waiting(*names, code=None):
        vm = quiet_vm(ctx, stderr="oh no")
        vm._qmp = Events(names)                 # pylint: disable=protected-access
        vm._proc = types.SimpleNamespace(poll=lambda: code)
        return vm

    def is_stop(event):
        return event["event"] == "STOP"
    vm = waiting("RESUME", "STOP", "RESET")
    need(vm.wait_event(is_stop, 1) == {"event": "STOP"}, "another event")
    need([e["event"] for e in vm.events] == ["RESUME"], f"left: {vm.events}")
    refused("no such event", VMError, "did not come", vm.wait_event, is_stop, 0.2)
    refused("no event", VMError, "did not come", waiting().wait_event, is_stop, 0.2)
    refused("dead", QemuDied, "ended with 3: oh no",
            waiting("RESUME", code=3).wait_event, is_stop, 60)
    dead = waiting(code=0)
    dead.console_text = lambda: "Run /init\nOops: int3: 0000 [#1]\nRIP: here\n"
    refused("guest dead", QemuDied, "with 0: oh no | Oops: int3: 0000 [#1] | RIP: here",
            dead.check_alive)
    need(wait_for(lambda: 7, "x") == 7, "what the condition says")
    refused("never", Failure, "not within", wait_for, lambda: 0, "x", 0.2)


@test("checker-dead-guest", 120)
def checker_dead_guest(ctx):
    """A guest that panics under a command: the test says of what."""
    vm = ctx.vm(ctx.spec(), "guest").boot()
    refused("dead", QemuDied, "sysrq triggered crash", vm.sh,
            "echo c > /proc/sysrq-trigger")


def answering(path, script):
    """An agent at that socket: to each request what script(number) says."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def serve():
        with listener, listener.accept()[0] as peer:
            for line in peer.makefile("rb"):
                if line.startswith(b"REQ"):
                    peer.sendall(script(int(line.split()[1])))
                    break
    threading.Thread(target=serve, daemon=True).start()


@test("checker-agent", 60)
def checker_agent(ctx):
    """The guest's answers: cut, of somebody else, or of a command that failed."""
    def ask(script):
        path = os.path.join(ctx.logs, "agent")
        if os.path.exists(path):
            os.unlink(path)
        answering(os.path.relpath(path), script)
        agent = Agent(os.path.relpath(path))
        try:
            return agent.sh("x", 10)
        finally:
            agent.close()
    need(ask(lambda n: b"RES %d 0 2\nok" % n) == "ok", "a good answer")
    need(ask(lambda n: b"RES %d 0 2\nnoRES %d 0 2\nok" % (n - 1, n)) == "ok",
         "an old answer counts")
    for about, script in (
            ("it fails", lambda n: b"RES %d 3 2\nok" % n),
            ("cut", lambda n: b"RES %d 0 20\nok" % n),
            ("cut in its head", lambda n: b"RES %d 0" % n),
            ("of somebody else", lambda n: b"RES %d 0 2\nok" % (n + 1)),
            ("nothing", lambda n: b"")):
        refused(about, AgentError, "", ask, script)


# --- the coverage gate ---

COUNTED = ("qemu/hw/virtio/virtio-balloon-cfph.c", "qemu/migration/cfph.c",
           "linux/mm/cfph/map.c", "linux/drivers/virtio/virtio_balloon_cfph.c")
# Lines that are executed, four besides {executed}, and lines that are not.
SOURCE = """int main(int n, char **v)
{{
	n++; v++;
{executed}	if (n > 0x10000) {{
{missed}	}}
	return 0;
}}
"""


class Counted:
    """A tree as ours, compiled with counters, and run; --table of coverage."""

    def __init__(self, top):
        self._top = top
        shutil.rmtree(top, ignore_errors=True)
        for name in COUNTED:
            self.add(name, 1)

    def path(self, name):
        path = os.path.join(self._top, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def _data(self, name):
        """Where its objects are; those of QEMU, and of the kernel."""
        base = name[:-2].split("/", 1)[1]
        return self.path(f"qb/{base.replace('/', '_')}.p/x" if name[0] == "q"
                         else f"lb/{base}")

    def add(self, name, missed, executed=10, build=True):
        """A source with that many lines that nothing executes, and that are."""
        with open(self.path(name), "w", encoding="ascii") as out:
            out.write(SOURCE.format(executed="\tn++;\n" * (executed - 4),
                                    missed="\t\tn--;\n" * missed))
        if not build:
            return
        data = self._data(name)
        for words in (["gcc", "--coverage", "-O0", "-c", "-o", data + ".o",
                       self.path(name)],
                      ["gcc", "--coverage", "-o", data, data + ".o"], [data]):
            subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
        if name[0] == "l":
            self._from_guest(data + ".gcda")

    def _from_guest(self, path):
        """Counters that a guest has had, under the path of the object."""
        archive = self.archive(path)
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(path)
        os.unlink(path)

    def archive(self, path):
        number = re.sub(r"\W", "-", path)
        return self.path(f"build/selftests/check/t{number}/guest.gcda.tgz")

    def cut(self, path, size):
        with open(path, "r+b") as file:
            file.truncate(size)

    def cut_counters(self):
        data = self._data(COUNTED[1]) + ".gcda"
        self.cut(data, os.path.getsize(data) // 2)

    def cut_archive(self):
        archive = self.archive(self._data(COUNTED[2]) + ".gcda")
        self.cut(archive, os.path.getsize(archive) // 2)

    def table(self):
        """(exit code, what it prints)"""
        env = dict(os.environ, COVERAGE="1", BUILD=self.path("build/x")[:-2],
                   QEMU_SRC=self.path("qemu/x")[:-2],
                   QEMU_BUILD=self.path("qb/x")[:-2],
                   LINUX_SRC=self.path("linux/x")[:-2],
                   SYSTEM_MAP=self.path("lb/System.map"))
        env.pop("OUT", None)
        with open(env["SYSTEM_MAP"], "w", encoding="ascii"):
            pass
        done = subprocess.run(
            [sys.executable, os.path.join(config.top(), "selftests/coverage"),
             "--table"], env=env, stdin=subprocess.DEVNULL, text=True, timeout=60,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return done.returncode, done.stdout


@test("checker-coverage", 120)
def checker_coverage(ctx):
    """The gate of make coverage: too little, cut, never compiled, not there."""
    def gate(change=lambda tree: None):
        tree = Counted(os.path.join(ctx.logs, "tree"))
        change(tree)
        return tree.table()

    code, text = gate()
    need(not code and "4 of 4 files have 90 % or more" in text,
         f"all is well: exit code {code}: {text}")
    for about, complaint, change in (
            ("below the limit", "below 90",
             lambda tree: tree.add(COUNTED[0], 2)),
            ("rounded, at the limit", "below 90",
             lambda tree: tree.add(COUNTED[0], 1004, 8996)),
            ("never compiled", "mm/cfph/new.c",
             lambda tree: tree.add("linux/mm/cfph/new.c", 0, build=False)),
            ("never run", "migration/cfph-new.c",
             lambda tree: (tree.add("qemu/migration/cfph-new.c", 0),
                           os.unlink(tree.path("qb/migration_cfph-new.p/x.gcda")))),
            ("cut", "migration/cfph.c", Counted.cut_counters),
            ("a cut archive", "", Counted.cut_archive),
            ("no guest's counters", "mm/cfph/map.c",
             lambda tree: shutil.rmtree(tree.path("build/x")[:-2])),
            ("files have moved", "mm/cfph/*.c",
             lambda tree: os.unlink(tree.path(COUNTED[2])))):
        code, text = gate(change)
        need(code == 1 and complaint in text, f"{about}: exit code {code}: {text}")
