# SPDX-License-Identifier: GPL-2.0
"""Builds each commit of each series, one after the other, in a tree of its own.

The tree is a copy (hard links) of the prepared one with upstream's text put back; the
kernel's objects begin as a copy of make guest's, if there are any.
Each commit changes its files in there, then the compiler runs again: what it says of
them, a warning included, is the commit's verdict.  KTAP on stdout, all that was
printed in $BUILD/log/series-<tree>.log.
"""

import os
import subprocess
import time

from plan import TOP

FRAGMENTS = ["base.config", "x86_64.config"]


class Copy:
    """A tree that goes through the commits, and what it is built with."""

    def __init__(self, name, repository, log):
        self.repository, self.log = repository, log
        self.root = os.path.join(os.environ["BUILD"], "series/build")
        self.src = os.path.join(self.root, "src", name)
        self.upstream = repository.upstream
        os.makedirs(self.src, exist_ok=True)
        start = os.path.join(self.upstream.state, "orig")
        patched = [os.path.relpath(os.path.join(where, file), start)
                   for where, _, files in os.walk(start) for file in files]
        # What we change in there is no hard link, and keeps its time if it can.
        subprocess.run(["rsync", "-a", "--delete", "--exclude=/build-*",
                        "--exclude-from=-", "--link-dest", self.upstream.src + "/",
                        self.upstream.src + "/", self.src + "/"], check=True, text=True,
                       input="".join(f"/{path}\n" for path in
                                     [*patched, *self.upstream.added] if path))
        for path in self.upstream.added - {""}:
            if os.path.exists(os.path.join(self.src, path)):
                os.unlink(os.path.join(self.src, path))
        for path in patched:
            self.put(path, self.upstream.read(path), self.upstream.executable(path))

    def put(self, path, text, executable):
        path = os.path.join(self.src, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.exists(path):
            with open(path, "rb") as file:
                if file.read() == text:
                    return
        with open(path + ".new", "wb") as file:
            file.write(text)
        os.chmod(path + ".new", 0o755 if executable else 0o644)
        os.rename(path + ".new", path)

    def apply(self, commit):
        git = self.repository.git
        for line in git("diff-tree", "-r", "--no-commit-id", commit).splitlines():
            fields, _, path = line.partition("\t")
            text = git("show", f"{commit}:{path}").encode(errors="surrogateescape")
            self.put(path, text, fields.split()[1] == "100755")

    def build(self, targets):
        """(exit code, what was printed)"""
        raise NotImplementedError

    def begin_with(self, built):
        """Whatever may save time."""

    def run(self, command, cwd):
        """(exit code, what was printed)"""
        os.makedirs(cwd, exist_ok=True)
        done = subprocess.run(["/bin/sh", "-c", command], cwd=cwd, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace")
        self.log.write(f"$ {command}\n{done.stdout}")
        self.log.flush()
        return done.returncode, done.stdout


class Linux(Copy):
    """The guest's configuration; with CONFIG_CFPH as soon as there is one."""
    configured = None

    def build(self, targets):
        with open(os.path.join(self.src, "mm/Kconfig"), encoding="utf-8") as file:
            cfph = "cfph" in file.read()
        fragments = FRAGMENTS + (["cfph.config"] if cfph else [])
        if self.configured != fragments:
            code, said = self.run(" ".join([
                os.environ["CONFIG_LINUX"], self.src, self.src + "/build-x86_64",
                "x86_64", *(f"{TOP}/kernel/configs/{f}" for f in fragments)]), self.src)
            if code:
                return code, said
            self.configured = fragments
        return self.make("vmlinux modules")

    def make(self, goals):
        return self.run(f"{os.environ['KMAKE_LINUX']} O=build-x86_64 ARCH=x86_64 "
                        f"{goals}", self.src)

    def begin_with(self, built):
        """Copies objects.  Programs of the build are made anew here, the same bytes as
        before; newer than the objects, they would have all of them made anew, too."""
        obj = self.src + "/build-x86_64"
        if os.path.exists(obj) or not os.path.isdir(built):
            return
        subprocess.run(["cp", "-a", os.path.realpath(built), obj], check=True)
        old = os.stat(obj + "/.config").st_mtime
        self.make("prepare")
        for where, _, names in os.walk(obj + "/tools"):
            for name in names:
                os.utime(os.path.join(where, name), (old, old))


class Qemu(Copy):
    """As users should have it, and the test programs that a commit brings."""

    def build(self, targets):
        obj = os.path.join(self.root, "qemu")
        if not os.path.exists(os.path.join(obj, "build.ninja")):
            code, said = self.run(os.environ["CONFIGURE_QEMU"], obj)
            if code:
                return code, said
        return self.run(" ".join([os.environ["NINJA_QEMU"], "qemu-system-x86_64",
                                  *targets]), obj)


class Report:
    """KTAP."""

    def __init__(self, count):
        self.passed = self.failed = 0
        print(f"KTAP version 1\n1..{count}", flush=True)

    def result(self, name, begin, code, said):
        good = not code
        self.passed, self.failed = self.passed + good, self.failed + (not good)
        print(f"{'ok' if good else 'not ok'} {self.passed + self.failed} - {name} "
              f"# {time.monotonic() - begin:.0f} s", flush=True)
        if not good:
            for line in said.splitlines()[-15:]:
                print(f"# {line}", flush=True)

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed, 0 skipped", flush=True)
        return 1 if self.failed else 0


def build_tree(name, plans, repository, report):
    log = os.path.join(os.environ["BUILD"], f"log/series-{name}.log")
    os.makedirs(os.path.dirname(log), exist_ok=True)
    with open(log, "w", encoding="utf-8") as file:
        copy = {"linux": Linux, "qemu": Qemu}[name](name, repository, file)
        copy.begin_with(os.environ.get(f"OBJECTS_{name.upper()}", ""))
        begin = time.monotonic()
        report.result(f"{name}: upstream", begin, *copy.build([]))
        for base, plan in zip(["upstream", *(p.name for p in plans)], plans):
            ids = repository.git("rev-list", "--reverse", f"{base}..{plan.name}")
            for commit, planned in zip(ids.split(), plan.commits):
                begin = time.monotonic()
                copy.apply(commit)
                code, said = copy.build(planned.build)
                warned = [line for line in said.splitlines() if "warning: " in line]
                report.result(f"{plan.name}: {planned.subject}", begin,
                              code or len(warned), "\n".join(warned) or said)


def build(made):
    """The exit code, of {tree: (plans, Repository)}."""
    report = Report(sum(1 + sum(len(plan.commits) for plan in plans)
                        for plans, _ in made.values()))
    for name, (plans, repository) in made.items():
        build_tree(name, plans, repository, report)
    return report.end()
