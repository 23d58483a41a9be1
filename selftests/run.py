#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Runs the tests and prints KTAP.

  run.sh [-l] [-j N] [-w] [NAME]...    all tests, or those with NAME in their name
    -l      list them
    -w      NAME is a whole name
    -j N    N tests at a time; default: one for each processor and 5 GiB of
            memory, at most 4

Each test is a process of its own with a time limit; when it ends, everything
that it has started has ended.  Logs: $BUILD/selftests/check/<test>/; verdict, reason
and seconds of each: $BUILD/selftests/check/results.json.

  TESTS_DIR=dir   a package "tests" in there instead of ours (runner-*)
"""

import argparse
import concurrent.futures
import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.environ.get("TESTS_DIR", HERE), os.path.join(HERE, "lib")]
sys.dont_write_bytecode = True
# pylint: disable=wrong-import-position
from cfphtest import accel, config, ktap                        # noqa: E402
from cfphtest.agent import AgentError                           # noqa: E402
from cfphtest.process import die_with_parent                    # noqa: E402
from cfphtest.registry import (TESTS, Context, Failure, Skip,   # noqa: E402
                               minutes)
from cfphtest.vm import VMError                                 # noqa: E402

SKIP_CODE = 4
GRACE = 20      # for a test to clean up after its time limit
SLOWEST = 10    # are listed
# A test has two guests as a rule, of 1 GiB at most, and files of them in memory.
MEMORY_EACH = 5 << 30
MOST_JOBS = 4


def load_tests():
    """All that there are: a file that nobody has put in order is an error."""
    import tests        # pylint: disable=import-outside-toplevel
    found = {m.name for m in pkgutil.iter_modules(tests.__path__)}
    order = [name for name in tests.ORDER if name in found]
    if found != set(order):
        raise config.ConfigError("not in the ORDER of tests/__init__.py: " +
                                 ", ".join(sorted(found - set(order))))
    for module in order:
        importlib.import_module(f"tests.{module}")


# --- inside the process of one test ---

def _too_late(_sig, _frame):
    raise TimeoutError("time limit")


def where(err):
    """The lines of the tests that the failure went through."""
    frames = traceback.extract_tb(err.__traceback__)
    return ", ".join(f"{os.path.relpath(f.filename, HERE)}:{f.lineno}"
                     for f in frames if "run.py" not in f.filename)


def run_one(name):
    """Returns an exit code; says on stdout what happened."""
    test = TESTS[name]
    signal.signal(signal.SIGALRM, _too_late)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.alarm(test.limit)
    with Context(name, accel.choose()) as ctx:
        try:
            test.function(ctx)
            return 0
        except Skip as err:
            print(f"SKIP {err}")
            return SKIP_CODE
        except TimeoutError:
            print(f"# not finished within {test.limit} s")
            traceback.print_exc(limit=-3, chain=False)
        except (VMError, AgentError, Failure, config.ConfigError) as err:
            print(f"# {type(err).__name__}: {err}")
            print(f"# at {where(err)}")
        except Exception as err:  # pylint: disable=broad-except
            print(f"# {type(err).__name__}: {err}")
            traceback.print_exc(limit=-4, chain=False)
        finally:
            signal.alarm(0)
    return 1


# --- the runner ---

RUNNING = set()         # processes of tests, for Ctrl-C


def stop_all():
    """Let every test that runs clean up and end."""
    running = list(RUNNING)
    for proc in running:
        proc.terminate()
    for proc in running:
        proc.wait(GRACE)


def spawn(name):
    """Run one test; (verdict, output, seconds)."""
    start = time.monotonic()
    cmd = [sys.executable, os.path.abspath(__file__), "--one", name]
    # pylint: disable=consider-using-with,subprocess-popen-preexec-fn
    proc = subprocess.Popen(cmd, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, errors="replace",
                            start_new_session=True,
                            preexec_fn=die_with_parent)
    RUNNING.add(proc)
    try:
        text, _ = proc.communicate(timeout=TESTS[name].limit + GRACE)
    except subprocess.TimeoutExpired:
        # Its QEMUs die with it.
        os.killpg(proc.pid, signal.SIGKILL)
        text, _ = proc.communicate()
        text += "# killed: did not end after its time limit\n"
    finally:
        RUNNING.discard(proc)
    verdict = {0: "ok", SKIP_CODE: "skip"}.get(proc.returncode, "not ok")
    return verdict, text, time.monotonic() - start


def tell(out, name, verdict, text, seconds):
    """Print what one test has said, and its result; which is returned."""
    reason = f"{seconds:.0f} s"
    for line in text.splitlines():
        if line.startswith("SKIP "):
            reason = line[5:]
        elif line.startswith("# "):
            out.diag(f"{name}: {line[2:]}")
        elif verdict == "not ok":
            out.diag(f"{name}: {line}")
    if verdict == "not ok":
        out.diag(f"{name}: logs in {config.out_dir('check', name)}")
    out.result(name, verdict, reason)
    return {"test": name, "verdict": verdict, "seconds": round(seconds, 1),
            "reason": reason if verdict == "skip" else ""}


def conclude(out, results):
    """Where the time went and what was left out; the rest is in a file."""
    if len(results) >= SLOWEST:
        slow = sorted(results, key=lambda r: -r["seconds"])[:SLOWEST]
        out.diag("slowest: " + ", ".join(f"{r['test']} {r['seconds']:.0f} s"
                                         for r in slow))
    for r in results:
        if r["verdict"] == "skip":
            out.diag(f"skipped: {r['test']}: {r['reason']}")
    path = os.path.join(config.out_dir("check"), "results.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)
        file.write("\n")


def run_all(names, jobs):
    out = ktap.Printer(len(names))
    results = []
    if len(names) >= SLOWEST:
        out.diag(f"{len(names)} tests, {jobs} at a time on "
                 f"{len(os.sched_getaffinity(0))} processors: about "
                 f"{minutes(len(names), jobs)} minutes")
    os.environ["ACCEL"] = accel.choose(out.diag)
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        futures = [(name, pool.submit(spawn, name)) for name in names]
        try:
            for name, future in futures:
                results.append(tell(out, name, *future.result()))
        except BaseException:       # Ctrl-C, or whoever reads us is gone
            pool.shutdown(wait=False, cancel_futures=True)
            stop_all()
            raise
    conclude(out, results)
    out.summary()
    return 0 if out.passed + out.skipped == len(names) else 1


def default_jobs():
    """How many tests this machine can run side by side."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(len(os.sched_getaffinity(0)), memory // MEMORY_EACH,
                      MOST_JOBS))


def main():
    parser = argparse.ArgumentParser(
        prog="run.sh", description="Runs the tests and prints KTAP.")
    parser.add_argument("-l", action="store_true", help="list the tests")
    parser.add_argument("-j", type=int, metavar="N",
                        default=int(os.environ.get("TEST_JOBS") or
                                    default_jobs()),
                        help="tests at a time")
    parser.add_argument("-w", action="store_true", help="names are whole names")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("name", nargs="*",
                        help="only tests whose name has this in it")
    args = parser.parse_args()
    load_tests()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if args.one:
        return run_one(args.one)

    def chosen(name, word):
        return word == name or not args.w and word in name
    names = [n for n in TESTS
             if not args.name or any(chosen(n, word) for word in args.name)]
    unknown = [word for word in args.name if not any(chosen(n, word) for n in TESTS)]
    if args.l:
        for name in names:
            print(f"{name:24} {TESTS[name].about}")
        return 0
    if unknown:
        parser.error(f"no test is {' or '.join(unknown)}; -l lists them")
    return run_all(names, max(args.j, 1))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except config.ConfigError as err:
        sys.exit(f"run.sh: {err}")
