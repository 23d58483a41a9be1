# SPDX-License-Identifier: GPL-2.0
"""COVERAGE=1: takes the line counters out of a guest before it ends.

The guest kernel of that flavour shows them below gcov/ in debugfs, a .gcda for
each object of ours, under the object's path on the machine that built it.
selftests/coverage reads what is kept here.
"""

import base64
import os

SUFFIX = ".gcda.tgz"
LIMIT = 10

# Copied first: these files have no size until they are read.
_FETCH = ("t=/tmp/gcov; rm -rf $t; cd /sys/kernel/debug/gcov && "
          "find . -name '*.gcda' | while read -r f; do "
          "mkdir -p $t/${f%/*}; cat $f >$t/$f; done; "
          "tar -c -C $t . | gzip | base64")


def wanted():
    return bool(os.environ.get("COVERAGE"))


def keep(agent, path):
    """Write the counters of the guest behind `agent` to path + SUFFIX."""
    text = agent.sh(_FETCH, LIMIT)
    with open(path + SUFFIX, "wb") as out:
        out.write(base64.b64decode(text))
