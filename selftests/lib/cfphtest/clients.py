# SPDX-License-Identifier: GPL-2.0
"""Independent netlink clients for the guest: an archive to be put into it.

Python with the kernel's own ynl and our spec, genl-ctrl-list of libnl, genl of
iproute2.  Only what is needed of Python's library goes in: the modules that ynl
has loaded, once it has read and checked our spec here on the host.
"""

import json
import os
import subprocess

from . import config, programs
from .registry import Failure

PYTHON = "/usr/bin/python3"
YNL = "tools/net/ynl"
SPEC = "Documentation/netlink/specs/cfph.yaml"
TREE = "/ynl"           # where the guest has these two
CLI = f"python3 {TREE}/{YNL}/cli.py --spec {TREE}/{SPEC}"

# Prints the files of all modules that a use of ynl loads.
MODULES = """
import sys
sys.path.insert(0, sys.argv[1])
import argparse, ctypes, json, pprint, select, time, encodings.ascii
from lib import YnlFamily, Netlink, NlError
from lib.nlspec import SpecFamily
SpecFamily(sys.argv[2])
for module in list(sys.modules.values()):
    for name in ("__file__", "__cached__"):
        if getattr(module, name, None):
            print(getattr(module, name))
"""

# cfph-nl: does several things with one process of Python, which is slow to start.
# Its argument is a list of steps, see step(); it prints one line of JSON each.
NL = f"""#!/usr/bin/python3
import ctypes, json, os, select, sys, time
sys.path.insert(0, "{TREE}/{YNL}")
from lib import YnlFamily, NlError

class Client:
    def __init__(self):
        self._ynl = None

    @property
    def ynl(self):
        if not self._ynl:
            self._ynl = YnlFamily("{TREE}/{SPEC}", "")
        return self._ynl

    def uid(self, number):              # become somebody else
        os.setgid(number)
        os.setuid(number)

    def unshare(self, flags):           # CLONE_NEW*
        if ctypes.CDLL(None, use_errno=True).unshare(flags):
            raise OSError(ctypes.get_errno(), "unshare")

    def open(self):
        self.ynl

    def do(self, name, attrs={{}}):
        return self.ynl.do(name, attrs)

    def dump(self, name):
        return self.ynl.dump(name, {{}})

    def until(self, name, attr, least, seconds=60):
        end = time.monotonic() + seconds
        while True:
            got = self.ynl.do(name, {{}})
            if got[attr] >= least or time.monotonic() > end:
                return got
            time.sleep(0.05)

    def watch(self, stop):              # events, one a line, until stop exists
        self.ynl.ntf_subscribe("monitor")
        print(json.dumps("ready"), flush=True)
        last = False
        while not last:
            last = os.path.exists(stop)
            select.select([self.ynl.sock], [], [], 0 if last else 0.2)
            self.ynl.check_ntf()
            for event in self.ynl.async_msg_queue:
                print(json.dumps(event["msg"]), flush=True)
            self.ynl.async_msg_queue.clear()

def step(client, words):
    try:
        return {{"ok": getattr(client, words[0])(*words[1:])}}
    except NlError as err:
        return {{"error": os.strerror(err.error),
                "extack": err.nl_msg.extack or {{}}}}
    except Exception as err:
        return {{"error": str(err), "extack": {{}}}}

client = Client()
for words in json.loads(sys.argv[1]):
    print(json.dumps(step(client, words), default=bytes.hex), flush=True)
"""


def _python_files(linux):
    done = subprocess.run(
        [PYTHON, "-c", MODULES, os.path.join(linux, YNL),
         os.path.join(linux, SPEC)],
        capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(f"ynl does not take our spec: {done.stderr[-500:]}")
    files = set(done.stdout.split("\n")) - {""}
    for path in list(files):
        if path.endswith("/jsonschema/__init__.py"):    # its own data
            schemas = os.path.join(os.path.dirname(path), "schemas")
            files.update(os.path.join(schemas, name)
                         for name in os.listdir(schemas))
    return files


def initrd(ctx):
    """An initramfs for ctx.vm()."""
    linux = config.linux_src()
    listers = [programs.find("genl-ctrl-list", "libnl-utils"),
               programs.find("genl", "iproute2")]
    python = _python_files(linux)
    # A cached module may not have been written by this user.
    inside = {name: name for name in python if os.path.exists(name)}
    inside.update(programs.with_libraries(
        listers + [PYTHON] + [name for name in python if ".so" in name]))
    for name in (f"{YNL}/cli.py", SPEC, "Documentation/netlink/genetlink.yaml"):
        inside[os.path.join(linux, name)] = os.path.join(linux, name)
    return ctx.initrd_with(
        {TREE + name[len(linux):] if name.startswith(linux + "/") else
         name: source for name, source in inside.items()},
        {"/usr/bin/cfph-nl": NL})


def steps(vm, *words, limit=120):
    """Run cfph-nl with these steps; what each has answered."""
    text = json.dumps(words)
    assert "'" not in text
    out = vm.sh(f"cfph-nl '{text}'", limit)
    return [json.loads(line) for line in out.strip().splitlines()]


def good(vm, *words, limit=120):
    """The same, but nothing may be refused."""
    answers = steps(vm, *words, limit=limit)
    for word, answer in zip(words, answers):
        if "ok" not in answer:
            raise Failure(f"{vm.name}: {word}: {answer}")
    return [answer["ok"] for answer in answers]
