# SPDX-License-Identifier: GPL-2.0
"""Tests that need no migration: KUnit, qtest, fpctl's own."""

import os
import re
import shutil
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


def run_ktap(ctx, name, cmd, limit, **options):
    """What a program says that speaks KTAP; all of it has to be well."""
    code, text = run(ctx, name, cmd, limit, **options)
    result = judge(ctx, text)
    need(code == 0, f"exit code {code}: {text[-400:]}")
    return result


def kunit(ctx, text):
    """What KUnit says; the first thing that does not hold, in its words."""
    first = re.search(r"\w+: EXPECTATION FAILED at .*\n.*", text)
    if first:
        ctx.say(" ".join(first[0].split()))
    result = judge(ctx, text)
    need(any("cfph" in name for name in result.passed), "no cfph suite ran")


@test("kunit-uml", 120)
def kunit_uml(ctx):
    """KUnit suites of cfph in User Mode Linux."""
    code, text = run(ctx, "uml", config.uml_kunit("cfph*"), 100)
    ctx.say(f"exit code {code}")
    kunit(ctx, text)
    need("WARNING:" not in text and "BUG:" not in text,
         "a kernel warning, see the log")


@test("kunit-guest", 180)
def kunit_guest(ctx):
    """KUnit suites of cfph in the guest kernel."""
    vm = ctx.vm(ctx.spec(kernel_args="kunit.enable=1 "
                         "kunit.filter_glob=cfph* loglevel=7"), "guest")
    vm.boot()
    kunit(ctx, vm.sh("dmesg"))
    guest.check_console(vm)


def qtest(ctx, name, limit):
    """One of QEMU's qtest programs that come with our patches."""
    build = config.qemu_build()
    program = os.path.join(build, "tests/qtest", name)
    need(os.path.exists(program), f"{program} has not been built")
    return run_ktap(
        ctx, "qtest", [program, "--tap", "-k"], limit, cwd=build,
        env=dict(os.environ, QTEST_QEMU_BINARY=config.qemu(),
                 QTEST_QEMU_IMG=os.path.join(build, "qemu-img")))


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


@test("qtest-cfph-ways", 520)
def qtest_cfph_ways(ctx):
    """The device's qtest: every way in which memory is written out."""
    qtest(ctx, "virtio-balloon-cfph-ways-test", 500)


@test("qtest-cfph-rules", 260)
def qtest_cfph_rules(ctx):
    """Each rule of the argument kept, and broken: no mutant survives."""
    result = qtest(ctx, "virtio-balloon-cfph-rules-test", 240)
    caught = [name for name in result.passed if "/broken-" in name]
    kept = [name for name in result.passed if name.endswith("/kept")]
    for name in caught:
        ctx.say(f"caught: {name}")
    need(len(caught) == len(kept) > 0, f"{len(caught)} of {len(kept)} rules broken")


@test("qemu-product", 120)
def qemu_product(ctx):
    """The QEMU for users has no mutant and no misbehaving device in it."""
    code, text = run(ctx, "product",
                     [os.path.join(config.top(), "qemu/check-product.sh"),
                      config.qemu_product(), config.qemu()], 110)
    need(code == 0, f"exit code {code}: {text[-400:]}")
    for line in text.splitlines():
        ctx.say(line)


@test("qemu-move", 60)
def qemu_move(ctx):
    """QEMU's unit test of the loops over words: vector and plain code agree."""
    build = config.qemu_build()
    run_ktap(ctx, "unit", [os.path.join(build, "tests/unit/test-cfph-move"),
                           "--tap"], 50, cwd=build)


@test("qtest-dirty-log", 240)
def qtest_dirty_log(ctx):
    """The qtest of the TCG dirty-log fix: fails on an unpatched QEMU."""
    qtest(ctx, "tcg-dirty-log-test", 220)


FUZZ_SECONDS = 60
FUZZ_LEAST = 100        # a loaded machine gets a thousand done over PCI


def fuzz(ctx, which, variable):
    """One of the fuzzers, for a minute; what it finds stays in the log."""
    program = os.environ.get(variable, "")
    need(os.path.exists(program), f"{variable}={program} has not been built")
    code, text = run(ctx, "fuzz",
                     [os.path.join(config.top(), "qemu/fuzz/run-fuzzer.sh"), which,
                      str(FUZZ_SECONDS), os.path.join(ctx.logs, which),
                      program], 4 * FUZZ_SECONDS)
    found = [line for line in text.splitlines()
             if "SUMMARY" in line or "Test unit written" in line]
    need(code == 0, f"exit code {code}: " + "; ".join(found))
    ran = re.search(r"number_of_executed_units: *(\d+)", text)
    need(ran and int(ran[1]) > FUZZ_LEAST, f"executed: {ran and ran[0]}")
    ctx.say(ran[0])


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
    run_ktap(ctx, "fpctl", ["make", "-C", directory, "check",
                            f"O={config.out_dir('fpctl')}"], 230, env=env)


MODEL = "Documentation/mm/cfph/model/check-model.sh"


@test("model", 900)
def model(ctx):
    """The model of the argument: verified, and every mutant refuted."""
    run_ktap(ctx, "model", [os.path.join(config.top(), MODEL),
                            os.path.join(ctx.logs, "model")], 880)


# What a verifier says; VERIFIED is the end of a search without an error.
VERIFIED = """
State-vector 48 byte, depth reached 99, errors: 0
   500000 states, stored
pan: elapsed time 1 seconds
"""
REFUTED = """pan:1: assertion violated fresh (at depth 9)
pan: wrote cfph.pml.trail
Warning: Search not completed
""" + VERIFIED.replace("errors: 0", "errors: 1")
NO_ASSERTION = REFUTED.replace("assertion violated fresh",
                               "invalid end state")


class Toolchain:
    """Stub spin and gcc, and the verifier that they "build", in a directory."""

    def __init__(self, directory):
        self.bin = os.path.join(directory, "bin")
        self.work = os.path.join(directory, "work")
        self.directory = directory
        os.makedirs(self.bin, exist_ok=True)

    def stub(self, name, script):
        path = os.path.join(self.bin, name)
        with open(path, "w", encoding="ascii") as out:
            out.write(f"#!/bin/sh\n{script}\n")
        os.chmod(path, 0o755)

    def fill(self, pan, spin=None, gcc=None):
        """`pan` is what the verifier does: a line of shell."""
        with open(os.path.join(self.directory, "pan"), "w",
                  encoding="ascii") as out:
            out.write(f"#!/bin/sh\n{pan}\n")
        os.chmod(os.path.join(self.directory, "pan"), 0o755)
        self.stub("spin", "echo x >pan.c" if spin is None else spin)
        self.stub("gcc", f"cp {self.directory}/pan pan" if gcc is None
                  else gcc)


def says(text, trail=False, code=0):
    """Shell for a verifier that prints this."""
    wrote = "echo x >cfph.pml.trail; " if trail else ""
    return f"{wrote}cat <<'END'\n{text}\nEND\nexit {code}"


@test("model-runner", 120)
def model_runner(ctx):
    """The model's runner: every lie of spin, gcc and verifier is a failure."""
    tools = Toolchain(ctx.logs)

    def rows(path, names):
        code, text = run(ctx, "runner",
                         [os.path.join(config.top(), MODEL), tools.work,
                          *names], 60, env=dict(os.environ, PATH=path))
        result = Parsed(text)
        last = text.splitlines()[-1]
        need(last == f"{len(result.passed)} passed, {len(result.failed)} "
             "failed, 0 skipped", f"last line: {last}")
        need(result.planned == len(result.passed) + len(result.failed),
             f"{result.planned} planned: {text}")
        need((code == 0) == (not result.failed), f"exit code {code}: {text}")
        return result

    path = tools.bin + ":" + os.environ["PATH"]
    true, mutant = ["LIVE-USE"], ["LIVE-M_STALE_FINAL"]
    honest = [(true, says(VERIFIED)), (mutant, says(REFUTED, trail=True))]
    for names, pan in honest:
        tools.fill(pan)
        need(not rows(path, names).failed, f"{names}: an honest verdict failed")

    early = VERIFIED.replace("pan: elapsed time 1 seconds\n", "")
    lies = {
        "a mutant that survives": (mutant, says(VERIFIED)),
        "a mutant without a trail": (mutant, says(REFUTED)),
        "a mutant stopped by something else":
            (mutant, says(NO_ASSERTION, trail=True)),
        "a mutant out of depth":
            (mutant, says("error: max search depth too small\n" + REFUTED,
                          trail=True)),
        "a counterexample": (true, says(REFUTED, trail=True)),
        "a blocked model": (true, says(VERIFIED.replace("500000", "12"))),
        "out of depth":
            (true, says("error: max search depth too small\n" + VERIFIED)),
        "not completed":
            (true, says("Warning: Search not completed\n" + VERIFIED)),
    }
    for names, whole in ((true, VERIFIED), (mutant, REFUTED)):
        trail = names is mutant
        lies |= {
            f"{names}: nothing said": (names, says("", trail)),
            f"{names}: no end": (names, says(
                early if names is true else
                REFUTED.replace("pan: elapsed time 1 seconds\n", ""), trail)),
            f"{names}: exit code 1": (names, says(whole, trail, 1)),
            f"{names}: killed": (names, says(whole, trail, 0).replace(
                "exit 0", "kill -9 $$")),
            f"{names}: out of memory": (names, says(
                "pan: out of memory\n" + whole, trail)),
        }
    for about, (names, pan) in lies.items():
        tools.fill(pan)
        need(rows(path, names).failed, f"{about}: passed")

    for names, pan in honest:
        for tool in ("spin", "gcc"):
            for about, script in (("fails", "exit 1"), ("does nothing", ":")):
                tools.fill(pan, **{tool: script})
                need(rows(path, names).failed,
                     f"{names}: {tool} {about}: passed")

    # Absent: a PATH with what the runner needs, then without one of them.
    for name in ("sh", "cat", "cp", "date", "dirname", "grep", "mkdir", "rm",
                 "sed", "sort", "timeout", "tr"):
        link = os.path.join(tools.bin, name)
        if not os.path.lexists(link):
            os.symlink(shutil.which(name), link)
    for names, pan in honest:
        tools.fill(pan)
        need(not rows(tools.bin, names).failed, f"{names}: failed, bare PATH")
        for tool in ("spin", "gcc"):
            tools.fill(pan)
            os.remove(os.path.join(tools.bin, tool))
            need(rows(tools.bin, names).failed, f"{names}: no {tool}: passed")

    tools.fill(says(VERIFIED))
    code, _ = run(ctx, "runner", [os.path.join(config.top(), MODEL), tools.work,
                                  "LIVE-M_NONSENSE"], 60,
                  env=dict(os.environ, PATH=path))
    need(code != 0, "a row that does not exist: passed")
    every = rows(path, [])
    survivors = [n for n in every.passed if "-M_" in n]
    need(not survivors, f"passed without a counterexample: {survivors}")
    need(len(every.failed) > 30, f"only {len(every.failed)} mutants ran")
    ctx.say(f"{len(lies)} lies told, {len(every.failed)} mutants survived stubs")
