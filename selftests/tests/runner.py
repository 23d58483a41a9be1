# SPDX-License-Identifier: GPL-2.0
"""The runner and the reader of KTAP are told lies, and must not believe them."""

import os
import re
import shutil
import subprocess
import sys

from cfphtest import config
from cfphtest.ktap import Parsed
from cfphtest.registry import need, test

# What ends in each of the ways that a test can end in.
LIES = '''
import os, signal, subprocess, time
from cfphtest.registry import Failure, Skip, need, test

@test("lie-good", 20)
def good(ctx):
    """Passes."""

@test("lie-false", 20)
def false(ctx):
    """What it needs does not hold."""
    need(False, "it is not so")

@test("lie-skip", 20)
def skip(ctx):
    """A tool is missing."""
    raise Skip("no such tool")

@test("lie-exit", 20)
def leave(ctx):
    """Ends itself without a word."""
    os._exit(7)

@test("lie-killed", 20)
def killed(ctx):
    """Is killed."""
    os.kill(os.getpid(), signal.SIGKILL)

@test("lie-bug", 20)
def bug(ctx):
    """Does not know what it does."""
    raise KeyError("oops")

@test("lie-hangs", 1)
def hangs(ctx):
    """Never comes to an end."""
    time.sleep(600)

@test("lie-prints", 20)
def prints(ctx):
    """Prints a result of its own, and fails."""
    print("ok 1 lie-prints")
    print("9 passed, 0 failed, 0 skipped")
    raise Failure("in truth")
'''
VERDICTS = {"good": "ok", "false": "not ok", "skip": "skip", "exit": "not ok",
            "killed": "not ok", "bug": "not ok", "hangs": "not ok",
            "prints": "not ok"}


def run(ctx, *names, order="('lies',)"):
    """(exit code, output) of the runner with those tests."""
    package = os.path.join(ctx.logs, "tests")
    os.makedirs(package, exist_ok=True)
    for name, text in (("__init__.py", f"ORDER = {order}\n"), ("lies.py", LIES)):
        with open(os.path.join(package, name), "w", encoding="utf-8") as out:
            out.write(text)
    # What it leaves is not to be taken for ours.
    env = dict(os.environ, TESTS_DIR=ctx.logs, ACCEL="tcg",
               BUILD=os.path.join(ctx.logs, "build"))
    env.pop("TEST_JOBS", None)
    runner = os.path.join(config.top(), "selftests/run.py")
    done = subprocess.run([sys.executable, runner, *names], env=env,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=100,
                          check=False)
    return done.returncode, done.stdout


@test("runner-lies", 120)
def runner_lies(ctx):
    """Whatever way a test ends in, the runner says the truth about it."""
    code, text = run(ctx)
    ctx.say(text.splitlines()[-1])
    need(code == 1, f"exit code {code}")
    need(text.endswith("1 passed, 6 failed, 1 skipped\n"), text[-300:])
    for name, verdict in VERDICTS.items():
        line = re.search(rf"^(ok|not ok) \d+ lie-{name}( # SKIP .*)?", text, re.M)
        need(line, f"no result of {name}")
        need((line[1] if not line[2] else "skip") == verdict,
             f"{name}: {line[0]}")
    need("# skipped: lie-skip: no such tool" in text, "does not say what it left out")
    need("# lie-hangs: not finished within" in text, "does not say that it was late")


@test("runner-codes", 120)
def runner_codes(ctx):
    """Exit codes: all well, nothing to run, only skipped."""
    for names, wanted in ((["lie-good"], 0), (["no-such-test"], 2),
                          (["lie-good", "no-such-test"], 2), (["-w", "lie"], 2),
                          (["-w", "lie-good"], 0),
                          (["lie-skip"], 0), (["lie-good", "lie-false"], 1)):
        code, text = run(ctx, *names)
        need(code == wanted, f"{names}: exit code {code}, not {wanted}: {text[-200:]}")


@test("runner-order", 30)
def runner_order(ctx):
    """A file of tests that has no place in the order is not left out in silence."""
    code, text = run(ctx, "lie-good", order="()")
    need(code == 1 and "not in the ORDER" in text and "lies" in text,
         f"exit code {code}: {text[-200:]}")


WHOLE = "KTAP version 1\n1..2\nok 1 one\nok 2 two\n"
STREAMS = (
    ("whole", WHOLE, None),
    ("plan at the end", "ok 1 one\nok 2 two\n1..2\n", None),
    ("in a kernel's log", "[    1.0] 1..1\n[    1.1] ok 1 one\n", None),
    ("nested", "1..1\n    1..2\n    ok 1 a\n    ok 2 b\nok 1 suite\n", None),
    ("one is skipped", WHOLE.replace("ok 2 two", "ok 2 two # SKIP why"), None),
    ("nothing", "", "no test has run"),
    ("a plan and no more", "KTAP version 1\n1..2\n", "no test has run"),
    ("cut", WHOLE.replace("ok 2 two\n", ""), "1 results, 2 were planned"),
    ("cut before the plan", "ok 1 one\n", "no plan"),
    ("more than planned", WHOLE + "ok 3 three\n", "3 results, 2"),
    ("a failure", WHOLE.replace("ok 2", "not ok 2"), "failed: two"),
    ("a failure in a suite that passes",
     "1..1\n    1..1\n    not ok 1 a\nok 1 suite\n", "failed: a"),
    ("one that gave up", "1..2\nok 1 one\nBail out! no disk\nok 2 two\n",
     "Bail out! no disk"),
    ("all are skipped", "1..1\nok 1 one # SKIP why\n", "no test has run"),
    ("a plan of none", "1..0 # SKIP why\n", "no test has run"),
    ("a plan of none, in a suite", "1..1\n    1..0 # SKIP why\nok 1 suite\n",
     "a plan of none"),
)


@test("runner-ktap", 30)
def runner_ktap(_ctx):
    """The reader of KTAP: what is cut, lost, failed or empty is a problem."""
    for what, text, wanted in STREAMS:
        problem = Parsed(text).problem()
        need((problem is None) == (wanted is None) and
             (wanted or "") in (problem or ""),
             f"{what}: {problem}, not {wanted}")


LINT_LIES = (
    ("exec_bits", "tools/run-me", "#!/bin/sh\n# SPDX-License-Identifier: GPL-2.0\n",
     "tools/run-me: starts with #!"),
    ("spdx", "kernel/files/mm/nothing.c", "int a;\n", "kernel/files/mm/nothing.c"),
    ("circles", None, None, "no ctags"),
    ("python", None, None, "no pyflakes3"),
    ("dep3", None, None, "nothing-to-look-at"),
    ("no_such_check", None, None, "there is no such check"),
)


@test("runner-lint", 60)
def runner_lint(ctx):
    """make lint's checks in a tree with faults, and where the tools are missing."""
    tree = os.path.join(ctx.logs, "tree")
    shutil.rmtree(tree, ignore_errors=True)
    os.makedirs(os.path.join(tree, "tools"))
    shutil.copy2(os.path.join(config.top(), "tools/lint.sh"),
                 os.path.join(tree, "tools"))
    env = {"BUILD": os.path.join(tree, "build"), "PATH": os.path.join(tree, "bin")}
    os.makedirs(env["PATH"])
    # All that a check of ours needs itself, and none of the tools of others.
    for tool in ("sh", "find", "sed", "sort", "grep", "head", "tr", "wc", "dirname",
                 "mkdir", "echo", "cat", "awk"):
        os.symlink(shutil.which(tool), os.path.join(env["PATH"], tool))

    def lint(*checks):
        done = subprocess.run(["sh", "tools/lint.sh", *checks], cwd=tree, env=env,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=30, check=False)
        return done.returncode, done.stdout

    code, text = lint("exec_bits", "spdx")
    need(code == 0 and text.count("[OK]") == 2, f"nothing is wrong: {text}")
    for check, path, lie, complaint in LINT_LIES:
        if path:
            os.makedirs(os.path.dirname(os.path.join(tree, path)), exist_ok=True)
            with open(os.path.join(tree, path), "w", encoding="utf-8") as out:
                out.write(lie)
        code, text = lint(check)
        need(code == 1 and f"[FAIL] {check}" in text and complaint in text,
             f"{check}: exit code {code}: {text}")
