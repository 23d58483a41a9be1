// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: the device that carries messages, if there is one.
 *
 * Owns cfph.ops: what a driver calls when its device comes, goes or is turned down.
 *
 * Locks: cfph_mutex, inside the driver core's and the PM core's.
 */
#include <linux/cfph.h>
#include <linux/errno.h>
#include <linux/export.h>

#include "common.h"

/**
 * cfph_refuse - a device offers the feature and is turned down
 * @reason: why; shown until cfph_unwatch(), if there is no other device
 * @text: what is in the way
 *
 * Counts it and tells those who watch.
 *
 * Context: process context, may sleep.
 */
void cfph_refuse(enum cfph_reason reason, const char *text)
{
	mutex_lock(&cfph_mutex);
	if (!cfph.ops)
		cfph.gone = reason;
	cfph_refuse_locked(reason, text);
	mutex_unlock(&cfph_mutex);
}
EXPORT_SYMBOL_GPL(cfph_refuse);

/**
 * cfph_register - offer a way to reach the host
 * @ops: the transport
 * @priv: its argument
 *
 * Does not wait for the map, which is made in the background.
 *
 * Context: process context, may sleep.
 * Return: 0; -EOPNOTSUPP if cfph_refusal() says so; -EBUSY if there is a
 *	transport already; -ENOMEM.
 */
int cfph_register(const struct cfph_transport_ops *ops, void *priv)
{
	int err;

	if (cfph_refusal() != CFPH_REASON_NONE)
		return -EOPNOTSUPP;

	err = cfph_thread_run();
	if (err)
		return err;

	mutex_lock(&cfph_mutex);
	if (cfph.ops) {
		err = -EBUSY;
	} else {
		cfph.ops = ops;
		cfph.priv = priv;
		cfph.failure = CFPH_REASON_NONE;
		cfph_thread_wake();
	}
	mutex_unlock(&cfph_mutex);

	return err;
}
EXPORT_SYMBOL_GPL(cfph_register);

/**
 * cfph_unregister - the transport goes away
 * @why: CFPH_REASON_NO_DEVICE or CFPH_REASON_SUSPENDED
 *
 * When this returns, the host does not believe the map any more, and no function
 * of the transport is running or will be called.  The transport has stopped
 * calling cfph_command() before.
 *
 * Context: process context, may sleep; also when kcfphd is frozen.
 */
void cfph_unregister(enum cfph_reason why)
{
	mutex_lock(&cfph_mutex);
	if (cfph.ops) {
		cfph_down(why);
		cfph_session_drop();
		cfph.counters.resets++;
		cfph.ops = NULL;
		cfph.priv = NULL;
		cfph.gone = why;
	}
	mutex_unlock(&cfph_mutex);
}
EXPORT_SYMBOL_GPL(cfph_unregister);

/**
 * cfph_watch - there is a device, but not for us
 * @offers: whether it offers the feature by now; may be called until cfph_unwatch()
 * @priv: its argument
 *
 * A guest may come from a host where the feature is switched off to one where it is
 * on.  Features are negotiated when a driver is bound, so somebody has to be told.
 *
 * Context: process context, may sleep.
 */
void cfph_watch(bool (*offers)(void *priv), void *priv)
{
	mutex_lock(&cfph_mutex);
	cfph.offers = offers;
	cfph.watched = priv;
	mutex_unlock(&cfph_mutex);
}
EXPORT_SYMBOL_GPL(cfph_watch);

/**
 * cfph_unwatch - the device of cfph_watch() goes away
 * @priv: what was given; nothing happens if another device is watched
 *
 * Context: process context, may sleep.
 */
void cfph_unwatch(void *priv)
{
	mutex_lock(&cfph_mutex);
	if (cfph.watched == priv) {
		cfph.offers = NULL;
		cfph.watched = NULL;
		if (!cfph.ops)
			cfph.gone = CFPH_REASON_NO_DEVICE;
	}
	mutex_unlock(&cfph_mutex);
}
EXPORT_SYMBOL_GPL(cfph_unwatch);
