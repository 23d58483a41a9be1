# SPDX-License-Identifier: GPL-2.0
"""Reports of the kernel's detector of data races, in a console log.

A report names two accesses, each with a stack.  It is ours if a function of
ours makes one of them, itself or through a helper; it is somebody else's if one
of ours only stands further out: everything that kcfphd calls has it there.  What
virtio's core reads of a ring while the host writes it is its own, too.
"""

import re

TITLE = re.compile(r"BUG: KCSAN: (.*)")
_END = re.compile(r"={60}")
_ACCESS = re.compile(r"(?:read|write|read-write|assert\w*).* (?:to|of) .*"
                     r"by (?:task|interrupt)|race at unknown origin")
_FRAME = re.compile(r"^(?:\[\s*\d+\.\d+\](?:\[\s*\w+\])? )? ([\w.]+)\+0x")
_OURS = re.compile(r"_*(?:vb_|k)?cfphd?_|kcfphd$")
_RING = re.compile(r"virtqueue_|vring_")
INNERMOST = 3


class Race:
    def __init__(self, title):
        self.title = title
        self.lines = []
        self.stacks = []

    def add(self, line):
        """One more line of the report."""
        self.lines.append(line)
        frame = _FRAME.match(line)
        if _ACCESS.search(line):
            self.stacks.append([])
        elif frame and self.stacks:
            self.stacks[-1].append(frame[1])

    @property
    def ours(self):
        return any(_OURS.match(name) for stack in self.stacks
                   if stack and not _RING.match(stack[0])
                   for name in stack[:INNERMOST])

    def __str__(self):
        return f"{self.title}: " + " / ".join(
            " < ".join(stack[:5]) for stack in self.stacks)


def races(lines):
    """All reports among these lines of a console log."""
    found, race = [], None
    for line in lines:
        title = TITLE.search(line)
        if title:
            race = Race(title[1].strip())
            found.append(race)
        elif race and _END.search(line):
            race = None
        elif race:
            race.add(line)
    return found


def asleep(text):
    """Has a kernel with the detector booted here, and left it off?"""
    return "kcsan: " in text and "kcsan: enabled early" not in text
