// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: tests of what may be set, and of the rate limit.
 * Included by tunables.c.
 */
#include <kunit/test.h>
#include <linux/string.h>

#include <uapi/linux/virtio_balloon_cfph.h>

#include "../rate.h"

/* --- values --- */

static void cfph_test_refused(struct kunit *test, const struct cfph_tunables *t,
			      unsigned int attr, const char *text)
{
	struct cfph_tunables before, after;
	struct cfph_complaint complaint = {};

	cfph_get_tunables(&before);
	KUNIT_EXPECT_EQ(test, cfph_set_tunables(t, NULL, &complaint), -EINVAL);
	KUNIT_EXPECT_EQ(test, complaint.attr, attr);
	KUNIT_EXPECT_STREQ(test, complaint.text, text);
	/* Nobody to tell. */
	KUNIT_EXPECT_EQ(test, cfph_set_tunables(t, NULL, NULL), -EINVAL);
	cfph_get_tunables(&after);
	KUNIT_EXPECT_MEMEQ(test, &before, &after, sizeof(before));
}

/* One value just outside its range, all others good. */
#define CFPH_TEST_REFUSED(field, bad, ATTR, text)			\
do {									\
	struct cfph_tunables t = cfph_default_tunables;			\
									\
	t.field = (bad);						\
	cfph_test_refused(test, &t, CFPH_A_##ATTR, text);		\
} while (0)

static void cfph_test_limits(struct kunit *test)
{
	struct cfph_tunables saved, t;
	char text[CFPH_COMPLAINT_MAX];
	u64 ram_kib = (u64)totalram_pages() << (PAGE_SHIFT - 10);

	CFPH_TEST_REFUSED(enable, 2, ENABLE, "enable 2: not within 0..1");
	CFPH_TEST_REFUSED(interval_ms, 9, INTERVAL_MS,
			  "interval-ms 9: not within 10..10000");
	CFPH_TEST_REFUSED(interval_ms, 10001, INTERVAL_MS,
			  "interval-ms 10001: not within 10..10000");
	CFPH_TEST_REFUSED(drain, 3, DRAIN, "drain 3: not within 0..2");
	CFPH_TEST_REFUSED(min_order, 10, MIN_ORDER,
			  "min-order 10: not within 0..9");
	CFPH_TEST_REFUSED(buffers, 0, BUFFERS, "buffers 0: not within 1..16");
	CFPH_TEST_REFUSED(buffers, 17, BUFFERS, "buffers 17: not within 1..16");
	CFPH_TEST_REFUSED(batch, 15, BATCH, "batch 15: not within 16..65536");
	CFPH_TEST_REFUSED(batch, 65537, BATCH,
			  "batch 65537: not within 16..65536");
	CFPH_TEST_REFUSED(nice, -21, NICE, "nice -21: not within -20..19");
	CFPH_TEST_REFUSED(nice, 20, NICE, "nice 20: not within -20..19");
	CFPH_TEST_REFUSED(keep, 2, KEEP, "keep 2: not within 0..1");
	snprintf(text, sizeof(text), "watermark-kib %llu: not within 0..%llu",
		 ram_kib + 1, ram_kib);
	CFPH_TEST_REFUSED(watermark_kib, ram_kib + 1, WATERMARK_KIB, text);
	snprintf(text, sizeof(text), "watermark-kib %lld: not within 0..%llu",
		 S64_MAX, ram_kib);
	CFPH_TEST_REFUSED(watermark_kib, U64_MAX, WATERMARK_KIB, text);

	/* And the ends of the ranges. */
	cfph_get_tunables(&saved);
	t = saved;
	t.interval_ms = 10;
	t.min_order = 9;
	t.buffers = 1;
	t.batch = 16;
	t.nice = -20;
	t.watermark_kib = ram_kib;
	t.rate_kibps = U32_MAX;
	KUNIT_EXPECT_EQ(test, cfph_set_tunables(&t, NULL, NULL), 0);
	t.interval_ms = 10000;
	t.drain = CFPH_DRAIN_ROUND;
	t.min_order = 0;
	t.buffers = 16;
	t.batch = 65536;
	t.nice = 19;
	t.watermark_kib = 0;
	t.rate_kibps = 0;
	KUNIT_EXPECT_EQ(test, cfph_set_tunables(&t, NULL, NULL), 0);
	KUNIT_EXPECT_EQ(test, cfph_set_tunables(&saved, NULL, NULL), 0);
}

static void cfph_test_cpus(struct kunit *test)
{
	struct cpumask *cpus = kunit_kzalloc(test, sizeof(*cpus), GFP_KERNEL);
	struct cpumask *saved = kunit_kzalloc(test, sizeof(*cpus), GFP_KERNEL);
	struct cfph_complaint complaint;
	struct cfph_tunables t;

	KUNIT_ASSERT_NOT_NULL(test, cpus);
	KUNIT_ASSERT_NOT_NULL(test, saved);
	cfph_get_cpus(saved);
	cfph_get_tunables(&t);
	KUNIT_EXPECT_TRUE(test, cpumask_intersects(saved, cpu_online_mask));

	KUNIT_EXPECT_EQ(test, cfph_parse_cpus("0", cpus, &complaint), 0);
	KUNIT_EXPECT_EQ(test, cpumask_weight(cpus), 1);
	KUNIT_EXPECT_EQ(test, cfph_set_tunables(&t, cpus, &complaint), 0);
	cfph_get_cpus(cpus);
	KUNIT_EXPECT_EQ(test, cpumask_weight(cpus), 1);

	complaint.attr = 0;
	KUNIT_EXPECT_EQ(test, cfph_parse_cpus("zero", cpus, &complaint),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, complaint.attr, CFPH_A_CPUS);
	KUNIT_EXPECT_STREQ(test, complaint.text,
			   "cpus zero: not a list of CPUs like 0-3,8");
	KUNIT_EXPECT_EQ(test, cfph_parse_cpus("99999", cpus, &complaint),
			-EINVAL);
	KUNIT_EXPECT_NOT_NULL(test, strstr(complaint.text, "cpus 99999: beyond"));

	/* Nothing of it happens, whatever else is right. */
	KUNIT_EXPECT_EQ(test, cfph_parse_cpus("", cpus, &complaint), 0);
	t.nice = 7;
	KUNIT_EXPECT_EQ(test, cfph_set_tunables(&t, cpus, &complaint), -EINVAL);
	KUNIT_EXPECT_STREQ(test, complaint.text,
			   "cpus : none of them is online");
	cfph_get_tunables(&t);
	KUNIT_EXPECT_NE(test, t.nice, 7);
	cfph_get_cpus(cpus);
	KUNIT_EXPECT_EQ(test, cpumask_weight(cpus), 1);

	KUNIT_EXPECT_EQ(test, cfph_set_tunables(&t, saved, &complaint), 0);
}

/* --- the rate --- */

/* Send as fast as it allows; return the bytes of so many seconds. */
static u64 cfph_test_rate_run(struct kunit *test, struct cfph_rate *rate,
			      u32 kibps, u32 bytes, u64 start_ns, u64 seconds,
			      u64 late_ns)
{
	u64 now = start_ns, end = start_ns + seconds * NSEC_PER_SEC;
	u64 sent = 0, wait;

	while (now < end) {
		wait = cfph_rate_wait_ns(rate, now);
		if (wait) {
			/* The timer is late, as timers are. */
			now += wait + late_ns;
			KUNIT_EXPECT_EQ(test, cfph_rate_wait_ns(rate, now), 0);
			continue;
		}
		cfph_rate_charge(rate, kibps, bytes, now);
		sent += bytes;
	}
	return sent;
}

static void cfph_test_rate(struct kunit *test)
{
	static const u32 rates[] = { 1, 7, 100, 4096, 1000000 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rates); i++) {
		struct cfph_rate rate = {};
		u64 limit = (u64)rates[i] * 1024, seconds = 64, sent;
		u32 bytes = VIRTIO_BALLOON_CFPH_MESSAGE_MAX;
		u64 start = 1000 * NSEC_PER_SEC;

		/* Small ones as well, but not a million of them. */
		if (rates[i] <= 100)
			bytes = 24;
		sent = cfph_test_rate_run(test, &rate, rates[i], bytes, start,
					  seconds, 0);
		/* What the bucket holds at first, and one message on credit. */
		KUNIT_EXPECT_LE(test, sent, limit * seconds + limit / 4 + bytes);
		KUNIT_EXPECT_GE(test, sent, limit * seconds);

		/* Late timers cost nothing, as long as the bucket lasts. */
		sent = cfph_test_rate_run(test, &rate, rates[i], bytes,
					  start + 2 * seconds * NSEC_PER_SEC,
					  seconds, 10 * NSEC_PER_MSEC);
		KUNIT_EXPECT_LE(test, sent, limit * seconds + limit / 4 + bytes);
		KUNIT_EXPECT_GE(test, sent, limit * seconds - limit / 4 - bytes);
	}
}

/* A message that is larger than the bucket goes, and is waited for. */
static void cfph_test_rate_debt(struct kunit *test)
{
	u64 now = NSEC_PER_SEC;
	struct cfph_rate rate = {};

	KUNIT_EXPECT_EQ(test, cfph_rate_wait_ns(&rate, now), 0);
	cfph_rate_charge(&rate, 1, 16384, now);
	KUNIT_EXPECT_EQ(test, cfph_rate_wait_ns(&rate, now),
			16 * NSEC_PER_SEC - CFPH_RATE_BURST_NS);
	KUNIT_EXPECT_EQ(test, cfph_rate_wait_ns(&rate, now + NSEC_PER_SEC),
			15 * NSEC_PER_SEC - CFPH_RATE_BURST_NS);
	/* A long rest is worth one bucket and not more. */
	now += 3600ULL * NSEC_PER_SEC;
	cfph_rate_charge(&rate, 1, 256, now);
	KUNIT_EXPECT_EQ(test, cfph_rate_wait_ns(&rate, now), 0);
	cfph_rate_charge(&rate, 1, 256, now);
	KUNIT_EXPECT_EQ(test, cfph_rate_wait_ns(&rate, now), NSEC_PER_SEC / 4);
	/* The clock has only just begun. */
	rate = (struct cfph_rate) {};
	cfph_rate_charge(&rate, U32_MAX, 24, 5);
	KUNIT_EXPECT_LE(test, cfph_rate_wait_ns(&rate, 5), 1);
}

static struct kunit_case cfph_tunables_test_cases[] = {
	KUNIT_CASE(cfph_test_limits),
	KUNIT_CASE(cfph_test_cpus),
	KUNIT_CASE(cfph_test_rate),
	KUNIT_CASE(cfph_test_rate_debt),
	{}
};

static struct kunit_suite cfph_tunables_test_suite = {
	.name = "cfph_tunables",
	.test_cases = cfph_tunables_test_cases,
};

kunit_test_suite(cfph_tunables_test_suite);
