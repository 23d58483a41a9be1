// SPDX-License-Identifier: GPL-2.0
/*
 * kexec-now KERNEL INITRD: start another kernel with the command line of this
 * one, at once, without going through the firmware and without asking anybody.
 *
 * kexec-now -p KERNEL INITRD [WORDS]: load it for when this one panics; WORDS
 * go behind the command line.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The command line of this kernel; a crash kernel needs no place for another. */
static int read_cmdline(char *buf, size_t size)
{
	int file = open("/proc/cmdline", O_RDONLY);
	ssize_t n = read(file, buf, size - 1);
	char *word;

	if (n <= 0)
		return -1;
	buf[n] = 0;
	buf[strcspn(buf, "\n")] = 0;
	word = strstr(buf, "crashkernel=");
	if (word)
		memset(word, ' ', strcspn(word, " "));
	return 0;
}

static int load(const char *kernel, const char *initrd, const char *words,
		unsigned long flags)
{
	char cmdline[4096];
	size_t used;

	if (read_cmdline(cmdline, sizeof(cmdline)))
		return -1;
	used = strlen(cmdline);
	snprintf(cmdline + used, sizeof(cmdline) - used, " %s", words);
	return syscall(SYS_kexec_file_load, open(kernel, O_RDONLY),
		       open(initrd, O_RDONLY), strlen(cmdline) + 1, cmdline,
		       flags);
}

int main(int argc, char **argv)
{
	int crash = argc > 1 && !strcmp(argv[1], "-p");
	char **arg = argv + 1 + crash;
	int n = argc - 1 - crash;

	if (n < 2 || n > 2 + crash) {
		fprintf(stderr, "usage: kexec-now [-p] KERNEL INITRD [WORDS]\n");
		return 2;
	}
	if (load(arg[0], arg[1], n > 2 ? arg[2] : "",
		 crash ? KEXEC_FILE_ON_CRASH : 0)) {
		fprintf(stderr, "kexec-now: %s, %s: %s\n", arg[0], arg[1],
			strerror(errno));
		return 1;
	}
	if (crash)
		return 0;
	sync();
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
		LINUX_REBOOT_CMD_KEXEC, NULL);
	fprintf(stderr, "kexec-now: reboot: %s\n", strerror(errno));
	return 1;
}
