# SPDX-License-Identifier: GPL-2.0
"""Sphinx's settings for make docs, see build.sh."""

import os
import sys

linux = os.environ["LINUX_SRC"]
# pylint: disable=invalid-name
sys.path.insert(0, os.path.join(linux, "Documentation/sphinx"))

project = "cfph"
author = "The cfph developers"
copyright = "2026, The cfph developers"     # pylint: disable=redefined-builtin
extensions = ["kerneldoc", "sphinx.ext.graphviz"]
graphviz_output_format = "svg"
kerneldoc_bin = os.path.join(linux, "scripts/kernel-doc")
kerneldoc_srctree = linux
highlight_language = "none"
nitpicky = True
# Types of the kernel that no page of ours describes.
nitpick_ignore_regex = [("c:identifier", ".*"), ("c:type", ".*"), ("c:func", ".*")]
html_theme = "alabaster"
html_theme_options = {"description": "continuous free-page hinting",
                      "page_width": "1100px"}
html_show_sourcelink = False
