# SPDX-License-Identifier: GPL-2.0
"""A host that has swapped a guest out, for as long as a test needs it."""

import contextlib
import ctypes
import os
import re
import struct
import subprocess

from .registry import Skip, need

PIECE = 64 << 20
SYS_PROCESS_MADVISE = 440
MADV_PAGEOUT = 21


def _run(command, path):
    return subprocess.run([command, path], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False,
                          env={"PATH": "/sbin:/usr/sbin:/bin:/usr/bin"})


def _swap_to(path, size):
    try:
        with open(path, "wb") as file:
            os.chmod(path, 0o600)
            os.posix_fallocate(file.fileno(), 0, size)
    except OSError as err:
        raise Skip(f"no swap on this host: {err}") from None
    for command in ("mkswap", "swapon"):
        done = _run(command, path)
        if done.returncode:
            raise Skip(f"no swap on this host: {done.stderr.strip()}")


@contextlib.contextmanager
def swap_file(path, size):
    """The host may swap to so many bytes more; SKIP where it may not."""
    try:
        _swap_to(path, size)
        yield
    finally:
        # Whoever has been killed has left one there.
        _run("swapoff", path)
        os.unlink(path)


def swapped(vm):
    """Bytes of QEMU's memory that are in swap."""
    with open(f"/proc/{vm.pid}/status", encoding="ascii") as status:
        return int(re.search(r"^VmSwap:\s+(\d+) kB$", status.read(), re.M)[1]) << 10


def _memory(vm):
    """Where QEMU has the guest's memory: nothing else is so large."""
    size = vm.spec.mem
    with open(f"/proc/{vm.pid}/maps", encoding="ascii") as maps:
        for line in maps:
            start, end = (int(a, 16) for a in line.split()[0].split("-"))
            if end - start >= size and line.split()[1] == "rw-p":
                return start, end
    raise Skip("the guest's memory is not one mapping")


def swap_out(vm):
    """All of the guest's memory goes to swap, as far as the kernel will."""
    libc = ctypes.CDLL(None, use_errno=True)
    start, end = _memory(vm)
    pidfd = os.pidfd_open(vm.pid)
    try:
        for at in range(start, end, PIECE):
            piece = ctypes.create_string_buffer(
                struct.pack("PN", at, min(PIECE, end - at)))
            done = libc.syscall(SYS_PROCESS_MADVISE, pidfd, piece, 1, MADV_PAGEOUT, 0)
            if done < 0:
                raise Skip(f"process_madvise: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(pidfd)
    need(swapped(vm), "nothing has been swapped out")
