# SPDX-License-Identifier: GPL-2.0
"""Ways to write a guest's memory out that need nobody at the other end.

Each of them saves a VM to a file, says how large that is, and makes a new VM, held
by -S, out of it.
"""

import os

from . import snapshot
from .migrate import EXEC, FD, FILE, UNIX, Migration, arrive_from, configure
from .registry import need

BACKGROUND = "background-snapshot"


def written(path):
    """Bytes of a file without its holes, and what the file system has set aside
    for more."""
    total = at = 0
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        while at < size:
            try:
                start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:             # nothing but a hole
                break
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            total += at - start
    return total


class Saved:
    """A VM that has been saved."""

    def __init__(self, path, info, restore):
        self.path, self.info = path, info
        self.ram = info["ram"]
        self.skipped = self.ram.get("free-pages-skipped", 0)
        self._restore = restore
        self.size = (written(path) if os.path.exists(path) else
                     self.ram["transferred"])

    def restore(self):
        """The guest in a new VM, which stands still."""
        vm = self._restore()
        self.drop()
        return vm

    def drop(self):
        if os.path.exists(self.path):
            os.unlink(self.path)


class Stored:
    """migrate to a file, by one of the ways that take one."""

    def __init__(self, by, caps=(), params=None):
        self.by, self.caps, self.params = by, caps, params

    def save(self, ctx, src):
        path = os.path.join(ctx.logs, "saved")
        migration = Migration(src, None, by=self.by, path=path, caps=self.caps,
                              params=self.params).start()
        info = migration.finish()
        src.qmp("migrate-set-capabilities", capabilities=[
            {"capability": cap, "state": False} for cap in self.caps])
        return Saved(path, info, lambda: self._restore(ctx, src.spec, path))

    def _restore(self, ctx, spec, path):
        vm = ctx.destination(spec)
        configure(vm, [cap for cap in self.caps if cap != BACKGROUND],
                  self.params)
        arrive_from(vm, self.by, path)
        return vm


class Socket:
    """migrate to a VM that waits at a socket."""

    def save(self, ctx, src):
        dst = ctx.destination(src.spec)
        info = Migration(src, dst, by=UNIX).start().finish()
        return Saved(os.path.join(ctx.logs, "none"), info, lambda: dst)


class Snapshot:
    """savevm, by the job of QMP or by HMP's command."""

    def __init__(self, save, load):
        self._save, self._load = save, load

    def save(self, ctx, src):
        path = os.path.join(ctx.logs, "saved.qcow2")
        if os.path.exists(path):
            os.unlink(path)
        snapshot.image(path)
        self._save(src, path)
        return Saved(path, src.qmp("query-migrate"),
                     lambda: self._restore(ctx, src.spec, path))

    def _restore(self, ctx, spec, path):
        vm = ctx.vm(spec, f"dst{ctx.made}", paused=True)
        self._load(vm, path)
        need(not vm.qmp("query-status")["running"], "loadvm lets it run")
        return vm


def no_background(vm):
    """Why this host cannot make a background snapshot; None if it can."""
    try:
        vm.qmp("migrate-set-capabilities", capabilities=[
            {"capability": BACKGROUND, "state": True}])
    except vm.QMPExecuteError as err:
        return str(err)
    vm.qmp("migrate-set-capabilities", capabilities=[
        {"capability": BACKGROUND, "state": False}])
    return None


WAYS: dict = {
    "exec": Stored(EXEC),
    "file": Stored(FILE),
    "fd": Stored(FD),
    "mapped-ram": Stored(FILE, ("mapped-ram",)),
    "mapped-ram-multifd": Stored(FILE, ("mapped-ram", "multifd"),
                                 {"multifd-channels": 2}),
    "socket": Socket(),
    "snapshot-save": Snapshot(snapshot.save, snapshot.load),
    "savevm": Snapshot(snapshot.savevm, snapshot.loadvm),
    "background": Stored(FILE, (BACKGROUND,)),
}
