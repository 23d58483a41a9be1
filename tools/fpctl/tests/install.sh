#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# make install: what is where, that the unit names the binary, and that nothing
# is left after uninstall.  Usage: install.sh SRC; O and MAKE in the environment.
set -u
src=$1
n=0
failed=0
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
unit=usr/lib/systemd/system/fpctl.service

result()	# result RC NAME
{
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n $2"
	else
		sed 's/^/# /' "$tmp/log"
		echo "not ok $n $2"
		failed=1
	fi
}

run_make()
{
	"$MAKE" -s -C "$src" O="$O" DESTDIR="$tmp/root" PREFIX=/usr "$@" >"$tmp/log" 2>&1
}

echo "KTAP version 1"
echo "1..4"
run_make install
result $? "install"
(cd "$tmp/root" && find . -type f | sort) >"$tmp/log"
cat >"$tmp/want" <<EOF
./usr/bin/fpctl
./$unit
./usr/share/bash-completion/completions/fpctl
./usr/share/fish/vendor_completions.d/fpctl.fish
./usr/share/fpctl/schema/map.json
./usr/share/fpctl/schema/monitor.json
./usr/share/fpctl/schema/reclaim.json
./usr/share/fpctl/schema/show.json
./usr/share/fpctl/schema/stats.json
./usr/share/fpctl/schema/zone.json
./usr/share/man/man8/fpctl.8
./usr/share/zsh/site-functions/_fpctl
EOF
cmp -s "$tmp/log" "$tmp/want"
result $? "each file in its place"
if command -v systemd-analyze >/dev/null; then
	mkdir -p "$tmp/units"
	# It looks for the binary; ours is in no system directory.
	sed "s|=/usr/bin/fpctl|=$tmp/root/usr/bin/fpctl|" "$tmp/root/$unit" \
		>"$tmp/units/fpctl.service"
	# It complains of units of others, too; so of one with a fault, or it is blind.
	(cat "$tmp/units/fpctl.service"; echo 'Nonsense=1') >"$tmp/units/faulty.service"
	systemd-analyze verify --man=no "$tmp/units/fpctl.service" \
		"$tmp/units/faulty.service" >"$tmp/log" 2>&1
	grep -q 'faulty\.service' "$tmp/log" && ! grep -q 'fpctl\.service' "$tmp/log" &&
		grep -q '^ExecStart=/usr/bin/fpctl restore --lenient$' "$tmp/root/$unit"
	result $? "systemd likes the unit, which starts what is installed"
else
	n=$((n + 1))
	echo "ok $n the unit # SKIP no systemd-analyze"
fi
run_make uninstall
[ -z "$(find "$tmp/root" -type f)" ]
result $? "uninstall"
exit $failed
