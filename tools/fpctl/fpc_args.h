/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Words of the command line: names that may be cut short, KEY VALUE pairs,
 * values with units.
 */
#ifndef FPC_ARGS_H
#define FPC_ARGS_H

#include "fpc_attr.h"

/*
 * Index of @word, or of what it is a prefix of unless it must be @whole; or one
 * of these.
 */
int fpc_pick(fpc_names *names, const char *word, bool whole);
#define FPC_NONE -1
#define FPC_MANY -2

/*
 * The same, and if that is none an error line that begins with @where and names
 * what there is of that @kind, or what it may be.
 */
int fpc_choose(const char *where, const char *kind, fpc_names *names, const char *word, bool whole);

/* Candidates, one a line, but none of the first 32 whose bit is in @without. */
void fpc_print_names(fpc_names *names, uint32_t without);

/*
 * NULL, or what is wrong with @word.  A number may have a unit that its key can
 * be told in, a switch be "yes" or "no", all in either case.  Ranges of numbers
 * are left to the kernel, which may know a wider one than we do; a name that we
 * do not know cannot be sent at all.
 */
const char *fpc_args_value(const struct fpc_field *field, const char *word,
			   struct fpc_attrs *attrs);

/*
 * The same.  @where begins the error line, "set" for example; @word: NULL if there is
 * none.  Return: FPC_EXIT_OK, or FPC_EXIT_USAGE with the error line printed.
 */
int fpc_args_word(const char *where, const struct fpc_field *field, const char *word,
		  struct fpc_attrs *attrs);

/* One pair.  @whole: the key may not be cut short. */
int fpc_args_pair(const char *where, bool whole, const char *key, const char *word,
		  struct fpc_attrs *attrs);

/* All of them, each as "KEY VALUE" or "KEY=VALUE". */
int fpc_args_pairs(const char *where, int argc, char **argv, struct fpc_attrs *attrs);

/* What may follow the given words: unused keys, or the values of a key. */
void fpc_args_complete(int argc, char **argv);

#endif /* FPC_ARGS_H */
