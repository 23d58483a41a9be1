# SPDX-License-Identifier: GPL-2.0
"""The test harness: guests under QEMU, migrations between them, oracles.

Only Python's standard library and QEMU's own qemu.qmp are used.  Everything
that waits, waits for an event and has a time limit.
"""
