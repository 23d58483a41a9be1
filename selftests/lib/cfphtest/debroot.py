# SPDX-License-Identifier: GPL-2.0
"""A Debian of its own, in a directory: to install packages in, and to run them there.

Made by debootstrap, from the mirror that apt has here.  What runs in it runs in a mount
namespace that ends with it: nothing is ever mounted for anybody else, so the directory
can be removed like any other.
"""

import os
import shutil
import subprocess

from . import config
from .registry import Failure, Skip, need

# Nothing is started when a package is installed; no man pages are left out.
POLICY = "usr/sbin/policy-rc.d"
# What a purge may leave: apt's and dpkg's own books, caches, logs.
BOOKS = ("./var/lib/dpkg", "./var/lib/apt", "./var/cache", "./var/log", "./tmp",
         "./root", "./debs", "./proc", "./dev", "./sys", "./run",
         "./var/lib/systemd/deb-systemd-helper-masked")

ENTER = """#!/bin/sh
exec unshare --mount --propagation private sh -eu -c '
root=$1; shift
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mount -t proc proc "$root/proc"
for path in {shared}; do mkdir -p "$root$path"; mount --bind "$path" "$root$path"; done
exec chroot "$root" "$@"' sh {root} "$@"
"""


def need_tools():
    """Skip, with the reason, where this cannot be done."""
    for name in ("debootstrap", "lintian", "dpkg-deb"):
        if not shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin"):
            raise Skip(f"no {name}: run this as make check-deb")
    if os.geteuid():
        raise Skip("only root can make a Debian in a directory")


def suite():
    """Of this machine, for which the packages are."""
    with open("/etc/os-release", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("VERSION_CODENAME="):
                return line.split("=")[1].strip().strip('"')
    raise Skip("/etc/os-release names no release of Debian")


def mirror():
    """The first of apt's sources that says it is Debian's own archive."""
    if os.environ.get("DEBIAN_MIRROR"):
        return os.environ["DEBIAN_MIRROR"]
    done = subprocess.run(
        ["apt-get", "indextargets", "--format",
         "$(ORIGIN)|$(LABEL)|$(REPO_URI)", "Created-By: Packages"],
        capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        if line.startswith("Debian|Debian|"):
            return line.split("|")[2]
    raise Skip("no Debian mirror in apt's configuration: DEBIAN_MIRROR=")


class Root:
    """That directory; it is gone when close() has been called."""

    def __init__(self, ctx, *include):
        need_tools()
        self.logs = ctx.logs
        self._shared = ("/tmp", ctx.logs)
        self.path = os.path.join(config.scratch(ctx.logs), "root")
        self.close()
        cache = config.out_dir("debootstrap")
        self._log("debootstrap", [
            "debootstrap", "--variant=minbase", f"--cache-dir={cache}",
            "--include=" + ",".join(include), suite(), self.path, mirror()])
        self.write(POLICY, "#!/bin/sh\nexit 101\n", 0o755)
        self.write("etc/apt/apt.conf.d/yes", 'APT::Get::Assume-Yes "true";\n')
        # Debian's images for containers leave man pages out, a machine does not.
        shutil.rmtree(os.path.join(self.path, "etc/dpkg/dpkg.cfg.d"))
        os.mkdir(os.path.join(self.path, "debs"))
        # A command that runs something in here: sockets and logs are where they are.
        self.enter = os.path.join(ctx.logs, "enter")
        with open(self.enter, "w", encoding="utf-8") as out:
            out.write(ENTER.format(root=self.path, shared=" ".join(self._shared)))
        os.chmod(self.enter, 0o755)

    def _log(self, name, words):
        with open(os.path.join(self.logs, f"{name}.log"), "a+",
                  encoding="utf-8", errors="replace") as out:
            done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=out,
                                  stderr=out, check=False)
            out.seek(0)
            need(not done.returncode, f"{name}: " +
                 " | ".join(out.read().strip().splitlines()[-3:]))

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        os.chmod(path, mode)

    def run(self, script):
        """(exit code, output) of a script of sh, in /debs."""
        env = {name: os.environ[name] for name in os.environ
               if name.endswith("_proxy")}
        env.update(PATH="/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL="C.UTF-8",
                   HOME="/root", DEBIAN_FRONTEND="noninteractive")
        done = subprocess.run(
            [self.enter, "sh", "-eu", "-c", "cd /debs\n" + script], env=env,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
        with open(os.path.join(self.logs, "commands.log"), "a",
                  encoding="utf-8") as out:
            out.write(f"# {script}\n{done.stdout}")
        return done.returncode, done.stdout

    def sh(self, script):
        """Output of a script that must succeed."""
        code, text = self.run(script)
        if code:
            raise Failure(f"{script}: exit code {code}: "
                          + " | ".join(text.strip().splitlines()[-4:]))
        return text

    def files(self):
        """What there is, without the books of those who install."""
        skip = " -o ".join(f"-path {path}" for path in
                           (*BOOKS, *(f".{path}" for path in self._shared)))
        return set(self.sh(f"cd /; find . -xdev \\( {skip} \\) -prune -o -print")
                   .splitlines())

    def close(self):
        shutil.rmtree(self.path, ignore_errors=True)
