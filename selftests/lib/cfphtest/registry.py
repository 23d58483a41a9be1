# SPDX-License-Identifier: GPL-2.0
"""The tests by name, and what each gets to work with."""

import contextlib
import os
import shutil
import time

from . import config
from .initramfs import Archive
from .vm import VM, Spec


class Skip(Exception):
    """A host tool is missing, or the kernel is another one than the test is for.
    Nothing else: a failed build is a failure."""


class Failure(Exception):
    """What was to be shown does not hold."""


class Test:
    def __init__(self, name, limit, function):
        self.name, self.function = name, function
        self.limit = limit * config.patience()

    @property
    def about(self):
        return (self.function.__doc__ or "").strip().splitlines()[0]


TESTS = {}
SECONDS_EACH = 16       # on average, two at a time on two processors


def minutes(tests, jobs):
    """How long that many take, about."""
    return -(-tests * SECONDS_EACH // (60 * jobs))


def test(name, limit=180):
    """Decorator: register a test under `name` with a time limit in seconds."""
    def add(function):
        assert name not in TESTS, name
        TESTS[name] = Test(name, limit, function)
        return function
    return add


class Context:
    """Logs, accelerator, and the VMs of one test; closes them at the end."""

    def __init__(self, name, accelerator):
        self.accel = accelerator
        self.logs = config.out_dir("check", name)
        self.vms = []
        self.made = 0           # VMs so far: no two have one name, one log
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._stack.close()

    @staticmethod
    def say(text):
        print(f"# {text}", flush=True)

    def spec(self, **fields):
        fields.setdefault("accel", self.accel)
        fields.setdefault("hints", "cfph")
        return Spec(**fields)

    def vm(self, spec, name, **options):
        vm = self._stack.enter_context(VM(spec, name, self.logs, **options))
        self.vms.append(vm)
        self.made += 1
        return vm

    def drop(self, vm):
        """End a VM before the test ends."""
        self.vms.remove(vm)
        vm.close()

    def pair(self, spec, dst_spec=None, paused=True, **options):
        """A booted source and a destination that waits, held by -S."""
        src = self.vm(spec, f"src{self.made}", **options)
        dst = self.vm(dst_spec or spec, f"dst{self.made}", incoming=True,
                      paused=paused)
        src.boot()
        return src, dst

    def disk(self, mib=16):
        """A raw image for a guest that takes it along (both ends open it)."""
        path = os.path.join(self.logs, "disk.raw")
        with open(path, "wb") as image:
            image.truncate(mib << 20)
        return path

    def initrd_with(self, files, texts=None):
        """The usual initramfs with {guest path: host path} added behind it, and
        {guest path: contents}."""
        more = Archive()
        for name, source in sorted(files.items()):
            more.file(source, name)
        for name, text in (texts or {}).items():
            more.text(name, text)
        path = os.path.join(self.logs, "initrd")
        with open(config.initramfs(), "rb") as first, open(path, "wb") as out:
            shutil.copyfileobj(first, out)
            out.write(b"\0" * (-out.tell() % 4))
            more.write(out)
        return path

    def destination(self, spec, paused=True):
        return self.vm(spec, f"dst{self.made}", incoming=True,
                       paused=paused)


def need(condition, text):
    """Fail unless it holds."""
    if not condition:
        raise Failure(text)


def wait_for(condition, text, limit=60):
    """Poll what nothing announces; returns what the condition has returned."""
    end = time.monotonic() + limit * config.patience()
    while True:
        result = condition()
        if result:
            return result
        need(time.monotonic() < end, f"not within {limit} s: {text}")
        time.sleep(0.05)
