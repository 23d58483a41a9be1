# SPDX-License-Identifier: GPL-2.0
"""One guest on its way through several QEMU processes, and what each hop took."""

import os
import re

from . import guest
from .migrate import UNLIMITED, Migration
from .vm import VM, VMError

LIMIT = 600
STAMP_MIB = 8


def cpu_seconds(pid):
    """Processor time of a process, its vCPUs and all other threads."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def event_seconds(event):
    stamp = event["timestamp"]
    return stamp["seconds"] + stamp["microseconds"] / 1e6


def stopped_ms(src, dst):
    """How long nobody ran the guest, between the events of both QEMUs: with what
    was still on the way when the source was done."""
    events = [e for vm in (src, dst) for e in vm.events
              if e["event"] in ("STOP", "RESUME")]
    total, stopped = 0.0, None
    for event in sorted(events, key=event_seconds):
        if event["event"] == "STOP":
            stopped = event_seconds(event)
        elif stopped is not None:
            total += event_seconds(event) - stopped
            stopped = None
    return round(total * 1000, 3)


class Chain:
    """A guest with a stamped area, which is checked after each hop.

    @first: more for the VM() that boots
    """

    def __init__(self, spec, logs, name=None, **first):
        self.spec, self.logs = spec, logs
        self.name = name or spec.hints
        self.hops = 0
        self.vm = VM(spec, f"{self.name}-0", logs, **first)
        self.next = None
        self.migration = None
        self._cpu = (0.0, 0.0)

    def boot(self):
        self.vm.boot()
        self.vm.sh(f"stamp start --mib {STAMP_MIB}")
        return self

    def hold(self):
        """Others are measured: take no processor."""
        self.vm.qmp("stop")

    def go(self):
        self.vm.qmp("cont")

    def start(self, bandwidth=UNLIMITED, **options):
        self.hops += 1
        self.next = VM(self.spec, f"{self.name}-{self.hops}", self.logs,
                       incoming=True)
        self.migration = Migration(self.vm, self.next, bandwidth=bandwidth,
                                   **options)
        self._cpu = (cpu_seconds(self.vm.pid), cpu_seconds(self.next.pid))
        self.migration.start()
        return self

    def ends_within(self, limit):
        """False: it has not completed; give_up() or finish() has to follow."""
        try:
            status = self.migration.wait_end(limit)
        except VMError:
            self.vm.check_alive()
            return False
        # Once more, for finish().
        self.vm.events.append({"event": "MIGRATION",
                               "data": {"status": status}})
        return True

    def _outcome(self, info, completed):
        ram = info["ram"]
        source, destination = (
            round(cpu_seconds(vm.pid) - before, 2)
            for vm, before in zip((self.vm, self.next), self._cpu))
        return {
            "completed": completed,
            "total-ms": info["total-time"],
            "downtime-ms": info.get("downtime"),
            "transferred-kib": ram["transferred"] // 1024,
            "downtime-bytes": ram["downtime-bytes"],
            "pages-skipped": ram.get("free-pages-skipped"),
            "pages-deferred": ram.get("free-pages-deferred"),
            "rounds": ram["dirty-sync-count"],
            "destination-rss-kib": self.next.rss_kib(),
            "source-cpu-s": source, "destination-cpu-s": destination,
            "query-migrate": info,
        }

    def finish(self, limit=LIMIT):
        """The guest is at the destination; what it took to get there."""
        info = self.migration.finish(limit)
        result = self._outcome(info, True)
        result["filter-ns"] = [int(ns) for ns in re.findall(
            r"ram_cfph_walk .* ns=(\d+)", self.vm.trace_text())]
        self.vm.take_events()
        resume = self.next.wait_event(lambda e: e["event"] == "RESUME", 30)
        self.next.events.append(resume)
        result["stopped-ms"] = stopped_ms(self.vm, self.next)
        self.vm.close()
        self.vm, self.next = self.next, None
        return result

    def give_up(self):
        """The time is over: note how far it came, and cancel."""
        result = self._outcome(self.migration.info(), False)
        if self.migration.cancel() == "completed":  # in the very last moment
            self.vm.events.append({"event": "MIGRATION",
                                   "data": {"status": "completed"}})
            return self.finish()
        self.next.close()
        self.next = None
        return result

    def end(self, limit):
        """What came of it: it has completed within the limit, or is given up."""
        return self.finish() if self.ends_within(limit) else self.give_up()

    def check(self):
        self.vm.sh("true")
        guest.check_stamp(self.vm)
        guest.check_console(self.vm)

    def close(self):
        for vm in (self.vm, self.next):
            if vm:
                vm.close()
