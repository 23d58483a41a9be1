# SPDX-License-Identifier: GPL-2.0
"""Which accelerator to use.

/dev/kvm may exist, answer "enabled" to query-kvm, and still be unable to run
a kernel, so the only proof is a real boot under a time limit.
"""

import os
import tempfile

from . import config
from .vm import VM, Spec, VMError

PROBE_LIMIT = 30


def choose(say=lambda text: None):
    """'kvm' or 'tcg'; ACCEL= skips the probe."""
    forced = os.environ.get("ACCEL")
    if forced:
        if forced not in ("kvm", "tcg"):
            raise config.ConfigError(f"ACCEL={forced}: choose kvm or tcg")
        return forced
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        say("accelerator: tcg (no usable /dev/kvm)")
        return "tcg"
    with tempfile.TemporaryDirectory(prefix="cfph-") as logs:
        try:
            with VM(Spec(mem="256M", smp=1, accel="kvm"), "kvm-probe",
                    logs) as vm:
                vm.boot(PROBE_LIMIT)
        except VMError:
            say("accelerator: tcg (/dev/kvm is there, but a guest does not "
                "boot under it)")
            return "tcg"
    say("accelerator: kvm")
    return "kvm"
