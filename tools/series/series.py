#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""series.py check|write|build: what of this project goes to the lists, as mails.

  check   the plans are whole, and each of their commits can be made
  write   mails with recipients in $BUILD/series/<plan>/, and what checkpatch says
  build   builds each commit, KTAP; the whole of it takes long

Environment: BUILD, LINUX_SRC, QEMU_SRC, as make sets them; SIGNOFF="Name <mail>"
(write).  build: KMAKE_LINUX, CONFIG_LINUX, CONFIGURE_QEMU, NINJA_QEMU, the commands
of kernel/build.mk and qemu/build.mk.
"""

import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
# pylint: disable=wrong-import-position
import build            # noqa: E402
import mails            # noqa: E402
import references       # noqa: E402
import tree             # noqa: E402
from plan import Ours, PlanError, TREES, read_plans     # noqa: E402

# Lines that we want to add to existing files, at most.
AIMS = {"linux": 150, "qemu": 400}
NOBODY = "Nobody <nobody@example.org>"


def source(name):
    value = os.environ.get(f"{name.upper()}_SRC")
    if not value:
        raise PlanError(f"{name.upper()}_SRC is not set: run this through make")
    return value


def author():
    """Who signs."""
    who = os.environ.get("SIGNOFF", "").strip()
    if not re.fullmatch(r"[^<>@\"]+ <[^<>@\s]+@[^<>@\s]+>", who):
        raise PlanError("say who signs the mails: "
                        "make series SIGNOFF=\"Name <mail@host>\"" +
                        (f", not {who!r}" if who else ""))
    return who


def whole():
    """{tree: (ours, plans)}; nothing is left out anywhere."""
    return {name: (ours, read_plans(name, ours, os.environ.get("PLANS")))
            for name, ours in ((name, Ours(name)) for name in TREES)}


def commits(name, ours, plans, who):
    """The Repository of a tree, with all of its commits."""
    directory = os.path.join(os.environ["BUILD"], "series/git")
    repository = tree.make(name, source(name), ours, plans, directory, who)
    references.check(repository)
    return repository


def check():
    for name, (ours, plans) in whole().items():
        repository = commits(name, ours, plans, NOBODY)
        for plan in plans:
            print(f"{plan.name}: {len(plan.commits)} commits on "
                  f"{mails.version(repository.upstream.src)}")


def build_all():
    """The exit code; T: names of trees, all of them without."""
    chosen = os.environ.get("T", "").split() or list(TREES)
    if set(chosen) - set(TREES):
        raise PlanError(f"T={' '.join(chosen)}: choose from {', '.join(TREES)}")
    made = {name: (plans, commits(name, ours, plans, NOBODY))
            for name, (ours, plans) in whole().items() if name in chosen}
    return build.build(made)


def write_plan(repository, plan, base):
    """True if checkpatch has nothing to say."""
    out = os.path.join(os.environ["BUILD"], "series", plan.name)
    written = mails.write(repository, plan, base, out)
    mails.address_all(repository.upstream.src, plan, written)
    print(f"\n{plan.name}: {len(written) - 1} patches in {out}")
    clean = True
    for mail in written[1:]:
        said = mails.checkpatch(repository.upstream.src, mail)
        clean = clean and not said
        print(f"  {'checkpatch: clean' if not said else 'checkpatch: NOT CLEAN'}  "
              f"{os.path.basename(mail)}")
        for line in said[:10]:
            print(f"    {line}")
    return clean


def write():
    who, clean, figures = author(), True, []
    for name, (ours, plans) in whole().items():
        repository = commits(name, ours, plans, who)
        for base, plan in zip(["upstream", *(p.name for p in plans)], plans):
            clean = write_plan(repository, plan, base) and clean
            figures.append((plan.name, len(plan.commits),
                            *mails.added(repository, base, plan.name),
                            AIMS[name] if plan is plans[-1] else None))
    print("\nseries  patches  lines added to existing files  lines of new files")
    for name, count, old, new, aim in figures:
        verdict = "" if aim is None else f" (aim: {aim}" + \
            (", over the aim)" if old > aim else ")")
        print(f"{name:6}  {count:7}  {str(old) + verdict:29}  {new:18}")
    if not clean:
        raise PlanError("checkpatch is not content")


def main():
    verbs = {"check": check, "write": write, "build": build_all}
    if len(sys.argv) != 2 or sys.argv[1] not in verbs:
        sys.exit(__doc__)
    try:
        sys.exit(verbs[sys.argv[1]]())
    except PlanError as err:
        sys.exit(f"series: {err}")


if __name__ == "__main__":
    main()
