# SPDX-License-Identifier: GPL-2.0
"""The traces of both sides of a migration, on one clock.

The two clocks have nothing to do with each other.  They are put side by side by
what went from one to the other: a command of the host cannot arrive before it is
sent, nor can a message of the guest.  That leaves a window.
"""

import re
import subprocess

GUEST = re.compile(r"^\s*\S+-\d+\s+(?:\[\d+\]\s+)?(?:\S{3,8}\s+)?"
                   r"(\d+\.\d+):\s+(cfph_\w+):\s+(.*)$")
HOST = re.compile(r"^\d+@(\d+\.\d+):((?:ram|virtio_balloon)_cfph_\w+)\s*(.*)$")
FIELD = re.compile(r"(\w+)=('[^']*'|\"[^\"]*\"|\S+)")


class Error(Exception):
    """One line for the user."""


class Event:
    """One line of a trace."""

    def __init__(self, side, time, name, text):
        self.side, self.time, self.name = side, float(time), name
        self.fields = {k: v.strip("'\"") for k, v in FIELD.findall(text)}

    def number(self, field):
        text = self.fields.get(field, "0")
        try:
            return int(text, 0)
        except ValueError:
            raise Error(f"trace of the {self.side}: {self.name}: {field}={text} is "
                        "no number") from None

    def word(self, field):
        return self.fields.get(field, "?")

    @property
    def migration(self):
        return self.number("migration_id") or self.number("id")


def host_text(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def guest_text(path):
    with open(path, "rb") as file:
        magic = file.read(16)
    if b"tracing" not in magic:
        return host_text(path)
    # -t: all digits of the time, or events of one microsecond are not in order
    try:
        done = subprocess.run(["trace-cmd", "report", "-t", "-i", path], check=False,
                              capture_output=True, text=True, errors="replace")
    except FileNotFoundError:
        raise Error(f"{path}: there is no trace-cmd to read it: install it, or give "
                    "me the text of trace-cmd report") from None
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise Error(f"{path}: trace-cmd report: {said[-1].strip()}")
    return done.stdout


def parse(side, text, pattern):
    events = [Event(side, *hit.groups())
              for hit in map(pattern.match, text.splitlines()) if hit]
    if not events:
        raise Error(f"trace of the {side}: no event of cfph in it" +
                    ("" if side == "guest" else
                     "; was QEMU started with -msg timestamp=on?"))
    return events


def times(events, name, keys, wanted=lambda event: True):
    """{value of the keys: time} of the first event of each kind."""
    found = {}
    for event in events:
        if event.name == name and wanted(event):
            found.setdefault(tuple(event.number(k) for k in keys), event.time)
    return found


def offset(guest, host):
    """(what to add to the guest's times, error), both in seconds."""
    sent = times(guest, "cfph_ship", ("migration_id", "sequence"))
    came = times(host, "virtio_balloon_cfph_message", ("id", "sequence"))
    upper = [came[key] - at for key, at in sent.items() if key in came]
    told = times(host, "virtio_balloon_cfph_command", ("id", "round"),
                 lambda e: e.word("command") in ("1", "2"))
    heard = times(guest, "cfph_command", ("migration_id", "round"),
                  lambda e: e.word("command") in ("start", "round"))
    lower = [told[key] - at for key, at in heard.items() if key in told]
    if not upper or not lower:
        raise Error("the traces have no message and no command in common: "
                    "are they of the same migration?")
    low, high = max(lower), min(upper)
    return (low + high) / 2, abs(high - low) / 2


def merged(guest_trace, host_trace, wanted=None):
    """(migration, its events in order, error of the guest's times in seconds) of
    two texts; without @wanted the last migration of the host's."""
    host = parse("host", host_trace, HOST)
    guest = parse("guest", guest_trace, GUEST)
    wanted = wanted or host[-1].migration
    host = [e for e in host if e.migration == wanted]
    guest = [e for e in guest if e.migration == wanted]
    if not host or not guest:
        raise Error(f"migration {wanted} is not in both traces")
    shift, error = offset(guest, host)
    for event in guest:
        event.time += shift
    return wanted, sorted(host + guest, key=lambda e: e.time), error
