# SPDX-License-Identifier: GPL-2.0
"""What README and guides state in figures, against what is so: records of measurements,
estimates of our own, a real guest.

A figure with a unit that nobody here has checked, and that is not in SHOWN with the test
that shows it, is an error: docs-figures.
"""

import contextlib
import importlib.machinery
import importlib.util
import io
import json
import os
import re
import statistics

from cfphtest import config, guest
from cfphtest.bench import Rows, percent_above
from cfphtest.docpages import FAQ, GUIDE, HOST, README, Page, need_shape, read
from cfphtest.integrity import crawl_in_second_round
from cfphtest.registry import TESTS, minutes, need, test

RESULTS = "Documentation/results"
BENCHMARKS = "Documentation/dev/benchmarks.rst"
MIB = 1 << 20
WORDS = {2: "two", 5: "five", 10: "ten", 15: "fifteen", 20: "twenty", 25: "twenty-five",
         30: "thirty", 35: "thirty-five", 40: "forty", 45: "forty-five", 50: "fifty"}

# {page: {statement: the test that shows it}}
SHOWN = {
    GUIDE: {"as a rule 1 MiB per CPU and zone": "guest-lists"},
    HOST: {"pages are not 4 KiB": "docs-reasons"},
    FAQ: {"Pages of the target have to be 4 KiB": "docs-reasons"},
}


# Of the guest's memory: docs-samples asks a guest.
MEMORY = {
    README: "keep the bitmap (32 KiB per GiB of RAM)",
    GUIDE: "32 KiB per GiB of RAM, 40 KiB per 64 GiB of addresses that have RAM and 8 KiB, "
           "and for the message buffers, a fixed amount below 1 MiB",
    HOST: "32 KiB for each GiB, and what",
}


def all_pages():
    return {path: Page(path) for path in (README, GUIDE, HOST, FAQ)}


# --- records ---

def record(name):
    return json.loads(read(f"{RESULTS}/{name}.json"))


def median(rows, variant, key, factor=1.0):
    return statistics.median(rows.values(variant, key, factor))


def both(rows, key, factor, unit):
    """With hints, and without."""
    with_hints, without = (f"{median(rows, v, key, factor):.0f}" for v in ("cfph", "none"))
    return f"{with_hints} {unit} instead of {without}"


def state_migrations(pages):
    """bench-seed and bench-save; in all of them memhog has used 90 % once."""
    for name, words in (("bench-seed", "memhog --percent 90"), ("bench-save", ", 90, STAMP")):
        need(words in read(f"selftests/perf/{name}"), f"{name}: no {words}")
    seed, save = record("bench-seed"), record("bench-save")
    idle, after = (Rows(seed["results"], case=case) for case in ("idle", "after"))
    host = pages[HOST]
    host.states(f"{both(after, 'destination-rss-kib', 1 / 1024, 'MiB')} for a guest of "
                f"{after.rows[0]['mem-bytes'] >> 30} GiB that had used 90 % of its memory "
                f"once (``{seed['command']}``)")
    host.states(f"{both(idle, 'total-ms', 1, 'ms')}, but "
                f"{both(idle, 'transferred-kib', 1 / 1024, 'MiB')} (``make bench-seed``")
    file = Rows(save["results"], case="file")
    host.states(f"A guest of {save['mem-bytes'] // MIB} MiB that had used 90 % of its "
                f"memory once was saved in {both(file, 'size-bytes', 1 / MIB, 'MiB')} "
                f"(``{save['command']}``)")


def state_churn(page):
    churn = record("bench-churn")
    cases = [Rows(churn["results"], case=f"alloc-{mib}") for mib in (128, 256)]
    runs = [r for rows in cases for r in rows.of("reporting")]
    need(all(not r["completed"] for r in runs) and len(runs) == 2, f"reporting: {runs}")
    ours = [r for rows in cases for r in rows.of("cfph")]
    done = sum(r["completed"] for r in ours)
    first, second = (f"{median(rows, 'cfph', 'total-ms') / 1000:.1f}" for rows in cases)
    page.states(
        "With 128 and 256 MiB that are allocated, written and freed in a loop, over "
        f"{runs[0]['bytes-per-s'] // 1_000_000} MB/s, neither migration with it was "
        f"through after {runs[0]['limit-s']} seconds (one try each); with cfph {done} of "
        f"{len(ours)} were, after {first} and {second} seconds (``{churn['command']}``)")


def state_hooks(page):
    """Page faults, with and without per-cpu lists, against hooks that are off."""
    loads = [record("bench-hooks")["instructions"][name]
             for name in ("fault", "fault-short")]

    def above(state):
        return [f"+{percent_above(load[state]['values'], load['off']['values']):.1f} %"
                for load in loads]
    page.states("page faults in the guest, no migration - {} instructions; {} with "
                "short".format(*above("on")))
    page.states("the same in the first round - {}; {} ".format(*above("session")))
    page.states("the per-cpu lists are kept short - {}; {} ".format(*above("later")))


def scale_rows(gib):
    """Columns of the table of bench-scale, this tree's lines."""
    table = read(BENCHMARKS).split("GiB  guest          begin", 1)[1].split("\n\n", 1)[0]
    size, rows = 0, []
    for line in table.splitlines():
        words = line.split()
        if words and words[0].isdigit():
            size = int(words[0])
        if "now" in words and size == gib:
            rows.append([float(w) for w in words[words.index("now") + 1:-1]])
    need(len(rows) > 2, f"{BENCHMARKS}: {gib} GiB: {rows}")
    return list(zip(*rows))         # begin, sync, look, decide, final, merge, memory


def least_most(column, digits):
    return f"{min(column):.{digits}f} to {max(column):.{digits}f}"


def state_scale(page):
    small, large = scale_rows(64), scale_rows(1024)
    page.states(f"{least_most(small[6], 0)} MiB for a guest of 64 GiB, "
                f"{least_most(large[6], 0)} MiB for 1 TiB - ``make bench-scale``")
    page.states(f"64 GiB, idle to all dirty - {least_most(small[1], 2)} ms, beside "
                f"{least_most(small[5], 1)} ms of QEMU's own")
    page.states(f"with the guest stopped, 64 GiB - {least_most(small[3], 1)} ms")


def state_balloon(page):
    """bench-balloon's guest, and what it has sent: its table has medians first."""
    text = read("selftests/perf/bench-balloon")
    gib = int(re.search(r'asked\("MEM", "(\d+)G"\)', text)[1])
    need("* 3 >> 22} of them in the balloon" in text, "bench-balloon: not three quarters")
    rows = re.findall(r"^    1.25 GB/s  cfph +(empty|inflated) (.*)$", read(BENCHMARKS), re.M)
    sent = {balloon: int(re.findall(r"(\d+) \(", line)[2]) for balloon, line in rows}
    need(abs(sent["inflated"] - sent["empty"]) < 0.05 * sent["empty"], f"sent: {sent}")
    page.states(f"a guest of {gib} GiB with {gib * 3 // 4} GiB in the balloon sends what it sends "
                f"without (``make bench-balloon RUNS=5``)")


def state_drawing(page):
    """The traces that the guide's figure is drawn from."""
    test_text = read("selftests/tests/guest.py").split('@test("guest-trace"')[1]
    mem, churn = (re.search(words, test_text)[1]
                  for words in (r'mem="(\d+)M"', r"churn start --mib (\d+)"))
    page.states(f"of a guest of {mem} MiB that allocates and frees {churn} MiB")
    walks = re.findall(r"ram_cfph_walk .*deferred_pages=(\d+) dirty_pages=(\d+)",
                       read(f"{RESULTS}/timeline-host.txt"))
    deferred = statistics.median(int(d) / 256 for d, _ in walks)
    page.states(f"stays near {deferred:.0f} MiB, what is left to send falls from "
                f"{int(walks[0][1]) / 256:.0f} MiB to nothing in the first round")
    scan = re.search(r"cfph_scan: +pages=(\d+) .*ns=(\d+)",
                     read(f"{RESULTS}/timeline-guest.txt"))
    if scan:
        need(1e6 <= int(scan[2]) / int(scan[1]) * (1 << 18) < 1e8, f"{scan[0]}")
        page.states("which takes milliseconds per GiB")


# --- arithmetic, and constants of others ---

def state_constants(pages):
    linux = config.linux_src()
    with open(os.path.join(linux, "include/linux/mmzone.h"), encoding="utf-8") as file:
        order = int(re.search(r"#define MAX_PAGE_ORDER (\d+)", file.read())[1])
    pages[README].states(f"in blocks of {(4 << order) >> 10} MiB")
    # Bits of a word of the map, pages of 4 KiB.
    pages[GUIDE].states(f"a zone border inside a {64 * 4} KiB area")


# --- times ---

def in_words(number):
    """To the next five minutes, and less than five as they are."""
    number = max(number, 1)
    return WORDS[number if number < 5 else 5 * max(1, (number + 2) // 5)]


def state_times(page):
    """Estimates that make and the runner print, for two processors."""
    makefile = read("Makefile")
    build = {verb: int(count) for verb, count in re.findall(
        r"\$\(call expect,(\w+),(\d+),", makefile)}
    demo = re.search(r"a guest is migrated for about (\w+) minutes", makefile)[1]
    page.states(
        f"The first run builds both, about {in_words(build['demo'] // 2)} minutes on two "
        f"processors for the demo and {in_words(build['check'] // 2)} for the tests, and "
        f"says so; after that the demo takes about {demo} minutes, and all of the tests, "
        f"two at a time, about {in_words(minutes(len(TESTS), 2))}.")


def state_downloads(page, ctx):
    says = [int(n) for n in re.findall(r"(\d+) MB\"", read("tools/build/fetch.sh"))]
    verb = int(re.search(r"mixed-\* \((\d+) MB\)", read("selftests/selftests.mk"))[1])
    need(sum(says) == verb, f"fetch.sh says {says}, make help {verb}")
    page.states(f"fetches Debian's binaries of both, {verb} MB,")
    try:
        with open(config.stock("bytes"), encoding="ascii") as file:
            real = int(file.read()) / 1e6
    except config.ConfigError as err:
        ctx.say(f"sizes of what is fetched are not compared: {err}")
        return
    need(abs(real - verb) < 0.1 * verb, f"{verb} MB are {real:.1f}")


# --- the demo ---

def demo():
    """selftests/demo, as a module."""
    loader = importlib.machinery.SourceFileLoader(
        "demo", os.path.join(config.top(), "selftests/demo"))
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader("demo", loader))
    loader.exec_module(module)
    return module


def cells(line):
    """Figures of the demo's table have single blanks in them."""
    return re.split(r"\s{2,}", line.strip())


def value(text):
    return None if text == "-" else int(text.replace(" ", ""))


def results(lines):
    """What the demo must have measured to print those lines."""
    keys = ("total-ms", "downtime-ms", "transferred-kib", "pages-skipped", "rounds",
            "destination-rss-kib")
    for line in lines:
        case, hints, total, *others = cells(line)
        row = {"case": case, "hints": hints, "completed": not total.startswith(">")}
        row.update(zip(keys, [value(total) if row["completed"] else 0,
                              *map(value, others[:-2])]))
        yield row


def captured(function, *args):
    """The lines that it prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        function(*args)
    return out.getvalue().splitlines()


def state_demo(page):
    """The table is what the demo prints of these figures, its ratios included."""
    module = demo()
    block = re.search(r"^    \$ make demo MEM=(\d+)G.*\n((?:    .*\n)+)", read(README), re.M)
    lines = [line[4:] for line in block[2].splitlines()]
    printed = captured(module.table, list(results(lines[1:])))
    need(printed == lines, "the demo would print:\n" + "\n".join(printed))
    code, churn = read("selftests/demo"), read("selftests/guest/churn.c")
    need("memhog --percent 90" in code and "churn start'" not in code, "after: 90 %")
    mib = int(re.search(r'"churn", \.pages = (\d+) \* 256', churn)[1])
    page.states("filled 90 % of RAM and exited")
    page.states(f"allocates, writes and frees {mib} MiB in a loop and is migrated over a "
                f"{module.MBPS100 // 1_000_000} MB/s link")
    page.states(f"{block[1]} GiB is the size of the 2016 proposal")
    default = re.search(r'"MEM"\) or "(\d+)G"', code)[1]
    page.states(f"without `MEM=` the guest has {default} GiB")


@test("docs-figures", 60)
def docs_figures(ctx):
    """Each figure with a unit in README and guides: measured, computed, or shown."""
    pages = all_pages()
    state_migrations(pages)
    state_churn(pages[FAQ])
    state_balloon(pages[FAQ])
    state_hooks(pages[HOST])
    state_scale(pages[HOST])
    state_drawing(pages[GUIDE])
    state_constants(pages)
    state_times(pages[README])
    state_downloads(pages[README], ctx)
    state_demo(pages[README])
    for path, statement in MEMORY.items():
        pages[path].states(statement)
    pages[HOST].states("The migration thread spends 1 % of its time")
    for path, shown in SHOWN.items():
        for statement, name in shown.items():
            need(name in TESTS, f"{path}: {statement}: there is no test {name}")
            pages[path].states(statement)
    left = {path: page.unchecked() for path, page in pages.items()}
    need(not any(left.values()), "nobody checks: " + "; ".join(
        f"{path}: {' | '.join(found)}" for path, found in left.items() if found))


# --- samples ---

def memory_taken(ctx, vm):
    """As much as MEMORY says, for a guest with less than 64 GiB."""
    show = guest.fpctl(vm)
    leaves = -(-vm.spec.mem // (128 * MIB))
    need(show["map-bytes"] == (leaves * 4 + 40 + 8) * 1024 and
         show["buffer-bytes"] < MIB, f"{leaves} leaves: {show}")
    ctx.say(f"{vm.spec.mem // MIB} MiB: map {show['map-bytes']}, "
            f"buffers {show['buffer-bytes']}")


def tunables(vm):
    """Values and defaults that the guide gives, and what fpctl says."""
    real = {words[0]: words[1:] for words in map(str.split, vm.sh("fpctl").splitlines())}
    section = read(GUIDE).split("Tunables, all with", 1)[1]
    heads = re.findall(r"^``([a-z-]+) (\S+)``\n    (.+(?:\n    .+)*)", section, re.M)
    need(len(heads) >= 5, f"{GUIDE}: {heads}")
    for key, values, text in heads:
        need(key in real, f"{GUIDE} has {key}, fpctl has {sorted(real)}")
        if values == "LIST":
            continue
        said = set(re.findall(r"[a-z0-9.]+", " ".join(real[key][1:]))) - {"ms"}
        need(said >= set(values.split("|")), f"{key}: {values} and {real[key]}")
        default = re.search(r"(\S+) by default|By default \(``(\w+)``\)", text)
        if default and default[1] != "nothing":
            need((default[1] or default[2]) == real[key][0], f"{key}: {default[0]}")


def monitored(vm, command):
    """What it prints of a migration with two rounds."""
    vm.sh(f"({command} >/tmp/monitored 2>&1 &); "
          f"{guest.until('[ -s /tmp/monitored ]')}", 60)
    migration = crawl_in_second_round(vm, 100 * MIB)
    vm.sh(guest.until("grep -q round /tmp/monitored"), 60)
    migration.cancel()
    return vm.sh("cat /tmp/monitored; kill $(pidof fpctl)")


@test("docs-samples", 240)
def docs_samples(ctx):
    """What the pages show of fpctl's output looks like what it prints."""
    vm = ctx.vm(ctx.spec(mem="384M", disk=ctx.disk()), "guest").boot()
    guest.settled(vm)
    guest.cache_disk(vm)
    memory_taken(ctx, vm)
    tunables(vm)
    found = [(path, *sample) for path in (README, GUIDE) for sample in Page(path).samples()]
    need(len(found) >= 5, f"{found}")
    for path, command, sample in found:
        real = monitored(vm, command) if "monitor" in command else vm.sh(command)
        need_shape(f"{path}: {command}", sample, real)
        ctx.say(f"{path}: {command}: {len(sample)} lines")
    guest.check_console(vm)
