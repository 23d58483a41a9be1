# SPDX-License-Identifier: GPL-2.0
"""What README and guides state, so that it can be compared with what is so.

A *statement* is a piece of text whose figures somebody has checked.  Figures that have
a unit and are in no statement are found by Page.unchecked().
"""

import os
import re

from . import config
from .registry import need

GUIDES = "Documentation/admin-guide/mm"
README = "README.md"
GUIDE, HOST, FAQ = (f"{GUIDES}/{name}.rst" for name in ("cfph", "cfph-host", "cfph-faq"))

_NUMBER = r"(?:\d[\d,.]*(?: \d{3})*|one|two|three|five|ten|twenty|thirty-five|forty)"
_UNIT = r"(?:(?:ms|s|seconds?|minutes?|[KMGT]i?B(?:/s)?|bytes|percent)\b|%)"
FIGURE = re.compile(rf"\b{_NUMBER}(?: to {_NUMBER}|, {_NUMBER})*[ -]?{_UNIT}")
_LITERAL = re.compile(r"^ {4,}\S")


def read(path):
    with open(os.path.join(config.top(), path), encoding="utf-8") as file:
        return file.read()


def section(path, title):
    """From that title to the next one, or to the end."""
    rest = read(path).split(f"\n{title}\n=", 1)[1]
    return re.split(r"\n[^\n]+\n=+\n\n", rest, maxsplit=1)[0]


def block(path, start):
    """The literal block behind the line that ends with this."""
    text = read(path)
    need(text.count(start) == 1, f"{path}: not once: {start}")
    lines = []
    for line in text.split(start)[1].split("\n\n", 1)[1].splitlines():
        if line and not line.startswith("    "):
            break
        lines.append(line[4:])
    return "\n".join(lines).strip() + "\n"


def plain(text):
    """On one line, so that it does not matter where lines end."""
    return " ".join(text.split())


class Page:
    """One page: its statements, and its samples of what a command prints."""

    def __init__(self, path):
        self.path = path
        self._raw = read(path)
        # Without samples, whose figures are anybody's.
        self._text = plain(re.sub(r"(?m)^ {4}[#$] .*\n(?: {4}.*\n)*", "\n", self._raw))
        self._stated = []

    def states(self, statement):
        """It says so, word for word."""
        at = self._text.find(statement)
        need(at >= 0, f"{self.path} does not say: {statement}")
        while at >= 0:
            self._stated.append((at, at + len(statement)))
            at = self._text.find(statement, at + 1)

    def unchecked(self):
        """Figures with a unit that are in no statement, with what is around them."""
        return [self._text[max(0, hit.start() - 40):hit.end() + 10]
                for hit in FIGURE.finditer(self._text)
                if not any(a <= hit.start() and hit.end() <= b for a, b in self._stated)]

    def samples(self):
        """[(command, its output)]: literal lines with a root prompt, and what follows."""
        found, command, output = [], None, []
        for line in [*self._raw.splitlines(), ""]:
            inside = _LITERAL.match(line)
            if inside and not line.startswith("    # "):
                output.append(line[4:])
                continue
            if command and output:
                found.append((command, output))
            command = line[6:] if line.startswith("    # ") else None
            output = []
        return found

    def quotes(self, start):
        """The literal text that begins like that, in a block or between the words."""
        hit = re.search(rf"^ {{4}}({re.escape(start)}(?:.*\n(?= {{4}}\S))*.*)$", self._raw,
                        re.M) or re.search(rf"``({re.escape(start)}[^`]*)``",
                                     plain(self._raw))
        need(hit, f"{self.path} does not quote: {start}")
        return plain(hit[1])


def _token(word):
    """Figures and pictures of memory stand for any; words are what they are."""
    if re.fullmatch(r"[#\d.]+", word):
        return r"[#\d.]+"
    text = re.sub(r"(?:0x)?\d[\da-f]*", "\0", word) if "0x" in word else \
        re.sub(r"\d+", "\0", word)
    return re.escape(text).replace("\0", r"(?:0x)?[\da-f]+")


def shape(text):
    """A regular expression for what looks like that, whatever its figures are."""
    return r"\s+".join(map(_token, text.split()))


def need_shape(what, sample, real):
    """Each line of @sample is in @real, in that order; "..." stands for any lines."""
    lines, at, gap = real.splitlines(), 0, False
    for line in sample:
        if line.strip() == "...":
            gap = True
            continue
        pattern = re.compile(r"\s*" + shape(line) + r"\s*")
        last = len(lines) if gap else min(at + 1, len(lines))
        at = next((i for i in range(at, last) if pattern.fullmatch(lines[i])), None)
        need(at is not None, f"{what}: the page has {line!r}, and what is printed has no "
             f"such line there:\n{real}")
        at, gap = at + 1, False
    need(gap or at == len(lines), f"{what}: more is printed than the page has:\n{real}")


def need_quoted(path, start, real):
    """What the page quotes is what is really said, but for its numbers."""
    quoted = Page(path).quotes(start)
    need(re.search(shape(quoted), plain(real)), f"{path} has: {quoted}; said is: {real}")
