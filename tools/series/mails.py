# SPDX-License-Identifier: GPL-2.0
"""Mails out of commits: format-patch, recipients, and what checkpatch says."""

import os
import re
import shutil
import subprocess

from plan import PlanError
from tree import PLACEHOLDER

# checkpatch, where it cannot know: MAINTAINERS comes with the last commit of a series
# (references.py asks for an entry), and a trace header is made of macros
# that look like nothing else.
KERNEL_IGNORE = "FILE_PATH_CHANGES"
TRACE_IGNORE = ("COMPLEX_MACRO,MACRO_ARG_UNUSED,TRAILING_SEMICOLON,OPEN_ENDED_LINE,"
                "PARENTHESIS_ALIGNMENT")
# update-linux-headers.sh imports from a kernel that has our header: later.
QEMU_IGNORE = re.compile(r"does MAINTAINERS need updating|update-linux-headers\.sh")


def version(src):
    """Of an upstream tree, for the cover letter."""
    try:
        with open(os.path.join(src, "VERSION"), encoding="ascii") as file:
            return "QEMU " + file.read().strip()
    except FileNotFoundError:
        with open(os.path.join(src, "Makefile"), encoding="ascii") as file:
            found = dict(re.findall(r"^(VERSION|PATCHLEVEL|SUBLEVEL) = (\d+)",
                                    file.read(), re.M))
        return "Linux {VERSION}.{PATCHLEVEL}.{SUBLEVEL}".format(**found)


def write(repository, plan, base, out):
    """The mails of a plan, in out; their paths, the cover letter first."""
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    cover = f"{plan.subject}\n\n{plan.cover}\n\n" \
        f"Base: {version(repository.upstream.src)}"
    repository.git("config", f"branch.{plan.name}.description", cover)
    listed = repository.git(
        "format-patch", "--cover-letter", "--cover-from-description=subject",
        "--zero-commit", "--no-signature", f"--subject-prefix={plan.prefix}",
        "-o", out, f"{base}..{plan.name}")
    return [os.path.join(out, name) for name in sorted(
        os.path.basename(line) for line in listed.split())]


def maintainers(src, mail):
    """({to}, {cc}) of a mail, from what MAINTAINERS says of its files."""
    done = subprocess.run(
        ["perl", "scripts/get_maintainer.pl", "--no-git", "--no-git-fallback", mail],
        cwd=src, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PlanError(f"get_maintainer.pl: {done.stderr.strip()}")
    to, cc = set(), set()
    for line in done.stdout.splitlines():
        found = re.match(r"(.*>|\S+) \(([^:)]+)", line)
        if found and PLACEHOLDER.partition("<")[2] not in line:
            (cc if re.search("list|reviewer", found[2]) else to).add(found[1])
    return to, cc


def address(mail, to, cc):
    """Puts both into the head of a mail."""
    with open(mail, encoding="utf-8") as file:
        head, _, rest = file.read().partition("\n\n")
    lines = [f"{field}: " + ",\n\t".join(sorted(who))
             for field, who in (("To", to), ("Cc", cc - to)) if who]
    with open(mail, "w", encoding="utf-8") as file:
        file.write("\n".join([head, *lines]) + "\n\n" + rest)


def address_all(src, plan, mails):
    """Each mail goes to those whom it concerns, the cover letter to all of them."""
    all_to, all_cc = set(), set()
    for mail in mails[1:]:
        to, cc = maintainers(src, mail)
        if not to | cc:
            raise PlanError(f"{os.path.basename(mail)}: nobody to send it to")
        all_to |= to
        all_cc |= cc | set(plan.cc)
        address(mail, to, cc | set(plan.cc))
    address(mails[0], all_to, all_cc)


def checkpatch(src, mail):
    """What it complains of, line by line; the signature is looked at, too."""
    kernel = not os.path.exists(os.path.join(src, "VERSION"))
    cmd = ["perl", "scripts/checkpatch.pl", "--terse", "--no-summary"]
    if kernel:
        with open(mail, encoding="utf-8") as file:
            trace = "\n+++ b/include/trace/" in file.read()
        cmd += ["--strict", "--ignore",
                KERNEL_IGNORE + ("," + TRACE_IGNORE if trace else "")]
    done = subprocess.run([*cmd, mail], cwd=src, capture_output=True, text=True,
                          check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines()
            if line.strip() and (kernel or not QEMU_IGNORE.search(line))]
    return [line.replace(os.path.dirname(mail) + "/", "") for line in said]


def added(repository, base, branch):
    """(lines added to files that exist upstream, lines of new files)."""
    old = new = 0
    for line in repository.git("diff", "--numstat", "--no-renames",
                               f"{base}..{branch}").splitlines():
        plus, _, path = line.split("\t")
        if repository.upstream.read(path) is None:
            new += int(plus)
        else:
            old += int(plus)
    return old, new
