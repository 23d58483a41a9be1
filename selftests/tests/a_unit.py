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


def qtest(ctx, name, limit):
    """One of QEMU's qtest programs that come with our patches."""
    build = config.qemu_build()
    program = os.path.join(build, "tests/qtest", name)
    need(os.path.exists(program), f"{program} has not been built")
    code, text = run(ctx, "qtest", [program, "--tap", "-k"], limit, cwd=build,
                     env=dict(os.environ, QTEST_QEMU_BINARY=config.qemu(),
                              QTEST_QEMU_IMG=os.path.join(build, "qemu-img")))
    result = judge(ctx, text)
    need(code == 0, f"exit code {code}")
    return result


@test("qtest-cfph", 420)
def qtest_cfph(ctx):
    """The device's qtest: a fake driver, and what the final read decides."""
    qtest(ctx, "virtio-balloon-cfph-test", 400)


@test("qtest-cfph-events", 520)
def qtest_cfph_events(ctx):
    """The device's qtest: every event in the middle of a migration."""
    qtest(ctx, "virtio-balloon-cfph-events-test", 500)


@test("qtest-cfph-hostile", 520)
def qtest_cfph_hostile(ctx):
    """The device's qtest: malformed input, broken rings, floods, races."""
    qtest(ctx, "virtio-balloon-cfph-hostile-test", 500)


@test("qtest-cfph-rules", 260)
def qtest_cfph_rules(ctx):
    """Each rule of the argument kept, and broken: no mutant survives."""
    result = qtest(ctx, "virtio-balloon-cfph-rules-test", 240)
    for name in result.passed:
        if "/broken-" in name:
            ctx.say(f"caught: {name}")


@test("qtest-dirty-log", 240)
def qtest_dirty_log(ctx):
    """The qtest of the TCG dirty-log fix: fails on an unpatched QEMU."""
    qtest(ctx, "tcg-dirty-log-test", 220)


FUZZ_SECONDS = 60


def fuzz(ctx, which, variable):
    """One of the fuzzers, for a minute; what it finds stays in the log."""
    program = os.environ.get(variable, "")
    need(os.path.exists(program), f"{variable}={program} has not been built")
    code, text = run(ctx, "fuzz",
                     [os.path.join(config.top(), "qemu/fuzz/run.sh"), which,
                      str(FUZZ_SECONDS), os.path.join(ctx.logs, which),
                      program], 4 * FUZZ_SECONDS)
    found = [line for line in text.splitlines()
             if "SUMMARY" in line or "Test unit written" in line]
    need(code == 0, f"exit code {code}: " + "; ".join(found))
    ctx.say(next(line for line in text.splitlines()
                 if "number_of_executed_units" in line))


@test("fuzz-decoder", 300)
def fuzz_decoder(ctx):
    """A minute of libFuzzer on the device's decoder and the filter."""
    fuzz(ctx, "decoder", "FUZZ_DECODER")


@test("fuzz-device", 300)
def fuzz_device(ctx):
    """A minute of QEMU's generic fuzzer on the device, over PCI."""
    fuzz(ctx, "device", "FUZZ_DEVICE")


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
