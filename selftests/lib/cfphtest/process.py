# SPDX-License-Identifier: GPL-2.0
"""Processes that do not outlive who has started them."""

import ctypes
import signal

_PR_SET_PDEATHSIG = 1


def die_with_parent():
    """For preexec_fn: nothing may be left behind, whatever happens to us."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
