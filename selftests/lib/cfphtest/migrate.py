# SPDX-License-Identifier: GPL-2.0
"""Moving a guest from one QEMU to another, step by step."""

import os

from .vm import VMError

GBE10 = 1_250_000_000           # bytes a second of a 10 GbE link
MBPS100 = 100_000_000           # the slow link of the churn case
UNLIMITED = 1 << 40

ENDED = ("completed", "failed", "cancelled")


class MigrationFailed(VMError):
    """It ended, but not with "completed"."""


def _status(*wanted):
    return lambda e: (e["event"] == "MIGRATION" and
                      e["data"]["status"] in wanted)


class Migration:
    """One migration from src to dst; dst was started with incoming=True.

    Without a dst it goes nowhere, and is there to be cancelled.
    """

    def __init__(self, src, dst, bandwidth=UNLIMITED, downtime_ms=300,
                 caps=(), params=None, tcp=False, file=False):
        self.src, self.dst = src, dst
        # In a directory that goes when the destination goes.
        self.uri = ("exec:cat >/dev/null" if not dst else
                    "tcp:127.0.0.1:0" if tcp else
                    ("file:" if file else "unix:") +
                    os.path.join(dst.tmp, "migration"))
        self._tcp = tcp
        self._file = file       # the destination reads it when it is complete
        caps = [{"capability": c, "state": True} for c in caps]
        if caps:
            for vm in filter(None, (src, dst)):
                vm.qmp("migrate-set-capabilities", capabilities=caps)
        self.set(max_bandwidth=bandwidth, downtime_limit=downtime_ms,
                 **(params or {}))
        if params and dst:
            dst.qmp("migrate-set-parameters", **params)

    def set(self, **params):
        self.src.qmp("migrate-set-parameters", **params)

    def start(self):
        self.src.take_events()
        self.src.events.clear()
        if self.dst and not self._file:
            self.dst.qmp("migrate-incoming", uri=self.uri)
        uri = self.uri
        if self._tcp:
            address = self.dst.qmp("query-migrate")["socket-address"][0]
            uri = f"tcp:127.0.0.1:{address['port']}"
        self.src.qmp("migrate", uri=uri)
        return self

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
        """'completed', 'failed' or 'cancelled'."""
        event = self.src.wait_event(_status(*ENDED), limit)
        return event["data"]["status"]

    def finish(self, limit=120):
        """Wait for success on both sides; returns query-migrate."""
        status = self.wait_end(limit)
        info = self.info()
        if status != "completed":
            raise MigrationFailed(
                f"migration {status}: {info.get('error-desc', 'no reason')}; "
                f"source: {self.src.said().strip()[-300:]}; "
                f"destination: {self.dst.said().strip()[-300:]}")
        if self._file:
            self.dst.qmp("migrate-incoming", uri=self.uri)
        self.dst.wait_event(_status("completed"), limit)
        return info

    def cancel(self, limit=30):
        self.src.qmp("migrate_cancel")
        event = self.src.wait_event(_status(*ENDED), limit)
        return event["data"]["status"]

    def info(self):
        return self.src.qmp("query-migrate")


def migrate(src, dst, limit=120, **options):
    """Start, wait, return query-migrate of the source."""
    return Migration(src, dst, **options).start().finish(limit)
