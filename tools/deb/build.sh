#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# build.sh NAME WORK OUT: the Debian packages of tools/deb/NAME, in OUT.
#
# WORK/src is where the sources lie already; what is packed beside them (debian/, the
# changelog) is added here.  The changelog has one entry, the commit that is built: what
# has changed is told by git, not twice.
#
# Environment: DEB_VERSION, SOURCE_DATE_EPOCH and COMMIT, all of the last commit; JOBS.
set -eu

name=$1 work=$2 out=$3
top=$(cd "$(dirname "$0")/../.." && pwd)
src=$work/src

rm -rf "$src/debian" "$work"/*.deb
mkdir -p "$src" "$out"
cp -R "$top/tools/deb/$name/debian" "$src/debian"
find "$src/debian" -type f -exec chmod 644 {} +
chmod 755 "$src/debian/rules"

field() { # of debian/control
	sed -n "s/^$1: //p" "$src/debian/control" | head -n 1
}
cat >"$src/debian/changelog" <<EOF
$(field Source) ($DEB_VERSION) unstable; urgency=medium

  * The cfph project as of commit ${COMMIT:-unknown}.

 -- $(field Maintainer)  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")
EOF

# Debugging symbols are ten times the size of the packages.
cd "$src"
DEB_BUILD_OPTIONS="noautodbgsym nocheck parallel=${JOBS:-1}" \
	dpkg-buildpackage -b -us -uc

# Those of an older commit would only confuse.
sed -n 's/^Package: //p' debian/control | while IFS= read -r package; do
	rm -f "$out/${package}"_*.deb
done
mv "$work"/*.deb "$out/"
