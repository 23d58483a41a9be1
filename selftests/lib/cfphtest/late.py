# SPDX-License-Identifier: GPL-2.0
"""A guest that changes its mind between the estimate and the stop.

What is left fits into the downtime limit, because most of the guest is free.  Then
the guest takes its map back, or takes the memory without writing to it, and only
after that QEMU stops it (see gate.py).  All that it says in these tests is true; what
it costs is the question.
"""

import os

from . import config, guest
from .gate import Gate
from .integrity import emptied
from .migrate import UNLIMITED, Migration
from .registry import need, wait_for

MEM = "512M"
LINK = 100_000_000              # what QEMU is told that the link can do
LIMIT_MS = 50
LIMIT = LINK * LIMIT_MS // 1000     # bytes that may be left
MOST = LIMIT * 3 // 2           # and that may be sent with the guest stopped


# --- what the guest does ---

def nothing(_src):
    pass


def fpctl_stop(src):
    src.sh("fpctl stop")


def unbind(src):
    src.sh(f"cd {guest.DRIVER} && echo virtio* >unbind")


def _pool(src, pages):
    got = int(src.sh(f"echo {pages} >/proc/sys/vm/nr_hugepages; "
                     "cat /proc/sys/vm/nr_hugepages", 120))
    need(got >= pages // 2, f"a pool of {got} pages, not {pages}")


def hugetlb(src):
    """All free memory goes to a pool, and nobody writes to it."""
    _pool(src, guest.fpctl(src)["free-pages"] * 9 // 10 // 512)


def one_huge_page(src):
    """Less than the limit allows."""
    _pool(src, 1)


def reboot(src):
    src.sh("(usleep 100000; reboot -f) >/dev/null 2>&1 &")
    src.wait_event(lambda e: e["event"] == "RESET", 30)


def kexec(src):
    src.sh("(usleep 100000; exec kexec-now /kernel /initrd) >/dev/console "
           "2>&1 &")
    wait_for(lambda: not guest.cfph_status(src)["registered"],
             "the map outlives its kernel")


# --- the migration ---

def prepare(ctx, initrd=None, gate=None, **fields):
    """A guest with little in use, and with contents in all that is free."""
    return emptied(ctx.vm(ctx.spec(mem=MEM, reboot=True, **fields), "src",
                          gate=gate, initrd=initrd), 85, 8)


def migrate_late(ctx, act, caps=(), measured=False, **fields):
    """(source, destination, query-migrate in the end) with @act in the gap.

    @measured: QEMU finds out itself what the link can do.
    """
    params = {} if measured else {"avail-switchover-bandwidth": LINK}
    initrd = ctx.initrd_with({
        "/kernel": config.kernel(),
        "/initrd": config.initramfs()}) if act is kexec else None
    with Gate(os.path.join(ctx.logs, "gate")) as gate:
        src = prepare(ctx, initrd, gate, **fields)
        dst = ctx.destination(src.spec)
        # Not faster: within the first 100 ms QEMU knows of no limit, and looks
        # for nothing more to send before it stops the guest.
        migration = Migration(src, dst, downtime_ms=LIMIT_MS, caps=caps,
                              bandwidth=LINK, params=params).start()
        left = gate.catch(migration, LIMIT // 4 if measured else LIMIT)
        need(src.qmp("query-status")["running"], "the guest stands still")
        act(src)
        src.take_events()
        src.events.clear()
        if not measured:
            migration.set(max_bandwidth=UNLIMITED)
        gate.open()
        info = migration.finish()
        src.take_events()
    ctx.say(f"{left['ram']['remaining']} bytes were left before, "
            f"{info['ram']['downtime-bytes']} sent with the guest stopped; "
            f"limit {LIMIT}; {info['ram'].get('free-pages-skipped')} pages "
            f"skipped, downtime {info['downtime']} ms")
    return src, dst, info
