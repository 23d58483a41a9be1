# SPDX-License-Identifier: GPL-2.0
"""Sphinx's settings for the QMP reference in the package of QEMU, see deb.mk."""

import os
import sys

qemu = os.environ["QEMU_SRC"]
sys.path[:0] = [os.path.join(qemu, "docs/sphinx"), os.path.join(qemu, "scripts")]
# pylint: disable=invalid-name
project = "QEMU"
extensions = ["qapi_domain", "qapidoc", "qmp_lexer"]
qapidoc_srctree = qemu
qapi_allowed_fields = {"see also"}
qapi_namespaces = {"QMP"}
root_doc = "qemu-qmp-ref"
