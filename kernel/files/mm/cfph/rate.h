/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Continuous free-page hinting: the rate limit, a token bucket.
 *
 * Pure arithmetic on nanoseconds that the caller reads from a clock.  Instead of
 * tokens it keeps the time at which what has been sent is paid for (virtual
 * scheduling): nothing has to be filled up, so nothing is lost to rounding, however
 * often one looks.
 *
 * A message may go when the one before is paid for; its own price may be larger
 * than the bucket.  So a rate of 1 KiB/s sends 16 KiB every 16 seconds, rather
 * than nothing for ever.
 */
#ifndef _MM_CFPH_RATE_H
#define _MM_CFPH_RATE_H

#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/time64.h>
#include <linux/types.h>

/* What may be saved while nothing is sent: bytes of this time, at the rate. */
#define CFPH_RATE_BURST_NS	(NSEC_PER_SEC / 4)

/**
 * struct cfph_rate - a bucket
 * @paid_ns: when everything that has been sent is paid for; 0 at the beginning
 */
struct cfph_rate {
	u64 paid_ns;
};

/**
 * cfph_rate_wait_ns - how long must the next message wait?
 * @rate: the bucket
 * @now_ns: a monotonic clock
 *
 * Return: nanoseconds, 0 = it may go now.
 */
static inline u64 cfph_rate_wait_ns(const struct cfph_rate *rate, u64 now_ns)
{
	return rate->paid_ns > now_ns ? rate->paid_ns - now_ns : 0;
}

/**
 * cfph_rate_charge - a message goes
 * @rate: the bucket
 * @kibps: the limit in KiB per second, not 0
 * @bytes: length of the message, VIRTIO_BALLOON_CFPH_MESSAGE_MAX at most
 * @now_ns: a monotonic clock
 */
static inline void cfph_rate_charge(struct cfph_rate *rate, u32 kibps,
				    u32 bytes, u64 now_ns)
{
	u64 oldest_ns = now_ns - min_t(u64, now_ns, CFPH_RATE_BURST_NS);

	/* 2^14 * 10^9 fits; a u32 times 1024 does, too. */
	rate->paid_ns = max(rate->paid_ns, oldest_ns) +
			DIV64_U64_ROUND_UP((u64)bytes * NSEC_PER_SEC,
					   (u64)kibps * 1024);
}

#endif /* _MM_CFPH_RATE_H */
