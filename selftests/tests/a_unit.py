# SPDX-License-Identifier: GPL-2.0
"""Tests that need no migration: KUnit, qtest, fpctl's own."""

import os
import subprocess

from cfphtest import config, guest
from cfphtest.ktap import Parsed
from cfphtest.registry import need, test


def run(ctx, name, cmd, limit, **options):
    """(exit code, output) of a program; the output is kept in a log."""
    log = os.path.join(ctx.logs, name + ".log")
    with open(log, "w+", encoding="utf-8", errors="replace") as out:
        done = subprocess.run(cmd, stdout=out, stderr=out, check=False,
                              stdin=subprocess.DEVNULL, timeout=limit,
                              **options)
        out.seek(0)
        return done.returncode, out.read()


def judge(ctx, text):
    result = Parsed(text)
    ctx.say(f"{len(result.passed)} passed, {len(result.failed)} failed, "
            f"{len(result.skipped)} skipped")
    need(result.problem() is None, result.problem())
    return result


@test("kunit-uml", 120)
def kunit_uml(ctx):
    """KUnit suites of cfph in User Mode Linux."""
    code, text = run(ctx, "uml", [config.uml(), "mem=256M", "kunit.enable=1",
                                  "kunit.filter_glob=cfph*", "console=tty",
                                  "kunit_shutdown=halt"], 100)
    ctx.say(f"exit code {code}")
    result = judge(ctx, text)
    need(any("cfph" in name for name in result.passed), "no cfph suite ran")
    need("WARNING:" not in text and "BUG:" not in text,
         "a kernel warning, see the log")


@test("kunit-guest", 180)
def kunit_guest(ctx):
    """KUnit suites of cfph in the guest kernel."""
    vm = ctx.vm(ctx.spec(kernel_args="kunit.enable=1 "
                         "kunit.filter_glob=cfph* loglevel=7"), "guest")
    vm.boot()
    result = judge(ctx, vm.sh("dmesg"))
    need(any("cfph" in name for name in result.passed), "no cfph suite ran")
    guest.check_console(vm)


def qtest(ctx, name):
    """One of QEMU's qtest programs that come with our patches."""
    build = config.qemu_build()
    program = os.path.join(build, "tests/qtest", name)
    need(os.path.exists(program), f"{program} has not been built")
    code, text = run(ctx, "qtest", [program, "--tap", "-k"], 560, cwd=build,
                     env=dict(os.environ, QTEST_QEMU_BINARY=config.qemu(),
                              QTEST_QEMU_IMG=os.path.join(build, "qemu-img")))
    judge(ctx, text)
    need(code == 0, f"exit code {code}")


@test("qtest-cfph", 600)
def qtest_cfph(ctx):
    """The device's qtest: a fake driver, races and malformed input."""
    qtest(ctx, "virtio-balloon-cfph-test")


@test("qtest-dirty-log", 240)
def qtest_dirty_log(ctx):
    """The qtest of the TCG dirty-log fix: fails on an unpatched QEMU."""
    qtest(ctx, "tcg-dirty-log-test")


@test("fpctl-unit", 240)
def fpctl_unit(ctx):
    """fpctl's own tests: parser, output, netlink layer, schemas."""
    directory = os.path.join(config.top(), "tools/fpctl")
    env = {k: v for k, v in os.environ.items()
           if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "O", "V")}
    code, text = run(ctx, "fpctl", ["make", "-C", directory, "check",
                                    f"O={config.out_dir('fpctl')}"], 230,
                     env=env)
    need(code == 0, f"exit code {code}: " + text[-400:])
