/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The two halves of nlfuzz: nlfuzz.c sends messages and judges what comes back,
 * nlmake.c makes them.
 */
#ifndef NLFUZZ_H
#define NLFUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MESSAGE_MAX	(256u << 10)
#define RECEIVE_MAX	65536u
#define ERRNO_MAX	134
#define FUZZ_SLOTS	8	/* sockets that stay open for a while */

/* What all processes have seen. */
struct tally {
	uint64_t sent;
	uint64_t probes;
	uint64_t replies;	/* messages of the family */
	uint64_t dumps;		/* that came to their end */
	uint64_t events;
	uint64_t overruns;	/* ENOBUFS of a socket */
	uint64_t truncated;	/* for want of room where they were to go */
	uint64_t refused[ERRNO_MAX];	/* by errno; 0 is a success */
};

/* One process. */
struct fuzz {
	int number;
	bool root;		/* or an unprivileged user */
	bool faults;		/* allocations of the kernel may fail */
	uint64_t rng;
	uint64_t sent;
	uint64_t replies;
	uint16_t family;
	uint32_t group;		/* of the events */
	int fd;			/* for messages whose answer does not matter */
	int slot[FUZZ_SLOTS];
	char *buf;		/* the message in work, MESSAGE_MAX bytes */
};

/* A message and the only right answer to it: 0 or a negative errno. */
struct probe {
	const char *what;
	int64_t value;
	int right;
};

uint64_t chance(struct fuzz *f);
uint64_t below(struct fuzz *f, uint64_t limit);

/* All of them write to f->buf and return the number of bytes to send. */
size_t make_family_request(struct fuzz *f);
size_t make_get(struct fuzz *f);
size_t make_dump(struct fuzz *f);
size_t make_probe(struct fuzz *f, struct probe *probe);
size_t make_message(struct fuzz *f);

/* The answer to make_family_request(): false if there is no such family. */
bool read_family(struct fuzz *f, const char *data, size_t len);

#endif
