# SPDX-License-Identifier: GPL-2.0
"""Which page frames a process in the guest has, and what the kernel says of them."""

import base64
import gzip
import re
import struct

from .registry import Failure

# Of /proc/kpageflags.
SLAB, HUGE, HWPOISON, THP = 1 << 7, 1 << 17, 1 << 19, 1 << 22
OFFLINE = 1 << 23               # what a balloon has, for one
PRESENT = 1 << 63               # of /proc/PID/pagemap
PFN = (1 << 55) - 1
HUGE_PAGES = 512


def _words(vm, path, first, count):
    """That many 64-bit words of a file, from word @first on."""
    text = vm.sh(f"dd if={path} bs=8 skip={first} count={count} 2>/dev/null "
                 "| gzip -c | base64")
    data = gzip.decompress(base64.b64decode(text))
    return struct.unpack(f"<{len(data) // 8}Q", data)


def flags(vm, pfn, count=1):
    """Words of /proc/kpageflags."""
    return _words(vm, "/proc/kpageflags", pfn, count)


def pid_of(vm, name):
    return vm.sh(f"pidof {name}").split()[0]


def largest_area(vm, pid):
    """[start, end) of the largest writable area of a process."""
    areas = re.findall(r"^(\w+)-(\w+) rw-p", vm.sh(f"cat /proc/{pid}/maps"), re.M)
    return max(((int(a, 16), int(b, 16)) for a, b in areas),
               key=lambda area: area[1] - area[0])


def frames(vm, pid):
    """The frames of that area, by place in it."""
    start, end = largest_area(vm, pid)
    return [word & PFN if word & PRESENT else None for word in
            _words(vm, f"/proc/{pid}/pagemap", start >> 12,
                   (end - start) >> 12)]


def first_with(vm, pfns, flag, wanted=True):
    """The first of them, no head of a huge page, that has the flag, or has not."""
    for pfn in pfns:
        if pfn and pfn % HUGE_PAGES and bool(flags(vm, pfn)[0] & flag) == wanted:
            return pfn
    raise Failure(f"no page with{'' if wanted else 'out'} flag {flag:#x}")


def free_in_map(vm, pfn):
    """The page's bit in the map; not free where there is no map."""
    word = vm.sh("fpctl map --raw /run/map && "
                 f"dd if=/run/map bs=1 skip={pfn // 8} count=1 2>/dev/null | "
                 "base64; rm /run/map")
    return (base64.b64decode(word) or b"\0")[0] >> pfn % 8 & 1
