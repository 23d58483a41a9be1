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
