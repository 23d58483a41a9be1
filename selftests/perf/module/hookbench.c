// SPDX-License-Identifier: GPL-2.0
/*
 * make bench-hooks: the loads that only a kernel can make.
 *
 * Each is a module parameter: to read it is to run the load, and what is read is
 * "operations cycles nanoseconds".  Needs nothing that a kernel without cfph has
 * not, so that the very same loads run in one.
 */
#include <linux/gfp.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/timex.h>

#define BULK_PAGES	4096

struct hb_load {
	unsigned int order;
	unsigned int blocks;	/* that are held at a time, BULK_PAGES at most */
	unsigned int times;
	unsigned int counted;	/* operations of one time */
};

/* One block at a time never leaves the per-cpu list: order 0 shows that. */
static const struct hb_load hb_pingpong = {
	.order = 0, .blocks = 1, .times = 20000, .counted = 1,
};

static const struct hb_load hb_bulk = {
	.order = 0, .blocks = BULK_PAGES, .times = 8, .counted = BULK_PAGES,
};

/* The smallest order that has no per-cpu list, and the largest that there is. */
static const struct hb_load hb_order4 = {
	.order = 4, .blocks = 1, .times = 20000, .counted = 1,
};

static const struct hb_load hb_order10 = {
	.order = 10, .blocks = 1, .times = 20000, .counted = 1,
};

static struct page *hb_pages[BULK_PAGES];

static int hb_once(const struct hb_load *load)
{
	unsigned int i, got;

	for (got = 0; got < load->blocks; got++) {
		hb_pages[got] = alloc_pages(GFP_KERNEL | __GFP_NOWARN, load->order);
		if (!hb_pages[got])
			break;
	}
	for (i = 0; i < got; i++)
		__free_pages(hb_pages[i], load->order);
	return got == load->blocks ? 0 : -ENOMEM;
}

/* Nobody else runs it meanwhile: sysfs reads the parameters under one lock. */
static int hb_get(char *buffer, const struct kernel_param *kp)
{
	const struct hb_load *load = kp->arg;
	cycles_t cycles;
	unsigned int i;
	int err;
	u64 ns;

	err = hb_once(load);	/* to warm up */
	if (err)
		return err;

	ns = ktime_get_ns();
	cycles = get_cycles();
	for (i = 0; i < load->times; i++) {
		err = hb_once(load);
		if (err)
			return err;
		cond_resched();
	}
	cycles = get_cycles() - cycles;
	ns = ktime_get_ns() - ns;
	return sysfs_emit(buffer, "%u %llu %llu\n", load->times * load->counted,
			  (unsigned long long)cycles, ns);
}

static const struct kernel_param_ops hb_ops = {
	.get = hb_get,
};

module_param_cb(pingpong, &hb_ops, (void *)&hb_pingpong, 0400);
MODULE_PARM_DESC(pingpong, "one page is allocated and freed");
module_param_cb(bulk, &hb_ops, (void *)&hb_bulk, 0400);
MODULE_PARM_DESC(bulk, "4096 pages are allocated, then freed");
module_param_cb(order4, &hb_ops, (void *)&hb_order4, 0400);
MODULE_PARM_DESC(order4, "a block of 16 pages is allocated and freed");
module_param_cb(order10, &hb_ops, (void *)&hb_order10, 0400);
MODULE_PARM_DESC(order10, "a block of 1024 pages is allocated and freed");

static int __init hb_init(void)
{
	return 0;
}
module_init(hb_init);

static void __exit hb_exit(void)
{
}
module_exit(hb_exit);

MODULE_DESCRIPTION("loads for the page allocator, measured");
MODULE_LICENSE("GPL");
