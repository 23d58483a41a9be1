# SPDX-License-Identifier: GPL-2.0
"""Commits out of plans: a git repository that has the touched files only.

Its first commit is upstream's text of each file that a patch touches; the mails are
the same as from a whole repository.  A patch has to apply without fuzz where the plan
has it, and all of them together must give what the build makes of them in its own
order.
"""

import os
import shutil
import subprocess

from plan import PlanError

# As nobody else has configured it.
GIT_ENV = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}


def run(cmd, cwd, **options):
    """stdout; a PlanError with the first lines of what it said if it fails."""
    done = subprocess.run(cmd, cwd=cwd, capture_output=True, check=False, **options)
    if done.returncode:
        said = (done.stdout + done.stderr).decode(errors="replace").split("\n")
        raise PlanError(f"{' '.join(cmd[:3])}: {' '.join(said[:3])}")
    return done.stdout.decode(errors="surrogateescape")


class Upstream:
    """The unpacked tree as it was before tools/build/overlay.sh changed it."""

    def __init__(self, src):
        self.src = os.path.realpath(src)
        build, name = os.path.dirname(os.path.dirname(self.src)), \
            os.path.basename(self.src)
        self.state = os.path.join(build, "overlay", name)
        added = os.path.join(self.state, "added")
        if not os.path.exists(added):
            raise PlanError(f"{src} is not a tree of make prepare")
        with open(added, encoding="utf-8") as file:
            self.added = set(file.read().split("\n"))

    def read(self, path):
        """Its text, None if upstream has no such file."""
        for where in (os.path.join(self.state, "orig", path),
                      None if path in self.added else os.path.join(self.src, path)):
            if where and os.path.isfile(where):
                with open(where, "rb") as file:
                    return file.read()
        return None

    def executable(self, path):
        return os.access(os.path.join(self.src, path), os.X_OK)


class Repository:
    """What becomes of a tree, commit by commit."""

    def __init__(self, directory, upstream, ours, author):
        self.dir, self.upstream, self.ours = directory, upstream, ours
        self.author = author
        self.existing = {path for patch in ours.patches.values()
                         for path in patch.parts}
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory)
        for path in self.existing:
            text = upstream.read(path)
            if text is None:
                raise PlanError(f"a patch touches {path}, which is not upstream")
            self._write(path, text, upstream.executable(path))
        name, _, mail = author.partition(" <")
        who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER")
               for what, value in (("NAME", name), ("EMAIL", mail.rstrip(">")))}
        self.env = dict(os.environ, **GIT_ENV, **who)
        self.git("init", "-q", "-b", "upstream")
        self.git("add", "-A", "-f")
        self.git("commit", "-q", "-m", "upstream")

    def git(self, *args, **options):
        return run(["git", *args], self.dir, env=self.env, **options)

    def _write(self, path, text, executable):
        path = os.path.join(self.dir, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(text)
        os.chmod(path, 0o755 if executable else 0o644)

    def patch(self, name, path, directory=None):
        run(["patch", "-p1", "-F0", "-s", "-f", "--no-backup-if-mismatch"],
            directory or self.dir, input=self.ours.patches[name].parts[path].encode())

    def new_file(self, path, undefine):
        """Of ours, without what is not for upstream."""
        if self.upstream.read(path) is not None:
            raise PlanError(f"{path} exists upstream: make it a patch")
        text = strip(self.ours.read(path), undefine if path.endswith((".c", ".h"))
                     else [])
        self._write(path, text, os.access(self.ours.files[path][0], os.X_OK)
                    and text.startswith(b"#!"))

    def commit(self, plan, commit):
        """Makes one; git refuses one that changes nothing."""
        for path in commit.files:
            self.new_file(path, plan.undefine)
        for name, path in commit.parts:
            self.patch(name, path)
        maintainers = os.path.join(self.dir, "MAINTAINERS")
        if any(path == "MAINTAINERS" for _, path in commit.parts):
            with open(maintainers, encoding="utf-8") as file:
                text = file.read()
            with open(maintainers, "w", encoding="utf-8") as file:
                file.write(text.replace(PLACEHOLDER, self.author))
        trailers = [*commit.trailers, f"Signed-off-by: {self.author}"]
        self.git("add", "-A", "-f")
        self.git("commit", "-q", "-F", "-", input="\n".join(
            [commit.subject, "", commit.body, "", *trailers, ""]).encode())

    def series(self, plan):
        """A branch of the plan's name on top of what there is."""
        self.git("checkout", "-q", "-b", plan.name)
        for number, commit in enumerate(plan.commits, 1):
            try:
                self.commit(plan, commit)
            except PlanError as err:
                raise PlanError(f"{plan.name}.plan, commit {number} "
                                f"({commit.subject}): {err}") from err

    def check_whole(self, plans):
        """Each patched file: as the order of the build makes it."""
        sent = {part for plan in plans for commit in plan.commits
                for part in commit.parts}
        other = self.dir + ".whole"
        shutil.rmtree(other, ignore_errors=True)
        for path in self.existing:
            os.makedirs(os.path.join(other, os.path.dirname(path)), exist_ok=True)
            with open(os.path.join(other, path), "wb") as file:
                file.write(self.upstream.read(path))
        for name, patch in self.ours.patches.items():
            for path in patch.parts:
                if (name, path) in sent:
                    self.patch(name, path, other)
        for path in sorted(self.existing - {"MAINTAINERS"}):
            with open(os.path.join(other, path), "rb") as one, \
                    open(os.path.join(self.dir, path), "rb") as two:
                if one.read() != two.read():
                    raise PlanError(f"{path}: the plan's order of patches makes "
                                    "another text of it than the build's")
        shutil.rmtree(other)


# Who is in our patches of MAINTAINERS until somebody signs.
PLACEHOLDER = "The cfph developers <cfph-devel@example.org>"


def strip(text, undefine):
    """Source text without what depends on these symbols."""
    if not any(symbol.encode() in text for symbol in undefine):
        return text
    done = subprocess.run(["unifdef", *(f"-U{symbol}" for symbol in undefine)],
                          input=text, capture_output=True, check=False)
    if done.returncode > 1:
        raise PlanError(f"unifdef: {done.stderr.decode()}")
    return done.stdout


def make(tree, src, ours, plans, directory, author):
    """All commits of a tree's plans; the Repository."""
    repository = Repository(os.path.join(directory, tree), Upstream(src), ours, author)
    for plan in plans:
        repository.series(plan)
    repository.check_whole(plans)
    return repository
