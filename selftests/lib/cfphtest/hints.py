# SPDX-License-Identifier: GPL-2.0
"""What the operator sees of free page hints, and what he can say to them."""

from .registry import need

EVENT = "X_MIGRATION_FREE_PAGE_HINTS"
PARAMETER = "x-free-page-hints"
MEMBER = "x-free-page-hints"


def switch(vm, on):
    """Whether the migrations of this QEMU use hints from now on."""
    vm.qmp("migrate-set-parameters", **{PARAMETER: on})


def state(info):
    """The member of query-migrate, which must be there."""
    need(MEMBER in info, f"query-migrate has no {MEMBER}: {sorted(info)}")
    return info[MEMBER]


def need_state(info, status, *reasons):
    """What it says in the end."""
    member = state(info)
    need(member["status"] == status and
         (not reasons or member["reason"] in reasons),
         f"{MEMBER} is {member}; expected {status}, {' or '.join(reasons)}")
    return member


def events(vm):
    """[(status, reason)] of what has been told so far."""
    vm.take_events()
    return [(e["data"]["status"], e["data"]["reason"])
            for e in vm.events if e["event"] == EVENT]
