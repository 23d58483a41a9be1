# SPDX-License-Identifier: GPL-2.0
"""The tests; each module registers its own (cfphtest.registry).

In this order: what takes no guest, then guests, then what needs most of all else
to be right.
"""

ORDER = (
    "runner", "checkers", "unit", "guest", "migrate", "fault", "mutants", "netlink",
    "kvm", "hostile", "docs", "statements", "timeline", "mixed", "peers", "life",
    "moments", "balloon", "machines", "no_memory", "save", "postcopy", "hostmem",
    "downtime", "operator", "libvirt", "reclaim", "cache", "hooks", "hotplug", "rare",
    "kselftest", "packages", "series", "bench",
)
