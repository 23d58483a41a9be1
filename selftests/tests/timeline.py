# SPDX-License-Identifier: GPL-2.0
"""cfph-timeline as an operator has it: installed, and given what it cannot read.

The traces are the recorded ones that the guide's figure is drawn from; fresh ones come
with guest-trace and docs-walk-through.
"""

import os
import random
import re
import subprocess
from xml.etree import ElementTree

from cfphtest import config
from cfphtest.registry import need, test

GUEST, HOST = (os.path.join(config.top(), "Documentation/results", f"timeline-{side}.txt")
               for side in ("guest", "host"))
DAMAGES = 20


def make(target, root):
    subprocess.run(["make", "-s", "-C", os.path.join(config.top(), "tools/timeline"),
                    target, f"DESTDIR={root}", "PREFIX=/usr"], check=True)


def run(program, *words, **options):
    """With nothing of ours in the environment, and nowhere near the checkout."""
    return subprocess.run([program, *words], cwd="/", env={"PATH": "/usr/bin:/bin"},
                          capture_output=True, text=True, check=False, timeout=30,
                          **options)


def one_line(done, text):
    """Refused with one line that says who speaks and what is wrong."""
    lines = done.stderr.splitlines()
    need(done.returncode == 1 and len(lines) == 1 and
         lines[0].startswith("cfph-timeline: "),
         f"{text}: exit code {done.returncode}: {done.stderr}")
    return lines[0]


@test("timeline-installed", 60)
def timeline_installed(ctx):
    """make install: it runs alone, draws, has a man page, and goes again."""
    root = os.path.join(ctx.logs, "root")
    make("install", root)
    svg = os.path.join(ctx.logs, "drawing.svg")
    done = run(os.path.join(root, "usr/bin/cfph-timeline"), "--svg", svg, GUEST, HOST)
    need(not done.returncode and not done.stderr, done.stderr)
    need("-> START" in done.stdout and "got START" in done.stdout, "not both sides")
    drawn(svg, done.stdout)
    with open(os.path.join(root, "usr/share/man/man1/cfph-timeline.1"),
              encoding="utf-8") as page:
        need("--help" in run(os.path.join(root, "usr/bin/cfph-timeline"), "-h").stdout and
             "Fl -svg" in page.read(), "help and man page")
    files = sorted(os.path.join(d, f) for d, _, fs in os.walk(root) for f in fs)
    need(len(files) == 5 and not any("pycache" in f for f in files), f"{files}")
    make("uninstall", root)
    left = [f for _, _, files in os.walk(root) for f in files]
    need(not left, f"left behind: {left}")


def drawn(path, text):
    """The drawing has each pass of the guest, each round, and the decision."""
    svg = "{http://www.w3.org/2000/svg}"
    root = ElementTree.parse(path).getroot()
    lines = [line.get("stroke") for line in root.iter(f"{svg}line")]
    passes = len(re.findall(r" pass: \d+ chunks", text))
    # and one in the legend
    need(passes and lines.count("#1e8449") == passes + 1, f"{passes} passes: {lines}")
    rounds = re.findall(r"^ +(\d+) +\d+ +[\d.]+ MiB", text, re.M)
    need(rounds and lines.count("#888") == len(rounds), f"rounds {rounds}: {lines}")
    left_out = re.search(r"decision: ([\d.]+) MiB left out", text)[1]
    words = [node.text for node in root.iter(f"{svg}text")]
    need(f"{float(left_out):.0f} MiB left out" in words, f"{left_out}: {words}")


def damaged(lines, rng):
    """Cut, doubled, swapped, or empty."""
    lines = list(lines)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(lines))
        line = lines[at]
        lines[at] = rng.choice((line[:rng.randrange(len(line) + 1)], line + line, "",
                                lines[rng.randrange(len(lines))]))
    return "\n".join(lines)


def faults(text, rng):
    """Each field left out, no number, or much too large; then damage at random."""
    for field in sorted(set(re.findall(r" (\w+)=", text))):
        for value in ("", f" {field}=x", f" {field}={-1 << 70}"):
            yield re.sub(rf" {field}=\S+", value, text)
    for _ in range(DAMAGES):
        yield damaged(text.splitlines(), rng)


@test("timeline-bad-input", 180)
def timeline_bad_input(ctx):
    """What it cannot use is refused with one line, whatever is wrong with it."""
    tool = config.timeline()
    plain = os.path.join(ctx.logs, "no-times")
    with open(HOST, encoding="utf-8") as file, \
            open(plain, "w", encoding="utf-8") as out:
        out.write(re.sub(r"^\S+:", "", file.read(), flags=re.M))
    missing = os.path.join(ctx.logs, "missing")
    for words, what in (((missing, HOST), "No such file"), ((GUEST, missing), "No such"),
                        (("/", HOST), "directory"), ((GUEST, "/"), "directory"),
                        (("/bin/true", HOST), "trace of the guest"),
                        ((GUEST, "/dev/null"), "trace of the host"),
                        ((GUEST, plain), "-msg timestamp=on"),
                        ((HOST, GUEST), "trace of the"),
                        (("--id", "7", GUEST, HOST), "migration 7"),
                        (("--svg", f"{missing}/x", GUEST, HOST), "No such file")):
        said = one_line(run(tool, *words), words)
        need(what in said, f"{words}: {said}")
        ctx.say(said)
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([tool, GUEST, HOST], stdout=full, stderr=subprocess.PIPE,
                              text=True, check=False, timeout=30)
    need("No space" in one_line(done, "a full disk"), done.stderr)
    used, refused = damage(ctx, tool)
    ctx.say(f"traces with a fault: {used} were of use, {refused} were not")
    need(used and refused, "nothing tried")


def damage(ctx, tool):
    """How many traces with a fault were printed all the same, and refused."""
    rng, counts = random.Random(1), [0, 0]
    bad, svg = (os.path.join(ctx.logs, name) for name in ("damaged", "damaged.svg"))
    for side, path in enumerate((GUEST, HOST)):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        for fault in faults(text, rng):
            with open(bad, "w", encoding="utf-8") as out:
                out.write(fault)
            done = run(tool, "--svg", svg, *([GUEST, bad] if side else [bad, HOST]))
            if done.returncode or done.stderr:
                one_line(done, bad)
            counts[bool(done.returncode)] += 1
    return counts
