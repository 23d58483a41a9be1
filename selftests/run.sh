#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# run.sh [-l] [-j N] [-w] [NAME]...: the tests; see run.py.
exec /usr/bin/python3 "$(dirname "$0")/run.py" "$@"
