#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Runs the KVM tests in an emulated machine that has KVM.

  outer.py [NAME]...    tests whose name has NAME in it (default: kvm-)

The outer guest's second serial port is the tests' stdout: it is passed on as it
comes, and its last line is the verdict.  Its kernel log and the tests' own logs
are in $BUILD/selftests/kvm/.  OUTER_CPU= and OUTER_MEM= change the machine.
"""

import os
import re
import subprocess
import sys
import tarfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
sys.dont_write_bytecode = True
# pylint: disable=wrong-import-position
from cfphtest import config                     # noqa: E402
from cfphtest.process import die_with_parent    # noqa: E402

LIMIT = int(os.environ.get("KVM_LIMIT") or 2400)
# A silent machine is a dead one: a test of it says something within this.
SILENCE = int(os.environ.get("KVM_SILENCE") or 900)
SUMMARY = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$")
PANIC = re.compile(r"Kernel panic|kvm.*BUG|Oops|soft lockup")


def command(logs, names):
    build = os.path.join(os.path.abspath(os.environ["BUILD"]), "kvm")
    # SVM and nested paging are what TCG emulates of hardware virtualization.
    return config.qemu_command() + [
            "-display", "none", "-name", "outer", "-no-reboot",
            "-machine", "q35", "-accel", "tcg,thread=multi,tb-size=512",
            "-cpu", os.environ.get("OUTER_CPU") or "EPYC,+svm,+npt",
            "-smp", "2", "-m", os.environ.get("OUTER_MEM") or "2G",
            "-kernel", os.path.join(build, "cloud", "vmlinuz"),
            "-initrd", os.path.join(build, "outer.cpio"),
            "-append", "console=ttyS0 panic=-1 oops=panic mitigations=off "
            "random.trust_cpu=on -- " + " ".join(names),
            "-chardev", f"file,id=con,path={logs}/outer.console",
            "-serial", "chardev:con",
            "-chardev", "stdio,id=out,signal=off", "-serial", "chardev:out",
            "-device", "virtio-serial-pci",
            "-chardev", f"file,id=logs,path={logs}/logs.tar.gz",
            "-device", "virtserialport,chardev=logs,name=org.cfph.logs"]


class Outer:
    """The emulated machine; passes its output on and keeps the verdict."""

    def __init__(self, logs, names):
        self.verdict = None
        self.last = time.monotonic()
        # pylint: disable=consider-using-with,subprocess-popen-preexec-fn
        self.proc = subprocess.Popen(
            command(logs, names), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=open(f"{logs}/outer.stderr", "wb"),
            text=True, errors="replace", preexec_fn=die_with_parent)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.proc.stdout:
            line = line.rstrip("\r\n")
            self.last = time.monotonic()
            hit = SUMMARY.match(line)
            if hit:
                # The last line of all, so it is held back until then.
                self.verdict = [int(n) for n in hit.groups()]
                continue
            print(line, flush=True)

    def wait(self):
        """None, or why the machine had to be ended."""
        end = time.monotonic() + LIMIT
        while True:
            try:
                self.proc.wait(1)
                self._reader.join(10)
                return None
            except subprocess.TimeoutExpired:
                pass
            if time.monotonic() > end:
                return f"not finished within {LIMIT} s"
            if time.monotonic() - self.last > SILENCE:
                return f"not a word for {SILENCE} s"

    def close(self):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()


def kernel_trouble(logs):
    with open(f"{logs}/outer.console", encoding="utf-8",
              errors="replace") as con:
        return [line.strip() for line in con if PANIC.search(line)]


def main():
    names = sys.argv[1:] or ["kvm-"]
    logs = config.out_dir("kvm")
    outer = Outer(logs, names)
    try:
        trouble = outer.wait()
    finally:
        outer.close()
    try:
        with tarfile.open(f"{logs}/logs.tar.gz") as tar:
            tar.extractall(logs)
    except (OSError, tarfile.TarError, EOFError):
        pass                    # it did not get that far
    passed, failed, skipped = outer.verdict or (0, 0, 0)
    for line in ([trouble] if trouble else []) + kernel_trouble(logs):
        print(f"# outer: {line}")
        failed = failed or 1
    if not passed + failed:
        print("# outer: no test has run: see outer.console and outer.stderr in "
              f"{logs}")
        failed = failed or 1
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except config.ConfigError as err:
        sys.exit(f"outer.py: {err}")
