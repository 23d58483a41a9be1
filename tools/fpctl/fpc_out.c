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

uint64_t fpc_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void fpc_out_time(struct fpc_out *o, uint64_t ms, const char *label)
{
	time_t seconds = ms / 1000;
	struct tm tm;
	char day[32];

	localtime_r(&seconds, &tm);
	strftime(day, sizeof(day), "%Y-%m-%d %H:%M:%S", &tm);
	if (label)
		fpc_out_num(o, "time-ms", ms, "%-14s %s.%03u\n", label, day,
			    (unsigned int)(ms % 1000));
	else
		fpc_out_num(o, "time-ms", ms, "%s.%03u ", day,
			    (unsigned int)(ms % 1000));
}

void fpc_out_begin(struct fpc_out *o, const struct fpc_ctx *ctx)
{
	*o = (struct fpc_out){ .json = ctx->json, .pretty = ctx->pretty };
	fpc_out_open(o, NULL, '{');
	if (ctx->time)
		fpc_out_time(o, fpc_now_ms(), "time");
}

void fpc_out_end(struct fpc_out *o)
{
	fpc_out_close(o, '{');
	if (o->json)
		putchar('\n');
}

static void new_line(const struct fpc_out *o)
{
	if (o->pretty)
		printf("\n%*s", 4 * o->depth, "");
}

/* Keys come from the spec and need no quoting. */
static void put_key(struct fpc_out *o, const char *key)
{
	if (o->more)
		putchar(',');
	o->more = true;
	if (o->depth)
		new_line(o);
	if (key)
		printf(o->pretty ? "\"%s\": " : "\"%s\":", key);
}

void fpc_out_open(struct fpc_out *o, const char *key, char bracket)
{
	if (!o->json)
		return;
	put_key(o, key);
	putchar(bracket);
	o->depth++;
	o->more = false;
}

void fpc_out_close(struct fpc_out *o, char bracket)
{
	if (!o->json)
		return;
	o->depth--;
	if (o->more)
		new_line(o);
	putchar(bracket == '{' ? '}' : ']');
	o->more = true;
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

/* What all of them do: @print prints JSON, text is a format. */
#define OUT(o, key, text, print)            \
	do {                                \
		if ((o)->json) {            \
			put_key(o, key);    \
			print;              \
		} else if (text) {          \
			va_list ap;         \
                                            \
			va_start(ap, text); \
			vprintf(text, ap);  \
			va_end(ap);         \
		}                           \
	} while (0)

void fpc_out_num(struct fpc_out *o, const char *key, uint64_t value,
		 const char *text, ...)
{
	OUT(o, key, text, printf("%" PRIu64, value));
}

void fpc_out_milli(struct fpc_out *o, const char *key, uint64_t value,
		   const char *text, ...)
{
	OUT(o, key, text,
	    printf("%" PRIu64 ".%03u", value / 1000,
		   (unsigned int)(value % 1000)));
}

void fpc_out_str(struct fpc_out *o, const char *key, const char *value,
		 const char *text, ...)
{
	OUT(o, key, text, put_string(value));
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
