# SPDX-License-Identifier: GPL-2.0-or-later
#
# For fuzzing virtio-balloon with free-page hints: a machine to plug it into.
# Each device less makes the build with sanitizers shorter.
CONFIG_Q35=y
CONFIG_VIRTIO_PCI=y
CONFIG_VIRTIO_BALLOON=y
