// SPDX-License-Identifier: GPL-2.0
/*
 * Text or JSON on stdout, see fpc_out.h.  Failures to write are noticed once,
 * at the end of main().
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "fpc_out.h"

static void put_time(struct fpc_out *o)
{
	struct timespec now;
	struct tm tm;
	char day[32];

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	strftime(day, sizeof(day), "%Y-%m-%d %H:%M:%S", &tm);
	fpc_out_num(o, "time-ms",
		    (uint64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000,
		    "%-14s %s.%03ld\n", "time", day, now.tv_nsec / 1000000);
}

void fpc_out_begin(struct fpc_out *o, const struct fpc_ctx *ctx)
{
	*o = (struct fpc_out){ .json = ctx->json, .pretty = ctx->pretty };
	if (o->json)
		putchar('{');
	if (ctx->time)
		put_time(o);
}

void fpc_out_end(struct fpc_out *o)
{
	if (o->json)
		puts(o->pretty && o->more ? "\n}" : "}");
}

/* Keys come from the spec and need no quoting. */
static void put_key(struct fpc_out *o, const char *key)
{
	if (o->more)
		putchar(',');
	o->more = true;
	if (o->pretty)
		printf("\n    \"%s\": ", key);
	else
		printf("\"%s\":", key);
}

static void put_string(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		unsigned char c = *s;

		if (c < 0x20)
			printf("\\u%04x", c);
		else if (c == '"' || c == '\\')
			printf("\\%c", c);
		else
			putchar(c);
	}
	putchar('"');
}

void fpc_out_num(struct fpc_out *o, const char *key, uint64_t value,
		 const char *text, ...)
{
	va_list ap;

	if (o->json) {
		put_key(o, key);
		printf("%" PRIu64, value);
	} else if (text) {
		va_start(ap, text);
		vprintf(text, ap);
		va_end(ap);
	}
}

void fpc_out_str(struct fpc_out *o, const char *key, const char *value,
		 const char *text, ...)
{
	va_list ap;

	if (o->json) {
		put_key(o, key);
		put_string(value);
	} else if (text) {
		va_start(ap, text);
		vprintf(text, ap);
		va_end(ap);
	}
}

struct fpc_size fpc_size(uint64_t bytes)
{
	struct fpc_size s;

	/* The larger unit only when it loses little: from 10 MiB up. */
	if (bytes >= UINT64_C(10) << 20)
		snprintf(s.text, sizeof(s.text), "%" PRIu64 " MiB",
			 bytes >> 20);
	else if (bytes >= 1024 || !bytes)
		snprintf(s.text, sizeof(s.text), "%" PRIu64 " KiB",
			 bytes >> 10);
	else
		snprintf(s.text, sizeof(s.text), "%" PRIu64 " bytes", bytes);
	return s;
}
