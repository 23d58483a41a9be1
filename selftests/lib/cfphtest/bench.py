# SPDX-License-Identifier: GPL-2.0
"""What benchmarks share: settings, medians, tables, and JSON that says where it
comes from.  Figures never decide about success: who cannot measure fails, and
nobody else.
"""

import datetime
import json
import os
import platform
import re
import statistics
import struct
import subprocess
import sys

from . import config
from .agent import AgentError
from .registry import Failure
from .vm import VMError

SETTINGS = ("MEM", "RUNS", "BW", "CASES", "VARIANTS", "LIMIT", "DOWNTIME", "SKIP",
            "SIZES", "KINDS")


def say(text=""):
    print(text, flush=True)


# --- what is asked for ---

def asked(name, default=""):
    return os.environ.get(name) or default


def asked_number(name, default):
    text = asked(name, str(default))
    if not text.isdigit() or not int(text):
        raise config.ConfigError(f"{name}={text}: a number from 1 on")
    return int(text)


def asked_words(name, known, default=None):
    """Some of @known, separated by blanks or commas."""
    words = asked(name).replace(",", " ").split() or list(default or known)
    for word in words:
        if word not in known:
            raise config.ConfigError(f"{name}: '{word}' is none of "
                                     f"{', '.join(known)}")
    return words


def asked_sizes(name, default):
    """[(text, bytes)] of "1G 512M"."""
    return [(text, config.parse_size(text))
            for text in asked(name, default).replace(",", " ").split()]


def asked_rates(default):
    """Bytes a second of BW="50M 1.25G": powers of ten, as links have them."""
    rates = []
    for text in asked("BW", default).replace(",", " ").split():
        unit = {"K": 1e3, "M": 1e6, "G": 1e9}.get(text[-1].upper())
        try:
            rates.append(int(float(text[:-1]) * unit if unit else float(text)))
        except ValueError:
            raise config.ConfigError(f"BW: '{text}' is no rate: write 100M or "
                                     "1.25G") from None
    return rates


def asked_limit(mem, rate, least=5):
    """Seconds until a migration is given up: three times what all of memory takes, or
    @least, which is for the machine."""
    return asked_number("LIMIT", max(3 * mem // rate, least))


def link(rate):
    """For Chain.start(): QEMU is told what the link can do, and DOWNTIME= ms."""
    return {"bandwidth": rate, "link": rate,
            "downtime_ms": asked_number("DOWNTIME", 300)}


def rate_text(rate):
    return (f"{rate / 1e9:g} GB/s" if rate >= 1e9 else f"{rate / 1e6:g} MB/s")


def need_memory(size):
    """Bytes of the host beside that; QEMU must not be killed half way."""
    with open("/proc/meminfo", encoding="ascii") as meminfo:
        kib = {line.split(":")[0]: int(line.split()[1]) for line in meminfo}
    free = kib["MemAvailable"] << 10
    if free < size:
        raise config.ConfigError(
            f"this needs {size >> 20} MiB, {free >> 20} MiB are available: "
            "use a smaller MEM=")
    return free - size


def load_status(vm, program):
    """What a load of the guest (churn.c) says of itself; its worst step, anew."""
    return {k: int(v) for k, v in
            re.findall(r"(\w+)=(\d+)", vm.sh(f"{program} status"))}


# --- in turn ---

def in_turn(runs, variants):
    """(run, variant), each variant once a run, another one first each time."""
    for run in range(runs):
        for i in range(len(variants)):
            yield run, variants[(run + i) % len(variants)]


# --- figures ---

def summary(values, digits=3):
    """Median, extremes and all values of one variant."""
    return {"median": round(statistics.median(values), digits),
            "min": round(min(values), digits),
            "max": round(max(values), digits),
            "values": [round(v, digits) for v in values]}


def ratio(values, base):
    """Median against median; None if one is not there."""
    if not values or not base or not statistics.median(base):
        return None
    return statistics.median(values) / statistics.median(base)


def percent_above(values, base):
    return (ratio(values, base) - 1) * 100


def spread_percent(values):
    """Between the extremes, in % of the median."""
    return (max(values) - min(values)) / statistics.median(values) * 100


class Rows:
    """The runs that have these values: Rows(results, case="idle", mem_bytes=n)."""

    def __init__(self, results, **keys):
        self.rows = [r for r in results if all(
            r[k.replace("_", "-")] == v for k, v in keys.items())]

    def of(self, variant, completed=None):
        """Those of one variant; what does not say has come to its end."""
        return [r for r in self.rows if r["variant"] == variant and
                completed in (None, r.get("completed", True))]

    def values(self, variant, key, factor=1.0):
        return [r[key] * factor for r in self.of(variant, True)]

    def throughput(self, variant):
        """The guest's speed, of that before."""
        return [r["mib-per-s-during"] / r["mib-per-s-before"]
                for r in self.of(variant) if r["mib-per-s-before"]]

    def used(self):
        """Bytes that the guests had in use."""
        return statistics.median(r["used-bytes"] for r in self.rows)


def groups(results, *keys):
    """[(values of the keys, their Rows)], in the order in which they first come."""
    values = dict.fromkeys(tuple(r[k] for k in keys) for r in results)
    return [(v, Rows(results, **{k.replace("-", "_"): x
                                 for k, x in zip(keys, v)})) for v in values]


# --- for people ---

def number(value, digits=0):
    """1234.5 -> "1 234"; what is not there is "-"."""
    return ("-" if value is None else
            f"{value:,.{digits}f}".replace(",", " "))


def with_spread(values, digits=0):
    """Median, and the extremes behind it."""
    if not values:
        return "-"
    median = number(statistics.median(values), digits)
    if len(values) == 1:
        return median
    return (f"{median} ({number(min(values), digits)}.."
            f"{number(max(values), digits)})")


def ratio_text(values, base, digits=3):
    value = ratio(values, base)
    return "-" if value is None else f"{value:.{digits}f}"


def print_rows(rows, left=1):
    """A table; the first @left columns are words."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(w) if i < left else cell.rjust(w)
                 for i, (cell, w) in enumerate(zip(row, widths))]
        say("  ".join(cells).rstrip())


# Aims are [(of what, what it is, met or not)].

def print_aims(aims):
    for what, text, met in aims:
        say(f"{'met   ' if met else 'MISSED'}  {what}: {text}")


def aims_json(aims):
    return [{"of": what, "is": text, "met": met} for what, text, met in aims]


def downtime_aim(what, mine, *others):
    """Never above all others by more than 10 % and 5 ms."""
    theirs = [statistics.median(v) for v in others if v]
    if not mine or not theirs:
        return []
    is_, most = statistics.median(mine), max(theirs) * 1.1 + 5
    return [(what, f"stopped for {is_:.0f} ms, aim {most:.0f} (the longer of "
             "none and hint, 10 % and 5 ms)", is_ <= most)]


# --- for machines ---

def commit():
    """Of the tree that this runs from, with "+" if there is more in it."""
    def git(*words):
        return subprocess.run(["git", "-C", config.top(), *words],
                              capture_output=True, text=True, check=False)
    try:
        done = git("rev-parse", "HEAD")
        if done.returncode:
            return "unknown"
        changed = git("status", "--porcelain", "-uno").stdout.strip()
    except OSError:
        return "unknown"
    return done.stdout.strip() + ("+" if changed else "")


def kernel_version(path):
    """What a bzImage says that it is."""
    with open(path, "rb") as file:
        head = file.read(0x8000)
    if head[0x202:0x206] != b"HdrS":
        raise config.ConfigError(f"{path}: not a bzImage")
    at = struct.unpack_from("<H", head, 0x20e)[0] + 0x200
    return head[at:head.index(b"\0", at)].decode(errors="replace")


def processor():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def environment(accel):
    """What a figure is worth nothing without; @accel is None if no guest ran."""
    qemu = subprocess.run([config.qemu(), "--version"], capture_output=True,
                          text=True, check=True).stdout.splitlines()[0]
    return {
        "commit": commit(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(
            timespec="seconds"),
        "machine": {
            "cpu": processor(), "cores": os.cpu_count(), "accel": accel,
            "memory-bytes": os.sysconf("SC_PAGE_SIZE") *
            os.sysconf("SC_PHYS_PAGES"),
            "host-kernel": platform.release(),
            # What else it did: of the last 15 minutes.
            "load": round(os.getloadavg()[2], 1)},
        "kernel": kernel_version(config.kernel()) if accel else None,
        "qemu": qemu,
    }


def command(name):
    """The command that gives these figures again."""
    words = [f'{s}="{asked(s)}"' if " " in asked(s) else f"{s}={asked(s)}"
             for s in SETTINGS if asked(s)]
    return " ".join(["make", name, *words])


def write_json(name, accel, results, so_far=False):
    """To OUT=, if that is asked for; also with what there is so far."""
    path = asked("OUT")
    if not path:
        return
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"benchmark": name, "command": command(name),
                   **environment(accel), **results}, file, indent=1)
        file.write("\n")
    if not so_far:
        say(f"results: {path}")


def run(name, main):
    """main() with errors as one line."""
    try:
        main()
    except (VMError, AgentError, Failure, config.ConfigError) as err:
        sys.exit(f"{name}: {err}")
    except KeyboardInterrupt:
        sys.exit(130)
