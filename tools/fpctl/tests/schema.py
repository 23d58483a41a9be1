#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Check the JSON output against schema/*.json.

Usage: schema.py CMDLINE SCHEMADIR, where CMDLINE is the test program of that
name: "CMDLINE --as KERNEL ARG..." is fpctl on a made-up kernel.
"""
import json
import os
import subprocess
import sys

try:
    import jsonschema
except ImportError:
    print("KTAP version 1\n1..0 # SKIP python3-jsonschema is not installed")
    sys.exit(0)

KERNELS = ["ready", "migrating", "off", "scanning", "future"]
# These leave attributes out, which the contract says cfph never does.
PARTIAL = ["scanning", "future"]


def load(directory, command):
    with open(os.path.join(directory, command + ".json"), encoding="utf-8") as f:
        schema = json.load(f)
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema


def check(cmdline, schema, kernel, options, command):
    """One run; the error text, or None."""
    run = subprocess.run([cmdline, "--as", kernel, *options, command],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         encoding="utf-8", timeout=30, check=False)
    if run.returncode:
        return f"exit code {run.returncode}: {run.stdout}"
    try:
        data = json.loads(run.stdout)
        if kernel in PARTIAL:
            schema = {**schema, "required": []}
        jsonschema.validate(data, schema)
    except (ValueError, jsonschema.ValidationError) as e:
        return str(e)
    unknown = set(data) - set(schema["properties"])
    if unknown:
        return f"not in the schema: {sorted(unknown)}"
    if ("time-ms" in data) != ("-t" in options):
        return "time-ms is there without -t, or not there with it"
    if "-p" not in options and run.stdout.count("\n") != 1:
        return "more than one line"
    return None


def main():
    cmdline, directory = sys.argv[1:]
    rows = [(k, o, c) for c in ("show", "stats") for k in KERNELS
            for o in (["-j"], ["-p"], ["-j", "-t"])]
    failed = 0
    print(f"KTAP version 1\n1..{len(rows)}")
    for i, (kernel, options, command) in enumerate(rows, 1):
        error = check(cmdline, load(directory, command), kernel, options, command)
        if error:
            failed += 1
            print("# " + error.replace("\n", "\n# "))
        print(f"{'not ok' if error else 'ok'} {i} fpctl {' '.join(options)} "
              f"{command}, kernel {kernel}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
