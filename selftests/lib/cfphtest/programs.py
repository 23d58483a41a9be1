# SPDX-License-Identifier: GPL-2.0
"""Programs of the host, for a guest that wants them: Context.initrd_with() puts them
into it.  One that does not is small and boots fast.
"""

import shutil

from .initramfs import libraries
from .registry import Skip


def find(program, package):
    path = shutil.which(program, path="/usr/bin:/usr/sbin:/bin:/sbin")
    if not path:
        raise Skip(f"no {program}: install {package}")
    return path


def with_libraries(programs):
    """{guest path: host path} of programs that find everything they need."""
    return {name: name for program in programs
            for name in (program, *libraries(program))}
