# SPDX-License-Identifier: GPL-2.0
"""The tests; each module registers its own (cfphtest.registry)."""
