# SPDX-License-Identifier: GPL-2.0
"""The plans: what of this project goes upstream, in which commit.

A plan is a YAML file (README.rst describes it).  Here each name and glob in it is
resolved: every new file and every part of a patch belongs to exactly one commit, or
to what is said to stay here, with the reason.  Anything else is a PlanError.
"""

import fnmatch
import os
import re
import subprocess
import textwrap
from dataclasses import dataclass, field

import yaml

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))


class PlanError(Exception):
    """A plan that does not fit the tree, in one line."""


@dataclass
class Tree:
    """An upstream tree, and what we have for it."""
    patches: list       # directories, each with a file "series" or not
    sources: list       # (path of ours, path in the tree, program that converts it)
    plans: list         # one on top of the other


# Links to pages that stay here.
DOC = "tools/series/to-kernel-doc.sh"

TREES = {
    "linux": Tree(["kernel/patches", "tools/series/linux"],
                  [("kernel/files", "", None),
                   ("uapi/linux", "include/uapi/linux", None),
                   ("Documentation/netlink/specs", "Documentation/netlink/specs", None),
                   ("Documentation/virtio", "Documentation/virtio", DOC),
                   ("Documentation/admin-guide/mm", "Documentation/admin-guide/mm", DOC),
                   ("Documentation/mm", "Documentation/mm", DOC)],
                  ["kernel"]),
    "qemu": Tree(["qemu/patches", "tools/series/qemu"],
                 [("qemu/files", "", None),
                  ("uapi/linux/virtio_balloon_cfph.h",
                   "include/standard-headers/linux/virtio_balloon_cfph.h",
                   "uapi/to-qemu.sh")],
                 ["tcg", "qemu"]),
}


@dataclass
class Patch:
    """One of ours: the text of its head, and what it does to each file."""
    name: str
    subject: str
    body: str
    parts: dict         # {path: text}

    @classmethod
    def read(cls, path):
        with open(path, encoding="utf-8") as file:
            head, _, diff = file.read().partition("\n--- a/")
        fields, _, body = head.partition("\n\n")
        subject = re.search(r"^Subject: (.*)$", fields, re.M)
        parts = {}
        for text in re.split(r"^(?=--- a/)", "--- a/" + diff, flags=re.M)[1:]:
            parts[text.split("\n", 1)[0].split("/", 1)[1].split("\t")[0]] = text
        return cls(os.path.basename(path), subject[1] if subject else "",
                   re.sub(r"^---$.*", "", body, flags=re.M | re.S).strip(), parts)


@dataclass
class Commit:
    """Resolved: nothing is a glob any more."""
    subject: str
    body: str
    trailers: list = field(default_factory=list)
    files: list = field(default_factory=list)       # paths in the tree
    parts: list = field(default_factory=list)       # (patch, path)
    build: list = field(default_factory=list)       # besides what is always built


@dataclass
class Plan:
    name: str
    prefix: str
    subject: str
    cover: str
    undefine: list
    cc: list
    commits: list


def glob(path, pattern):
    """* stays within a directory, a ** at the end does not."""
    if pattern.endswith("/**"):
        return path.startswith(pattern[:-2])
    return (path.count("/") == pattern.count("/") and
            fnmatch.fnmatchcase(path, pattern))


def fill(text, mark="", width=72):
    return textwrap.fill(" ".join(text.split()), width, initial_indent=mark,
                         subsequent_indent=" " * len(mark), break_long_words=False,
                         break_on_hyphens=False)


def reflow(text):
    """Paragraphs and lists, for a mail; what is indented otherwise stays as it is."""
    out = []
    for para in re.split(r"\n\s*\n", text.strip("\n")):
        items = re.split(r"^( ?- )", para, flags=re.M)
        if len(items) > 1 and not items[0]:
            out.append("\n".join(fill(item, mark) for mark, item in
                                 zip(items[1::2], items[2::2])))
        elif re.search(r"^  ", para, re.M):
            out.append(para)
        else:
            out.append(fill(para))
    return "\n\n".join(out)


class Ours:
    """What there is for a tree: new files, and patches in the order of the build."""

    def __init__(self, tree, top=TOP):
        self.top, self.tree = top, TREES[tree]
        self.files = {}         # {path in the tree: (path of ours, converter)}
        for ours, path, converter in self.tree.sources:
            self._find(ours, path, converter)
        self.patches = {}
        for directory in self.tree.patches:
            for name in self._series(directory):
                self.patches[name] = Patch.read(os.path.join(top, directory, name))

    def _find(self, ours, path, converter):
        start = os.path.join(self.top, ours)
        if os.path.isfile(start):
            self.files[path] = (start, converter)
        for where, _, names in os.walk(start):
            for name in names:
                if not re.search(r"~$|\.sw.$|\.pyc$", name):
                    full = os.path.join(where, name)
                    to = os.path.join(path, os.path.relpath(full, start))
                    self.files[to] = (full, converter)

    def _series(self, directory):
        directory = os.path.join(self.top, directory)
        series = os.path.join(directory, "series")
        if os.path.exists(series):
            with open(series, encoding="utf-8") as file:
                lines = [line.split("#")[0].strip() for line in file]
            return [line for line in lines if line]
        if not os.path.isdir(directory):
            return []
        return sorted(n for n in os.listdir(directory) if n.endswith(".patch"))

    def read(self, path):
        """A new file, as the tree has it."""
        ours, converter = self.files[path]
        if converter:
            return subprocess.run([os.path.join(self.top, converter), ours],
                                  check=True, capture_output=True).stdout
        with open(ours, "rb") as file:
            return file.read()

    def items(self):
        """All that has to go somewhere."""
        return ({("file", path) for path in self.files} |
                {(name, path) for name, patch in self.patches.items()
                 for path in patch.parts})


def _chosen(ours, entry, where):
    """(files, parts) that an entry of a plan names."""
    files, parts = [], []
    for pattern in entry.get("files", []):
        found = sorted(path for path in ours.files if glob(path, pattern))
        if not found:
            raise PlanError(f"{where}: no file is {pattern}")
        files += found
    for named in entry.get("patches", []):
        (name, patterns), = (named if isinstance(named, dict)
                             else {named: ["**"]}).items()
        if name not in ours.patches:
            raise PlanError(f"{where}: there is no patch {name}")
        for pattern in patterns:
            found = [(name, path) for path in ours.patches[name].parts
                     if pattern == "**" or glob(path, pattern)]
            if not found:
                raise PlanError(f"{where}: {name} does not touch {pattern}")
            parts += found
    return files, parts


def _commit(ours, entry, where):
    known = {"subject", "body", "files", "patches", "trailers", "build"}
    if set(entry) - known:
        raise PlanError(f"{where}: what is {', '.join(sorted(set(entry) - known))}?")
    files, parts = _chosen(ours, entry, where)
    owner = ours.patches[parts[0][0]] if parts else None
    subject = entry.get("subject") or (owner.subject if owner else "")
    body = entry.get("body") or (owner.body if owner else "")
    if not subject or not body:
        raise PlanError(f"{where}: a commit needs a subject and a body")
    return Commit(subject, reflow(body), entry.get("trailers", []), files, parts,
                  entry.get("build", []))


def read_plans(tree, ours, directory=None):
    """The plans of a tree, in order; every item of ours is in exactly one place."""
    places, plans = {}, []

    def place(items, where):
        for item in items:
            if item in places:
                what = item[1] if item[0] == "file" else " of ".join(item[::-1])
                raise PlanError(f"{what} is in two places: {places[item]}, {where}")
            places[item] = where

    for name in TREES[tree].plans:
        path = os.path.join(directory or os.path.join(TOP, "tools/series"),
                            f"{name}.plan")
        with open(path, encoding="utf-8") as file:
            text = yaml.safe_load(file)
        commits = []
        for number, entry in enumerate(text["commits"], 1):
            commit = _commit(ours, entry, f"{name}.plan, commit {number}")
            place([("file", f) for f in commit.files] + commit.parts,
                  f"{name}.plan, commit {number}")
            commits.append(commit)
        for entry in text.get("not-upstream", []):
            if not entry.get("reason"):
                raise PlanError(f"{name}.plan: not-upstream without a reason")
            files, parts = _chosen(ours, entry, f"{name}.plan, not-upstream")
            place([("file", f) for f in files] + parts, f"{name}.plan, not-upstream")
        plans.append(Plan(name, text.get("prefix", "PATCH"), text["subject"],
                          reflow(text["cover"]), text.get("undefine", []),
                          text.get("cc", []), commits))
    missing = sorted(ours.items() - set(places))
    if missing:
        names = [path if kind == "file" else f"{path} of {kind}"
                 for kind, path in missing]
        raise PlanError(f"in no commit of {', '.join(TREES[tree].plans)}: " +
                        ", ".join(names))
    return plans
