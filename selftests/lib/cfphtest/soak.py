# SPDX-License-Identifier: GPL-2.0
"""A long chain of migrations under load, every choice from one seed.

A chain is one guest that is handed from QEMU to QEMU.  What kind of machine it
is, how it is loaded, and by which way and over which link each hop goes, comes
from a random generator, so that the same seed makes the same plan.  After each
hop all memory is compared (see oracle.py) where the way allows it, and the guest
checks all that it holds.

Some ways are no live migration: the guest stands still before it begins; it is saved
to a file (savevm), out of the middle of a migration that is given up, and loaded
into the next QEMU; a background snapshot of it is made, and it is the snapshot that
goes on.
"""

import os
import random

from . import guest, save, snapshot
from .integrity import compare, crawl, load, resume, verify
from .migrate import FILE, TCP, UNIX, UNLIMITED, Migration
from .registry import need, wait_for

HOPS = 20
MB = 1_000_000

# name: capabilities, parameters by random choice
WAYS: dict = {
    "precopy": ((), {}),
    "precopy-tcp": ((), {}),
    "multifd": (("multifd",), {
        "multifd-channels": (2, 4),
        "zero-page-detection": ("none", "legacy", "multifd")}),
    "multifd-zstd": (("multifd",), {
        "multifd-channels": (2,), "multifd-compression": ("zstd",)}),
    "xbzrle": (("xbzrle",), {"xbzrle-cache-size": (16 << 20, 64 << 20)}),
    "auto-converge": (("auto-converge",), {}),
    "postcopy-ram": (("postcopy-ram",), {}),
    "postcopy-preempt": (("postcopy-ram", "postcopy-preempt"), {}),
    "mapped-ram": (("mapped-ram",), {}),
    "mapped-ram-multifd": (("mapped-ram", "multifd"), {
        "multifd-channels": (2,)}),
    "paused": ((), {}),
    "paused-mapped-ram": (("mapped-ram",), {}),
    "savevm": ((), {}),
    "background": (("background-snapshot",), {}),
}
STANDING = ("paused", "paused-mapped-ram")
CAPABILITIES = sorted({cap for caps, _ in WAYS.values() for cap in caps})
DEFAULTS = {"zero-page-detection": "multifd", "multifd-compression": "none"}
LINKS = (50 * MB, 200 * MB, UNLIMITED)

# Small guests go through more hops in the same time.
MACHINES = (
    {"mem": "384M", "disk": True},
    {"mem": "384M", "smp": 4},
    {"mem": "512M", "smp": 1, "backend": "ram"},
    {"mem": "512M", "machine": "q35", "backend": "memfd"},
    {"mem": "512M", "balloon_opts": ["free-page-reporting=on"]},
    {"mem": "1G", "smp": 4, "shake": True, "disk": True},
    {"mem": "1G", "smp": 1, "backend": "memfd"},
    {"mem": "4G", "backend": "ram", "dummy": "128M"},
    {"mem": "4G", "smp": 1, "machine": "q35", "disk": True},
    {"mem": "6G", "smp": 4},
)


class Plan:
    """What the next chain and its hops are; the same for the same seed."""

    def __init__(self, seed):
        self._rng = random.Random(seed)
        self._machines = []

    def machine(self):
        if not self._machines:      # each once, in a new order
            self._machines = list(MACHINES)
            self._rng.shuffle(self._machines)
        fields = dict(self._machines.pop())
        return fields, fields.pop("shake", self._rng.random() < 0.5)

    def hop(self):
        """(way, capabilities, parameters, bytes a second)"""
        way = self._rng.choice(sorted(WAYS))
        caps, choices = WAYS[way]
        params = {name: self._rng.choice(values)
                  for name, values in choices.items()}
        return way, caps, params, self._rng.choice(LINKS)


def _reset(vm):
    """Whatever the hop before has set."""
    vm.qmp("migrate-set-capabilities", capabilities=[
        {"capability": cap, "state": False} for cap in CAPABILITIES])
    vm.qmp("migrate-set-parameters", **DEFAULTS)


def _migrate(src, dst, way, caps, params, bandwidth):
    _reset(src)
    if way in STANDING:
        src.qmp("stop")
    migration = Migration(src, dst, by=TCP if way == "precopy-tcp" else
                          FILE if "mapped-ram" in caps else UNIX, caps=caps, params=params,
                          bandwidth=bandwidth, downtime_ms=0).start()
    if way not in STANDING:
        migration.wait_pass(2, 300)
    if "postcopy-ram" in caps:
        src.qmp("migrate-start-postcopy")
        migration.set(max_postcopy_bandwidth=0)
    migration.set(max_bandwidth=UNLIMITED, downtime_limit=5000)
    return migration.finish(300)


def _save(src, path):
    """Save a guest that is in the middle of a migration, and stays there.

    While the migration runs QEMU refuses.  It is given up with the guest
    stopped: the guest that is saved has not heard of that.
    """
    _reset(src)
    migration = crawl(src)
    wait_for(lambda: guest.cfph_status(src)["session-active"],
             "no session to be saved")
    try:
        snapshot.save(src, path)
        need(False, "saved in the middle of a migration")
    except snapshot.SnapshotRefused:
        pass
    src.qmp("stop")
    need(migration.cancel() == "cancelled", "not cancelled")
    snapshot.save(src, path)
    info = src.qmp("query-migrate")["ram"]
    need(info.get("free-pages-skipped"), f"savevm: no page skipped: {info}")


class Chain:
    """One guest on its way."""

    def __init__(self, ctx, plan):
        self._ctx, self._plan = ctx, plan
        fields, self._shake = plan.machine()
        self.name = " ".join(f"{k}={v}" for k, v in sorted(fields.items()))
        if fields.pop("disk", False):
            fields["disk"] = ctx.disk()
        self.spec = ctx.spec(**fields)
        self._vm = ctx.vm(self.spec, "hop0")
        self._vm.boot()
        self.hops = 0
        self.doing = self.name      # what failed, if it fails
        # Enough to matter, little enough to be written within a minute.
        load(self._vm, stress_mib=min((self.spec.mem >> 20) * 35 // 100, 600))
        if self._shake:
            self._vm.sh("shake start", 300)
            self.name += " shake"

    def hop(self):
        """One migration; returns what came out of it."""
        way, caps, params, bandwidth = self._plan.hop()
        self.hops += 1
        link = ("to a file" if way in ("savevm", "background") else
                "no limit" if bandwidth == UNLIMITED else
                f"{bandwidth // MB} MB/s")
        self.doing = " ".join([f"{self.name}: {way}", link] +
                              [f"{k}={v}" for k, v in params.items()])
        src = self._vm
        if way == "savevm":
            self._vm, text = self._by_snapshot(src)
        elif way == "background":
            self._vm, text = self._in_background(src)
        else:
            self._vm, text = self._by_migration(src, way, caps, params,
                                                bandwidth)
        guest.check_console(src)
        self._ctx.drop(src)
        if "postcopy-ram" not in caps:
            resume(self._vm)
        verify(self._ctx, self._vm, stop=False)
        need(not guest.fpctl(self._vm)["migration-id"],
             "the guest believes that the migration goes on")
        if self._shake:
            self._vm.sh("shake status", 300)
        return text

    def _by_migration(self, src, way, caps, params, bandwidth):
        # A postcopy destination has pages to ask for only while it runs.
        running = "postcopy-ram" in caps
        dst = self._ctx.vm(self.spec, f"hop{self.hops}", incoming=True,
                           paused=not running)
        info = _migrate(src, dst, way, caps, params, bandwidth)
        ram = info["ram"]
        text = (f"{info['total-time']} ms, {ram['dirty-sync-count']} rounds, "
                f"skipped {ram.get('free-pages-skipped')}")
        if not running:
            need(ram.get("free-pages-skipped"), f"{text}: no page skipped")
            verdict = compare(self._ctx, src, dst)
            text += (f", {verdict.differ} pages differ, "
                     f"{len(verdict.in_flight)} in flight, the others free")
        return dst, text

    def _by_snapshot(self, src):
        path = snapshot.image(os.path.join(self._ctx.logs, "state.qcow2"))
        _save(src, path)
        size = os.stat(path).st_blocks >> 11
        # As the end of a migration does: the next QEMU may use the disk.
        src.qmp("blockdev-set-active", active=False)
        dst = self._ctx.vm(self.spec, f"hop{self.hops}", paused=True)
        snapshot.load(dst, path)
        os.unlink(path)
        verdict = compare(self._ctx, src, dst)
        return dst, (f"{size} MiB saved, {verdict.differ} pages differ, "
                     f"{len(verdict.in_flight)} in flight, the others free")

    def _in_background(self, src):
        """The guest goes on meanwhile, so that there is nothing to compare."""
        reason = save.no_background(src)
        if reason:
            vm, text = self._by_migration(src, "paused", (), {}, UNLIMITED)
            return vm, f"no background snapshots here: paused, {text}"
        _reset(src)
        saved = save.WAYS["background"].save(self._ctx, src)
        need(saved.skipped, f"no page skipped: {saved.ram}")
        verify(self._ctx, src, stop=False)
        src.qmp("stop")
        src.qmp("blockdev-set-active", active=False)
        dst = saved.restore()
        return dst, f"{saved.size >> 20} MiB saved, skipped {saved.skipped}"

    def close(self):
        self._ctx.drop(self._vm)
        for name in os.listdir(self._ctx.logs):
            os.unlink(os.path.join(self._ctx.logs, name))
