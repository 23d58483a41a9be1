// SPDX-License-Identifier: GPL-2.0
/*
 * The messages of nlfuzz: right ones, wrong ones with a known answer, and noise.
 * Knows the specification and no socket.
 */
#include <errno.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <string.h>

#include <linux/cfph.h>

#include "nlfuzz.h"
#include "pattern.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define ATTRS_ROOM	(MESSAGE_MAX - 1024)

/* What can be set: the ranges of the specification once more. */
static const struct tunable {
	const char *name;
	int attr;
	uint32_t min, max;
} tunables[] = {
	{ "enable", CFPH_A_ENABLE, 0, 1 },
	{ "interval-ms", CFPH_A_INTERVAL_MS, 10, 10000 },
	{ "drain", CFPH_A_DRAIN, 0, CFPH_DRAIN_MAX },
	{ "keep", CFPH_A_KEEP, 0, CFPH_KEEP_MAX },
	{ "reclaim", CFPH_A_RECLAIM, 0, 100 },
};

static const uint8_t dumps[] = {
	CFPH_CMD_ZONE_GET, CFPH_CMD_MAP_GET, CFPH_CMD_MAP_RAW_GET,
	CFPH_CMD_RECLAIM,
};

static const uint8_t dos[] = {
	CFPH_CMD_GET, CFPH_CMD_SET, CFPH_CMD_STATS_GET,
	CFPH_CMD_DEFAULTS_GET,
};

/* --- chance --- */

uint64_t chance(struct fuzz *f)
{
	return f->rng = pattern_next(f->rng);
}

uint64_t below(struct fuzz *f, uint64_t limit)
{
	return (chance(f) >> 16) % limit;
}

/* --- building blocks --- */

/* A message begins at @at; returns where its attributes begin. */
static size_t begin(struct fuzz *f, size_t at, uint8_t command, uint16_t flags)
{
	struct nlmsghdr *n = (struct nlmsghdr *)(f->buf + at);
	struct genlmsghdr *g = NLMSG_DATA(n);

	*n = (struct nlmsghdr) {
		.nlmsg_type = f->family,
		.nlmsg_flags = NLM_F_REQUEST | flags,
		.nlmsg_seq = f->sent,
	};
	*g = (struct genlmsghdr) {
		.cmd = command, .version = CFPH_FAMILY_VERSION,
	};
	return at + NLMSG_LENGTH(GENL_HDRLEN);
}

/* It ends at @end; returns where another one may begin. */
static size_t finish(struct fuzz *f, size_t at, size_t end)
{
	((struct nlmsghdr *)(f->buf + at))->nlmsg_len = end - at;
	memset(f->buf + end, 0, NLMSG_ALIGN(end) - end);
	return NLMSG_ALIGN(end);
}

/* Appends an attribute that claims to be @claim bytes; returns its end. */
static size_t put_claim(struct fuzz *f, size_t at, uint16_t type,
			const void *data, size_t len, uint16_t claim)
{
	struct nlattr nla = { .nla_len = claim, .nla_type = type };

	memcpy(f->buf + at, &nla, sizeof(nla));
	at += sizeof(nla);
	memcpy(f->buf + at, data, len);
	memset(f->buf + at + len, 0, NLA_ALIGN(len) - len);
	return at + NLA_ALIGN(len);
}

static size_t put(struct fuzz *f, size_t at, uint16_t type, const void *data,
		  size_t len)
{
	return put_claim(f, at, type, data, len, sizeof(struct nlattr) + len);
}

/* --- right messages --- */

size_t make_family_request(struct fuzz *f)
{
	size_t at;

	f->family = GENL_ID_CTRL;
	at = begin(f, 0, CTRL_CMD_GETFAMILY, 0);
	at = put(f, at, CTRL_ATTR_FAMILY_NAME, CFPH_FAMILY_NAME,
		 sizeof(CFPH_FAMILY_NAME));
	return finish(f, 0, at);
}

/* The payload of the first attribute of @type; NULL if there is none. */
static const char *find_attr(const char *data, size_t *len, int type)
{
	size_t left = *len, step;

	while (left >= sizeof(struct nlattr)) {
		const struct nlattr *nla = (const struct nlattr *)data;

		if (nla->nla_len < sizeof(*nla) || nla->nla_len > left)
			return NULL;
		if ((nla->nla_type & NLA_TYPE_MASK) == type || !type) {
			*len = nla->nla_len - sizeof(*nla);
			return data + sizeof(*nla);
		}
		step = NLA_ALIGN(nla->nla_len);
		if (step >= left)
			return NULL;
		data += step;
		left -= step;
	}
	return NULL;
}

bool read_family(struct fuzz *f, const char *data, size_t len)
{
	const size_t head = NLMSG_LENGTH(GENL_HDRLEN);
	const char *id, *group;
	size_t left;

	if (len <= head || ((const struct nlmsghdr *)data)->nlmsg_type !=
			   GENL_ID_CTRL)
		return false;
	left = len - head;
	id = find_attr(data + head, &left, CTRL_ATTR_FAMILY_ID);
	left = len - head;
	group = find_attr(data + head, &left, CTRL_ATTR_MCAST_GROUPS);
	/* There is one; it is nested in a list, whatever its index. */
	group = group ? find_attr(group, &left, 0) : NULL;
	group = group ? find_attr(group, &left, CTRL_ATTR_MCAST_GRP_ID) : NULL;
	if (!id || !group)
		return false;
	memcpy(&f->family, id, sizeof(f->family));
	memcpy(&f->group, group, sizeof(f->group));
	return true;
}

size_t make_get(struct fuzz *f)
{
	return finish(f, 0, begin(f, 0, CFPH_CMD_GET, NLM_F_ACK));
}

size_t make_dump(struct fuzz *f)
{
	uint8_t command = dumps[below(f, ARRAY_SIZE(dumps))];
	size_t at = begin(f, 0, command, NLM_F_DUMP);
	uint32_t percent = below(f, 101);

	if (command == CFPH_CMD_RECLAIM)
		at = put(f, at, CFPH_A_RECLAIM_PERCENT, &percent,
			 sizeof(percent));
	return finish(f, 0, at);
}

/* Around the ends of a range, and where the kinds of integers end. */
static uint32_t some_value(struct fuzz *f, uint32_t min, uint32_t max)
{
	const uint32_t values[] = {
		min - 1, min, min + 1, max - 1, max, max + 1, (min + max) / 2,
		0, INT32_MAX, INT32_MIN, UINT32_MAX, chance(f),
	};

	return values[below(f, ARRAY_SIZE(values))];
}

static size_t put_tunable(struct fuzz *f, size_t at, const struct tunable *t,
			  uint32_t *value)
{
	*value = some_value(f, t->min, t->max);
	/* Off now and then only, or there would never be a map. */
	if (t->attr == CFPH_A_ENABLE && !*value)
		*value = below(f, 4) > 0;
	return put(f, at, t->attr, value, sizeof(*value));
}

/* --- probes --- */

static int for_root(const struct fuzz *f, int right)
{
	return f->root ? right : -EPERM;
}

/* The policy refuses first, whoever asks; then it is a matter of rights. */
static size_t probe_range(struct fuzz *f, struct probe *p)
{
	const struct tunable *t = &tunables[below(f, ARRAY_SIZE(tunables))];
	size_t at = begin(f, 0, CFPH_CMD_SET, NLM_F_ACK);
	uint32_t value;

	at = put_tunable(f, at, t, &value);
	p->what = t->name;
	p->value = value;
	p->right = value < t->min || value > t->max ? -ERANGE : for_root(f, 0);
	return finish(f, 0, at);
}

static size_t probe_cpus(struct fuzz *f, struct probe *p)
{
	/* No policy can know which there are; the first one always is. */
	static const char * const lists[] = {
		"0", "", "-", "0-", "one", "4294967295", "0-99999999",
	};
	size_t at = begin(f, 0, CFPH_CMD_SET, NLM_F_ACK);

	p->what = "cpus, the list of number";
	p->value = below(f, ARRAY_SIZE(lists));
	p->right = for_root(f, p->value ? -EINVAL : 0);
	at = put(f, at, CFPH_A_CPUS, lists[p->value],
		 strlen(lists[p->value]) + 1);
	return finish(f, 0, at);
}

static size_t probe_command(struct fuzz *f, struct probe *p)
{
	/* Beyond the last one, and 0; or the kernel's alone. */
	uint8_t command = below(f, 8) ? CFPH_CMD_MAX + 1 + below(f, 256 - CFPH_CMD_MAX) :
					CFPH_CMD_EVENT_NTF;
	uint16_t flags = below(f, 2) ? NLM_F_DUMP : 0;

	p->what = "a command that there is not";
	p->right = -EOPNOTSUPP;
	if (below(f, 2)) {
		/* There is, but not for this. */
		command = flags ? dos[below(f, ARRAY_SIZE(dos))] :
				  dumps[below(f, ARRAY_SIZE(dumps))];
		p->what = flags ? "do as dump" : "dump as do";
	}
	p->value = command;
	return finish(f, 0, begin(f, 0, command, NLM_F_ACK | flags));
}

/* An attribute that the policy must not let through. */
static size_t probe_attr(struct fuzz *f, struct probe *p)
{
	static const uint16_t strangers[] = {
		0, CFPH_A_STATE, CFPH_A_ROUND, CFPH_A_PAD,
		CFPH_A_MAX + 1, 100, 0x3fff,
	};
	size_t at = begin(f, 0, CFPH_CMD_SET, NLM_F_ACK);
	const struct tunable *t = &tunables[below(f, ARRAY_SIZE(tunables))];
	uint64_t zero[4] = {};

	p->right = -EINVAL;
	switch (below(f, 4)) {
	case 0:
		p->what = "an attribute that set has not";
		p->value = strangers[below(f, ARRAY_SIZE(strangers))];
		at = put(f, at, p->value, zero, 4);
		break;
	case 1:
		p->what = "an attribute of this length";
		p->value = below(f, 16);
		p->value += p->value >= 4;
		at = put(f, at, t->attr, zero, p->value);
		break;
	case 2:
		p->what = "a text without an end";
		p->value = 1 + below(f, 16);
		memset(zero, '1', sizeof(zero));
		at = put(f, at, CFPH_A_CPUS, zero, p->value);
		break;
	default:
		p->what = "bytes behind the attributes";
		p->value = 1;
		at = put(f, at, CFPH_A_INTERVAL_MS, &(uint32_t){ 100 }, 4);
		memset(f->buf + at, 0, 4);
		return finish(f, 0, at + 1);
	}
	return finish(f, 0, at);
}

static size_t probe_header(struct fuzz *f, struct probe *p)
{
	struct nlmsghdr *n = (struct nlmsghdr *)f->buf;
	size_t at = begin(f, 0, CFPH_CMD_GET, NLM_F_ACK);

	p->right = -EINVAL;
	if (below(f, 2)) {
		p->what = "reserved bits";
		p->value = 1 + below(f, UINT16_MAX);
		((struct genlmsghdr *)NLMSG_DATA(n))->reserved = p->value;
	} else {
		p->what = "flags that mean nothing";
		/* Only both bits of NLM_F_DUMP together mean something. */
		p->value = 0x10 << below(f, 12);
		n->nlmsg_flags |= p->value;
	}
	return finish(f, 0, at);
}

static size_t probe_rights(struct fuzz *f, struct probe *p)
{
	p->value = 0;
	p->what = "nothing to set";
	p->right = for_root(f, -EINVAL);
	return finish(f, 0, begin(f, 0, CFPH_CMD_SET, NLM_F_ACK));
}

/**
 * make_probe - a message with one right answer
 */
size_t make_probe(struct fuzz *f, struct probe *p)
{
	switch (below(f, 9)) {
	case 0:
		return probe_cpus(f, p);
	case 1:
		return probe_command(f, p);
	case 2:
	case 3:
		return probe_attr(f, p);
	case 4:
		return probe_header(f, p);
	case 5:
		return probe_rights(f, p);
	default:
		return probe_range(f, p);
	}
}

/* --- noise --- */

static uint16_t some_type(struct fuzz *f)
{
	static const uint16_t flags[] = { 0, 0, 0, NLA_F_NESTED,
					  NLA_F_NET_BYTEORDER };

	return below(f, CFPH_A_MAX + 4) | flags[below(f, ARRAY_SIZE(flags))];
}

static size_t put_text(struct fuzz *f, size_t at)
{
	static const char * const texts[] = {
		"", "0", "1", "0-1", "0-", "-1", ",,", "0-4294967295",
		"99999999999999999999", "0-1:1/2", "all", "N", "0,0,0\n",
		"%s%n", " 0",
	};
	const char *text = texts[below(f, ARRAY_SIZE(texts))];

	return put(f, at, CFPH_A_CPUS, text, strlen(text) + below(f, 2));
}

static size_t put_noise(struct fuzz *f, size_t at)
{
	uint64_t data[8];
	size_t len = below(f, 2) ? 4 : below(f, sizeof(data));
	uint16_t claim = sizeof(struct nlattr) + len;

	for (size_t i = 0; i < ARRAY_SIZE(data); i++)
		data[i] = below(f, 2) ? chance(f) : below(f, 20);
	if (!below(f, 8))
		claim = chance(f);
	return put_claim(f, at, some_type(f), data, len, claim);
}

/* A set with many attributes: right, wrong, twice, in any order. */
static size_t put_set(struct fuzz *f, size_t at)
{
	size_t end = begin(f, at, CFPH_CMD_SET, NLM_F_ACK);
	uint64_t attrs = 1 + below(f, 12), noise = below(f, 3);
	uint32_t unused;

	while (attrs--) {
		if (!below(f, 8))
			end = put_text(f, end);
		else if (noise && !below(f, 3))
			end = put_noise(f, end);
		else
			end = put_tunable(f, end, &tunables[
				below(f, ARRAY_SIZE(tunables))], &unused);
	}
	return finish(f, at, end);
}

/* Any command with any header. */
static size_t put_header(struct fuzz *f, size_t at)
{
	static const uint16_t flags[] = {
		0, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP | NLM_F_ACK, NLM_F_ROOT,
		NLM_F_MATCH, NLM_F_ATOMIC, NLM_F_ECHO, NLM_F_MULTI,
	};
	struct nlmsghdr *n = (struct nlmsghdr *)(f->buf + at);
	struct genlmsghdr *g = NLMSG_DATA(n);
	size_t end = begin(f, at, 1 + below(f, CFPH_CMD_MAX),
			   flags[below(f, ARRAY_SIZE(flags))]);

	g->version = below(f, 2) ? chance(f) : CFPH_FAMILY_VERSION;
	if (!below(f, 8))
		g->cmd = chance(f);
	if (!below(f, 8))
		g->reserved = chance(f);
	if (!below(f, 8))
		n->nlmsg_flags = chance(f);
	n->nlmsg_pid = below(f, 2) ? chance(f) : 0;
	while (below(f, 2))
		end = put_noise(f, end);
	return finish(f, at, end);
}

/* Some bytes are others, but it still goes to our family. */
static size_t mutate(struct fuzz *f, size_t len)
{
	struct nlmsghdr *n = (struct nlmsghdr *)f->buf;
	uint64_t bytes = 1 + below(f, 8);

	while (bytes--) {
		size_t at = below(f, 4) ? sizeof(*n) + below(f, len - sizeof(*n)) :
					  below(f, len);

		if (below(f, 2))
			f->buf[at] = chance(f);
		else
			f->buf[at] ^= 1 << below(f, 8);
	}
	n->nlmsg_type = f->family;
	return len;
}

static size_t nested(struct fuzz *f)
{
	size_t at = begin(f, 0, CFPH_CMD_SET, NLM_F_ACK);
	size_t depth = 1 + below(f, below(f, 4) ? 10 : 10000);
	size_t start = at, i;

	for (i = 0; i < depth; i++) {
		size_t inside = (depth - i) * sizeof(struct nlattr);

		at = put_claim(f, at, some_type(f) | NLA_F_NESTED, "", 0, inside);
	}
	if (!below(f, 4))	/* the outermost claims more than there is */
		((struct nlattr *)(f->buf + start))->nla_len += 4;
	return finish(f, 0, at);
}

/* One attribute of up to 64 KiB, or as many as there is room for. */
static size_t huge(struct fuzz *f)
{
	size_t at = begin(f, 0, CFPH_CMD_SET, NLM_F_ACK);
	size_t room = 4096 + below(f, ATTRS_ROOM - 8192);
	uint16_t type = some_type(f);

	if (below(f, 2)) {
		size_t len = below(f, UINT16_MAX - 8);

		memset(f->buf + at + sizeof(struct nlattr), '1', len);
		return finish(f, 0, put_claim(f, at, type, "", 0,
					      sizeof(struct nlattr) + len) + len);
	}
	while (at < room)
		at = put(f, at, type, &(uint32_t){ 1 }, 4);
	return finish(f, 0, at);
}

static size_t several(struct fuzz *f)
{
	uint64_t messages = 2 + below(f, 20);
	size_t at = 0;

	while (messages--)
		at = below(f, 2) ? put_set(f, at) : put_header(f, at);
	return at;
}

/**
 * make_message - a message that is right by accident only
 */
size_t make_message(struct fuzz *f)
{
	size_t len;

	switch (below(f, 12)) {
	case 0:
	case 1:
		return put_header(f, 0);
	case 2:
	case 3:
	case 4:
		len = below(f, 2) ? put_set(f, 0) : put_header(f, 0);
		return mutate(f, len);
	case 5:
		return nested(f);
	case 6:
		/* A large message is vmalloc()ed, which complains if it fails. */
		return f->faults ? several(f) : huge(f);
	case 7:
		return several(f);
	case 8:
		len = put_set(f, 0);
		return 1 + below(f, len);	/* the rest is not sent */
	default:
		return put_set(f, 0);
	}
}
