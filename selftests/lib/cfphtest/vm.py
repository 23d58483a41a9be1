# SPDX-License-Identifier: GPL-2.0
"""One QEMU process and the guest in it.

Owns the process, its QMP connection, its console log and its sockets.  A VM
ends with its `with` block, and with the test process, whatever happens: no
other process is ever looked for or killed.

QEMU's own qemu.machine, whose QMP library is used here, was not enough: a QEMU that it
has started outlives a test that is killed; events_wait() begins its time limit anew
with each event; nothing there looks whether QEMU still lives; and what a migration
needs, a console in a file and an agent that moves along, comes on top of it anyway.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
import time

from . import config, coverage
from .agent import DYING, Agent, AgentError
from .inside import Inside, VMError
from .process import die_with_parent

QMP_LIMIT = 60


class QemuDied(VMError):
    """The QEMU process is gone; the text says what it said last."""


class Spec:
    """What a guest and its machine look like; source and destination agree."""

    def __init__(self, mem=None, smp=2, machine="pc", accel="tcg",
                 balloon=None, hints="off", kernel_args="", extra=(),
                 backend=None, dummy=None, disk=None, machine_opts="",
                 reboot=False, balloon_opts=(), mem_opts="", dimms=(),
                 icount=False, keeps_dead=False, backend_opts="", bus="pci",
                 virtio_opts=(), vhost_user=None, disk_opts=(), program=None):
        # KASAN and its friends take their share
        self.mem = config.parse_size(mem or "384M") * (
            2 if os.environ.get("DEBUG") and mem != "4G" else 1)
        self.smp = smp
        self.program = program          # another QEMU than ours
        self.machine = machine
        self.accel = accel
        self.hints = hints              # off | upstream | cfph | none
        self.balloon = balloon
        self.balloon_opts = list(balloon_opts)
        self.kernel_args = kernel_args
        self.extra = list(extra)
        self.backend = backend          # None | "ram" | "memfd" | "hugetlb"
        self.backend_opts = backend_opts    # e.g. "reserve=off"
        self.dummy = dummy              # size of an object before main RAM
        self.disk = disk                # a raw image, or None
        self.vhost_user = vhost_user    # a socket: who has @disk instead of QEMU
        self.disk_opts = list(disk_opts)
        self.bus = bus                  # of virtio: "pci", or "device": mmio
        self.virtio_opts = list(virtio_opts)    # not for the balloon
        self.machine_opts = machine_opts
        self.reboot = reboot            # False: a reboot ends QEMU
        self.mem_opts = mem_opts        # e.g. "slots=2,maxmem=2G"
        self.dimms = list(dimms)        # sizes of DIMMs that are plugged in
        # TCG, one vCPU: the guest's clocks count instructions, 1 ns for each
        self.icount = icount
        # A guest that has died (a triple fault, a panic) stays to be looked at.
        self.keeps_dead = keeps_dead

    def but(self, **changes):
        """A copy with some fields changed."""
        other = Spec()
        other.__dict__.update(self.__dict__)
        for key, value in changes.items():
            if key not in other.__dict__:
                raise TypeError(f"no such field: {key}")
            setattr(other, key, config.parse_size(value)
                    if key == "mem" else value)
        return other

    def ram_names(self):
        """Names of the memory regions that are the guest's RAM."""
        plain = "microvm.ram" if self.machine == "microvm" else "pc.ram"
        return (["main" if self.backend else plain] +
                [f"hp{i}" for i in range(len(self.dimms))])

    def virtio(self, kind, *options):
        """A virtio device as the machine has them."""
        return ["-device", ",".join([f"{kind}-{self.bus}", *options,
                                     *self.virtio_opts])]

    def disk_args(self):
        if self.vhost_user:
            return ["-chardev", f"socket,id=disk0,path={self.vhost_user}",
                    *self.virtio("vhost-user-blk", "chardev=disk0,num-queues=1",
                                 *self.disk_opts)]
        return ["-drive", f"if=none,id=disk0,format=raw,file={self.disk}",
                *self.virtio("virtio-blk", "drive=disk0", *self.disk_opts)]

    def balloon_device(self):
        device = f"virtio-balloon-{self.bus},id=balloon0"
        if self.hints == "upstream":
            device += ",free-page-hint=on,iothread=io0"
        elif self.hints == "cfph":
            device += ",continuous-free-page-hint=on"
        return ",".join([device] + self.balloon_opts)

    def args(self):
        mib = self.mem >> 20
        args = []
        machine = self.machine
        if self.dummy:
            # Created first, so main RAM does not start at ram offset 0.
            args += ["-object",
                     f"memory-backend-ram,id=dummy,size={self.dummy}"]
        if self.backend:
            kind = {"ram": "memory-backend-ram",
                    "memfd": "memory-backend-memfd,share=on",
                    "hugetlb": "memory-backend-memfd,share=on,hugetlb=on,"
                    "hugetlbsize=2M"}[self.backend]
            args += ["-object", ",".join(filter(None, [
                kind, f"id=main,size={mib}M", self.backend_opts]))]
            machine += ",memory-backend=main"
        if self.machine_opts:
            machine += "," + self.machine_opts
        args += ["-machine", machine, "-m",
                 ",".join(filter(None, [f"{mib}M", self.mem_opts])),
                 "-smp", str(self.smp)]
        for i, size in enumerate(self.dimms):
            args += ["-object", f"memory-backend-ram,id=hp{i},size={size}",
                     "-device", f"pc-dimm,id=dimm{i},memdev=hp{i}"]
        if self.accel == "kvm":
            args += ["-accel", "kvm", "-cpu", "host"]
        elif self.icount:
            # sleep=off: nobody waits for a timer while the guest is idle
            args += ["-accel", "tcg,thread=single",
                     "-icount", "shift=0,sleep=off"]
        else:
            args += ["-accel", "tcg,thread=multi"]
        if self.hints == "upstream":
            args += ["-object", "iothread,id=io0"]
        if self.hints != "none":
            args += ["-device", self.balloon_device()]
        if self.disk:
            args += self.disk_args()
        if not self.reboot:
            args += ["-no-reboot"]
        if self.keeps_dead:
            args += ["-action", "shutdown=pause"]
        return args + self.extra


class VM(Inside):
    """A running QEMU.  `with VM(spec, "src") as vm: vm.boot()`"""

    def __init__(self, spec, name, log_dir=None, incoming=False, paused=False,
                 initrd=None, gate=None, kernel=None):
        self.spec = spec
        self.incoming = incoming
        self.tmp = tempfile.mkdtemp(prefix="cfph-")    # sockets; short path
        self._logs = log_dir or self.tmp
        super().__init__(name, os.path.join(self._logs, f"{name}.console"))
        self.stderr = os.path.join(self._logs, f"{name}.stderr")
        self.events = []
        self._proc = None
        self._qmp = None
        qmp_class, self.QMPExecuteError, self.QMPError = config.import_qmp()
        self._gate = gate               # takes the place of the trace
        self._start(qmp_class, paused, kernel or config.kernel(),
                    initrd or config.initramfs())

    # --- life ---

    def _start(self, qmp_class, paused, kernel, initrd):
        qmp = os.path.join(self.tmp, "qmp")
        agent = os.path.join(self.tmp, "agent")
        cmd = config.qemu_command(self.spec.program)
        cmd += ["-display", "none", "-name", self.name]
        cmd += self.spec.args()
        cmd += ["-kernel", kernel, "-initrd", initrd, "-append",
                # nokaslr, nopti: the oracle walks the page array; no_timer_check:
                # a busy host may not run the timer while the kernel waits for it
                "console=ttyS0 panic=-1 oops=panic nokaslr nopti no_timer_check " +
                self.spec.kernel_args]
        cmd += ["-chardev", f"file,id=con,path={self.console}",
                "-serial", "chardev:con", *self.spec.virtio("virtio-serial"),
                "-chardev", f"socket,id=agent,path={agent},server=on,wait=off",
                # without an id there is no VSERPORT_CHANGE event
                "-device", "virtserialport,id=port0,chardev=agent,"
                "name=org.cfph.agent",
                "-qmp", f"unix:{qmp},server=on,wait=off"]
        # A few lines a migration; a QEMU without these events says nothing.
        self.trace = os.path.join(self._logs, f"{self.name}.trace")
        cmd += ["-msg", "timestamp=on"]
        cmd += (self._gate.args() if self._gate else
                ["-D", self.trace, "-trace", "ram_cfph_*",
                 "-trace", "virtio_balloon_cfph_*"])
        if self.incoming:
            cmd += ["-incoming", "defer"]
        if paused:
            cmd += ["-S"]
        self.cmd = cmd
        with open(os.path.join(self._logs, f"{self.name}.cmd"), "w",
                  encoding="utf-8") as out:
            out.write(" ".join(cmd) + "\n")
        with open(self.stderr, "wb") as err:
            # pylint: disable=consider-using-with,subprocess-popen-preexec-fn
            self._proc = subprocess.Popen(
                cmd, stdin=subprocess.DEVNULL, stdout=err, stderr=err,
                preexec_fn=die_with_parent)
        self.agent = Agent(agent, self.name, self.check_alive)
        try:
            self._connect(qmp_class, qmp)
        except Exception:
            self.close()
            raise

    def _connect(self, qmp_class, path):
        deadline = time.monotonic() + QMP_LIMIT
        while not os.path.exists(path):
            # Nothing announces a socket; QEMU's death is noticed at once.
            if time.monotonic() > deadline:
                raise VMError(f"{self.name}: no QMP socket")
            try:
                self._proc.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
            self.check_alive()
        self._qmp = qmp_class(path, nickname=self.name)
        while True:
            try:
                self._qmp.connect()
                break
            except self.QMPError:
                self.check_alive()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)        # bound but not listening yet
        self._qmp.settimeout(QMP_LIMIT)
        self.qmp("migrate-set-capabilities", capabilities=[
            {"capability": "events", "state": True}])

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def keep_counters(self):
        """For make coverage; a guest that cannot tell fails no test."""
        if not coverage.wanted() or not self._qmp:
            return
        with contextlib.suppress(VMError, AgentError, OSError, ValueError):
            # One that has moved away took its counters along.
            if self.qmp("query-status")["status"] == "running":
                coverage.keep(self.agent, os.path.join(
                    self._logs, f"{self.name}-{self.pid}"))

    def close(self):
        self.keep_counters()
        self.agent.close()
        if self._proc and self._proc.poll() is None:
            self._proc.terminate()
            try:
                self._proc.wait(10)
            except subprocess.TimeoutExpired:
                self._proc.kill()
                self._proc.wait()
        shutil.rmtree(self.tmp, ignore_errors=True)
        if self._qmp:
            # Its end is gone: whatever that raises, CancelledError included.
            with contextlib.suppress(BaseException):
                self._qmp.close()
            self._qmp = None

    @property
    def pid(self):
        return self._proc.pid

    def said(self):
        """The last lines of QEMU's own output."""
        with open(self.stderr, encoding="utf-8", errors="replace") as err:
            return err.read()

    def check_alive(self, seconds=0):
        """Raise if QEMU has died, or dies within that time, and say of what."""
        if seconds:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._proc.wait(seconds)
        code = self._proc.poll()
        if code is not None:
            tail = self.said().strip().splitlines()[-3:] + self.last_words()
            raise QemuDied(f"{self.name}: QEMU has ended with {code}: "
                           f"{' | '.join(tail)}")
        if self.spec.keeps_dead and self._qmp:
            self.take_events()
            for event in self.events:
                if event["event"] == "SHUTDOWN":
                    raise QemuDied(f"{self.name}: the guest has ended: "
                                   f"{event['data']}; {self.post_mortem()}")

    def post_mortem(self):
        """Registers and stack of a guest that has ended; where they are."""
        path = os.path.join(self._logs, f"{self.name}.dead")
        with open(path, "w", encoding="utf-8") as out:
            for line in ("info status", "info registers -a", "x /16xb $pc",
                         "x /128gx $esp"):
                out.write(f"--- {line}\n{self.hmp(line)}\n")
        return f"registers and stack in {path}"

    # --- QMP ---

    def qmp(self, command, **args):
        """A QMP command; '_' in argument names stands for '-'."""
        args = {key.replace("_", "-"): value for key, value in args.items()}
        try:
            return self._qmp.cmd(command, **args)
        except self.QMPExecuteError:
            raise
        except Exception as err:  # whatever a dead connection raises
            self.check_alive(DYING)
            raise VMError(f"{self.name}: QMP {command}: {err!r}") from err

    def qmp_oob(self, command, **args):
        """One of the commands that QEMU obeys while its main loop waits, for a
        page that has not come, say."""
        # pylint: disable=protected-access
        client = self._qmp
        return client._sync(client._qmp.execute(
            command, {key.replace("_", "-"): value
                      for key, value in args.items()}, oob=True), QMP_LIMIT)

    def give_fd(self, name, number):
        """QEMU gets a copy of a file descriptor, under that name."""
        self._qmp.send_fd_scm(number)
        self.qmp("getfd", fdname=name)

    def hmp(self, line):
        return self.qmp("human-monitor-command", command_line=line)

    def wait_event(self, match, limit):
        """The first event for which match(event) is true.

        Events that do not match stay in self.events in order of arrival;
        those that came before the call and were not taken count, too.
        """
        deadline = time.monotonic() + limit * config.patience()
        seen = 0
        while True:
            while seen < len(self.events):
                if match(self.events[seen]):
                    return self.events.pop(seen)
                seen += 1
            left = deadline - time.monotonic()
            if left <= 0:
                last = [e["event"] for e in self.events[-8:]]
                raise VMError(f"{self.name}: event did not come within "
                              f"{limit} s; the last ones were {last}")
            try:
                self.events.append(self._qmp.pull_event(min(left, 1.0)))
            except asyncio.TimeoutError:
                self.check_alive()

    def collect(self, seconds):
        """Take what events come within that time; a pace for who looks on."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                self.events.append(self._qmp.pull_event(left))
            except asyncio.TimeoutError:
                self.check_alive()

    def take_events(self):
        """Collect what has arrived without waiting."""
        while True:
            event = self._qmp.pull_event(False)
            if event is None:
                return
            self.events.append(event)

    def rss_kib(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1])
        return 0

    # --- the guest ---

    def plug_dimm(self, size):
        """Add a DIMM to the running guest, and to the spec."""
        i = len(self.spec.dimms)
        self.qmp("object-add", qom_type="memory-backend-ram", id=f"hp{i}",
                 size=config.parse_size(size))
        self.qmp("device_add", driver="pc-dimm", id=f"dimm{i}",
                 memdev=f"hp{i}")
        self.spec = self.spec.but(dimms=self.spec.dimms + [size])

    def unplug_dimm(self, i, limit=30):
        """The last word on that: the guest may say no.  Each number once."""
        self.qmp("device_del", id=f"dimm{i}")
        event = self.wait_event(
            lambda e: e["event"] in ("DEVICE_DELETED", "MEM_UNPLUG_ERROR",
                                     "DEVICE_UNPLUG_GUEST_ERROR") and
            e["data"].get("device") == f"dimm{i}", limit)
        if event["event"] != "DEVICE_DELETED":
            raise VMError(f"{self.name}: dimm{i} stays: {event}; "
                          f"{self.console_tail()}")

    def trace_text(self):
        """QEMU's trace events of cfph so far."""
        if not os.path.exists(self.trace):
            return ""
        with open(self.trace, encoding="utf-8", errors="replace") as trace:
            return trace.read()


def refusal(*options, program=None):
    """The one line with which QEMU refuses bad options; exit code 1."""
    try:
        done = subprocess.run(
            config.qemu_command(program) + ["-display", "none", "-machine", "pc",
                                            "-accel", "tcg", "-S", *options],
            stdin=subprocess.DEVNULL, timeout=30, capture_output=True,
            text=True, check=False)
    except subprocess.TimeoutExpired:
        raise VMError(f"{' '.join(options)}: QEMU started") from None
    text = done.stderr.strip()
    if done.returncode != 1 or len(text.splitlines()) != 1:
        raise VMError(f"{' '.join(options)}: exit code {done.returncode}: "
                      f"{text}")
    return text
