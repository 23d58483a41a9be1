/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What fpctl knows about each attribute of the cfph family.
 *
 * The tables are in generated/fpc_table.c, made from the netlink spec: names,
 * ranges, enum names and their texts.  Help, completion, the argument parser,
 * the netlink policy and the printers are all driven by them.  No netlink type
 * appears here.
 */
#ifndef FPC_ATTR_H
#define FPC_ATTR_H

#include <stdbool.h>
#include <stdint.h>

/* Attribute numbers are below this; bits of fpc_attrs.have. */
#define FPC_ATTRS 32

/*
 * Strings and arrays of one message: the bitmap of a leaf (4096 bytes) with its
 * block counts, or a list of CPUs.
 */
#define FPC_DATA 8192

/*
 * The attributes of one message, as plain numbers indexed by attribute.  Of a
 * string or array the number is its length, without the terminating NUL that
 * each of them has, and its bytes are in @data.  It can be copied.
 */
struct fpc_attrs {
	uint32_t have;
	uint32_t used; /* of @data */
	uint64_t value[FPC_ATTRS];
	uint16_t where[FPC_ATTRS];
	char data[FPC_DATA];
};

enum fpc_kind {
	FPC_U32,
	FPC_U64,
	FPC_STRING,
	FPC_BYTES,
	FPC_BOOL, /* a u32 that is 0 or 1, typed and shown as off or on */
	FPC_ENUM, /* a u32 that is typed and shown by name */
};

struct fpc_choice {
	const char *name;
	const char *doc;
};

struct fpc_field {
	uint16_t attr;
	enum fpc_kind kind;
	bool settable;
	const char *name;
	const char *unit; /* "" if it has none */
	uint32_t min, max; /* if it is typed and a number */
	const char *hint; /* what a settable FPC_STRING looks like */
	const struct fpc_choice *choices; /* FPC_BOOL, FPC_ENUM: by value */
	unsigned int nr_choices;
	const char *doc;
};

struct fpc_table {
	const struct fpc_field *fields;
	unsigned int nr_fields;
};

extern const struct fpc_table fpc_status_table; /* get, set, defaults-get */
extern const struct fpc_table fpc_stats_table; /* stats-get */
extern const struct fpc_table fpc_zone_table; /* zone-get */
extern const struct fpc_table fpc_leaf_table; /* map-get, map-raw-get */
extern const struct fpc_table fpc_event_table; /* event-ntf */
extern const struct fpc_table fpc_reclaim_table; /* reclaim */

static inline bool fpc_have(const struct fpc_attrs *a, uint16_t attr)
{
	return a->have & (UINT32_C(1) << attr);
}

static inline void fpc_put(struct fpc_attrs *a, uint16_t attr, uint64_t value)
{
	a->have |= UINT32_C(1) << attr;
	a->value[attr] = value;
}

/* What is called with the attributes of each message. */
typedef void fpc_each(const struct fpc_attrs *attrs, void *arg);

/* A string or array; false if it does not fit. */
bool fpc_put_data(struct fpc_attrs *a, uint16_t attr, const void *data, unsigned int len);
/* The bytes of a string or array, "" if the message has none. */
const char *fpc_data(const struct fpc_attrs *a, uint16_t attr);

const struct fpc_field *fpc_field_by_attr(const struct fpc_table *table, uint16_t attr);

/* Name number @i of a list, "" if it is none of those, NULL after the last one. */
typedef const char *fpc_names(unsigned int i);

/* The fields of fpc_status_table; of those, what can be set. */
fpc_names fpc_status_names, fpc_key_names;
/* The states of the map, and what stats has beside the counters. */
fpc_names fpc_state_names, fpc_part_names;
/* "a, b, c": the names that begin with @prefix; always terminated. */
void fpc_join(fpc_names *names, const char *prefix, char *buf, unsigned int n);

/* Enough for the decimal digits of a value that has no name. */
#define FPC_NAME_MAX 24

/*
 * A number, switch, name or string as people read and type it; @buf is for the
 * digits, of which a value of a newer kernel may consist where we expect a name.
 */
const char *fpc_field_text(const struct fpc_field *field, const struct fpc_attrs *a,
			   char buf[FPC_NAME_MAX]);
/* The same of the attribute @attr. */
const char *fpc_text(const struct fpc_table *table, const struct fpc_attrs *a, uint16_t attr,
		     char buf[FPC_NAME_MAX]);

/* "10..10000 ms" or "off, start, round"; always terminated. */
void fpc_field_range(const struct fpc_field *field, char *buf, unsigned int n);

#endif /* FPC_ATTR_H */
