#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# deps.sh PACKAGE...
#
# Makes sure that the Debian packages are installed.  One dpkg-query when they
# are.  When one is missing: root installs it, anybody else gets one line with
# the command and exit status 1.  CFPH_DEPS=skip trusts the user instead, for
# systems that have the same tools under other names.
set -eu

[ "${CFPH_DEPS:-}" != skip ] || exit 0

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
	echo "deps: no apt here; install what these Debian packages hold, then set CFPH_DEPS=skip: $*" >&2
	exit 1
fi

# "ii " and "hi " (on hold) are installed; a name that dpkg never saw is only
# an error on stderr, so it is missing from the list, which is what we want.
have=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "$@" 2>/dev/null |
	sed -n 's/^[ih]i *//p')
missing=
for pkg; do
	printf '%s\n' "$have" | grep -qxF "$pkg" || missing="$missing $pkg"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
	echo "deps: packages are missing, as root run: apt-get install --no-install-recommends$missing" >&2
	exit 1
fi

echo "[deps] installing$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
	# shellcheck disable=SC2086 # a list of package names
	apt-get install -y -q --no-install-recommends $missing >"$log" 2>&1
}
# A fresh image has no package lists, an old one has lists of files that are
# gone from the mirror: both are healed by an update, so try without it first.
if ! install && ! { apt-get update -q >"$log" 2>&1 && install; }; then
	tail -n 20 "$log" >&2
	echo "deps: apt-get could not install$missing" >&2
	exit 1
fi
