/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Continuous free-page hinting: what virtio_balloon.c calls.
 *
 * All but vb_cfph_inflated() happens in the balloon's probe, remove, freeze, restore
 * and validate callbacks, which the driver core and the PM core never run side by
 * side for one device.  A NULL struct vb_cfph is "the feature is not used" and
 * may be passed everywhere.
 */
#ifndef _DRIVERS_VIRTIO_BALLOON_CFPH_H
#define _DRIVERS_VIRTIO_BALLOON_CFPH_H

#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/cfph.h>
#include <uapi/linux/virtio_balloon_cfph.h>

struct vb_cfph;

#if IS_ENABLED(CONFIG_CFPH)

void vb_cfph_validate(struct virtio_device *vdev);
struct vb_cfph *vb_cfph_alloc(struct virtio_device *vdev);
void vb_cfph_free(struct vb_cfph *cf);
void vb_cfph_name_vqs(struct vb_cfph *cf, struct virtqueue_info *vqs_info);
void vb_cfph_set_vqs(struct vb_cfph *cf, struct virtqueue **vqs);
void vb_cfph_start(struct virtio_device *vdev, struct vb_cfph *cf);
void vb_cfph_stop(struct virtio_device *vdev, struct vb_cfph *cf,
		  enum cfph_reason why);

/**
 * vb_cfph_inflated - a page has been put into the balloon
 * @cf: the transport or NULL, and then no map depends on this balloon
 * @page: the page
 *
 * That it leaves the balloon is told by balloon_page_finalize().
 *
 * Context: the driver's balloon_lock is held, without which none leaves.
 */
static inline void vb_cfph_inflated(struct vb_cfph *cf, struct page *page)
{
	if (cf)
		cfph_page_inflated(page);
}

#else

static inline void vb_cfph_validate(struct virtio_device *vdev)
{
	/* It is in the driver's table whatever the configuration. */
	__virtio_clear_bit(vdev, VIRTIO_BALLOON_F_CFPH);
}

static inline struct vb_cfph *vb_cfph_alloc(struct virtio_device *vdev)
{
	return NULL;
}

static inline void vb_cfph_free(struct vb_cfph *cf) {}
static inline void vb_cfph_name_vqs(struct vb_cfph *cf,
				    struct virtqueue_info *vqs_info) {}
static inline void vb_cfph_set_vqs(struct vb_cfph *cf,
				   struct virtqueue **vqs) {}
static inline void vb_cfph_start(struct virtio_device *vdev,
				 struct vb_cfph *cf) {}
static inline void vb_cfph_stop(struct virtio_device *vdev, struct vb_cfph *cf,
				enum cfph_reason why) {}
static inline void vb_cfph_inflated(struct vb_cfph *cf, struct page *page) {}

#endif /* CONFIG_CFPH */

/* In virtio_balloon.c, for the callbacks: they are given a virtqueue only. */
struct vb_cfph *vb_cfph_of(struct virtio_device *vdev);

#endif /* _DRIVERS_VIRTIO_BALLOON_CFPH_H */
