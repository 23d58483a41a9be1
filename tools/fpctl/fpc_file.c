// SPDX-License-Identifier: GPL-2.0
/*
 * Writing a file as a whole, see fpc_file.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fpc_file.h"

int fpc_file_create(struct fpc_file *f, const char *path, unsigned int mode)
{
	struct stat st;
	int err, fd;

	/* rename() would replace a device or a pipe, which nobody wants. */
	if (!stat(path, &st) && !S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? EISDIR : EEXIST;
	f->path = path;
	if (snprintf(f->temporary, sizeof(f->temporary), "%s.XXXXXX", path) >=
	    (int)sizeof(f->temporary))
		return ENAMETOOLONG;
	fd = mkstemp(f->temporary);
	if (fd < 0)
		return errno;
	f->stream = fdopen(fd, "w");
	if (f->stream)
		return fchmod(fd, mode) ? fpc_file_end(f, errno) : 0;
	err = errno;
	close(fd);
	unlink(f->temporary);
	return err;
}

int fpc_file_end(struct fpc_file *f, int err)
{
	if (!err && (fflush(f->stream) || ferror(f->stream) || fsync(fileno(f->stream)) ||
		     rename(f->temporary, f->path)))
		err = errno;
	if (err)
		unlink(f->temporary);
	fclose(f->stream);
	return err;
}
