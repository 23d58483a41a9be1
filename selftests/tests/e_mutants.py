# SPDX-License-Identifier: GPL-2.0
"""A test that cannot fail is no test: broken on purpose, it must fail.

Each mutant breaks one rule of the safety argument through a switch that exists
for this.  The migration is the one of migrate-long-round, in which the decision
matters most; what counts as caught is a page that the comparison of both
memories, or the guest itself, finds wrong.  A mutant that survives is a
failure.
"""

from cfphtest import guest, oracle
from cfphtest.agent import AgentError
from cfphtest.integrity import load, long_round, need_hints
from cfphtest.registry import Failure, need, test
from cfphtest.vm import VMError

TRIES = 3


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
        guest.check_stress(dst, "check", 40)
        guest.check_stamp(dst)
    except (AgentError, VMError) as err:    # or the guest is dead
        found.append(f"guest: {str(err)[:300]}")
    return found


def hunt(ctx, spec, prepare=lambda vm: None):
    """Migrate until the mutant is caught."""
    for attempt in range(1, TRIES + 1):
        src, dst = ctx.pair(spec)
        load(src, stress_mib=100)
        prepare(src)
        src.sh("churn start --mib 48")
        need_hints(ctx, long_round(src, dst))
        found = evidence(ctx, src, dst)
        src.close()
        dst.close()
        if found:
            ctx.say(f"caught in migration {attempt}: " + "; ".join(found))
            return
    raise Survived(f"survived {TRIES} migrations")


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
    def prepare(vm):
        knob = guest.debugfs("mutant_keep_on_alloc")
        vm.sh(f"echo 1 >{knob}")
        need(vm.sh(f"cat {knob}").strip() in ("1", "Y"), "mutant is not on")
    hunt(ctx, ctx.spec(), prepare)


@test("mutant-stale-final", 300)
def mutant_stale_final(ctx):
    """The decision uses the map as read at the last sync: caught."""
    hunt(ctx, ctx.spec(balloon_opts=["x-cfph-debug-stale-final=on"]))
