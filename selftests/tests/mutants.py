# SPDX-License-Identifier: GPL-2.0
"""A test that cannot fail is no test: broken on purpose, it must fail.

Each mutant breaks one rule of the safety argument through a switch that exists
for this: a file in the guest's debugfs, or a property of the device.  Where nothing
else is said, the migration is the one of migrate-long-round, in which the
decision matters most; what counts as caught is a page that the comparison of both
memories, or the guest itself, finds wrong.  A mutant that survives is a
failure.
"""

from cfphtest import guest, late, oracle
from cfphtest.agent import AgentError
from cfphtest.integrity import (CRAWL, load, long_round, say_hints,
                                several_rounds)
from cfphtest.postcopy import allocate, crawl_to_postcopy
from cfphtest.registry import Context, Failure, need, test
from cfphtest.vm import VMError

TRIES = 3
KILLED = 137            # by SIGKILL: the OOM killer

# With a limit of 0, as in long_round(), what comes back is a reason to run on, again
# and again until luck ends it: two minutes at times.  So the limit does not count.
STALE_FINAL = ["x-cfph-debug-stale-final=on", "x-cfph-debug-no-limit=on"]


class Survived(Failure):
    """The hunt was as it should be, and found nothing."""


def evidence(ctx, src, dst):
    """What shows that memory is wrong; [] if nothing does."""
    found = []
    verdict = oracle.compare(src, dst, ctx.logs)
    ctx.say(f"memory: {verdict}")
    if verdict.lost:
        found.append(f"comparison: {len(verdict.lost)} pages lost")
    dst.qmp("cont")
    try:
        guest.check_stress(dst, "check", 20)
        guest.check_stamp(dst)
        # What was left out is as good as new; short memory, as others have more of it
        # by then, is no evidence of anything.
        code, text = dst.run("memhog --free 80", 60)
        need(code in (0, KILLED), f"memhog exits {code}: {text}")
    except (AgentError, VMError, Failure) as err:   # or the guest is dead
        found.append(f"guest: {str(err)[:300]}")
    return found


def hunt_once(ctx, src, dst, way):
    """(pages skipped, what shows that memory is wrong) of one migration."""
    try:
        info = way(src, dst)
    except VMError as err:
        # The lost page was one of a virtqueue.
        if "error while loading state" not in dst.said():
            raise
        return None, [f"migration: {str(err)[:300]}"]
    skipped = say_hints(ctx, info)
    return skipped, evidence(ctx, src, dst) if skipped else []


def hunt(ctx, spec, prepare=lambda vm: None, way=long_round, stress_mib=100,
         pair=Context.pair):
    """Migrate until the mutant is caught."""
    hints = False
    for attempt in range(1, TRIES + 1):
        src, dst = pair(ctx, spec)
        load(src, stress_mib=stress_mib)
        prepare(src)
        src.sh("churn start --mib 48")
        skipped, found = hunt_once(ctx, src, dst, way)
        src.close()
        dst.close()
        if found:
            ctx.say(f"caught in migration {attempt}: " + "; ".join(found))
            return
        hints = hints or skipped
    need(hints, f"no page was skipped in {TRIES} migrations")
    raise Survived(f"survived {TRIES} migrations")


def guest_mutant(name):
    """A function that lets the guest's kernel break that rule from now on."""
    def prepare(vm):
        knob = guest.debugfs(f"mutant_{name}")
        vm.sh(f"echo 1 >{knob}")
        need(vm.sh(f"cat {knob}").strip() == "1", "mutant is not on")
    return prepare


def late_driver(vm):
    """The driver comes now: to a guest that has booted without it."""
    vm.sh(f"insmod {guest.KO}")
    guest.settled(vm)


@test("mutant-none", 300)
def mutant_none(ctx):
    """The same hunt without a mutant must find nothing."""
    try:
        hunt(ctx, ctx.spec())
    except Survived:
        return
    raise Failure("found a mutant where there is none")


@test("mutant-keep-on-alloc", 300)
def mutant_keep_on_alloc(ctx):
    """The hook does not clear the bits of allocated pages: caught."""
    hunt(ctx, ctx.spec(), guest_mutant("keep_on_alloc"))


@test("mutant-free-early", 300)
def mutant_free_early(ctx):
    """Bits are set as soon as somebody frees a page: caught."""
    hunt(ctx, ctx.spec(), guest_mutant("free_early"))


@test("mutant-hooks-off", 300)
def mutant_hooks_off(ctx):
    """The map is not kept any more, and its header says that it is: caught."""
    hunt(ctx, ctx.spec(), guest_mutant("hooks_off"))


@test("mutant-ignore-refusal", 300)
def mutant_ignore_refusal(ctx):
    """Hints under init_on_free=1, where new pages are not zeroed: caught."""
    def prepare(vm):
        guest_mutant("ignore_refusal")(vm)
        late_driver(vm)
    hunt(ctx, ctx.spec(kernel_args="init_on_free=1 cfph.modules=none"),
         prepare)


@test("mutant-balloon", 300)
def mutant_balloon(ctx):
    """Pages leave the balloon and stay free in the map: caught."""
    def prepare(vm):
        guest.balloon(vm, (vm.spec.mem >> 20) - 80)
        guest_mutant("drop_cfph_page_deflating")(vm)

    def deflate(migration):
        guest.balloon(migration.src, migration.src.spec.mem >> 20)
        guest.occupy(migration.src, "--free 30 --hold")
    hunt(ctx, ctx.spec(), prepare,
         way=lambda src, dst: several_rounds(src, dst, middle=deflate))


@test("mutant-stale-final", 300)
def mutant_stale_final(ctx):
    """The decision uses the map as read at the last sync: caught."""
    hunt(ctx, ctx.spec(balloon_opts=STALE_FINAL))


@test("mutant-keep-registration", 300)
def mutant_keep_registration(ctx):
    """A reset forgets no map, and nobody looks at its header: caught.

    Each of the two would save the guest; qtest-cfph-rules has them alone.  The map
    has to survive the kernel that boots in the middle.  It is below 4 GiB, and what
    boots and runs takes the 1 GiB above first, and then the lowest pages, which a
    file has until the map has been made.  The second kernel has no driver, so nothing
    is registered in its place, and it uses memory that the first had not.
    """
    def driver_behind(vm):
        # Unmovable, as pages of the map are.
        vm.sh("mkdir /tmp/ram && mount -t ramfs ramfs /tmp/ram && "
              "dd if=/dev/zero of=/tmp/ram/f bs=1M count=1200", 120)
        late_driver(vm)
        vm.sh("umount /tmp/ram")

    def reset(migration):
        migration.set(max_bandwidth=CRAWL)
        migration.src.qmp("system_reset")
        migration.src.wait_event(lambda e: e["event"] == "RESET", 30)
        migration.src.boot()
        load(migration.src, stress_mib=100)

    spec = ctx.spec(mem="4G", reboot=True, kernel_args="cfph.modules=none",
                    balloon_opts=["x-cfph-debug-keep-registration=on",
                                  "x-cfph-debug-no-header-check=on"])
    hunt(ctx, spec, driver_behind, stress_mib=16,
         way=lambda src, dst: several_rounds(src, dst, middle=reset))


@test("mutant-no-limit", 240)
def mutant_no_limit(ctx):
    """All that is left is sent, however long it takes: breaks the bound."""
    _, _, info = late.migrate_late(ctx, late.fpctl_stop, balloon_opts=[
        "x-cfph-debug-no-limit=on"])
    if info["ram"]["downtime-bytes"] <= late.MOST:
        raise Survived(f"within the limit: {info['ram']}")


@test("mutant-postcopy-drop", 240)
def mutant_postcopy_drop(ctx):
    """Postcopy begins with pages that nobody ever sends: the guest hangs."""
    migration = crawl_to_postcopy(
        ctx, balloon_opts=["x-cfph-debug-postcopy-drop=on"])
    try:
        allocate(migration)
    except (AgentError, VMError) as err:
        ctx.say(f"caught: {str(err)[:300]}")
        return
    raise Survived("the guest has got all the pages that it wanted")
