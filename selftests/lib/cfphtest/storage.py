# SPDX-License-Identifier: GPL-2.0
"""Disks of guests: what is on them, and a process that has one and so writes to the
guest's memory (vhost-user).
"""

import contextlib
import os
import shutil
import subprocess
import tempfile

from . import config
from .process import die_with_parent
from .registry import need, wait_for


def random_image(directory, mib):
    """A raw image with contents that no zero detection gets rid of."""
    path = os.path.join(directory, "disk.raw")
    with open(path, "wb") as image:
        for _ in range(mib):
            image.write(os.urandom(1 << 20))
    return path


PACKAGES = {"mkfs.ext4": "e2fsprogs", "e2fsck": "e2fsprogs",
            "debugfs": "e2fsprogs", "mkfs.xfs": "xfsprogs"}


def disk_tool(name):
    """Of those who make file systems: not on everybody's path."""
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if not found:
        raise config.ConfigError(f"no {name}: apt-get install {PACKAGES[name]}")
    return found


def make_ext4(path, inside):
    return [disk_tool("mkfs.ext4"), "-q", "-F", "-d", inside, path]


def make_xfs(path, inside):
    """What is to be in it comes from a list: a first line and sizes that nobody looks
    at, the directory, and a line for each file.  A file that does not fit into one
    allocation group is written over what comes behind that."""
    names = os.path.join(inside, ".names")
    with open(names, "w", encoding="utf-8") as text:
        text.write("-\n0 0\nd--755 0 0\n" + "".join(
            f"{entry.name} ---644 0 0 {entry.path}\n"
            for entry in os.scandir(inside) if entry.path != names) + "$\n")
    return [disk_tool("mkfs.xfs"), "-q", "-f", "-d", "agcount=2", "-p", names, path]


MAKE = {"ext4": make_ext4, "xfs": make_xfs}
LEAST = 300             # MiB: xfs has it no smaller


def files_image(directory, files, kind="ext4"):
    """A disk with a file system, and {name: MiB} in that, with random contents."""
    path = os.path.join(directory, "disk.raw")
    with tempfile.TemporaryDirectory(prefix="files-", dir=directory) as inside:
        for name, mib in files.items():
            os.rename(random_image(inside, mib), os.path.join(inside, name))
        # With room for new files, and for all of these in one half of it: see make_xfs.
        with open(path, "wb") as image:
            image.truncate(max(sum(files.values()) * 3, LEAST) << 20)
        subprocess.run(MAKE[kind](path, inside), check=True)
    return path


XFS_KO = "/lib/modules/cfph/xfs.ko"     # in the guest


def initrd(ctx, kind):
    """For VM(): what a guest needs that is to mount such a file system."""
    return (ctx.initrd_with({XFS_KO: config.kernel_module("fs/xfs/xfs.ko")})
            if kind == "xfs" else None)


def mount(vm, kind, options):
    """The disk, at /mnt."""
    load = f"insmod {XFS_KO} && " if kind == "xfs" else ""
    vm.sh(f"{load}mkdir /mnt && mount -t {kind} -o {options} /dev/vda /mnt")


@contextlib.contextmanager
def daemon(ctx, image, number):
    """qemu-storage-daemon with @image; the sockets, one for each QEMU that takes it."""
    command = [os.path.join(config.qemu_build(), "storage-daemon",
                            "qemu-storage-daemon"), "--blockdev",
               f"driver=file,node-name=disk,filename={image}"]
    with (tempfile.TemporaryDirectory(prefix="cfph-") as short,
          open(os.path.join(ctx.logs, "storage.stderr"), "wb") as err):
        sockets = [os.path.join(short, f"disk{i}") for i in range(number)]
        for i, path in enumerate(sockets):
            command += ["--export", f"type=vhost-user-blk,id=export{i},"
                        f"node-name=disk,addr.type=unix,addr.path={path},writable=on"]
        # pylint: disable=consider-using-with,subprocess-popen-preexec-fn
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=err,
                                   stderr=err, preexec_fn=die_with_parent)
        try:
            def ready():
                need(process.poll() is None, f"it ends with {process.returncode}")
                return all(map(os.path.exists, sockets))
            wait_for(ready, "no sockets")
            yield sockets
            need(process.poll() is None, f"it has ended with {process.returncode}")
        finally:
            process.kill()
            process.wait()
