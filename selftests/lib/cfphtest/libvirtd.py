# SPDX-License-Identifier: GPL-2.0
"""Two of Debian's libvirt daemons on one machine, and the domains in them.

Each is a session daemon of a user without privileges, with a home and a host UUID
of its own, so that they take each other for two hosts.  A daemon detaches the QEMUs
that it starts: each has a process namespace of its own, with whose first process
all of them end.  Only root may make one.
"""

import contextlib
import json
import os
import pwd
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import uuid
import xml.etree.ElementTree as ET

from . import config
from .agent import Agent
from .inside import Inside, VMError
from .process import die_with_parent
from .registry import Failure, Skip, need, wait_for

USER = "nobody"
PACKAGES = "libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients"

# What any guest of ours has; the property is added as the guide says.
DOMAIN = """<domain type='qemu'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>{mib}</memory>
  <vcpu>2</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>{files}/bzImage</kernel>
    <initrd>{files}/initramfs</initrd>
    <cmdline>console=ttyS0 panic=-1 oops=panic</cmdline>
  </os>
  <features><acpi/></features>
  <devices>
    <emulator>{files}/qemu</emulator>
    <controller type='usb' model='none'/>
    <serial type='file'><source path='{home}/console' append='on'/></serial>
    <channel type='unix'>
      <target type='virtio' name='org.cfph.agent'/>
    </channel>
    <memballoon model='virtio'/>
  </devices>
</domain>
"""


def need_libvirt():
    """Skip, with the reason, where these tests cannot be run."""
    for name in ("libvirtd", "virsh"):
        if not shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin"):
            raise Skip(f"no {name}: apt-get install {PACKAGES}")
    if os.geteuid():
        raise Skip("only root can give a daemon its own process namespace")


class Files:
    """Kernel, initramfs and QEMU where the user may read them."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="cfph-")
        os.chmod(self.path, 0o755)
        self._copy(config.kernel(), "bzImage")
        self._copy(config.initramfs(), "initramfs")
        self._copy(config.qemu_product(), "qemu-system-x86_64")
        # From its build tree it does not find Debian's firmware.
        words = config.qemu_command()
        firmware = [w for i, w in enumerate(words)
                    if w == "-L" or i and words[i - 1] == "-L"]
        wrapper = os.path.join(self.path, "qemu")
        with open(wrapper, "w", encoding="utf-8") as out:
            out.write(f"#!/bin/sh\nexec {self.path}/qemu-system-x86_64 "
                      f"{shlex.join(firmware)} \"$@\"\n")
        os.chmod(wrapper, 0o755)

    def _copy(self, source, name):
        path = os.path.join(self.path, name)
        shutil.copyfile(source, path)
        os.chmod(path, 0o755)

    def close(self):
        shutil.rmtree(self.path, ignore_errors=True)


class Daemon:
    """A host, as far as libvirt is concerned."""

    def __init__(self, name, logs, enter=()):
        """`enter`: the words that run the rest of a command in another Debian."""
        self.name = name
        self._enter = list(enter)
        self.home = tempfile.mkdtemp(prefix=f"cfph-{name}-")
        self._user = pwd.getpwnam(USER)
        self._env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C",
                     "HOME": self.home}
        for kind in ("CONFIG_HOME", "CACHE_HOME", "DATA_HOME", "STATE_HOME",
                     "RUNTIME_DIR"):
            # short, because there will be sockets in it
            path = os.path.join(self.home, kind.lower()[:2])
            os.makedirs(os.path.join(path, "libvirt"), 0o700)
            self._env[f"XDG_{kind}"] = path
        conf = os.path.join(self._env["XDG_CONFIG_HOME"], "libvirt",
                            "libvirtd.conf")
        self.log = os.path.join(self.home, "libvirtd.log")
        self._kept_log = os.path.join(logs, f"libvirtd-{name}.log")
        with open(conf, "w", encoding="utf-8") as out:
            out.write(f'host_uuid = "{uuid.uuid4()}"\n'
                      f'log_outputs = "2:file:{self.log}"\n')
        for base, dirs, files in os.walk(self.home):
            for entry in [base] + [os.path.join(base, f) for f in dirs + files]:
                os.chown(entry, self._user.pw_uid, self._user.pw_gid)
        self.socket = os.path.join(self._env["XDG_RUNTIME_DIR"], "libvirt",
                                   "libvirt-sock")
        # The shell is process 1 and takes in what the daemon has detached.
        # pylint: disable=consider-using-with,subprocess-popen-preexec-fn
        self._proc = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc",
             "sh", "-c", '"$@" & wait', "sh"] + self._as_user() +
            ["libvirtd", "-f", conf], env=self._env, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent)
        try:
            wait_for(lambda: self._proc.poll() is not None or
                     self._answers(), f"{name}: libvirtd does not answer")
            need(self._proc.poll() is None, f"{name}: libvirtd has ended")
        except BaseException:
            self.close()
            raise

    def _as_user(self):
        # What libvirt's package allows by a sysctl, for postcopy: userfaultfd.
        return self._enter + [
            "setpriv", "--inh-caps=+sys_ptrace", "--ambient-caps=+sys_ptrace",
            f"--reuid={self._user.pw_uid}", f"--regid={self._user.pw_gid}",
            "--clear-groups", "--"]

    def _answers(self):
        return os.path.exists(self.socket) and not self._run(["uri"]).returncode

    def _command(self, words):
        return self._as_user() + ["virsh", "-q", "-c", "qemu:///session"] + words

    def _run(self, words, limit=60):
        return subprocess.run(
            self._command(words), env=self._env, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
            timeout=limit * config.patience())

    def virsh(self, *words, limit=60):
        """Output of a command that must succeed."""
        done = self._run(list(words), limit)
        if done.returncode:
            raise VMError(f"{self.name}: virsh {' '.join(words)}: exit code "
                          f"{done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def begin(self, *words):
        """Start a command and come back; end it with wait()."""
        # pylint: disable=consider-using-with,subprocess-popen-preexec-fn
        return subprocess.Popen(
            self._command(list(words)), env=self._env, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, preexec_fn=die_with_parent)

    def shell(self, script, limit=60):
        """A recipe of the guide, as its user runs it."""
        done = subprocess.run(
            self._as_user() + ["sh", "-eu", "-c", script], env=self._env,
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False, timeout=limit * config.patience())
        need(not done.returncode, f"{self.name}: {done.stderr.strip()}")
        return done.stdout

    def file(self, name, text=None):
        """A path that the daemon may read and write."""
        path = os.path.join(self.home, name)
        if text is not None:
            with open(path, "w", encoding="utf-8") as out:
                out.write(text)
            os.chmod(path, 0o644)
        return path

    def managed_save(self, name):
        """Where libvirt keeps what managedsave has written."""
        return os.path.join(self._env["XDG_CONFIG_HOME"], "libvirt", "qemu",
                            "save", f"{name}.save")

    @property
    def uri(self):
        """For --desturi."""
        return f"qemu+unix:///session?socket={self.socket}"

    def close(self):
        self._proc.kill()               # its namespace goes with it
        self._proc.wait()
        with contextlib.suppress(OSError):
            shutil.copyfile(self.log, self._kept_log)
        shutil.rmtree(self.home, ignore_errors=True)


class Domain(Inside):
    """A domain that is running in one of the daemons."""

    def __init__(self, daemon, name):
        super().__init__(name, daemon.file("console"))
        self.daemon = None
        self.seen(daemon)

    def seen(self, daemon):
        """It runs there now: reach its agent."""
        self.daemon = daemon
        xml = ET.fromstring(daemon.virsh("dumpxml", self.name))
        socket = xml.find(".//channel[@type='unix']/source").get("path")
        self.console = xml.find(".//serial/source").get("path")
        if self.agent:
            self.agent.close()
        self.agent = Agent(socket, self.name)

    def qmp(self, command, **args):
        """A command through libvirt; '_' in argument names stands for '-'."""
        args = {key.replace("_", "-"): value for key, value in args.items()}
        said = self.daemon.virsh("qemu-monitor-command", self.name, json.dumps(
            {"execute": command, "arguments": args}))
        answer = json.loads(said)
        if "return" not in answer:
            raise Failure(f"{self.name}: {command}: {answer}")
        return answer["return"]

    def ram(self):
        """What QEMU counts, through libvirt; {} if no migration has been."""
        with contextlib.suppress(VMError):      # it has gone meanwhile
            return self.qmp("query-migrate").get("ram", {})
        return {}

    def job_bytes(self):
        """Memory that the last migration has sent, as virsh tells."""
        text = self.daemon.virsh("domjobinfo", "--completed", "--rawstats",
                                 self.name)
        hit = re.search(r"memory_processed: (\d+)", text)
        need(hit, f"{self.name}: domjobinfo: {text}")
        return int(hit[1])


def domain_xml(daemon, files, name, mib):
    return DOMAIN.format(name=name, uuid=uuid.uuid4(), mib=mib,
                         files=files.path, home=daemon.home)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
