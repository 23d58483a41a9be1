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


def e2fs_tool(name):
    """Of e2fsprogs, which are not on everybody's path."""
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if not found:
        raise config.ConfigError(f"no {name}: apt-get install e2fsprogs")
    return found


def files_image(directory, files):
    """A disk with an ext4 on it, and {name: MiB} in that, with random contents."""
    path = os.path.join(directory, "disk.raw")
    with tempfile.TemporaryDirectory(prefix="files-", dir=directory) as inside:
        for name, mib in files.items():
            os.rename(random_image(inside, mib), os.path.join(inside, name))
        # A quarter more, for what a file system needs, and for new files.
        with open(path, "wb") as image:
            image.truncate((sum(files.values()) * 5 // 4 + 32) << 20)
        subprocess.run([e2fs_tool("mkfs.ext4"), "-q", "-F", "-d", inside, path],
                       check=True)
    return path


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
