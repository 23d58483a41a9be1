# SPDX-License-Identifier: GPL-2.0
"""The entry for the kernel's own selftests: tools/testing/selftests/mm/cfph.sh."""

import os
import re

from cfphtest import config, guest
from cfphtest.registry import need, test

from .mutants import guest_mutant
from .hooks import MEMORY, SPARE_DIMM

SELFTESTS = "tools/testing/selftests"
HELPERS = f"{SELFTESTS}/kselftest/ktap_helpers.sh"
SCRIPT = f"{SELFTESTS}/mm/cfph.sh"
SKIP = 4


def booted(ctx):
    """A guest in which all of it can be tested, and has been installed."""
    initrd = ctx.initrd_with({
        f"/kselftest-{os.path.basename(name)}": path for name, path in (
            (HELPERS, os.path.join(config.linux_src(), HELPERS)),
            (SCRIPT, os.path.join(config.top(), "kernel/files", SCRIPT)))})
    vm = ctx.vm(ctx.spec(**SPARE_DIMM).but(
        kernel_args="cma=16M memhp_default_state=online_movable"), "guest",
        initrd=initrd).boot()
    guest.settled(vm)
    vm.sh("mkdir -p /t/mm /t/kselftest && mv /kselftest-cfph.sh /t/mm/cfph.sh && "
          "mv /kselftest-ktap_helpers.sh /t/kselftest/ktap_helpers.sh")
    return vm


def run(ctx, vm, prefix=""):
    """Exit code, and {test: verdict}."""
    code, text = vm.run(f"{prefix} /t/mm/cfph.sh 2>&1", 120)
    for line in text.splitlines():
        ctx.say(line.lstrip("# "))
    return code, {name.strip(): directive or verdict
                  for verdict, name, directive in re.findall(
                      r"^(ok|not ok) \d+ ([^#\n]*)(?:# (SKIP))?", text, re.M)}


@test("kselftest")
def kselftest(ctx):
    """All of it can be tested in such a guest, and passes."""
    vm = booted(ctx)
    code, verdicts = run(ctx, vm)
    need(not code and len(verdicts) == 8 and set(verdicts.values()) == {"ok"},
         f"exit code {code}, {verdicts}")
    need(vm.sh(f"cat {MEMORY}/memory32/state").strip() == "online", "state")
    guest.check_map(vm)
    guest.check_console(vm)


@test("kselftest-fails")
def kselftest_fails(ctx):
    """A hook is left out: what goes through it fails, and nothing before."""
    vm = booted(ctx)
    guest_mutant("drop___isolate_free_page")(vm)
    code, verdicts = run(ctx, vm)
    failed = [name for name, verdict in verdicts.items() if verdict == "not ok"]
    need(code == 1 and "a contiguous area is taken and freed" in failed and
         verdicts["map is exact"] == "ok", f"exit code {code}, {verdicts}")


@test("kselftest-skips")
def kselftest_skips(ctx):
    """Nothing to be tested: no map, nobody to ask, or not by root."""
    vm = booted(ctx)
    need(run(ctx, vm, "unshare -U")[0] == SKIP, "not root")
    vm.sh("fpctl stop")
    need(run(ctx, vm)[0] == SKIP, "no map")
    vm.sh("umount /sys/kernel/debug")
    need(run(ctx, vm)[0] == SKIP, "no debugfs")
