/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A file that is there as a whole or not at all.
 *
 * It is written under another name beside its own and renamed at the end, so
 * that neither a full disk nor a power failure leaves half of it, and an older
 * one stays until then.
 */
#ifndef FPC_FILE_H
#define FPC_FILE_H

#include <limits.h>
#include <stdio.h>

struct fpc_file {
	FILE *stream;
	const char *path;
	char temporary[PATH_MAX];
};

/* Return: 0, or an errno, and then there is nothing to end. */
int fpc_file_create(struct fpc_file *f, const char *path, unsigned int mode);
/* It takes its place, unless there was an error @err.  Return: 0 or an errno. */
int fpc_file_end(struct fpc_file *f, int err);

#endif /* FPC_FILE_H */
