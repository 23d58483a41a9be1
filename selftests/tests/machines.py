# SPDX-License-Identifier: GPL-2.0
"""Other machines, other kinds of virtio, other writers of the guest's memory.

Each works, under load and with all memory compared, or is refused, and then says why.
"""

from cfphtest import guest, hints, storage
from cfphtest.integrity import (arrive, compare, integrity, load, long_round,
                                need_hints, resume, several_rounds)
from cfphtest.registry import need, test

MEM = "256M"


def works(ctx, **fields):
    """The load, a round in which the decision matters most, the comparison."""
    return integrity(ctx, ctx.spec(mem=MEM, **fields), stress_mib=90, way=long_round)


# --- kinds of virtio ---

def features(vm):
    """What the guest's driver has accepted: bit 0 is the first character."""
    return vm.sh(f"cat {guest.DRIVER}/virtio*/features").strip()


VERSION_1, RING_PACKED = 32, 34


def need_features(vm, wanted):
    """@wanted: {bit: "0" or "1"}"""
    got = features(vm)
    need({bit: got[bit] for bit in wanted} == wanted, f"features {got}, not {wanted}")


@test("machine-legacy")
def machine_legacy(ctx):
    """A device from before version 1 of virtio."""
    vm = works(ctx, balloon_opts=["disable-legacy=off", "disable-modern=on"])
    need_features(vm, {VERSION_1: "0"})


@test("machine-transitional")
def machine_transitional(ctx):
    """A device that can be both, on q35."""
    vm = works(ctx, machine="q35",
               balloon_opts=["disable-legacy=off", "disable-modern=off"])
    need_features(vm, {VERSION_1: "1"})


@test("machine-packed")
def machine_packed(ctx):
    """Packed rings, of all devices."""
    vm = works(ctx, virtio_opts=["packed=on"], balloon_opts=["packed=on"],
               disk=ctx.disk())
    need_features(vm, {RING_PACKED: "1"})


# --- without PCI ---

# With ACPI it has no timer but KVM's clock, which TCG has not.
MICROVM = {"machine": "microvm", "machine_opts": "acpi=off", "bus": "device"}


@test("machine-microvm")
def machine_microvm(ctx):
    """microvm: virtio-mmio, as version 1 of virtio has it."""
    vm = works(ctx, **MICROVM, extra=["-global", "virtio-mmio.force-legacy=false"])
    need_features(vm, {VERSION_1: "1"})


@test("machine-microvm-legacy")
def machine_microvm_legacy(ctx):
    """microvm as it is by default: virtio-mmio from before version 1."""
    vm = works(ctx, **MICROVM)
    need_features(vm, {VERSION_1: "0"})


# --- behind an IOMMU ---

# The guest leaves the IOMMU off, unless it is told otherwise: all goes through.
BEHIND = ["iommu_platform=on", "disable-legacy=on"]
IOMMU = {"machine": "q35", "extra": ["-device", "intel-iommu"],
         "virtio_opts": BEHIND}


@test("machine-iommu")
def machine_iommu(ctx):
    """Disk and console behind a virtual IOMMU; the balloon is beside it."""
    works(ctx, disk=ctx.disk(), **IOMMU)


@test("machine-iommu-translated")
def machine_iommu_translated(ctx):
    """The guest uses it: its disk writes to addresses of the IOMMU's."""
    vm = works(ctx, disk=ctx.disk(), **IOMMU,
               kernel_args="intel_iommu=on iommu.strict=1")
    kind = vm.sh("cat /sys/block/vda/device/../iommu_group/type").strip()
    ctx.say(f"the disk is in a domain of type {kind}")
    need(kind == "DMA", "its addresses are not translated")


@test("machine-iommu-balloon")
def machine_iommu_balloon(ctx):
    """A balloon that insists on the IOMMU: Linux does not drive it, no hints."""
    src, dst = ctx.pair(ctx.spec(mem=MEM, balloon_opts=BEHIND, **IOMMU))
    show = guest.fpctl(src)
    need(show["reason"] == "no-device", f"{show}")
    src.sh("stamp start; stress start --mib 60 --workers 2", 120)
    info = several_rounds(src, dst)
    need(not info["ram"]["free-pages-skipped"], "skipped without a driver")
    hints.need_state(info, "off", "no-driver")
    need(not compare(ctx, src, dst).differ, "pages differ without hints")
    resume(dst)
    guest.check_stress(dst, "stop")
    guest.check_stamp(dst)
    said = src.console_text()
    need("device refuses features" in said, "the driver has bound")
    guest.check_console(src, dst)


# --- other writers ---

@test("machine-iothread")
def machine_iothread(ctx):
    """A disk with a thread of its own."""
    works(ctx, disk=ctx.disk(), disk_opts=["iothread=io1"],
          extra=["-object", "iothread,id=io1"])


@test("machine-vhost-user")
def machine_vhost_user(ctx):
    """A disk whose process writes to the guest's memory."""
    image = ctx.disk()
    with storage.daemon(ctx, image, 2) as sockets:
        spec = ctx.spec(mem=MEM, backend="memfd", disk=image, vhost_user=sockets[0])
        src, dst = ctx.pair(spec, spec.but(vhost_user=sockets[1]))
        load(src, stress_mib=90)
        need_hints(ctx, several_rounds(src, dst))
        arrive(ctx, src, dst)
        ctx.drop(dst)
        ctx.drop(src)
