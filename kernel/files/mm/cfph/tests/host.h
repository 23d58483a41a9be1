/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Continuous free-page hinting: a device and a host, for the tests of the thread.
 * Included by kcfphd-kunit.c.
 *
 * The "host" is the test's own task: it takes messages from a queue, decodes them
 * into a shadow of the map, and compares.  cfph_test_init() registers the transport
 * and waits until the host has the map, cfph_test_exit() unregisters; so each test goes
 * through the whole life of the map, too.
 */
#ifndef _MM_CFPH_TESTS_HOST_H
#define _MM_CFPH_TESTS_HOST_H

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/list.h>
#include <linux/prandom.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <linux/wait.h>

#include "decode.h"

#define CFPH_TEST_BUFFERS	4
/* Small, so that passes need several of them. */
#define CFPH_TEST_BUFFER_SIZE	512
#define CFPH_TEST_TIMEOUT	(20 * HZ)
#define CFPH_TEST_ID		77

enum cfph_test_owner { CFPH_TEST_FREE, CFPH_TEST_GUEST, CFPH_TEST_HOST };

struct cfph_test_buffer {
	struct cfph_buffer buf;
	struct list_head list;		/* in cfph_test_host.sent */
	enum cfph_test_owner owner;
	u8 data[CFPH_TEST_BUFFER_SIZE] __aligned(8);
};

/*
 * @lock protects the buffers, @sent, @withhold and @broken; the rest is the
 * host's own.
 */
struct cfph_test_host {
	struct kunit *test;
	spinlock_t lock;		/* see above */
	wait_queue_head_t wait;
	struct cfph_test_buffer buffers[CFPH_TEST_BUFFERS];
	struct list_head sent;
	bool withhold;			/* pretend that all are in use */
	bool broken;			/* send() fails */
	bool gone;			/* unregistered: no more calls */
	struct cfph_tunables saved;
	u64 stalls;			/* there have been */
	bool registered;

	/* what the messages have said */
	u64 sequence;			/* of the next message of the session */
	u64 generation;			/* of the map that is registered, or 0 */
	u64 unmapped;			/* of the one that was taken back last */
	u64 header_addr;
	u64 messages, records;
	bool started, pass_end;
	bool ours;			/* the message in work is the session's */
	u32 migration_id;		/* of the last START */
	u32 round;
	unsigned long leaves;		/* that the directory shows */
	unsigned long **leaf;		/* the guest's, by slot */
	unsigned long **shadow;		/* ours, by slot */
	unsigned long slots;
};

/* --- the transport --- */

static struct cfph_buffer *cfph_test_get_buffer(void *priv)
{
	struct cfph_test_host *h = priv;
	struct cfph_buffer *buf = NULL;
	unsigned int i;

	spin_lock(&h->lock);
	KUNIT_EXPECT_FALSE(h->test, h->gone);
	for (i = 0; i < CFPH_TEST_BUFFERS; i++)
		KUNIT_EXPECT_NE(h->test, h->buffers[i].owner, CFPH_TEST_GUEST);
	for (i = 0; i < CFPH_TEST_BUFFERS && !buf && !h->withhold; i++) {
		if (h->buffers[i].owner != CFPH_TEST_FREE)
			continue;
		h->buffers[i].owner = CFPH_TEST_GUEST;
		buf = &h->buffers[i].buf;
	}
	spin_unlock(&h->lock);
	return buf;
}

static void cfph_test_put_buffer(void *priv, struct cfph_buffer *buf)
{
	struct cfph_test_host *h = priv;
	struct cfph_test_buffer *b;

	b = container_of(buf, struct cfph_test_buffer, buf);
	spin_lock(&h->lock);
	KUNIT_EXPECT_FALSE(h->test, h->gone);
	KUNIT_EXPECT_EQ(h->test, b->owner, CFPH_TEST_GUEST);
	b->owner = CFPH_TEST_FREE;
	spin_unlock(&h->lock);
}

/* UNMAP is the second to say so: the header page comes first. */
static void cfph_test_look_at_unmap(struct cfph_test_host *h, const void *data)
{
	const struct virtio_balloon_cfph_msg *head = data;
	const struct virtio_balloon_cfph_rec *rec = data + sizeof(*head);

	if (le32_to_cpu(head->length) > sizeof(*head) &&
	    le16_to_cpu(rec->type) == VIRTIO_BALLOON_CFPH_REC_UNMAP)
		KUNIT_EXPECT_EQ(h->test, le32_to_cpu(cfph.map->header->state),
				VIRTIO_BALLOON_CFPH_STATE_OFF);
}

static int cfph_test_send(void *priv, struct cfph_buffer *buf)
{
	struct cfph_test_host *h = priv;
	struct cfph_test_buffer *b;
	int err = 0;

	b = container_of(buf, struct cfph_test_buffer, buf);
	cfph_test_look_at_unmap(h, b->data);
	spin_lock(&h->lock);
	KUNIT_EXPECT_FALSE(h->test, h->gone);
	KUNIT_EXPECT_EQ(h->test, b->owner, CFPH_TEST_GUEST);
	if (h->broken) {
		b->owner = CFPH_TEST_FREE;
		err = -EIO;
	} else {
		b->owner = CFPH_TEST_HOST;
		list_add_tail(&b->list, &h->sent);
	}
	spin_unlock(&h->lock);
	wake_up(&h->wait);
	return err;
}

static size_t cfph_test_buffer_bytes(void *priv)
{
	return CFPH_TEST_BUFFERS * CFPH_TEST_BUFFER_SIZE;
}

static const struct cfph_transport_ops cfph_test_ops = {
	.get_buffer	= cfph_test_get_buffer,
	.put_buffer	= cfph_test_put_buffer,
	.send		= cfph_test_send,
	.buffer_bytes	= cfph_test_buffer_bytes,
};

/* --- the host: records --- */

static struct virtio_balloon_cfph_map_header *
cfph_test_map_header(struct cfph_test_host *h)
{
	return phys_to_virt(h->header_addr);
}

/* Return: a page that the guest names, or NULL. */
static void *cfph_test_read_addr(struct cfph_test_host *h, const __le64 *entry)
{
	u64 addr = le64_to_cpu(READ_ONCE(*entry));

	KUNIT_EXPECT_EQ(h->test, addr % PAGE_SIZE, 0);
	KUNIT_EXPECT_NE(h->test, addr, h->header_addr);
	return addr ? phys_to_virt(addr) : NULL;
}

static void cfph_test_read_leaf(struct cfph_test_host *h, unsigned long slot,
				unsigned long *leaf)
{
	unsigned long word;

	KUNIT_EXPECT_LT(h->test, slot, h->slots);
	if (slot >= h->slots)
		return;
	h->leaf[slot] = leaf;
	h->leaves++;
	for (word = 0; word < CFPH_LEAF_WORDS; word++)
		h->shadow[slot][word] = READ_ONCE(leaf[word]);
}

/*
 * Reads the map as QEMU does, while the hooks write to it: header page, directory
 * pages, leaves.  The mutex keeps the map, which a real host need not do.
 *
 * Return: false if it is not to be believed.
 */
static bool cfph_test_read_map(struct cfph_test_host *h)
{
	struct virtio_balloon_cfph_map_header *header = cfph_test_map_header(h);
	unsigned long i, slot;
	u32 dirs;

	lockdep_assert_held(&cfph_mutex);

	if (!cfph.map || cfph.map->header != header ||
	    le64_to_cpu(header->magic) != VIRTIO_BALLOON_CFPH_MAGIC ||
	    le32_to_cpu(header->version) != VIRTIO_BALLOON_CFPH_VERSION ||
	    le64_to_cpu(header->generation) != h->generation ||
	    le32_to_cpu(header->state) != VIRTIO_BALLOON_CFPH_STATE_READY)
		return false;

	dirs = le32_to_cpu(header->dirs);
	KUNIT_EXPECT_LE(h->test, dirs, VIRTIO_BALLOON_CFPH_DIRS_MAX);
	h->leaves = 0;
	memset(h->leaf, 0, h->slots * sizeof(*h->leaf));
	for (i = 0; i < dirs; i++) {
		__le64 *dir = cfph_test_read_addr(h, &header->dir[i]);

		for (slot = 0; dir && slot < VIRTIO_BALLOON_CFPH_DIR_LEAVES;
		     slot++) {
			void *leaf = cfph_test_read_addr(h, &dir[slot]);

			if (leaf)
				cfph_test_read_leaf(h, i * VIRTIO_BALLOON_CFPH_DIR_LEAVES + slot,
						    leaf);
		}
	}
	return true;
}

static bool cfph_test_believes(struct cfph_test_host *h)
{
	bool ret;

	mutex_lock(&cfph_mutex);
	ret = h->generation && cfph_test_read_map(h);
	mutex_unlock(&cfph_mutex);
	return ret;
}

static void cfph_test_on_map(void *arg, u64 generation, u64 header_addr)
{
	struct cfph_test_host *h = arg;

	KUNIT_EXPECT_NE(h->test, generation, 0);
	KUNIT_EXPECT_NE(h->test, generation, h->generation);
	KUNIT_EXPECT_NE(h->test, generation, h->unmapped);
	KUNIT_EXPECT_NE(h->test, header_addr, 0);
	KUNIT_EXPECT_EQ(h->test, header_addr % PAGE_SIZE, 0);
	h->generation = generation;
	h->header_addr = header_addr;
	h->started = false;
}

static void cfph_test_on_unmap(void *arg, u64 generation)
{
	struct cfph_test_host *h = arg;

	KUNIT_EXPECT_EQ(h->test, generation, h->generation);
	h->unmapped = generation;
	h->generation = 0;
	h->started = false;
}

/* Deltas are of changes after this: what was there before, the map says. */
static void cfph_test_on_started(void *arg)
{
	struct cfph_test_host *h = arg;

	if (!h->ours)
		return;
	KUNIT_EXPECT_FALSE(h->test, h->started);
	KUNIT_EXPECT_TRUE(h->test, cfph_test_believes(h));
	KUNIT_EXPECT_GT(h->test, h->leaves, 0);
	h->started = true;
}

static void cfph_test_on_page(void *arg, u64 pfn, bool free)
{
	struct cfph_test_host *h = arg;
	u64 slot = pfn >> CFPH_LEAF_SHIFT;

	if (!h->ours)
		return;
	KUNIT_ASSERT_TRUE(h->test, h->started);
	KUNIT_ASSERT_LT(h->test, slot, h->slots);
	__assign_bit(pfn % CFPH_LEAF_PAGES, h->shadow[slot], free);
	h->records++;
}

static const struct cfph_decode_ops cfph_test_host_ops = {
	.map		= cfph_test_on_map,
	.unmap		= cfph_test_on_unmap,
	.started	= cfph_test_on_started,
	.page		= cfph_test_on_page,
};

/* --- the host: messages and commands --- */

static void cfph_test_handle(struct cfph_test_host *h,
			     struct cfph_test_buffer *b)
{
	struct virtio_balloon_cfph_msg *head = (void *)b->data;
	u64 sequence = le64_to_cpu(head->sequence);
	u32 migration_id = le32_to_cpu(head->migration_id);

	h->ours = migration_id && migration_id == h->migration_id;
	if (h->ours) {
		KUNIT_EXPECT_EQ(h->test, sequence, h->sequence);
		h->sequence = sequence + 1;
		h->round = le32_to_cpu(head->round);
		h->pass_end = le16_to_cpu(head->flags) &
			      VIRTIO_BALLOON_CFPH_F_PASS_END;
	} else if (migration_id) {
		/*
		 * Of the session before, on its way when this one began.  None
		 * comes after the first of this one.
		 */
		KUNIT_EXPECT_EQ(h->test, h->sequence, 0);
	} else {
		KUNIT_EXPECT_EQ(h->test, sequence, 0);
	}
	h->messages++;
	/* MAP and UNMAP count whatever the migration. */
	cfph_decode(h->test, b->data, b->buf.length, &cfph_test_host_ops, h);
}

static bool cfph_test_has_message(struct cfph_test_host *h)
{
	bool ret;

	spin_lock(&h->lock);
	ret = !list_empty(&h->sent);
	spin_unlock(&h->lock);
	return ret;
}

static struct cfph_test_buffer *cfph_test_take(struct cfph_test_host *h)
{
	struct cfph_test_buffer *b;

	spin_lock(&h->lock);
	b = list_first_entry(&h->sent, struct cfph_test_buffer, list);
	list_del(&b->list);
	spin_unlock(&h->lock);
	return b;
}

static void cfph_test_give_back(struct cfph_test_host *h,
				struct cfph_test_buffer *b)
{
	spin_lock(&h->lock);
	b->owner = CFPH_TEST_FREE;
	spin_unlock(&h->lock);
	cfph_buffer_returned();
}

/* Take one message and give the buffer back.  Return: false on timeout. */
static bool cfph_test_receive(struct cfph_test_host *h, long timeout)
{
	struct cfph_test_buffer *b;

	if (!wait_event_timeout(h->wait, cfph_test_has_message(h), timeout))
		return false;
	b = cfph_test_take(h);
	cfph_test_handle(h, b);
	cfph_test_give_back(h, b);
	return true;
}

static void cfph_test_drop_messages(struct cfph_test_host *h)
{
	while (cfph_test_has_message(h))
		cfph_test_give_back(h, cfph_test_take(h));
}

/* Take messages until the map is registered. */
static void cfph_test_get_map(struct cfph_test_host *h)
{
	while (!h->generation)
		KUNIT_ASSERT_TRUE(h->test,
				  cfph_test_receive(h, CFPH_TEST_TIMEOUT));
	KUNIT_EXPECT_TRUE(h->test, cfph_test_believes(h));
}

static void cfph_test_start(struct cfph_test_host *h, u32 migration_id)
{
	h->migration_id = migration_id;
	h->sequence = 0;
	h->started = false;
	cfph_command(VIRTIO_BALLOON_CFPH_CMD_START, migration_id, 0);
	while (!h->started)
		KUNIT_ASSERT_TRUE(h->test,
				  cfph_test_receive(h, CFPH_TEST_TIMEOUT));
}

/* Ask for a pass and wait for its end. */
static void cfph_test_round(struct cfph_test_host *h, u32 round)
{
	cfph_command(VIRTIO_BALLOON_CFPH_CMD_ROUND, h->migration_id, round);
	do {
		KUNIT_ASSERT_TRUE(h->test,
				  cfph_test_receive(h, CFPH_TEST_TIMEOUT));
	} while (!h->pass_end || h->round != round);
}

static bool cfph_test_idle(struct cfph_test_host *h)
{
	bool ret;

	mutex_lock(&cfph_mutex);
	ret = cfph_session.phase == CFPH_PHASE_IDLE;
	mutex_unlock(&cfph_mutex);
	return ret;
}

static bool cfph_test_waits(struct cfph_test_host *h)
{
	bool ret;

	mutex_lock(&cfph_mutex);
	ret = cfph_session.phase == CFPH_PHASE_START;
	mutex_unlock(&cfph_mutex);
	return ret;
}

static bool cfph_test_stalled(struct cfph_test_host *h)
{
	struct cfph_counters counters;

	cfph_get_counters(&counters);
	return counters.stalls > h->stalls;
}

/* The thread tells nobody, so look again and again. */
static void cfph_test_wait(struct cfph_test_host *h,
			   bool (*condition)(struct cfph_test_host *h))
{
	unsigned long end = jiffies + CFPH_TEST_TIMEOUT;

	while (!condition(h) && time_before(jiffies, end))
		schedule_timeout_uninterruptible(1);
	KUNIT_ASSERT_TRUE(h->test, condition(h));
}

static bool cfph_test_ready(struct cfph_test_host *h)
{
	struct cfph_info info;

	cfph_get_info(&info);
	return info.state == CFPH_STATE_READY;
}

static void cfph_test_enable(struct cfph_test_host *h, bool enable)
{
	struct cfph_tunables tunables;

	cfph_get_tunables(&tunables);
	tunables.enable = enable;
	KUNIT_ASSERT_EQ(h->test, cfph_set_tunables(&tunables, NULL, NULL), 0);
}

static bool cfph_test_is_changed(const struct cfph_map *map, unsigned long chunk)
{
	struct cfph_dir *dir = cfph_map_dir(map, chunk / CFPH_DIR_CHUNKS);

	return dir && READ_ONCE(dir->changed[chunk % CFPH_DIR_CHUNKS]);
}

static void cfph_test_flag(unsigned long chunk, unsigned long chunks)
{
	while (chunks--)
		cfph_map_flag(cfph.map, chunk++, true);
}

/*
 * Between two rounds no pass runs (the interval is long), so whatever the shadow
 * does not know has its changed byte set.
 */
static void cfph_test_compare(struct cfph_test_host *h)
{
	unsigned long bits[CFPH_CHUNK_WORDS];
	unsigned long chunk, slot, wrong = 0, compared = 0;
	const unsigned long *shadow;
	bool differs;

	mutex_lock(&cfph_mutex);
	for (chunk = 0; chunk < cfph_map_chunks(cfph.map); chunk++) {
		slot = chunk / CFPH_LEAF_CHUNKS;
		if (!h->leaf[slot])
			continue;
		cfph_map_copy_chunk(cfph.map, chunk, bits);
		shadow = h->shadow[slot] +
			 chunk % CFPH_LEAF_CHUNKS * CFPH_CHUNK_WORDS;
		differs = memcmp(bits, shadow, sizeof(bits));
		/* A hook that has just written bits is about to set the byte. */
		if (differs)
			synchronize_rcu();
		if (cfph_test_is_changed(cfph.map, chunk))
			continue;
		wrong += differs;
		compared++;
	}
	mutex_unlock(&cfph_mutex);

	KUNIT_EXPECT_EQ(h->test, wrong, 0);
	KUNIT_EXPECT_GT(h->test, compared, 0);
}

static void cfph_test_oracle(struct kunit *test)
{
	struct cfph_verdict verdict;

	KUNIT_ASSERT_EQ(test, cfph_verify(&verdict), 0);
	KUNIT_EXPECT_GT(test, verdict.pages, 0);
	KUNIT_EXPECT_GT(test, verdict.free, 0);
	KUNIT_EXPECT_FALSE_MSG(test, verdict.differs,
			       "page %#lx is %s in the map only", verdict.pfn,
			       verdict.map_free ? "free" : "not free");
}

/* --- set-up --- */

static void cfph_test_alloc_shadow(struct cfph_test_host *h)
{
	struct kunit *test = h->test;
	unsigned long slot;

	mutex_lock(&cfph_mutex);
	h->slots = cfph.map->slots;
	mutex_unlock(&cfph_mutex);

	h->leaf = kunit_kcalloc(test, h->slots, sizeof(*h->leaf), GFP_KERNEL);
	h->shadow = kunit_kcalloc(test, h->slots, sizeof(*h->shadow),
				  GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, h->leaf);
	KUNIT_ASSERT_NOT_NULL(test, h->shadow);
	for (slot = 0; slot < h->slots; slot++) {
		h->shadow[slot] = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, h->shadow[slot]);
	}
}

static int cfph_test_init(struct kunit *test)
{
	struct cfph_test_host *h = kunit_kzalloc(test, sizeof(*h), GFP_KERNEL);
	struct cfph_tunables tunables;
	unsigned int i;
	int err;

	KUNIT_ASSERT_NOT_NULL(test, h);
	test->priv = h;
	h->test = test;
	spin_lock_init(&h->lock);
	init_waitqueue_head(&h->wait);
	INIT_LIST_HEAD(&h->sent);
	for (i = 0; i < CFPH_TEST_BUFFERS; i++) {
		h->buffers[i].buf.data = h->buffers[i].data;
		h->buffers[i].buf.size = CFPH_TEST_BUFFER_SIZE;
	}

	cfph_get_tunables(&h->saved);
	tunables = h->saved;
	tunables.enable = 1;
	/* No pass but the first one and those that a ROUND asks for. */
	tunables.interval_ms = 10000;
	KUNIT_ASSERT_EQ(test, cfph_set_tunables(&tunables, NULL, NULL), 0);

	if (cfph_refusal() != CFPH_REASON_NONE)
		kunit_skip(test, "refused on this system");
	err = cfph_register(&cfph_test_ops, h);
	if (err == -EBUSY)
		kunit_skip(test, "a real device is in use");
	KUNIT_ASSERT_EQ(test, err, 0);
	h->registered = true;

	cfph_test_wait(h, cfph_test_ready);
	cfph_test_alloc_shadow(h);
	cfph_test_get_map(h);
	return 0;
}

static void cfph_test_exit(struct kunit *test)
{
	struct cfph_test_host *h = test->priv;
	struct cfph_info info;

	if (!h)
		return;
	if (h->registered)
		cfph_unregister(CFPH_REASON_NO_DEVICE);
	spin_lock(&h->lock);
	h->gone = true;
	spin_unlock(&h->lock);
	/* Must not reach us any more. */
	cfph_command(VIRTIO_BALLOON_CFPH_CMD_START, CFPH_TEST_ID, 0);
	cfph_buffer_returned();
	cfph_set_tunables(&h->saved, NULL, NULL);
	cfph_command(VIRTIO_BALLOON_CFPH_CMD_STOP, CFPH_TEST_ID, 0);

	cfph_get_info(&info);
	if (h->registered) {
		KUNIT_EXPECT_EQ(test, info.state, CFPH_STATE_OFF);
		KUNIT_EXPECT_EQ(test, info.reason, CFPH_REASON_NO_DEVICE);
		KUNIT_EXPECT_EQ(test, info.map_bytes, 0);
	}
}

#endif /* _MM_CFPH_TESTS_HOST_H */
