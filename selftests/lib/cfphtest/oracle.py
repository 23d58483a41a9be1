# SPDX-License-Identifier: GPL-2.0
"""The end-state oracle: was any page lost that somebody owned?

With the source stopped after a migration and the destination not yet running,
all RAM of both is dumped and compared.  A page may differ only if it was free
when the source stopped, or lay in a balloon of which the map is told.  Which pages
did is read from the guest kernel's own page array (struct page: PageBuddy and the
order; PageOffline and the mark of a balloon's page) in the source's dump, not
from the map of free pages: a map that lies must not vouch for itself.

Knows the layout of struct page of Linux 6.12 on x86-64, and checks that what
it reads makes sense.  Needs nokaslr and nopti on the guest's command line.
"""

import bisect
import functools
import mmap
import os
import re
import struct

from . import config
from .vm import VMError

PAGE = 4096
VMEMMAP = 0xffffea0000000000    # 4-level page tables, nokaslr
STRUCT_PAGE = 64
SECTION_PAGES = 32768           # one 2 MiB piece of the page array
PGTY_BUDDY = 0xf0
PGTY_OFFLINE = 0xf1             # what a balloon holds, or has never been online
OWNER_PRIV_1 = 1 << 10          # and the map is told of it
MAX_ORDER = 10


class OracleError(VMError):
    """The oracle itself does not work here: no verdict."""


class Dump:
    """All RAM of one stopped guest, in files, by guest-physical address."""

    def __init__(self, vm, ranges, directory, tag):
        self.parts = []         # (first address, bytes, mmap)
        for start, end in ranges:
            path = os.path.join(config.scratch(directory), f"{tag}.{start:x}")
            vm.qmp("pmemsave", val=start, size=end - start, filename=path)
            with open(path, "rb") as file:
                written = os.fstat(file.fileno()).st_size
                if written != end - start:
                    raise OracleError(f"{vm.name}: dump of {start:#x}-{end:#x} "
                                      f"has {written} bytes")
                data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            os.unlink(path)     # the mapping keeps it
            self.parts.append((start, end - start, data))

    def read(self, addr, size):
        for start, length, data in self.parts:
            if start <= addr and addr + size <= start + length:
                return data[addr - start:addr - start + size]
        raise OracleError(f"address {addr:#x} is not in RAM")

    def close(self):
        for _, _, data in self.parts:
            data.close()


def ram_ranges(vm):
    """[start, end) of the guest's RAM, from QEMU's flat view."""
    names = "|".join(re.escape(name) for name in vm.spec.ram_names())
    line = re.compile(rf"^\s*([0-9a-f]+)-([0-9a-f]+) \(prio \d+, ram\): "
                      rf"(?:{names})(?: |$)")
    ranges = []
    text = vm.hmp("info mtree -f")
    view = ""
    for block in re.split(r"(?=FlatView #)", text):
        if "AS \"memory\"" in block:
            view = block
    for row in view.splitlines():
        hit = line.match(row)
        if not hit:
            continue
        start, end = int(hit[1], 16), int(hit[2], 16) + 1
        if ranges and ranges[-1][1] == start:
            start = ranges.pop()[0]
        if start % PAGE == 0 and end % PAGE == 0:
            ranges.append((start, end))
    if not ranges:
        raise OracleError("no RAM in 'info mtree -f'")
    return ranges


def differing(a, b):
    """Page frame numbers whose contents are not the same, ascending."""
    big = 512 * PAGE
    for (start, size, x), (_, _, y) in zip(a.parts, b.parts):
        for off in range(0, size, big):
            if x[off:off + big] == y[off:off + big]:
                continue
            for page in range(off, min(off + big, size), PAGE):
                if x[page:page + PAGE] != y[page:page + PAGE]:
                    yield (start + page) // PAGE


class FreePages:
    """What is free of every page, from the dumped page array.

    @partial: the kernel knows a part of the RAM only, as a crash kernel does;
    nothing else is free.
    """

    def __init__(self, vm, dump, partial=False):
        self._vm, self._dump, self._partial = vm, dump, partial
        self._sections = {}
        self._arrays = {}
        self.offline = set()    # pages in a balloon
        self.balloon = set()    # those of them that are free for the map
        self.blocks = 0         # free blocks seen, for the sanity check

    def _section(self, pfn):
        index = pfn // SECTION_PAGES
        if index not in self._sections:
            self._sections[index] = self._load(index)
        return self._sections[index]

    def _load(self, index):
        size = SECTION_PAGES * STRUCT_PAGE
        virt = VMEMMAP + index * size
        text = self._vm.hmp(f"gva2gpa {virt:#x}")
        hit = re.search(r"gpa:\s*0x([0-9a-f]+)", text)
        if hit:
            array = self._dump.read(int(hit[1], 16), size)
        elif self._partial:
            array = bytes(size)
        else:
            raise OracleError(f"no page array at {virt:#x}: {text.strip()}")
        free = bytearray(SECTION_PAGES)
        owned = bytearray(SECTION_PAGES)
        # flags @0, compound_head @8 (bit 0: a tail), private @40, page_type @48,
        # _refcount @52
        for i, fields in enumerate(
                struct.iter_unpack("<QQ24xQIi8x", array)):
            flags, head, order, page_type, refcount = fields
            owned[i] = refcount != 0 or head & 1
            if page_type >> 24 == PGTY_OFFLINE and refcount:
                self.offline.add(index * SECTION_PAGES + i)
                if flags & OWNER_PRIV_1:
                    self.balloon.add(index * SECTION_PAGES + i)
                    free[i] = 1
            if page_type >> 24 != PGTY_BUDDY:
                continue
            if order > MAX_ORDER or i & ((1 << order) - 1):
                raise OracleError(
                    f"pfn {index * SECTION_PAGES + i:#x}: free block of order "
                    f"{order}: this is not the struct page of Linux 6.12")
            self.blocks += 1
            free[i:i + (1 << order)] = b"\1" * (1 << order)
        self._arrays[index] = array
        return free, owned

    def section_free(self, pfn):
        """One byte per page of the section that begins at pfn: 1 = free."""
        return self._section(pfn)[0]

    def is_free(self, pfn):
        return self._section(pfn)[0][pfn % SECTION_PAGES]

    def has_owner(self, pfn):
        """A reference, or it is a tail of a compound page."""
        return self._section(pfn)[1][pfn % SECTION_PAGES]

    def describe(self, pfn):
        """The struct page, for a failure's report."""
        self._section(pfn)
        at = pfn % SECTION_PAGES * STRUCT_PAGE
        flags, head, order, page_type, refcount = struct.unpack_from(
            "<QQ24xQIi", self._arrays[pfn // SECTION_PAGES], at)
        return (f"{pfn:#x} (flags {flags:#x}, head {head:#x}, private "
                f"{order:#x}, type {page_type:#x}, refcount {refcount})")

    def total(self, ranges):
        """All pages that are free for the map; loads the whole page array."""
        sections = {section for start, end in ranges
                    for section in range(start // PAGE // SECTION_PAGES,
                                         -(-end // PAGE // SECTION_PAGES))}
        return sum(sum(self._section(section * SECTION_PAGES)[0])
                   for section in sections)


MAGIC = b"cfphmap2"
VERSION = 2
READY = 1
HEADER = struct.Struct("<8sQIIQI28x")   # magic generation state version ...
DIRS_MAX = (PAGE - HEADER.size) // 8
DIR_LEAVES = PAGE // 8


def registered_header(vm):
    """Address of the header page of the newest map, as the device was told.

    None if this QEMU was told of none since it forgot the last one: there may be
    one that has come with the guest.
    """
    told = re.findall(r"virtio_balloon_cfph_(map|unmap|forget) .*"
                      r"generation=\w+(?: header_addr=0x([0-9a-f]+))?",
                      vm.trace_text())
    return int(told[-1][1], 16) if told and told[-1][0] == "map" else None


def _header(dump, addr):
    """The number of its directory pages; None if there is no map that is kept."""
    page = dump.read(addr, HEADER.size)
    magic, generation, state, version, _changes, dirs = HEADER.unpack(page)
    if (magic, state, version) != (MAGIC, READY, VERSION):
        return None
    return dirs if generation and dirs <= DIRS_MAX else None


def _find_header(vm, dump):
    """The header page of a guest that was brought here, by its looks.

    A page that is free may look like one, too: what it holds is from before.
    """
    found = []
    for start, _, data in dump.parts:
        at = data.find(MAGIC)
        while at >= 0:
            if at % PAGE == 0 and _header(dump, start + at) is not None:
                found.append(start + at)
            at = data.find(MAGIC, at + 1)
    if len(found) > 1:
        pages = FreePages(vm, dump)
        found = [addr for addr in found if not pages.is_free(addr // PAGE)]
    if len(found) > 1:
        raise OracleError(f"more than one map: {[hex(a) for a in found]}")
    return found[0] if found else None


def _addresses(dump, addr, count):
    return struct.unpack(f"<{count}Q", dump.read(addr, count * 8))


def map_leaves(vm, dump):
    """{first pfn: address} of the map that is registered, {} if none is kept."""
    addr = registered_header(vm) or _find_header(vm, dump)
    dirs = addr and _header(dump, addr)
    if not dirs:
        return {}
    leaves = {}
    for i, page in enumerate(_addresses(dump, addr + HEADER.size, dirs)):
        for j, leaf in enumerate(_addresses(dump, page, DIR_LEAVES)
                                 if page else ()):
            if leaf:
                leaves[(i * DIR_LEAVES + j) * SECTION_PAGES] = leaf
    return leaves


def skipped_pages(vm):
    """How many the migration that has just ended has left out."""
    return vm.qmp("query-migrate").get("ram", {}).get("free-pages-skipped", 0)


def map_errors(leaves, pages, dump):
    """Pages for which the map and the page array do not agree: (lies, gaps).

    A lie is a page that is in use and that the map calls free, such as one that has
    left the balloon; a gap is a free page, or one in the balloon, that it does not
    know of, which costs time only.
    """
    lies, gaps = [], []
    for first_pfn, addr in leaves.items():
        bits = int.from_bytes(dump.read(addr, PAGE), "little")
        free = pages.section_free(first_pfn)
        text = f"{bits:0{SECTION_PAGES}b}"[::-1]
        if text == "".join("1" if f else "0" for f in free):
            continue
        for i, is_free in enumerate(free):
            if (text[i] == "1") == bool(is_free):
                continue
            (gaps if is_free else lies).append(first_pfn + i)
    return lies, gaps


@functools.lru_cache(maxsize=1)
def _symbols():
    """The kernel's functions: (addresses, names), ascending."""
    with open(config.system_map(), encoding="ascii") as file:
        lines = (line.split() for line in file)
        return tuple(zip(*sorted((int(addr, 16), name)
                                 for addr, kind, name in lines
                                 if kind in "tTwW")))


def _symbol(address):
    addresses, names = _symbols()
    at = bisect.bisect(addresses, address) - 1
    return names[at] if at >= 0 else f"{address:#x}"


def midway(vm):
    """Addresses where a vCPU was stopped in the kernel with interrupts off.

    The allocator's free lists and the map change under zone->lock only, that
    is with interrupts off.  Such a vCPU may have stopped with one block that is
    in no list any more, or not yet, and that is nobody's; its bit says free.
    """
    return [int(rip, 16) for rip, rfl, cpl in re.findall(
        r"RIP=([0-9a-f]+) RFL=([0-9a-f]+) .*?CPL=(\d)",
        vm.hmp("info registers -a"))
        if not int(rfl, 16) & 0x200 and cpl == "0"]


def _count(ranges):
    """Pages in them."""
    return sum(end - start for start, end in ranges) // PAGE


class Verdict:
    """What the comparison has found."""

    def __init__(self):
        self.pages = 0          # compared
        self.differ = 0         # of which not the same
        self.free = 0           # of which free: they may differ
        self.free_total = 0     # free pages of the guest at the stop, with @balloon
        self.midway = []        # where vCPUs stopped with interrupts off
        self.flying = 0         # in the map, no owner, in no list: midway
        self.in_flight = []     # of these, those that differ
        self.offline = 0        # in a balloon, at the stop
        self.balloon = 0        # of which free for the map
        self.gone = 0           # of which differ: left out, or the host has taken them
        self.lost = []          # owned and not the same: a bug
        self.examples = []      # some of @lost, described
        self.skipped = 0        # pages that were left out, by that map
        self.map_leaves = 0     # of the map that was read at the stop
        self.map_lies = []      # in use, and free in the map
        self.map_gaps = []      # free, and not in the map

    def __str__(self):
        text = (f"{self.pages} pages compared, {self.differ} differ, "
                f"{self.free} of them free (of {self.free_total} free), "
                f"{len(self.in_flight)} in the allocator's hands, "
                f"{self.gone} in the balloon (of {self.offline}, "
                f"{self.balloon} free for the map), "
                f"{len(self.lost)} LOST; map at the stop: "
                f"{self.map_leaves} leaves, {len(self.map_lies)} lies, "
                f"{len(self.map_gaps)} gaps")
        if self.in_flight:
            text += f"; stopped in {', '.join(map(_symbol, self.midway))}"
        if self.examples:
            text += "; lost: " + ", ".join(self.examples)
        return text

    def judge(self, vm, dump, ranges, leaves, changed, partial=False,
              balloon=False):
        """Sort the errors of the map in @leaves, and the pages @changed.

        @balloon: the device discards what the guest has put into the balloon,
        on the source, so that there is nothing to be lost, with hints or without.
        """
        pages = FreePages(vm, dump, partial)
        self.pages = _count(ranges)
        self.free_total = pages.total(ranges)
        if not self.free_total:
            raise OracleError("no free page at all: the page array was "
                              "not found")
        self.midway = midway(vm)
        self.map_leaves = len(leaves)
        lies, gaps = map_errors(leaves, pages, dump)
        self.differ = len(changed)
        self.offline, self.balloon = len(pages.offline), len(pages.balloon)
        gone = (pages.offline if balloon else pages.balloon).intersection(changed)
        self.gone = len(gone)
        self.free = sum(pages.is_free(pfn) for pfn in changed if pfn not in gone)
        owned = [pfn for pfn in changed
                 if pfn not in gone and not pages.is_free(pfn)]
        flying = self._flying(pages, lies)
        self.flying = len(flying)
        self.map_lies = [pfn for pfn in lies if pfn not in flying]
        # With them, what a vCPU was about to put into a list.
        self.map_gaps = ([] if len(gaps) <= len(self.midway) << MAX_ORDER
                         else gaps)
        self.in_flight = [pfn for pfn in owned if pfn in flying]
        self.lost = [pfn for pfn in owned if pfn not in flying]
        self.examples = [pages.describe(pfn) for pfn in self.lost[:6]]

    def _flying(self, pages, lies):
        """Those of @lies that are a block for each stopped vCPU at most."""
        unowned = {pfn for pfn in lies if not pages.has_owner(pfn)}
        blocks = {pfn >> MAX_ORDER for pfn in unowned}
        return unowned if len(blocks) <= len(self.midway) else set()


def compare(src, dst, directory, no_kernel=False, **how):
    """Compare two stopped guests; returns a Verdict.

    @no_kernel: no Linux with a page array runs in it: no page counts as free.
    @how: options of Verdict.judge()
    """
    for vm in (src, dst):
        running = vm.qmp("query-status")["running"]
        if running:
            raise OracleError(f"{vm.name} runs: nothing to compare")
    ranges = ram_ranges(src)
    if ranges != ram_ranges(dst):
        raise OracleError("source and destination have different RAM")
    verdict = Verdict()
    verdict.skipped = skipped_pages(src)
    a = Dump(src, ranges, directory, "src")
    b = Dump(dst, ranges, directory, "dst")
    try:
        changed = list(differing(a, b))
        if no_kernel:
            verdict.pages = _count(ranges)
            verdict.lost = changed
            verdict.differ = len(changed)
        else:
            leaves = map_leaves(src, a) if verdict.skipped else {}
            verdict.judge(src, a, ranges, leaves, changed, **how)
    finally:
        a.close()
        b.close()
    return verdict


def check_stopped_map(vm, directory):
    """The registered map of a stopped guest against its page array."""
    verdict = Verdict()
    ranges = ram_ranges(vm)
    dump = Dump(vm, ranges, directory, vm.name)
    try:
        verdict.judge(vm, dump, ranges, map_leaves(vm, dump), [])
    finally:
        dump.close()
    return verdict
