# SPDX-License-Identifier: GPL-2.0
"""Pages of 2 MiB, taken from the host for as long as a test needs them."""

import contextlib
import fcntl
import os

from . import config
from .registry import Skip

POOL = "/proc/sys/vm/nr_hugepages"
HUGE = 2 << 20


def _read():
    with open(POOL, encoding="ascii") as file:
        return int(file.read())


def _write(number):
    with open(POOL, "w", encoding="ascii") as file:
        file.write(f"{number}\n")


@contextlib.contextmanager
def _one_at_a_time():
    """There is one pool, and tests may run side by side."""
    path = os.path.join(config.out_dir("check"), "hugepages.lock")
    with open(path, "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _reserved(size):
    """So many bytes of them are there beside those that the host had."""
    before = _read()
    wanted = before + -(-size // HUGE)
    try:
        try:
            _write(wanted)
        except OSError as err:
            raise Skip(f"no 2 MiB pages on this host: {err}") from None
        if _read() < wanted:
            raise Skip(f"the host has {_read() - before} pages of 2 MiB to "
                       f"give, not {wanted - before}")
        yield
    finally:
        if _read() != before:
            _write(before)


@contextlib.contextmanager
def guests_on_huge_pages(ctx, size, alone=False):
    """That many bytes, for guests which have ended before they are given back.

    @alone: SKIP where a pool of ours would not be all that there is.
    """
    with _one_at_a_time():
        if alone:
            _nobody_else_has_any()
        with _reserved(size):
            try:
                yield
            finally:
                for vm in list(ctx.vms):
                    ctx.drop(vm)


def _nobody_else_has_any():
    for name in ("nr_hugepages", "nr_overcommit_hugepages"):
        with open(f"/proc/sys/vm/{name}", encoding="ascii") as file:
            number = int(file.read())
        if number:
            raise Skip(f"this host has {name} = {number} already")
