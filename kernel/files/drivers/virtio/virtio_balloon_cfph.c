// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: the transport between mm/cfph and the host.
 *
 * Owns the two queues behind VIRTIO_BALLOON_F_CFPH, the fixed pool of message
 * buffers and the command buffers.  Must not know what is in a message, nor
 * anything about pages: mm/cfph decides what is sent, and when.  The protocol
 * is described in <uapi/linux/virtio_balloon_cfph.h>.
 *
 * Nothing here waits for the host, and nothing allocates once probe is over.
 *
 * Who touches what:
 *
 *   message queue, pool   the task of mm/cfph that sends, which is one at a
 *                         time between cfph_register() and cfph_unregister();
 *                         so there is no lock.  The callback only wakes it.
 *   command queue         its callback, which may be a hard interrupt, the work
 *                         that the callback queues, and start/stop:
 *                         vb_cfph.cmd_lock, a leaf but for what cfph_command()
 *                         takes inside.
 *   everything else       probe, remove, freeze and restore, which exclude
 *                         each other.
 */
#include <linux/cfph.h>
#include <linux/device.h>
#include <linux/gfp.h>
#include <linux/minmax.h>
#include <linux/moduleparam.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/workqueue.h>
#include <uapi/linux/virtio_balloon.h>
#include <uapi/linux/virtio_balloon_cfph.h>

#include "virtio_balloon_cfph.h"

/*
 * 16 x 16 KiB = 256 KiB.  A BITS record takes 64 bytes for 2 MiB of RAM, so the
 * pool holds the worst-case pass of an 8 GiB guest; a larger one goes on when
 * the host returns a buffer.
 */
#define VB_CFPH_MESSAGES	16

/*
 * START, STOP and a few ROUNDs.  A command for which the host has no buffer has
 * to wait, and a late ROUND costs no more than a late pass.
 */
#define VB_CFPH_COMMANDS	8

/*
 * The features below ours that bring a queue.  Linux counts queues over the
 * features that were negotiated, QEMU over those that it offered: the numbers
 * of our queues agree only if none of these was offered and turned down.
 */
#define VB_CFPH_LOWER_QUEUES	(BIT_ULL(VIRTIO_BALLOON_F_STATS_VQ) |	    \
				 BIT_ULL(VIRTIO_BALLOON_F_FREE_PAGE_HINT) | \
				 BIT_ULL(VIRTIO_BALLOON_F_REPORTING))

/*
 * Features under which nobody relies on the contents of a free page; F_PAGE_POISON
 * is negotiated only where cfph_refusal() refuses.  One that has the host tell that
 * a page has been zeroed, say, would make a page that is skipped a page that is lost.
 */
#define VB_CFPH_HARMLESS	(VB_CFPH_LOWER_QUEUES |			     \
				 BIT_ULL(VIRTIO_BALLOON_F_MUST_TELL_HOST) |  \
				 BIT_ULL(VIRTIO_BALLOON_F_DEFLATE_ON_OOM) |  \
				 BIT_ULL(VIRTIO_BALLOON_F_PAGE_POISON) |     \
				 BIT_ULL(VIRTIO_BALLOON_F_CFPH))
/* What the balloon may define; the rest is the transport's. */
#define VB_CFPH_BALLOON		GENMASK_ULL(VIRTIO_TRANSPORT_F_START - 1, 0)

static ulong vb_cfph_harmless = VB_CFPH_HARMLESS;
#ifdef CONFIG_CFPH_DEBUG
module_param_named(cfph_harmless, vb_cfph_harmless, ulong, 0444);
MODULE_PARM_DESC(cfph_harmless, "features that do not rely on free pages");
#endif

/* Our queues, relative to the first of them in virtio_balloon.c's enum. */
enum vb_cfph_vq {
	VB_CFPH_VQ_COMMAND,
	VB_CFPH_VQ_MESSAGE,
};

/**
 * struct vb_cfph - the transport of one balloon device
 * @vdev: the device
 * @registered: mm/cfph has us as its transport
 * @cmd_vq: command queue, host to guest
 * @msg_vq: message queue, guest to host
 * @cmds: VB_CFPH_COMMANDS command buffers; the host may write to them at any
 *	time, even to those that it has returned
 * @taken: those of @cmds that have been read and are not posted yet
 * @nr_taken: how many
 * @post: posts them
 * @cmd_lock: protects @cmd_vq, @taken, @nr_taken and @listening
 * @listening: commands are handed to mm/cfph; false before start and after
 *	stop, when a callback must leave the queue alone
 * @buffers: the pool; as many of them as fit into the ring are used
 * @free: stack of the buffers that neither the host nor mm/cfph has
 * @nr_free: height of @free
 * @nr_used: how many of @buffers are used
 */
struct vb_cfph {
	struct virtio_device *vdev;
	bool registered;

	struct virtqueue *cmd_vq;
	struct virtqueue *msg_vq;

	struct virtio_balloon_cfph_cmd *cmds;
	struct virtio_balloon_cfph_cmd *taken[VB_CFPH_COMMANDS];
	unsigned int nr_taken;
	struct work_struct post;
	spinlock_t cmd_lock;	/* of cmd_vq, taken and listening */
	bool listening;

	struct cfph_buffer buffers[VB_CFPH_MESSAGES];
	struct cfph_buffer *free[VB_CFPH_MESSAGES];
	unsigned int nr_free;
	unsigned int nr_used;
};

/* --- commands: host -> guest --- */

static void vb_cfph_post_command(struct vb_cfph *cf,
				 struct virtio_balloon_cfph_cmd *cmd)
{
	struct scatterlist sg;

	lockdep_assert_held(&cf->cmd_lock);

	/*
	 * One entry, so that no indirect table is allocated.  It fails if the
	 * ring is smaller than VB_CFPH_COMMANDS, and then fewer do; or if the
	 * device is broken, and then there is nothing to listen to.
	 */
	sg_init_one(&sg, cmd, sizeof(*cmd));
	virtqueue_add_inbuf(cf->cmd_vq, &sg, 1, cmd, GFP_ATOMIC);
}

static void vb_cfph_handle_command(const struct virtio_balloon_cfph_cmd *cmd,
				   unsigned int length)
{
	/*
	 * mm/cfph counts what it does not know, so what is too short or of
	 * another version goes there as command 0, which is none.
	 */
	u16 command = 0;
	u32 migration_id = 0, round = 0;

	/*
	 * The host may rewrite the buffer while we look at it: read each field
	 * once.  It may also claim any @length; only too little matters.
	 */
	if (length >= sizeof(*cmd) &&
	    le16_to_cpu(READ_ONCE(cmd->version)) == VIRTIO_BALLOON_CFPH_VERSION) {
		command = le16_to_cpu(READ_ONCE(cmd->command));
		migration_id = le32_to_cpu(READ_ONCE(cmd->migration_id));
		round = le32_to_cpu(READ_ONCE(cmd->round));
	}

	cfph_command(command, migration_id, round);
}

/*
 * Read what the host has returned.  Each buffer is in the ring once at most, so
 * @taken has room even if the host answers without pause.
 */
static void vb_cfph_take_commands(struct vb_cfph *cf)
{
	struct virtio_balloon_cfph_cmd *cmd;
	unsigned int length;

	lockdep_assert_held(&cf->cmd_lock);

	while ((cmd = virtqueue_get_buf(cf->cmd_vq, &length))) {
		vb_cfph_handle_command(cmd, length);
		cf->taken[cf->nr_taken++] = cmd;
	}
}

/*
 * May be called with nothing to do: all queues share one interrupt vector in
 * QEMU's default configuration.
 *
 * Does not post again what it has taken: a host that answers each kick at once
 * would then keep this CPU in the interrupt for as long as it likes.  The work
 * has to wait for its turn like any other task, and so has the host.
 */
static void vb_cfph_command_done(struct virtqueue *vq)
{
	struct vb_cfph *cf = vb_cfph_of(vq->vdev);
	unsigned long flags;

	spin_lock_irqsave(&cf->cmd_lock, flags);
	if (cf->listening) {
		vb_cfph_take_commands(cf);
		if (cf->nr_taken)
			schedule_work(&cf->post);
	}
	spin_unlock_irqrestore(&cf->cmd_lock, flags);
}

/* Post all that the host does not have: what was taken, at first everything. */
static void vb_cfph_post_commands(struct work_struct *work)
{
	struct vb_cfph *cf = container_of(work, struct vb_cfph, post);
	bool kick = false;

	spin_lock_irq(&cf->cmd_lock);
	if (cf->listening) {
		while (cf->nr_taken)
			vb_cfph_post_command(cf, cf->taken[--cf->nr_taken]);
		kick = virtqueue_kick_prepare(cf->cmd_vq);
	}
	spin_unlock_irq(&cf->cmd_lock);

	if (kick)
		virtqueue_notify(cf->cmd_vq);
}

static void vb_cfph_listen(struct vb_cfph *cf)
{
	unsigned int i;

	spin_lock_irq(&cf->cmd_lock);
	/* The ring is new, so the host has none of them. */
	for (i = 0; i < VB_CFPH_COMMANDS; i++)
		cf->taken[i] = &cf->cmds[i];
	cf->nr_taken = VB_CFPH_COMMANDS;
	cf->listening = true;
	spin_unlock_irq(&cf->cmd_lock);

	vb_cfph_post_commands(&cf->post);
}

/* --- messages: guest -> host --- */

static void vb_cfph_message_done(struct virtqueue *vq)
{
	cfph_buffer_returned();
}

/* Take back what the host has read, and leave its interrupts off. */
static void vb_cfph_reclaim(struct vb_cfph *cf)
{
	struct cfph_buffer *buf;
	unsigned int unused;

	virtqueue_disable_cb(cf->msg_vq);
	/* The ring has each buffer once at most, so @free has room. */
	while ((buf = virtqueue_get_buf(cf->msg_vq, &unused)))
		cf->free[cf->nr_free++] = buf;
}

static struct cfph_buffer *vb_cfph_get_buffer(void *priv)
{
	struct vb_cfph *cf = priv;

	vb_cfph_reclaim(cf);
	/*
	 * Only now does an interrupt help.  The host may have returned a buffer
	 * before it saw that we want one, and then it sends none: look again.
	 */
	if (!cf->nr_free && !virtqueue_enable_cb(cf->msg_vq))
		vb_cfph_reclaim(cf);

	return cf->nr_free ? cf->free[--cf->nr_free] : NULL;
}

static void vb_cfph_put_buffer(void *priv, struct cfph_buffer *buf)
{
	struct vb_cfph *cf = priv;

	cf->free[cf->nr_free++] = buf;
}

static int vb_cfph_send(void *priv, struct cfph_buffer *buf)
{
	struct vb_cfph *cf = priv;
	struct scatterlist sg;
	int err;

	if (WARN_ON_ONCE(!buf->length || buf->length > buf->size)) {
		vb_cfph_put_buffer(cf, buf);
		return -EINVAL;
	}

	/* One entry and room for each buffer: nothing is allocated. */
	sg_init_one(&sg, buf->data, buf->length);
	err = virtqueue_add_outbuf(cf->msg_vq, &sg, 1, buf, GFP_ATOMIC);
	if (err) {
		vb_cfph_put_buffer(cf, buf);
		return err;
	}

	/* If this fails, the buffer stays in the dead ring until stop. */
	return virtqueue_kick(cf->msg_vq) ? 0 : -EIO;
}

static size_t vb_cfph_buffer_bytes(void *priv)
{
	return VB_CFPH_MESSAGES * VIRTIO_BALLOON_CFPH_MESSAGE_MAX;
}

static const struct cfph_transport_ops vb_cfph_ops = {
	.get_buffer	= vb_cfph_get_buffer,
	.put_buffer	= vb_cfph_put_buffer,
	.send		= vb_cfph_send,
	.buffer_bytes	= vb_cfph_buffer_bytes,
};

/* --- life: called by virtio_balloon.c --- */

static u64 vb_cfph_offered(struct virtio_device *vdev)
{
	return vdev->config->get_features(vdev);
}

static bool vb_cfph_offers(void *vdev)
{
	return vb_cfph_offered(vdev) & BIT_ULL(VIRTIO_BALLOON_F_CFPH);
}

/**
 * vb_cfph_validate - drop the feature if it cannot be used
 * @vdev: the balloon device
 *
 * Context: the end of the driver's validate callback, when every other feature
 *	has been decided.
 */
void vb_cfph_validate(struct virtio_device *vdev)
{
	enum cfph_reason refusal;
	u64 odd, lost;

	if (!virtio_has_feature(vdev, VIRTIO_BALLOON_F_CFPH))
		return;

	/* mm/cfph says why, in the log and over netlink. */
	refusal = cfph_refusal();
	if (refusal != CFPH_REASON_NONE) {
		cfph_refuse(refusal, "a device offers the feature");
		__virtio_clear_bit(vdev, VIRTIO_BALLOON_F_CFPH);
		return;
	}

	odd = vdev->features & VB_CFPH_BALLOON & ~vb_cfph_harmless;
	lost = vb_cfph_offered(vdev) & ~vdev->features & VB_CFPH_LOWER_QUEUES;
	if (odd) {
		dev_warn(&vdev->dev,
			 "cfph: off: features 0x%llx may rely on the contents of free pages\n",
			 odd);
		cfph_refuse(CFPH_REASON_PAGE_CONTENTS,
			    "another feature may rely on the contents of free pages");
	} else if (lost) {
		dev_warn(&vdev->dev,
			 "cfph: off: features 0x%llx were turned down, so device and driver would number the queues differently; do not offer them\n",
			 lost);
		cfph_refuse(CFPH_REASON_QUEUE_NUMBERS,
			    "queues below ours were offered and turned down");
	}
	if (odd || lost)
		__virtio_clear_bit(vdev, VIRTIO_BALLOON_F_CFPH);
}

/**
 * vb_cfph_alloc - get everything that the transport will ever need
 * @vdev: the balloon device, features negotiated
 *
 * Context: probe, before the queues are set up.
 * Return: the transport; NULL if the feature was not negotiated, or for want of
 *	memory, and then the balloon works without it.
 */
struct vb_cfph *vb_cfph_alloc(struct virtio_device *vdev)
{
	struct vb_cfph *cf;
	unsigned int i;

	if (!virtio_has_feature(vdev, VIRTIO_BALLOON_F_CFPH))
		return NULL;

	cf = kzalloc(sizeof(*cf), GFP_KERNEL);
	if (!cf)
		goto out_no_memory;

	cf->vdev = vdev;
	spin_lock_init(&cf->cmd_lock);
	INIT_WORK(&cf->post, vb_cfph_post_commands);
	cf->cmds = kcalloc(VB_CFPH_COMMANDS, sizeof(*cf->cmds), GFP_KERNEL);
	if (!cf->cmds)
		goto out_free;

	/*
	 * Physically contiguous.  Below 4 GiB, like the map (mm/cfph/leaf.c): a
	 * driver that is bound anew must not pin memory that was plugged in.
	 */
	for (i = 0; i < VB_CFPH_MESSAGES; i++) {
		cf->buffers[i].size = VIRTIO_BALLOON_CFPH_MESSAGE_MAX;
		cf->buffers[i].data = alloc_pages_exact(cf->buffers[i].size,
							GFP_KERNEL | __GFP_DMA32);
		if (!cf->buffers[i].data)
			goto out_free;
	}
	return cf;

out_free:
	vb_cfph_free(cf);
out_no_memory:
	dev_warn(&vdev->dev, "cfph: off: no memory for %u message buffers of %u bytes\n",
		 VB_CFPH_MESSAGES, VIRTIO_BALLOON_CFPH_MESSAGE_MAX);
	cfph_refuse(CFPH_REASON_NO_MEMORY, "no memory for message buffers");
	return NULL;
}

/**
 * vb_cfph_free - undo vb_cfph_alloc()
 * @cf: the transport or NULL
 *
 * Context: the queues have been deleted, so that no callback runs and the host
 *	has no buffer.
 */
void vb_cfph_free(struct vb_cfph *cf)
{
	unsigned int i;

	if (!cf)
		return;
	WARN_ON_ONCE(cf->registered);
	for (i = 0; i < VB_CFPH_MESSAGES; i++)
		if (cf->buffers[i].data)
			free_pages_exact(cf->buffers[i].data,
					 cf->buffers[i].size);
	kfree(cf->cmds);
	kfree(cf);
}

/**
 * vb_cfph_name_vqs - ask for our two queues
 * @cf: the transport or NULL
 * @vqs_info: entry of the first of them
 *
 * Without a transport they stay nameless and are not set up; as they are the
 * last ones, no other queue's number depends on them.
 */
void vb_cfph_name_vqs(struct vb_cfph *cf, struct virtqueue_info *vqs_info)
{
	if (!cf)
		return;
	vqs_info[VB_CFPH_VQ_COMMAND].name = "cfph_command";
	vqs_info[VB_CFPH_VQ_COMMAND].callback = vb_cfph_command_done;
	vqs_info[VB_CFPH_VQ_MESSAGE].name = "cfph_message";
	vqs_info[VB_CFPH_VQ_MESSAGE].callback = vb_cfph_message_done;
}

/**
 * vb_cfph_set_vqs - learn what became of vb_cfph_name_vqs()
 * @cf: the transport or NULL
 * @vqs: entry of the first of our queues
 */
void vb_cfph_set_vqs(struct vb_cfph *cf, struct virtqueue **vqs)
{
	if (!cf)
		return;
	cf->cmd_vq = vqs[VB_CFPH_VQ_COMMAND];
	cf->msg_vq = vqs[VB_CFPH_VQ_MESSAGE];
}

/**
 * vb_cfph_start - begin to work for mm/cfph
 * @vdev: the balloon device
 * @cf: the transport or NULL
 *
 * Context: probe or restore, after virtio_device_ready(): a device must not be
 *	kicked before DRIVER_OK.
 */
void vb_cfph_start(struct virtio_device *vdev, struct vb_cfph *cf)
{
	unsigned int i, nr;
	int err;

	if (!cf) {
		cfph_watch(vb_cfph_offers, vdev);
		return;
	}

	/* The rings are new, so the host has none of the buffers. */
	nr = min_t(unsigned int, VB_CFPH_MESSAGES,
		   virtqueue_get_vring_size(cf->msg_vq));
	for (i = 0; i < nr; i++)
		cf->free[i] = &cf->buffers[i];
	cf->nr_free = nr;
	cf->nr_used = nr;

	err = cfph_register(&vb_cfph_ops, cf);
	if (err) {
		dev_warn(&cf->vdev->dev, "cfph: off: cannot register (%d)%s\n",
			 err, err == -EBUSY ? ", another device is in use" : "");
		return;
	}
	cf->registered = true;
	vb_cfph_listen(cf);
}

/**
 * vb_cfph_stop - leave mm/cfph
 * @vdev: the balloon device
 * @cf: the transport or NULL
 * @why: what mm/cfph shall tell as the reason
 *
 * On return no callback hands anything to mm/cfph any more and mm/cfph does not
 * use the queues.  The buffers in the rings come back with del_vqs().
 *
 * Context: remove or freeze, before the device is reset; may sleep.
 */
void vb_cfph_stop(struct virtio_device *vdev, struct vb_cfph *cf,
		  enum cfph_reason why)
{
	/* Over a sleep it stays, and so does the reason that was told. */
	if (!cf && why != CFPH_REASON_SUSPENDED)
		cfph_unwatch(vdev);
	if (!cf || !cf->registered)
		return;

	spin_lock_irq(&cf->cmd_lock);
	cf->listening = false;
	spin_unlock_irq(&cf->cmd_lock);
	cancel_work_sync(&cf->post);

	cfph_unregister(why);
	cf->registered = false;
}
