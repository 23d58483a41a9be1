# SPDX-License-Identifier: GPL-2.0
"""What the files of a series point to is there when all of it is in.

Documents name other documents, Kconfig and sources name documents, and MAINTAINERS
has an entry for each new file.
"""

import os
import posixpath
import re

from plan import PlanError, glob

DOC_DIRS = {"linux": "Documentation", "qemu": "docs"}


class Result:
    """The tree with the series in it."""

    def __init__(self, repository):
        self.repository = repository
        self.new = sorted(path for path in repository.git(
            "ls-files").splitlines() if repository.upstream.read(path) is None)
        self.docs = DOC_DIRS[os.path.basename(repository.dir)]

    def text(self, path):
        with open(os.path.join(self.repository.dir, path), encoding="utf-8") as file:
            return file.read()

    def has(self, path):
        return os.path.exists(os.path.join(self.repository.dir, path)) or \
            self.repository.upstream.read(path) is not None

    def document(self, user, name):
        """The file of a :doc: or of a toctree's entry."""
        start = self.docs if name.startswith("/") else posixpath.dirname(user)
        return posixpath.normpath(posixpath.join(start, name.lstrip("/"))) + ".rst"


def _links(result):
    """(file, what it names) for all that it should find."""
    for path in result.new:
        text = result.text(path)
        if path.endswith(".rst"):
            for name in re.findall(r":doc:`(?:[^`<]*<)?([^`<>]+)>?`", text):
                yield path, result.document(path, name)
            for block in re.findall(r"^\.\. toctree::\n((?:   .*\n|\n)+)", text, re.M):
                for name in re.findall(r"^   ([^:\s]\S*)$", block, re.M):
                    yield path, result.document(path, name)
        else:
            for name in re.findall(rf"\b({result.docs}/[\w/.-]+\.(?:rst|yaml))", text):
                yield path, name


def _maintained(result):
    """New files without an entry in MAINTAINERS."""
    patterns = re.findall(r"^F:\s+(\S+)$", result.text("MAINTAINERS"), re.M)
    for path in result.new:
        if not any(glob(path, p + "**" if p.endswith("/") else p) for p in patterns):
            yield path


def _indexed(result):
    """New documents that no page lists."""
    listed = {target for user, target in _links(result) if user.endswith(".rst")}
    for path in sorted(result.repository.existing):
        if path.endswith(".rst"):
            listed.update(result.document(path, name) for name in re.findall(
                r"^   (\S+)$", result.text(path), re.M))
    for path in result.new:
        if path.startswith(result.docs) and path.endswith(".rst") and \
                path not in listed:
            yield path


def check(repository):
    result = Result(repository)
    for user, target in _links(result):
        if not result.has(target):
            raise PlanError(f"{user} points to {target}, which is not in the tree")
    for path in _maintained(result):
        raise PlanError(f"{path} has no entry in MAINTAINERS")
    for path in _indexed(result):
        raise PlanError(f"{path} is in no index")
