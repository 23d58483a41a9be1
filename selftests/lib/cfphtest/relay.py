# SPDX-License-Identifier: GPL-2.0
"""A link of fixed speed between two QEMUs (perf/relay.c)."""

import os
import subprocess

from . import config
from .process import die_with_parent
from .registry import need


class Relay:
    """What comes to .path goes on to @target, at @rate bytes a second."""

    def __init__(self, target, rate):
        self.path = target + ".relay"
        if os.path.exists(self.path):
            os.unlink(self.path)
        # pylint: disable=consider-using-with,subprocess-popen-preexec-fn
        self._proc = subprocess.Popen(
            [config.perf("relay"), str(rate), self.path, target],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
            preexec_fn=die_with_parent)
        ready = self._proc.stdout.readline()
        need(ready == "ready\n", f"relay: {ready!r}")

    def finish(self, limit=30):
        """(bytes, nanoseconds from the first to the last) of what has passed."""
        text, _ = self._proc.communicate(timeout=limit)
        need(self._proc.returncode == 0,
             f"relay: exit code {self._proc.returncode}: {text or 'it said nothing'}")
        count, nanoseconds = text.split()
        return int(count), int(nanoseconds)

    def close(self):
        if self._proc.poll() is None:
            self._proc.terminate()
        self._proc.wait()
        self._proc.stdout.close()
