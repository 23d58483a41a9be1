# SPDX-License-Identifier: GPL-2.0
"""Guests for postcopy, most of whose memory is free and full of old contents."""

from . import guest
from .integrity import CRAWL, SLOW, load
from .migrate import Migration, MigrationFailed

MEM = "512M"
STRESS_MIB = 48


def prepare(ctx, **fields):
    src = ctx.vm(ctx.spec(mem=MEM, **fields), "src")
    src.boot()
    guest.settled(src)
    src.sh("memhog --percent 85", 120)
    load(src, stress_mib=STRESS_MIB)
    return src


def towards_postcopy(src, dst, caps=()):
    """A migration in its second pass, which does not end before postcopy is asked for."""
    migration = Migration(src, dst, bandwidth=SLOW * 4, downtime_ms=1,
                          caps=("postcopy-ram", *caps))
    # 2000 bytes are what it may send in that millisecond: no page.  Between two syncs on
    # a busy host the load writes to a few only.
    migration.set(avail_switchover_bandwidth=2_000_000)
    migration.start()
    migration.wait_pass(2, 120)
    return migration


def crawl_to_postcopy(ctx, **fields):
    """A guest that has gone, and whose memory follows only on request.

    What is free has never been sent: nothing has been allocated and freed since.
    """
    src = ctx.vm(ctx.spec(mem=MEM, **fields), "src")
    src.boot()
    guest.settled(src)
    src.sh("memhog --percent 85", 120)
    src.sh(f"stamp start --mib {STRESS_MIB}")
    src.sh("hot start --pages 400")     # or it comes to its end
    migration = towards_postcopy(src, ctx.destination(src.spec, paused=False))
    migration.set(max_bandwidth=CRAWL, max_postcopy_bandwidth=CRAWL)
    src.sh("stamp renew")               # minutes of it
    src.qmp("migrate-start-postcopy")
    migration.wait_status("postcopy-active")
    return migration


def allocate(migration):
    """Free memory is taken into use and written to, before the postcopy phase is
    over: when it is, what is missing counts as zero."""
    migration.dst.sh("memhog --mib 16", 45)
    status = migration.info()["status"]
    if status != "postcopy-active":
        raise MigrationFailed(f"pages come in the end only: {status}")
