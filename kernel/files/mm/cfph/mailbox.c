// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: the mailbox between interrupts and the thread.
 *
 * Holds the newest state that the host wants, and no queue: however many commands
 * come, only the last START or STOP and the last ROUND count.  Must not know what
 * the thread makes of it.
 *
 * Locks: the mailbox lock, taken with interrupts off and everything else outside.
 */
#include <linux/cfph.h>
#include <linux/export.h>
#include <linux/freezer.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#include <trace/events/cfph.h>
#include <uapi/linux/virtio_balloon_cfph.h>

#include "common.h"

static struct {
	spinlock_t lock;	/* protects all of it */
	struct cfph_mail mail;
	bool starved;		/* the thread could use a buffer */
	/*
	 * The thread has something to look at.  It reads this without the lock, to
	 * know whether to sleep, so all writes are marked; if it goes by an old
	 * value, the wake-up that follows each write makes it look again.
	 */
	bool event;
} cfph_mailbox = {
	.lock = __SPIN_LOCK_UNLOCKED(cfph_mailbox.lock),
};

static DECLARE_WAIT_QUEUE_HEAD(cfph_wait);

/**
 * cfph_thread_wake - tell the thread to look around
 *
 * Context: any.
 */
void cfph_thread_wake(void)
{
	unsigned long flags;

	spin_lock_irqsave(&cfph_mailbox.lock, flags);
	WRITE_ONCE(cfph_mailbox.event, true);
	spin_unlock_irqrestore(&cfph_mailbox.lock, flags);
	wake_up_interruptible(&cfph_wait);
}

/* Return: false if the command has to be ignored. */
static bool cfph_mail_command(u16 command, u32 migration_id, u32 round)
{
	lockdep_assert_held(&cfph_mailbox.lock);

	switch (command) {
	case VIRTIO_BALLOON_CFPH_CMD_START:
		if (!migration_id)
			return false;
		cfph_mailbox.mail.migration_id = migration_id;
		cfph_mailbox.mail.round = round;
		cfph_mailbox.mail.sessions++;
		return true;
	case VIRTIO_BALLOON_CFPH_CMD_ROUND:
		if (!migration_id || migration_id != cfph_mailbox.mail.migration_id)
			return false;
		cfph_mailbox.mail.round = round;
		cfph_mailbox.mail.requests++;
		return true;
	case VIRTIO_BALLOON_CFPH_CMD_STOP:
		/* Whatever the id: a destination does not know ours. */
		cfph_mailbox.mail.migration_id = 0;
		cfph_mailbox.mail.round = 0;
		cfph_mailbox.mail.sessions++;
		return true;
	default:
		return false;
	}
}

/**
 * cfph_command - the host has sent a command
 * @command: VIRTIO_BALLOON_CFPH_CMD_*; one that is unknown is counted
 * @migration_id: which migration
 * @round: dirty-bitmap syncs so far
 *
 * Context: any, also interrupts.
 */
void cfph_command(u16 command, u32 migration_id, u32 round)
{
	unsigned long flags;

	trace_cfph_command(command, migration_id, round);

	spin_lock_irqsave(&cfph_mailbox.lock, flags);
	if (cfph_mail_command(command, migration_id, round))
		WRITE_ONCE(cfph_mailbox.event, true);
	else
		cfph_mailbox.mail.unknown++;
	spin_unlock_irqrestore(&cfph_mailbox.lock, flags);
	wake_up_interruptible(&cfph_wait);
}
EXPORT_SYMBOL_GPL(cfph_command);

/**
 * cfph_buffer_returned - the host may have returned a buffer
 *
 * May be called with nothing to get.  Pairs with kcfphd_get_buffer(): either that
 * finds the buffer, or this finds the thread starved.
 *
 * Context: any, also interrupts; after get_buffer() can hand the buffer out.
 */
void cfph_buffer_returned(void)
{
	unsigned long flags;
	bool wake;

	spin_lock_irqsave(&cfph_mailbox.lock, flags);
	wake = cfph_mailbox.starved;
	cfph_mailbox.starved = false;
	if (wake)
		WRITE_ONCE(cfph_mailbox.event, true);
	spin_unlock_irqrestore(&cfph_mailbox.lock, flags);
	if (wake)
		wake_up_interruptible(&cfph_wait);
}
EXPORT_SYMBOL_GPL(cfph_buffer_returned);

/**
 * cfph_announced - what the host has said
 * @mail: filled in
 *
 * Context: any.
 */
void cfph_announced(struct cfph_mail *mail)
{
	unsigned long flags;

	spin_lock_irqsave(&cfph_mailbox.lock, flags);
	*mail = cfph_mailbox.mail;
	spin_unlock_irqrestore(&cfph_mailbox.lock, flags);
}

/**
 * cfph_mail_read - what is new, for the thread
 * @mail: filled in
 *
 * Context: kcfphd, with interrupts on.
 */
void cfph_mail_read(struct cfph_mail *mail)
{
	spin_lock_irq(&cfph_mailbox.lock);
	*mail = cfph_mailbox.mail;
	WRITE_ONCE(cfph_mailbox.event, false);
	spin_unlock_irq(&cfph_mailbox.lock);
}

/**
 * cfph_mail_starved - the thread has found no buffer and is going to look again
 *
 * Context: kcfphd, with interrupts on.
 */
void cfph_mail_starved(void)
{
	spin_lock_irq(&cfph_mailbox.lock);
	cfph_mailbox.starved = true;
	spin_unlock_irq(&cfph_mailbox.lock);
}

/**
 * cfph_mail_clear - forget the host, another one may follow
 *
 * Context: process context, with interrupts on.
 */
void cfph_mail_clear(void)
{
	spin_lock_irq(&cfph_mailbox.lock);
	cfph_mailbox.mail.migration_id = 0;
	cfph_mailbox.mail.round = 0;
	cfph_mailbox.mail.sessions++;
	spin_unlock_irq(&cfph_mailbox.lock);
}

/**
 * cfph_mail_wait - sleep until there is something to look at
 * @timeout: jiffies, or MAX_SCHEDULE_TIMEOUT, which takes no timer
 *
 * Context: kcfphd; may be frozen here.
 */
void cfph_mail_wait(long timeout)
{
	wait_event_freezable_timeout(cfph_wait, READ_ONCE(cfph_mailbox.event),
				     timeout);
}
