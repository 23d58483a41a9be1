// SPDX-License-Identifier: GPL-2.0
/* Continuous free-page hinting: tests of what may be set.  Included by tunables.c. */
#include <kunit/test.h>
#include <linux/string.h>

static void cfph_test_set(struct kunit *test)
{
	struct cfph_tunables saved, t, now;

	cfph_get_tunables(&saved);
	t = saved;
	t.interval_ms = 10;
	t.drain = CFPH_DRAIN_ROUND;
	KUNIT_EXPECT_EQ(test, cfph_set_tunables(&t, NULL, NULL), 0);
	cfph_get_tunables(&now);
	KUNIT_EXPECT_MEMEQ(test, &now, &t, sizeof(t));
	KUNIT_EXPECT_EQ(test, cfph_set_tunables(&saved, NULL, NULL), 0);
}

static void cfph_test_bad_cpus(struct kunit *test, const char *list,
			       const char *text)
{
	struct cpumask *cpus = kunit_kzalloc(test, sizeof(*cpus), GFP_KERNEL);
	struct netlink_ext_ack extack = {};

	KUNIT_ASSERT_NOT_NULL(test, cpus);
	KUNIT_EXPECT_EQ(test, cfph_parse_cpus(list, cpus, &extack), -EINVAL);
	KUNIT_EXPECT_NOT_NULL(test, strstr(extack._msg_buf, text));
	/* Nobody to tell. */
	KUNIT_EXPECT_EQ(test, cfph_parse_cpus(list, cpus, NULL), -EINVAL);
}

static void cfph_test_cpus(struct kunit *test)
{
	struct cpumask *cpus = kunit_kzalloc(test, sizeof(*cpus), GFP_KERNEL);
	struct cpumask *saved = kunit_kzalloc(test, sizeof(*cpus), GFP_KERNEL);
	struct netlink_ext_ack extack = {};
	struct cfph_tunables before, t;

	KUNIT_ASSERT_NOT_NULL(test, cpus);
	KUNIT_ASSERT_NOT_NULL(test, saved);
	cfph_get_cpus(saved);
	cfph_get_tunables(&before);
	KUNIT_EXPECT_TRUE(test, cpumask_intersects(saved, cpu_online_mask));

	KUNIT_EXPECT_EQ(test, cfph_parse_cpus("0", cpus, NULL), 0);
	KUNIT_EXPECT_EQ(test, cpumask_weight(cpus), 1);
	KUNIT_EXPECT_EQ(test, cfph_set_tunables(&before, cpus, NULL), 0);
	cfph_get_cpus(cpus);
	KUNIT_EXPECT_EQ(test, cpumask_weight(cpus), 1);

	cfph_test_bad_cpus(test, "zero",
			   "cpus zero: not a list of CPUs like 0-3,8");
	cfph_test_bad_cpus(test, "99999", "cpus 99999: beyond");

	/* Nothing of it happens, whatever else is right. */
	KUNIT_EXPECT_EQ(test, cfph_parse_cpus("", cpus, NULL), 0);
	t = before;
	t.interval_ms = 5000;
	KUNIT_EXPECT_EQ(test, cfph_set_tunables(&t, cpus, &extack), -EINVAL);
	KUNIT_EXPECT_STREQ(test, extack._msg_buf,
			   "cpus : none of them is online");
	cfph_get_tunables(&t);
	KUNIT_EXPECT_MEMEQ(test, &t, &before, sizeof(t));
	cfph_get_cpus(cpus);
	KUNIT_EXPECT_EQ(test, cpumask_weight(cpus), 1);

	KUNIT_EXPECT_EQ(test, cfph_set_tunables(&before, saved, NULL), 0);
}

static struct kunit_case cfph_tunables_test_cases[] = {
	KUNIT_CASE(cfph_test_set),
	KUNIT_CASE(cfph_test_cpus),
	{}
};

static struct kunit_suite cfph_tunables_test_suite = {
	.name = "cfph_tunables",
	.test_cases = cfph_tunables_test_cases,
};

kunit_test_suite(cfph_tunables_test_suite);
