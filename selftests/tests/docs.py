# SPDX-License-Identifier: GPL-2.0
"""The commands that the documentation gives, run as they stand there."""

import base64
import os
import re
import shutil
import subprocess

from cfphtest import config, guest
from cfphtest.integrity import SLOW
from cfphtest.migrate import UNLIMITED, Migration
from cfphtest.registry import need, test

GUIDE = "Documentation/admin-guide/mm/cfph.rst"
STEP = re.compile(r"^    (guest#|\(qemu\)|host\$) (.*)$", re.M)
SILENT = re.compile(r"trace-event |trace-cmd (start|stop|extract) ?")
TARGET = "tcp:destination:4444"


def steps():
    with open(os.path.join(config.top(), GUIDE), encoding="utf-8") as file:
        text = file.read()
    found = STEP.findall(text[text.index("\nA walk-through\n"):])
    need(len(found) > 15, f"{GUIDE}: only {len(found)} commands found")
    return found


class Reader:
    """Somebody who follows the guide."""

    def __init__(self, ctx):
        self._ctx = ctx
        self._src, self._dst = ctx.pair(ctx.spec(mem="256M"), paused=False)
        self._here = self._src
        self._src.sh("churn start --mib 32")
        self._migration = Migration(self._src, self._dst, bandwidth=SLOW,
                                    downtime_ms=1)

    def follow(self, prompt, command):
        answer = {"guest#": self._guest, "(qemu)": self._qemu,
                  "host$": self._host}[prompt](command)
        background = command.endswith("&") or ">" in command
        silent = SILENT.match(command) or TARGET in command
        need(background or silent or answer.strip(), f"{command}: no output")
        return answer

    def _guest(self, command):
        if not command.endswith("&"):
            return self._here.sh(command, 60)
        # Not even stderr may stay the agent's.
        self._here.sh(f"({command[:-1]}) >/dev/null 2>&1 &")
        output = re.search(r">(\S+)", command)
        if output:      # it has begun when it has said something
            self._here.sh(guest.until(f"[ -s {output[1]} ]", 600), 60)
        return ""

    def _qemu(self, command):
        if TARGET in command:
            self._migration.start()     # that command, to a real destination
            self._migration.wait_pass(2)
            return ""
        answer = self._src.hmp(command)
        need("Error" not in answer and "unknown" not in answer,
             f"{command}: {answer}")
        if command == "info migrate":
            self._arrive()
        return answer

    def _arrive(self):
        self._migration.set(max_bandwidth=UNLIMITED, downtime_limit=5000)
        self._migration.finish()
        self._dst.wait_event(lambda e: e["event"] == "RESUME", 30)
        info = self._src.hmp("info migrate")
        need("free pages skipped" in info, f"info migrate: {info}")
        self._here = self._dst

    def _host(self, command):
        logs = self._ctx.logs
        with open(os.path.join(logs, "trace.dat"), "wb") as file:
            file.write(base64.b64decode(
                self._dst.sh("base64 /tmp/trace.dat", 120)))
        shutil.copy(self._src.trace, os.path.join(logs, "qemu.log"))
        command = command.replace("selftests/", config.top() + "/selftests/")
        done = subprocess.run(["/bin/sh", "-c", command], cwd=logs,
                              capture_output=True, text=True, check=False)
        need(not done.returncode, f"{command}: {done.stderr}")
        return done.stdout

    def check(self):
        events = self._dst.sh("cat /tmp/events")
        for word in ("start", "round", "stop"):
            need(word in events, f"no {word} in the events: {events}")
        hist = self._dst.sh(
            "cat /sys/kernel/tracing/events/cfph/cfph_pass/hist")
        need(re.search(r"round:\s+\d+ ", hist), f"empty histogram: {hist}")
        guest.check_console(self._src, self._dst)


@test("docs-walk-through", 240)
def docs_walk_through(ctx):
    """The administrator's guide, command by command, through a migration."""
    reader = Reader(ctx)
    for prompt, command in steps():
        answer = reader.follow(prompt, command)
        ctx.say(f"{prompt} {command}: {len(answer.splitlines())} lines")
    reader.check()
