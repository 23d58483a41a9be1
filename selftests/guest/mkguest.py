#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Writes the test guest's file system.

  mkguest.py BUSYBOX BINDIR OUT MODULE... -- PROGRAM...

BINDIR holds our own static programs.  Each PROGRAM goes to where it lies now, or to
/usr/sbin if that is not a system directory, with its libraries.  One that is missing is
an error: the guest must not differ silently.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
sys.dont_write_bytecode = True
# pylint: disable=wrong-import-position
from cfphtest.config import ConfigError         # noqa: E402
from cfphtest.initramfs import Archive          # noqa: E402

OURS = ("agent", "kexec-now", "nlfuzz", "recode", "cfph-load")
LOADS = ("memhog", "churn", "pagecache", "forks", "stamp", "hot", "stress", "shake")
SYSTEM = ("/bin", "/sbin", "/usr/bin", "/usr/sbin")
MODULES = "/lib/modules/cfph"


def main():
    busybox, bindir, path, *rest = sys.argv[1:]
    modules, programs = rest[:rest.index("--")], rest[rest.index("--") + 1:]
    guest = Archive()
    guest.base(os.path.join(HERE, "guest-init"), busybox, *SYSTEM, "/dev", "/proc",
               "/sys", "/run", "/tmp", "/root", MODULES)
    for name in OURS:
        guest.file(os.path.join(bindir, name), f"/bin/{name}")
    for name in LOADS:
        guest.link(f"/bin/{name}", "cfph-load")
    for module in modules:
        guest.file(module, f"{MODULES}/{os.path.basename(module)}", 0o644)
    guest.text(f"{MODULES}/order",
               "".join(os.path.basename(m) + "\n" for m in modules), 0o644)
    for program in programs:
        place = os.path.dirname(program)
        guest.program(program, program if place in SYSTEM else
                      f"/usr/sbin/{os.path.basename(program)}")
    with open(path, "wb") as out:
        guest.write(out)


if __name__ == "__main__":
    try:
        main()
    except ConfigError as err:
        sys.exit(f"mkguest.py: {err}")
