# SPDX-License-Identifier: GPL-2.0
"""The packages of `make deb`: installed, used and removed, in a Debian of their own, with
the commands that the guides give.
"""

import contextlib
import glob
import os
import re
import shlex
import shutil
import subprocess

from cfphtest import debroot, guest, hints
from cfphtest.docpages import GUIDE, HOST, block, section
from cfphtest.libvirtd import Daemon, Domain, free_port
from cfphtest.migrate import Migration
from cfphtest.registry import Skip, need, test, wait_for
from cfphtest.save import written

IMAGE = "linux-image-"
OURS = ("fpctl", IMAGE, "qemu-system-x86-cfph")
EMULATOR = "/usr/bin/qemu-system-x86_64-cfph"
DOCS = "/usr/share/doc"


def packages():
    """{name: path} of what make deb has built."""
    directory = os.environ.get("DEB")
    if not directory:
        raise Skip("installs a Debian, which takes minutes: make check-deb")
    found = {os.path.basename(path).split("_")[0]: path
             for path in glob.glob(os.path.join(directory, "*.deb"))}
    need(len(found) == len(OURS) and
         all(any(n.startswith(o) for n in found) for o in OURS),
         f"{directory}: {sorted(found)}")
    return found


@test("packages-lintian", 600)
def packages_lintian(ctx):
    """Nothing that Debian's own checker calls an error or a warning."""
    debroot.need_tools()
    for name, path in packages().items():
        done = subprocess.run(
            ["lintian", "--allow-root", "--fail-on", "error,warning", path],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        need(not done.returncode, f"{name}: {done.stdout}{done.stderr}")
        ctx.say(f"{name}: clean")


def commands(page, title):
    """What the section of a guide has its reader type, as root."""
    found = re.findall(r"^    (?:guest|host)# (.*)$", section(page, title), re.M)
    need(len(found) > 1, f"{page}: {title}: {found}")
    return found


def dependencies(root, names):
    """What apt would install along with those packages, without them."""
    text = root.sh("apt-get install -s --no-install-recommends ./*.deb")
    return [name for name in re.findall(r"^Inst (\S+)", text, re.M)
            if name not in names]


def use_fpctl(ctx, root):
    version = root.sh("dpkg-query -W -f '${Version}' fpctl")
    said = root.sh("fpctl --version")
    need(version in said, f"fpctl --version: {said}, the package: {version}")
    need("reclaim" in root.sh("fpctl --help"), "fpctl --help")
    need("EXIT STATUS" in root.sh("man fpctl"), "man fpctl")
    words = root.sh("bash -c '. /usr/share/bash-completion/completions/fpctl; "
                    "COMP_WORDS=(fpctl re); COMP_CWORD=1; _fpctl fpctl re; "
                    "echo \"${COMPREPLY[@]}\"'")
    need("reset" in words and "restore" in words, f"bash completes: {words}")
    root.sh("fish -n /usr/share/fish/vendor_completions.d/fpctl.fish; "
            "zsh -n /usr/share/zsh/vendor-completions/_fpctl")
    code, said = root.run("fpctl")
    need(code == 3, f"fpctl, on a kernel without cfph: {code}, {said}")
    unit = root.sh("dpkg -L fpctl | grep fpctl.service$").strip()
    root.sh(f"systemd-analyze verify {unit}")
    code, said = root.run(f"(cat {unit}; echo Nonsense=1) >/tmp/faulty.service; "
                          "systemd-analyze verify /tmp/faulty.service; rm /tmp/faulty.service")
    need("Nonsense" in said, f"systemd-analyze is blind: {said}")
    state = root.run("systemctl is-enabled fpctl")[1].strip()
    need(state == "disabled", f"fpctl.service is {state}")
    root.sh("systemctl enable fpctl")
    need(root.sh(f"ls {DOCS}/fpctl /usr/share/fpctl/schema").count("cfph") > 1,
         "no guide")
    ctx.say(f"fpctl {version}")


def use_qemu(ctx, root):
    theirs = root.sh("qemu-system-x86_64 --version").splitlines()[0]
    ours = root.sh(f"{EMULATOR} --version").splitlines()[0]
    need("(cfph)" in ours and "(cfph)" not in theirs, f"{ours}, {theirs}")
    shown = root.sh(f"{EMULATOR} -device virtio-balloon-pci,help")
    need("continuous-free-page-hint=" in shown, f"no property: {shown}")
    need("debug" not in shown, f"has what is for tests only: {shown}")
    need("FreePageHintsReason" in
         root.sh(f"zcat {DOCS}/qemu-system-x86-cfph/qemu-qmp-ref.txt.gz"),
         "no reference of QMP")
    need("SEE ALSO" in root.sh("man qemu-system-x86_64-cfph"), "man")
    ctx.say(f"{ours}, beside {theirs}")


LIBVIRT = "/debs/libvirt"       # unpacked, not installed: its daemons take no part
PARSE = ("printf 'profile x {\\n#include <abstractions/libvirt-qemu>\\n}\\n' | "
         f"apparmor_parser -p -I {LIBVIRT}/etc/apparmor.d -I /etc/apparmor.d")


def use_apparmor(ctx, root, told):
    """libvirt's profile of a guest allows our emulator, once the guide has been read."""
    root.sh("for p in libvirt-daemon-driver-qemu libvirt-daemon-system; do "
            f"apt-get download $p && dpkg-deb -x $p*.deb {LIBVIRT} && rm $p*.deb; done")
    by_itself = f"{EMULATOR} rmix," in root.run(PARSE)[1]
    need(by_itself == (debroot.suite() != "bookworm"), f"by itself: {by_itself}")
    for command in told:
        root.sh(command)
    flat = root.sh(PARSE)
    need(f"{EMULATOR} rmix," in flat and "qemu-system-x86_64 rmix," in flat,
         f"AppArmor: {flat}")
    root.sh("rm -r /etc/apparmor.d/local/abstractions")
    ctx.say(f"AppArmor: allowed {'at once' if by_itself else 'when told'}")


def initrd(ctx, root, release):
    """Our test guest with what the packages have for one: its modules and fpctl."""
    modules = os.path.join(root.path, "lib/modules", release,
                           "kernel/drivers/virtio")
    inside = {f"/lib/modules/cfph/{name}": os.path.join(modules, name)
              for name in ("virtio_mem.ko", "virtio_balloon.ko")}
    inside["/usr/sbin/fpctl"] = os.path.join(root.path, "usr/bin/fpctl")
    return ctx.initrd_with(inside)


def start(ctx, root, release):
    """Source and destination: their QEMU, kernel and modules, and our test guest."""
    emulator = os.path.join(ctx.logs, "qemu")
    with open(emulator, "w", encoding="utf-8") as out:
        out.write(f"#!/bin/sh\nexec {root.enter} {EMULATOR} \"$@\"\n")
    os.chmod(emulator, 0o755)
    # Nothing of what is beside it: the firmware is that which it finds by itself.
    os.environ.update(QEMU=emulator, FIRMWARE="")
    files = {"kernel": f"/boot/vmlinuz-{release}", "initrd": initrd(ctx, root, release)}
    src, dst = (ctx.vm(ctx.spec(mem="512M"), name, incoming=name == "dst", **files)
                for name in ("src", "dst"))
    src.boot()
    return src, dst


def use_all(ctx, root, release):
    """The first migration: packages at both ends and in the guest."""
    options = root.sh(f"cat /boot/config-{release}")
    for word in ("CFPH_DEBUG", "KUNIT", "HWPOISON_INJECT"):
        need(f"CONFIG_{word}=" not in options, f"{release} has {word}")
    src, dst = start(ctx, root, release)
    uname = src.sh("uname -r").strip()
    need(release == uname, f"{release} says it is {uname}")
    guest.settled(src)
    need(src.sh("fpctl --version") == root.sh("fpctl --version"), "fpctl")
    src.sh("memhog --percent 60", 120)
    info = Migration(src, dst).start().finish()
    hints.need_state(info, "decided", "none")
    skipped = info["ram"]["free-pages-skipped"]
    need(skipped > (256 << 20) // 4096, f"{skipped} pages skipped")
    need("ready" in dst.sh("fpctl"), "not ready at the destination")
    guest.check_console(src, dst)
    ctx.say(f"{uname}: {skipped} pages skipped")


@contextlib.contextmanager
def debian(ctx):
    """(directory, packages in it, release of the kernel)"""
    ours = packages()
    kernel, = (name for name in ours if name.startswith(IMAGE))
    with contextlib.closing(debroot.Root(ctx, "man-db", "systemd",
                                         "ca-certificates")) as root:
        root.sh("apt-get update")
        for path in ours.values():
            shutil.copy(path, os.path.join(root.path, "debs"))
        yield root, ours, kernel.removeprefix(IMAGE)


@test("packages-install", 1800)
def packages_install(ctx):
    """Installed by the guides, used, migrated with, and removed without a trace."""
    with debian(ctx) as (root, ours, release):
        # Theirs, and what looks at ours: a conflict of files would end it below.
        others = ["qemu-system-x86", "apparmor", "zsh", "fish"]
        root.sh("apt-get install -y --no-install-recommends " + " ".join(
            [*others, *dependencies(root, ours)]))
        before = root.files()
        typed = commands(HOST, "Install") + commands(GUIDE, "Install")
        install = [c for c in typed if " install " in c]
        purge = [c for c in typed if " purge " in c]
        need(len(install) == len(purge) == 2, f"the guides: {typed}")
        for command in install:
            root.sh(command)
        need(not root.sh("dpkg --audit"), "dpkg --audit")
        ctx.say(f"{len(root.files() - before)} files")
        use_fpctl(ctx, root)
        use_qemu(ctx, root)
        use_apparmor(ctx, root, [c for c in typed if c not in install + purge])
        use_all(ctx, root, release)
        root.write("etc/fpctl.conf", "interval-ms = 20\n")
        for command in purge:
            root.sh(command)
        left = root.sh("dpkg-query -W -f '${Package} ${Status}\\n'")
        need(not any(line.startswith(OURS) for line in left.splitlines()), left)
        after = root.files()
        need(after == before, f"left behind: {sorted(after - before)}, "
             f"gone: {sorted(before - after)}")


# --- the guide's first migration, as somebody follows it ---

DESTINATION = "qemu+ssh://destination/system"
DEFERRED = r"free pages deferred: *[1-9]"
# What stands in for a disk with a Debian on it, and what a test talks to the guest by.
BOOT = """<kernel>/boot/vmlinuz-{release}</kernel>
    <initrd>{initrd}</initrd>
    <cmdline>console=ttyS0 panic=-1 oops=panic no_timer_check</cmdline>
  </os>"""
TALK = """<serial type='file'><source path='{console}' append='on'/></serial>
    <channel type='unix'>
      <target type='virtio' name='org.cfph.agent'/>
    </channel>
  </devices>"""


def guest_xml(ctx, root, host, release):
    """The guide's VM, without its disk."""
    # The user that these daemons are of may not have KVM.
    xml = block(HOST, "saved as ``guest.xml``::").replace("type='kvm'", "type='qemu'")
    disk = re.search(r"    <disk .*?</disk>\n", xml, re.S)
    need(disk, f"no disk: {xml}")
    xml = xml.replace(disk[0], "")
    xml = xml.replace("</os>", BOOT.format(release=release,
                                           initrd=initrd(ctx, root, release)))
    return xml.replace("</devices>", TALK.format(console=host.file("console")))


class Operator:
    """Types the guide's commands, on two hosts that are one Debian."""

    def __init__(self, ctx, hosts):
        self.ctx, self.hosts = ctx, hosts
        self.vm = self._job = None

    def type(self, name, line):
        """One command, on the host of that name."""
        host = self.hosts[name]
        words = shlex.split(line.removesuffix("&").replace(
            DESTINATION, self.hosts["destination"].uri))
        if words[0] in ("define", "save", "restore"):
            words[-1] = host.file(words[-1])
        if words[0] == "migrate":
            # One machine has one port of that number, and the limit is time to look.
            self._job = host.begin(*words, "--bandwidth", "20", "--migrateuri",
                                   f"tcp://127.0.0.1:{free_port()}")
            return
        self.ctx.say(f"{name}$ virsh {line}")
        self._after(words, host, lambda: host.virsh(*words, limit=120))

    def _after(self, words, host, run):
        """What that command has to have done."""
        if "cfph-status" in words:
            wait_for(lambda: '"registered": true' in run(), "not registered")
            return
        if "migrate" in words:
            wait_for(lambda: re.search(DEFERRED, run()), "no pages are set aside")
            said = self._job.communicate()[1]
            need(not self._job.returncode, f"virsh migrate: {said}")
            self.vm.seen(self.hosts["destination"])
        else:
            run()
        if words[0] == "start":
            self.vm = Domain(host, words[1]).boot()
            guest.settled(self.vm)
            self.vm.sh("memhog --percent 60; stamp start", 120)
        elif words[0] == "save":
            size = written(words[-1])
            self.ctx.say(f"{size >> 20} MiB")
            need(size < 256 << 20, f"{size >> 20} MiB are saved")
        elif words[0] == "restore":
            self.vm.seen(host)


@test("packages-operator", 1800)
def packages_operator(ctx):
    """The guide's first migration, with the packages and its XML alone."""
    with debian(ctx) as (root, _ours, release), contextlib.ExitStack() as stack:
        root.sh("apt-get install --no-install-recommends ./*.deb libvirt-daemon "
                "libvirt-daemon-driver-qemu libvirt-clients")
        hosts = {name: stack.enter_context(contextlib.closing(
            Daemon(name, ctx.logs, [root.enter]))) for name in ("source", "destination")}
        source = hosts["source"]
        source.file("guest.xml", guest_xml(ctx, root, source, release))
        steps = re.findall(r"^    (source|destination)\$ virsh (.*)$",
                           section(HOST, "A first migration"), re.M)
        need(len(steps) > 6, f"{HOST}: only {steps}")
        operator = Operator(ctx, hosts)
        for name, line in steps:
            operator.type(name, line)
        ctx.say(guest.check_stamp(operator.vm))
        need("ready" in operator.vm.sh("fpctl"), "not ready after all of it")
        guest.check_console(operator.vm)
