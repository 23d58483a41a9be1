#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Runs the KVM tests in an emulated machine that has KVM.

  outer.py [NAME]...    tests whose name has NAME in it (default: kvm-)

The outer guest's second serial port is the tests' stdout: it is passed on as it
comes, and what it says of each test counts, whatever becomes of the machine.  Its
kernel log is in $BUILD/selftests/kvm/, and so are the tests' own logs, which it
writes to a disk without delay.  OUTER_CPU= and OUTER_MEM= change the machine.
"""

import os
import re
import shutil
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
sys.dont_write_bytecode = True
# pylint: disable=wrong-import-position
from cfphtest import config, ktap               # noqa: E402
from cfphtest.process import die_with_parent    # noqa: E402
from cfphtest.storage import disk_tool          # noqa: E402

LIMIT = int(os.environ.get("KVM_LIMIT") or 2400)
# A silent machine is a dead one: a test of it says something within this.
SILENCE = int(os.environ.get("KVM_SILENCE") or 900)
SUMMARY = re.compile(r"^\d+ passed, \d+ failed, \d+ skipped$")
DISK_MIB = 512
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
            "-drive", f"if=none,id=logs,format=raw,file={disk(logs)}",
            "-device", "virtio-blk-pci,drive=logs"]


# --- the disk with the logs ---

def disk(logs):
    return f"{logs}/disk.raw"


def make_disk(logs):
    """An empty one; without a journal, nothing of it waits for a replay."""
    with open(disk(logs), "wb") as image:
        image.truncate(DISK_MIB << 20)
    subprocess.run([disk_tool("mkfs.ext4"), "-q", "-F", "-O", "^has_journal",
                    disk(logs)], check=True)


def take_logs(logs):
    """Copy what is on it, whether it was unmounted or not; what is missing."""
    shutil.rmtree(f"{logs}/check", ignore_errors=True)
    subprocess.run([disk_tool("e2fsck"), "-f", "-y", disk(logs)], check=False,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    said = subprocess.run([disk_tool("debugfs"), "-R", f"rdump /check {logs}",
                           disk(logs)], check=False, capture_output=True,
                          text=True).stderr
    os.unlink(disk(logs))
    if not os.path.isdir(f"{logs}/check"):
        return "no logs of tests: " + said.strip().replace("\n", " | ")
    return None


# --- the machine ---

class Outer:
    """The emulated machine; passes its output on and keeps it."""

    def __init__(self, logs, names):
        self.output = []
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
            if SUMMARY.match(line):
                self.verdict = line     # the last line of all is ours
                continue
            self.output.append(line)
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


def troubles(outer, logs):
    """What is wrong besides tests that have failed, when it has ended."""
    try:
        found = [outer.wait()]
    finally:
        outer.close()
    if not outer.verdict:
        found.append("the machine is gone before the tests were through")
    found += kernel_trouble(logs) + [take_logs(logs)]
    return [text for text in found if text]


def main():
    logs = config.out_dir("kvm")
    make_disk(logs)
    outer = Outer(logs, sys.argv[1:] or ["kvm-"])
    trouble = troubles(outer, logs)
    for line in trouble:
        print(f"# outer: {line}")
    told = ktap.Parsed("\n".join(outer.output))
    passed, skipped = len(told.passed), len(told.skipped)
    # One of which nothing was heard has failed.
    failed = max(told.planned - passed - skipped, len(told.failed))
    summary = f"{passed} passed, {failed} failed, {skipped} skipped"
    if not trouble and summary != outer.verdict:
        trouble = [f"inside it says {outer.verdict}"]
        print(f"# outer: {trouble[0]}")
    if trouble or not passed + failed:
        print(f"# outer: see outer.console, outer.stderr and check in {logs}")
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
