# SPDX-License-Identifier: GPL-2.0
"""What benchmarks of migrations compare, and one guest for each of them."""

import contextlib

from . import guest
from .chain import Chain

# name: fields of Spec
VARIANTS = {
    "none": {"hints": "off"},
    # upstream's: one request, answered once
    "hint": {"hints": "upstream"},
    # upstream's: what is free goes back to the host, all the time
    "reporting": {"hints": "off",
                  "balloon_opts": ["free-page-reporting=on"]},
    # as proposed in 2016: one look at a bitmap when the migration begins
    "rfc": {"hints": "cfph", "balloon_opts": ["x-cfph-debug-once=on"]},
    "cfph": {"hints": "cfph"},
}
ORDER = tuple(VARIANTS)

# What hints are made of, one without the other: deltas, which the guest sends; looks at
# its map between two rounds, one percent of the time of the migration thread by default
# or five; or neither, so that QEMU hears at syncs only.
NO_DELTAS = "x-cfph-debug-no-deltas=on"
VARIANTS |= {name: {"hints": "cfph", "balloon_opts": opts} for name, opts in {
    "deltas": ["cfph-look-percent=0"],
    "looks": [NO_DELTAS],
    "looks-5": [NO_DELTAS, "cfph-look-percent=5"],
    "both-5": ["cfph-look-percent=5"],
    "syncs": [NO_DELTAS, "cfph-look-percent=0"],
}.items()}


class Guests(contextlib.ExitStack):
    """A Chain for each variant; all stand still but the one that is measured."""

    def __init__(self, spec, names, logs):
        super().__init__()
        self.chains = {}
        self._spec, self._names, self._logs = spec, names, logs

    def __enter__(self):
        super().__enter__()
        for name in self._names:
            chain = Chain(self._spec.but(**VARIANTS[name]), self._logs, name)
            self.callback(chain.close)
            self.chains[name] = chain
            chain.boot()
            if chain.spec.hints == "cfph":
                guest.settled(chain.vm)
            chain.hold()
        return self

    @contextlib.contextmanager
    def running(self, name):
        chain = self.chains[name]
        chain.go()
        yield chain
        chain.hold()


def used_bytes(vm):
    """What is not free in the guest: what any migration has to send."""
    kib = dict(line.split()[:2] for line in
               vm.sh("cat /proc/meminfo").splitlines())
    return vm.spec.mem - int(kib["MemFree:"]) * 1024
