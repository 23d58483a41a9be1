#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Writes the outer guest's file system.

  mkouter.py BUILD BUSYBOX OUT

busybox, Python, our QEMU with its libraries and firmware, the test guest, and the tests;
BUILD has the kernel modules.  What make tells the tests comes through the environment.

Of Python there is what this process has loaded, and the test runner with it.  A package
comes whole, because parts of it may be loaded late; so do the compiled files, which the
emulated machine would take minutes to make.
"""

import glob
import importlib
import os
import sys
import sysconfig

HERE = os.path.dirname(os.path.abspath(__file__))
SELFTESTS = os.path.dirname(HERE)
sys.path[:0] = [os.path.join(SELFTESTS, "lib"), SELFTESTS]
sys.dont_write_bytecode = True
# pylint: disable=wrong-import-position
from cfphtest import config                     # noqa: E402
from cfphtest.initramfs import Archive          # noqa: E402

PYTHON = "/usr/bin/python3"
# Loaded late, by a function or in a thread.
LATE = ("concurrent.futures.thread", "asyncio.unix_events", "encodings.idna",
        "encodings.latin_1", "traceback", "linecache", "tempfile", "shutil")
ROMS = ("bios-256k.bin", "kvmvapic.bin", "linuxboot_dma.bin")
TESTS = ("__init__", "mutants", "kvm")


def cached(path):
    """The source and its compiled form."""
    yield path
    cache = importlib.util.cache_from_source(path)
    if os.path.exists(cache):
        yield cache


def package(directory):
    for where, _, names in os.walk(directory):
        for name in names:
            yield os.path.join(where, name)


def python_files():
    """All of Python's library that the tests need."""
    config.import_qmp()
    importlib.import_module("run").load_tests()
    for name in LATE:
        importlib.import_module(name)
    stdlib = sysconfig.get_path("stdlib")
    files = set()
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None) or ""
        if not path.startswith(stdlib):
            continue                # built in, or ours
        if path.endswith(".so"):
            files.add(path)
        elif os.path.basename(path) == "__init__.py" and "." not in name:
            files.update(package(os.path.dirname(path)))
        else:
            files.update(cached(path))
    return sorted(files)


def firmware(name):
    """In the first directory of firmware that has it."""
    for directory in ("/usr/share/seabios", "/usr/share/qemu"):
        if os.path.exists(os.path.join(directory, name)):
            return os.path.join(directory, name)
    raise config.ConfigError(f"no firmware {name}")


def add_cfph(outer):
    """QEMU, the guest, and the tests, in /cfph: see outer-init."""
    def put(source, name, mode=0o644):
        outer.file(source, f"/cfph/{name}", mode)

    def put_all(pattern, directory):
        for path in sorted(glob.glob(pattern)):
            put(path, f"{directory}/{os.path.basename(path)}")

    outer.program(config.qemu(), "/cfph/qemu-system-x86_64")
    for name in ROMS:
        put(firmware(name), f"firmware/{name}")
    put(config.kernel(), "bzImage")
    put(config.system_map(), "System.map")
    put(os.path.join(os.path.dirname(config.system_map()), ".config"), ".config")
    put(config.initramfs(), "initramfs")
    put_all(f"{SELFTESTS}/lib/cfphtest/*.py", "selftests/lib/cfphtest")
    put(f"{SELFTESTS}/run.py", "selftests/run.py", 0o755)
    for name in TESTS:
        put(f"{SELFTESTS}/tests/{name}.py", f"selftests/tests/{name}.py")
    put_all(f"{os.environ['QEMU_SRC']}/python/qemu/qmp/*.py", "src/python/qemu/qmp")


def main():
    build, busybox, path = sys.argv[1:]
    outer = Archive()
    outer.base(os.path.join(HERE, "outer-init"), busybox, "/bin", "/sbin", "/dev",
               "/proc", "/sys", "/run", "/tmp", "/root", "/etc")
    order = os.path.join(build, "cloud", "order")
    outer.file(order, "/modules/order", 0o644)
    with open(order, encoding="ascii") as names:
        for name in names.read().split():
            outer.file(os.path.join(build, "cloud", name), f"/modules/{name}", 0o644)
    outer.program(PYTHON)
    for name in python_files():
        outer.file(name, mode=0o644)
        if name.endswith(".so"):
            outer.libraries_of(name)
    add_cfph(outer)
    with open(path, "wb") as out:
        outer.write(out)


if __name__ == "__main__":
    try:
        main()
    except config.ConfigError as err:
        sys.exit(f"mkouter.py: {err}")
