# SPDX-License-Identifier: GPL-2.0
"""Printing KTAP, and reading the KTAP that others print.

The kernel has both.  Its printer for Python (kselftest/ksft.py) counts in globals, so
one stream a process.  Its reader (tools/testing/kunit/kunit_parser.py) finds nothing
wrong with a stream that has no plan, nor with one that says "Bail out!", as qtests do
when they fail.
"""

import re


class Printer:
    """KTAP version 1 on stdout; counts what it prints.

    With a total of None the plan comes at the end: plan().
    """

    def __init__(self, total, indent=""):
        self.passed = self.failed = self.skipped = 0
        self._indent = indent
        self._line("KTAP version 1")
        if total is not None:
            self._line(f"1..{total}")

    def _line(self, text):
        print(self._indent + text, flush=True)

    def diag(self, text):
        for line in text.splitlines():
            self._line(f"# {line}")

    def result(self, name, verdict, text=""):
        """verdict: 'ok', 'not ok' or 'skip'."""
        number = self.passed + self.failed + self.skipped + 1
        if verdict == "skip":
            self.skipped += 1
            self._line(f"ok {number} {name} # SKIP {text}")
            return
        if verdict == "ok":
            self.passed += 1
        else:
            self.failed += 1
        self._line(f"{verdict} {number} {name}" +
                   (f" # {text}" if text else ""))

    def plan(self):
        self._line(f"1..{self.passed + self.failed + self.skipped}")

    def summary(self):
        """The last line of all; nothing may be printed after it."""
        print(f"{self.passed} passed, {self.failed} failed, "
              f"{self.skipped} skipped", flush=True)


_RESULT = re.compile(r"^\s*(not )?ok (\d+)\s+(?:- )?(.*)$")
_PLAN = re.compile(r"^\s*1\.\.(\d+)\s*$")
_NONE = re.compile(r"^\s*1\.\.0\b")
_STAMP = re.compile(r"^\[\s*\d+\.\d+\]\s?")


class Parsed:
    """What a KTAP stream says, whatever log it is in."""

    def __init__(self, text):
        self.passed, self.failed, self.skipped = [], [], []
        self.planned = 0
        self.bailed_out = None
        self.none = False       # somebody had planned for nothing
        for line in text.splitlines():
            line = _STAMP.sub("", line)         # kernel log time
            plan = _PLAN.match(line)
            if plan:
                self.planned += int(plan[1])
                continue
            self.none |= bool(_NONE.match(line))
            if line.lstrip().startswith("Bail out!"):
                self.bailed_out = line.strip()
            hit = _RESULT.match(line)
            if not hit:
                continue
            name = hit[3].strip()
            if hit[1]:
                self.failed.append(name)
            elif "# SKIP" in name:
                self.skipped.append(name)
            else:
                self.passed.append(name)

    def problem(self):
        """None if everything that was planned has passed."""
        got = len(self.passed) + len(self.failed) + len(self.skipped)
        if self.bailed_out:
            return self.bailed_out
        if self.failed:
            return "failed: " + ", ".join(self.failed[:10])
        if not self.passed:
            return "no test has run"
        if self.none:
            return "a plan of none: who says that has looked at nothing"
        if not self.planned:
            return "no plan: nobody knows whether this is all of it"
        if got != self.planned:
            return f"{got} results, {self.planned} were planned"
        return None
