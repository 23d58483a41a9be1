# SPDX-License-Identifier: GPL-2.0
"""A guest seen from within: its command agent and its console log.

Whoever has started its QEMU: vm.py, or libvirt.
"""

import re

from . import kcsan
from .agent import AgentError

BOOT_LIMIT = 120        # a loaded machine under TCG; 5 s is usual

# What no console log may hold.
TROUBLE = re.compile(
    r"WARNING:|BUG:|Oops|Call Trace|Kernel panic|INFO: task .* blocked|"
    r"rcu: INFO|stress: MISMATCH|unable to handle|general protection|"
    r"invalid module format")


class VMError(Exception):
    """QEMU or the guest did something that the test cannot go on with."""


class Inside:
    """Whoever makes one sets `agent` when there is a socket to it."""

    # Who is to be killed when memory runs out: the kernel may tell of that.
    victim = None

    def __init__(self, name, console):
        self.name = name
        self.console = console          # path of the log
        self.agent = None

    def boot(self, limit=BOOT_LIMIT):
        """Wait until the agent of a freshly started guest answers."""
        try:
            self.agent.sh("true", limit)
        except AgentError as err:
            raise VMError(f"{self.name}: the guest did not boot: {err}; "
                          f"console: {self.console_tail()}") from None
        return self

    def sh(self, command, limit=60):
        return self.agent.sh(command, limit)

    def run(self, command, limit=60):
        return self.agent.run(command, limit)

    def console_text(self):
        with open(self.console, encoding="utf-8", errors="replace") as con:
            return con.read()

    def console_tail(self, lines=5):
        return " | ".join(self.console_text().strip().splitlines()[-lines:])

    def last_words(self, lines=16):
        """What the guest's kernel died of: its first lines on it, or none."""
        text = self.console_text().splitlines()
        return next((text[i:i + lines] for i, line in enumerate(text)
                     if TROUBLE.search(line)), [])

    def console_trouble(self):
        """Lines of the console log that must not be there.

        A WARN()'s own words stand in the line before it.
        """
        text = self.console_text()
        lines = text.splitlines()
        races = [f"data race: {race}" for race in kcsan.races(lines)
                 if race.ours]
        if kcsan.asleep(text):
            races.append("the detector of data races has not been enabled")
        splats = [(lines[i - 1] + " | " if i and "WARNING:" in line else "") +
                  line for i, line in enumerate(lines)
                  if TROUBLE.search(line) and not kcsan.TITLE.search(line) and
                  not self._out_of_memory(lines[max(0, i - 3):i + 1])]
        return races + splats

    def _out_of_memory(self, lines):
        """The last of these lines is in what the kernel says when it has to kill."""
        return self.victim and lines[-1].endswith("Call Trace:") and any(
            "invoked oom-killer" in line or
            f"{self.victim}: page allocation failure" in line for line in lines)

    def foreign_races(self):
        """Data races of the kernel that are none of our business."""
        return [race for race in kcsan.races(self.console_text().splitlines())
                if not race.ours]
