# SPDX-License-Identifier: GPL-2.0
"""Ours and not ours: a QEMU, a guest kernel, a machine type from before.

The other QEMU and the other kernel are Debian's binaries of the same upstream versions,
unpacked by `make stock`.
"""

from cfphtest import config, docpages, guest, hints
from cfphtest.integrity import (compare, need_hints, need_map, need_refusal,
                                resume, wait_registered)
from cfphtest.migrate import Migration
from cfphtest.registry import Skip, need, test
from cfphtest.vm import refusal

MEM = "256M"
KO = guest.KO


def stock_qemu():
    try:
        return config.stock_qemu()
    except config.ConfigError as err:
        raise Skip(f"QEMU without our patches is not there: {err}") from None


def stock_kernel(ctx):
    """The kernel, and our file system with the only module that it needs of its own."""
    try:
        files = {KO: config.stock("kernel/virtio_balloon.ko")}
        kernel = config.stock("kernel/vmlinuz")
    except config.ConfigError as err:
        raise Skip(f"a kernel without our patches is not there: {err}") from None
    return {"kernel": kernel, "initrd": ctx.initrd_with(
        files, {f"{KO.rpartition('/')[0]}/order": "virtio_balloon.ko\n"})}


def used_once(vm):
    """Free memory has old contents, so that it is seen whether it was sent."""
    vm.sh("stamp start --mib 24; memhog --percent 60", 60)


def go(src, dst):
    """Through, with the destination held; query-migrate."""
    return Migration(src, dst, caps=("return-path",)).start().finish()


def same(ctx, src, dst):
    """Without hints no page differs, free or not; the guest goes on."""
    verdict = compare(ctx, src, dst)
    need(not verdict.differ, f"pages differ without hints: {verdict}")
    resume(dst)
    guest.check_stamp(dst)
    guest.check_console(src, dst)


def arrived(ctx, src, dst):
    """With hints: nothing is lost, and they go on on the other side."""
    compare(ctx, src, dst)
    resume(dst)
    guest.check_stamp(dst)
    need_map(dst)
    guest.check_console(src, dst)


def no_hints(info, status, reason):
    """Our source says why it has used none."""
    need(not info["ram"]["free-pages-skipped"], f"skipped: {info['ram']}")
    hints.need_state(info, status, reason)


def without(vm):
    """What fpctl says in a guest whose device does not offer the feature."""
    show = guest.fpctl(vm)
    need((show["state"], show["reason"]) == ("off", "no-device"), f"{show}")
    return vm.sh("fpctl")


def one_vcpu(ctx, **fields):
    """A guest that Debian's QEMU runs, too, under which one with two vCPUs dies now and
    then when it patches its own code (guest-code-changes)."""
    return ctx.spec(mem=MEM, smp=1, **fields)


@test("mixed-plain")
def mixed_plain(ctx):
    """Without the property: from Debian's QEMU to ours, and back."""
    ours = one_vcpu(ctx, hints="off")
    theirs = ours.but(program=stock_qemu())
    src, dst = ctx.pair(theirs, ours)
    ctx.say(theirs_says(src))
    need("no-device" in without(src), "not in words")
    used_once(src)
    info = go(src, dst)
    need(hints.MEMBER not in info, f"that QEMU is ours: {info}")
    same(ctx, src, dst)
    ctx.drop(src)
    back = ctx.destination(theirs)
    no_hints(go(dst, back), "off", "no-device")
    same(ctx, dst, back)
    need("no-device" in without(back), "not in words")


def theirs_says(vm):
    """What version it is; and that it does not know the property."""
    known = vm.qmp("device-list-properties", typename="virtio-balloon-pci")
    need("continuous-free-page-hint" not in [p["name"] for p in known],
         "that QEMU has our patches")
    return vm.qmp("query-version")["package"]


@test("mixed-unknown", 30)
def mixed_unknown(ctx):
    """Debian's QEMU does not start with the property, and says so."""
    said = refusal("-device", "virtio-balloon-pci,continuous-free-page-hint=on",
                   program=stock_qemu())
    ctx.say(said)
    docpages.need_quoted(docpages.HOST, "Property 'virtio-balloon-pci", said)


@test("mixed-roll-out", 240)
def mixed_roll_out(ctx):
    """To a QEMU with the property, with hints from there, and not back to Debian's."""
    ours = one_vcpu(ctx)
    theirs = ours.but(hints="off", program=stock_qemu())
    src, dst = ctx.pair(theirs, ours)
    theirs_says(src)
    without(src)
    used_once(src)
    go(src, dst)
    same(ctx, src, dst)
    ctx.drop(src)
    src = dst
    show = guest.fpctl(src)
    need(show["reason"] == "not-negotiated", f"{show}")
    guest.rebind(src)
    guest.settled(src)
    wait_registered(src)
    dst = ctx.destination(theirs)
    refused(ctx, src, dst)
    ctx.drop(dst)
    dst = ctx.destination(ours)
    need_hints(ctx, go(src, dst))
    arrived(ctx, src, dst)


def refused(ctx, src, dst):
    """The destination ends at once and says what it lacks; the guest goes on."""
    migration = Migration(src, dst).start()
    status = migration.wait_end()
    need(status == "failed", f"{status}, and that QEMU cannot have the feature")
    ctx.say(f"source: {migration.info().get('error-desc')}")
    need_refusal(ctx, src, dst)
    guest.check_stamp(src)


@test("mixed-guest-kernel")
def mixed_guest_kernel(ctx):
    """Debian's kernel on our QEMU with the property: no driver, no hints, no harm."""
    booted = stock_kernel(ctx)
    spec = ctx.spec(mem=MEM)
    src = ctx.vm(spec, "src", **booted).boot()
    ctx.say(src.sh("uname -r").strip())
    code, said = src.run("fpctl")
    ctx.say(f"fpctl: exit status {code}: {said.strip()}")
    need(code == 3 and "kernel" in said, "fpctl does not say that the kernel lacks it")
    need(src.sh(f"ls -d {guest.DRIVER}/virtio*"), "its balloon has no driver")
    used_once(src)
    dst = ctx.vm(spec, "dst", incoming=True, paused=True, **booted)
    no_hints(go(src, dst), "off", "no-driver")
    same(ctx, src, dst)


@test("mixed-machine", 240)
def mixed_machine(ctx):
    """Machine types of earlier QEMUs have hints like the newest."""
    for machine in ("pc-i440fx-9.2", "pc-q35-8.2"):
        src, dst = ctx.pair(ctx.spec(mem=MEM, machine=machine))
        guest.settled(src)
        used_once(src)
        need_hints(ctx, go(src, dst))
        ctx.say(machine)
        arrived(ctx, src, dst)
        ctx.drop(src)
        ctx.drop(dst)
