#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# fetch.sh DEST SUITE linux|qemu|meson|cloud|stock
#
# Downloads one source into DEST with apt, which verifies it, and writes its
# version to DEST/NAME.version.  What the system's own apt configuration offers
# is taken first.  Otherwise a private apt root, DEST/apt, adds SUITE: it uses
# the mirror of the system's own Debian entries and Debian's archive keyring, and
# leaves the system's configuration and lists alone.  No root needed.
# DEBIAN_MIRROR= names a mirror when none can be found.
set -eu

dest=$1 suite=$2 name=$3
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
root=$dest/apt

die() {
	echo "fetch: $*" >&2
	exit 1
}

# The mirror: of the entries that say they are Debian's own main archive (the
# lists know), else of the first that looks like one.
mirror() {
	if [ -n "${DEBIAN_MIRROR:-}" ]; then
		echo "$DEBIAN_MIRROR"
		return
	fi
	# shellcheck disable=SC2016 # apt's own variables
	targets=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages')
	uri=$(printf '%s\n' "$targets" | sed -n 's/^Debian|Debian|//p' | head -n 1)
	[ -n "$uri" ] || uri=$(printf '%s\n' "$targets" | sed 's/.*|//' |
		grep -E '/debian/?$' | head -n 1)
	[ -n "$uri" ] || die "no Debian mirror in apt's configuration: set DEBIAN_MIRROR=, or give own trees with KDIR= and QDIR="
	echo "$uri"
}

# A complete apt of its own, kept for the next source.
private_root() {
	[ ! -e "$root/ready" ] || return 0
	[ -r "$keyring" ] || die "no $keyring: install debian-archive-keyring"
	uri=$(mirror) || exit 1
	mkdir -p "$root/lists/partial" "$root/cache/archives/partial" "$root/sources"
	# Targets and Languages keep it to the two indexes that are needed,
	# whatever the system's hooks would add.
	cat >"$root/sources/$suite.sources" <<-EOF
	Types: deb deb-src
	URIs: $uri
	Suites: $suite
	Components: main
	Targets: Packages Sources
	Languages: none
	Signed-By: $keyring
	EOF
	# -c is read after the system's files, so hooks can be cleared and
	# proxy settings stay.
	cat >"$root/apt.conf" <<-EOF
	#clear APT::Update::Pre-Invoke;
	#clear APT::Update::Post-Invoke;
	#clear APT::Update::Post-Invoke-Success;
	Dir::Etc::sourcelist "/dev/null";
	Dir::Etc::sourceparts "$root/sources";
	Dir::Etc::preferences "/dev/null";
	Dir::Etc::preferencesparts "/dev/null";
	Dir::State::lists "$root/lists";
	Dir::Cache "$root/cache";
	APT::Default-Release "";
	EOF
	echo "[fetch] package lists of $suite from $uri"
	apt private update
	touch "$root/ready"
}

# apt private|system ARGS...: quiet unless it fails.  Without the sandbox user
# apt does not complain that _apt cannot write to our directory.
apt() {
	conf=/dev/null
	[ "$1" = system ] || conf=$root/apt.conf
	shift
	log=$dest/apt.log
	apt-get -c "$conf" -o APT::Sandbox::User=root -o Acquire::Retries=3 -q "$@" >"$log" 2>&1 || {
		[ "${quiet:-}" ] || sed 's/^/  apt: /' "$log" >&2
		return 1
	}
}

# get_deb PACKAGE PATTERN: from the system's sources if their candidate is the
# wanted series, else from SUITE.
get_deb() {
	candidate=$(LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: //p')
	# shellcheck disable=SC2254 # a pattern
	case $candidate in
	$2) if (quiet=1 apt system download "$1"); then return 0; fi ;;
	esac
	from_suite download "$1"
}

# Lists that were read long ago name files that have left the mirror since:
# read them again once before giving up.
from_suite() {
	private_root
	if (quiet=1 apt private "$@"); then return 0; fi
	rm -f "$root/ready"
	private_root
	apt private "$@" || die "apt-get $* failed with $suite (log: $dest/apt.log)"
}

mkdir -p "$dest"
dest=$(cd "$dest" && pwd)
root=$dest/apt
# apt writes to the current directory; a half download must not look complete.
work=$dest/$name.partial
rm -rf "$work"
mkdir "$work"
cd "$work"

case $name in
linux)
	series=6.12
	echo "[fetch] linux-source-$series"
	get_deb "linux-source-$series" "$series.*"
	version=$(dpkg-deb -f ./*.deb Version)
	;;
meson)
	# QEMU $series wants 1.5, Debian 12 has 1.0; it is pure Python
	series=1
	echo "[fetch] meson"
	get_deb meson '1.[5-9].*'
	version=$(dpkg-deb -f ./*.deb Version)
	dpkg --compare-versions "$version" ge 1.5 || die "meson $version from $suite, but QEMU wants 1.5"
	;;
cloud)
	# the kernel of the machine that `make check-kvm` emulates, and of guests
	# without our patches: of SUITE, so that it is the same one everywhere
	series=6.12
	echo "[fetch] kernel package, 35 MB"
	private_root
	package=$(apt-cache -c "$root/apt.conf" depends linux-image-cloud-amd64 |
		sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
	[ -n "$package" ] || die "$suite has no linux-image-cloud-amd64"
	from_suite download "$package"
	version=$(dpkg-deb -f ./*.deb Version)
	;;
stock)
	# QEMU as Debian builds it, with everything that it loads down to the C library:
	# for an apt that knows of no package that is installed.
	series=10.0
	echo "[fetch] qemu package and its libraries, 38 MB"
	from_suite install -y --download-only --no-install-recommends \
		-o Dir::State::status=/dev/null -o Dir::Cache::archives="$work" \
		-o Debug::NoLocking=1 qemu-system-x86
	rm -rf lock partial
	version=$(dpkg-deb -f qemu-system-x86_*.deb Version)
	;;
qemu)
	series=10.0
	echo "[fetch] qemu source"
	from_suite source --download-only qemu
	version=$(sed -n 's/^Version: *//p' ./*.dsc)
	;;
*)
	die "unknown source '$name'"
	;;
esac

case ${version#*:} in
"$series".*) ;;
*) die "$name is $version, but the patches are for $series: set KDIR= or QDIR= to a tree of $series" ;;
esac

rm -rf "${dest:?}/$name"
cd "$dest"
mv "$work" "$name"
echo "$version" >"$name.version"
echo "[fetch] $name $version"
