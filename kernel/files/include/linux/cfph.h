/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Continuous free-page hinting: what a transport sees of mm/cfph, balloons, and the
 * kernel that crashes.
 *
 * mm/cfph keeps the map, decides when to send what, and builds whole messages
 * in the format of <uapi/linux/virtio_balloon_cfph.h>.  A transport owns the
 * message buffers and moves them; it knows nothing about pages.  There is at
 * most one transport at a time.
 */
#ifndef _LINUX_CFPH_H
#define _LINUX_CFPH_H

#include <linux/errno.h>
#include <linux/types.h>

#include <uapi/linux/cfph.h>

struct page;

/**
 * struct cfph_buffer - one message on its way to the host
 * @data: physically contiguous, 8-byte aligned memory of the transport
 * @size: bytes at @data
 * @length: bytes of the message, set by mm/cfph before it calls ->send()
 */
struct cfph_buffer {
	void *data;
	u32 size;
	u32 length;
};

/**
 * struct cfph_transport_ops - how mm/cfph reaches the host
 * @get_buffer: hand out a buffer that the host does not hold; NULL if it holds
 *	all.  Never waits, never allocates.
 * @put_buffer: take an unused buffer back
 * @send: give a filled buffer to the host.  0; or a negative errno when the
 *	device is gone or broken, and then the buffer has been taken back
 * @buffer_bytes: size of the whole pool, for reporting
 *
 * mm/cfph calls the first three from one task at a time, in process context,
 * holding no spinlock, and only between cfph_register() and the return of
 * cfph_unregister().
 */
struct cfph_transport_ops {
	struct cfph_buffer *(*get_buffer)(void *priv);
	void (*put_buffer)(void *priv, struct cfph_buffer *buf);
	int (*send)(void *priv, struct cfph_buffer *buf);
	size_t (*buffer_bytes)(void *priv);
};

#if IS_ENABLED(CONFIG_CFPH)

enum cfph_reason cfph_refusal(void);
void cfph_refuse(enum cfph_reason reason, const char *text);
int cfph_register(const struct cfph_transport_ops *ops, void *priv);
void cfph_unregister(enum cfph_reason why);
void cfph_watch(bool (*offers)(void *priv), void *priv);
void cfph_unwatch(void *priv);
void cfph_command(u16 command, u32 migration_id, u32 round);
void cfph_buffer_returned(void);

void cfph_page_inflated(struct page *page);
void cfph_page_deflating(struct page *page);

void cfph_crash(void);

#else

static inline void cfph_page_deflating(struct page *page)
{
}

static inline void cfph_crash(void)
{
}

#endif /* CONFIG_CFPH */

#endif /* _LINUX_CFPH_H */
