# SPDX-License-Identifier: GPL-2.0
"""Pages of 2 MiB, taken from the host for as long as a test needs them."""

import contextlib

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
def reserved(size):
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
def guests_on_huge_pages(ctx, size):
    """reserved(size), for guests which have ended before they are given back."""
    with reserved(size):
        try:
            yield
        finally:
            for vm in list(ctx.vms):
                ctx.drop(vm)


def nobody_else_has_any():
    """SKIP where a pool of ours is not all that there is."""
    for name in ("nr_hugepages", "nr_overcommit_hugepages"):
        with open(f"/proc/sys/vm/{name}", encoding="ascii") as file:
            number = int(file.read())
        if number:
            raise Skip(f"this host has {name} = {number} already")
