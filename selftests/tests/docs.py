# SPDX-License-Identifier: GPL-2.0
"""The commands that the documentation gives, run as they stand there; what it says of
reasons, and of the tests that show it.
"""

import base64
import glob
import json
import os
import re
import shutil
import subprocess

import yaml

from cfphtest import config, guest
from cfphtest.docpages import GUIDE, GUIDES, HOST, read, section
from cfphtest.integrity import SLOW
from cfphtest.migrate import UNLIMITED, Migration
from cfphtest.registry import TESTS, need, test

SPEC = "Documentation/virtio/balloon-cfph.tex"
HEADER = "uapi/linux/virtio_balloon_cfph.h"
CASES = {"qtest": "qemu/files/tests/qtest/*.c", "kunit": "kernel/files/mm/cfph/tests/*.c"}

STEP = re.compile(r"^    (guest#|\(qemu\)|host\$) (.*)$", re.M)
SILENT = re.compile(r"trace-event |trace-cmd (start|stop|extract) ?")
TARGET = "tcp:destination:4444"


def steps():
    found = STEP.findall(section(GUIDE, "A walk-through"))
    need(len(found) > 15, f"{GUIDE}: only {len(found)} commands found")
    return found


class Reader:
    """Somebody who follows the guide."""

    def __init__(self, ctx):
        self._ctx = ctx
        self._src, self._dst = ctx.pair(ctx.spec(mem="256M"), paused=False)
        self._here = self._src
        self._src.sh("churn start --mib 32")
        self._migration = Migration(self._src, self._dst, bandwidth=SLOW,
                                    downtime_ms=1)

    def follow(self, prompt, command):
        answer = {"guest#": self._guest, "(qemu)": self._qemu,
                  "host$": self._host}[prompt](command)
        background = command.endswith("&") or ">" in command
        silent = SILENT.match(command) or TARGET in command
        need(background or silent or answer.strip(), f"{command}: no output")
        return answer

    def _guest(self, command):
        if not command.endswith("&"):
            return self._here.sh(command, 60)
        # Not even stderr may stay the agent's.
        self._here.sh(f"({command[:-1]}) >/dev/null 2>&1 &")
        output = re.search(r">(\S+)", command)
        if output:      # it has begun when it has said something
            self._here.sh(guest.until(f"[ -s {output[1]} ]", 600), 60)
        return ""

    def _qemu(self, command):
        if TARGET in command:
            self._migration.start()     # that command, to a real destination
            self._migration.wait_pass(2)
            return ""
        answer = self._src.hmp(command)
        need("Error" not in answer and "unknown" not in answer,
             f"{command}: {answer}")
        if command == "info migrate":
            self._arrive()
        return answer

    def _arrive(self):
        self._migration.set(max_bandwidth=UNLIMITED, downtime_limit=5000)
        self._migration.finish()
        self._dst.wait_event(lambda e: e["event"] == "RESUME", 30)
        info = self._src.hmp("info migrate")
        need("free pages skipped" in info, f"info migrate: {info}")
        self._here = self._dst

    def _host(self, command):
        logs = self._ctx.logs
        with open(os.path.join(logs, "trace.dat"), "wb") as file:
            file.write(base64.b64decode(
                self._dst.sh("base64 /tmp/trace.dat", 120)))
        shutil.copy(self._src.trace, os.path.join(logs, "qemu.log"))
        # As if it were installed.
        path = f"{os.path.dirname(config.timeline())}:{os.environ['PATH']}"
        done = subprocess.run(["/bin/sh", "-c", command], cwd=logs, check=False,
                              capture_output=True, text=True,
                              env={**os.environ, "PATH": path})
        need(not done.returncode, f"{command}: {done.stderr}")
        return done.stdout

    def check(self):
        events = self._dst.sh("cat /tmp/events")
        for word in ("start", "round", "stop"):
            need(word in events, f"no {word} in the events: {events}")
        hist = self._dst.sh(
            "cat /sys/kernel/tracing/events/cfph/cfph_pass/hist")
        need(re.search(r"round:\s+\d+ ", hist), f"empty histogram: {hist}")
        guest.check_console(self._src, self._dst)


@test("docs-walk-through", 240)
def docs_walk_through(ctx):
    """The administrator's guide, command by command, through a migration."""
    reader = Reader(ctx)
    for prompt, command in steps():
        answer = reader.follow(prompt, command)
        ctx.say(f"{prompt} {command}: {len(answer.splitlines())} lines")
    reader.check()


# --- the operator's page ---

def ask(options, commands):
    """A QEMU for users, started like that; its answers to those commands (HMP)."""
    asked = [{"execute": "qmp_capabilities"}]
    asked += [{"execute": "human-monitor-command",
               "arguments": {"command-line": command}} for command in commands]
    asked += [{"execute": "quit"}]
    done = subprocess.run(
        [config.qemu_product(), *config.qemu_command()[1:], "-machine", "pc",
         "-m", "64M", "-accel", "tcg", "-S", "-display", "none", "-qmp", "stdio",
         *options], input="\n".join(map(json.dumps, asked)), timeout=60,
        capture_output=True, text=True, check=False)
    need(not done.returncode and not done.stderr, f"{options}: {done.stderr}")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    answers = [a["return"] for a in answers if isinstance(a.get("return"), str)]
    need(len(answers) == len(commands), f"{options}: {done.stdout}")
    return dict(zip(commands, answers))


@test("docs-host", 240)
def docs_host(ctx):
    """The operator's page: each way to start QEMU, and all that it asks QEMU."""
    text = read(HOST)
    ways = [line.split() for line in re.findall(r"^    (-.*)$", text, re.M)]
    commands = [c for prompt, c in STEP.findall(text) if prompt == "(qemu)"]
    need(len(ways) > 2 and len(commands) > 5, f"{HOST}: {ways} {commands}")
    first, *others = ways
    for way in (first, *([*first, *other] for other in others)):
        answers = ask(way, commands)
        for command, answer in answers.items():
            need("Error" not in answer and "unknown" not in answer,
                 f"{way}: {command}: {answer}")
        # There is a driver only where there is a guest.
        status = answers[commands[0]]
        need('"reason": "no-driver"' in status, f"{way}: {status}")
        ctx.say(f"{' '.join(way)}: {len(answers)} answers")
    # What sets it for each balloon does so without the property of one, too.
    plain = ["-device", first[1].replace(",continuous-free-page-hint=on", "")]
    need(plain != first, f"{first}: does not switch it on")
    for options, want in ((plain, "no-device"),
                          ([*plain, *others[0]], "no-driver")):
        status = ask(options, commands[:1])[commands[0]]
        need(f'"reason": "{want}"' in status, f"{options}: {status}")
    look = "qom-get /machine/peripheral/balloon0 cfph-look-percent"
    percent = int(ask(first, [look])[look])
    need(f"``cfph-look-percent=N`` (0 to 100, {percent} by default)" in text, f"{percent}")
    params = ask([*first, *others[-1]], ["info migrate_parameters"])
    need("x-free-page-hints: off" in str(params), f"{others[-1]}: {params}")


# --- reasons, and what shows what is said ---

def same(what, guide, ours):
    need(len(guide) == len(set(guide)) and set(guide) == set(ours),
         f"{what}: the guide has {sorted(guide)}, we have {sorted(ours)}")


@test("docs-reasons", 30)
def docs_reasons(ctx):
    """The guides have each reason that guest and QEMU can give, and no other."""
    qapi = read("qemu/files/qapi/free-page-hints.json")
    enum = re.search(r"'enum': 'FreePageHintsReason',(.*?)\]", qapi, re.S)[1]
    ours = re.findall(r"'([a-z-]+)'", enum.split("[")[1])
    same("QEMU", re.findall(r"^   \* - ``([a-z-]+)``$", section(
        HOST, "Why did this migration not use hints?"), re.M), ours)
    spec = yaml.safe_load(read("Documentation/netlink/specs/cfph.yaml"))
    entries, = (d["entries"] for d in spec["definitions"]
                if d["name"] == "reason")
    table = section(GUIDE, "In the guest").split("reason             what")[1]
    rows = re.findall(r"^([a-z-]+) +\S", table.split("\n\n")[0], re.M)
    same("guest", rows, [e["name"] for e in entries if e["name"] != "none"])
    ctx.say(f"QEMU: {len(ours)}, guest: {len(rows)}")


def qtests():
    """Names of the scenarios of our qtests."""
    found = set()
    for path in glob.glob(os.path.join(config.top(),
                                       "qemu/files/tests/qtest/virtio-*.c")):
        found.update(re.findall(r'^ +\{ "([^"]+)", test_', read(path), re.M))
    return found


def shows(name, scenarios):
    """Is there such a test, or file?"""
    kind, _, rest = name.rpartition(" ")
    if kind == "qtest":
        return rest.removeprefix("ways/") in scenarios
    if kind == "file":
        return os.path.exists(os.path.join(config.top(), rest))
    return name in TESTS


@test("docs-shown", 30)
def docs_shown(ctx):
    """Whatever the guides name as what shows a statement is there."""
    scenarios = qtests()
    for path in sorted(glob.glob(os.path.join(config.top(), GUIDES, "*.rst"))):
        name = os.path.basename(path)
        found = re.findall(r"^\.\. shown by: (.*(?:\n   \S.*)*)", read(path), re.M)
        names = re.split(r",\s+", ", ".join(found))
        missing = [n for n in names if not shows(" ".join(n.split()), scenarios)]
        need(found and not missing, f"{name}: there is no {missing}")
        ctx.say(f"{name}: {len(names)} in {len(found)} places")


def c_definitions(text):
    """{name: words} of structures and constants, as the specification writes types."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S).replace("__le", "le")
    found = {name: body.split() for name, body in
             re.findall(r"^struct (\w+) \{(.*?)^\};", text, re.M | re.S)}
    found.update((name, value.split()) for name, value in
                 re.findall(r"^#define (\w+)[ \t]+(\S.*)$", text, re.M))
    return found


def need_shown(clause, comment):
    """The tests that are named in front of a clause exist, and their cases."""
    how = re.search(r"^% (shown by|not shown): (.+)$", comment, re.M)
    need(how, f"{SPEC}: nothing shows: {clause}")
    for name, _, case in (word.partition(":") for word in how[2].split()
                          if how[1] == "shown by"):
        need(name in TESTS, f"{SPEC}: {clause}: no test {name}")
        if case:
            files = glob.glob(os.path.join(config.top(), CASES[name.split("-")[0]]))
            need(any(re.search(rf"\b{case}\b", read(path)) for path in files),
                 f"{SPEC}: {clause}: no case {case}")
    return how[1]


@test("docs-spec")
def docs_spec(ctx):
    """The section for the virtio specification: its structures and constants are the
    header's, each clause is shown by a test, and what is opened is closed."""
    text = read(SPEC)
    ours, theirs = (c_definitions("\n".join(
        re.findall(r"^\\begin\{lstlisting\}\n(.*?)^\\end", text, re.M | re.S))),
        c_definitions(read(HEADER)))
    for name, words in ours.items():
        need(words == theirs.get(name), f"{name}: {words}, {HEADER}: {theirs.get(name)}")
    missing = {name for name in theirs if name.startswith("virtio_")} - set(ours)
    need(not missing, f"{SPEC} has no {missing}")
    normative = text[text.index("\\drivernormative"):text.index("% --- Conformance")]
    shown = [need_shown(" ".join(re.sub("^%.*$", "", part, flags=re.M).split())[:60], part)
             for part in normative.split("\n\n") if re.search(r"\b(MUST|SHOULD)\b", part)]
    need(len(shown) > 15 and shown.count("not shown") < 2, f"clauses: {shown}")
    for opened, closed in (("{", "}"), ("\\begin{", "\\end{")):
        need(text.count(opened) == text.count(closed), f"{opened}: not all are closed")
    labels = set(re.findall(r"\\(driver|device)normative\{\\paragraph\}\{[^}]*\}\{([^}]*)\}",
                            text))
    refs = set(re.findall(r"\\ref\{(driver|device)normative:([^}]*)\}", text))
    need(labels == refs and len(refs) == 2, f"{labels} are not {refs}")
    ctx.say(f"{len(ours)} definitions, {len(shown)} clauses")
