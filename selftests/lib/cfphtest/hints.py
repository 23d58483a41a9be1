# SPDX-License-Identifier: GPL-2.0
"""What the operator sees of free page hints, and what he can say to them."""

from .registry import Failure, need

EVENT = "X_MIGRATION_FREE_PAGE_HINTS"
PARAMETER = "x-free-page-hints"
MEMBER = "x-free-page-hints"

STATUS = {"off", "waiting", "active", "decided", "given-up"}
REASON = {"none", "no-device", "no-driver", "no-map", "withdrawn", "bad-map",
          "device-broken", "parameter", "colo", "mode", "page-size",
          "guest-panicked", "guest-running", "downtime", "not-decided"}


def switch(vm, on):
    """Whether the migrations of this QEMU use hints from now on."""
    vm.qmp("migrate-set-parameters", **{PARAMETER: on})


def state(info):
    """The member of query-migrate, which must be there and make sense."""
    member = info.get(MEMBER)
    if member is None:
        raise Failure(f"query-migrate has no {MEMBER}: {sorted(info)}")
    need(member["status"] in STATUS and member["reason"] in REASON and
         member["unsent-bytes"] >= 0 and member["retries"] >= 0,
         f"{MEMBER}: {member}")
    return member


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
