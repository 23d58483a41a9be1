# SPDX-License-Identifier: GPL-2.0
"""Moving a guest from one QEMU to another, step by step."""

import os

from .registry import wait_for
from .relay import Relay
from .vm import VMError

GBE10 = 1_250_000_000           # bytes a second of a 10 GbE link
MBPS100 = 100_000_000           # the slow link of the churn case
UNLIMITED = 1 << 40

ENDED = ("completed", "failed", "cancelled")

# Ways to get there; through the last three the destination gets it afterwards.
UNIX, TCP, FILE, EXEC, FD = "unix", "tcp", "file", "exec", "fd"
STORED = (FILE, EXEC, FD)


class MigrationFailed(VMError):
    """It ended, but not with "completed"."""


def _status(*wanted):
    return lambda e: (e["event"] == "MIGRATION" and
                      e["data"]["status"] in wanted)


def configure(vm, caps=(), params=None):
    """Capabilities and parameters, beside those that it has."""
    if caps:
        vm.qmp("migrate-set-capabilities", capabilities=[
            {"capability": cap, "state": True} for cap in caps])
    if params:
        vm.qmp("migrate-set-parameters", **params)


def stored_uri(vm, by, path, mode):
    """How @vm writes ("w") a stored migration to @path, or reads ("r") it."""
    if by == EXEC:
        return f"exec:cat {'>' if mode == 'w' else '<'}{path}"
    if by == FD:
        with open(path, mode + "b") as file:
            vm.give_fd("migration", file.fileno())
        return "fd:migration"
    return f"file:{path}"


def arrive_from(vm, by, path, limit=120):
    """The guest of a stored migration."""
    vm.qmp("migrate-incoming", uri=stored_uri(vm, by, path, "r"))
    event = vm.wait_event(_status(*ENDED), limit)
    if event["data"]["status"] != "completed":
        raise MigrationFailed(f"{vm.name} does not arrive from {path}: "
                              f"{vm.said().strip()[-300:]}")


class Migration:
    """One migration from src to dst; dst was started with incoming=True.

    Without a dst what is sent goes to @path, or nowhere.  @link: bytes a second that
    hold in the last round, too (UNIX only), where @bandwidth does not count.
    """

    def __init__(self, src, dst, bandwidth=UNLIMITED, downtime_ms=300,
                 caps=(), params=None, by=UNIX, path=None, link=None):
        self.src, self.dst = src, dst
        self._by = by
        self._link, self._relay = link, None
        # In a directory that goes when the destination goes.
        self._path = path or (os.path.join(dst.tmp, "migration") if dst else
                              "/dev/null")
        if not dst and by not in STORED:
            self._by = EXEC
        configure(src, caps)
        self.set(max_bandwidth=bandwidth, downtime_limit=downtime_ms,
                 **(params or {}))
        if dst:
            configure(dst, caps, params)

    def set(self, **params):
        self.src.qmp("migrate-set-parameters", **params)

    def start(self):
        self.src.take_events()
        self.src.events.clear()
        if self._by in STORED:
            uri = stored_uri(self.src, self._by, self._path, "w")
        else:
            uri = ("tcp:127.0.0.1:0" if self._by == TCP else
                   f"unix:{self._path}")
            self.dst.qmp("migrate-incoming", uri=uri)
        if self._link:
            self._relay = Relay(self._path, self._link)
            uri = f"unix:{self._relay.path}"
        if self._by == TCP:             # which port it has got
            address = self.dst.qmp("query-migrate")["socket-address"][0]
            uri = f"tcp:127.0.0.1:{address['port']}"
        self.src.qmp("migrate", uri=uri)
        return self

    def wait_status(self, *wanted, limit=60):
        """Until it is in one of these states; which one it is."""
        event = self.src.wait_event(_status(*wanted, *ENDED), limit)
        status = event["data"]["status"]
        if status not in wanted:
            raise MigrationFailed(f"{status}, not {' or '.join(wanted)}")
        return status

    def wait_pass(self, number, limit=60):
        """Until `number` dirty-bitmap syncs have been made."""
        def match(event):
            if _status(*ENDED)(event):
                raise MigrationFailed(
                    f"ended ({event['data']['status']}) before pass {number}")
            return (event["event"] == "MIGRATION_PASS" and
                    event["data"]["pass"] >= number)
        self.src.wait_event(match, limit)
        return self

    def wait_end(self, limit=120):
        """'completed', 'failed' or 'cancelled'; a pause before the switchover,
        and another one if that is taken back, is cut short."""
        while True:
            event = self.src.wait_event(_status("pre-switchover", *ENDED),
                                        limit)
            if event["data"]["status"] != "pre-switchover":
                return event["data"]["status"]
            self.src.qmp("migrate-continue", state="pre-switchover")

    def finish(self, limit=120):
        """Wait for success on both sides; returns query-migrate."""
        status = self.wait_end(limit)
        info = self.info()
        if status != "completed":
            raise MigrationFailed(
                f"migration {status}: {info.get('error-desc', 'no reason')}; " +
                "; ".join(f"{vm.name}: {vm.said().strip()[-300:]}"
                          for vm in (self.src, self.dst) if vm))
        if self.dst and self._by in STORED:
            arrive_from(self.dst, self._by, self._path, limit)
        elif self.dst:
            self.dst.wait_event(_status("completed"), limit)
        if self._relay:
            self._relay.finish()
        # A migrate that comes before QEMU has cleaned up behind this one ends in
        # an assertion of multifd, in upstream's QEMU, too: its threads end last.
        wait_for(lambda: not self.src.qmp("query-migrationthreads"),
                 "threads of a migration that is over", limit)
        return info

    def cancel(self, limit=30):
        self.src.qmp("migrate_cancel")
        status = self.src.wait_event(_status(*ENDED), limit)["data"]["status"]
        if self._relay and status != "completed":
            self._relay.close()
        return status

    def info(self):
        return self.src.qmp("query-migrate")


def migrate(src, dst, limit=120, **options):
    """Start, wait, return query-migrate of the source."""
    return Migration(src, dst, **options).start().finish(limit)
