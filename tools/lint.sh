#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# lint.sh [NAME...]: runs every check below, or those named, and prints one
# verdict a line: [OK], or [FAIL] with the first lines of what is wrong, or with the
# name of the tool that is missing.  `make lint` installs the tools, and calls it with
# the trees prepared.
#
# Environment: BUILD, LINUX_SRC, QEMU_SRC, MAKE, JOBS, CCACHE.
#
# File names have no blanks, and the checks are called through a variable:
# shellcheck disable=SC2046,SC2086,SC2317
set -u

: "${BUILD:?run me as make lint}"
cd "$(dirname "$0")/.." || exit 1
top=$PWD
log=$BUILD/log
mkdir -p "$log"
: "${MAKE:=make}" "${JOBS:=2}"

# A list of nothing is a fault of the list, and to most checkers nothing is well.
some() {
	grep . || echo nothing-to-look-at
}

# Our files, wherever git is or is not.
all() {
	find . \( -name .git -o -path ./build -o -path "./${BUILD#"$top"/}" -o -name __pycache__ \) -prune -o -type f -print |
		sed 's|^\./||' | sort
}
scripts() {
	all | while IFS= read -r f; do
		head -n 1 "$f" | grep -q '^#! *\(/usr\)\?/bin/\(env \)\?\(ba\)\?sh' && echo "$f"
	done | some
}
pythons() {
	all | while IFS= read -r f; do
		head -n 1 "$f" | tr -d '\0' | grep -q '^#! */usr/bin/\(env \)\?python' && echo "$f"
		case $f in *.py) echo "$f" ;; esac
	done | sort -u | some
}
ours() { # ours DIR PATTERN: new C files under kernel/files or qemu/files, without what is generated
	(cd "$1" && find . -type f -name "$2" | sed 's|^\./||' | grep -v 'cfph_nl\.[ch]$' | sort) | some
}
patches() {
	sed -e 's/#.*//' -e '/^ *$/d' "$top/$1/series" | sed "s|^|$top/$1/|" | some
}

# --- the checks: output means trouble, the status decides --------------------

# MAINTAINERS and Signed-off-by are upstream's matters; a DEP-3 head is no mail.
kernel_style() {
	cd "$LINUX_SRC" || return 1
	rc=0
	for f in $(ours "$top/kernel/files" '*.[ch]') include/uapi/linux/virtio_balloon_cfph.h; do
		# what checkpatch dislikes in every trace header of the kernel
		case $f in
		include/trace/*) ignore=COMPLEX_MACRO,MACRO_ARG_UNUSED,TRAILING_SEMICOLON,OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT ;;
		*) ignore=NONE ;;
		esac
		perl scripts/checkpatch.pl --strict --terse --no-summary --quiet --ignore $ignore -f "$f" || rc=1
	done
	for p in $(patches kernel/patches); do
		perl scripts/checkpatch.pl --strict --terse --no-summary --quiet --no-signoff \
			--ignore FILE_PATH_CHANGES,COMMIT_LOG_LONG_LINE,EMAIL_SUBJECT,DIFF_IN_COMMIT_MSG "$p" || rc=1
	done
	return $rc
}

# A warning does not show in this one's status.
qemu_checkpatch() {
	said=$(perl scripts/checkpatch.pl --terse --no-summary --quiet --no-signoff "$@")
	[ -z "$said" ] || { echo "$said"; return 1; }
}
qemu_style() {
	cd "$QEMU_SRC" || return 1
	rc=0
	for f in $(ours "$top/qemu/files" '*.[ch]'); do
		qemu_checkpatch -f "$f" || rc=1
	done
	for p in $(patches qemu/patches); do
		qemu_checkpatch "$p" || rc=1
	done
	return $rc
}

# An object directory of its own: other flags than the real build's.
kernel_warnings() {
	obj=$LINUX_SRC/build-lint
	kernel/config.sh "$LINUX_SRC" "$obj" x86_64 kernel/configs/base.config \
		kernel/configs/x86_64.config kernel/configs/cfph.config || return 1
	# What was compiled before would say nothing again.
	touch "$LINUX_SRC"/mm/cfph/*.c "$LINUX_SRC"/drivers/virtio/virtio_balloon_cfph.c
	out=$log/lint-objects.log
	env -u MAKEFLAGS -u MAKELEVEL make -s -C "$LINUX_SRC" O=build-lint ARCH=x86_64 -j"$JOBS" \
		CC="${CCACHE:-} gcc" W=1 C=1 CF=-D__CHECK_ENDIAN__ mm/cfph/ \
		drivers/virtio/virtio_balloon_cfph.o >"$out" 2>&1 || {
		cat "$out"
		return 1
	}
	grep -E '(mm/cfph/|virtio_balloon_cfph|linux/cfph\.h|events/cfph\.h).*(warning|error)' "$out" && return 1
	return 0
}

kernel_doc() {
	cd "$LINUX_SRC" || return 1
	perl scripts/kernel-doc -none -Wall $(ours "$top/kernel/files" '*.[ch]') 2>&1 | grep . && return 1
	return 0
}

fpctl() {
	"$MAKE" -s --no-print-directory -C tools/fpctl lint
}

generated() {
	"$MAKE" -s --no-print-directory check-generated
}

# The house of mm/cfph has floors: an arrow runs down only.  So has fpctl's.
circles() {
	tools/circles.py kernel/files/mm/cfph && tools/circles.py tools/fpctl
}

shell() {
	shellcheck -x $(scripts)
}

python() {
	pyflakes3 $(pythons)
}

# What is not there before something has been started would be most of what it says.
types() {
	mypy --cache-dir="$BUILD/mypy" --check-untyped-defs --no-strict-optional \
		--disable-error-code=var-annotated --ignore-missing-imports \
		selftests/lib/cfphtest tools/timeline/traces.py tools/timeline/drawing.py || return 1
	(cd tools/series && mypy --cache-dir="$BUILD/mypy" --check-untyped-defs \
		--no-strict-optional --disable-error-code=var-annotated \
		--ignore-missing-imports ./*.py)
}

documents() {
	tools/docs/build.sh "$BUILD/docs"
}

man_pages() {
	mandoc -Tlint -Wwarning $(all | grep '\.[1-8]$' | some)
}

spelling() {
	codespell -q 3 -L damon,nd,shwo $(all | grep -v -e '^LICENSES/' -e '^COPYING' -e '/golden/' -e '\.patch$')
}

# A script that starts with #! is executable and nothing else is.
exec_bits() {
	rc=0
	for f in $(all); do
		if [ "$(head -c 2 "$f" | tr -d '\0')" = '#!' ]; then
			[ -x "$f" ] || { echo "$f: starts with #!, but is not executable"; rc=1; }
		elif [ -x "$f" ]; then
			echo "$f: executable, but does not start with #!"
			rc=1
		fi
	done
	return $rc
}

# Texts and data carry the licence of COPYING, patches that of what they patch.
spdx() {
	rc=0
	for f in $(all | grep -v -e '\.md$' -e '\.patch$' -e '\.json$' -e '\.txt$' -e '/golden/' \
		-e '^LICENSES/' -e '^COPYING$' -e '^MAINTAINERS$' -e '/series$' -e '/\?\.[a-z-]*ignore$' \
		-e '/debian/copyright$' -e '/source/format$' \
		-e 'config$' -e '\.kunitconfig$' -e '\.clang-format$'); do
		head -n 15 "$f" | grep -q 'SPDX-License-Identifier: ' && continue
		echo "$f: no SPDX-License-Identifier line"
		rc=1
	done
	return $rc
}

dep3() {
	rc=0
	for p in $(patches kernel/patches) $(patches qemu/patches); do
		for h in Subject From Date Origin Forwarded Last-Update; do
			sed '/^--- /q' "$p" | grep -q "^$h: ." || { echo "${p#"$top"/}: no $h: in its head"; rc=1; }
		done
	done
	return $rc
}

# What check-sabotage breaks moves; that takes too long to be told by it alone.
sabotage() {
	rc=0
	for p in $(find selftests/sabotage -name '*.patch' | sort | some); do
		patch -p1 -F0 -s -f --dry-run -i "$p" >/dev/null 2>&1 ||
			{ echo "$p does not apply any more"; rc=1; }
	done
	return $rc
}

# --- run ---------------------------------------------------------------------

failed=0
left=" $* "
check() { # check NAME TOOL
	case " $want " in
	'  ' | *" $1 "*) left=$(echo "$left" | sed "s/ $1 / /g") ;;
	*) return ;;
	esac
	if [ -n "${2:-}" ] && ! command -v "$2" >/dev/null; then
		failed=$((failed + 1))
		echo "[FAIL] $1: no $2"
		return
	fi
	if ("$1") >"$log/lint-$1.log" 2>&1; then
		echo "[OK]   $1"
		return
	fi
	failed=$((failed + 1))
	echo "[FAIL] $1: $(wc -l <"$log/lint-$1.log") lines in $log/lint-$1.log"
	sed -n '1,10s/^/       /p' "$log/lint-$1.log"
}

want="$*"
check kernel_style perl
check kernel_warnings sparse
check kernel_doc perl
check qemu_style perl
check circles ctags
check generated
check fpctl clang-format
check shell shellcheck
check python pyflakes3
check types mypy
check man_pages mandoc
check documents sphinx-build
check spelling codespell
check exec_bits
check spdx
check dep3
check sabotage patch
for name in $left; do
	failed=$((failed + 1))
	echo "[FAIL] $name: there is no such check"
done
[ $failed = 0 ] || echo "$failed of the checks failed"
exit $((failed != 0))
