// SPDX-License-Identifier: GPL-2.0
/*
 * kexec-now KERNEL INITRD: start another kernel with the command line of this
 * one, at once, without going through the firmware and without asking anybody.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char cmdline[4096];
	int kernel, initrd, file;
	ssize_t n;

	if (argc != 3) {
		fprintf(stderr, "usage: kexec-now KERNEL INITRD\n");
		return 2;
	}
	file = open("/proc/cmdline", O_RDONLY);
	n = read(file, cmdline, sizeof(cmdline) - 1);
	if (n <= 0)
		return 1;
	cmdline[n] = 0;
	cmdline[strcspn(cmdline, "\n")] = 0;
	kernel = open(argv[1], O_RDONLY);
	initrd = open(argv[2], O_RDONLY);
	if (syscall(SYS_kexec_file_load, kernel, initrd, strlen(cmdline) + 1,
		    cmdline, 0UL)) {
		fprintf(stderr, "kexec-now: %s, %s: %s\n", argv[1], argv[2],
			strerror(errno));
		return 1;
	}
	sync();
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
		LINUX_REBOOT_CMD_KEXEC, NULL);
	fprintf(stderr, "kexec-now: reboot: %s\n", strerror(errno));
	return 1;
}
