#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""circles.py DIR: no circle among the C files of a directory.

A file uses another one if it names a function or a variable that the other one
defines for everybody.  Prints each circle with what makes it, and exits 1.  What is
generated, and tests in a directory of their own, do not count.
"""

import pathlib
import re
import subprocess
import sys

# What ctags takes for a call.
MACROS = r"--regex-C=/^DEFINE_(MUTEX|STATIC_KEY_FALSE)\((\w+)\)/\2/v/"
NO_CODE = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\])*\"|^#[^\n]*", re.S | re.M)


def definitions(files):
    """{name: file} of what is not static."""
    done = subprocess.run(["ctags", "-f", "-", "--fields=f", "--C-kinds=fv", MACROS,
                           *map(str, files)], check=True, capture_output=True,
                          text=True)
    found = {}
    for line in done.stdout.splitlines():
        name, path, *rest = line.split("\t")
        if not name.startswith("!") and "file:" not in rest:
            found[name] = pathlib.Path(path)
    return found


def uses(files):
    """{file: {other file: [names]}}"""
    where = definitions(files)
    graph = {}
    for file in files:
        graph[file] = {}
        for name in sorted(set(re.findall(r"\w+", NO_CODE.sub(" ", file.read_text())))):
            if where.get(name, file) != file:
                graph[file].setdefault(where[name], []).append(name)
    return graph


def circle(graph):
    """The files of a circle, or []: take away what uses nothing that is left."""
    left = set(graph)
    while True:
        floor = {file for file in left if not left & set(graph[file])}
        if not floor:
            break
        left -= floor
    if not left:
        return []
    path = [min(left)]
    while True:
        path.append(min(left & set(graph[path[-1]])))
        if path[-1] in path[:-1]:
            return path[path.index(path[-1]):]


def main():
    files = [file for file in sorted(pathlib.Path(sys.argv[1]).glob("*.c"))
             if "YNL-GEN" not in file.read_text()]
    if len(files) < 2:
        sys.exit(f"{sys.argv[1]}: no files to look at")
    graph = uses(files)
    found = circle(graph)
    for user, used in zip(found, found[1:]):
        print(f"{user.name} uses {used.name}: {', '.join(graph[user][used])}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
