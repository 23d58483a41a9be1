# SPDX-License-Identifier: GPL-2.0
"""Programs of the host in the guest, with the libraries that they need.

They travel as one archive behind the initramfs and are unpacked by the booted
guest: a test that does not want them has a guest that is small and boots fast.
"""

import io
import os
import re
import shutil
import subprocess
import tarfile

from .registry import Skip

ARCHIVE = "/programs.tar"       # in the guest


def find(program, package):
    path = shutil.which(program, path="/usr/bin:/usr/sbin:/bin:/sbin")
    if not path:
        raise Skip(f"no {program}: install {package}")
    return path


def libraries(programs):
    """What the dynamic linker loads for them, and the linker."""
    found = set()
    for program in programs:
        done = subprocess.run(["ldd", program], capture_output=True,
                              text=True, check=False)
        found.update(re.findall(r"(?:=> |^\s+)(/\S+) \(", done.stdout, re.M))
    return found


def initrd(ctx, files, texts=None):
    """An initramfs for ctx.vm(); call unpack() in the booted guest.

    files: {guest path: host path}; texts: {guest path: contents}, executable.
    """
    path = os.path.join(ctx.logs, "programs.tar")
    with tarfile.open(path, "w", dereference=True) as tar:
        for name, source in sorted(files.items()):
            tar.add(source, name.lstrip("/"), recursive=False)
        for name, text in (texts or {}).items():
            info = tarfile.TarInfo(name.lstrip("/"))
            info.size, info.mode = len(text), 0o755
            tar.addfile(info, io.BytesIO(text.encode()))
    return ctx.initrd_with({ARCHIVE: path})


def with_libraries(programs):
    """{guest path: host path} of programs that find everything they need."""
    return {name: name for name in set(programs) | libraries(programs)}


def unpack(vm):
    vm.sh(f"tar xf {ARCHIVE} -C / && rm {ARCHIVE}", 120)
