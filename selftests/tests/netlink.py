# SPDX-License-Identifier: GPL-2.0
"""The netlink family, asked by clients that are not ours."""

import json
import os
import random
import re

from cfphtest import clients, guest
from cfphtest.clients import good, steps
from cfphtest.guest import DRIVER
from cfphtest.integrity import (UNLIMITED, SLOW, compare, need_hints, resume,
                                several_rounds)
from cfphtest.migrate import Migration
from cfphtest.registry import need, test

MEM = "768M"            # Python's files are some 50 MiB
LEAF_PAGES = 32768
ORDERS = 11
NEWUSER, NEWNET = 0x10000000, 0x40000000

DEFAULTS = {"enable": 1, "interval-ms": 100, "drain": "start", "cpus": "0-1",
            "keep": "always", "reclaim": 0}


def boot(ctx, **fields):
    vm = ctx.vm(ctx.spec(mem=MEM, **fields), "guest",
                initrd=clients.initrd(ctx))
    vm.boot()
    return vm


def ready(vm):
    guest.settled(vm)
    return vm


def ynl(vm, words, limit=120):
    """The kernel's own client, with its check of the spec; decoded."""
    return json.loads(vm.sh(f"{clients.CLI} --output-json {words}", limit))


# --- clients ---

@test("netlink-ynl", 400)
def netlink_ynl(ctx):
    """The kernel's ynl CLI with our spec: every operation, and a slow reader."""
    vm = ready(boot(ctx))
    show = ynl(vm, "--do get")
    ctx.say(f"get: {show}")
    got = {key: show[key] for key in DEFAULTS}
    need(got == DEFAULTS, f"defaults: {got}")
    need((show["state"], show["reason"]) == ("ready", "none"), str(show))
    need(len(show) == 14, f"{len(show)} attributes, the spec has 14")
    need(ynl(vm, "--do defaults-get") == DEFAULTS, "defaults-get differs")
    need(len(ynl(vm, "--do stats-get")) == 20, "not 20 counters")

    need(ynl(vm, "--do set --json '{\"interval-ms\": 50, \"cpus\": \"1\", "
             "\"drain\": \"round\"}'") is None, "set has an answer")
    show = ynl(vm, "--do get")
    need((show["interval-ms"], show["cpus"], show["drain"]) ==
         (50, "1", "round"), f"after set: {show}")
    need(ynl(vm, "--do defaults-get") == DEFAULTS, "set has changed defaults")

    zones = ynl(vm, "--dump zone-get")
    leaves = ynl(vm, "--dump map-get")
    raw = ynl(vm, "--dump map-raw-get")
    need([z["name"] for z in zones] == ["DMA32"], str(zones))
    need(len(leaves) == len(raw) == vm.spec.mem >> 27,
         f"{len(leaves)} and {len(raw)} leaves")
    need(all(len(leaf["bitmap"]) == 8192 for leaf in raw), "not 4096 bytes")
    need("bitmap" not in leaves[0], "map-get has the bits, too")

    told = ynl(vm, "--dump reclaim --json '{\"percent\": 100}'")
    need(told[-1]["end"] == "done" and told[-1]["percent"] == 100 and
         all(step["end"] == "none" for step in told[:-1]), str(told))

    # Several messages of 4000 bytes, each where the one before stopped.
    code, text = vm.run(f"{clients.CLI} --output-json --dump map-get "
                        "--dbg-small-recv 4000 2>/tmp/err", 120)
    need(code == 0, text)
    slow = json.loads(text)
    need([leaf["start-pfn"] for leaf in slow] ==
         [leaf["start-pfn"] for leaf in leaves], "a leaf is lost or told twice")

    # It sleeps before it looks; the kernel tells when it has subscribed.
    vm.sh(f"{clients.CLI} --output-json --subscribe monitor --sleep 8 "
          ">/tmp/events & " + guest.until(
              "awk '$2 == 16 && $4 != \"00000000\" { found = 1 } "
              "END { exit !found }' /proc/net/netlink", 1200), 120)
    vm.sh("fpctl stop")
    text = vm.sh("for i in $(seq 1 1200); do [ -s /tmp/events ] && break; "
                 "usleep 50000; done; cat /tmp/events", 120)
    events = json.loads(text)
    ctx.say(f"monitor: {events}")
    need(events and events[0]["name"] == "event-ntf", "no event")
    event = events[0]["msg"]
    need((event["event"], event["state"], event["reason"]) ==
         ("state", "off", "admin"), str(event))
    guest.check_console(vm)


@test("netlink-listers", 180)
def netlink_listers(ctx):
    """genl-ctrl-list of libnl, genl of iproute2: the family and its group."""
    vm = boot(ctx)
    text = vm.sh("genl-ctrl-list -d")
    part = text[text.index("cfph"):]
    ctx.say(" ".join(part.split())[:200])
    for text in (part, vm.sh("genl ctrl get name cfph")):
        need("monitor" in text, f"no group monitor: {text}")
        need("cfph" in text, f"no family: {text}")
    need(re.search(r"Name: cfph\b", vm.sh("genl ctrl list")), "not listed")
    guest.check_console(vm)


# --- dumps ---

def naive(bits):
    """(free pages, longest run, blocks by order) of a leaf, page by page."""
    blocks, longest, at = [0] * ORDERS, 0, 0
    for run in re.finditer("1+", bits):
        at, end = run.span()
        longest = max(longest, end - at)
        while at < end:
            order = ORDERS - 1
            while at % (1 << order) or at + (1 << order) > end:
                order -= 1
            blocks[order] += 1
            at += 1 << order
    return bits.count("1"), longest, blocks


def to_bits(text):
    number = int.from_bytes(bytes.fromhex(text), "little")
    return format(number, f"0{LEAF_PAGES}b")[::-1]


def u64s(text):
    data = bytes.fromhex(text)
    return [int.from_bytes(data[i:i + 8], "little")
            for i in range(0, len(data), 8)]


@test("netlink-dumps", 400)
def netlink_dumps(ctx):
    """The dumps agree: with the bits, with each other, with /proc."""
    vm = ready(boot(ctx, smp=2))
    for leaf in good(vm, ["dump", "map-raw-get"])[0]:
        free, longest, blocks = naive(to_bits(leaf["bitmap"]))
        told = (leaf["free-pages"], leaf["largest-run-pages"],
                u64s(leaf["free-blocks"]))
        need(told == (free, longest, blocks),
             f"leaf {leaf['start-pfn']:#x}: {told}, its bits say "
             f"{(free, longest, blocks)}")
        need(free <= leaf["present-pages"] <= LEAF_PAGES, str(leaf))

    # Somebody may allocate between two dumps, this client for one.
    for _ in range(10):
        before, leaves, after, show = good(
            vm, ["dump", "zone-get"], ["dump", "map-get"],
            ["dump", "zone-get"], ["do", "get"])
        buddy = [sum(z["buddy-pages"] for z in d) for d in (before, after)]
        free = sum(leaf["free-pages"] for leaf in leaves)
        ctx.say(f"buddy lists {buddy}, map {free}, get {show['free-pages']}")
        if min(buddy) - 64 <= free <= max(buddy) + 64:
            break
    else:
        need(False, "the map's pages and the zones' do not agree")
    present = sum(leaf["present-pages"] for leaf in leaves)
    need(abs(present - show["tracked-pages"]) < 512,
         f"{present} pages present, {show['tracked-pages']} tracked")
    need(sum(z["pcp-pages"] for z in before) > 0, "empty per-cpu lists")

    text = vm.sh("cat /proc/zoneinfo")
    for zone in before:
        part = text[text.index(f"zone {zone['name']:>8}"):]
        for name, key in (("min ", "min-watermark-pages"),
                          ("managed ", "managed-pages"),
                          ("spanned ", "spanned-pages"),
                          ("start_pfn: ", "start-pfn")):
            told = int(re.search(name + r"\s*(\d+)", part)[1])
            need(told == zone[key], f"{zone['name']} {key}: {zone[key]}, "
                 f"/proc/zoneinfo has {told}")

    off, refused = steps(vm, ["do", "set", {"enable": 0}],
                         ["dump", "map-get"])
    need("ok" in off, str(off))
    ctx.say(f"off: {refused}")
    need(refused.get("error") == "No data available" and
         "the map is not ready" in refused["extack"]["msg"], str(refused))
    guest.check_console(vm)


# --- permissions ---

READS = [["do", "get"], ["do", "stats-get"], ["dump", "zone-get"]]
FOR_ROOT = [["do", "set", {"interval-ms": 77}], ["dump", "map-get"],
            ["dump", "map-raw-get"]]


def may_read_only(vm, who, *first):
    """After these first steps: reads are answered, the rest is refused."""
    answers = steps(vm, *first, *READS, *FOR_ROOT)[len(first):]
    for words, answer in zip(READS, answers):
        need("ok" in answer, f"{who}: {words}: {answer}")
    for words, answer in zip(FOR_ROOT, answers[len(READS):]):
        need(answer.get("error") == "Operation not permitted" and
             "CAP_SYS_ADMIN in the initial user namespace" in
             answer["extack"].get("msg", ""), f"{who}: {words}: {answer}")
    need(guest.fpctl(vm)["interval-ms"] == 100, f"{who} has changed it")


@test("netlink-permissions", 400)
def netlink_permissions(ctx):
    """Root may do everything; a user may look, but not at the map."""
    vm = ready(boot(ctx))
    may_read_only(vm, "a user", ["uid", 1000])
    may_read_only(vm, "a user with root's socket", ["open"], ["uid", 1000])
    good(vm, *READS, *FOR_ROOT)
    guest.check_console(vm)


@test("netlink-namespaces", 400)
def netlink_namespaces(ctx):
    """Root of a user namespace is a user; another network has no family."""
    vm = ready(boot(ctx))
    may_read_only(vm, "root of a user namespace", ["unshare", NEWUSER])
    for flags in (NEWNET, NEWUSER | NEWNET):
        done, answer = steps(vm, ["unshare", flags], ["do", "get"])
        need("ok" in done, f"unshare: {done}")
        need("not supported by the kernel" in answer.get("error", ""),
             f"visible in another network namespace: {answer}")
    guest.check_console(vm)


# --- tunables ---

def thread(vm):
    """(nice, CPUs) of kcfphd."""
    pid = vm.sh("pidof kcfphd").strip()
    stat = vm.sh(f"cat /proc/{pid}/stat").split(") ")[1].split()
    cpus = re.search(r"Cpus_allowed_list:\s*(\S+)",
                     vm.sh(f"cat /proc/{pid}/status"))
    return int(stat[16]), cpus[1]


@test("netlink-set", 400)
def netlink_set(ctx):
    """Ranges, atomicity, texts; cpus reaches the thread and stays."""
    vm = ready(boot(ctx))
    good(vm, ["do", "set", {"cpus": "1", "interval-ms": 60}])
    need(thread(vm) == (0, "1"), f"the thread: {thread(vm)}")

    def refused(attrs, attr, text=None, policy=None):
        answer = steps(vm, ["do", "set", attrs])[0]
        extack = answer.get("extack", {})
        need(answer.get("error") in ("Invalid argument",
                                     "Numerical result out of range") and
             extack.get("bad-attr") == f".{attr}", f"{attrs}: {answer}")
        if text:
            need(extack["msg"] == text, f"{attrs}: {answer}")
        if policy:
            told = (extack["policy"].get("min-value", 0),
                    extack["policy"]["max-value"])
            need(told == policy, f"{attrs}: {answer}")

    # These two would be right, but they do not happen either.
    first = {"drain": "off", "cpus": "0"}
    for attr, value, policy in (
            ("enable", 2, (0, 1)), ("interval-ms", 9, (10, 10000)),
            ("interval-ms", 10001, (10, 10000)), ("drain", 3, (0, 2)),
            ("keep", 2, (0, 1)), ("reclaim", 101, (0, 100))):
        refused({**first, attr: value}, attr, policy=policy)
    refused({**first, "cpus": "0-7"}, "cpus",
            "cpus 0-7: beyond the CPUs that there can be, 0-1")
    refused({**first, "cpus": "all but one"}, "cpus",
            "cpus all but one: not a list of CPUs like 0-3,8")
    answer = steps(vm, ["do", "set", {}])[0]
    need("nothing to set" in answer["extack"]["msg"], str(answer))
    show = good(vm, ["do", "get"])[0]
    need({key: show[key] for key in DEFAULTS} ==
         {**DEFAULTS, "cpus": "1", "interval-ms": 60},
         f"something has changed: {show}")
    need(thread(vm) == (0, "1"), f"the thread: {thread(vm)}")

    # Its only CPU goes and comes back; the scheduler alone would forget.
    vm.sh("echo 0 >/sys/devices/system/cpu/cpu1/online; fpctl stop")
    answer = steps(vm, ["do", "set", {"cpus": "1"}])[0]
    need(answer["extack"].get("msg") == "cpus 1: none of them is online",
         str(answer))
    vm.sh("fpctl start")
    guest.settled(vm)
    need(thread(vm)[1] != "1", "on a CPU that is gone?")
    vm.sh("echo 1 >/sys/devices/system/cpu/cpu1/online")
    vm.sh("fpctl stop; fpctl start")
    guest.settled(vm)
    need(thread(vm) == (0, "1"), f"after hotplug: {thread(vm)}")

    # Another driver, another registration.
    vm.sh(f"rmmod virtio_balloon; insmod {guest.KO}")
    guest.settled(vm)
    need(thread(vm) == (0, "1"), f"after a reload: {thread(vm)}")
    show, stats = good(vm, ["do", "get"], ["do", "stats-get"])
    need(show["cpus"] == "1", str(show))
    need(stats["resets"] == 1, f"resets: {stats}")

    # What another tool has set stays, whatever CPU comes.
    vm.sh("p=$(pidof kcfphd); taskset -p 1 $p; renice -n 2 -p $p; "
          "cd /sys/devices/system/cpu/cpu1; echo 0 >online; echo 1 >online; "
          "fpctl stop; fpctl start")
    guest.settled(vm)
    need(thread(vm) == (2, "0"), f"after taskset and renice: {thread(vm)}")
    guest.check_console(vm)


# --- noise ---

FUZZ_SECONDS = 8
FAULTS = "/sys/kernel/debug"
# Both successes and refusals of every kind must be among what has come back.
SEEN = ("probes", "replies", "dumps", "events", "overruns", "truncated", "ACK",
        "EPERM", "EINVAL", "ERANGE", "EOPNOTSUPP", "ENODATA", "EMSGSIZE")


def fuzz(ctx, vm, options, meanwhile):
    """Run nlfuzz, and meanwhile() again and again; what it has counted."""
    vm.sh("rm -f /tmp/fuzz.*; (nlfuzz -p 4 " + options + " >/tmp/fuzz.log 2>&1"
          " </dev/null; echo $? >/tmp/fuzz.code) >/dev/null 2>&1 &")
    times = 0
    while vm.run("[ -s /tmp/fuzz.code ]")[0]:
        meanwhile()
        times += 1
    said = vm.sh("cat /tmp/fuzz.log")
    ctx.say(f"{said.strip().splitlines()[-1]}; {times} times on and off")
    need(vm.sh("cat /tmp/fuzz.code").strip() == "0", said[-600:])
    return {name: int(n) for name, n in re.findall(r"(\w+)=(\d+)", said)}


def without_memory(ctx, vm, seed):
    """One in twenty of the allocations on behalf of the fuzzer fails."""
    for name in ("failslab", "fail_page_alloc"):
        for file, value in (("task-filter", "Y"), ("verbose", 0),
                            ("times", -1), ("ignore-gfp-wait", "N"),
                            ("probability", 5)):
            vm.sh(f"echo {value} >{FAULTS}/{name}/{file}")
    vm.sh(f"echo 0 >{FAULTS}/fail_page_alloc/min-order")
    seen = fuzz(ctx, vm, f"-f -s {seed} -t {FUZZ_SECONDS}",
                lambda: vm.sh("fpctl stop && fpctl start"))
    need(seen.get("ENOMEM", 0) + seen.get("ENOBUFS", 0), "nothing has failed")


@test("netlink-fuzz", 240)
def netlink_fuzz(ctx):
    """Noise from root and from a user, while the map comes and goes."""
    seed = int(os.environ.get("SEED") or random.randrange(1 << 32))
    vm = ready(ctx.vm(ctx.spec(), "guest").boot())
    guest.watch_map(vm)
    dev = guest.driver_device(vm)
    seen = fuzz(ctx, vm, f"-s {seed} -t {FUZZ_SECONDS}",
                lambda: vm.sh("fpctl stop && fpctl start && "
                              f"echo {dev} >{DRIVER}/unbind && "
                              f"echo {dev} >{DRIVER}/bind"))
    missing = [name for name in SEEN if not seen.get(name)]
    need(not missing, f"never seen: {', '.join(missing)}")
    if not vm.run(f"[ -e {FAULTS}/failslab ]")[0]:
        without_memory(ctx, vm, seed)

    vm.sh("fpctl set " + " ".join(f"{key} {value}"
                                  for key, value in DEFAULTS.items()))
    ready(vm)
    show = guest.fpctl(vm)
    need({key: str(show[key]) for key in DEFAULTS} ==
         {key: str(value) for key, value in DEFAULTS.items()}, f"{show}")
    ctx.say(f"map: {guest.check_map(vm)}")
    guest.check_leaks(vm)
    guest.check_console(vm)


# --- a migration ---

def events_of(vm):
    return [json.loads(line) for line in
            vm.sh("cat /tmp/events").strip().splitlines()[1:]]


def watch(vm):
    """Collect events in the background; ends when /tmp/stop appears."""
    vm.sh("rm -f /tmp/stop; cfph-nl '[[\"watch\", \"/tmp/stop\"]]' >/tmp/events & "
          + guest.until("grep -q ready /tmp/events", 1200), 120)


def watched(vm):
    vm.sh("echo >/tmp/stop; " +
          guest.until("grep -q '\"ok\"' /tmp/events", 1200), 120)
    events = events_of(vm)
    need(events.pop() == {"ok": None}, "the watcher did not end well")
    return events


@test("netlink-migrate", 400)
def netlink_migrate(ctx):
    """Tunables work at once in a migration; its events; memory is right."""
    src, dst = ctx.pair(ctx.spec(mem=MEM), initrd=clients.initrd(ctx))
    guest.settled(src)
    good(src, ["do", "set", {"interval-ms": 10000, "drain": "off"}])
    watch(src)
    src.sh("stamp start --mib 24")
    src.sh("churn start --mib 64", 120)
    seen = {}

    def middle(_migration):
        before = good(src, ["until", "stats-get", "chunks", 1])[0]
        seen["before"], seen["after"] = before, good(
            src, ["do", "set", {"interval-ms": 10, "drain": "start",
                                "cpus": "1", "keep": "migration"}],
            ["until", "stats-get", "passes", before["passes"] + 20],
            ["until", "stats-get", "drains", 1])[-1]

    need_hints(ctx, several_rounds(src, dst, middle=middle))
    compare(ctx, src, dst)
    resume(dst)
    guest.check_stamp(dst)
    dst.sh("churn stop")

    before, after = seen["before"], seen["after"]
    ctx.say(f"passes {before['passes']}, {after['passes']}; drains "
            f"{before['drains']}, {after['drains']}")
    need(before["drains"] == 0, f"drained, though it is off: {before}")
    # One in ten seconds, but for those that the host's ROUNDs ask for.
    need(before["passes"] < 10, f"passes in no time: {before}")
    need(after["passes"] >= before["passes"] + 20, f"few passes: {after}")
    need(after["drains"] >= 1, f"not drained: {after}")

    guest.until_shown(dst, '"reason":"no-migration"', "the map does not go")
    events = watched(dst)
    names = [event["event"] for event in events]
    ctx.say(f"events: {' '.join(names)}")
    for name in ("start", "round", "stop"):
        need(name in names, f"no event {name}")
    need(names.count("start") == names.count("stop") == 1, "one migration")
    need(names[-1] == "state" and events[-1]["reason"] == "no-migration",
         f"the end: {events[-1]}")
    begin = names.index("start")
    ids = {event["migration-id"] for event in events[begin:]
           if event["event"] != "state"}
    need(len(ids) == 1 and 0 not in ids, f"ids {ids}")
    times = [event["time-ns"] for event in events]
    need(times == sorted(times) and times[0] > 0, "times")
    rounds = [e["round"] for e in events if e["event"] == "round"]
    need(rounds == sorted(rounds) and len(set(rounds)) == len(rounds),
         f"rounds {rounds}")
    guest.check_console(src, dst)


@test("netlink-refused", 300)
def netlink_refused(ctx):
    """What is refused is counted, told and traced: a device, a migration."""
    vm = boot(ctx, kernel_args="init_on_free=1")
    stats, show = good(vm, ["do", "stats-get"], ["do", "get"])
    need(stats["refused"] == 1 and show["reason"] == "init-on-free",
         f"{stats} {show}")
    guest.check_console(vm)
    vm.close()

    src, dst = ctx.pair(ctx.spec(mem=MEM), initrd=clients.initrd(ctx))
    guest.settled(src)
    src.sh(f"echo 1 >{guest.TRACING}/events/cfph/cfph_refuse/enable")
    good(src, ["do", "set", {"enable": 0}])
    watch(src)
    migration = Migration(src, dst, bandwidth=SLOW, downtime_ms=1).start()
    # Long enough for the command to arrive; the guest says when it has.
    stats = good(src, ["until", "stats-get", "refused", 1])[0]
    need(stats["refused"] == 1 and stats["migrations"] == 0, str(stats))
    migration.set(max_bandwidth=UNLIMITED, downtime_limit=10_000)
    info = migration.finish()
    need(info["ram"]["free-pages-skipped"] == 0, "skipped without a map")
    resume(dst)
    refused = [e for e in watched(dst) if e["event"] == "refuse"]
    ctx.say(f"{refused}")
    need(len(refused) == 1 and refused[0]["reason"] == "admin" and
         refused[0]["migration-id"] and
         refused[0]["text"] == "a migration has begun, and there is no map",
         str(refused))
    text = dst.sh(f"cat {guest.TRACING}/trace")
    need('reason=admin text="a migration has begun, and there is no map"'
         in text, f"trace: {text[-300:]}")
    guest.check_console(src, dst)
