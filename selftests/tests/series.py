# SPDX-License-Identifier: GPL-2.0
"""What goes upstream: the plans of tools/series, without building any of it."""

import os
import re
import shutil
import subprocess

from cfphtest import config
from cfphtest.registry import need, test

PLANS = "tools/series"
INDEX = "    patches: [0001-mm-cfph-documents-in-the-index.patch]\n"
MUTANTS = "    patches: [0009-build-option-for-mutants.patch]\n"
# (plan, {text in it: what stands there instead}, what must be said of it)
BROKEN = (
    ("kernel", {"      - mm/cfph/pass.c\n": ""},
     "in no commit of kernel: mm/cfph/pass.c"),
    ("qemu", {"  - patches: [0008-fuzz-the-device.patch]\n": ""},
     "in no commit of tcg, qemu: .* of 0008-fuzz-the-device.patch"),
    ("qemu", {": [tests/unit/meson.build]\n": ": [tests/qtest/meson.build]\n"},
     "is in two places: qemu.plan"),
    ("kernel", {"mm/cfph/pass.c": "mm/cfph/gone.c"}, "no file is mm/cfph/gone.c"),
    ("qemu", {"not-upstream:\n  - reason:": "not-upstream:\n  - ignored:"},
     "without a reason"),
    # Its hunk in MAINTAINERS is what says who looks after all of the series.
    ("kernel", {INDEX: "", "not-upstream:\n":
                "not-upstream:\n  - reason: none\n" + INDEX},
     "has no entry in MAINTAINERS"),
    # It stands among the lines of a patch that comes later then.
    ("qemu", {MUTANTS: "", "commits:\n": "commits:\n  -" + MUTANTS[3:]},
     "qemu.plan, commit 1 .*FAILED"),
)


def series(ctx, verb, **env):
    """(exit code, output)"""
    done = subprocess.run(
        [os.path.join(config.top(), PLANS, "series.py"), verb],
        env=dict(os.environ, BUILD=ctx.logs, **env), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=100, check=False)
    return done.returncode, done.stdout


def broken(ctx, plan, changes):
    """A directory with the plans, one of them changed."""
    directory = os.path.join(ctx.logs, "plans")
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(os.path.join(config.top(), PLANS), directory,
                    ignore=lambda _, names: {n for n in names if ".plan" not in n})
    path = os.path.join(directory, f"{plan}.plan")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for old, new in changes.items():
        need(text.count(old) == 1, f"{plan}.plan: {text.count(old)} times {old!r}")
        text = text.replace(old, new)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return directory


@test("series-plan", 120)
def series_plan(ctx):
    """Every file and patch is in one commit; all apply; what is left out is noticed."""
    code, said = series(ctx, "check")
    need(not code, said)
    counts = dict(re.findall(r"^(\w+): (\d+) commits", said, re.M))
    need(set(counts) == {"kernel", "tcg", "qemu"} and
         all(int(count) > 5 for count in counts.values()), said)
    ctx.say(", ".join(f"{name}: {count} commits" for name, count in counts.items()))
    for plan, changes, want in BROKEN:
        code, said = series(ctx, "check", PLANS=broken(ctx, plan, changes))
        need(code == 1 and re.search(want, said), f"{want}: not in: {said}")
        ctx.say(said.strip()[:150])
    code, said = series(ctx, "write", SIGNOFF="")
    need(code == 1 and "SIGNOFF=" in said, f"nobody has signed: {said}")
