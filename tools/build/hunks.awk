# SPDX-License-Identifier: GPL-2.0
#
# Has each hunk of a patch as many lines as its head says?  patch(1) takes what is
# too much for garbage, the hunks behind it included, and does not complain.

function bad() {
	print FILENAME ": " head ": has another number of lines"
	status = 1
	old = new = 0
	head = ""
}

/^@@ -/ {
	if (old || new)
		bad()
	head = $0
	old = split($2, a, ",") > 1 ? a[2] : 1
	new = split($3, b, ",") > 1 ? b[2] : 1
	next
}

old || new {
	sign = substr($0, 1, 1)
	if (sign != "-" && sign != "+" && sign != " " && $0 != "")
		bad()
	old -= sign != "+"
	new -= sign != "-"
	if (old < 0 || new < 0)
		bad()
	next
}

head != "" && /^[-+ ]/ && !/^(---|\+\+\+) / { bad() }

END {
	if (old || new)
		bad()
	exit status
}
