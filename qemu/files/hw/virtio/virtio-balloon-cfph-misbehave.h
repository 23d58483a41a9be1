/*
 * Virtio balloon: continuous free-page hints, a host that breaks the rules
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What virtio-balloon-cfph.c calls instead of its own queues when the property
 * VIRTIO_BALLOON_CFPH_MISBEHAVE_PROP is set; see the .c file, which is compiled
 * with CONFIG_CFPH_MUTANTS only.
 */
#ifndef QEMU_VIRTIO_BALLOON_CFPH_MISBEHAVE_H
#define QEMU_VIRTIO_BALLOON_CFPH_MISBEHAVE_H

#include "hw/virtio/virtio-balloon.h"

/* False and @errp set if the property has a value that does not exist. */
bool virtio_balloon_cfph_misbehave_check(VirtIOBalloon *s, Error **errp);
/* True: the property is set, and the queues are made. */
bool virtio_balloon_cfph_misbehave_realize(VirtIOBalloon *s);
/* These two do nothing without the property. */
void virtio_balloon_cfph_misbehave_unrealize(VirtIOBalloon *s);
void virtio_balloon_cfph_misbehave_set_status(VirtIOBalloon *s, uint8_t status);

#endif
